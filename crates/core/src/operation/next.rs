//! What is to be done next with an operation: a pure function of its intent, its log and the time.

use super::{Entry, Event, Operation, State, Why};
use crate::ctx::Micros;
use crate::provider::{Meaning, Probe, ProbeAnswer, ProviderError, SessionEnding, TrialAnswer};

/// Wait before the first repeat, in microseconds. It doubles with each.
const WAIT_FIRST: i64 = Micros::SECOND;
/// Longest wait between two repeats.
const WAIT_MAX: i64 = Micros::MINUTE;
/// How often the probe is asked when the seal has ended, before the systems count as diverged.
const LAST_PROBES: usize = 3;
/// How often the ending of sessions is tried.
const SESSION_TRIES: usize = 8;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Record [`Event::Sent`] and store it; then send the password; then record the answer.
    SetPassword,
    /// Look the user up at the provider for the probe's value.
    Probe,
    /// Try to sign in at the provider with the new password.
    TrySignIn,
    /// Write the outcome here, in one transaction.
    Commit,
    /// End it with nothing changed: the token is free again.
    Release(Why),
    /// End it as diverged: tell operators.
    Diverge,
    /// End the user's sessions at the provider. The caller is not kept waiting for it.
    EndSessions,
    /// Nothing before this time.
    Wait(Micros),
    /// Nothing any more.
    Done,
}

/// What is to be done next with `operation`.
///
/// An attempt in the log without an answer counts as unknown: whoever has just recorded [`Event::Sent`] sends, and asks
/// again with the answer recorded.
pub fn next(operation: &Operation, now: Micros) -> Step {
    match operation.state() {
        State::Open => Standing::of(operation, now).step(),
        State::Closing => match sessions(operation) {
            Some(at) if now < at => Step::Wait(at),
            Some(_) => Step::EndSessions,
            None => Step::Done,
        },
        State::Committed | State::Released | State::Gone | State::Diverged | State::Resolved => Step::Done,
    }
}

/// When the sessions at the provider are to be ended after the commit. `None`: not, or not any more.
pub(super) fn sessions(operation: &Operation) -> Option<Micros> {
    if operation.intent.capabilities.sessions != SessionEnding::ByStep {
        return None;
    }
    let tries = operation.log.iter().filter(|entry| matches!(entry.event, Event::SessionsEnded(_))).count();
    let last = operation.log.last()?;
    match &last.event {
        Event::Committed(_) => Some(last.at),
        Event::SessionsEnded(Some(error)) if tries < SESSION_TRIES => match error.meaning() {
            Meaning::Refused => None,
            Meaning::Later(not_before) => Some(last.at.plus(wait(tries)).max(not_before.unwrap_or(last.at))),
            Meaning::Unknown => Some(last.at.plus(wait(tries))),
        },
        _ => None,
    }
}

/// The end of the life of the last attempt of which nobody knows whether it was applied. `None`: there is none.
pub(super) fn doubt_until(operation: &Operation) -> Option<Micros> {
    Standing::of(operation, operation.began_at).doubt_until
}

/// The wait after `count` tries.
fn wait(count: usize) -> i64 {
    let doublings = u32::try_from(count.saturating_sub(1)).unwrap_or(u32::MAX).min(16);
    WAIT_FIRST.saturating_mul(1 << doublings).min(WAIT_MAX)
}

/// How the last attempt stands.
#[derive(Clone, Copy)]
enum Last<'a> {
    NotSent,
    /// No answer is known: lost, or never heard because the sender died.
    Unknown,
    Accepted,
    /// Surely not applied by this attempt.
    Later(Option<Micros>),
    /// The same.
    Refused(&'a ProviderError),
}

/// What looking says about whether the password was set.
enum Evidence {
    /// It was.
    Yes,
    /// It was not, so far.
    No,
    /// The user is not there any more.
    UserGone,
    /// Something is still to be asked.
    Ask(Step),
    /// What was asked gave no answer: ask again later.
    Failed,
    /// Nothing that can be asked tells.
    Nothing,
}

/// What the log comes to.
struct Standing<'a> {
    operation: &'a Operation,
    now: Micros,
    attempts: usize,
    last: Last<'a>,
    /// When that was known.
    last_at: Micros,
    doubt_until: Option<Micros>,
    /// What was looked at since.
    looks: &'a [Entry],
}

impl<'a> Standing<'a> {
    fn of(operation: &'a Operation, now: Micros) -> Self {
        let mut standing = Self {
            operation,
            now,
            attempts: 0,
            last: Last::NotSent,
            last_at: operation.began_at,
            doubt_until: None,
            looks: &operation.log,
        };
        let mut in_flight = None;
        for (place, entry) in operation.log.iter().enumerate() {
            let last = match &entry.event {
                Event::Sent => {
                    standing.doubt(in_flight.replace(entry.at));
                    standing.attempts += 1;
                    Last::Unknown
                }
                Event::Accepted => {
                    in_flight = None;
                    Last::Accepted
                }
                Event::NotAccepted(error) => match (error.meaning(), in_flight.take()) {
                    (Meaning::Unknown, sent) => {
                        standing.doubt(sent);
                        Last::Unknown
                    }
                    (Meaning::Later(not_before), _) => Last::Later(not_before),
                    (Meaning::Refused, _) => Last::Refused(error),
                },
                _ => continue,
            };
            standing.last = last;
            standing.last_at = entry.at;
            standing.looks = operation.log.get(place + 1..).unwrap_or_default();
        }
        standing.doubt(in_flight);
        standing
    }

