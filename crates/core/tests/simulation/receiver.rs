//! Those who are told: they fail, stall, answer late or twice, each in its own moods; and they remember what came.

use keyherald_core::delivery::{Cause, Outcome};

use crate::chance::{Chance, MILLI, SECOND};
use crate::database::Entry;
use crate::scenario::Wish;

/// How a receiver is for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Well,
    /// Anything may happen.
    Flaky,
    Down,
    /// Takes the connection, and neither the message nor any notice.
    Stalled,
    /// Takes everything, and is often too late to say so.
    Late,
    Throttling,
    Refusing,
}

const MOODS: [Mood; 10] = [
    Mood::Well,
    Mood::Well,
    Mood::Flaky,
    Mood::Flaky,
    Mood::Flaky,
    Mood::Down,
    Mood::Stalled,
    Mood::Late,
    Mood::Throttling,
    Mood::Refusing,
];

/// What becomes of one attempt.
pub struct Reaction {
    pub accepts: bool,
    /// Answers, each after a time.
    pub answers: Vec<(i64, Outcome)>,
}

impl Reaction {
    fn of(accepts: bool, after: i64, outcome: Outcome) -> Self {
        Self { accepts, answers: vec![(after, outcome)] }
    }
}

/// One subscription's receiver.
pub struct Receiver {
    pub mood: Mood,
    /// Who is poisoned is well from now on.
    pub is_healed: bool,
    /// By position: whether it came.
    arrived: Vec<bool>,
    /// By customer: the last position that came for the first time.
    last: Vec<i64>,
    /// When something came for the first time.
    pub last_first: i64,
    /// Everything before this position is done with, or is nothing to it.
    pub settled: i64,
}

/// An arrival, as the receiver sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    First,
    Repeat,
    /// For the first time, after the message at this position, which is a later one.
    Inverted(i64),
}

pub fn failed(cause: Cause, retry_after_s: Option<u32>) -> Outcome {
    Outcome::Failed { reason: String::new(), retry_after_s, cause }
}

/// A number that belongs to both.
fn mixed(one: u64, other: u64) -> u64 {
    let mixed = (one ^ other.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 20
}

/// Whether the receiver of this subscription fails at whatever is this customer's.
pub fn is_poisoned(wish: &Wish, subscription: usize, customer: usize) -> bool {
    mixed(u64::try_from(customer).unwrap(), u64::try_from(subscription).unwrap() + 1) % 1000
        < u64::try_from(wish.poisoned).unwrap()
}

impl Receiver {
    pub fn new(customers: usize) -> Self {
        Self {
            mood: Mood::Well,
            is_healed: false,
            arrived: Vec::new(),
            last: vec![0; customers],
            last_first: 0,
            settled: 0,
        }
    }

    /// Another mood. Answers for how long.
    pub fn change(&mut self, chance: &mut Chance) -> i64 {
        self.mood = MOODS[chance.below(MOODS.len())];
        chance.between(1, 30) * SECOND
    }

    pub fn has(&self, position: i64) -> bool {
        usize::try_from(position).ok().and_then(|at| self.arrived.get(at)).copied().unwrap_or(false)
    }

    /// It came.
    pub fn arrive(&mut self, entry: &Entry) -> Arrival {
        let at = usize::try_from(entry.position).unwrap();
        if self.arrived.len() <= at {
            self.arrived.resize(at + 1, false);
        }
        if std::mem::replace(&mut self.arrived[at], true) {
            return Arrival::Repeat;
        }
        let last = &mut self.last[entry.customer];
        if *last > entry.position {
            return Arrival::Inverted(*last);
        }
        *last = entry.position;
        Arrival::First
    }

    /// What it does with an attempt that may take `attempt_max`.
    pub fn react(
        &self,
        entry: &Entry,
        (wish, subscription): (&Wish, usize),
        attempt_max: i64,
        chance: &mut Chance,
    ) -> Reaction {
        let soon = chance.between(1, 60) * MILLI;
        if !self.is_healed && is_poisoned(wish, subscription, entry.customer) {
            return match mixed(u64::try_from(entry.customer).unwrap(), 7) % 3 {
                0 => Reaction::of(false, soon, failed(Cause::Temporary, None)),
                1 => Reaction::of(false, soon, failed(Cause::Refused, None)),
                _ => Reaction { accepts: false, answers: vec![] },
            };
        }
        if mixed(entry.id, u64::try_from(subscription).unwrap()) % 1000 < u64::try_from(wish.rejected).unwrap() {
            return Reaction::of(false, soon, Outcome::Rejected { reason: String::new() });
        }
        match self.mood {
            Mood::Well => Reaction::of(true, soon, Outcome::Delivered),
            Mood::Flaky => Self::flaky(soon, attempt_max, chance),
            Mood::Down => Reaction::of(false, MILLI, failed(Cause::Temporary, None)),
            Mood::Stalled => Reaction { accepts: false, answers: vec![] },
            Mood::Late => Reaction::of(true, chance.between(attempt_max / 2, attempt_max * 2), Outcome::Delivered),
            Mood::Throttling => {
                let rest = u32::try_from(chance.below(30)).unwrap();
                Reaction::of(false, soon, failed(Cause::Throttled, (rest > 0).then_some(rest)))
            }
            Mood::Refusing => Reaction::of(false, soon, failed(Cause::Refused, None)),
        }
    }

    fn flaky(soon: i64, attempt_max: i64, chance: &mut Chance) -> Reaction {
        match chance.below(12) {
            0 => Reaction::of(false, soon, failed(Cause::Temporary, None)),
            1 => Reaction::of(false, soon, failed(Cause::Temporary, Some(2))),
            2 => Reaction::of(false, soon, failed(Cause::Refused, None)),
            // It came, and the answer is lost; or is that it did not come.
            3 => Reaction { accepts: true, answers: vec![] },
            4 => Reaction::of(true, soon, failed(Cause::Temporary, None)),
            5 => Reaction::of(true, chance.between(soon, attempt_max * 2), Outcome::Delivered),
            6 => Reaction {
                accepts: true,
                answers: vec![(soon, Outcome::Delivered), (soon * 2, failed(Cause::Temporary, None))],
            },
            7 => Reaction {
                accepts: true,
                answers: vec![(soon, failed(Cause::Temporary, None)), (soon * 2, Outcome::Delivered)],
            },
            _ => Reaction::of(true, soon, Outcome::Delivered),
        }
    }
}
