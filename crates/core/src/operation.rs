//! An operation: a password that is set at an identity provider and here, as one.
//!
//! There is no transaction over two systems, so an operation is data: an *intent* that never changes and a *log* of what
//! happened since. [`next()`] reads both and says what is to be done; whoever does it records the outcome with
//! [`Operation::record`], stores it, and asks again. A process that dies in between leaves a log from which another one
//! goes on. Nothing here calls a provider, waits or stores.
//!
//! **The pivot** is the provider's step. All that can fail for a known reason comes before the operation exists: look-ups,
//! policy, version, token, limits, hashing. After the pivot it only goes forward. The rules:
//!
//! * The intent is committed, with the first attempt noted as sent, before the provider is touched. So is every repeat.
//! * *Accepted*: the outcome is committed here. *Refused*, and no earlier attempt in doubt: everything is released,
//!   nothing was changed anywhere. *Later* (throttled, not reached): not applied; it is tried again until the caller's
//!   deadline and then released, so that nothing is set after the caller was told to come back.
//! * *Unknown*, which is also the outcome of an attempt whose sender died: the probe is asked, and the same value is
//!   repeated with growing waits. From now on no refusal is believed by itself, for the attempt in doubt may have been
//!   applied: a password that is refused as used before may be so because it is the password now. It is done only if a
//!   sign-in with it succeeds there or, where none tells, the probe's value moved. It is refused only if the same
//!   evidence, taken after every attempt in doubt has reached the end of its life, says that nothing was changed.
//! * No other password is sent for this customer before that end: [`Operation::quiet_until`].
//! * When the password's seal ends without an answer the systems count as diverged, then and only then.

mod next;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use self::next::{Step, next};
use crate::activity::{Activity, Call, CallResult, Made, Run, Source};
use crate::change::PasswordSet;
use crate::credential::PasswordHash;
use crate::ctx::{Ctx, Micros};
use crate::customer::{Customer, Version};
use crate::id::{CustomerId, MessageId, OperationId, ProjectKey, TokenId};
use crate::initiator::Initiator;
use crate::message::Flow;
use crate::provider::{Capabilities, Meaning, ProbeAnswer, ProbeValue, ProviderError, ProviderLink, TrialAnswer};
use crate::trace::TraceContext;
use crate::verification::Proof;

/// By which verb a password is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The current password was given.
    Change,
    /// A reset token is redeemed.
    Reset,
    /// A trusted caller sets it without the current one.
    Set,
    /// A forgotten password is replaced by what a mail said, or by what was proved.
    Recover,
}

impl Kind {
    /// As it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Change => "change",
            Self::Reset => "reset",
            Self::Set => "set",
            Self::Recover => "recover",
        }
    }

    /// The way that messages and activity tell.
    pub fn flow(self) -> Flow {
        match self {
            Self::Change => Flow::Change,
            Self::Reset => Flow::Reset,
            Self::Set => Flow::Set,
            Self::Recover => Flow::Recover,
        }
    }
}

/// How long things may take, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    attempt_life_us: i64,
    seal_life_us: i64,
}

impl Limits {
    /// Longest life of a sealed password.
    pub const SEAL_LIFE_MAX_US: i64 = Micros::HOUR;

    /// The life of an attempt, from the note that it is sent until nothing of it can take effect any more (time-outs of
    /// proxies included, and a quarter of it for sending), and the life of the sealed password. `None`: not positive, a seal of more than an hour, or one that holds fewer than two attempts'
    /// lives, so that there is time for a repeat and for looking what became of it.
    pub fn new(attempt_life_us: i64, seal_life_us: i64) -> Option<Self> {
        let fits = attempt_life_us > 0
            && seal_life_us <= Self::SEAL_LIFE_MAX_US
            && attempt_life_us.checked_mul(2).is_some_and(|twice| twice <= seal_life_us);
        fits.then_some(Self { attempt_life_us, seal_life_us })
    }

    /// The life of an attempt.
    pub fn attempt_life_us(self) -> i64 {
        self.attempt_life_us
    }

    /// How long after its note an attempt may be handed to the network: a quarter of its life, so that a commit that took
    /// long or a process that slept does not send what counts as over.
    pub fn send_within_us(self) -> i64 {
        self.attempt_life_us / 4
    }
}

