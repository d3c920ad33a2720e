//! Give a customer another e-mail address, at the identity provider and here (naviga.md 3.1).
//!
//! The provider first, then here. No operation remembers it, for it needs none: an address is no secret, and the provider
//! tells which one it has. A note is committed before it is sent, and goes with the write here; what a lost answer or a
//! death leaves apart is found by it, and so is an address that could not be given back ([`settle_doubts`]). Of two at the
//! same moment, the one that finds the address here moved since it looked goes round again, so that the last one has set
//! both.
//!
//! [`settle_doubts`]: super::settle_doubts

use keyherald_core::activity::{self, CallResult, Made};
use keyherald_core::customer::{Customer, fold_email};
use keyherald_core::doubt::About;
use keyherald_core::id::CustomerId;
use keyherald_core::message::Flow;
use keyherald_core::operation::look_up_ended;
use keyherald_core::provider::{Meaning, ProviderError, ProviderLink};
use keyherald_core::refusal::UniqueField;
use keyherald_core::update::{self, Action, Command, Found};
use keyherald_core::{Ctx, Refusal};
use keyherald_store::{Fault, Tx, claim, customer, doubt, log};
use tokio::time::Instant;

use super::doubts::{Noted, is_surely_undone};
use super::replace_password::micros;
use super::{Answer, App, Call, CustomerRef, Failure};
use crate::operate::{By, UserChanges};

/// How often a change that met another one is tried.
const ROUNDS_MAX: usize = 3;

/// The customer as it was looked up.
#[derive(Clone)]
struct Before {
    customer: Customer,
    /// What the same request has come to before.
    answered: Option<Result<(), Refusal>>,
    link: Option<ProviderLink>,
    /// Another customer has the address.
    taken: Option<UniqueField>,
    took_us: i64,
}

/// A call to the provider, and how it ended.
#[derive(Clone, Copy)]
struct Called {
    call: activity::Call,
    ended: (CallResult, &'static str),
    took_us: i64,
}

/// What was done at the provider.
#[derive(Clone, Default)]
struct There {
    made: Vec<Called>,
    /// The note of what was sent, or was about to be. `None`: nothing was.
    noted: Option<Noted>,
    /// The address may be set there.
    may_be_set: bool,
}

/// What came of the transaction.
enum Written {
    Done,
    Refused(Refusal),
    /// The address or the link is another than the one that was looked up: nothing was written but what was done there.
    Moved,
}

impl App {
    /// Sets the e-mail address of the customer that is meant, at its identity provider too if it has one.
    pub async fn change_email(&self, call: Call, which: CustomerRef, email: String) -> Answer<()> {
        for _ in 0..ROUNDS_MAX {
            let (looking, named, wanted, app) = (call.clone(), which.clone(), email.clone(), self.clone());
            let now = self.ctx();
            let look = move |tx: &mut dyn Tx| app.look(tx, &looking, &named, &wanted, &now);
            let Some(before) = self.store.read(look).await? else {
                return self.not_found(call, Flow::Update, which.not_found()).await;
            };
            match before.answered {
                None => {}
                Some(Ok(())) => return Ok(()),
                Some(Err(refusal)) => {
                    return self.refuse(call, Flow::Update, Some(before.customer.id), refusal, self.ctx()).await;
                }
            }
            let (mut there, mut refusal) = (There::default(), before.taken.map(Refusal::Duplicate));
            if let (Some(link), None) = (&before.link, &refusal) {
                refusal = match self.set_at_provider(&call, (&before.customer, link), &email, &mut there).await {
                    Ok(()) => None,
                    Err(Failure::Refused(refusal)) => Some(refusal),
                    Err(fault) => return Err(fault),
                };
            }
            let (calling, known, wanted, done, app) =
                (call.clone(), before.clone(), email.clone(), there.clone(), self.clone());
            let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
                app.set_here(tx, (&calling, &known), (&wanted, refusal.as_ref()), &done, ctx)
            };
            match self.store.write(&self.ctx(), work).await? {
                Written::Done => return Ok(()),
                Written::Refused(refusal) => {
                    // Somebody else took the address after it was set there.
                    if let (Refusal::Duplicate(_), Some(link), Some(noted)) = (&refusal, &before.link, there.noted)
                        && there.may_be_set
                        && noted.is_in_time()
                        && self.set_back(link, &before.customer).await.is_ok()
                    {
                        self.forget_note(&call, noted).await?;
                    }
                    return Err(refusal.into());
                }
                Written::Moved => {}
            }
        }
        Err(Refusal::ProviderRefused(ProviderError::Stale).into())
    }

