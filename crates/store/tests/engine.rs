//! What both engines promise while nothing breaks.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use std::sync::mpsc;
use std::time::Duration;

use keyherald_core::Ctx;
use keyherald_store::testing::{TestStore, options};
use keyherald_store::tx::query_one;
use keyherald_store::{Counters, Fault, FaultKind, Sql, Store, StoreOptions, StoreUrl, Tx, Value, each_engine};
use support::{Gate, Work, add, ctx, ids, ids_in, own_fault, prepare, queue, swap, version_in};

each_engine! {
    waiting_writes_share_a_commit,
    a_read_sees_one_snapshot,
    a_read_changes_nothing,
    a_refusal_is_ok_and_commits,
    a_fault_rolls_back_its_own_job_only,
    a_panic_rolls_back_its_own_job_only,
    a_closure_cannot_go_on_after_a_failed_statement,
    a_dropped_future_does_not_stop_its_job,
    closing_finishes_what_was_taken,
    too_many_waiting_writes_are_refused_at_once,
    counters_count,
    compare_and_set_loses_no_update,
    a_commit_wakes,
    a_conflict_has_the_name_of_the_index,
    values_come_back,
    placeholders_are_bound_by_number,
    the_number_of_values_is_checked,
    a_long_read_is_stopped,
    a_row_that_is_refused_ends_only_the_query,
}

async fn waiting_writes_share_a_commit(test: &TestStore) {
    prepare(test).await;
    let store = test.again(&StoreOptions { batch_max: 30, connections: 1, ..options() });
    let gate = Gate::shut(&store).await;
    let works = (0..50).map(|id| -> Work<Vec<i64>> {
        Box::new(move |tx, _| {
            add(tx, id)?;
            ids_in(tx)
        })
    });
    let answers = queue(&store, works.collect()).await;
    let before = store.counters();
    gate.open().await;
    for (place, answer) in answers.into_iter().enumerate() {
        // In the order in which they came: each sees those before it, and none behind.
        assert_eq!(answer.await.unwrap().unwrap().len(), place + 1);
    }
    let after = store.counters();
    assert_eq!(after.writes - before.writes, 51); // with the one that held the gate
    let commits = if store.engine_name() == "sqlite" { 1 + 2 } else { 51 };
    assert_eq!(after.commits - before.commits, commits);
}

async fn a_read_sees_one_snapshot(test: &TestStore) {
    prepare(test).await;
    test.write(&ctx(), |tx, _| add(tx, 1)).await.unwrap();
    let (looked, mut looks) = tokio::sync::mpsc::unbounded_channel();
    let (go_on, gone_on) = mpsc::channel::<()>();
    let read = test.read(move |tx| {
        let first = ids_in(tx)?;
        looked.send(()).unwrap();
        gone_on.recv().unwrap();
        Ok((first, ids_in(tx)?))
    });
    let write = async {
        looks.recv().await.unwrap();
        test.write(&ctx(), |tx, _| add(tx, 2)).await.unwrap();
        go_on.send(()).unwrap();
    };
    let (seen, ()) = tokio::join!(read, write);
    assert_eq!(seen.unwrap(), (vec![1], vec![1]));
    assert_eq!(ids(test).await, [1, 2]);
}

async fn a_read_changes_nothing(test: &TestStore) {
    prepare(test).await;
    assert!(test.read(|tx| add(tx, 1)).await.is_err());
    assert_eq!(ids(test).await, [0_i64; 0]);
}

async fn a_refusal_is_ok_and_commits(test: &TestStore) {
    prepare(test).await;
    let refused: Result<(), &str> = test
        .write(&ctx(), |tx, _| {
            add(tx, 1)?; // its trace
            Ok(Err("no"))
        })
        .await
        .unwrap();
    assert_eq!(refused, Err("no"));
    assert_eq!(ids(test).await, [1]);
}

/// Three writes in one batch (on SQLite), the middle one fails after its insert.
async fn beside_a_failing(test: &TestStore, mut fail: impl FnMut() -> Result<(), Fault> + Send + 'static) -> Fault {
    prepare(test).await;
    let gate = Gate::shut(test).await;
    let failing: Work<()> = Box::new(move |tx, _| {
        add(tx, 2)?;
        fail()
    });
    let works: Vec<Work<()>> = vec![Box::new(|tx, _| add(tx, 1)), failing, Box::new(|tx, _| add(tx, 3))];
    let mut answers = queue(test, works).await;
    gate.open().await;
    answers.remove(0).await.unwrap().unwrap();
    let fault = answers.remove(0).await.unwrap().unwrap_err();
    answers.remove(0).await.unwrap().unwrap();
    assert_eq!(ids(test).await, [1, 3]);
    fault
}

