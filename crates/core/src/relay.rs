//! What the relay decides, pure: which of a subscription's messages is sent next, what is remembered of it, how far the log
//! may be read, and who may write.
//!
//! The relay of the server carries it out: it has the tasks, the clocks, the store and the destinations. So has the
//! simulation (`tests/simulation`), with none of them real. Retries, breakers and outcomes are in [`crate::delivery`],
//! partitions and leases in [`crate::lease`].

pub mod course;
pub mod horizon;
pub mod lanes;
pub mod ledger;
mod progress;
pub mod window;

use std::sync::Arc;

/// What lies in the log.
pub trait Positioned {
    /// Where.
    fn position(&self) -> i64;
}

impl<T: Positioned> Positioned for Arc<T> {
    fn position(&self) -> i64 {
        T::position(self)
    }
}