    fn look(
        &self,
        tx: &mut dyn Tx,
        call: &Call,
        which: &CustomerRef,
        email: &str,
        ctx: &Ctx,
    ) -> Result<Option<Before>, Fault> {
        let began = Instant::now();
        let Some(customer) = which.find(tx, call)? else { return Ok(None) };
        let link = self.operations.link_of(tx, &call.project, customer.id)?;
        let taken = match update::admit(&customer, &command(call, &customer, email), &Found::default().known, ctx) {
            Ok(Some(claims)) => claim::taken(tx, &call.project, &claims, Some(customer.id))?,
            Ok(None) | Err(_) => None,
        };
        let answered = self.done_before(tx, call, ctx.now)?;
        Ok(Some(Before { customer, answered, link, taken, took_us: micros(began) }))
    }

    /// Looks the user up there, notes what is about to be done and sets the address. What was done is left in `there`.
    async fn set_at_provider(
        &self,
        call: &Call,
        (customer, link): (&Customer, &ProviderLink),
        email: &str,
        there: &mut There,
    ) -> Answer<()> {
        let There { made, noted, may_be_set } = there;
        let mut note = |call, began: Instant, ended: (CallResult, &'static str)| {
            made.push(Called { call, ended, took_us: micros(began) });
        };
        let done = (CallResult::Succeeded, "done");
        let began = Instant::now();
        let looked = self.operations.look_up_user(&link.provider, By::Id(&link.user)).await;
        // Where nobody can be looked up, the change itself tells who is not there.
        if let Some(error) = looked.err().filter(|error| *error != ProviderError::NotSupported) {
            note(activity::Call::LookUpAtProvider, began, look_up_ended(&error));
            return Err(Refusal::NotLookedUp(Box::new(self.of_provider(error))).into());
        }
        note(activity::Call::LookUpAtProvider, began, done);
        let (about, what) = (About::Customer(customer.id), (&link.provider, activity::Call::SetEmailAtProvider));
        let now = self.note(self.doubt(call, &call.run(Flow::Update), about, what)).await?;
        (*noted, *may_be_set) = (Some(now), true);
        let began = Instant::now();
        let changes = UserChanges { email: Some(email), ..UserChanges::default() };
        let sent = if now.is_in_time() {
            self.operations.update_user(link, changes).await
        } else {
            Err(ProviderError::Transient)
        };
        let error = match sent {
            Ok(()) => {
                note(activity::Call::SetEmailAtProvider, began, done);
                return Ok(());
            }
            Err(error) => error,
        };
        *may_be_set = !is_surely_undone(&error);
        // Whether it was applied is there to be seen.
        if error == ProviderError::Ambiguous {
            let seen = self.operations.look_up_user(&link.provider, By::Id(&link.user)).await;
            let seen = seen.ok().and_then(|user| user.email);
            if seen.is_some_and(|seen| fold_email(&seen) == fold_email(email)) {
                note(activity::Call::SetEmailAtProvider, began, done);
                return Ok(());
            }
        }
        let result = match error.meaning() {
            Meaning::Refused => CallResult::Refused,
            Meaning::Later(_) => CallResult::Failed,
            Meaning::Unknown => CallResult::Unknown,
        };
        note(activity::Call::SetEmailAtProvider, began, (result, error.code()));
        let refusal = match error {
            ProviderError::Conflict => Refusal::Duplicate(UniqueField::Email),
            ProviderError::Ambiguous => Refusal::ProviderRefused(ProviderError::Ambiguous),
            error => self.of_provider(error),
        };
        Err(refusal.into())
    }

    /// Gives the provider the address back that the customer keeps.
    pub(super) async fn set_back(&self, link: &ProviderLink, customer: &Customer) -> Result<(), ProviderError> {
        // A new address counts as not proved there.
        let verified = Some(customer.is_email_verified);
        let changes = UserChanges { email: Some(&customer.email), verified, ..UserChanges::default() };
        let set = self.operations.update_user(link, changes).await;
        if let Err(error) = &set {
            let (id, code) = (customer.id, error.code());
            tracing::warn!(
                customer = %id, code,
                "the e-mail address of customer {id} is another at provider {}, and was not given back: {code}",
                link.provider
            );
        }
        set
    }

