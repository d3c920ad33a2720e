//! Limits.

use std::time::Duration;

use crate::engine::Inject;

/// Limits of the store, each with a default.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Jobs that one SQLite transaction takes at most.
    pub batch_max: usize,
    /// Jobs that may wait for the writer, and as many for the readers, before `write` or `read` says unavailable.
    pub queue_max: usize,
    /// SQLite reader threads.
    pub readers: usize,
    /// PostgreSQL connections (threads). Two more are used to wake other nodes and to be woken.
    pub connections: usize,
    /// How long a statement or a lock may take, and on SQLite a whole `read`.
    pub statement_timeout: Duration,
    /// Failures on demand, for tests.
    pub inject: Option<Inject>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            batch_max: 256,
            queue_max: 4096,
            readers: 2,
            connections: 16, // more only queue up inside PostgreSQL: measured, 16 beat 64
            statement_timeout: Duration::from_secs(5),
            inject: None,
        }
    }
}
