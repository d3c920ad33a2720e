//! The rules of delivery, pure: what an answer means, when the next try is due, when a destination rests.
//!
//! The relay in the server carries them out. Numbers come from standards.md 4.1 and 6.2.

use crate::ctx::{Ctx, Micros};

/// How one attempt ended, in the words that the relay acts on. Each destination kind maps its own answers to these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Accepted.
    Delivered,
    /// Not accepted, or not known to be: try again by the schedule.
    Failed {
        /// What is shown to operators; no bodies, no addresses.
        reason: String,
        /// The receiver asked for this many seconds of rest.
        retry_after_s: Option<u32>,
        /// Whose fault it seems to be.
        cause: Cause,
    },
    /// The receiver said that it is gone for good: stop, keep what is left.
    Gone,
    /// The message cannot be rendered any more: its personal data was erased.
    Erased,
    /// The receiver takes others, but never this one: it is put aside at once.
    Rejected {
        /// What is shown to operators; no bodies, no addresses.
        reason: String,
    },
    /// What there was to say has lost its point: the message counts as done.
    Moot,
}

/// What a failed attempt says about the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Not reached, no answer in time, or an error of the receiver's own.
    Temporary,
    /// The receiver is overloaded: if it says for how long, the whole destination rests, not only this lane.
    Throttled,
    /// The receiver, or a rule of ours, refuses what we send or where: somebody must change a setting.
    Refused,
}

/// What to do when a message has used up its attempts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnExhausted {
    /// Put it aside as a dead letter; the lane goes on. Consumers see the gap in the sequence numbers.
    #[default]
    Skip,
    /// The lane waits for an operator.
    Hold,
}

/// The waits between attempts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetrySchedule {
    /// Wait before attempt 1, 2, 3 ... in microseconds. The first is normally 0.
    pub waits: Vec<i64>,
    /// Random addition to each wait, in percent of it.
    pub jitter_percent: u8,
    /// Longest wait that a receiver can ask for, in microseconds.
    pub retry_after_max: i64,
}

impl Default for RetrySchedule {
    /// Ten attempts over 75 hours 35 minutes 5 seconds (standards.md 4.1).
    fn default() -> Self {
        let seconds = [0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400];
        Self {
            waits: seconds.iter().map(|seconds| seconds * Micros::SECOND).collect(),
            jitter_percent: 20,
            retry_after_max: Micros::DAY,
        }
    }
}

impl RetrySchedule {
    /// When attempt number `failed + 1` is due after `failed` attempts (1 or more) have failed. `None`: exhausted.
    ///
    /// The wait is the schedule's with jitter, or what the receiver asked for if that is longer.
    pub fn next(&self, failed: u32, retry_after_s: Option<u32>, ctx: &mut Ctx) -> Option<Micros> {
        let wait = *self.waits.get(usize::try_from(failed).ok()?)?;
        let spread = u64::try_from(wait / 100 * i64::from(self.jitter_percent)).unwrap_or(0);
        let jitter = if spread == 0 { 0 } else { i64::try_from(ctx.number() % (spread + 1)).unwrap_or(0) };
        let asked = retry_after_s.map_or(0, |seconds| i64::from(seconds).saturating_mul(Micros::SECOND));
        Some(ctx.now.plus((wait + jitter).max(asked.min(self.retry_after_max))))
    }

    /// The same for a destination that is never given up: the last wait repeats.
    pub fn next_for_ever(&self, failed: u32, retry_after_s: Option<u32>, ctx: &mut Ctx) -> Micros {
        let last = u32::try_from(self.waits.len().saturating_sub(1)).unwrap_or(u32::MAX);
        self.next(failed.min(last), retry_after_s, ctx).unwrap_or(ctx.now)
    }
}

/// Settings of the [`Breaker`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerSettings {
    /// Failures in a row, over all lanes, that open it.
    pub failures: u32,
    /// First rest in microseconds; doubles with each failed probe.
    pub rest: i64,
    /// Longest rest in microseconds.
    pub rest_max: i64,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self { failures: 10, rest: 60 * Micros::SECOND, rest_max: 15 * Micros::MINUTE }
    }
}

