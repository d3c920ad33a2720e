//! Prove an e-mail address or a mobile number by a code (paysafe.md 3).
//!
//! Whom nobody knows is answered, counted and limited like a customer, and costs as much: somebody stands in
//! ([`Sought`]), what would be sent is written as a decoy, and no code that can be typed is right.

use std::net::IpAddr;

use keyherald_core::activity::{self, Made};
use keyherald_core::customer::Customer;
use keyherald_core::data_verification_event::DataVerificationEvent;
use keyherald_core::id::{ProjectKey, VerificationId};
use keyherald_core::limit::{Rate, seconds_until};
use keyherald_core::mail::Link;
use keyherald_core::message::Flow;
use keyherald_core::refusal::Lookup;
use keyherald_core::seal::KeyRing;
use keyherald_core::secret::TokenValue;
use keyherald_core::sought::Sought;
use keyherald_core::verification::{
    self as rules, Attempted, Attribute, Code, Kind, Limits, NotActive, Process, Purpose,
};
use keyherald_core::{Ctx, Micros, Refusal};
use keyherald_store::verification::{self, Telling};
use keyherald_store::{Fault, Tx, customer, event, log};

use super::limits::of_source;
use super::{Answer, App, Call, note, trace};
use crate::outbox::Outbox;

/// Messages that are sent later, of one round.
const DUE_MAX: i64 = 100;

/// What goes for the processes of a project.
#[derive(Clone)]
pub struct Verifying {
    /// The numbers.
    pub limits: Limits,
    /// Processes begun from one source address.
    pub begun_by_source: Rate,
    /// Codes tried from one source address.
    pub tried_by_source: Rate,
    /// Passwords replaced from one source address, or not.
    pub used_by_source: Rate,
    /// Passwords of one customer replaced, or not. Of a forgotten one, only who holds a proof counts: nobody else can keep the
    /// customer from recovering.
    pub used_by_customer: Rate,
    /// Processes begun in the project.
    pub begun: Rate,
    /// Whether the partner sends the codes.
    pub partner_tells: bool,
    /// Whether the partner hears of each process while we send the codes.
    pub partner_hears: bool,
    /// Whether the partner hears of processes that come to nothing.
    pub tells_failures: bool,
    /// Where the link leads that a mail has besides the code of a forgotten password. `None`: it has none.
    pub page: Option<CodePage>,
    /// Whether whom nobody knows costs as much as a customer. False only where a test shows what would be seen then.
    pub equalises: bool,
}

impl Default for Verifying {
    /// The contract's numbers.
    fn default() -> Self {
        let within = |count, minutes| Rate { count, per: minutes * Micros::MINUTE };
        Self {
            limits: Limits::default(),
            begun_by_source: within(30, 10),
            tried_by_source: within(100, 10),
            used_by_source: within(30, 10),
            used_by_customer: within(10, 10),
            begun: within(600, 1),
            partner_tells: false,
            partner_hears: false,
            tells_failures: false,
            page: None,
            equalises: true,
        }
    }
}

/// The page on which a code is tried.
#[derive(Clone)]
pub struct CodePage(String);

impl CodePage {
    /// At this address, which has no query and no fragment.
    pub fn new(url: String) -> Self {
        Self(url)
    }

    /// Its link for a process, with the place of the code. In the fragment, which is sent to nobody.
    fn link(&self, process: &Process) -> Option<Link> {
        let is_for_it = process.purpose == Purpose::PasswordReset && process.kind == Kind::Email;
        let link = || format!("{}#code={{token}}&process={}", self.0, process.id).parse().ok();
        if is_for_it { link() } else { None }
    }
}

/// What became of the wish for a process.
pub enum Initiation {
    /// It began.
    Begun {
        /// The process.
        process: Process,
        /// How many count, this one included.
        processes: u32,
    },
    /// The attribute has had too many.
    Resting {
        /// Seconds after which another one can begin.
        retry_after_s: u32,
    },
    /// The source, or the project, asks too often.
    TooMany {
        /// Seconds after which it is worth another try.
        retry_after_s: u32,
    },
}