impl Default for Limits {
    /// A minute and ten minutes.
    fn default() -> Self {
        Self { attempt_life_us: Micros::MINUTE, seal_life_us: 10 * Micros::MINUTE }
    }
}

/// What is to be done, and what must be known to go on with it. Never changes.
#[derive(Clone, Serialize, Deserialize)]
pub struct Intent {
    /// By which verb.
    pub kind: Kind,
    /// Who asked.
    pub by: Initiator,
    /// From where.
    #[serde(default, skip_serializing_if = "Source::is_empty")]
    pub source: Source,
    /// The activity entry that began it. `None`: none is known yet, or it was begun before they had parents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_entry: Option<MessageId>,
    /// The trace of the request, so that whoever goes on with it goes on in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceContext>,
    /// Which user at which provider.
    pub link: ProviderLink,
    /// What that provider is able to do.
    pub capabilities: Capabilities,
    /// The probe's value from the look-up just before. `None`: there is none, or it was not read.
    pub before: Option<ProbeValue>,
    /// The version that the caller named: checked when the intent was committed, and told on. What moves the version
    /// afterwards does not stop the operation.
    pub version: Option<Version>,
    /// The reset token that is reserved for it.
    pub token: Option<TokenId>,
    /// The verification processes that are reserved for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proofs: Vec<Proof>,
    /// When the caller is answered, known or not.
    pub answer_by: Micros,
    /// How long things may take.
    pub limits: Limits,
}

/// One thing that happened, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When it was known; of a look at the provider, when it began, for it may see no more than what was there then.
    pub at: Micros,
    /// What.
    pub event: Event,
}

/// What can happen to an operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The password is about to be sent: committed before it is, so that nobody takes for unsent what may be on its way.
    Sent,
    /// The provider took it.
    Accepted,
    /// The provider did not, or not knowably.
    NotAccepted(ProviderError),
    /// The probe was asked.
    Probed(ProbeAnswer),
    /// A sign-in with the new password was tried.
    Tried(TrialAnswer),
    /// Done here, at this version of the customer.
    Committed(Version),
    /// The customer was no longer here when it should have been done.
    CustomerGone,
    /// Nothing was changed anywhere, for this reason.
    Released(Why),
    /// Nobody knows the provider's password.
    Diverged,
    /// The sessions at the provider were ended, or that failed.
    SessionsEnded(Option<ProviderError>),
    /// An operator or a later change of the password ended a divergence.
    Resolved,
}

/// Why nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The provider said so.
    Refused(ProviderError),
    /// The provider was not reached, or had too much to do, until the caller's deadline or for as long as could be tried.
    Unreachable {
        /// Not worth another try before.
        not_before: Option<Micros>,
    },
    /// The process that had the password died before it came to anything, and it was not kept.
    Interrupted,
}

impl Why {
    /// Stable code for activity rows and logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused(error) => error.code(),
            Self::Unreachable { .. } => "provider_unreachable",
            Self::Interrupted => "interrupted",
        }
    }
}

/// How an operation stands. Stored, and the condition of the open slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Holds the customer's only slot.
    Open,
    /// Done, except that sessions at the provider are still to be ended. Holds nothing.
    Closing,
    /// Done.
    Committed,
    /// Nothing was changed.
    Released,
    /// The customer was deleted meanwhile.
    Gone,
    /// Nobody knows: operators are told, the customer must recover.
    Diverged,
    /// Was diverged.
    Resolved,
}

impl State {
    /// Stored form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closing => "closing",
            Self::Committed => "committed",
            Self::Released => "released",
            Self::Gone => "gone",
            Self::Diverged => "diverged",
            Self::Resolved => "resolved",
        }
    }
}

/// What can be told to whoever asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The password is set, at this version of the customer.
    Done(Version),
    /// Nothing was changed.
    Refused(Why),
    /// The customer was deleted meanwhile.
    Gone,
    /// Not known yet, or not to be found out.
    NotKnown,
}

/// An operation as it stands.
#[derive(Clone)]
pub struct Operation {
    /// Its id.
    pub id: OperationId,
    /// Whose customer.
    pub project: ProjectKey,
    /// Whose password.
    pub customer: CustomerId,
    /// When the intent was committed.
    pub began_at: Micros,
    /// What is to be done.
    pub intent: Intent,
    /// What happened since, in order.
    pub log: Vec<Entry>,
    /// The hash that is stored when it is done. `None`: none is kept here.
    pub hash: Option<PasswordHash>,
    /// Whether the password can still be had: sealed in the store, or in the memory of the process that asks.
    pub password_at_hand: bool,
    /// Moves with everything that is stored of it, and when another process takes it over.
    pub revision: i64,
}

