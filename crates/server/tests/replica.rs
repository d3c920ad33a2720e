//! Message queries from a standby: a real primary and a real standby, which is held back, lost and found again.
#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "black_box/mod.rs"]
#[expect(dead_code, reason = "parts of it are for other tests")]
mod black_box;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use black_box::api::{Api, http_client};
use black_box::server::Launch;
use keyherald::demo::database::{Database, Stop};
use keyherald_core::{Ctx, Micros};
use keyherald_store::tx::query_one;
use keyherald_store::{ReplicaOptions, Sql, Store, StoreOptions, StoreUrl};
use serde_json::json;

const STALENESS_MAX: Duration = Duration::from_secs(1);
/// Longest wait for something that comes in its own time.
const PATIENCE: Duration = Duration::from_mins(1);

static MAKE: Sql = Sql::both("MAKE", "CREATE TABLE written (number BIGINT)");
static WRITE: Sql = Sql::both("WRITE", "INSERT INTO written (number) VALUES ($1)");
/// By whom it is answered, and what is there.
static LOOK: Sql = Sql::both("LOOK", "SELECT pg_is_in_recovery()::int::bigint, (SELECT max(number) FROM written)");

/// What an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    by_standby: bool,
    newest: Option<i64>,
}

async fn look(store: &Store) -> Seen {
    let query = |tx: &mut dyn keyherald_store::Tx| {
        query_one(tx, &LOOK, &[], |row| Ok(Seen { by_standby: row.flag(0)?, newest: row.int_opt(1)? }))
    };
    store.query_replica(query).await.unwrap().unwrap()
}

async fn write(store: &Store, number: i64) {
    store.write(&Ctx::new(Micros(0), [0; 32]), move |tx, _| tx.execute(&WRITE, &[number.into()])).await.unwrap();
}

/// Looks again and again, and at each answer whether it is not too old: `number` was written before.
async fn until(store: &Store, number: i64, holds: impl Fn(Seen) -> bool) {
    let written = Instant::now();
    loop {
        let asked = written.elapsed();
        let seen = look(store).await;
        assert!(asked <= STALENESS_MAX || seen.newest >= Some(number), "asked after {asked:?}: {seen:?}");
        if holds(seen) {
            return;
        }
        assert!(asked < PATIENCE, "{seen:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn tell(database: &Database, statement: &'static str) {
    let url = database.url();
    let run = move || postgres::Client::connect(&url, postgres::NoTls)?.batch_execute(statement);
    std::thread::spawn(run).join().unwrap().unwrap();
}

fn options(standby: &Database) -> StoreOptions {
    let replica = Some(ReplicaOptions { url: standby.url(), staleness_max: STALENESS_MAX });
    StoreOptions { replica, connections: 4, ..StoreOptions::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: cargo xtask test makes sure that it is there"]
async fn queries_come_from_a_standby_that_is_not_too_far_behind_postgres() {
    let primary = Database::start().await.unwrap_or_else(|why| panic!("{why}"));
    let mut standby = primary.standby().await.unwrap_or_else(|why| panic!("{why}"));
    let store = Store::open(&StoreUrl::Postgres(primary.url()), &options(&standby)).unwrap();
    store.write(&Ctx::new(Micros(0), [0; 32]), |tx, _| tx.execute(&MAKE, &[])).await.unwrap();
    write(&store, 1).await;
    until(&store, 1, |seen| seen.by_standby && seen.newest == Some(1)).await;
    assert!(store.staleness().is_some() && store.counters().replica_queries > 0);

    // It hears, and does not follow.
    tell(&standby, "SELECT pg_wal_replay_pause()");
    write(&store, 2).await;
    until(&store, 2, |seen| !seen.by_standby && seen.newest == Some(2)).await;
    tell(&standby, "SELECT pg_wal_replay_resume()");
    write(&store, 3).await;
    until(&store, 3, |seen| seen.by_standby && seen.newest == Some(3)).await;

    // It is gone while it is thought to be fresh: whoever asks now is answered by the primary.
    standby.stop(Stop::Immediate).await.unwrap_or_else(|why| panic!("{why}"));
    write(&store, 4).await;
    for _ in 0..20 {
        assert_eq!(look(&store).await, Seen { by_standby: false, newest: Some(4) });
    }
    standby.serve().await.unwrap_or_else(|why| panic!("{why}"));
    until(&store, 4, |seen| seen.by_standby && seen.newest == Some(4)).await;

    // It takes over, and is a standby no longer: what it may still answer is as old as an answer may be.
    tell(&standby, "SELECT pg_promote()");
    write(&store, 5).await;
    until(&store, 5, |seen| !seen.by_standby && seen.newest == Some(5)).await;
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: cargo xtask test makes sure that it is there"]
async fn a_standby_of_another_database_is_not_asked_postgres() {
    let primary = Database::start().await.unwrap_or_else(|why| panic!("{why}"));
    let other = Database::start().await.unwrap_or_else(|why| panic!("{why}"));
    let standby = other.standby().await.unwrap_or_else(|why| panic!("{why}"));
    let store = Store::open(&StoreUrl::Postgres(primary.url()), &options(&standby)).unwrap();
    store.write(&Ctx::new(Micros(0), [0; 32]), |tx, _| tx.execute(&MAKE, &[])).await.unwrap();
    let begun = Instant::now();
    while begun.elapsed() < 3 * STALENESS_MAX {
        assert_eq!(look(&store).await, Seen { by_standby: false, newest: None });
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(store.staleness(), None);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: cargo xtask test makes sure that it is there"]
async fn a_server_reads_messages_from_its_replica_postgres() {
    let primary = Database::start().await.unwrap_or_else(|why| panic!("{why}"));
    let standby = primary.standby().await.unwrap_or_else(|why| panic!("{why}"));
    let (folder, http) = (tempfile::tempdir().unwrap(), http_client(Duration::from_secs(30)).unwrap());
    let launch = Launch {
        program: PathBuf::from(env!("CARGO_BIN_EXE_keyherald")),
        data: folder.path().join("data"),
        store: Some(primary.url()),
        log: folder.path().join("log"),
        settings: vec![
            ("KEYHERALD__STORE__REPLICA_URL", standby.url()),
            ("KEYHERALD__HASHING__MEMORY_KIB", "64".into()),
            ("KEYHERALD__HASHING__PASSES", "1".into()),
            ("KEYHERALD_DEV_NO_MAIL", "true".into()),
            ("KEYHERALD_DEV_NO_PROVIDER", "true".into()),
        ],
    };
    let server = launch.start().unwrap();
    let api = Api::sign_in(&http, &server).await.unwrap();
    let draft = json!({"email": "jo@example.com", "password": "the first password"});
    assert_eq!(api.post("/customers", &draft).await.unwrap().status, 201);
    let begun = Instant::now();
    loop {
        let found = api.get("/messages", &[]).await.unwrap();
        assert_eq!(found.status, 200, "{}", found.body);
        let told = http.get(&server.metrics_url).send().await.unwrap().text().await.unwrap();
        let answered = told.lines().find_map(|line| line.strip_prefix("keyherald_store_replica_queries_total "));
        if answered.is_some_and(|count| count != "0") && found.number("/count") == Some(1) {
            assert!(told.contains("keyherald_store_replica_staleness_seconds "), "{told}");
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{told}\n{}", launch.log_tail());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