/// What became of a code.
pub enum Attempt {
    /// It was tried.
    Made {
        /// Its number.
        number: u32,
        /// How many there can be.
        of: u32,
        /// Whether it was right.
        outcome: Attempted,
    },
    /// There is no such process.
    Unknown,
    /// The process is about something else. Not counted.
    Mismatch,
    /// The process takes none. Not counted.
    NotActive(NotActive),
    /// The source tries too often.
    TooMany {
        /// Seconds after which it is worth another try.
        retry_after_s: u32,
    },
}

/// An attempt that was counted.
struct Counted {
    number: u32,
    verification: verification::Verification,
}

impl App {
    /// Begins a process, and has its code sent.
    pub async fn begin_verification(
        &self,
        call: Call,
        verifying: Verifying,
        source: Option<IpAddr>,
        (attribute, purpose): (Attribute, Purpose),
    ) -> Answer<Initiation> {
        let ctx = self.ctx();
        let project = &call.project;
        let buckets = vec![
            (of_source("begin", project.as_str(), source), verifying.begun_by_source),
            (format!("begin {project}"), verifying.begun),
        ];
        if let Some(retry_after_s) = self.over_rate(buckets, &ctx).await? {
            return Ok(Initiation::TooMany { retry_after_s });
        }
        let (ring, outbox) = (self.ring.clone(), self.outbox.clone());
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            let (project, limits) = (&call.project, &verifying.limits);
            let (mut history, digest) = verification::lock_history(tx, &ring, project, &attribute, ctx.now)?;
            let superseded = history.newest;
            let begun = history.begin(attribute.kind, purpose, limits, ctx);
            verification::put_history(tx, project, (&history, &digest), limits)?;
            let begun = match begun {
                Ok(begun) => begun,
                Err(resting) => {
                    return Ok(Initiation::Resting { retry_after_s: seconds_until(resting.until, ctx.now) });
                }
            };
            let whose = Whose::find(tx, &call, &attribute, purpose, verifying.equalises)?;
            if let Some(superseded) = superseded {
                has_ended(tx, project, superseded, ctx.now)?;
            }
            let code = Code::make(limits.code_digits, ctx);
            let false_code = Code::of_nobody(ctx);
            let kept = if whose.is_nobodys() { &false_code } else { &code };
            let is_later = begun.tell_at > ctx.now;
            let telling = if is_later { Telling::At(begun.tell_at, &attribute) } else { Telling::Now(kept) };
            verification::insert(tx, &ring, (project, limits), (&begun.process, &digest), &telling, ctx)?;
            let (process, page) = (&begun.process, verifying.page.as_ref());
            let telling = Told { ring: &ring, call: &call, process, attribute: &attribute, whose: &whose, page };
            if verifying.partner_tells {
                telling.by_partner(tx, &outbox, Some(code), ctx)?;
            } else if !is_later {
                telling.by_us(tx, code, ctx)?;
            }
            if verifying.partner_hears {
                telling.by_partner(tx, &outbox, None, ctx)?;
            }
            if verifying.tells_failures {
                let is_told = !matches!(whose, Whose::Sought(Sought::Nobody(_)));
                verification::watch(tx, &ring, (project, process, &digest), (&attribute, is_told), ctx)?;
            }
            telling.leave_trace(tx, ctx)?;
            Ok(Initiation::Begun { process: begun.process, processes: begun.processes })
        };
        Ok(self.store.write(&ctx, work).await?)
    }

    /// Tries a code.
    pub async fn try_code(
        &self,
        call: Call,
        verifying: Verifying,
        source: Option<IpAddr>,
        (id, attribute): (VerificationId, Attribute),
        typed: &str,
    ) -> Answer<Attempt> {
        let ctx = self.ctx();
        let buckets = vec![(of_source("try", call.project.as_str(), source), verifying.tried_by_source)];
        if let Some(retry_after_s) = self.over_rate(buckets, &ctx).await? {
            return Ok(Attempt::TooMany { retry_after_s });
        }
        let (ring, project, limits) = (self.ring.clone(), call.project.clone(), verifying.limits);
        let count = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            let Some(mut found) = verification::lock(tx, &project, id)? else { return Ok(Err(Attempt::Unknown)) };
            if !found.is_about(&ring, &project, &attribute)? {
                return Ok(Err(Attempt::Mismatch));
            }
            if let Err(not_active) = found.process.count(found.newest, ctx.now) {
                return Ok(Err(Attempt::NotActive(not_active)));
            }
            verification::save(tx, &project, &found.process, &limits)?;
            if found.process.attempts >= found.process.attempts_max {
                has_ended(tx, &project, id, ctx.now)?; // nobody can be right after this one
            }
            Ok::<_, Fault>(Ok(Counted { number: found.process.attempts, verification: found }))
        };
        // Committed before anything is compared.
        let counted = match self.store.write(&ctx, count).await? {
            Ok(counted) => counted,
            Err(not_made) => return Ok(not_made),
        };
        let (number, of) = (counted.number, counted.verification.process.attempts_max);
        if !counted.verification.is_code(&self.ring, &Code::typed(typed))? {
            let outcome = if number >= of { Attempted::WrongAtLast } else { Attempted::Wrong };
            if outcome == Attempted::WrongAtLast && verifying.tells_failures {
                let project = call.project;
                self.store.write(&ctx, move |tx, ctx| verification::has_failed(tx, &project, id, ctx.now)).await?;
            }
            return Ok(Attempt::Made { number, of, outcome });
        }
        let project = call.project;
        let conclude = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            let Some(mut found) = verification::lock(tx, &project, id)? else { return Ok(Attempt::Unknown) };
            match found.process.conclude(found.newest, number, true, ctx.now) {
                Ok(outcome) => {
                    verification::save(tx, &project, &found.process, &limits)?;
                    has_ended(tx, &project, id, ctx.now)?;
                    Ok::<_, Fault>(Attempt::Made { number, of, outcome })
                }
                Err(not_active) => Ok(Attempt::NotActive(not_active)),
            }
        };
        Ok(self.store.write(&ctx, conclude).await?)
    }

    /// Sends the codes whose time has come. Answers whether there may be more.
    pub async fn send_due_codes(&self, of_project: impl Fn(&str) -> Verifying) -> Answer<bool> {
        let now = self.ctx().now;
        let due = self.store.read(move |tx| verification::due(tx, now, DUE_MAX)).await?;
        let more = i64::try_from(due.len()).is_ok_and(|count| count >= DUE_MAX);
        for (project, id) in due {
            let (ring, verifying, call) = (self.ring.clone(), of_project(project.as_str()), Call::on(project));
            let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
                let Some(found) = verification::lock(tx, &call.project, id)? else { return Ok(()) };
                let to = verification::to_tell(tx, &ring, &call.project, &found.process, ctx.now)?;
                let Some(attribute) = to else { return Ok(()) };
                let whose = Whose::find(tx, &call, &attribute, found.process.purpose, false)?;
                let (code, false_code) = (Code::make(verifying.limits.code_digits, ctx), Code::of_nobody(ctx));
                let kept = if whose.is_nobodys() { &false_code } else { &code };
                verification::tell(tx, &ring, &call.project, &found, kept, ctx.now)?;
                let (process, attribute, whose) = (&found.process, &attribute, &whose);
                let page = verifying.page.as_ref();
                Told { ring: &ring, call: &call, process, attribute, whose, page }.by_us(tx, code, ctx)
            };
            self.store.write(&self.ctx(), work).await?;
        }
        Ok(more)
    }
}