impl Operation {
    /// Longest log. Waits grow to a minute and a seal lives an hour at most, so none comes near it.
    pub const LOG_MAX: usize = 1000;

    /// An operation whose intent is about to be committed, and its first attempt to be sent right after that commit.
    pub fn begin(
        (project, customer): (&ProjectKey, CustomerId),
        intent: Intent,
        hash: Option<PasswordHash>,
        ctx: &mut Ctx,
    ) -> Self {
        let intent = Intent { first_entry: Some(MessageId::new(ctx)), ..intent };
        Self {
            id: OperationId::new(ctx),
            project: project.clone(),
            customer,
            began_at: ctx.now,
            intent,
            log: vec![Entry { at: ctx.now, event: Event::Sent }],
            hash,
            password_at_hand: true,
            revision: 1,
        }
    }

    /// When the sealed password ends: nothing is sent after that.
    pub fn expires_at(&self) -> Micros {
        self.began_at.plus(self.intent.limits.seal_life_us)
    }

    /// Until when the attempt that was noted last may be handed to the network. `None`: none is noted.
    pub fn send_before(&self) -> Option<Micros> {
        let sent = self.log.iter().rev().find(|entry| entry.event == Event::Sent)?;
        Some(sent.at.plus(self.intent.limits.send_within_us()))
    }

    /// How it stands.
    pub fn state(&self) -> State {
        let ended = self.log.iter().rev().find_map(|entry| match entry.event {
            Event::Committed(_) if next::sessions(self).is_some() => Some(State::Closing),
            Event::Committed(_) => Some(State::Committed),
            Event::CustomerGone => Some(State::Gone),
            Event::Released(_) => Some(State::Released),
            Event::Diverged => Some(State::Diverged),
            Event::Resolved => Some(State::Resolved),
            _ => None,
        });
        ended.unwrap_or(State::Open)
    }

    /// What can be told of it.
    pub fn outcome(&self) -> Outcome {
        let told = self.log.iter().find_map(|entry| match &entry.event {
            Event::Committed(version) => Some(Outcome::Done(*version)),
            Event::CustomerGone => Some(Outcome::Gone),
            Event::Released(why) => Some(Outcome::Refused(why.clone())),
            _ => None,
        });
        told.unwrap_or(Outcome::NotKnown)
    }

    /// Until when an attempt of this operation may still take effect at the provider although nobody knows of it: no
    /// other password may be sent there before. In the past if every attempt was answered.
    pub fn quiet_until(&self) -> Micros {
        next::doubt_until(self).unwrap_or(self.began_at)
    }

    /// Notes what happened. What cannot happen any more is left out, so that every step can be repeated: an answer to
    /// no attempt, anything after the end but what follows the end.
    ///
    /// `at` is the time at which it was known. Of [`Event::Probed`] and [`Event::Tried`] it is the time at which the call
    /// began: an answer that took long says nothing about what arrived at the provider meanwhile.
    #[must_use]
    pub fn record(&self, event: Event, at: Micros) -> Self {
        let fits = match (self.state(), &event) {
            (State::Open, Event::Accepted | Event::NotAccepted(_)) => {
                let sends =
                    |entry: &&Entry| matches!(entry.event, Event::Sent | Event::Accepted | Event::NotAccepted(_));
                self.log.iter().rev().find(sends).is_some_and(|last| last.event == Event::Sent)
            }
            (State::Open, event) => !matches!(event, Event::SessionsEnded(_) | Event::Resolved),
            (State::Closing, event) => matches!(event, Event::SessionsEnded(_)),
            (State::Diverged, event) => *event == Event::Resolved,
            (State::Committed | State::Released | State::Gone | State::Resolved, _) => false,
        };
        let mut noted = self.clone();
        if fits && noted.log.len() < Self::LOG_MAX {
            // Clocks of two nodes differ: the log's order is what happened, its times never go back.
            let at = self.log.last().map_or(at, |last| last.at.max(at));
            noted.log.push(Entry { at, event });
        }
        noted
    }

