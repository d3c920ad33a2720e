//! Two versions side by side on one PostgreSQL, as while nodes are replaced one by one: real processes.
//!
//! `KEYHERALD_PREVIOUS_RELEASE` names the program of the release before. Until there is one, the program of today is the
//! older version, and what a newer one would add to the database is added by the test.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

#[path = "black_box/mod.rs"]
#[expect(dead_code, reason = "parts of it are for other tests")]
mod black_box;
#[path = "kill/engine.rs"]
#[expect(dead_code, reason = "parts of it are for the kill test")]
mod engine;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use black_box::api::{Api, http_client};
use black_box::receiver::{Reply, serve};
use black_box::server::Launch;
use engine::Engine;
use keyherald_store::migrate::MIGRATIONS;
use serde_json::{Value, json};
use tokio::task::JoinSet;

const PROGRAM: &str = env!("CARGO_BIN_EXE_keyherald");
const OLDER: &str = "before it was migrated";
const NEWER: &str = "after it was migrated";

/// What a release may add: what the one before neither reads nor fills.
const EXPAND: &str = "
    ALTER TABLE customer ADD COLUMN future_text TEXT;
    ALTER TABLE customer ADD COLUMN future_number BIGINT NOT NULL DEFAULT 7;
    ALTER TABLE subscription ADD COLUMN future_number BIGINT NOT NULL DEFAULT 7;
    CREATE TABLE future (id BIGINT PRIMARY KEY, customer_id TEXT NOT NULL);
    CREATE INDEX future_customer ON customer (future_number);";

/// Every message by customer, in the order of the first arrivals.
type Came = Arc<Mutex<BTreeMap<String, Vec<i64>>>>;

fn launch(program: PathBuf, folder: &Path, name: &str, store: Option<String>) -> Launch {
    Launch {
        program,
        // One folder: its key is all nodes'.
        data: folder.join("data"),
        store,
        log: folder.join(format!("{name}.log")),
        settings: vec![
            ("KEYHERALD__HASHING__MEMORY_KIB", "64".into()),
            ("KEYHERALD__HASHING__PASSES", "1".into()),
            ("KEYHERALD__NODE__NAME", name.into()),
            ("KEYHERALD_DEV_NO_MAIL", "true".into()),
            ("KEYHERALD_DEV_NO_PROVIDER", "true".into()),
        ],
    }
}

async fn receiver(serving: &mut JoinSet<()>) -> (String, Came) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (url, came) = (format!("http://{}/hook", listener.local_addr().unwrap()), Came::default());
    let taken = came.clone();
    serving.spawn(serve(listener, move |delivery| {
        let message: Value = serde_json::from_slice(&delivery.body).unwrap_or_default();
        if let (Some(customer), Some(number)) = (message["resource"]["id"].as_str(), message["sequenceNumber"].as_i64())
        {
            let mut came = taken.lock().unwrap();
            let numbers = came.entry(customer.to_owned()).or_default();
            if !numbers.contains(&number) {
                numbers.push(number);
            }
        }
        async { Reply::Status(204) }
    }));
    (url, came)
}

/// A customer who changes the password twice, each time at another node; their id.
async fn customer(number: usize, nodes: [&Api; 2]) -> String {
    let [one, other] = nodes;
    let draft = json!({"email": format!("customer-{number}@example.com"), "password": "the first password"});
    let made = one.post("/customers", &draft).await.unwrap();
    assert_eq!(made.status, 201, "{}", made.body);
    let id = made.text("/customer/id");
    let mut version = made.number("/customer/version");
    for (node, from, to) in
        [(other, "the first password", "the second password"), (one, "the second password", "the third password")]
    {
        let change = json!({"id": id, "version": version, "currentPassword": from, "newPassword": to});
        let changed = node.post("/customers/password", &change).await.unwrap();
        assert_eq!(changed.status, 200, "{}", changed.body);
        version = changed.number("/version");
    }
    id
}

async fn all_have_come(came: &Came, ids: &[String]) {
    let until = Instant::now() + Duration::from_mins(1);
    loop {
        let missing = {
            let came = came.lock().unwrap();
            ids.iter().find(|id| came.get(*id).is_none_or(|numbers| numbers.len() < 3)).cloned()
        };
        let Some(missing) = missing else { break };
        assert!(Instant::now() < until, "{missing} lacks messages: {:?}", came.lock().unwrap().get(&missing));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for (id, numbers) in came.lock().unwrap().iter() {
        assert!(numbers.is_sorted(), "{id}: {numbers:?}");
    }
}

fn sql(url: String, statements: String) {
    let run = move || postgres::Client::connect(&url, postgres::NoTls)?.batch_execute(&statements);
    // The client has a runtime of its own.
    std::thread::spawn(run).join().unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: cargo xtask test makes sure that it is there"]
async fn two_versions_side_by_side_postgres() {
    let (folder, http) = (tempfile::tempdir().unwrap(), http_client(Duration::from_secs(30)).unwrap());
    let engine = Engine::postgres(&format!("upgrade_{}", std::process::id()));
    let previous = std::env::var_os("KEYHERALD_PREVIOUS_RELEASE").map(PathBuf::from);
    let is_made_up = previous.is_none();
    let program = previous.unwrap_or_else(|| PathBuf::from(PROGRAM));
    let older = launch(program, folder.path(), "older", engine.store());
    let newer = launch(PathBuf::from(PROGRAM), folder.path(), "newer", engine.store());
    let mut ids = Vec::new();

    let server = older.start().unwrap();
    let mut serving = JoinSet::new();
    let (hook, came) = receiver(&mut serving).await;
    let api = Api::sign_in(&http, &server).await.unwrap();
    api.subscribe(&hook, "whsec_a2V5aGVyYWxkIGJlbmNobWFyaywgbm90IGEgc2VjcmV0", false).await.unwrap();
    ids.push(customer(0, [&api, &api]).await);

    let number = i64::try_from(MIGRATIONS.len()).unwrap() + 1;
    if is_made_up {
        let note = format!("INSERT INTO keyherald_migration VALUES ({number}, 'future', 'x', 0);");
        sql(engine.store().unwrap(), format!("BEGIN; {EXPAND} {note} COMMIT;"));
    }
    let other = newer.start().unwrap();
    let second = Api::sign_in(&http, &other).await.unwrap();
    for number in 1..10 {
        ids.push(customer(number, [&api, &second]).await);
    }
    all_have_come(&came, &ids).await;

    // A node of the older version dies, and its supervisor starts it again.
    server.kill();
    ids.push(customer(10, [&second, &second]).await);
    let server = older.start().unwrap_or_else(|why| unreachable!("{OLDER} it ran, {NEWER} not: {why}"));
    let api = api.moved_to(&server.url);
    for number in 11..20 {
        ids.push(customer(number, [&second, &api]).await);
    }
    all_have_come(&came, &ids).await;

    // A later release takes away what this one needs: it is told so, and what runs is left alone.
    if is_made_up {
        sql(engine.store().unwrap(), format!("UPDATE keyherald_compatibility SET oldest = {number};"));
        server.kill();
        let refused = older.start().err().unwrap_or_default();
        assert!(refused.contains("a newer Keyherald has used it"), "{refused}");
        ids.push(customer(20, [&second, &second]).await);
        all_have_come(&came, &ids).await;
    }
}