async fn a_fault_rolls_back_its_own_job_only(test: &TestStore) {
    let fault = beside_a_failing(test, || Err(own_fault())).await;
    assert_eq!(fault.to_string(), own_fault().to_string());
}

async fn a_panic_rolls_back_its_own_job_only(test: &TestStore) {
    let fault = beside_a_failing(test, || panic!("on purpose")).await;
    assert_eq!(fault.kind(), FaultKind::Internal);
}

async fn a_closure_cannot_go_on_after_a_failed_statement(test: &TestStore) {
    prepare(test).await;
    test.write(&ctx(), |tx, _| add(tx, 1)).await.unwrap();
    let (tell, told) = mpsc::channel();
    let swallow = move |tx: &mut dyn Tx, _: &mut Ctx| {
        add(tx, 2)?;
        tell.send([add(tx, 1).is_err(), add(tx, 3).is_err()]).unwrap();
        Ok(())
    };
    let fault = test.write(&ctx(), swallow).await.unwrap_err();
    assert!(fault.kind() == FaultKind::Internal && fault.to_string().contains("went on"), "{fault}");
    assert_eq!(told.recv().unwrap(), [true, true]);
    assert_eq!(ids(test).await, [1]);
}

async fn a_dropped_future_does_not_stop_its_job(test: &TestStore) {
    prepare(test).await;
    let store = test.again(&StoreOptions { connections: 1, ..options() });
    let gate = Gate::shut(&store).await;
    let answers = queue(&store, vec![Box::new(|tx, _| add(tx, 1))]).await;
    for answer in answers {
        answer.abort();
        assert!(answer.await.unwrap_err().is_cancelled());
    }
    gate.open().await;
    store.write(&ctx(), |tx, _| add(tx, 2)).await.unwrap(); // behind it in the queue
    assert_eq!(ids(test).await, [1, 2]);
}

async fn closing_finishes_what_was_taken(test: &TestStore) {
    prepare(test).await;
    let store = test.again(&StoreOptions { connections: 1, ..options() });
    let gate = Gate::shut(&store).await;
    let works = (0..20).map(|id| -> Work<()> { Box::new(move |tx, _| add(tx, id)) });
    let answers = queue(&store, works.collect()).await;
    let close = async {
        // Refused from the first poll on, though the writer is still busy.
        let mut closing = std::pin::pin!(store.close());
        let first = std::future::poll_fn(|cx| std::task::Poll::Ready(closing.as_mut().poll(cx))).await;
        assert!(first.is_pending());
        assert_eq!(store.write(&ctx(), |tx, _| add(tx, 99)).await.unwrap_err().kind(), FaultKind::Unavailable);
        gate.open().await;
        closing.await;
    };
    close.await;
    for answer in answers {
        assert!(answer.is_finished() || answer.await.unwrap().is_ok());
    }
    assert_eq!(store.read(ids_in).await.unwrap_err().kind(), FaultKind::Unavailable);
    store.close().await;
    assert_eq!(ids(test).await, (0..20).collect::<Vec<_>>());
}

async fn too_many_waiting_writes_are_refused_at_once(test: &TestStore) {
    prepare(test).await;
    let store = test.again(&StoreOptions { queue_max: 2, connections: 1, ..options() });
    let gate = Gate::shut(&store).await;
    let works = (0..2).map(|id| -> Work<()> { Box::new(move |tx, _| add(tx, id)) });
    let answers = queue(&store, works.collect()).await;
    // Answered while the gate is still shut.
    assert_eq!(store.write(&ctx(), |tx, _| add(tx, 2)).await.unwrap_err().kind(), FaultKind::Unavailable);
    gate.open().await;
    for answer in answers {
        answer.await.unwrap().unwrap();
    }
    assert_eq!(ids(test).await, [0, 1]);
}

async fn counters_count(test: &TestStore) {
    prepare(test).await;
    let store = test.again(&options());
    assert_eq!(store.counters(), Counters::default());
    store.write(&ctx(), |tx, _| add(tx, 1).and_then(|()| add(tx, 2))).await.unwrap();
    store.write(&ctx(), |tx, _| add(tx, 3).and_then(|()| Err::<(), _>(own_fault()))).await.unwrap_err();
    store.read(|tx| ids_in(tx).and_then(|_| ids_in(tx)).and_then(|_| ids_in(tx))).await.unwrap();
    let commit_sizes = [1, 0, 0, 0, 0, 0, 0, 0];
    let expected =
        Counters { write_statements: 2, read_statements: 3, replica_queries: 0, writes: 1, commits: 1, commit_sizes };
    assert_eq!(store.counters(), expected);
}