/// Keeps a failing destination from being hammered: one per subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breaker {
    settings: BreakerSettings,
    failures: u32,
    state: BreakerState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BreakerState {
    Closed,
    Open {
        until: Micros,
        rest: i64,
    },
    /// One probe is on its way.
    Probing {
        rest: i64,
    },
}

/// What a lane may do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Send.
    Go,
    /// Send: this is the probe, and nobody else sends until it ended.
    Probe,
    /// Wait until then, or until the probe ended if no time is given.
    Wait(Option<Micros>),
}

impl Breaker {
    /// A closed breaker.
    pub fn new(settings: BreakerSettings) -> Self {
        Self { settings, failures: 0, state: BreakerState::Closed }
    }

    /// Whether a send may start at `now`. Asking for it takes the probe's place when one is due.
    pub fn admit(&mut self, now: Micros) -> Admission {
        let admission = self.peek(now);
        if let (Admission::Probe, BreakerState::Open { rest, .. }) = (admission, self.state) {
            self.state = BreakerState::Probing { rest };
        }
        admission
    }

    /// What [`Breaker::admit`] would answer.
    pub fn peek(&self, now: Micros) -> Admission {
        match self.state {
            BreakerState::Closed => Admission::Go,
            BreakerState::Open { until, .. } if now >= until => Admission::Probe,
            BreakerState::Open { until, .. } => Admission::Wait(Some(until)),
            BreakerState::Probing { .. } => Admission::Wait(None),
        }
    }

    /// An admitted send did not take place: if it was the probe, its place is free again.
    pub fn skipped(&mut self, now: Micros) {
        if let BreakerState::Probing { rest } = self.state {
            self.state = BreakerState::Open { until: now, rest };
        }
    }

    /// An attempt was accepted: closed again.
    pub fn succeeded(&mut self) {
        self.failures = 0;
        self.state = BreakerState::Closed;
    }

    /// An attempt failed at `now`. A throttling receiver opens it at once, for as long as it asked (a second at least);
    /// its rests double from there.
    pub fn failed(&mut self, now: Micros, throttled_for_s: Option<u32>) {
        self.failures = self.failures.saturating_add(1);
        let asked = throttled_for_s.map_or(0, |seconds| i64::from(seconds).saturating_mul(Micros::SECOND));
        match self.state {
            BreakerState::Probing { rest } => {
                let rest = rest.saturating_mul(2).min(self.settings.rest_max).max(asked.min(Micros::DAY));
                self.state = BreakerState::Open { until: now.plus(rest), rest };
            }
            BreakerState::Closed if self.failures >= self.settings.failures || throttled_for_s.is_some() => {
                let rest = match throttled_for_s {
                    Some(_) => asked.clamp(Micros::SECOND, Micros::DAY),
                    None => self.settings.rest,
                };
                self.state = BreakerState::Open { until: now.plus(rest), rest };
            }
            // A send that was under way when it opened: it says nothing new.
            BreakerState::Open { .. } | BreakerState::Closed => {}
        }
    }

