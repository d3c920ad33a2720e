//! Every documented way to look something up, among ten thousand rows and among a million: how much longer it takes.
//!
//! The ways are those whose plans are tested (`tests/plans.rs`). Each is asked with random draws, by turns on the small
//! and on the large database, through the store as the server does; the median of how long the caller waits counts. On
//! SQLite, and on PostgreSQL if `KEYHERALD_TEST_POSTGRES` names a server. One line of JSON per engine.
//!
//! `cargo bench -p keyherald-store --bench queries [-- --quick]`
#![expect(
    clippy::unwrap_used,
    clippy::as_conversions,
    reason = "a bench: small positive numbers, and a panic is an answer"
)]

#[expect(dead_code, reason = "what is known of plans is for the test of plans")]
#[path = "../tests/ways/mod.rs"]
mod ways;

use std::cell::Cell;
use std::time::{Duration, Instant};

use keyherald_store::testing::{POSTGRES_URL, TestStore, block_on};
use keyherald_store::{StoreOptions, Tx};
use serde_json::{Value, json};

use ways::{WAYS, Way, fill};

/// Rows of each kind in the two databases, and how often each way is asked on each.
struct Size {
    few: i64,
    many: i64,
    asked: usize,
}

const FULL: Size = Size { few: 10_000, many: 1_000_000, asked: 301 };
const QUICK: Size = Size { few: 1_000, many: 10_000, asked: 31 };
/// How often the filling says how far it is.
const TOLD_EVERY: Duration = Duration::from_secs(5);
/// To fill is not what is measured.
const FILLING_TIMEOUT: Duration = Duration::from_mins(2);

fn main() {
    let size = if std::env::args().any(|argument| argument == "--quick") { QUICK } else { FULL };
    block_on(async {
        let options = StoreOptions { statement_timeout: FILLING_TIMEOUT, ..StoreOptions::default() };
        let open = || TestStore::sqlite_with(&options);
        measure("SQLite", &size, open(), open()).await;
        if std::env::var_os(POSTGRES_URL).is_some() {
            let open = || TestStore::postgres_with(&options);
            measure("PostgreSQL", &size, open(), open()).await;
        }
    });
}

async fn measure(engine: &str, size: &Size, few: TestStore, many: TestStore) {
    for (store, rows) in [(&few, size.few), (&many, size.many)] {
        store.migrate(ways::START).await.unwrap();
        let (begun, told) = (Instant::now(), Cell::new(Instant::now()));
        fill(store, rows, |done| {
            if told.get().elapsed() > TOLD_EVERY {
                println!("{engine}: {done} of {rows} customers and messages written");
                told.set(Instant::now());
            }
        })
        .await;
        println!("{engine}: {rows} customers and messages written in {:.1} s", begun.elapsed().as_secs_f64());
    }
    let mut rows = Vec::new();
    for way in WAYS {
        let (mut at_few, mut at_many) = (Vec::new(), Vec::new());
        for turn in 0..size.asked {
            at_few.push(ask(&few, way, size.few, turn).await);
            at_many.push(ask(&many, way, size.many, turn).await);
        }
        rows.push(row(way, median(at_few), median(at_many)));
    }
    let section = format!("queries among {} rows, against {} ({engine})", size.many, size.few);
    println!("{}", json!({"section": section, "rows": rows}));
}

async fn ask(store: &TestStore, way: &'static Way, rows: i64, turn: usize) -> Duration {
    let draw = draw(turn) % rows;
    let begun = Instant::now();
    store.query(move |tx: &mut dyn Tx| (way.ask)(tx, rows, draw)).await.unwrap();
    begun.elapsed()
}

/// Any number from 0; the same in every run (Knuth's multiplicative hash).
fn draw(turn: usize) -> i64 {
    i64::try_from(turn as u64 * 2_654_435_761 % (1 << 32)).unwrap()
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times.get(times.len() / 2).unwrap().as_secs_f64() * 1e6
}

fn row(way: &Way, at_few: f64, at_many: f64) -> Value {
    json!({"name": way.name, "value": at_many, "unit": "µs", "limit": at_few, "ratio": at_many / at_few, "aim": 1.5,
           "aim_kind": "at most"})
}