    /// What the accepted password changes here, decided on the locked customer, whatever its version is by now.
    pub fn commit(&self, customer: &Customer, ctx: &mut Ctx) -> PasswordSet {
        PasswordSet::new(customer, self.hash.clone(), self.intent.kind.flow(), &self.intent.by, ctx)
    }

    /// The activity that the look-ups before the operation leave, in the transaction of the intent: at the provider, then
    /// here. The first one is the parent of all that follow.
    pub fn looked_up(&self, [at_provider_us, at_home_us]: [i64; 2], ctx: &mut Ctx) -> [Activity; 2] {
        let done = (CallResult::Succeeded, "done");
        let mut first = self.activity(Some(Call::LookUpAtProvider), done, Some(at_provider_us), ctx);
        first.facts.parent = None;
        if let Some(id) = self.intent.first_entry {
            first.id = id;
        }
        [first, self.activity(Some(Call::LookUpAtHome), done, Some(at_home_us), ctx)]
    }

    /// The activity that an event leaves: one entry per call, however it ended, and one for a divergence.
    pub fn activity_of(&self, event: &Event, took_us: Option<i64>, ctx: &mut Ctx) -> Option<Activity> {
        let done = (CallResult::Succeeded, "done");
        let (call, ended) = match event {
            Event::Sent | Event::Released(_) => return None,
            Event::Accepted => (Some(Call::SetAtProvider), done),
            Event::NotAccepted(error) => (Some(Call::SetAtProvider), ended_by(error)),
            Event::Probed(ProbeAnswer::Value(_)) => (Some(Call::LookUpAtProvider), done),
            Event::Probed(ProbeAnswer::UserGone) => {
                (Some(Call::LookUpAtProvider), ended_by(&ProviderError::UserNotFound))
            }
            Event::Probed(ProbeAnswer::Failed(error)) => (Some(Call::LookUpAtProvider), read_failed(error)),
            Event::Tried(TrialAnswer::SignedIn) => (Some(Call::SignInAtProvider), done),
            Event::Tried(TrialAnswer::Wrong) => {
                (Some(Call::SignInAtProvider), (CallResult::Refused, "credentials_wrong"))
            }
            Event::Tried(TrialAnswer::CannotTell) => {
                (Some(Call::SignInAtProvider), ended_by(&ProviderError::NeedsInteraction))
            }
            Event::Tried(TrialAnswer::Failed(error)) => (Some(Call::SignInAtProvider), read_failed(error)),
            Event::Committed(_) => (Some(Call::SetAtHome), done),
            Event::CustomerGone => (Some(Call::SetAtHome), (CallResult::Failed, "customer_not_found")),
            Event::Diverged => (None, (CallResult::Unknown, "diverged")),
            Event::Resolved => (None, (CallResult::Succeeded, "resolved")),
            Event::SessionsEnded(None) => (Some(Call::EndSessionsAtProvider), done),
            Event::SessionsEnded(Some(error)) => (Some(Call::EndSessionsAtProvider), ended_by(error)),
        };
        Some(self.activity(call, ended, took_us, ctx))
    }

    fn activity(&self, call: Option<Call>, ended: (CallResult, &str), took_us: Option<i64>, ctx: &mut Ctx) -> Activity {
        let Intent { kind, by, source, first_entry, link, .. } = &self.intent;
        let made = Made { call, ended, took_us, provider: Some(&link.provider), operation: Some(self.id) };
        Run::new(kind.flow(), by, source).after(*first_entry).called(Some(self.customer), made, ctx)
    }
}

/// How a call ended that may have changed something.
fn ended_by(error: &ProviderError) -> (CallResult, &'static str) {
    let result = match error.meaning() {
        Meaning::Refused => CallResult::Refused,
        Meaning::Later(_) => CallResult::Failed,
        Meaning::Unknown => CallResult::Unknown,
    };
    (result, error.code())
}

/// The same of a call that changes nothing.
fn read_failed(error: &ProviderError) -> (CallResult, &'static str) {
    (CallResult::Failed, error.code())
}

/// How a look-up at the provider ended, for its activity.
pub fn look_up_ended(error: &ProviderError) -> (CallResult, &'static str) {
    match error {
        ProviderError::UserNotFound => ended_by(error),
        _ => read_failed(error),
    }
}