async fn compare_and_set_loses_no_update(test: &TestStore) {
    prepare(test).await;
    let swaps_of_one = |store: Store| async move {
        let mut won = 0;
        while won < 10 {
            let seen = store.read(version_in).await.unwrap();
            won += i64::from(store.write(&ctx(), move |tx, _| swap(tx, seen)).await.unwrap());
        }
        won
    };
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..16 {
        tasks.spawn(swaps_of_one((**test).clone()));
    }
    assert_eq!(tasks.join_all().await.into_iter().sum::<i64>(), 160);
    assert_eq!(test.read(version_in).await.unwrap(), 160);
}

async fn a_commit_wakes(test: &TestStore) {
    prepare(test).await;
    let mut committed = test.committed();
    committed.mark_unchanged();
    test.write(&ctx(), |_, _| Err::<(), _>(own_fault())).await.unwrap_err();
    if test.engine_name() == "sqlite" {
        assert!(!committed.has_changed().unwrap()); // on PostgreSQL the listener may just have begun to listen
    }
    committed.mark_unchanged();
    test.write(&ctx(), |tx, _| add(tx, 1)).await.unwrap();
    assert!(committed.has_changed().unwrap());
}

async fn a_conflict_has_the_name_of_the_index(test: &TestStore) {
    static CREATE: [Sql; 4] = [
        Sql::both(
            "T",
            "CREATE TABLE bakery (project TEXT, id TEXT, code TEXT UNIQUE, email TEXT, PRIMARY KEY (project, id))",
        ),
        Sql::both("I1", "CREATE UNIQUE INDEX bakery_email ON bakery (project, email)"),
        Sql::both("I2", "CREATE UNIQUE INDEX bakery_lower_code ON bakery (project, lower(code))"),
        Sql::both("I3", "CREATE UNIQUE INDEX bakery_open_email ON bakery (email, project) WHERE id > 'm'"),
    ];
    static ADD: Sql = Sql::both("ADD", "INSERT INTO bakery (project, id, code, email) VALUES ($1, $2, $3, $4)");
    let context = ctx();
    let insert =
        |row: [&'static str; 4]| test.write(&context, move |tx, _| tx.execute(&ADD, &row.map(Value::from)).map(drop));
    test.write(&ctx(), |tx, _| CREATE.iter().try_for_each(|sql| tx.execute(sql, &[]).map(drop))).await.unwrap();
    insert(["p", "n1", "c1", "e1"]).await.unwrap();
    for (row, name) in [
        (["p", "n1", "c2", "e2"], "bakery_pkey"),
        (["q", "n2", "c1", "e2"], "bakery_code_key"),
        (["p", "a2", "c2", "e1"], "bakery_email"),
        (["p", "n2", "C1", "e2"], "bakery_lower_code"),
    ] {
        assert_eq!(insert(row).await.unwrap_err().kind(), FaultKind::Conflict(name.to_owned()), "{row:?}");
    }
    let fault = insert(["p", "n1", "person@example.org", "e1"]).await.unwrap_err();
    assert!(!format!("{fault:?} {fault}").contains("example"), "{fault:?}");
}

async fn values_come_back(test: &TestStore) {
    static CREATE: Sql = Sql::split(
        "CREATE",
        "CREATE TABLE kinds (a INTEGER, b TEXT, c BLOB, d INTEGER) STRICT",
        "CREATE TABLE kinds (a BIGINT, b TEXT, c BYTEA, d INT)",
    );
    static ADD: Sql = Sql::both("ADD", "INSERT INTO kinds (a, b, c, d) VALUES ($1, $2, $3, $4)");
    static SHOW: Sql = Sql::both("SHOW", "SELECT a, b, c, d, a IS NULL, count(*) OVER () FROM kinds ORDER BY d");
    let rows = [
        vec![Value::Int(i64::MIN), Value::Text("é\u{1F600}'\"".to_owned()), Value::Bytes(vec![0, 255]), Value::Int(-7)],
        vec![Value::Null, Value::Null, Value::Null, Value::Int(2)],
    ];
    let added = rows.clone();
    test.write(&ctx(), |tx, _| tx.execute(&CREATE, &[]).map(drop)).await.unwrap();
    test.write(&ctx(), move |tx, _| added.iter().try_for_each(|row| tx.execute(&ADD, row).map(drop))).await.unwrap();
    let read = test.read(|tx| {
        let mut found: Vec<Vec<Value>> = Vec::new();
        tx.query(&SHOW, &[], &mut |row| {
            let cells =
                vec![row.int_opt(0)?.into(), row.text_opt(1)?.into(), row.bytes_opt(2)?.into(), row.int(3)?.into()];
            assert_eq!((row.flag(4)?, row.int(5)?), (row.int_opt(0)?.is_none(), 2));
            for wrong in [row.text_opt(0).err(), row.int_opt(1).err(), row.bytes_opt(1).err(), row.int_opt(9).err()] {
                // A NULL reads as anything on SQLite, which knows no type of it.
                assert!(found.len() == 1 || wrong.unwrap().kind() == FaultKind::Corrupt);
            }
            found.push(cells);
            Ok(())
        })?;
        Ok(found)
    });
    assert_eq!(read.await.unwrap(), rows);
}

async fn placeholders_are_bound_by_number(test: &TestStore) {
    // SQLite by itself would number `$2` as the first.
    static ADD: Sql = Sql::both("ADD", "INSERT INTO ledger (word, id) VALUES ($2, $1)");
    static FIND: Sql =
        Sql::both("FIND", "SELECT id FROM ledger WHERE word = $2 AND id = $1 AND (id = $1 OR word = $2)");
    prepare(test).await;
    test.write(&ctx(), |tx, _| tx.execute(&ADD, &[5_i64.into(), "five".into()]).map(drop)).await.unwrap();
    let found = test.read(|tx| query_one(tx, &FIND, &[5_i64.into(), "five".into()], |row| row.int(0))).await.unwrap();
    assert_eq!(found, Some(5));
}

async fn the_number_of_values_is_checked(test: &TestStore) {
    static FIND: Sql = Sql::both("FIND", "SELECT id FROM ledger WHERE id = $1 AND word = $2");
    prepare(test).await;
    for args in [vec![], vec![Value::Int(1)], vec![Value::Int(1), "a".into(), "b".into()]] {
        let fault = test.read(move |tx| query_one(tx, &FIND, &args, |row| row.int(0))).await.unwrap_err();
        assert_eq!(fault.kind(), FaultKind::Internal);
    }
    assert_eq!(ids(test).await, [0_i64; 0]); // the connection is none the worse
}

async fn a_long_read_is_stopped(test: &TestStore) {
    static FOREVER: Sql = Sql::both(
        "FOREVER",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000) SELECT count(*) FROM n",
    );
    prepare(test).await;
    let store = test.again(&StoreOptions { statement_timeout: Duration::from_millis(100), ..options() });
    let fault = store.read(|tx| query_one(tx, &FOREVER, &[], |row| row.int(0))).await.unwrap_err();
    assert_eq!(fault.kind(), FaultKind::TimedOut);
    assert_eq!(ids(&store).await, [0_i64; 0]);
}

