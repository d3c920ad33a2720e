//! The handle: one closure is one transaction.

mod lock;
mod options;
mod scrub;
mod url;

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use keyherald_core::{Ctx, Micros};
use tokio::sync::{oneshot, watch};

use crate::engine::{self, Engine, Shared};
use crate::migrate::{self, MigrationStatus};
use crate::{Fault, FaultKind, Sql, Tx};

pub use options::{ReplicaOptions, StoreOptions};
pub use url::{StoreUrl, StoreUrlError};

/// By how many writes in them commits are counted: up to this many, and more than the one before; at last any number.
pub const COMMIT_SIZES: [u32; 8] = [1, 2, 4, 8, 16, 32, 64, u32::MAX];

/// What the store has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Statements run for `write` closures that were committed.
    pub write_statements: u64,
    /// Statements run for `read` closures.
    pub read_statements: u64,
    /// Closures of [`Store::query_replica`] that the replica has answered.
    pub replica_queries: u64,
    /// `write` closures committed.
    pub writes: u64,
    /// Transactions committed (one carries many writes on SQLite).
    pub commits: u64,
    /// Of them, those of each of [`COMMIT_SIZES`].
    pub commit_sizes: [u64; COMMIT_SIZES.len()],
}

/// Told that somebody asks for a write; what it answers is dropped when that write has ended, however it did.
pub type WriteWatch = Box<dyn Fn() -> Option<Box<dyn Any + Send>> + Send + Sync>;

/// The open database. Cheap to clone; when the last clone is dropped, the engine finishes what it was given and ends.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    url: StoreUrl,
    engine: Box<dyn Engine>,
    shared: Arc<Shared>,
    serving: Mutex<Option<lock::ServingLock>>,
    watch: OnceLock<WriteWatch>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.engine.close();
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("url", &self.inner.url).finish_non_exhaustive()
    }
}

impl Store {
    /// Connects, waiting for it on this thread, and starts the engine's threads. Does not migrate: see
    /// [`Store::migrate`].
    pub fn open(url: &StoreUrl, options: &StoreOptions) -> Result<Self, Fault> {
        let shared = Shared::new();
        let engine = engine::open(url, options, &shared)?;
        let (serving, watch) = (Mutex::new(None), OnceLock::new());
        Ok(Self { inner: Arc::new(Inner { url: url.clone(), engine, shared, serving, watch }) })
    }

    /// Runs `work` in one transaction and returns after COMMIT.
    ///
    /// An `Ok` of the closure commits, whatever it means to the caller; a [`Fault`] or a panic rolls back. The closure
    /// may be run again if its transaction was lost, each time with its own clone of `ctx`. If the future is dropped,
    /// the job is still done.
    ///
    /// Faults: `Unavailable` at once when too many jobs wait or the store is closed. On PostgreSQL `Unavailable` can
    /// also mean that the answer to COMMIT was lost: then nobody knows whether the transaction took place.
    pub async fn write<T, F>(&self, ctx: &Ctx, mut work: F) -> Result<T, Fault>
    where
        T: Send + 'static,
        F: FnMut(&mut dyn Tx, &mut Ctx) -> Result<T, Fault> + Send + 'static,
    {
        let _watched = self.inner.watch.get().and_then(|watch| watch());
        let ctx = ctx.clone();
        let (job, answer) = engine::job(move |tx| work(tx, &mut ctx.clone()));
        self.inner.engine.write(job)?;
        answered(answer).await
    }

    /// Has each [`Store::write`] watched from now on, in the task that asks for it. Only the first call counts.
    pub fn watch_writes(&self, watch: WriteWatch) {
        let _of_two_the_first = self.inner.watch.set(watch);
    }

    /// Runs `work` over one consistent snapshot, which it cannot change.
    ///
    /// The closure may be run again, and is stopped after [`StoreOptions::statement_timeout`]. If the future is
    /// dropped, the job is still done.
    pub async fn read<T, F>(&self, work: F) -> Result<T, Fault>
    where
        T: Send + 'static,
        F: FnMut(&mut dyn Tx) -> Result<T, Fault> + Send + 'static,
    {
        let (job, answer) = engine::job(work);
        self.inner.engine.read(job)?;
        answered(answer).await
    }

