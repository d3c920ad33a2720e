//! PostgreSQL: worker threads, each with a connection of its own.
//!
//! The client is the synchronous one and never touches the async runtime: closures are synchronous anyway, and it
//! panics there. Writes are READ COMMITTED transactions in which the repository functions take row locks; what loses
//! against another transaction is run again.
//!
//! Other processes are told of commits by NOTIFY, sent beside the transactions and not inside: a NOTIFY inside takes a
//! lock until the commit is done, so that commits would follow one another.

mod connect;
mod error;
mod notify;
mod pooler;
mod replica;
mod tx;
mod worker;

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use super::queue::Queue;
use super::{Engine, Job, Shared, refused, spawn};
use crate::{Fault, FaultKind, StoreOptions};
use connect::Connector;
use replica::Replica;
use worker::{Mode, Pool, Task, Worker};

/// The queue before the worker threads, and the one of a standby's.
pub(crate) struct Postgres {
    queue: Arc<Queue<Task>>,
    replica: Option<Replica>,
}

impl Postgres {
    pub(crate) fn open(url: &str, options: &StoreOptions, shared: &Arc<Shared>) -> Result<Self, Fault> {
        let mut engine = Self { queue: Arc::new(Queue::new(options.queue_max)), replica: None };
        let connector = Arc::new(Connector::new(url, options)?);
        let started = engine.start(&connector, options, shared).and_then(|()| {
            let start = |replica| Replica::start(replica, (&connector, &engine.queue), options, shared);
            engine.replica = options.replica.as_ref().map(start).transpose()?;
            Ok(())
        });
        if started.is_err() {
            engine.close();
        }
        started.map(|()| engine)
    }

    /// Starts the threads and waits until the first of them has a connection that will do, or knows why it has none.
    fn start(&self, connector: &Arc<Connector>, options: &StoreOptions, shared: &Arc<Shared>) -> Result<(), Fault> {
        let committed = notify::start(connector, shared, &self.queue)?;
        let pool = Arc::new(Pool::new(Arc::clone(shared), options.inject.clone()));
        let (tell_first, first) = mpsc::sync_channel(1);
        for number in 0..options.connections.max(1) {
            let mut worker =
                Worker::new(self.queue.taker(), Arc::clone(&pool), Arc::clone(connector), committed.clone());
            let tell_first = (number == 0).then(|| (tell_first.clone(), Arc::clone(connector)));
            let body = move || {
                if let Some((tell_first, connector)) = tell_first {
                    let connected = pooler::refuse(&connector).and_then(|()| worker.connect());
                    let _ = tell_first.send(connected); // the receiver waits
                }
                worker.run();
            };
            spawn(shared, format!("store-worker-{number}"), body)?;
        }
        drop(tell_first);
        first.recv().unwrap_or_else(|_| Err(Fault::new(FaultKind::Unavailable, "the first store thread ended")))
    }

    fn take(&self, mode: Mode, job: Box<dyn Job>) -> Result<(), Fault> {
        self.queue.push(Task { mode, job }).map_err(refused)
    }
}

impl Engine for Postgres {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn write(&self, job: Box<dyn Job>) -> Result<(), Fault> {
        self.take(Mode::Write, job)
    }

    fn read(&self, job: Box<dyn Job>) -> Result<(), Fault> {
        self.take(Mode::Read, job)
    }

    fn query(&self, job: Box<dyn Job>) -> Result<(), Fault> {
        self.take(Mode::Query, job)
    }

    fn query_replica(&self, job: Box<dyn Job>) -> Result<(), Fault> {
        let standby = self.replica.as_ref().and_then(Replica::queue);
        standby.unwrap_or(&self.queue).push(Task { mode: Mode::Query, job }).map_err(refused)
    }

    fn staleness(&self) -> Option<Duration> {
        self.replica.as_ref().and_then(Replica::staleness)
    }

    fn close(&self) {
        // First, so that what it hands over is still taken.
        if let Some(replica) = &self.replica {
            replica.close();
        }
        self.queue.close();
    }
}