async fn a_row_that_is_refused_ends_only_the_query(test: &TestStore) {
    prepare(test).await;
    let work = |tx: &mut dyn Tx, _: &mut Ctx| {
        (1..=3).try_for_each(|id| add(tx, id))?;
        let mut seen = 0;
        let stopped = tx.query(&support::IDS, &[], &mut |_| {
            seen += 1;
            Err(own_fault())
        });
        assert_eq!((stopped.is_err(), seen), (true, 1));
        add(tx, 4)
    };
    test.write(&ctx(), work).await.unwrap();
    assert_eq!(ids(test).await, [1, 2, 3, 4]);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: cargo xtask test starts one"]
async fn a_commit_of_another_process_wakes_postgres() {
    let test = TestStore::postgres().await;
    prepare(&test).await;
    let other = test.again(&options());
    // Until the listener listens, a wake may be missed; afterwards each write wakes.
    let mut committed = other.committed();
    for id in 1..=5 {
        committed.mark_unchanged();
        test.write(&ctx(), move |tx, _| add(tx, id)).await.unwrap();
        tokio::time::timeout(Duration::from_secs(10), committed.changed()).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn one_server_per_sqlite_file() {
    let test = TestStore::sqlite().await;
    test.lock_for_serving().unwrap();
    test.lock_for_serving().unwrap(); // its own
    let other = test.again(&options());
    let fault = other.lock_for_serving().unwrap_err();
    assert!(fault.to_string().contains("another Keyherald server runs on"), "{fault}");
    other.write(&ctx(), |_, _| Ok(())).await.unwrap(); // a command line may still write
    test.close().await;
    other.lock_for_serving().unwrap();
}

#[tokio::test]
async fn a_sqlite_file_is_its_owners_and_its_folder_must_exist() {
    let test = TestStore::sqlite().await;
    let StoreUrl::Sqlite(path) = test.url() else { panic!("not SQLite") };
    #[cfg(unix)]
    for name in ["test.db", "test.db-wal"] {
        use std::os::unix::fs::PermissionsExt;
        let mode = path.with_file_name(name).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let nowhere = StoreUrl::Sqlite(path.with_file_name("missing").join("x.db"));
    let fault = Store::open(&nowhere, &options()).unwrap_err();
    assert!(fault.kind() == FaultKind::Unavailable && fault.to_string().contains("does its folder exist"), "{fault}");
}

#[test]
fn an_unreachable_postgres_is_told() {
    let url = "postgres://u:hunter2@127.0.0.1:1/d".parse().unwrap();
    let fault = Store::open(&url, &options()).unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Unavailable);
    assert!(fault.to_string().contains("cannot connect") && !format!("{fault:?}").contains("hunter2"), "{fault:?}");
}