    /// An attempt sent at this time may be applied, now or until its life ends.
    fn doubt(&mut self, sent: Option<Micros>) {
        let life = self.operation.intent.limits.attempt_life_us;
        self.doubt_until = self.doubt_until.max(sent.map(|sent| sent.plus(life)));
    }

    fn step(&self) -> Step {
        match (self.last, self.doubt_until) {
            // A repeat that was taken settles the earlier attempts too: they carry the same value.
            (Last::Accepted, _) => Step::Commit,
            (_, Some(until)) => self.doubtful(until),
            (Last::Refused(error), None) => Step::Release(Why::Refused(error.clone())),
            (Last::NotSent | Last::Unknown, None) => self.untouched(None),
            (Last::Later(not_before), None) => self.untouched(not_before),
        }
    }

    /// Surely nothing was applied: try, but not past the caller's deadline.
    fn untouched(&self, not_before: Option<Micros>) -> Step {
        if !self.operation.password_at_hand {
            return Step::Release(Why::Interrupted);
        }
        let at = self.repeat_at(not_before);
        if at.max(self.now) >= self.operation.intent.answer_by || !self.may_send(at.max(self.now)) {
            Step::Release(Why::Unreachable { not_before })
        } else if self.now < at {
            Step::Wait(at)
        } else {
            Step::SetPassword
        }
    }

    /// Some attempt may have been applied.
    fn doubtful(&self, until: Micros) -> Step {
        let expires_at = self.operation.expires_at();
        if self.now >= expires_at {
            return self.overdue();
        }
        let repeat_at = match self.last {
            Last::Later(not_before) => self.repeat_at(not_before),
            _ => self.repeat_at(None),
        };
        let may_repeat = self.may_send(repeat_at.max(self.now));
        if may_repeat && !matches!(self.last, Last::Refused(_)) {
            return match self.evidence(Micros(i64::MIN), false) {
                Evidence::Yes => Step::Commit,
                Evidence::UserGone => Step::Release(Why::Refused(ProviderError::UserNotFound)),
                Evidence::Ask(step) => step,
                Evidence::No | Evidence::Failed | Evidence::Nothing => self.repeat(repeat_at),
            };
        }
        // A refusal of a repeat, or no repeat is possible any more: what is seen decides, once no attempt can still
        // take effect.
        let from = if self.now < until { Micros(i64::MIN) } else { until };
        match self.evidence(from, true) {
            Evidence::Yes => Step::Commit,
            Evidence::UserGone => Step::Release(Why::Refused(ProviderError::UserNotFound)),
            Evidence::Ask(step) => step,
            Evidence::No if self.now >= until => Step::Release(self.why()),
            Evidence::No => Step::Wait(until),
            Evidence::Failed => self.look_again(expires_at),
            Evidence::Nothing if may_repeat => self.repeat(repeat_at),
            Evidence::Nothing => Step::Wait(expires_at),
        }
    }

    /// The seal has ended: nothing can be sent or tried any more, but the probe needs no password.
    fn overdue(&self) -> Step {
        let expires_at = self.operation.expires_at();
        let capable = self.probe();
        let asked = self.looks_from(expires_at).filter(|look| matches!(look.event, Event::Probed(_))).count();
        // A sign-in that failed contradicts a value that moved: somebody else set a third password.
        let contradicted = self.looks_from(Micros(i64::MIN)).any(|look| look.event == Event::Tried(TrialAnswer::Wrong));
        match (capable, self.moved(expires_at)) {
            (Probe::Password, Some(Ok(true))) if !contradicted => Step::Commit,
            (Probe::None, _) | (_, Some(Ok(true))) => Step::Diverge,
            (_, Some(Ok(false))) => Step::Release(self.why()),
            (_, Some(Err(Unseen::UserGone))) => Step::Release(Why::Refused(ProviderError::UserNotFound)),
            (_, Some(Err(Unseen::Failed))) if asked >= LAST_PROBES => Step::Diverge,
            // The waits begin anew: whoever is to be told of a divergence has waited long enough.
            (_, Some(Err(Unseen::Failed))) => self.look_at(self.last_look_at().plus(wait(asked + 1))),
            (_, None) => Step::Probe,
        }
    }

