//! What both engines promise when something breaks: every `Ok` is in the database, nothing else is.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};

use keyherald_core::Ctx;
use keyherald_store::engine::{Inject, InjectedError, Point};
use keyherald_store::testing::{TestStore, options};
use keyherald_store::tx::query_one;
use keyherald_store::{FaultKind, Sql, Store, StoreOptions, StoreUrl, Tx, each_engine};
use support::{Gate, Work, add, add_word, ctx, ids, ids_in, own_fault, prepare, queue, swap, version_in};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

each_engine! {
    every_ok_is_there_and_no_fault_is,
    a_fault_that_stays_is_told_and_service_resumes,
    each_kind_is_told_apart,
    nothing_runs_outside_a_transaction_that_was_lost,
}

/// Fails at a point, after having let some pass, some times.
#[derive(Clone, Default)]
struct Plan(Arc<Mutex<Option<Failure>>>);

struct Failure {
    point: Point,
    error: InjectedError,
    pass: usize,
    times: usize,
}

impl Plan {
    fn set(&self, point: Point, error: InjectedError, pass: usize, times: usize) {
        *self.0.lock().unwrap() = Some(Failure { point, error, pass, times });
    }

    fn clear(&self) {
        *self.0.lock().unwrap() = None;
    }

    fn inject(&self) -> Inject {
        let plan = self.clone();
        Inject::new(move |point| {
            let mut failure = plan.0.lock().unwrap();
            let failure = failure.as_mut().filter(|failure| failure.point == point && failure.times > 0)?;
            if failure.pass > 0 {
                failure.pass -= 1;
                return None;
            }
            failure.times -= 1;
            Some(failure.error)
        })
    }
}

const POINTS: [Point; 4] = [Point::Begin, Point::Statement("ADD"), Point::Commit, Point::Committed];
const ERRORS: [InjectedError; 5] = [
    InjectedError::DiskFull,
    InjectedError::Io,
    InjectedError::Serialization,
    InjectedError::ConnectionCut,
    InjectedError::AnswerLost,
];

/// A batch of eight: the third has a fault of its own after its insert, the sixth panics there.
/// Each notes the number that it drew in each run.
fn batch(first: i64, drawn: &Arc<Mutex<Vec<BTreeSet<u64>>>>) -> Vec<Work<()>> {
    drawn.lock().unwrap().resize_with(8, BTreeSet::new);
    let work = |place: usize| -> Work<()> {
        let drawn = Arc::clone(drawn);
        Box::new(move |tx, ctx| {
            drawn.lock().unwrap()[place].insert(ctx.number());
            add(tx, first + i64::try_from(place).unwrap())?;
            match place {
                2 => Err(own_fault()),
                5 => panic!("on purpose"),
                _ => Ok(()),
            }
        })
    };
    (0..8).map(work).collect()
}

/// A failure to come: where, what, after how many that pass, how many times.
type Coming<'a> = Option<(&'a Plan, Point, InjectedError, usize, usize)>;

/// Runs a batch and returns how many of its six good jobs were answered `Ok`, after checking all against the database.
async fn run_batch(store: &Store, first: i64, coming: Coming<'_>) -> usize {
    let drawn = Arc::default();
    // On SQLite the gate makes it one transaction; on PostgreSQL there are no batches.
    let gate = if store.engine_name() == "sqlite" { Some(Gate::shut(store).await) } else { None };
    if let Some((plan, point, error, pass, times)) = coming {
        let of_the_gate = gate.is_some() && matches!(point, Point::Commit | Point::Committed);
        plan.set(point, error, pass + usize::from(of_the_gate), times);
    }
    let answers = queue(store, batch(first, &drawn)).await;
    if let Some(gate) = gate {
        gate.open().await;
    }
    let mut answered = Vec::new();
    for answer in answers {
        answered.push(answer.await.unwrap().is_ok());
    }
    if let Some((plan, ..)) = coming {
        plan.clear();
    }
    let unknown_allowed = coming.is_some_and(|(_, point, ..)| point == Point::Committed);
    let there = ids(store).await;
    for (place, ok) in answered.iter().enumerate() {
        let found = there.contains(&(first + i64::try_from(place).unwrap()));
        let own = place == 2 || place == 5;
        assert!(!own || (!ok && !found), "row {place} has a fault of its own");
        assert!(*ok == found || (unknown_allowed && found), "row {place}: answered {ok}, found {found}");
    }
    assert!(drawn.lock().unwrap().iter().all(|numbers| numbers.len() <= 1), "a job that is run again draws the same");
    answered.into_iter().filter(|ok| *ok).count()
}

