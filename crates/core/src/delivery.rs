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
    /// The subscription's template makes nothing of it: it is put aside at once, and nothing was sent.
    Untransformed {
        /// What is shown to operators; no values of the message.
        reason: String,
    },
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
    /// The same schedule, for so long at most: its last attempt is when that time is over, in microseconds, jitter aside.
    #[must_use]
    pub fn within(&self, longest: i64) -> Self {
        let (mut waits, mut left) = (Vec::new(), longest);
        for wait in &self.waits {
            waits.push((*wait).min(left));
            left -= wait;
            if left <= 0 {
                break;
            }
        }
        Self { waits, ..self.clone() }
    }

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
}

/// How a destination is tried on that is never given up (paysafe.md 2.3). What it refuses is put aside after a while all the
/// same, so that the customer's next message gets its turn; somebody has to ask for it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Persistence {
    /// Longest wait before the second attempt, in microseconds. It doubles with each attempt.
    pub base: i64,
    /// It grows no further than this, in microseconds.
    pub cap: i64,
    /// Whether a wait is drawn from all between nothing and the longest one, or is always the longest.
    pub is_jittered: bool,
    /// Longest wait that a receiver can ask for, in microseconds.
    pub retry_after_max: i64,
    /// Refusals after which a message is put aside.
    pub refusals_max: u32,
    /// Attempts after which a message is put aside, whatever they ended with. `None`: there is no such number.
    pub attempts_max: Option<u32>,
    /// Age at which a message is put aside, in microseconds. `None`: there is none.
    pub age_max: Option<i64>,
}

/// A message that could not be delivered, so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tried {
    /// How often it has failed, 1 or more.
    pub failed: u32,
    /// How often of these it was refused.
    pub refused: u32,
    /// How the last attempt ended.
    pub cause: Cause,
    /// When it came about.
    pub since: Micros,
    /// The receiver asked for this many seconds of rest.
    pub retry_after_s: Option<u32>,
}

impl Default for Persistence {
    fn default() -> Self {
        Self {
            base: 5 * Micros::SECOND,
            cap: Micros::HOUR,
            is_jittered: true,
            retry_after_max: Micros::DAY,
            refusals_max: 20,
            attempts_max: None,
            age_max: None,
        }
    }
}

impl Persistence {
    /// Shortest wait, in microseconds.
    const LEAST: i64 = Micros::SECOND;

    /// When it is to be tried again. `None`: it is put aside.
    pub fn next(&self, tried: &Tried, ctx: &mut Ctx) -> Option<Micros> {
        let is_refused_for_good = tried.cause == Cause::Refused && tried.refused >= self.refusals_max;
        let is_exhausted = self.attempts_max.is_some_and(|most| tried.failed >= most);
        let is_old = self.age_max.is_some_and(|most| ctx.now >= tried.since.plus(most));
        if is_refused_for_good || is_exhausted || is_old {
            return None;
        }
        let doubled = 1_i64.checked_shl(tried.failed.saturating_sub(1).min(62)).unwrap_or(i64::MAX);
        let longest = self.base.saturating_mul(doubled).min(self.cap).max(0);
        let wait = match u64::try_from(longest) {
            Ok(longest) if self.is_jittered => i64::try_from(ctx.number() % (longest + 1)).unwrap_or(0),
            _ => longest,
        };
        let asked = tried.retry_after_s.map_or(0, |seconds| i64::from(seconds).saturating_mul(Micros::SECOND));
        Some(ctx.now.plus(wait.max(Self::LEAST).max(asked.min(self.retry_after_max))))
    }
}

/// Since when a destination that is never given up has accepted nothing, so that somebody is told, once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Silence {
    since: Option<Micros>,
    told: bool,
}

impl Silence {
    /// How long it lasts before somebody is told, in microseconds.
    pub const TOLD_AFTER: i64 = Micros::DAY;

    /// It has been failing since then, as far as is known.
    pub fn since(since: Option<Micros>) -> Self {
        Self { since, told: false }
    }

    /// Something was accepted.
    pub fn broken(&mut self) {
        *self = Self::default();
    }

    /// Something was not. Answers whether it is time to tell somebody.
    pub fn goes_on(&mut self, now: Micros) -> bool {
        let since = *self.since.get_or_insert(now);
        let is_time = !self.told && now >= since.plus(Self::TOLD_AFTER);
        self.told |= is_time;
        is_time
    }
}

