//! The list of engines, and what the store asks of one.
//!
//! An engine owns its threads and connections. It takes jobs from bounded queues, runs each in a transaction as often
//! as its database makes that necessary, and answers each exactly once: with `Ok` only after a COMMIT that returned
//! `Ok`. To add an engine: a folder here, an arm in [`open`], a form of [`StoreUrl`], a folder of migrations.

mod inject;
mod job;
mod postgres;
mod queue;
mod sqlite;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

pub use inject::{Inject, InjectedError, Point};
pub(crate) use job::{Job, job};

use crate::store::COMMIT_SIZES;
use crate::{Counters, Fault, FaultKind, StoreOptions, StoreUrl};

/// A database behind the store.
pub(crate) trait Engine: Send + Sync {
    /// `sqlite` or `postgres`; also the folder of its migrations.
    fn name(&self) -> &'static str;

    /// Queues a job that may change things. The error: it was not taken.
    fn write(&self, job: Box<dyn Job>) -> Result<(), Fault>;

    /// Queues a job that looks at one snapshot and changes nothing. The error: it was not taken.
    fn read(&self, job: Box<dyn Job>) -> Result<(), Fault>;

    /// The same for a job whose length its caller chooses, such as a page of whatever a predicate selects: it must not hold
    /// up what [`Engine::read`] takes.
    fn query(&self, job: Box<dyn Job>) -> Result<(), Fault>;

    /// The same for a job that may look at a somewhat older snapshot: [`crate::Store::query_replica`].
    fn query_replica(&self, job: Box<dyn Job>) -> Result<(), Fault> {
        self.query(job)
    }

    /// How old the replica's state is at most. `None`: there is none, or nobody knows.
    fn staleness(&self) -> Option<Duration> {
        None
    }

    /// Takes no more jobs; the threads end when what was taken is done.
    fn close(&self);
}

/// Opens the engine that the URL names.
pub(crate) fn open(url: &StoreUrl, options: &StoreOptions, shared: &Arc<Shared>) -> Result<Box<dyn Engine>, Fault> {
    match url {
        StoreUrl::Sqlite(path) => Ok(Box::new(sqlite::Sqlite::open(path, options, shared)?)),
        StoreUrl::Postgres(text) => Ok(Box::new(postgres::Postgres::open(text, options, shared)?)),
    }
}

/// What an engine's threads tell the handle.
pub(crate) struct Shared {
    write_statements: AtomicU64,
    read_statements: AtomicU64,
    replica_queries: AtomicU64,
    writes: AtomicU64,
    commits: AtomicU64,
    commit_sizes: [AtomicU64; COMMIT_SIZES.len()],
    /// Moves after every commit, here or (on PostgreSQL) in another process.
    pub(crate) committed: watch::Sender<u64>,
    /// Threads that still work.
    pub(crate) threads: watch::Sender<usize>,
}

impl Shared {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            write_statements: AtomicU64::new(0),
            read_statements: AtomicU64::new(0),
            replica_queries: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            commits: AtomicU64::new(0),
            commit_sizes: Default::default(),
            committed: watch::Sender::new(0),
            threads: watch::Sender::new(0),
        })
    }

    /// A transaction with `writes` closures and `statements` statements has committed.
    fn count_commit(&self, writes: u64, statements: u64) {
        self.write_statements.fetch_add(statements, Ordering::Relaxed);
        self.writes.fetch_add(writes, Ordering::Relaxed);
        self.commits.fetch_add(1, Ordering::Relaxed);
        let mut sizes = COMMIT_SIZES.iter().zip(&self.commit_sizes);
        if let Some((_, count)) = sizes.find(|(max, _)| writes <= u64::from(**max)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.wake();
    }

    fn count_read(&self, statements: u64) {
        self.read_statements.fetch_add(statements, Ordering::Relaxed);
    }

    fn count_replica_query(&self) {
        self.replica_queries.fetch_add(1, Ordering::Relaxed);
    }

    /// Tells those who follow the log that there may be something new.
    fn wake(&self) {
        self.committed.send_modify(|count| *count = count.wrapping_add(1));
    }

    pub(crate) fn counters(&self) -> Counters {
        Counters {
            write_statements: self.write_statements.load(Ordering::Relaxed),
            read_statements: self.read_statements.load(Ordering::Relaxed),
            replica_queries: self.replica_queries.load(Ordering::Relaxed),
            writes: self.writes.load(Ordering::Relaxed),
            commits: self.commits.load(Ordering::Relaxed),
            commit_sizes: self.commit_sizes.each_ref().map(|count| count.load(Ordering::Relaxed)),
        }
    }
}

/// Counts a thread for as long as it runs, so that closing can wait for all of them.
struct ThreadCount(Arc<Shared>);

impl Drop for ThreadCount {
    fn drop(&mut self) {
        self.0.threads.send_modify(|count| *count = count.saturating_sub(1));
    }
}

/// Starts a thread of an engine that closing waits for.
fn spawn(shared: &Arc<Shared>, name: String, body: impl FnOnce() + Send + 'static) -> Result<(), Fault> {
    shared.threads.send_modify(|count| *count += 1);
    let count = ThreadCount(Arc::clone(shared));
    let run = move || {
        body();
        drop(count);
    };
    std::thread::Builder::new()
        .name(name)
        .spawn(run)
        .map(drop)
        .map_err(|error| Fault::caused(FaultKind::Unavailable, "cannot start a thread of the store", error))
}

/// The fault of a job that its queue did not take.
fn refused(refused: queue::Refused) -> Fault {
    match refused {
        queue::Refused::Full => Fault::new(FaultKind::Unavailable, "too many jobs wait for the store"),
        queue::Refused::Closed => Fault::new(FaultKind::Unavailable, "the store is closed"),
    }
}

/// The fault of a closure that returned `Ok` although one of its statements had failed.
fn went_on(statement: &str) -> Fault {
    Fault::new(FaultKind::Internal, format!("a closure went on after its statement {statement} had failed"))
}