async fn every_ok_is_there_and_no_fault_is(test: &TestStore) {
    prepare(test).await;
    let plan = Plan::default();
    let store = test.again(&StoreOptions { inject: Some(plan.inject()), connections: 3, ..options() });
    let sqlite = store.engine_name() == "sqlite";
    let mut first = 0;
    for (point, error) in combinations() {
        let statement = matches!(point, Point::Statement(_));
        for pass in [0, 1, 4] {
            if sqlite && !statement && pass > 0 {
                continue; // there is only one transaction to fail
            }
            let oks = run_batch(&store, first, Some((&plan, point, error, pass, 1))).await;
            let least = match point {
                // The one transaction did not begin, or nobody knows whether it committed.
                Point::Begin | Point::Committed if sqlite => 0,
                _ => 5,
            };
            assert!(oks >= least, "{point:?} {error:?} after {pass}: {oks} of 6 are Ok");
            let again = sqlite && point == Point::Commit
                || sqlite && statement && matches!(error, InjectedError::DiskFull | InjectedError::ConnectionCut)
                || !sqlite && point != Point::Committed && error == InjectedError::Serialization
                || !sqlite && (statement || point == Point::Begin) && error == InjectedError::ConnectionCut;
            assert!(!again || oks == 6, "{point:?} {error:?} after {pass}: what can be run again is");
            assert_eq!(run_batch(&store, first + 8, None).await, 6, "after {point:?} {error:?}");
            first += 16;
        }
    }
}

async fn a_fault_that_stays_is_told_and_service_resumes(test: &TestStore) {
    prepare(test).await;
    let plan = Plan::default();
    let store = test.again(&StoreOptions { inject: Some(plan.inject()), connections: 3, ..options() });
    let mut first = 0;
    for (point, error) in combinations() {
        let oks = run_batch(&store, first, Some((&plan, point, error, 0, usize::MAX))).await;
        assert_eq!(oks, 0, "{point:?} {error:?}");
        assert_eq!(run_batch(&store, first + 8, None).await, 6, "after {point:?} {error:?}");
        first += 16;
    }
}

fn combinations() -> impl Iterator<Item = (Point, InjectedError)> {
    POINTS
        .into_iter()
        .flat_map(|point| ERRORS.map(|error| (point, error)))
        .filter(|(point, error)| *error != InjectedError::AnswerLost || *point == Point::Committed)
}

async fn each_kind_is_told_apart(test: &TestStore) {
    prepare(test).await;
    let plan = Plan::default();
    let store = test.again(&StoreOptions { inject: Some(plan.inject()), connections: 1, ..options() });
    for (error, kind) in [
        (InjectedError::DiskFull, FaultKind::NoRoom),
        (InjectedError::Io, FaultKind::Unavailable),
        (InjectedError::Serialization, FaultKind::Contention),
        (InjectedError::ConnectionCut, FaultKind::Unavailable),
    ] {
        plan.set(Point::Statement("ADD"), error, 0, usize::MAX);
        assert_eq!(store.write(&ctx(), |tx, _| add(tx, 1)).await.unwrap_err().kind(), kind);
    }
    plan.set(Point::Committed, InjectedError::AnswerLost, 0, 1);
    assert_eq!(store.write(&ctx(), |tx, _| add(tx, 2)).await.unwrap_err().kind(), FaultKind::Unavailable);
    assert_eq!(ids(&store).await, [2]); // and not twice
}

async fn nothing_runs_outside_a_transaction_that_was_lost(test: &TestStore) {
    prepare(test).await;
    let plan = Plan::default();
    let store = test.again(&StoreOptions { inject: Some(plan.inject()), connections: 1, ..options() });
    for error in [InjectedError::DiskFull, InjectedError::ConnectionCut] {
        plan.set(Point::Statement("ADD"), error, 0, usize::MAX);
        let go_on = |tx: &mut dyn Tx, _: &mut Ctx| {
            let _ = add(tx, 1);
            let _ = swap(tx, 0);
            Ok(())
        };
        store.write(&ctx(), go_on).await.unwrap_err();
        assert_eq!(store.read(version_in).await.unwrap(), 0, "{error:?}");
    }
}