/// The code of a process is of no use any more: what was still to tell it to the partner goes.
fn has_ended(tx: &mut dyn Tx, project: &ProjectKey, id: VerificationId, now: Micros) -> Result<(), Fault> {
    event::end_of(tx, project, &id.to_string(), now)
}

/// Whose an attribute is, as far as that matters.
enum Whose {
    /// This customer's, or nobody's, and only a customer can be told a code. The lock is held of whoever was looked at.
    Sought(Sought),
    /// Whoever it may be: the code is to show it.
    Anybodys,
}

impl Whose {
    fn find(
        tx: &mut dyn Tx,
        call: &Call,
        attribute: &Attribute,
        purpose: Purpose,
        equalises: bool,
    ) -> Result<Self, Fault> {
        if purpose != Purpose::PasswordReset {
            return Ok(Self::Anybodys);
        }
        let sought = match attribute.kind {
            Kind::Email => call.lock_sought_by_email(tx, attribute.value())?,
            Kind::Mobile => lock_sought_by_mobile(tx, call, attribute)?,
        };
        Ok(Self::Sought(if equalises { sought } else { sought.into_customer().into() }))
    }

    /// Whose rows are looked at.
    fn looked_at(&self) -> Option<&Customer> {
        match self {
            Self::Sought(sought) => sought.looked_at(),
            Self::Anybodys => None,
        }
    }

