//! (being written: the `Store` handle)

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use keyherald_core::Ctx;

use crate::{Fault, Tx};

/// Where the data lies: `sqlite:PATH` or `postgres://...`.
#[derive(Clone)]
pub enum StoreUrl {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL connection string.
    Postgres(String),
}

/// Limits of the store, each with a default.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Jobs that one SQLite transaction takes at most.
    pub batch_max: usize,
    /// Jobs that may wait for the writer before `write` says unavailable.
    pub queue_max: usize,
    /// SQLite reader threads.
    pub readers: usize,
    /// PostgreSQL connections (threads).
    pub connections: usize,
    /// How long a statement or a lock may take.
    pub statement_timeout: Duration,
}

/// What the store has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Statements run for `write` closures that were committed.
    pub write_statements: u64,
    /// Statements run for `read` closures.
    pub read_statements: u64,
    /// `write` closures committed.
    pub writes: u64,
    /// Transactions committed (one carries many writes on SQLite).
    pub commits: u64,
}

/// The open database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    _inner: Arc<()>,
}

impl Store {
    /// Runs `work` in one transaction and returns after COMMIT.
    pub async fn write<T, F>(&self, _ctx: &Ctx, _work: F) -> Result<T, Fault>
    where
        T: Send + 'static,
        F: FnMut(&mut dyn Tx, &mut Ctx) -> Result<T, Fault> + Send + 'static,
    {
        todo!()
    }

    /// Runs `work` over one consistent snapshot.
    pub async fn read<T, F>(&self, _work: F) -> Result<T, Fault>
    where
        T: Send + 'static,
        F: FnMut(&mut dyn Tx) -> Result<T, Fault> + Send + 'static,
    {
        todo!()
    }
}