/// A pragma of the writer's connection, which is where `write` runs.
async fn pragma(store: &Store, text: String) -> Option<i64> {
    let sql = Sql::built("PRAGMA", text);
    store.write(&ctx(), move |tx, _| query_one(tx, &sql, &[], |row| row.int(0))).await.unwrap()
}

#[tokio::test]
async fn a_full_sqlite_file_harms_only_what_needs_room() {
    let test = TestStore::sqlite().await;
    prepare(&test).await;
    let pages = pragma(&test, "PRAGMA page_count".to_owned()).await.unwrap();
    pragma(&test, format!("PRAGMA max_page_count = {}", pages + 2)).await;
    let word = |id: i64| format!("{id}{}", "x".repeat(100_000));
    for round in 0..3 {
        let gate = Gate::shut(&test).await;
        // Needs pages that are not there, which takes the whole transaction down, between two that need none.
        let works: Vec<Work<bool>> = vec![
            Box::new(|tx, _| version_in(tx).and_then(|seen| swap(tx, seen))),
            Box::new(move |tx, _| add_word(tx, 1, &word(1)).map(|()| true)),
            Box::new(|tx, _| version_in(tx).and_then(|seen| swap(tx, seen))),
        ];
        let mut answers = queue(&test, works).await;
        gate.open().await;
        assert!(answers.remove(0).await.unwrap().unwrap());
        assert_eq!(answers.remove(0).await.unwrap().unwrap_err().kind(), FaultKind::NoRoom);
        assert!(answers.remove(0).await.unwrap().unwrap());
        assert_eq!(test.read(version_in).await.unwrap(), 2 * (round + 1));
        assert_eq!(ids(&test).await, [0_i64; 0]);
    }
    pragma(&test, "PRAGMA max_page_count = 1000000".to_owned()).await;
    test.write(&ctx(), move |tx, _| add_word(tx, 1, &word(1))).await.unwrap();
    assert_eq!(ids(&test).await, [1]);
}

#[tokio::test]
async fn a_read_only_sqlite_file_is_no_room_and_can_be_read() {
    let test = TestStore::sqlite().await;
    prepare(&test).await;
    test.write(&ctx(), |tx, _| add(tx, 1)).await.unwrap();
    let store = test.again(&options());
    pragma(&store, "PRAGMA query_only = 1".to_owned()).await; // the same error as of a read-only file, also for root
    for _ in 0..2 {
        assert_eq!(store.write(&ctx(), |tx, _| add(tx, 2)).await.unwrap_err().kind(), FaultKind::NoRoom);
    }
    assert_eq!(ids(&store).await, [1]);
}

/// What the child of [`a_disk_that_ends_is_told_and_service_resumes`] is told: where to put its database.
const CHILD_DATABASE: &str = "KEYHERALD_TEST_CHILD_DATABASE";

/// Runs this test again in a child process whose files cannot grow beyond a limit: the kernel then fails real writes.
#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_ends_is_told_and_service_resumes() {
    use std::process::Command;

    let name = "a_disk_that_ends_is_told_and_service_resumes";
    if let Ok(path) = std::env::var(CHILD_DATABASE) {
        keyherald_store::testing::block_on(fill_the_disk(StoreUrl::Sqlite(path.into())));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("test.db");
    // The signal that comes with the limit would end the process.
    let script = "trap '' XFSZ; exec prlimit --fsize=1500000:unlimited \"$@\"";
    let mut child = Command::new("sh");
    child.args(["-c", script, "sh"]).arg(std::env::current_exe().unwrap()).args(["--exact", name]);
    let output = child.env(CHILD_DATABASE, &database).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("1 passed"), "{told}{}", String::from_utf8_lossy(&output.stderr));
}