    /// Whether sends are held back.
    pub fn is_open(&self) -> bool {
        self.state != BreakerState::Closed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_default_schedule_is_the_published_one() {
        let schedule = RetrySchedule { jitter_percent: 0, ..RetrySchedule::default() };
        assert_eq!(schedule.waits.iter().sum::<i64>(), 272_105 * Micros::SECOND);
        let mut ctx = Ctx::new(Micros(0), [0; 32]);
        assert_eq!(schedule.next(1, None, &mut ctx), Some(Micros(5 * Micros::SECOND)));
        assert_eq!(schedule.next(9, None, &mut ctx), Some(Micros(86_400 * Micros::SECOND)));
        assert_eq!(schedule.next(10, None, &mut ctx), None);
    }

    #[test]
    fn a_receiver_can_ask_for_more_but_not_for_less_or_for_ever() {
        let schedule = RetrySchedule { jitter_percent: 0, ..RetrySchedule::default() };
        let mut ctx = Ctx::new(Micros(0), [0; 32]);
        assert_eq!(schedule.next(1, Some(60), &mut ctx), Some(Micros(60 * Micros::SECOND)));
        assert_eq!(schedule.next(2, Some(1), &mut ctx), Some(Micros(300 * Micros::SECOND)));
        assert_eq!(schedule.next(1, Some(u32::MAX), &mut ctx), Some(Micros(Micros::DAY)));
    }

    #[test]
    fn what_is_never_given_up_repeats_its_last_wait() {
        let schedule = RetrySchedule { waits: vec![0, 5, 9], jitter_percent: 0, ..RetrySchedule::default() };
        let mut ctx = Ctx::new(Micros(0), [0; 32]);
        let waits = [1, 2, 3, 50].map(|failed| schedule.next_for_ever(failed, None, &mut ctx));
        assert_eq!(waits, [Micros(5), Micros(9), Micros(9), Micros(9)]);
    }

    proptest! {
        #[test]
        fn jitter_only_adds_and_stays_in_its_share(failed in 1_u32..10, seed: [u8; 32]) {
            let schedule = RetrySchedule::default();
            let wait = schedule.waits[usize::try_from(failed).unwrap()];
            let next = schedule.next(failed, None, &mut Ctx::new(Micros(0), seed)).unwrap();
            prop_assert!(next.0 >= wait && next.0 <= wait + wait / 5);
        }

        /// Whatever happens: while it is open and resting nobody is let through, and at most one probe is under way.
        #[test]
        fn at_most_one_probe(events in proptest::collection::vec((0_u8..3, 0_i64..200), 1..200)) {
            let mut breaker = Breaker::new(BreakerSettings { failures: 3, ..BreakerSettings::default() });
            let (mut now, mut probing) = (Micros(0), false);
            for (kind, seconds) in events {
                now = now.plus(seconds * Micros::SECOND);
                match kind {
                    0 => match breaker.admit(now) {
                        Admission::Probe => { prop_assert!(!probing); probing = true; }
                        Admission::Go => prop_assert!(!breaker.is_open()),
                        Admission::Wait(until) => prop_assert!(until.is_none_or(|until| until > now)),
                    },
                    1 => { breaker.succeeded(); probing = false; }
                    _ => { breaker.failed(now, None); probing = false; }
                }
            }
        }
    }

    #[test]
    fn rests_double_up_to_the_longest() {
        let mut breaker = Breaker::new(BreakerSettings { failures: 1, rest: 10, rest_max: 35 });
        breaker.failed(Micros(0), None);
        let mut now = Micros(10);
        for rest in [20, 35, 35] {
            assert_eq!(breaker.admit(now), Admission::Probe);
            assert_eq!(breaker.admit(now), Admission::Wait(None));
            breaker.failed(now, None);
            assert_eq!(breaker.admit(now), Admission::Wait(Some(now.plus(rest))));
            now = now.plus(rest);
        }
        assert_eq!(breaker.admit(now), Admission::Probe);
        breaker.succeeded();
        assert_eq!(breaker.admit(now), Admission::Go);
    }

    #[test]
    fn a_throttling_receiver_is_left_alone_for_as_long_as_it_asked() {
        let mut breaker = Breaker::new(BreakerSettings::default());
        breaker.failed(Micros(0), Some(30));
        let mut now = Micros(30 * Micros::SECOND);
        assert_eq!(breaker.admit(Micros(0)), Admission::Wait(Some(now)));
        assert_eq!(breaker.admit(now), Admission::Probe);
        breaker.failed(now, Some(1));
        now = now.plus(60 * Micros::SECOND); // doubled: what it asked for is less
        assert_eq!(breaker.peek(now.plus(-1)), Admission::Wait(Some(now)));
        assert_eq!(breaker.peek(now), Admission::Probe);
    }

    #[test]
    fn a_probe_that_did_not_take_place_frees_its_place() {
        let mut breaker = Breaker::new(BreakerSettings { failures: 1, ..BreakerSettings::default() });
        breaker.failed(Micros(0), None);
        let now = Micros(60 * Micros::SECOND);
        assert_eq!(breaker.admit(now), Admission::Probe);
        assert_eq!(breaker.admit(now), Admission::Wait(None));
        breaker.skipped(now);
        assert_eq!(breaker.admit(now), Admission::Probe);
    }
}
