//! Durable writes per second through [`Store::write`], as a share of a bare loop over the same statements.
//!
//! A write is like a password change: a compare-and-set on a customer, a message of 600 bytes with two indexes, one
//! more row. The store has 64 clients, each of which waits for its answer before it writes again. The bare loop has
//! no clients, threads or channels: it commits as many writes at once as the store's batches had on the average. Both
//! take turns on files of the same disk; one line of JSON comes out.
//!
//! `cargo bench -p keyherald-store`
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "a bench: small positive numbers, and a panic is an answer"
)]

use std::time::{Duration, Instant};

use keyherald_core::{Ctx, Micros};
use keyherald_store::{Sql, Store, StoreOptions, StoreUrl, Tx, Value};
use rusqlite::{Connection, params};

const CLIENTS: i64 = 64;
const CUSTOMERS: i64 = 10_000;
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(2);

static TABLES: [Sql; 5] = [
    Sql::both("T1", "CREATE TABLE customer (id TEXT PRIMARY KEY, version INTEGER NOT NULL, hash TEXT NOT NULL) STRICT"),
    Sql::both(
        "T2",
        "CREATE TABLE message (position INTEGER PRIMARY KEY, id TEXT NOT NULL, customer TEXT NOT NULL,
            sequence INTEGER NOT NULL, body TEXT NOT NULL) STRICT",
    ),
    Sql::both("I1", "CREATE UNIQUE INDEX message_id ON message (id)"),
    Sql::both("I2", "CREATE UNIQUE INDEX message_sequence ON message (customer, sequence)"),
    Sql::both("T3", "CREATE TABLE audit (id INTEGER PRIMARY KEY, customer TEXT NOT NULL, at INTEGER NOT NULL) STRICT"),
];
static CUSTOMER: Sql = Sql::both("CUSTOMER", "INSERT INTO customer (id, version, hash) VALUES ($1, 1, '')");
// The placeholders appear in the order of their numbers, for the bare loop binds as SQLite counts.
static SWAP: Sql =
    Sql::both("SWAP", "UPDATE customer SET version = version + 1, hash = $1 WHERE id = $2 AND version = $3");
static MESSAGE: Sql =
    Sql::both("MESSAGE", "INSERT INTO message (id, customer, sequence, body) VALUES ($1, $2, $3, $4)");
static AUDIT: Sql = Sql::both("AUDIT", "INSERT INTO audit (customer, at) VALUES ($1, $2)");

fn customer_id(number: i64) -> String {
    format!("{number:08x}-0000-7000-8000-{number:012x}")
}

fn message_id(customer: i64, version: i64) -> String {
    format!("{customer:08x}-0000-7000-9000-{version:012x}")
}

fn hash(version: i64) -> String {
    format!("$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaA{version}")
}

/// Client `client` owns every 64th customer, so that no compare-and-set is lost and each is one write.
struct Turns {
    client: i64,
    turn: i64,
}

impl Turns {
    /// The next customer and the version that it has.
    fn next(&mut self) -> (i64, i64) {
        let of_client = CUSTOMERS / CLIENTS;
        let (customer, version) = (self.client + CLIENTS * (self.turn % of_client), 1 + self.turn / of_client);
        self.turn += 1;
        (customer, version)
    }
}

struct Through {
    store: Store,
    runtime: tokio::runtime::Runtime,
    turns: Vec<i64>,
}

impl Through {
    fn new(folder: &std::path::Path) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let url = StoreUrl::Sqlite(folder.join("store.db"));
        let store = Store::open(&url, &StoreOptions::default()).unwrap();
        let context = ctx();
        let prepared = store.write(&context, |tx, _| {
            TABLES.iter().try_for_each(|sql| tx.execute(sql, &[]).map(drop))?;
            (0..CUSTOMERS).try_for_each(|number| tx.execute(&CUSTOMER, &[customer_id(number).into()]).map(drop))
        });
        runtime.block_on(prepared).unwrap();
        Self { store, runtime, turns: vec![0; CLIENTS as usize] }
    }

    /// Writes done in one round.
    fn round(&mut self) -> (u64, Duration) {
        let begun = Instant::now();
        let before = self.store.counters().writes;
        let turns = self.runtime.block_on(async {
            let mut clients = tokio::task::JoinSet::new();
            for (client, turn) in self.turns.iter().enumerate() {
                let turns = Turns { client: client as i64, turn: *turn };
                clients.spawn(one_client(self.store.clone(), turns, begun + ROUND));
            }
            clients.join_all().await
        });
        for (client, turn) in turns {
            self.turns[client as usize] = turn;
        }
        (self.store.counters().writes - before, begun.elapsed())
    }
}

