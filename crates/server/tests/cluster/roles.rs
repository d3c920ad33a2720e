//! Nodes that do a part of the work: one that serves and does not deliver, one that delivers and does not serve.

use std::time::{Duration, Instant};

use keyherald::demo::database::Database;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::black_box::api::http_client;
use crate::black_box::server::{Launch, Server};
use crate::fleet::LEASE;
use crate::receiver::SECRET;
use crate::stage::{Stage, start};

const LONGEST: Duration = Duration::from_mins(1);

fn launch(stage: &Stage, database: &Database, role: &str) -> Launch {
    let mut launch = stage.launch(Some(database.url()), &format!("{role}.log"));
    launch.settings.push(("KEYHERALD__NODE__ROLE", role.to_owned()));
    launch.settings.push(("KEYHERALD__NODE__NAME", role.to_owned()));
    launch.settings.push(("KEYHERALD__NODE__LEASE", format!("{}s", LEASE.as_secs())));
    launch.settings.push(("KEYHERALD__STORE__CONNECTIONS", "6".into()));
    launch
}

/// What a node says of itself.
async fn ready(http: &reqwest::Client, server: &Server) -> (u16, Value) {
    let answer = http.get(format!("{}/health/ready", server.url)).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// How many attempts to deliver a node has made, as it tells Prometheus.
async fn attempts(http: &reqwest::Client, server: &Server) -> u64 {
    let told = http.get(&server.metrics_url).send().await.unwrap().text().await.unwrap();
    let of = told.lines().filter(|line| line.starts_with("keyherald_delivery_attempts_total{"));
    of.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
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
async fn one_serves_and_another_delivers_from_one_postgres() {
    let database = Database::start().await.unwrap_or_else(|why| panic!("{why}"));
    let stage = Stage::set(1).await;
    let http = http_client(LONGEST).unwrap();
    let (front, api, _) = start(&launch(&stage, &database, "api"), &http).await;
    api.subscribe(&stage.webhook, SECRET, false).await.unwrap();
    let made = api.post("/customers", &json!({"email": "ada@example.com", "password": "one"})).await.unwrap();
    let id = made.text("/customer/id");
    let lag = async || {
        let request = http.get(format!("{}/admin/demo/deliveries", front.url)).bearer_auth(api.token());
        let told: Value = request.send().await.unwrap().json().await.unwrap();
        let webhook = told["results"].as_array().unwrap().iter().find(|one| one["destination"] == "Webhook").cloned();
        webhook.unwrap()["lagMessages"].as_u64().unwrap()
    };
    assert_eq!(lag().await, 1);
    assert_eq!(ready(&http, &front).await, (200, json!({"status": "ready", "role": "api", "partitions": 0})));

    // It delivers what the other one has taken in, and serves nobody.
    let relay = launch(&stage, &database, "relay").start().unwrap();
    until("the first message arrives", async || stage.receiver.accepted() == 1).await;
    let change = json!({"id": id, "version": 1, "currentPassword": "one", "newPassword": "two"});
    assert_eq!(api.post("/customers/password", &change).await.unwrap().status, 200);
    until("the second arrives", async || stage.receiver.accepted() == 2).await;
    assert_eq!(ready(&http, &relay).await, (200, json!({"status": "ready", "role": "relay", "partitions": 64})));
    let login = json!({"email": "ada@example.com", "password": "two"});
    assert_eq!(api.moved_to(&relay.url).post("/login", &login).await.unwrap().status, 404);
    assert_eq!(api.post("/login", &login).await.unwrap().status, 200);
    assert_eq!(http.get(format!("{}/health/live", relay.url)).send().await.unwrap().status(), 200);
    assert!(attempts(&http, &relay).await >= 2);

    // One that does everything takes its share; and all of it, when the other one has died.
    let all = launch(&stage, &database, "all").start().unwrap();
    let share = async |server: &Server| ready(&http, server).await.1["partitions"].as_u64().unwrap();
    until("they share", async || share(&all).await == 32 && share(&relay).await == 32).await;
    let through_all = api.moved_to(&all.url);
    let change = json!({"id": id, "version": 2, "currentPassword": "two", "newPassword": "three"});
    assert_eq!(through_all.post("/customers/password", &change).await.unwrap().status, 200);
    until("the third arrives", async || stage.receiver.accepted() == 3).await;
    relay.kill();
    until("it has all", async || share(&all).await == 64).await;
    let change = json!({"id": id, "version": 3, "currentPassword": "three", "newPassword": "four"});
    assert_eq!(api.post("/customers/password", &change).await.unwrap().status, 200);
    until("the fourth arrives", async || stage.receiver.accepted() == 4).await;
    until("nothing is owed", async || lag().await == 0).await;
    assert_eq!(attempts(&http, &front).await, 0, "it has delivered nothing");
    assert_eq!(ready(&http, &front).await.1["partitions"], 0);
    let (arrivals, _, odd) = stage.receiver.close();
    let mut numbers: Vec<i64> = arrivals.iter().map(|arrival| arrival.message.fact.sequence).collect();
    numbers.dedup();
    assert_eq!((numbers, odd), (vec![1, 2, 3, 4], vec![]));
}