    /// The same for work whose length its caller chooses, such as a page of whatever a predicate selects. On SQLite it has
    /// a thread of its own: however long it takes, [`Store::read`] does not wait for it.
    pub async fn query<T, F>(&self, work: F) -> Result<T, Fault>
    where
        T: Send + 'static,
        F: FnMut(&mut dyn Tx) -> Result<T, Fault> + Send + 'static,
    {
        let (job, answer) = engine::job(work);
        self.inner.engine.query(job)?;
        answered(answer).await
    }

    /// The same of a replica, if there is one that is not too far behind: everything that was committed
    /// [`ReplicaOptions::staleness_max`] ago is seen, what was committed since then perhaps not. Otherwise of the database
    /// itself.
    pub async fn query_replica<T, F>(&self, work: F) -> Result<T, Fault>
    where
        T: Send + 'static,
        F: FnMut(&mut dyn Tx) -> Result<T, Fault> + Send + 'static,
    {
        let (job, answer) = engine::job(work);
        self.inner.engine.query_replica(job)?;
        answered(answer).await
    }

    /// How far the replica is behind, at most. `None`: there is none, or nobody knows.
    pub fn staleness(&self) -> Option<Duration> {
        self.inner.engine.staleness()
    }

    /// Brings the database to the form that this program knows; `now` is noted beside each migration applied.
    /// Returns the numbers applied. Safe when several nodes do it at once.
    pub async fn migrate(&self, now: Micros) -> Result<Vec<i64>, Fault> {
        migrate::apply(self, migrate::MIGRATIONS, now).await
    }

    /// Which migrations are applied and which are pending. Changes nothing.
    pub async fn migration_status(&self) -> Result<MigrationStatus, Fault> {
        migrate::status(self, migrate::MIGRATIONS).await
    }

    /// Compiles every fixed statement for the writer, and the queries for a reader: no request waits for it later, and a
    /// database whose tables do not fit this program is noticed before it is served. PostgreSQL compiles for each of its
    /// connections what that one uses, when it first does: nothing to do.
    pub async fn prepare(&self, ctx: &Ctx) -> Result<(), Fault> {
        self.write(ctx, |tx, _| crate::statements().try_for_each(|sql| tx.prepare(sql))).await?;
        let is_query = |sql: &&Sql| sql.sqlite.trim_start().starts_with("SELECT");
        self.read(move |tx| crate::statements().filter(is_query).try_for_each(|sql| tx.prepare(sql))).await
    }

    /// What was done since the store was opened.
    pub fn counters(&self) -> Counters {
        self.inner.shared.counters()
    }

    /// A number that moves after each commit of this process and, on PostgreSQL, soon after one of another process.
    ///
    /// A wake-up, not a log: commits may share one, some move it for nothing, and the word of another process may get
    /// lost with a connection, so followers look for themselves now and then as well.
    pub fn committed(&self) -> watch::Receiver<u64> {
        self.inner.shared.committed.subscribe()
    }

    /// `sqlite` or `postgres`.
    pub fn engine_name(&self) -> &'static str {
        self.inner.engine.name()
    }

    /// Makes sure that this is the only server on a SQLite file, until the store is closed or dropped. PostgreSQL
    /// takes many servers: nothing to do. True: it is the only one.
    pub fn lock_for_serving(&self) -> Result<bool, Fault> {
        let StoreUrl::Sqlite(path) = &self.inner.url else { return Ok(false) };
        let mut held = self.inner.serving.lock().unwrap_or_else(PoisonError::into_inner);
        if held.is_none() {
            *held = Some(lock::ServingLock::take(path)?);
        }
        Ok(true)
    }

    /// Takes no more jobs, waits until those taken are done and the connections closed. Later calls answer
    /// `Unavailable`. Harmless when repeated.
    pub async fn close(&self) {
        self.inner.engine.close();
        let mut threads = self.inner.shared.threads.subscribe();
        // The sender lives as long as `self`, so this cannot fail.
        let _ = threads.wait_for(|count| *count == 0).await;
        self.inner.serving.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

async fn answered<T>(answer: oneshot::Receiver<Result<T, Fault>>) -> Result<T, Fault> {
    answer.await.unwrap_or_else(|_| Err(Fault::new(FaultKind::Unavailable, "the store ended before it answered")))
}