    fn is_nobodys(&self) -> bool {
        matches!(self, Self::Sought(Sought::Nobody(_)))
    }
}

fn lock_sought_by_mobile(tx: &mut dyn Tx, call: &Call, attribute: &Attribute) -> Result<Sought, Fault> {
    let Ok(mobile) = attribute.value().parse() else { return Ok(Sought::Nobody(None)) };
    let near = |tx: &mut dyn Tx| customer::near_mobile(tx, &call.project, &mobile);
    call.lock_sought(tx, near, |customer| call.sees(customer) && attribute.is_of(customer))
}

/// A process whose code is to be told.
struct Told<'a> {
    ring: &'a KeyRing,
    call: &'a Call,
    process: &'a Process,
    attribute: &'a Attribute,
    whose: &'a Whose,
    page: Option<&'a CodePage>,
}

impl Told<'_> {
    /// By mail or SMS.
    fn by_us(&self, tx: &mut dyn Tx, code: TokenValue, ctx: &mut Ctx) -> Result<(), Fault> {
        let (project, customer) = (&self.call.project, self.whose.looked_at());
        let lane = customer.map_or_else(|| verification::lane(self.process.id), |customer| customer.id);
        let to = (self.attribute, customer);
        let mut message = rules::code_message(self.process, to, lane, code, &self.call.by, ctx);
        if let Some(mail) = &mut message.for_mail {
            mail.page = self.page.and_then(|page| page.link(self.process));
        }
        match self.whose {
            Whose::Sought(Sought::Found(_)) => log::append(tx, self.ring, project, &message, ctx),
            Whose::Sought(Sought::Nobody(Some(_))) => log::append_decoy(tx, self.ring, project, &message, ctx),
            Whose::Sought(Sought::Nobody(None)) => Ok(()),
            Whose::Anybodys => {
                let key = ctx.bytes();
                log::put_customer_key(tx, self.ring, project, lane, key, ctx)?;
                log::append(tx, self.ring, project, &message, ctx)
            }
        }
    }

    /// To the partner, by an event that is written in the transaction of the process: with the code, if the partner is to
    /// deliver it.
    fn by_partner(
        &self,
        tx: &mut dyn Tx,
        outbox: &Outbox,
        code: Option<TokenValue>,
        ctx: &mut Ctx,
    ) -> Result<(), Fault> {
        let (project, about) = (&self.call.project, (self.process, self.attribute));
        let told = DataVerificationEvent::begun(about, self.whose.looked_at(), code, ctx);
        match self.whose {
            Whose::Sought(Sought::Found(_)) | Whose::Anybodys => {
                outbox.append_data_verification(tx, self.ring, project, &told, ctx)
            }
            Whose::Sought(Sought::Nobody(Some(_))) => {
                outbox.append_decoy_of_data_verification(tx, self.ring, project, &told, ctx)
            }
            Whose::Sought(Sought::Nobody(None)) => Ok(()),
        }
    }

    /// The activity entry: one, whoever is meant.
    fn leave_trace(&self, tx: &mut dyn Tx, ctx: &mut Ctx) -> Result<(), Fault> {
        let customer = match self.whose {
            Whose::Sought(Sought::Nobody(_)) => {
                let refusal = Refusal::CustomerNotFound(Lookup::Email);
                return trace(tx, self.call, Flow::Recover, None, &refusal, ctx);
            }
            Whose::Sought(Sought::Found(customer)) => Some(customer.id),
            Whose::Anybodys => None,
        };
        note(tx, self.call, Flow::Recover, customer, Made::done(activity::Call::StartRecoveryAtHome), ctx)
    }
}
