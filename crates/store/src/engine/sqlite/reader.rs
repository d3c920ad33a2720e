//! A reader thread: each closure in one deferred transaction, which sees one snapshot and cannot change it.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::tx::SqliteTx;
use super::{error, open};
use crate::engine::queue::{Queue, Taken};
use crate::engine::{Inject, Job, Shared};
use crate::{Fault, StoreOptions};

/// Steps of SQLite's machine (some tens of nanoseconds each) between two looks at the clock.
const STEPS_UNWATCHED: i32 = 20_000;

pub(super) struct Reader {
    connection: Connection,
    inject: Option<Inject>,
    time_limit: Duration,
    /// When the running closure has used up its time.
    deadline: Arc<Mutex<Option<Instant>>>,
    shared: Arc<Shared>,
}

impl Reader {
    pub(super) fn open(
        path: &Path,
        options: &StoreOptions,
        shared: &Arc<Shared>,
        cache_kib: i64,
    ) -> Result<Self, Fault> {
        let mut connection = open::reader(path, options, cache_kib)?;
        let deadline = Arc::new(Mutex::new(None));
        let watched = Arc::clone(&deadline);
        connection
            .progress_handler(STEPS_UNWATCHED, Some(move || is_over(&watched)))
            .map_err(|cause| error::fault_at_open(path, cause))?;
        Ok(Self {
            connection,
            inject: options.inject.clone(),
            time_limit: options.statement_timeout,
            deadline,
            shared: Arc::clone(shared),
        })
    }

    /// Works until the queue is closed and empty.
    pub(super) fn run(self, queue: &Queue<Box<dyn Job>>) {
        while let Taken::Job(mut job) = queue.take_one(None) {
            let outcome = self.look(job.as_mut());
            job.answer(outcome);
        }
    }

    fn look(&self, job: &mut dyn Job) -> Result<(), Fault> {
        self.set_deadline(Some(Instant::now() + self.time_limit));
        self.control("BEGIN DEFERRED")?;
        let mut tx = SqliteTx::new(&self.connection, self.inject.as_ref());
        let outcome = job.run(&mut tx).and_then(|()| tx.intact());
        self.shared.count_read(tx.statements());
        self.set_deadline(None);
        // There is nothing to commit; this only lets the snapshot go.
        if !self.connection.is_autocommit() {
            self.control("ROLLBACK")?;
        }
        outcome
    }

    fn control(&self, text: &'static str) -> Result<(), Fault> {
        let run = |connection: &Connection| connection.prepare_cached(text)?.execute([]);
        run(&self.connection).map(drop).map_err(|cause| error::fault(&self.connection, text, cause))
    }

    fn set_deadline(&self, deadline: Option<Instant>) {
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner) = deadline;
    }
}

fn is_over(deadline: &Mutex<Option<Instant>>) -> bool {
    deadline.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|deadline| Instant::now() >= deadline)
}
