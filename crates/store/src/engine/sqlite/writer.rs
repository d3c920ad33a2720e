//! The writer thread: group commit, and what happens when it fails.
//!
//! Nobody is answered `Ok` without a COMMIT that returned `Ok`. If the process dies before COMMIT, nothing of the
//! batch is in the file and nobody was answered; if it dies after, all of it is.

use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::Connection;

use super::tx::{SqliteTx, provoke};
use super::{error, open};
use crate::engine::queue::Queue;
use crate::engine::{Job, Point, Shared};
use crate::{Fault, FaultKind, StoreOptions};

pub(super) struct Writer {
    path: PathBuf,
    options: StoreOptions,
    connection: Connection,
    shared: Arc<Shared>,
}

/// Why a batch did not commit.
enum Broken {
    /// The transaction is gone and nothing of it is in the database: its jobs can be run again.
    Lost(Fault),
    /// It did not begin, or nobody knows whether it committed: its jobs must not be run again.
    Final(Fault),
}

impl Writer {
    pub(super) fn open(path: &std::path::Path, options: &StoreOptions, shared: &Arc<Shared>) -> Result<Self, Fault> {
        let connection = open::writer(path, options)?;
        Ok(Self { path: path.to_owned(), options: options.clone(), connection, shared: Arc::clone(shared) })
    }

    /// Works until the queue is closed and empty.
    pub(super) fn run(mut self, queue: &Queue<Box<dyn Job>>) {
        let mut batch = Vec::new();
        // Busy clients write again as soon as they are answered, one after the other. Whoever commits what the first
        // of them brings makes all others wait for a whole flush, so batches would be small and large by turns. With
        // as many expected as were just answered, 64 clients get twice as many writes done, and one waits for nobody.
        let mut expected = 1;
        while queue.take_batch(self.options.batch_max.max(1), expected, &mut batch) {
            expected = batch.len();
            self.serve(&mut batch);
        }
        if let Err((_, cause)) = self.connection.close() {
            tracing::warn!(error = %cause, "the SQLite file did not close cleanly; its log is read at the next start");
        }
    }

    /// Runs a batch as one transaction; if that is lost, each job once more in one of its own.
    fn serve(&mut self, batch: &mut Vec<Box<dyn Job>>) {
        match self.commit(batch) {
            Ok(outcomes) => {
                for (job, outcome) in batch.drain(..).zip(outcomes) {
                    job.answer(outcome);
                }
            }
            Err(Broken::Final(fault)) => {
                tracing::warn!(error = ?fault, jobs = batch.len(), "a batch of writes failed");
                for job in batch.drain(..) {
                    job.answer(Err(fault.duplicate()));
                }
            }
            Err(Broken::Lost(fault)) => {
                tracing::warn!(error = ?fault, jobs = batch.len(), "a batch of writes is run again one by one");
                for mut job in batch.drain(..) {
                    let outcome = match self.commit(std::slice::from_mut(&mut job)) {
                        Ok(outcomes) => outcomes.into_iter().collect(),
                        Err(Broken::Lost(fault) | Broken::Final(fault)) => Err(fault),
                    };
                    job.answer(outcome);
                }
            }
        }
    }

    /// One transaction over all `jobs`. On `Ok` it has committed what the jobs with an `Ok` outcome did.
    fn commit(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<Vec<Result<(), Fault>>, Broken> {
        self.begin().map_err(Broken::Final)?;
        let committed = self.run_all(jobs).and_then(|ran| self.at(Point::Commit, "COMMIT").map(|()| ran));
        let (outcomes, statements) = committed.map_err(|fault| {
            self.abandon();
            Broken::Lost(fault)
        })?;
        let writes = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        if writes > 0 {
            self.shared.count_commit(u64::try_from(writes).unwrap_or(u64::MAX), statements);
        }
        match self.provoked(Point::Committed) {
            Some(cause) => Err(Broken::Final(error::fault(&self.connection, "COMMIT", cause))),
            None => Ok(outcomes),
        }
    }

    fn begin(&mut self) -> Result<(), Fault> {
        // IMMEDIATE takes the write lock now, so that no statement can find its snapshot outdated by another process.
        self.at(Point::Begin, "BEGIN IMMEDIATE")
    }

    /// Runs each job in its savepoint. The error: the transaction is lost.
    fn run_all(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<(Vec<Result<(), Fault>>, u64), Fault> {
        let mut outcomes = Vec::with_capacity(jobs.len());
        let mut statements = 0;
        for job in jobs {
            let (outcome, count) = self.run_one(job.as_mut())?;
            if outcome.is_ok() {
                statements += count;
            }
            outcomes.push(outcome);
        }
        Ok((outcomes, statements))
    }

    /// Runs one job in its savepoint: its outcome, and how many statements it made.
    fn run_one(&mut self, job: &mut dyn Job) -> Result<(Result<(), Fault>, u64), Fault> {
        self.control("SAVEPOINT job")?;
        let mut tx = SqliteTx::new(&self.connection, self.options.inject.as_ref());
        let outcome = job.run(&mut tx).and_then(|()| tx.intact());
        let statements = tx.statements();
        // A full disk, an I/O error or a lack of memory may have rolled back everything, the others' work included.
        if self.connection.is_autocommit() {
            return Err(outcome.err().unwrap_or_else(|| Fault::new(FaultKind::Internal, "a transaction disappeared")));
        }
        if outcome.is_err() {
            self.control("ROLLBACK TO job")?;
        }
        self.control("RELEASE job")?;
        Ok((outcome, statements))
    }

    fn at(&mut self, point: Point, text: &'static str) -> Result<(), Fault> {
        match self.provoked(point) {
            Some(cause) => Err(error::fault(&self.connection, text, cause)),
            None => self.control(text),
        }
    }

    fn control(&self, text: &'static str) -> Result<(), Fault> {
        let mut statement = self.connection.prepare_cached(text).map_err(|cause| self.fault(text, cause))?;
        statement.execute([]).map(drop).map_err(|cause| self.fault(text, cause))
    }

    /// Leaves no transaction open, at the price of a new connection if need be.
    fn abandon(&mut self) {
        if !self.connection.is_autocommit() {
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        if !self.connection.is_autocommit() {
            match open::writer(&self.path, &self.options) {
                Ok(connection) => self.connection = connection,
                Err(fault) => tracing::error!(error = ?fault, "the writer's connection is stuck and a new one fails"),
            }
        }
    }

    fn provoked(&self, point: Point) -> Option<rusqlite::Error> {
        self.options.inject.as_ref().and_then(|inject| provoke(inject, point, &self.connection))
    }

    #[track_caller]
    fn fault(&self, statement: &str, cause: rusqlite::Error) -> Fault {
        error::fault(&self.connection, statement, cause)
    }
}
