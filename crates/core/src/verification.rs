//! Processes in which somebody proves an e-mail address or a mobile number by a code (paysafe.md 3).
//!
//! A process belongs to one [`Attribute`], and the newest one of an attribute is the only one that counts: what all of them
//! share is its [`History`]. Nothing here knows whether the attribute is a customer's: so unknown ones are counted, limited
//! and answered like any other.
//!
//! A code is short, so it is worth guessing. [`Process::count`] is to be committed before the code is compared, and what
//! that said is [concluded](Process::conclude) afterwards: two steps, between which anything may happen.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::ctx::{Ctx, Micros};
use crate::customer::{Customer, Mobile};
use crate::id::{CustomerId, OperationId, ProjectKey, TokenId, VerificationId};
use crate::initiator::Initiator;
use crate::mail::{Channel, Recipient};
use crate::message::{Content, Flow, ForMail, NewMessage};
use crate::seal::{KeyRing, SealError};
use crate::secret::TokenValue;

/// What can be proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Kind {
    /// An e-mail address.
    Email,
    /// A mobile number.
    Mobile,
}

impl Kind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Email, Self::Mobile];

    /// The contract's name, and the stored form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Email => "EMAIL",
            Self::Mobile => "MOBILE",
        }
    }

    /// By which way a code goes there.
    pub fn channel(self) -> Channel {
        match self {
            Self::Email => Channel::Email,
            Self::Mobile => Channel::Sms,
        }
    }
}

impl std::str::FromStr for Kind {
    type Err = crate::id::NotAnId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(crate::id::NotAnId)
    }
}

/// An address or a number in the form in which it is compared. No `Debug`: it is personal.
#[derive(Clone, PartialEq, Eq)]
pub struct Attribute {
    /// What it is.
    pub kind: Kind,
    value: String,
}

impl Attribute {
    /// Longest e-mail address in bytes (paysafe.md 6.1).
    pub const EMAIL_BYTES_MAX: usize = 150;

    /// Puts what somebody typed into that form (paysafe.md 3.8). `None`: it is no such thing.
    pub fn parse(kind: Kind, typed: &str) -> Option<Self> {
        let value = match kind {
            Kind::Email => canonical_email(typed)?,
            Kind::Mobile => typed.parse::<Mobile>().ok()?.as_str().to_owned(),
        };
        Some(Self { kind, value })
    }

    /// The canonical text.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// A customer's own address, in canonical form as far as it has one.
    pub fn canonical_email(customer: &Customer) -> String {
        let folded = || crate::customer::fold_email(customer.email.trim());
        canonical_email(&customer.email).unwrap_or_else(folded)
    }

    /// Whether it is this customer's.
    pub fn is_of(&self, customer: &Customer) -> bool {
        match self.kind {
            Kind::Email => Self::parse(Kind::Email, &customer.email).is_some_and(|own| own == *self),
            Kind::Mobile => customer.mobile.as_ref().is_some_and(|own| own.as_str() == self.value),
        }
    }

    /// What may be shown of it: `jo***@example.com`, `***63` (paysafe.md 2.6).
    pub fn masked(&self) -> String {
        let (local, domain) = match self.kind {
            Kind::Email => self.value.rsplit_once('@').unwrap_or((&self.value, "")),
            Kind::Mobile => {
                let kept: String = self.value.chars().skip(self.value.len().saturating_sub(2)).collect();
                return format!("***{kept}");
            }
        };
        let shown = if local.chars().count() < 3 { 1 } else { 2 };
        format!("{}***@{domain}", local.chars().take(shown).collect::<String>())
    }

    /// What it is found by where it must not be readable. After the first key of the ring has changed it is another one:
    /// what is counted by it begins anew, once per rotation.
    pub fn digest(&self, ring: &KeyRing, project: &ProjectKey) -> Result<Vec<u8>, SealError> {
        ring.mac(&format!("attribute in {project}"), &self.plain())
    }

    /// Whether a digest is this attribute's, whichever key it was made with.
    pub fn has_digest(&self, ring: &KeyRing, project: &ProjectKey, digest: &[u8]) -> Result<bool, SealError> {
        ring.is_mac_of(digest, &format!("attribute in {project}"), &self.plain())
    }

