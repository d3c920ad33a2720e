//! A worker thread: one connection, one job at a time.
//!
//! A closure is run again when its transaction lost against another one, and once on a new connection when the old one
//! broke before COMMIT was sent. When the connection breaks after that, nobody knows the outcome: the job is faulted
//! and not repeated. If the process dies, PostgreSQL rolls back what had not committed.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use super::connect::Connector;
use super::error::{self, Cure};
use super::tx::{Connection, PostgresTx, provoke};
use crate::engine::queue::{Queue, Taken, Taker};
use crate::engine::{Inject, Job, Point, Shared};
use crate::{Fault, FaultKind};

/// Runs of one job, the first included.
const RUNS_MAX: u32 = 8;
/// Runs of one job that a unique index refuses.
const CONFLICTS_MAX: u32 = 2;
/// First and longest pause between two runs.
const RETRY_PAUSE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));
/// First and longest pause between two attempts to connect.
const CONNECT_PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

pub(super) struct Task {
    pub mode: Mode,
    pub job: Box<dyn Job>,
}

/// In which kind of transaction a job runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Write,
    /// One snapshot, nothing changed.
    Read,
    /// The same for statements that are built of what a caller asked for.
    Query,
}

impl Mode {
    fn begin(self) -> &'static str {
        match self {
            Self::Write => "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
            Self::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            // Planned for its values each time. A plan for any values is taken or not by what PostgreSQL guesses it to
            // cost, which changes as the tables grow: the same query would suddenly be answered in another way.
            Self::Query => {
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL plan_cache_mode = force_custom_plan"
            }
        }
    }
}

/// What the workers share.
pub(super) struct Pool {
    shared: Arc<Shared>,
    inject: Option<Inject>,
    /// Who does what these workers cannot: theirs is a standby.
    primary: Option<Arc<Queue<Task>>>,
    /// Workers that have a connection.
    connected: AtomicUsize,
}

impl Pool {
    pub(super) fn new(shared: Arc<Shared>, inject: Option<Inject>) -> Self {
        Self { shared, inject, primary: None, connected: AtomicUsize::new(0) }
    }

    /// Of workers at a standby.
    pub(super) fn of_standby(shared: Arc<Shared>, primary: Arc<Queue<Task>>) -> Self {
        Self { shared, inject: None, primary: Some(primary), connected: AtomicUsize::new(0) }
    }
}

pub(super) struct Worker {
    queue: Taker<Task>,
    pool: Arc<Pool>,
    connector: Arc<Connector>,
    committed: SyncSender<()>,
    connection: Option<Connection>,
    /// Attempts to connect that failed since the last success.
    failures: u32,
}

/// A run that did not commit.
struct Failed {
    fault: Fault,
    cure: Cure,
}

impl Worker {
    pub(super) fn new(
        queue: Taker<Task>,
        pool: Arc<Pool>,
        connector: Arc<Connector>,
        committed: SyncSender<()>,
    ) -> Self {
        Self { queue, pool, connector, committed, connection: None, failures: 0 }
    }

    /// Works until the queue is closed and empty.
    pub(super) fn run(mut self) {
        loop {
            if let Err(fault) = self.connect() {
                if !self.sit_out(&fault) {
                    return;
                }
                continue;
            }
            match self.queue.take_one(None) {
                Taken::Job(task) => self.serve(task),
                Taken::Nothing => {}
                Taken::Closed => return,
            }
        }
    }

