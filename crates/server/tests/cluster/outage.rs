//! The database is lost: requests are told so in the words of their contract and when to try again, and once it is back
//! everything goes on by itself, deliveries too.

use std::time::{Duration, Instant};

use keyherald::demo::database::{Database, Stop};
use postgres::{Client, NoTls};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::black_box::api::{Api, http_client};
use crate::black_box::server::Server;
use crate::receiver::{Mood, SECRET};
use crate::stage::{Stage, start};

const LONGEST: Duration = Duration::from_mins(1);

/// One call of each contract, and what tells its form of "not now".
fn calls(http: &reqwest::Client, server: &Server, api: &Api) -> Vec<(&'static str, RequestBuilder, &'static str)> {
    let naviga = |name: &str| server.naviga[name].as_str().unwrap().to_owned();
    let to = |path: &str| http.post(format!("{}{path}", server.url));
    let login = json!({"email": "ada@example.com", "password": "one"});
    let user = http.request(Method::PATCH, format!("{}/v4/Users/somebody/Password", server.url));
    let user = user.bearer_auth(naviga("jwt")).header("X-SourceSystem", "test").json(&json!({"password": "second"}));
    let user = user.header("X-ClientGroupCode", naviga("clientGroup")).header("X-ClientCode", naviga("client"));
    let brand = server.paysafe["brand"].as_str().unwrap();
    let wallet = to(&format!("/digitalwallets/v1/auth/brands/{brand}/token"))
        .basic_auth(
            server.paysafe["configurationClientId"].as_str().unwrap(),
            server.paysafe["configurationClientSecret"].as_str(),
        )
        .header("content-type", "application/x-www-form-urlencoded")
        .body("grant_type=client_credentials");
    vec![
        ("commercetools", to("/demo/login").bearer_auth(api.token()).json(&login), "/errors/0/code=OverCapacity"),
        ("Naviga", user.header("X-PaperCode", naviga("paper")), "/message/code=UsersOrchestrator_E503"),
        ("Paysafe", wallet, "/error/code=DW-SERVICE-UNAVAILABLE"),
    ]
}

/// The status, whether it says when to try again, and whether the body has the mark.
async fn answer(call: RequestBuilder, mark: &str) -> (u16, bool, bool, String) {
    let answer = call.send().await.unwrap();
    let (status, later) = (answer.status().as_u16(), answer.headers().contains_key("retry-after"));
    let body = answer.text().await.unwrap();
    let (pointer, value) = mark.split_once('=').unwrap();
    let json: Value = serde_json::from_str(&body).unwrap_or_default();
    (status, later, json.pointer(pointer).is_some_and(|found| found == value), body)
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < LONGEST, "not in time: {what}");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: cargo xtask test makes sure that it is there"]
async fn a_lost_postgres_is_told_and_survived() {
    let mut database = Database::start().await.unwrap_or_else(|why| panic!("{why}"));
    let stage = Stage::set(1).await;
    let launch = stage.launch(Some(database.url()), "server.log");
    let http = http_client(LONGEST).unwrap();
    let (server, api, _) = start(&launch, &http).await;
    api.subscribe(&stage.webhook, SECRET, false).await.unwrap();
    let made = api.post("/customers", &json!({"email": "ada@example.com", "password": "one"})).await.unwrap();
    let id = made.text("/customer/id");
    until("the first message arrives", async || stage.receiver.accepted() == 1).await;
    // On its way when the database is lost.
    stage.receiver.set_mood(Mood::Silent);
    let change = json!({"id": id, "version": 1, "currentPassword": "one", "newPassword": "two"});
    assert_eq!(api.post("/customers/password", &change).await.unwrap().status, 200);
    stage.receiver.arrival().await;

    for how in [Stop::Fast, Stop::Immediate] {
        database.stop(how).await.unwrap_or_else(|why| panic!("{why}"));
        stage.receiver.set_mood(Mood::Well);
        for (contract, call, mark) in calls(&http, &server, &api) {
            let (status, later, marked, body) = answer(call, mark).await;
            assert_eq!((status, later, marked), (503, true, true), "{contract}: {body}");
        }
        let ready = || http.get(format!("{}/health/ready", server.url)).send();
        until("it says that it is not ready", async || ready().await.unwrap().status() == 503).await;
        let live = http.get(format!("{}/health/live", server.url)).send().await.unwrap();
        assert_eq!(live.status(), 200, "restarting it would help nobody");
        database.serve().await.unwrap_or_else(|why| panic!("{why}"));
        until("it is ready again", async || ready().await.unwrap().status() == 200).await;
    }
    until("what was on its way arrives", async || stage.receiver.accepted() == 2).await;
    let change = json!({"id": id, "version": 2, "currentPassword": "two", "newPassword": "three"});
    assert_eq!(api.post("/customers/password", &change).await.unwrap().status, 200);
    until("and what comes after it", async || stage.receiver.accepted() == 3).await;
    let (arrivals, _, odd) = stage.receiver.close();
    let mut numbers: Vec<i64> = arrivals.iter().map(|arrival| arrival.message.fact.sequence).collect();
    numbers.dedup();
    assert_eq!((numbers, odd), (vec![1, 2, 3], vec![]));
}

