//! SQLite: one writer thread with group commit, a few reader threads, and one more for the queries of callers.
//!
//! A durable commit costs one flush of the disk, however much is in it. So the writer takes whatever waits, runs each
//! job in its own savepoint, commits once, and only then answers all of them.

mod error;
mod open;
mod reader;
mod tx;
mod writer;

use std::path::Path;
use std::sync::Arc;

use super::queue::Queue;
use super::{Engine, Job, Shared, refused, spawn};
use crate::{Fault, StoreOptions};

/// The queues of an open SQLite file.
pub(crate) struct Sqlite {
    writes: Arc<Queue<Box<dyn Job>>>,
    reads: Arc<Queue<Box<dyn Job>>>,
    queries: Arc<Queue<Box<dyn Job>>>,
}

impl Sqlite {
    pub(crate) fn open(path: &Path, options: &StoreOptions, shared: &Arc<Shared>) -> Result<Self, Fault> {
        let queue = || Arc::new(Queue::new(options.queue_max));
        let engine = Self { writes: queue(), reads: queue(), queries: queue() };
        // The writer first: it creates the file and switches it to WAL.
        let writer = writer::Writer::open(path, options, shared)?;
        let reader = |cache_kib| reader::Reader::open(path, options, shared, cache_kib);
        let readers = (0..options.readers.max(1)).map(|_| reader(open::READER_CACHE_KIB));
        let readers = readers.collect::<Result<Vec<_>, Fault>>()?;
        let started = engine.start(writer, readers, reader(open::QUERY_CACHE_KIB)?, shared);
        if started.is_err() {
            engine.close();
        }
        started.map(|()| engine)
    }

    fn start(
        &self,
        writer: writer::Writer,
        readers: Vec<reader::Reader>,
        for_queries: reader::Reader,
        shared: &Arc<Shared>,
    ) -> Result<(), Fault> {
        let writes = self.writes.taker();
        spawn(shared, "store-writer".to_owned(), move || writer.run(&writes))?;
        for (number, reader) in readers.into_iter().enumerate() {
            let reads = self.reads.taker();
            spawn(shared, format!("store-reader-{number}"), move || reader.run(&reads))?;
        }
        let queries = self.queries.taker();
        spawn(shared, "store-query".to_owned(), move || for_queries.run(&queries))
    }
}

impl Engine for Sqlite {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    fn write(&self, job: Box<dyn Job>) -> Result<(), Fault> {
        self.writes.push(job).map_err(refused)
    }

    fn read(&self, job: Box<dyn Job>) -> Result<(), Fault> {
        self.reads.push(job).map_err(refused)
    }

    fn query(&self, job: Box<dyn Job>) -> Result<(), Fault> {
        self.queries.push(job).map_err(refused)
    }

    fn close(&self) {
        self.queries.close();
        self.writes.close();
        self.reads.close();
    }
}
