//! A small ledger, the same on both engines: rows with a number and a text, and a counter with a version.

use std::sync::mpsc;

use keyherald_core::{Ctx, Micros};
use keyherald_store::testing::TestStore;
use keyherald_store::tx::{query_all, query_one};
use keyherald_store::{Fault, FaultKind, Sql, Store, Tx};

static CREATE: [Sql; 3] = [
    Sql::split(
        "CREATE",
        "CREATE TABLE ledger (id INTEGER PRIMARY KEY, word TEXT NOT NULL) STRICT",
        "CREATE TABLE ledger (id BIGINT PRIMARY KEY, word TEXT NOT NULL)",
    ),
    Sql::both("CREATE_INDEX", "CREATE UNIQUE INDEX ledger_word ON ledger (word)"),
    Sql::split(
        "CREATE_COUNTER",
        "CREATE TABLE counter (id INTEGER PRIMARY KEY, version INTEGER NOT NULL) STRICT",
        "CREATE TABLE counter (id BIGINT PRIMARY KEY, version BIGINT NOT NULL)",
    ),
];
static COUNTER: Sql = Sql::both("COUNTER", "INSERT INTO counter (id, version) VALUES (1, 0)");
static ADD: Sql = Sql::both("ADD", "INSERT INTO ledger (id, word) VALUES ($1, $2)");
/// All ids, in order.
pub static IDS: Sql = Sql::both("IDS", "SELECT id FROM ledger ORDER BY id");
static VERSION: Sql = Sql::both("VERSION", "SELECT version FROM counter WHERE id = 1");
static SWAP: Sql = Sql::both("SWAP", "UPDATE counter SET version = version + 1 WHERE id = 1 AND version = $1");

/// What `write` takes.
pub type Work<T> = Box<dyn FnMut(&mut dyn Tx, &mut Ctx) -> Result<T, Fault> + Send>;

/// A context; its chance is fixed.
pub fn ctx() -> Ctx {
    Ctx::new(Micros(1_700_000_000_000_000), [7; 32])
}

/// Creates the tables.
pub async fn prepare(test: &TestStore) {
    test.write(&ctx(), |tx, _| {
        for sql in &CREATE {
            tx.execute(sql, &[])?;
        }
        tx.execute(&COUNTER, &[]).map(drop)
    })
    .await
    .unwrap();
}

/// Inserts a row whose word is its number.
pub fn add(tx: &mut dyn Tx, id: i64) -> Result<(), Fault> {
    add_word(tx, id, &id.to_string())
}

pub fn add_word(tx: &mut dyn Tx, id: i64, word: &str) -> Result<(), Fault> {
    tx.execute(&ADD, &[id.into(), word.into()]).map(drop)
}

pub fn ids_in(tx: &mut dyn Tx) -> Result<Vec<i64>, Fault> {
    query_all(tx, &IDS, &[], |row| row.int(0))
}

/// The rows that are there.
pub async fn ids(store: &Store) -> Vec<i64> {
    store.read(ids_in).await.unwrap()
}

pub fn version_in(tx: &mut dyn Tx) -> Result<i64, Fault> {
    query_one(tx, &VERSION, &[], |row| row.int(0)).map(Option::unwrap)
}

/// True: the version was still `seen`, and is one more now.
pub fn swap(tx: &mut dyn Tx, seen: i64) -> Result<bool, Fault> {
    tx.execute(&SWAP, &[seen.into()]).map(|changed| changed == 1)
}

/// A fault as a repository function would raise it.
pub fn own_fault() -> Fault {
    Fault::new(FaultKind::Corrupt, "a fault of the closure")
}

/// Keeps the writer (or one of the workers) busy until it is told to go on, so that what is written meanwhile waits.
pub struct Gate {
    open: mpsc::Sender<()>,
    job: tokio::task::JoinHandle<Result<(), Fault>>,
}

impl Gate {
    /// Returns when the job runs.
    pub async fn shut(store: &Store) -> Self {
        let (open, opened) = mpsc::channel();
        let (running, mut runs) = tokio::sync::mpsc::unbounded_channel();
        let store = store.clone();
        let work = move |_: &mut dyn Tx, _: &mut Ctx| {
            running.send(()).unwrap();
            let _ = opened.recv();
            Ok(())
        };
        #[expect(clippy::disallowed_methods, reason = "a test has no task list")]
        let job = tokio::spawn(async move { store.write(&ctx(), work).await });
        runs.recv().await.unwrap();
        Self { open, job }
    }

    pub async fn open(self) {
        self.open.send(()).unwrap();
        self.job.await.unwrap().unwrap();
    }
}

/// Starts writes one after the other, so that they are queued in this order, and returns what they answer.
pub async fn queue<T: Send + 'static>(
    store: &Store,
    works: Vec<Work<T>>,
) -> Vec<tokio::task::JoinHandle<Result<T, Fault>>> {
    let mut answers = Vec::new();
    for work in works {
        let (queued, started) = tokio::sync::oneshot::channel();
        let store = store.clone();
        #[expect(clippy::disallowed_methods, reason = "a test has no task list")]
        answers.push(tokio::spawn(async move {
            let context = ctx();
            let mut write = std::pin::pin!(store.write(&context, work));
            // The first poll puts the job into the queue.
            let first = std::future::poll_fn(|cx| std::task::Poll::Ready(write.as_mut().poll(cx))).await;
            let _ = queued.send(());
            match first {
                std::task::Poll::Ready(answer) => answer,
                std::task::Poll::Pending => write.await,
            }
        }));
        started.await.unwrap();
    }
    answers
}