/// What is written down of a destination that is disabled when it has accepted nothing for long: each turn, and otherwise once an
/// hour, so that a delivery costs no write of its own, and nodes that see different things correct each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vigil {
    noted: Option<(bool, Micros)>,
}

impl Vigil {
    /// An attempt has ended. Answers whether that is to be written down.
    pub fn is_news(&mut self, accepted: bool, now: Micros) -> bool {
        let is_known = self.noted.is_some_and(|(was, at)| was == accepted && now < at.plus(Micros::HOUR));
        if !is_known {
            self.noted = Some((accepted, now));
        }
        !is_known
    }
}

/// Keeps what is sent to a destination below a rate: one per subscription. Sends are spread evenly, but for a tenth of a second's
/// worth that may go at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    per_minute: Option<u32>,
    /// When the next one would go if all had gone evenly.
    even: Micros,
}

impl Pace {
    /// At most this many a minute from now on. `None`: as many as there are.
    pub fn keep_to(&mut self, per_minute: Option<u32>) {
        self.per_minute = per_minute;
    }

    /// When the next one may go, if that is later than `now`.
    pub fn wait(&self, now: Micros) -> Option<Micros> {
        let interval = self.interval()?;
        let at = self.even.plus(-(Micros::SECOND / 10 - interval).max(0));
        (at > now).then_some(at)
    }

    /// One goes.
    pub fn sent(&mut self, now: Micros) {
        if let Some(interval) = self.interval() {
            self.even = self.even.max(now).plus(interval);
        }
    }

