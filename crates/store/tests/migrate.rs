//! Migrations on both engines.
#![expect(clippy::unwrap_used, reason = "tests")]

use keyherald_core::Micros;
use keyherald_store::migrate::{MIGRATIONS, Migration, apply, status};
use keyherald_store::testing::{TestStore, options};
use keyherald_store::tx::{query_all, query_one};
use keyherald_store::{FaultKind, Sql, Store, each_engine};

each_engine! {
    the_real_ones_apply_once,
    pending_ones_follow,
    a_failing_one_leaves_nothing,
    an_edited_one_is_refused,
    a_newer_database_is_used_while_it_only_expanded,
    a_contracted_database_is_refused,
    several_nodes_at_once_apply_each_once,
}

const fn step(number: i64, name: &'static str, script: &'static str) -> Migration {
    Migration { number, name, script: Sql::both(name, script) }
}

const ONE: &str = "CREATE TABLE one (id TEXT PRIMARY KEY); -- the first\nINSERT INTO one (id) VALUES ('a;b');\n";
const TWO: &str = "INSERT INTO one (id) VALUES ('two');";
const BAD: &str = "INSERT INTO one (id) VALUES ('half'); INSERT INTO missing (id) VALUES (1);";

/// The real migrations come first in every test database, so these stand in for what a later version adds: each list
/// begins with what was applied before.
fn list(own: &[(&'static str, &'static str)]) -> &'static [Migration] {
    let later = own.iter().zip(MIGRATIONS.len() + 1..).map(|((name, script), number)| {
        let number = i64::try_from(number).unwrap();
        step(number, name, script)
    });
    Vec::leak(MIGRATIONS.iter().cloned().chain(later).collect())
}

fn number(place: usize) -> i64 {
    i64::try_from(MIGRATIONS.len() + place).unwrap()
}

async fn rows(store: &Store) -> Vec<String> {
    static ALL: Sql = Sql::both("ALL", "SELECT id FROM one ORDER BY id");
    store.read(|tx| query_all(tx, &ALL, &[], |row| row.text(0))).await.unwrap()
}

async fn the_real_ones_apply_once(test: &TestStore) {
    let found = test.migration_status().await.unwrap();
    let names: Vec<_> = found.applied.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, MIGRATIONS.iter().map(|migration| migration.name).collect::<Vec<_>>());
    assert!(found.pending.is_empty() && found.applied.iter().all(|one| one.checksum.len() == 64));
    assert_eq!(test.migrate(Micros(9)).await.unwrap(), [0_i64; 0]);
    assert_eq!(test.migration_status().await.unwrap(), found);
}

async fn pending_ones_follow(test: &TestStore) {
    let both = list(&[("one", ONE), ("two", TWO)]);
    assert_eq!(status(test, both).await.unwrap().pending, ["one", "two"]);
    assert_eq!(apply(test, list(&[("one", ONE)]), Micros(1000)).await.unwrap(), [number(1)]);
    assert_eq!(status(test, both).await.unwrap().pending, ["two"]);
    assert_eq!(apply(test, both, Micros(2000)).await.unwrap(), [number(2)]);
    let applied = status(test, both).await.unwrap().applied;
    let times: Vec<_> = applied.iter().rev().take(2).map(|one| one.applied_at).collect();
    assert_eq!(times, [Micros(2000), Micros(1000)]);
    assert_eq!(rows(test).await, ["a;b", "two"]);
}

async fn a_failing_one_leaves_nothing(test: &TestStore) {
    let fault = apply(test, list(&[("one", ONE), ("bad", BAD)]), Micros(0)).await.unwrap_err();
    assert!(fault.to_string().contains("bad"), "{fault}");
    assert_eq!(rows(test).await, ["a;b"]);
    assert_eq!(apply(test, list(&[("one", ONE), ("two", TWO)]), Micros(0)).await.unwrap(), [number(2)]);
}

async fn an_edited_one_is_refused(test: &TestStore) {
    apply(test, list(&[("one", ONE)]), Micros(0)).await.unwrap();
    for edited in [list(&[("one", TWO)]), list(&[("other", ONE)]), list(&[("one", TWO), ("two", TWO)])] {
        let fault = apply(test, edited, Micros(0)).await.unwrap_err();
        assert_eq!(fault.kind(), FaultKind::Corrupt);
        assert!(fault.to_string().contains("must not be edited"), "{fault}");
        assert_eq!(status(test, edited).await.unwrap_err().kind(), FaultKind::Corrupt);
    }
    assert_eq!(rows(test).await, ["a;b"]);
}

/// The older program is started again beside the newer one.
async fn a_newer_database_is_used_while_it_only_expanded(test: &TestStore) {
    apply(test, list(&[("one", ONE), ("two", TWO)]), Micros(0)).await.unwrap();
    let older = list(&[("one", ONE)]);
    assert_eq!(apply(test, older, Micros(0)).await.unwrap(), [0_i64; 0]);
    let found = status(test, older).await.unwrap();
    assert_eq!((found.pending.len(), found.ahead), (0, 1));
    let edited = apply(test, list(&[("one", TWO)]), Micros(0)).await.unwrap_err();
    assert_eq!(edited.kind(), FaultKind::Corrupt, "what it knows must be the same");
    assert_eq!(apply(test, older, Micros(0)).await.unwrap(), [0_i64; 0], "however often");
}

async fn a_contracted_database_is_refused(test: &TestStore) {
    let contracting = format!("UPDATE keyherald_compatibility SET oldest = {};", number(2));
    let all = list(&[("one", ONE), ("less", contracting.leak()), ("two", TWO)]);
    apply(test, all, Micros(0)).await.unwrap();
    let older = list(&[("one", ONE)]);
    for fault in [apply(test, older, Micros(0)).await.unwrap_err(), status(test, older).await.unwrap_err()] {
        assert_eq!(fault.kind(), FaultKind::Newer);
        let text = fault.to_string();
        assert!(text.contains(&number(1).to_string()) && text.contains(&number(3).to_string()), "{text}");
        assert!(text.contains("restore a backup"), "{text}");
    }
    let next = status(test, all.get(..all.len() - 1).unwrap()).await.unwrap();
    assert_eq!((next.pending.len(), next.ahead), (0, 1), "it knows what was taken away");
}

async fn several_nodes_at_once_apply_each_once(test: &TestStore) {
    static COUNT: Sql = Sql::both("COUNT", "SELECT count(*) FROM keyherald_migration");
    // Twice the same insert without a key would be seen as four rows.
    let all = list(&[("many", "CREATE TABLE many (id BIGINT); INSERT INTO many (id) VALUES (1);"), ("one", ONE)]);
    let mut nodes = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let node = test.again(&options());
        nodes.spawn(async move { apply(&node, all, Micros(0)).await.unwrap().len() });
    }
    assert_eq!(nodes.join_all().await.into_iter().sum::<usize>(), 2);
    let count = test.read(|tx| query_one(tx, &COUNT, &[], |row| row.int(0))).await.unwrap();
    assert_eq!(count, Some(number(2)));
}
