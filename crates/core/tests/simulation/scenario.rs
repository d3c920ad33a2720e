//! What is drawn before a run begins: how many of everything, how the relay is set, and which rule is broken, if one is.

use std::time::Duration;

use keyherald_core::delivery::{BreakerSettings, OnExhausted, Persistence, RetrySchedule};
use keyherald_core::relay::course::Saving;
use keyherald_core::relay::lanes::Policy;

use crate::chance::{Chance, MILLI, SECOND};

/// A rule that the shells of a made-up world break, to show that it would be noticed. The rules themselves stay as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    Nothing,
    /// Nobody looks at the fence of a write.
    Fence,
    /// Nobody looks whether a dispatcher of the same process has taken over.
    Claim,
    /// Attempts begin whenever they like.
    Lease,
    /// The last position that is visible counts as final.
    Horizon,
    /// The bound is taken before the last position is asked for.
    BoundFirst,
    /// The cursors are written as far as the log was looked at.
    EarlyCursor,
    /// What was sent counts as delivered, whatever is answered.
    AnswerAssumed,
    /// A write counts as done when it was asked for.
    SavedTooSoon,
    /// A full page of a customer's messages counts as all of them.
    PageIsAll,
    /// The customers of a partition share a lane.
    OneLane,
    /// The window forgets to say that it has dropped entries.
    WindowGap,
}

impl Broken {
    /// Every rule that can be broken.
    pub const ALL: [Self; 11] = [
        Self::Fence,
        Self::Claim,
        Self::Lease,
        Self::Horizon,
        Self::BoundFirst,
        Self::EarlyCursor,
        Self::AnswerAssumed,
        Self::SavedTooSoon,
        Self::PageIsAll,
        Self::OneLane,
        Self::WindowGap,
    ];
}

/// One run.
pub struct Scenario {
    pub broken: Broken,
    pub customers: usize,
    pub nodes: usize,
    /// Transactions that write to the log.
    pub transactions: usize,
    /// How long things go wrong.
    pub chaos: i64,
    /// How often something happens to a node or to the database, about.
    pub trouble_every: i64,
    pub lease: i64,
    pub turn_every: i64,
    pub attempt_max: i64,
    pub poll: i64,
    pub drain: i64,
    pub page_size: usize,
    pub lane_page_size: usize,
    pub window_max: usize,
    pub saving: Saving,
    pub subscriptions: Vec<Wish>,
}

/// Customers for whom a receiver fails to the end, about.
const POISONED_MAX: usize = 40;
/// Messages that a customer gets at once when it is tried whether it waits for others.
pub const PROBES: i64 = 3;

/// One subscription.
#[derive(Clone)]
pub struct Wish {
    pub policy: Policy,
    /// The kinds of messages that it wants, one bit each.
    pub kinds: u8,
    /// Of a thousand customers, for so many its receiver fails to the end.
    pub poisoned: usize,
    /// Of a thousand messages, its receiver never takes so many.
    pub rejected: usize,
}

impl Scenario {
    /// What follows from a seed: of a hundred runs one is large, nine are middling, the others small.
    pub fn draw(seed: u64, broken: Broken, chance: &mut Chance) -> Self {
        let (customers, subscriptions, transactions) = match seed % 100 {
            99 => (chance.between(2000, 5000), chance.between(20, 40), chance.between(2000, 3000)),
            of if of % 10 == 9 => (chance.between(100, 800), chance.between(4, 12), chance.between(200, 600)),
            _ => (chance.between(1, 40), chance.between(1, 4), chance.between(10, 150)),
        };
        let (customers, subscriptions) = (usize::try_from(customers).unwrap(), usize::try_from(subscriptions).unwrap());
        let lease = chance.between(4, 20) * SECOND;
        let wishes = (0..subscriptions).map(|_| Wish::draw(customers, chance)).collect();
        Self {
            broken,
            customers,
            nodes: 1 + chance.below(4),
            transactions: usize::try_from(transactions).unwrap(),
            chaos: chance.between(20, 150) * SECOND,
            trouble_every: chance.between(3, 40) * SECOND,
            lease,
            turn_every: (lease / 10).min(SECOND),
            attempt_max: lease / 2 - chance.between(1, 1000) * MILLI,
            poll: SECOND,
            drain: chance.between(1, 10) * SECOND,
            page_size: 1 + chance.below(60),
            lane_page_size: 1 + chance.below(6),
            window_max: 1 + chance.below(40),
            saving: Saving {
                every: Duration::from_millis(u64::try_from(chance.between(10, 500)).unwrap()),
                after: 1 + chance.below(100),
            },
            subscriptions: wishes,
        }
    }
}

impl Wish {
    fn draw(customers: usize, chance: &mut Chance) -> Self {
        let mut waits = vec![0];
        for _ in 0..chance.below(12) {
            waits.push(chance.between(100, 20_000) * MILLI);
        }
        let persistence = chance.one_in(3).then(|| Persistence {
            base: chance.between(1, 5) * SECOND,
            cap: chance.between(5, 30) * SECOND,
            is_jittered: chance.one_in(2),
            retry_after_max: 20 * SECOND,
            refusals_max: 1 + u32::try_from(chance.below(20)).unwrap(),
            attempts_max: None,
            age_max: None,
        });
        let poisoned = if chance.one_in(2) { chance.below(120.min(POISONED_MAX * 1000 / customers)) } else { 0 };
        let policy = Policy {
            schedule: RetrySchedule { waits, jitter_percent: 20, retry_after_max: 20 * SECOND },
            on_exhausted: OnExhausted::Skip,
            persistence,
            gone_disables: false,
            breaker: BreakerSettings {
                failures: 1 + u32::try_from(chance.below(20)).unwrap(),
                rest: chance.between(1, 10) * SECOND,
                rest_max: chance.between(10, 30) * SECOND,
            },
            in_flight_max: 1 + chance.below(64),
            buffer_max: 1 + chance.below(300),
            // Where all rows are taken, failing customers stay in memory, and others may wait for them.
            parked_max: if poisoned > 0 { usize::MAX } else { chance.below(400) },
        };
        Self {
            policy,
            kinds: u8::try_from(1 + chance.below(15)).unwrap(),
            poisoned,
            rejected: if chance.one_in(3) { chance.below(30) } else { 0 },
        }
    }

    pub fn wants(&self, kind: u8) -> bool {
        self.kinds & (1 << kind) != 0
    }

    /// The longest until whoever has waited longest is tried again when others fail: the breaker lets three kinds take turns.
    fn turn(&self, attempt_max: i64) -> i64 {
        3 * (self.policy.breaker.rest_max + 2 * attempt_max)
    }

    /// The longest until something comes that has failed before, while others' fail: each of those has its turn.
    pub fn settles_after(&self, attempt_max: i64) -> i64 {
        2 * i64::try_from(POISONED_MAX).unwrap() * self.turn(attempt_max)
    }

    /// The longest that a customer's messages may wait when nothing is wrong but that others' fail: each for the breaker, as
    /// all of the subscription's do, and for a slot.
    pub fn patience(&self, attempt_max: i64) -> i64 {
        PROBES * self.turn(attempt_max) + 10 * SECOND
    }
}
