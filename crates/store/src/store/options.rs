//! Limits.

use std::time::Duration;

use crate::engine::Inject;

/// A standby of a PostgreSQL, by streaming replication.
#[derive(Clone)]
pub struct ReplicaOptions {
    /// A connection string; it may hold a password.
    pub url: String,
    /// An answer shows at least everything that was committed so long before it was asked for.
    pub staleness_max: Duration,
}

impl std::fmt::Debug for ReplicaOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReplicaOptions").field("staleness_max", &self.staleness_max).finish_non_exhaustive()
    }
}

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
    /// Where [`crate::Store::query_replica`] looks, on PostgreSQL: a quarter as many connections more.
    pub replica: Option<ReplicaOptions>,
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
            replica: None,
            statement_timeout: Duration::from_secs(5),
            inject: None,
        }
    }
}