    fn interval(&self) -> Option<i64> {
        self.per_minute.map(|per_minute| Micros::MINUTE / i64::from(per_minute.max(1)))
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
    fn a_pace_is_even_but_for_a_tenth_of_a_second() {
        // Who sends whenever that is allowed, for a minute: how many go, and how many of them in the first instant.
        let count = |per_minute| {
            let (mut pace, mut now, mut sent, mut at_once) = (Pace::default(), Micros(0), 0, 0);
            pace.keep_to(Some(per_minute));
            while now < Micros(Micros::MINUTE) {
                if let Some(at) = pace.wait(now) {
                    now = at;
                    continue;
                }
                pace.sent(now);
                sent += 1;
                at_once += i64::from(now == Micros(0));
            }
            (sent, at_once)
        };
        assert_eq!([1, 60, 600].map(count), [(1, 1), (60, 1), (600, 1)]);
        assert_eq!(count(6000), (6009, 10));
        assert_eq!(Pace::default().wait(Micros(0)), None);
    }

    #[test]
    fn every_turn_is_news_and_the_same_again_after_an_hour() {
        let mut vigil = Vigil::default();
        let mut is_news = |accepted, minutes| vigil.is_news(accepted, Micros(minutes * Micros::MINUTE));
        assert!(is_news(true, 0) && !is_news(true, 59) && is_news(true, 60));
        assert!(is_news(false, 61) && !is_news(false, 62) && is_news(true, 63));
    }

    #[test]
    fn a_pause_saves_up_nothing() {
        let mut pace = Pace::default();
        pace.keep_to(Some(60));
        pace.sent(Micros(0));
        let later = Micros(Micros::HOUR);
        pace.sent(later);
        assert_eq!(pace.wait(later), Some(later.plus(Micros::SECOND)));
        pace.keep_to(None);
        assert_eq!(pace.wait(later), None);
    }

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
    fn a_schedule_can_be_cut() {
        let hours = |schedule: &RetrySchedule| schedule.waits.iter().sum::<i64>() / Micros::HOUR;
        let schedule = RetrySchedule::default();
        let cut = schedule.within(48 * Micros::HOUR);
        assert_eq!((hours(&schedule), hours(&cut), cut.waits.len()), (75, 48, 9));
        assert_eq!(cut.waits.get(..8), schedule.waits.get(..8));
        assert_eq!(schedule.within(100 * Micros::HOUR), schedule);
        let short = RetrySchedule { waits: vec![0, 5], ..RetrySchedule::default() };
        assert_eq!((short.within(5).waits, short.within(3).waits), (vec![0, 5], vec![0, 3]));
    }

    #[test]
    fn a_receiver_can_ask_for_more_but_not_for_less_or_for_ever() {
        let schedule = RetrySchedule { jitter_percent: 0, ..RetrySchedule::default() };
        let mut ctx = Ctx::new(Micros(0), [0; 32]);
        assert_eq!(schedule.next(1, Some(60), &mut ctx), Some(Micros(60 * Micros::SECOND)));
        assert_eq!(schedule.next(2, Some(1), &mut ctx), Some(Micros(300 * Micros::SECOND)));
        assert_eq!(schedule.next(1, Some(u32::MAX), &mut ctx), Some(Micros(Micros::DAY)));
    }

    fn tried(failed: u32, cause: Cause) -> Tried {
        let refused = if cause == Cause::Refused { failed } else { 0 };
        Tried { failed, refused, cause, since: Micros(0), retry_after_s: None }
    }

    #[test]
    fn what_is_never_given_up_waits_twice_as_long_each_time_up_to_an_hour() {
        let persistence = Persistence { is_jittered: false, ..Persistence::default() };
        let mut ctx = Ctx::new(Micros(0), [0; 32]);
        let mut wait =
            |failed| persistence.next(&tried(failed, Cause::Temporary), &mut ctx).unwrap().0 / Micros::SECOND;
        assert_eq!([1, 2, 3, 10, 11, 64, 65, u32::MAX].map(&mut wait), [5, 10, 20, 2560, 3600, 3600, 3600, 3600]);
    }

    #[test]
    fn only_what_is_refused_is_put_aside_unless_somebody_set_a_limit() {
        let (default, mut ctx) = (Persistence::default(), Ctx::new(Micros(Micros::DAY), [0; 32]));
        let mut is_over = |persistence: Persistence, tried| persistence.next(&tried, &mut ctx).is_none();
        assert!(is_over(default, tried(20, Cause::Refused)) && !is_over(default, tried(19, Cause::Refused)));
        for cause in [Cause::Temporary, Cause::Throttled] {
            assert!(!is_over(default, tried(100_000, cause)));
            assert!(!is_over(default, Tried { refused: 50, ..tried(60, cause) }), "it may be taken yet");
        }
        assert!(!is_over(default, Tried { refused: 1, ..tried(1000, Cause::Refused) }), "refused for the first time");
        let few = Persistence { attempts_max: Some(3), ..default };
        assert!(is_over(few, tried(3, Cause::Temporary)) && !is_over(few, tried(2, Cause::Temporary)));
        let young = Persistence { age_max: Some(Micros::DAY), ..default };
        let since = |since| Tried { since: Micros(since), ..tried(1, Cause::Temporary) };
        assert!(is_over(young, since(0)) && !is_over(young, since(1)));
    }

    #[test]
    fn a_persistent_sender_waits_as_long_as_it_is_asked_to_but_a_day_at_most() {
        let persistence = Persistence { is_jittered: false, ..Persistence::default() };
        let mut ctx = Ctx::new(Micros(0), [0; 32]);
        let mut wait = |retry_after_s| {
            let tried = Tried { retry_after_s: Some(retry_after_s), ..tried(2, Cause::Temporary) };
            persistence.next(&tried, &mut ctx).unwrap().0 / Micros::SECOND
        };
        assert_eq!([0, 9, 60, 90_000, u32::MAX].map(&mut wait), [10, 10, 60, 86_400, 86_400]);
    }

    #[test]
    fn a_day_of_silence_is_told_once() {
        let hours = |hours: i64| Micros(hours * Micros::HOUR);
        let mut silence = Silence::default();
        let told = [0, 10, 23, 24, 25, 60].map(|at| silence.goes_on(hours(at)));
        assert_eq!(told, [false, false, false, true, false, false]);
        silence.broken();
        assert_eq!([61, 84, 85].map(|at| silence.goes_on(hours(at))), [false, false, true]);
        assert!(Silence::since(Some(hours(1))).goes_on(hours(25)), "as it was before a restart");
    }

    proptest! {
        #[test]
        fn a_drawn_wait_lies_between_a_second_and_the_longest(failed in 1_u32..100, seed: [u8; 32]) {
            let longest = (5 * Micros::SECOND).saturating_mul(1_i64 << (failed - 1).min(40)).min(Micros::HOUR);
            let next = Persistence::default().next(&tried(failed, Cause::Temporary), &mut Ctx::new(Micros(0), seed));
            prop_assert!((Micros::SECOND..=longest).contains(&next.unwrap().0));
        }

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