    /// What is seen of the password at the provider, by looks since the last attempt, none of them before `from`.
    ///
    /// The probe is asked first: it costs nothing. That it moved is confirmed by a sign-in where one can be tried;
    /// that it stands still is too, if `thorough`.
    fn evidence(&self, from: Micros, thorough: bool) -> Evidence {
        let try_possible = self.operation.intent.capabilities.trial_sign_in && self.operation.password_at_hand;
        if self.probe() == Probe::None {
            return match self.tried(from, false) {
                _ if !try_possible => Evidence::Nothing,
                None => Evidence::Ask(Step::TrySignIn),
                Some(TrialAnswer::SignedIn) => Evidence::Yes,
                Some(TrialAnswer::Wrong) => Evidence::No,
                Some(TrialAnswer::CannotTell) => Evidence::Nothing,
                Some(TrialAnswer::Failed(_)) => self.again(Step::TrySignIn),
            };
        }
        let moved = match self.moved(from) {
            None => return Evidence::Ask(Step::Probe),
            Some(Err(Unseen::UserGone)) => return Evidence::UserGone,
            Some(Ok(moved)) => Some(moved),
            Some(Err(Unseen::Failed)) => None,
        };
        let tried = self.tried(from, true);
        match (moved, tried) {
            (Some(false), _) if !thorough => Evidence::No,
            (_, None) if try_possible => Evidence::Ask(Step::TrySignIn),
            (_, Some(TrialAnswer::SignedIn)) => Evidence::Yes,
            (_, Some(TrialAnswer::Failed(_))) | (None, _) => self.again(Step::Probe),
            (Some(false), _) => Evidence::No,
            // Moved, and yet not our password: somebody else's. Repeating makes it ours.
            (Some(true), Some(TrialAnswer::Wrong)) => Evidence::Nothing,
            (Some(true), _) if self.probe() == Probe::Record => Evidence::Nothing,
            (Some(true), _) => Evidence::Yes,
        }
    }

    /// The probe, if there is a value from before to compare with.
    fn probe(&self) -> Probe {
        if self.operation.intent.before.is_some() { self.operation.intent.capabilities.probe } else { Probe::None }
    }

    /// A look gave no answer: the next round begins with `first`, after a wait.
    fn again(&self, first: Step) -> Evidence {
        if self.now < self.look_again_at() { Evidence::Failed } else { Evidence::Ask(first) }
    }

    fn look_again_at(&self) -> Micros {
        self.last_look_at().plus(wait(self.looks.len()))
    }

    fn last_look_at(&self) -> Micros {
        self.looks.last().map_or(self.last_at, |look| look.at)
    }

    fn look_again(&self, not_after: Micros) -> Step {
        self.look_at(self.look_again_at().min(not_after))
    }

    fn look_at(&self, at: Micros) -> Step {
        if self.now < at { Step::Wait(at) } else { Step::Probe }
    }

    /// Whether the probe's value moved, by the last look. `None`: not asked yet.
    fn moved(&self, from: Micros) -> Option<Result<bool, Unseen>> {
        self.looks_from(from).rev().find_map(|look| match &look.event {
            Event::Probed(ProbeAnswer::Value(value)) => {
                Some(Ok(self.operation.intent.before.as_ref().is_some_and(|before| before != value)))
            }
            Event::Probed(ProbeAnswer::UserGone) => Some(Err(Unseen::UserGone)),
            Event::Probed(ProbeAnswer::Failed(_)) => Some(Err(Unseen::Failed)),
            _ => None,
        })
    }

    /// What the last trial sign-in said, if it is not older than the last probe.
    fn tried(&self, from: Micros, after_probe: bool) -> Option<&'a TrialAnswer> {
        let mut looks = self.looks_from(from).rev();
        let counts = |look: &&Entry| match look.event {
            Event::Tried(_) => true,
            Event::Probed(_) => after_probe,
            _ => false,
        };
        let last = looks.find(counts);
        match &last?.event {
            Event::Tried(answer) => Some(answer),
            _ => None,
        }
    }

    fn looks_from(&self, from: Micros) -> impl DoubleEndedIterator<Item = &'a Entry> {
        self.looks.iter().filter(move |look| look.at >= from)
    }

    fn repeat(&self, at: Micros) -> Step {
        if self.now < at { Step::Wait(at) } else { Step::SetPassword }
    }

    fn repeat_at(&self, not_before: Option<Micros>) -> Micros {
        self.last_at.plus(wait(self.attempts)).max(not_before.unwrap_or(self.last_at))
    }

    /// Whether an attempt can be sent at this time: what becomes of it must be seen before the seal ends.
    fn may_send(&self, at: Micros) -> bool {
        let life = self.operation.intent.limits.attempt_life_us;
        self.operation.password_at_hand && at.plus(life) <= self.operation.expires_at()
    }

    /// Why nothing was changed, when that is what was seen.
    fn why(&self) -> Why {
        match self.last {
            Last::Refused(error) => Why::Refused(error.clone()),
            Last::Later(not_before) => Why::Unreachable { not_before },
            Last::NotSent | Last::Unknown | Last::Accepted => Why::Unreachable { not_before: None },
        }
    }
}

/// Why a look at the probe says nothing.
enum Unseen {
    UserGone,
    Failed,
}