    fn plain(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(format!("{} {}", self.kind.as_str(), self.value).into_bytes())
    }
}

/// One `@` with something on both sides, nothing that is invisible. Whether it exists, a code will show.
fn canonical_email(typed: &str) -> Option<String> {
    let trimmed = typed.trim_matches(|c: char| c.is_ascii_whitespace());
    if trimmed.len() > Attribute::EMAIL_BYTES_MAX {
        return None;
    }
    let value = crate::customer::fold_email(&crate::customer::composed(trimmed));
    let (local, domain) = value.split_once('@')?;
    let is_plain = !value.chars().any(|c| c.is_whitespace() || c.is_control());
    (is_plain && !local.is_empty() && !domain.is_empty() && !domain.contains('@')).then_some(value)
}

/// What somebody says to have proved, by which process. No `Debug`: it is personal.
#[derive(Clone, PartialEq, Eq)]
pub struct Claim {
    /// What.
    pub attribute: Attribute,
    /// By which process.
    pub id: VerificationId,
}

/// A process whose proof is used, without what it proved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Its id.
    pub id: VerificationId,
    /// What was proved.
    pub kind: Kind,
    /// When.
    pub verified_at: Micros,
}

/// What an attribute is proved for. A proof for one thing is none for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// To become a customer.
    WalletSetup,
    /// To change what is known of a customer.
    WalletUpdate,
    /// To replace a forgotten password.
    PasswordReset,
}

impl Purpose {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::WalletSetup, Self::WalletUpdate, Self::PasswordReset];

    /// The contract's `flow`, and the stored form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WalletSetup => "WALLET_SETUP",
            Self::WalletUpdate => "WALLET_UPDATE",
            Self::PasswordReset => "PASSWORD_RESET",
        }
    }
}

impl std::str::FromStr for Purpose {
    type Err = crate::id::NotAnId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|purpose| purpose.as_str() == text).ok_or(crate::id::NotAnId)
    }
}

/// The numbers of paysafe.md 3.7. Times are in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Digits of a code.
    pub code_digits: u32,
    /// How long a code can be tried.
    pub code_life: i64,
    /// How often one can be tried.
    pub attempts: u32,
    /// Processes of one attribute within the window.
    pub processes: u32,
    /// How long a process counts.
    pub window: i64,
    /// How long an attribute rests that has had too many.
    pub cooldown: i64,
    /// The least time between two messages that we send to one attribute. 0: none.
    pub resend_interval: i64,
    /// How long a proof can be used.
    pub valid_for: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            code_digits: 6,
            code_life: 10 * Micros::MINUTE,
            attempts: 3,
            processes: 5,
            window: Micros::HOUR,
            cooldown: 30 * Micros::MINUTE,
            resend_interval: 30 * Micros::SECOND,
            valid_for: 15 * Micros::MINUTE,
        }
    }
}

/// What is remembered of an attribute, over all its processes and purposes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// When the processes began that count; the oldest first, never more than are allowed.
    pub begun_at: Vec<Micros>,
    /// Until when none can begin.
    pub rests_until: Option<Micros>,
    /// The newest process: the only one that is not superseded.
    pub newest: Option<VerificationId>,
    /// When the last message left that carried a code.
    pub told_at: Option<Micros>,
}

/// The attribute has had too many processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resting {
    /// Until when.
    pub until: Micros,
}

/// What beginning a process brings about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    /// The process.
    pub process: Process,
    /// How many count now, this one included.
    pub processes: u32,
    /// When its message is to leave: now, or after the last one's interval.
    pub tell_at: Micros,
}

