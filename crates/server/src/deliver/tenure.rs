//! What this node delivers for the time being: what a dispatcher is born with, and ends with.
//!
//! A tenure never changes. When the node gets partitions, or is to let some go, its dispatchers finish what is on its way,
//! write it down, and others begin with the next tenure. That costs a read per subscription, whenever a node comes or
//! goes, and spares a dispatcher from ever having to ask itself what is still its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use keyherald_core::Uptime;
use keyherald_core::id::CustomerId;
use keyherald_core::lease::{self, Fate, Fence, PartitionSet};
use keyherald_core::message::partition;

use crate::clock::Moments;

/// A tenure, and until when it may be counted on.
#[derive(Clone)]
pub(super) struct Tenure {
    tenure: lease::Tenure,
    until: Arc<Until>,
}

impl Tenure {
    /// Of the only node there is: everything, for ever.
    pub(super) fn sole() -> Self {
        Self { tenure: lease::Tenure::SOLE, until: Arc::default() }
    }

    /// Of a node that is no member.
    pub(super) fn nothing() -> Self {
        Self { tenure: lease::Tenure::NOTHING, until: Arc::default() }
    }

    /// Of one among several, as long as the lease lasts.
    pub(super) fn leased(tenure: lease::Tenure, until: Arc<Until>) -> Self {
        Self { tenure, until }
    }

    /// What is delivered.
    pub(super) fn partitions(&self) -> PartitionSet {
        self.tenure.partitions
    }

    /// What every write of delivery state carries. Absent: there is no other node, or nothing to deliver.
    pub(super) fn fence(&self) -> Option<Fence> {
        self.tenure.fence
    }

    /// Whether this customer's messages are delivered here.
    pub(super) fn has(&self, customer: CustomerId) -> bool {
        self.partitions().has(partition(customer))
    }

    /// Whether an attempt of this length may begin now.
    pub(super) fn may_send(&self, moments: &Moments, attempt_max: Duration) -> bool {
        self.tenure.may_send(moments.uptime(), self.until.get(), micros(attempt_max))
    }

    /// What becomes of a dispatcher of this tenure when its node's is `next`.
    pub(super) fn fate(&self, next: &Self) -> Fate {
        self.tenure.fate(&next.tenure)
    }
}

/// Until when one membership may be counted on. A membership that was lost is never prolonged: the next one has its own.
#[derive(Default)]
pub(super) struct Until(AtomicI64);

impl Until {
    pub(super) fn prolong(&self, until: Uptime) {
        self.0.fetch_max(until.0, Ordering::Relaxed);
    }

    fn get(&self) -> Uptime {
        Uptime(self.0.load(Ordering::Relaxed))
    }
}

pub(super) fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}