async fn one_client(store: Store, mut turns: Turns, until: Instant) -> (i64, i64) {
    while Instant::now() < until {
        let (customer, version) = turns.next();
        let body = "m".repeat(600);
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            let id = customer_id(customer);
            let swapped = tx.execute(&SWAP, &[hash(version).into(), Value::from(&id), version.into()])?;
            tx.execute(
                &MESSAGE,
                &[message_id(customer, version).into(), Value::from(&id), version.into(), Value::from(&body)],
            )?;
            tx.execute(&AUDIT, &[id.into(), ctx.now.into()])?;
            Ok(swapped)
        };
        assert_eq!(store.write(&ctx(), work).await.unwrap(), 1);
    }
    (turns.client, turns.turn)
}

struct Bare {
    connection: Connection,
    clients: Vec<Turns>,
}

impl Bare {
    fn new(folder: &std::path::Path) -> Self {
        let connection = Connection::open(folder.join("bare.db")).unwrap();
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        connection.pragma_update(None, "synchronous", "FULL").unwrap();
        connection.pragma_update(None, "foreign_keys", true).unwrap();
        for sql in &TABLES {
            connection.execute(&sql.sqlite, []).unwrap();
        }
        connection.execute_batch("BEGIN").unwrap();
        for number in 0..CUSTOMERS {
            connection.execute(&CUSTOMER.sqlite, [customer_id(number)]).unwrap();
        }
        connection.execute_batch("COMMIT").unwrap();
        Self { connection, clients: (0..CLIENTS).map(|client| Turns { client, turn: 0 }).collect() }
    }

    /// Writes done in one round, `group` to a commit.
    fn round(&mut self, group: usize) -> (u64, Duration) {
        let Self { connection, clients } = self;
        let mut swap = connection.prepare(&SWAP.sqlite).unwrap();
        let mut message = connection.prepare(&MESSAGE.sqlite).unwrap();
        let mut audit = connection.prepare(&AUDIT.sqlite).unwrap();
        let (begun, mut writes) = (Instant::now(), 0);
        while begun.elapsed() < ROUND {
            connection.execute_batch("BEGIN IMMEDIATE").unwrap();
            for _ in 0..group {
                let client = writes % clients.len();
                let (customer, version) = clients[client].next();
                let id = customer_id(customer);
                assert_eq!(swap.execute(params![hash(version), id, version]).unwrap(), 1);
                message.execute(params![message_id(customer, version), id, version, "m".repeat(600)]).unwrap();
                audit.execute(params![id, 0]).unwrap();
                writes += 1;
            }
            connection.execute_batch("COMMIT").unwrap();
        }
        (writes as u64, begun.elapsed())
    }
}

fn ctx() -> Ctx {
    Ctx::new(Micros(0), [0; 32])
}

fn main() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (mut through, mut bare) = (Through::new(folder.path()), Bare::new(folder.path()));
    let (mut store_rate, mut bare_rate) = (0.0, 0.0);
    let begun = through.store.counters();
    let mean = |store: &Store| {
        let now = store.counters();
        (now.writes - begun.writes) as f64 / (now.commits - begun.commits).max(1) as f64
    };
    for _ in 0..ROUNDS {
        let (writes, took) = through.round();
        store_rate += writes as f64 / took.as_secs_f64() / ROUNDS as f64;
        let group = mean(&through.store).round() as usize;
        let (writes, took) = bare.round(group.max(1));
        bare_rate += writes as f64 / took.as_secs_f64() / ROUNDS as f64;
    }
    let (ratio, batch_mean) = (store_rate / bare_rate, mean(&through.store));
    let rows = serde_json::json!([
        {"name": format!("writes of {CLIENTS} clients at once"), "value": store_rate, "unit": "writes/s",
         "limit": bare_rate, "ratio": ratio, "aim": 0.7, "aim_kind": "at least"},
        {"name": "writes in one commit, on average", "value": batch_mean, "unit": "writes"},
    ]);
    println!("{}", serde_json::json!({"section": "durable writes (SQLite)", "rows": rows}));
}
