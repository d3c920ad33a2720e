//! What the relay has done and how it stands, for metrics and tests.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use keyherald_core::Micros;
use keyherald_core::id::SubscriptionId;
use tokio::time::Instant;

use crate::telemetry::metrics::Deliveries;

/// Counters since the start, and the state of each subscription that is followed.
#[derive(Default)]
pub struct Counters {
    delivered: AtomicU64,
    failed: AtomicU64,
    dead: AtomicU64,
    partitions: AtomicU32,
    pending_since: Mutex<Option<Instant>>,
    subscriptions: Mutex<BTreeMap<SubscriptionId, Gauge>>,
    deliveries: Deliveries,
}

/// How a subscription stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauge {
    /// Everything in the log up to this position was looked at.
    pub seen: i64,
    /// Positions between that and the log's end.
    pub lag: i64,
    /// Messages on their way.
    pub sending: usize,
    /// Messages in memory, with those on their way.
    pub buffered: usize,
    /// Customers whose messages wait for a retry or for an operator.
    pub parked: usize,
    /// When the oldest came about that is in memory or that a customer waits for. `None`: there is none.
    pub oldest: Option<Micros>,
    /// Whether nothing is sent because the destination fails.
    pub resting: bool,
}

/// Everything at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Messages delivered.
    pub delivered: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Messages put aside.
    pub dead: u64,
    /// Partitions that are delivered here: all 64, unless other nodes deliver the others.
    pub partitions: u32,
    /// How long the log's end has been waiting for an older transaction; zero if it is not.
    pub horizon_age: Duration,
    /// Each subscription that is followed.
    pub subscriptions: BTreeMap<SubscriptionId, Gauge>,
}

impl Counters {
    /// All of it.
    pub fn figures(&self) -> Figures {
        let pending = *locked(&self.pending_since);
        Figures {
            delivered: self.delivered.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            dead: self.dead.load(Ordering::Relaxed),
            partitions: self.partitions.load(Ordering::Relaxed),
            horizon_age: pending.map(|since| since.elapsed()).unwrap_or_default(),
            subscriptions: locked(&self.subscriptions).clone(),
        }
    }

    /// Attempts, as they are measured.
    pub fn deliveries(&self) -> &Deliveries {
        &self.deliveries
    }

    pub(super) fn count_delivered(&self) {
        self.delivered.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_dead(&self) {
        self.dead.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn set_partitions(&self, partitions: u32) {
        self.partitions.store(partitions, Ordering::Relaxed);
    }

    pub(super) fn set_pending_since(&self, since: Option<Instant>) {
        *locked(&self.pending_since) = since;
    }

    pub(super) fn set(&self, subscription: SubscriptionId, gauge: Gauge) {
        locked(&self.subscriptions).insert(subscription, gauge);
    }

    pub(super) fn forget_all(&self) {
        locked(&self.subscriptions).clear();
    }

    pub(super) fn forget(&self, subscription: SubscriptionId) {
        locked(&self.subscriptions).remove(&subscription);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