    /// The transaction: the address here, unless it was refused before, the end of the note when both are the same, and the
    /// entries of all calls.
    fn set_here(
        &self,
        tx: &mut dyn Tx,
        (call, before): (&Call, &Before),
        (email, refusal): (&str, Option<&Refusal>),
        there: &There,
        ctx: &mut Ctx,
    ) -> Result<Written, Fault> {
        let (project, id, made) = (&call.project, before.customer.id, there.made.as_slice());
        let settle = |tx: &mut dyn Tx| there.noted.map_or(Ok(()), |noted| doubt::remove(tx, project, noted.id));
        let locked = call.lock(tx, id)?;
        let Some(locked) = locked else {
            let refusal = CustomerRef::Id(id).not_found();
            settle(tx)?;
            tell(tx, call, before, made, Some((false, &refusal)), ctx)?;
            return Ok(Written::Refused(refusal));
        };
        if let Some(refusal) = refusal {
            if !there.may_be_set {
                settle(tx)?;
            }
            tell(tx, call, before, made, Some((true, refusal)), ctx)?;
            return Ok(Written::Refused(refusal.clone()));
        }
        let has_moved = locked.email != before.customer.email && locked.email != email;
        if has_moved || self.operations.link_of(tx, project, id)? != before.link {
            tell(tx, call, before, made, None, ctx)?;
            return Ok(Written::Moved);
        }
        let command = command(call, &locked, email);
        let known = Found::default().known;
        let taken = match update::admit(&locked, &command, &known, ctx) {
            Ok(Some(claims)) => claim::take(tx, project, &claims, Some(id))?,
            Ok(None) | Err(_) => None,
        };
        match update::decide(&locked, &command, &Found { known, taken }, None, ctx) {
            Ok(updated) => {
                let began = Instant::now();
                customer::update(tx, &self.ring, project, &updated, ctx)?;
                settle(tx)?;
                // The same request at the same time has said so already.
                if self.done_before(tx, call, ctx.now)?.is_none() {
                    self.remember(tx, call, ctx.now)?;
                }
                let set = Called {
                    call: activity::Call::SetEmailAtHome,
                    ended: (CallResult::Succeeded, "done"),
                    took_us: micros(began),
                };
                tell(tx, call, before, &[made, &[set]].concat(), None, ctx)?;
                Ok(Written::Done)
            }
            Err(refusal) => {
                tell(tx, call, before, made, Some((true, &refusal)), ctx)?;
                Ok(Written::Refused(refusal))
            }
        }
    }
}

impl Called {
    fn is_of_provider(&self) -> bool {
        matches!(self.call, activity::Call::LookUpAtProvider | activity::Call::SetEmailAtProvider)
    }
}

fn command(call: &Call, customer: &Customer, email: &str) -> Command {
    let actions = vec![Action::ChangeEmail(email.to_owned())];
    Command { version: customer.version, actions, by: call.by.clone() }
}

/// Writes the entries of one run: the look-ups, then the changes; and the refusal, of a customer who is here or not.
fn tell(
    tx: &mut dyn Tx,
    call: &Call,
    before: &Before,
    made: &[Called],
    refused: Option<(bool, &Refusal)>,
    ctx: &mut Ctx,
) -> Result<(), Fault> {
    let (mut run, id): (_, Option<CustomerId>) = (call.run(Flow::Update), Some(before.customer.id));
    let at_home = Called {
        call: activity::Call::LookUpAtHome,
        ended: match refused {
            Some((false, refusal)) => (CallResult::Failed, refusal.code()),
            _ => (CallResult::Succeeded, "done"),
        },
        took_us: before.took_us,
    };
    let is_first = |called: &&Called| called.call == activity::Call::LookUpAtProvider;
    let rest = made.iter().filter(|called| !is_first(called));
    for called in made.iter().filter(is_first).chain([&at_home]).chain(rest) {
        let mut entry = Made::done(called.call).took(called.took_us).ended(called.ended.0, called.ended.1);
        if let (true, Some(link)) = (called.is_of_provider(), &before.link) {
            entry = entry.at(&link.provider);
        }
        log::activity::append(tx, &call.project, &run.called(id, entry, ctx))?;
    }
    match refused {
        Some((true, refusal)) => log::activity::append(tx, &call.project, &run.ended(id, Some(refusal), ctx)),
        _ => Ok(()),
    }
}