impl History {
    /// Begins a process, also in place of one that is still active. A refusal changes the history too: it begins the rest,
    /// which further refusals do not prolong.
    pub fn begin(&mut self, kind: Kind, purpose: Purpose, limits: &Limits, ctx: &mut Ctx) -> Result<Begun, Resting> {
        match self.rests_until {
            Some(until) if until > ctx.now => return Err(Resting { until }),
            Some(_) => {
                self.rests_until = None;
                self.begun_at.clear();
            }
            None => {}
        }
        self.begun_at.retain(|begun_at| begun_at.plus(limits.window) > ctx.now);
        let counted = u32::try_from(self.begun_at.len()).unwrap_or(u32::MAX);
        if counted >= limits.processes {
            let until = ctx.now.plus(limits.cooldown);
            self.rests_until = Some(until);
            return Err(Resting { until });
        }
        let process = Process {
            id: VerificationId::new(ctx),
            kind,
            purpose,
            created_at: ctx.now,
            expires_at: ctx.now.plus(limits.code_life),
            attempts: 0,
            attempts_max: limits.attempts,
            verified_at: None,
            consumed_at: None,
            reserved_by: None,
        };
        self.begun_at.push(ctx.now);
        self.newest = Some(process.id);
        let tell_at = self.told_at.map_or(ctx.now, |told_at| told_at.plus(limits.resend_interval).max(ctx.now));
        if tell_at == ctx.now {
            self.told_at = Some(ctx.now);
        }
        Ok(Begun { process, processes: counted + 1, tell_at })
    }

    /// From when on it says no more than no history would.
    pub fn forgotten_at(&self, limits: &Limits) -> Micros {
        // The newest process must be told from older ones for as long as any of them can be used.
        let usable = limits.code_life.saturating_add(limits.valid_for);
        let last = self.begun_at.last().map(|last| last.plus(limits.window.max(usable)));
        last.max(self.rests_until).max(self.told_at.map(|told| told.plus(limits.resend_interval))).unwrap_or_default()
    }
}

/// One process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub id: VerificationId,
    /// What is proved.
    pub kind: Kind,
    /// What for.
    pub purpose: Purpose,
    /// When it began.
    pub created_at: Micros,
    /// When its code ends.
    pub expires_at: Micros,
    /// How often its code was tried.
    pub attempts: u32,
    /// How often it can be tried.
    pub attempts_max: u32,
    /// When an attempt was right.
    pub verified_at: Option<Micros>,
    /// When the proof was used.
    pub consumed_at: Option<Micros>,
    /// The operation that is about to use it: nobody else can.
    pub reserved_by: Option<OperationId>,
}

/// How a process stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its code can be tried.
    Active,
    /// An attempt was right. The proof can be used for a while.
    Verified,
    /// The proof was used.
    Consumed,
    /// It was tried too often.
    Exhausted,
    /// Nobody was right in time.
    Expired,
    /// A newer one took its place.
    Superseded,
}

/// An attempt on a process that takes none. It was not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotActive(pub State);

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempted {
    /// It was right.
    Verified,
    /// It was wrong.
    Wrong,
    /// It was wrong, and the last one.
    WrongAtLast,
}

impl Process {
    /// How it stands, as `newest` is the newest process of its attribute.
    pub fn state(&self, newest: Option<VerificationId>, now: Micros) -> State {
        if self.consumed_at.is_some() {
            State::Consumed
        } else if newest != Some(self.id) {
            State::Superseded
        } else if self.verified_at.is_some() {
            State::Verified
        } else if self.attempts >= self.attempts_max {
            State::Exhausted
        } else if now >= self.expires_at {
            State::Expired
        } else {
            State::Active
        }
    }

    /// Counts an attempt, before its code is compared with anything.
    pub fn count(&mut self, newest: Option<VerificationId>, now: Micros) -> Result<(), NotActive> {
        match self.state(newest, now) {
            State::Active => {
                self.attempts += 1;
                Ok(())
            }
            state => Err(NotActive(state)),
        }
    }

    /// Ends attempt number `attempt`, which was counted at `at` and whose code is right or not. Meanwhile another attempt
    /// may have been right, which takes nothing from this one, or a newer process may have begun, which does.
    pub fn conclude(
        &mut self,
        newest: Option<VerificationId>,
        attempt: u32,
        is_right: bool,
        at: Micros,
    ) -> Result<Attempted, NotActive> {
        if !is_right {
            return Ok(if attempt >= self.attempts_max { Attempted::WrongAtLast } else { Attempted::Wrong });
        }
        match self.state(newest, at) {
            state @ (State::Superseded | State::Consumed) => Err(NotActive(state)),
            State::Verified => Ok(Attempted::Verified),
            State::Active | State::Exhausted | State::Expired => {
                self.verified_at = Some(at);
                Ok(Attempted::Verified)
            }
        }
    }