async fn fill_the_disk(url: StoreUrl) {
    let store = Store::open(&url, &options()).unwrap();
    store.migrate(keyherald_core::Micros(0)).await.unwrap();
    let create = Sql::both("CREATE", "CREATE TABLE ledger (id INTEGER PRIMARY KEY, word TEXT NOT NULL) STRICT");
    store.write(&ctx(), move |tx, _| tx.execute(&create, &[]).map(drop)).await.unwrap();

    let (mut acknowledged, mut refused) = (Vec::new(), 0);
    for first in (0..400).step_by(8) {
        let works = (first..first + 8)
            .map(|id| -> Work<i64> { Box::new(move |tx, _| add_word(tx, id, &"x".repeat(2000)).map(|()| id)) });
        for answer in queue(&store, works.collect()).await {
            match answer.await.unwrap() {
                Ok(id) => acknowledged.push(id),
                Err(fault) => {
                    assert!(matches!(fault.kind(), FaultKind::NoRoom | FaultKind::Unavailable), "{fault:?}");
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 0 && !acknowledged.is_empty(), "{refused} refused, {} acknowledged", acknowledged.len());
    assert_eq!(ids(&store).await, acknowledged);

    let own = std::process::id().to_string();
    let lifted = std::process::Command::new("prlimit").args(["--fsize=unlimited:unlimited", "--pid", &own]).status();
    assert!(lifted.unwrap().success());
    store.write(&ctx(), |tx, _| add(tx, 1000)).await.unwrap();
    acknowledged.push(1000);
    store.close().await;

    let store = Store::open(&url, &options()).unwrap();
    assert_eq!(ids(&store).await, acknowledged);
    let sound = Sql::both("CHECK", "PRAGMA integrity_check");
    let sound = store.read(move |tx| query_one(tx, &sound, &[], |row| row.text(0))).await.unwrap();
    assert_eq!(sound.as_deref(), Some("ok"));
}

/// Two closures that both do their first half before either does its second.
fn together(barrier: &Arc<Barrier>) -> impl FnMut() + Send + 'static {
    let barrier = Arc::clone(barrier);
    let mut met = false;
    move || {
        if !std::mem::replace(&mut met, true) {
            barrier.wait();
        }
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL: cargo xtask test starts one"]
async fn a_lost_race_for_a_key_sees_the_winner_on_postgres() {
    let test = TestStore::postgres().await;
    prepare(&test).await;
    let barrier = Arc::new(Barrier::new(2));
    let add_if_absent = || {
        let mut meet = together(&barrier);
        test.write(Box::leak(Box::new(ctx())), move |tx, _| {
            let absent = !ids_in(tx)?.contains(&1);
            meet();
            if absent {
                add(tx, 1)?;
            }
            Ok(absent)
        })
    };
    let (one, other) = tokio::join!(add_if_absent(), add_if_absent());
    assert_eq!(BTreeSet::from([one.unwrap(), other.unwrap()]), BTreeSet::from([true, false]));
    assert_eq!(ids(&test).await, [1]);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: cargo xtask test starts one"]
async fn a_deadlock_is_run_again_on_postgres() {
    static WORDS: Sql = Sql::both("WORDS", "SELECT string_agg(word, ' ' ORDER BY id) FROM ledger");
    static CHANGE: Sql = Sql::both("CHANGE", "UPDATE ledger SET word = word || $2 WHERE id = $1");
    let test = TestStore::postgres().await;
    prepare(&test).await;
    test.write(&ctx(), |tx, _| add_word(tx, 1, "a").and_then(|()| add_word(tx, 2, "b"))).await.unwrap();
    let barrier = Arc::new(Barrier::new(2));
    let change_both = |order: [i64; 2]| {
        let mut meet = together(&barrier);
        test.write(Box::leak(Box::new(ctx())), move |tx, _| {
            tx.execute(&CHANGE, &[order[0].into(), "+".into()])?;
            meet();
            tx.execute(&CHANGE, &[order[1].into(), "+".into()]).map(drop)
        })
    };
    let (one, other) = tokio::join!(change_both([1, 2]), change_both([2, 1]));
    one.unwrap();
    other.unwrap();
    let words = test.read(|tx| query_one(tx, &WORDS, &[], |row| row.text(0))).await.unwrap();
    assert_eq!(words.as_deref(), Some("a++ b++"));
}

#[tokio::test]
#[ignore = "needs PostgreSQL: cargo xtask test starts one"]
async fn connections_that_were_cut_while_idle_are_made_anew_on_postgres() {
    static CUT: Sql = Sql::both(
        "CUT",
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()",
    );
    let test = TestStore::postgres().await;
    prepare(&test).await;
    let store = test.again(&options());
    for id in 0..10 {
        test.read(|tx| query_one(tx, &CUT, &[], |row| row.int(0))).await.unwrap();
        store.write(&ctx(), move |tx, _| add(tx, id)).await.unwrap();
    }
    assert_eq!(ids(&store).await, (0..10).collect::<Vec<_>>());
}

#[tokio::test]
#[ignore = "needs PostgreSQL: cargo xtask test starts one"]
async fn a_table_that_changed_under_a_prepared_statement_is_read_on_postgres() {
    static ALL: Sql = Sql::both("ALL", "SELECT * FROM ledger");
    static CHANGE: Sql = Sql::both("CHANGE", "ALTER TABLE ledger ADD COLUMN more TEXT");
    let test = TestStore::postgres().await;
    prepare(&test).await;
    let store = test.again(&StoreOptions { connections: 1, ..options() });
    store.write(&ctx(), |tx, _| tx.query(&ALL, &[], &mut |_| Ok(()))).await.unwrap();
    test.write(&ctx(), |tx, _| tx.execute(&CHANGE, &[]).map(drop)).await.unwrap();
    store.write(&ctx(), |tx, _| tx.query(&ALL, &[], &mut |_| Ok(()))).await.unwrap();
}

/// Stands between the store and PostgreSQL, and cuts the cable once when the answer to a COMMIT comes by.
#[derive(Clone, Default)]
struct Cutter(Arc<AtomicBool>);

impl Cutter {
    /// Listens on a port of its own and passes everything on to `server`. Returns the port.
    async fn start(&self, server: String) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let cutter = self.clone();
        #[expect(clippy::disallowed_methods, reason = "a test has no task list")]
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.unwrap();
                tokio::spawn(cutter.clone().pass(client, server));
            }
        });
        port
    }

    async fn pass(self, client: TcpStream, server: TcpStream) {
        let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
            (client.into_split(), server.into_split());
        let committing = AtomicBool::new(false);
        let there = async {
            let mut bytes = vec![0; 65536];
            while let Ok(count @ 1..) = from_client.read(&mut bytes).await {
                let commit = bytes[..count].windows(7).any(|word| word == b"COMMIT\0");
                committing.store(commit && self.0.load(Ordering::SeqCst), Ordering::SeqCst);
                to_server.write_all(&bytes[..count]).await.unwrap();
            }
        };
        let back = async {
            let mut bytes = vec![0; 65536];
            while let Ok(count @ 1..) = from_server.read(&mut bytes).await {
                if committing.load(Ordering::SeqCst) {
                    self.0.store(false, Ordering::SeqCst);
                    return; // PostgreSQL has committed and said so; nobody hears it
                }
                to_client.write_all(&bytes[..count]).await.unwrap();
            }
        };
        tokio::select! { () = there => (), () = back => () }
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL: cargo xtask test starts one"]
async fn a_lost_answer_to_commit_is_told_and_not_repeated_on_postgres() {
    let test = TestStore::postgres().await;
    prepare(&test).await;
    let StoreUrl::Postgres(direct) = test.url() else { panic!("not PostgreSQL") };
    let (_, rest) = direct.split_once('@').unwrap();
    let (server, database) = rest.split_once('/').unwrap();
    let cutter = Cutter::default();
    let port = cutter.start(server.to_owned()).await;
    let url =
        StoreUrl::Postgres(direct.replace(&format!("{server}/{database}"), &format!("127.0.0.1:{port}/{database}")));
    let store = tokio::task::spawn_blocking(move || Store::open(&url, &options()).unwrap()).await.unwrap();
    store.write(&ctx(), |tx, _| add(tx, 1)).await.unwrap();

    cutter.0.store(true, Ordering::SeqCst);
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let write = store.write(Box::leak(Box::new(ctx())), move |tx, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        add(tx, 2)
    });
    let fault = write.await.unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Unavailable);
    assert!(fault.to_string().contains("is not known"), "{fault}");
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    store.write(&ctx(), |tx, _| add(tx, 3)).await.unwrap();
    assert_eq!(ids(&store).await, [1, 2, 3]);
}