    /// Makes sure of a connection, as far as this side knows.
    pub(super) fn connect(&mut self) -> Result<(), Fault> {
        if self.connection.is_some() {
            return Ok(());
        }
        match self.connector.connect() {
            Ok(client) => {
                if self.failures > 0 {
                    tracing::info!("connected to PostgreSQL again");
                }
                self.failures = 0;
                self.connection = Some(Connection::new(client));
                self.pool.connected.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Err(fault) => {
                if self.failures == 0 {
                    tracing::warn!(error = ?fault, "no connection to PostgreSQL");
                }
                self.failures = self.failures.saturating_add(1);
                Err(fault)
            }
        }
    }

    fn disconnect(&mut self) {
        if self.connection.take().is_some() {
            self.pool.connected.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Waits for the next attempt to connect. Meanwhile the jobs are the others' or, where nobody has a connection,
    /// refused. False: the queue is closed.
    fn sit_out(&self, fault: &Fault) -> bool {
        let until = Instant::now() + pause(CONNECT_PAUSE, self.failures);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            if self.pool.connected.load(Ordering::Relaxed) > 0 {
                self.queue.stand_aside(left);
                if self.queue.is_closed() {
                    return false; // the others work off what is left
                }
                continue;
            }
            match self.queue.take_one(Some(left)) {
                Taken::Job(task) => self.decline(task, fault.duplicate()),
                Taken::Nothing => {}
                Taken::Closed => return false,
            }
        }
    }

    fn serve(&mut self, task: Task) {
        let Task { mode, mut job } = task;
        match self.settle(job.as_mut(), mode) {
            // What a caller asked too much of, the primary is not asked again.
            Err(fault) if matches!(fault.kind(), FaultKind::Unavailable | FaultKind::Contention) => {
                self.decline(Task { mode, job }, fault);
            }
            outcome => {
                if self.pool.primary.is_some() {
                    self.pool.shared.count_replica_query();
                }
                job.answer(outcome);
            }
        }
    }

    /// Leaves it to the primary, if this is not the primary's own worker.
    fn decline(&self, task: Task, fault: Fault) {
        let Some(primary) = &self.pool.primary else { return task.job.answer(Err(fault)) };
        tracing::debug!(error = ?fault, "the replica could not answer: the primary does");
        // A task that is not taken is dropped, which answers that the store is not available.
        let _ = primary.push(task);
    }

    /// Runs a job as often as it makes sense.
    fn settle(&mut self, job: &mut dyn Job, mode: Mode) -> Result<(), Fault> {
        let mut reconnected = false;
        let mut runs = 0;
        loop {
            runs += 1;
            let Err(Failed { fault, cure }) = self.attempt(job, mode) else { return Ok(()) };
            match cure {
                // A standby that cancels a query does so again.
                Cure::Again if self.pool.primary.is_some() => return Err(fault),
                Cure::Again | Cure::Prepare if runs < RUNS_MAX => {
                    self.queue.stand_aside(pause(RETRY_PAUSE, runs));
                }
                Cure::AgainOnce if runs < CONFLICTS_MAX => {}
                Cure::Reconnect if !reconnected => {
                    reconnected = true;
                    tracing::warn!(error = ?fault, "the connection to PostgreSQL broke; a job is run again on a new one");
                    self.connect()?;
                }
                _ => return Err(fault),
            }
            tracing::debug!(error = ?fault, runs, "a job is run again");
        }
    }

    /// One run in one transaction. On `Ok` a write has committed.
    fn attempt(&mut self, job: &mut dyn Job, mode: Mode) -> Result<(), Failed> {
        let inject = self.pool.inject.clone();
        let Some(connection) = self.connection.as_mut() else {
            let fault = Fault::new(FaultKind::Unavailable, "no connection to PostgreSQL");
            return Err(Failed { fault, cure: Cure::Nothing });
        };
        let outcome = run_in_transaction(connection, inject.as_ref(), job, mode).and_then(|statements| match mode {
            Mode::Read | Mode::Query => Ok(statements),
            Mode::Write => commit(connection, inject.as_ref()).map(|()| statements),
        });
        match outcome {
            Ok(statements) if mode == Mode::Write => {
                self.pool.shared.count_commit(1, statements);
                let _ = self.committed.try_send(()); // full: a NOTIFY is due already, and will tell of this one too
                if inject.and_then(|inject| inject.ask(Point::Committed)).is_some() {
                    self.disconnect();
                    return Err(Failed { fault: error::answer_lost(), cure: Cure::Nothing });
                }
                Ok(())
            }
            Ok(statements) => {
                self.pool.shared.count_read(statements);
                Ok(())
            }
            Err(failed) => {
                self.clear_up(failed.cure);
                Err(failed)
            }
        }
    }

    /// Leaves a connection without a transaction, or none.
    fn clear_up(&mut self, cure: Cure) {
        let Some(connection) = self.connection.as_mut() else { return };
        if cure == Cure::Prepare {
            connection.forget_statements();
        }
        if cure == Cure::Reconnect
            || connection.client.is_closed()
            || connection.client.batch_execute("ROLLBACK").is_err()
        {
            self.disconnect();
        }
    }
}

/// Begins and runs; returns how many statements the closure made.
fn run_in_transaction(
    connection: &mut Connection,
    inject: Option<&Inject>,
    job: &mut dyn Job,
    mode: Mode,
) -> Result<u64, Failed> {
    inject
        .map_or(Ok(()), |inject| provoke(inject, Point::Begin, &mut connection.client))
        .and_then(|()| connection.client.batch_execute(mode.begin()))
        .map_err(|cause| Failed { cure: error::cure(&cause), fault: error::fault("BEGIN", cause) })?;
    let mut tx = PostgresTx::new(connection, inject);
    let outcome = job.run(&mut tx).and_then(|()| tx.intact());
    let (statements, cure) = (tx.statements(), tx.cure());
    outcome.map_err(|fault| Failed { fault, cure: cure.unwrap_or(Cure::Nothing) })?;
    if mode != Mode::Write {
        // Lets the snapshot go. Should that fail, the next BEGIN will tell.
        let _ = connection.client.batch_execute("ROLLBACK");
    }
    Ok(statements)
}

fn commit(connection: &mut Connection, inject: Option<&Inject>) -> Result<(), Failed> {
    inject
        .map_or(Ok(()), |inject| provoke(inject, Point::Commit, &mut connection.client))
        .and_then(|()| connection.client.batch_execute("COMMIT"))
        .map_err(|cause| {
            if error::is_severed(&cause) || cause.as_db_error().is_none() {
                return Failed { fault: error::answer_lost(), cure: Cure::Nothing };
            }
            Failed { cure: error::cure(&cause), fault: error::fault("COMMIT", cause) }
        })
}

/// Twice as long after each failure, between half and the whole of that, so that the losers do not meet again.
fn pause((first, longest): (Duration, Duration), failures: u32) -> Duration {
    let whole = first.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(longest);
    let chance = u32::try_from(RandomState::new().hash_one(failures) % 1000).unwrap_or_default();
    whole / 2 + whole / 2000 * chance
}