/// A statement of the superuser.
async fn execute(database: &Database, statement: &'static str) {
    let url = database.url();
    let done = tokio::task::spawn_blocking(move || Client::connect(&url, NoTls)?.batch_execute(statement)).await;
    done.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: cargo xtask test makes sure that it is there"]
async fn a_standby_behind_the_address_of_postgres_is_waited_for() {
    let mut database = Database::start().await.unwrap_or_else(|why| panic!("{why}"));
    let stage = Stage::set(1).await;
    let http = http_client(LONGEST).unwrap();
    let (server, api, _) = start(&stage.launch(Some(database.url()), "server.log"), &http).await;
    let customer = json!({"email": "ada@example.com", "password": "one"});
    assert_eq!(api.post("/customers", &customer).await.unwrap().status, 201);
    database.stop(Stop::Fast).await.unwrap_or_else(|why| panic!("{why}"));
    std::fs::write(database.data().join("standby.signal"), "").unwrap();
    database.serve().await.unwrap_or_else(|why| panic!("{why}"));
    for (contract, call, mark) in calls(&http, &server, &api) {
        let (status, later, marked, body) = answer(call, mark).await;
        assert_eq!((status, later, marked), (503, true, true), "{contract}: {body}");
    }
    execute(&database, "SELECT pg_promote()").await;
    until("it serves again", async || api.post("/login", &customer).await.unwrap().status == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: cargo xtask test makes sure that it is there"]
async fn a_request_does_not_wait_for_a_lock_in_postgres_for_ever() {
    let database = Database::start().await.unwrap_or_else(|why| panic!("{why}"));
    let stage = Stage::set(1).await;
    let http = http_client(LONGEST).unwrap();
    let (_server, api, _) = start(&stage.launch(Some(database.url()), "server.log"), &http).await;
    let customer = json!({"email": "ada@example.com", "password": "one"});
    assert_eq!(api.post("/customers", &customer).await.unwrap().status, 201);
    let (url, table) = (database.url(), "LOCK TABLE customer IN ACCESS EXCLUSIVE MODE");
    let (locked, is_locked) = tokio::sync::oneshot::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let somebody = std::thread::spawn(move || {
        let mut client = Client::connect(&url, NoTls).unwrap();
        client.batch_execute(&format!("BEGIN; {table}")).unwrap();
        locked.send(()).unwrap();
        // Ends with the sender, and with it the lock.
        let _ = released.recv();
    });
    is_locked.await.unwrap();
    let told = api.post("/login", &customer).await.unwrap();
    assert_eq!((told.status, told.has_retry_after), (503, true), "{}", told.body);
    drop(release);
    somebody.join().unwrap();
    assert_eq!(api.post("/login", &customer).await.unwrap().status, 200);
}