    /// The proof of an attribute of this kind for this purpose, if it is one now.
    pub fn proof(
        &self,
        newest: Option<VerificationId>,
        (kind, purpose): (Kind, Purpose),
        limits: &Limits,
        now: Micros,
    ) -> Option<Proof> {
        let verified_at = self.verified_at.filter(|at| now < at.plus(limits.valid_for))?;
        let holds = self.state(newest, now) == State::Verified && self.kind == kind && self.purpose == purpose;
        holds.then_some(Proof { id: self.id, kind, verified_at })
    }

    /// Uses the proof up.
    pub fn consume(&mut self, now: Micros) {
        self.consumed_at = Some(now);
        self.reserved_by = None;
    }

    /// From when on nothing can be done with it any more.
    pub fn over_at(&self, limits: &Limits) -> Micros {
        self.expires_at.plus(limits.valid_for)
    }
}

/// The message by which a code is sent, to whom the attribute is. `lane`: the customer whose it is, or that of the process.
pub fn code_message(
    process: &Process,
    (attribute, customer): (&Attribute, Option<&Customer>),
    lane: CustomerId,
    code: TokenValue,
    by: &Initiator,
    ctx: &mut Ctx,
) -> NewMessage {
    let channel = process.kind.channel();
    let mut to = customer.map(Recipient::of).unwrap_or_default();
    match channel {
        // A customer's address as it was typed by its owner, not as somebody has typed it just now; and nothing besides.
        Channel::Email => {
            to.mobile = None;
            if !customer.is_some_and(|customer| attribute.is_of(customer)) {
                attribute.value().clone_into(&mut to.email);
            }
        }
        Channel::Sms => {
            to.email.clear();
            to.mobile = Some(attribute.value().to_owned());
        }
    }
    let expires_at = process.expires_at;
    let content = Content::VerificationCodeCreated { expires_at, channel };
    let flow = if process.purpose == Purpose::PasswordReset { Flow::Recover } else { Flow::CreateEmailToken };
    let message = NewMessage::about_token(TokenId::new(ctx), lane, content, flow, by, ctx);
    let mut message = message.in_stores(customer.map_or(&[], |customer| &customer.stores));
    message.for_mail = Some(ForMail { to, secret: Some((code, expires_at)), page: None });
    message
}

/// The code of a process.
pub struct Code;

impl Code {
    /// Fewest and most digits.
    pub const DIGITS: std::ops::RangeInclusive<u32> = 6..=10;

    /// A new one: each is as likely as any other.
    pub fn make(digits: u32, ctx: &mut Ctx) -> TokenValue {
        let codes = 10_u64.pow(digits.clamp(*Self::DIGITS.start(), *Self::DIGITS.end()));
        // What is above the last multiple would favour the small ones.
        let whole = u64::MAX - u64::MAX % codes;
        let number = loop {
            let number = ctx.number();
            if number < whole {
                break number % codes;
            }
        };
        TokenValue::from_sealed(format!("{number:0width$}", width = usize::try_from(digits).unwrap_or(6)))
    }

    /// What stands in the place of a code that nobody has been told: nothing that can be typed is it.
    pub fn of_nobody(ctx: &mut Ctx) -> TokenValue {
        TokenValue::new(ctx)
    }

    /// What somebody typed, without what people put between digits.
    pub fn typed(text: &str) -> Zeroizing<String> {
        Zeroizing::new(text.chars().filter(|c| *c != ' ' && *c != '-').collect())
    }

    /// What is stored of it: HMAC-SHA256 under the ring of process and code.
    pub fn mac(ring: &KeyRing, id: VerificationId, code: &TokenValue) -> Result<Vec<u8>, SealError> {
        code.reveal_with(|code| ring.mac(Self::BOUND_TO, &Self::plain(id, code)))
    }

    /// Whether it is the one that was stored. Takes the same time whatever differs.
    pub fn is(ring: &KeyRing, mac: &[u8], id: VerificationId, typed: &str) -> Result<bool, SealError> {
        ring.is_mac_of(mac, Self::BOUND_TO, &Self::plain(id, typed))
    }

    const BOUND_TO: &'static str = "code of a verification";

    fn plain(id: VerificationId, code: &str) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(format!("{id}.{code}").into_bytes())
    }
}

#[cfg(test)]
mod tests;
