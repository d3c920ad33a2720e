//! Known and unknown addresses: the same answer for the same work, and decoys that nobody sees.

use axum::http::Method;
use keyherald::app::Call;
use keyherald_core::Micros;
use keyherald_core::customer::Customer;
use keyherald_core::event::EventType;
use keyherald_core::id::{ProjectKey, SubscriptionId};
use keyherald_core::message::PARTITIONS;
use keyherald_store::event::State;
use keyherald_store::log::activity;
use keyherald_store::testing::TestStore;
use keyherald_store::tx::{query_all, query_one};
use keyherald_store::{Fault, Sql, Tx, delivery, event, log};
use serde_json::{Value, json};

use crate::stage::{Stage, VERIFICATIONS, brand};

on_both! {
    nobody_is_told_who_is_known, nobody_is_told_whose_number_is_known, nobody_is_told_by_partners_who_is_known,
    nobody_is_told_by_failures_who_is_known, without_the_equaliser_it_would_be_seen, decoys_are_seen_by_nobody,
    decoys_of_events_are_seen_by_nobody, decoys_go_with_their_time, decoys_of_events_go_with_their_time,
    whoever_stands_in_can_be_erased,
}

fn demo() -> ProjectKey {
    "demo".parse().unwrap()
}

/// Statements of writes and of reads, commits, and passwords hashed.
type Cost = [u64; 4];

async fn cost(stage: &Stage, email: &str) -> (Cost, Value) {
    cost_of(stage, "EMAIL", email).await
}

async fn cost_of(stage: &Stage, kind: &str, value: &str) -> (Cost, Value) {
    let before = so_far(stage);
    let attribute = json!({"type": kind, "value": value});
    let answered = stage.post(VERIFICATIONS, &json!({"attribute": attribute, "flow": "PASSWORD_RESET"})).await;
    assert_eq!(answered.status, 201);
    let after = so_far(stage);
    let mut body = answered.json();
    for differs in ["verificationId", "attribute", "notificationType"] {
        body.as_object_mut().unwrap().remove(differs);
    }
    (std::array::from_fn(|index| after[index] - before[index]), body)
}

fn so_far(stage: &Stage) -> Cost {
    let counters = stage.server.app.store.counters();
    let hash = stage.server.app.hash.counters();
    let hashes = hash.verified + hash.dummy + hash.hashed;
    [counters.write_statements, counters.read_statements, counters.writes, hashes]
}

async fn nobody_is_told_who_is_known(store: TestStore) {
    let stage = Stage::on(store, brand()).await;
    stage.server.customer("jo@example.com", "first-password").await;
    for _ in 0..3 {
        let (known, unknown) = (cost(&stage, "jo@example.com").await, cost(&stage, "xy@example.com").await);
        assert_eq!(known, unknown);
        assert_eq!(known.0[2], 2, "the rates, and the process");
    }
    assert_eq!(stage.codes().await.len(), 1);
}

async fn nobody_is_told_whose_number_is_known(store: TestStore) {
    let stage = Stage::on(store, brand()).await;
    stage.server.customer_with("demo", "jo@example.com", "first-password", Some("+436641234567")).await;
    for _ in 0..3 {
        let known = cost_of(&stage, "MOBILE", "+43 664 1234567").await;
        let unknown = cost_of(&stage, "MOBILE", "+43 664 7654321").await;
        assert_eq!(known, unknown);
    }
    assert_eq!(stage.codes().await.len(), 1);
}

async fn nobody_is_told_by_partners_who_is_known(store: TestStore) {
    let mut brand = brand();
    brand.verifying.partner_tells = true;
    brand.verifying.limits.resend_interval = 0;
    let stage = Stage::on(store, brand).await;
    stage.listen_to_events().await;
    stage.server.customer_with("demo", "jo@example.com", "first-password", Some("+436641234567")).await;
    for round in 1..=3 {
        assert_eq!(cost(&stage, "jo@example.com").await, cost(&stage, "xy@example.com").await);
        let known = cost_of(&stage, "MOBILE", "+436641234567").await;
        assert_eq!(known, cost_of(&stage, "MOBILE", "+436647654321").await);
        // Of each attribute, only the newest process's body is left.
        let events = stage.events(EventType::CustomerDataVerification).await;
        assert_eq!(events.len(), 2, "{round}");
        assert!(
            events.iter().all(|event| event["verificationProcess"]["value"].as_str().is_some_and(|it| it.len() == 6))
        );
    }
    assert!(stage.codes().await.is_empty());
}

/// Also where the partner only hears of processes, and of those that come to nothing.
async fn nobody_is_told_by_failures_who_is_known(store: TestStore) {
    let mut brand = brand();
    brand.verifying.partner_hears = true;
    brand.verifying.tells_failures = true;
    brand.verifying.limits.resend_interval = 0;
    let stage = Stage::on(store, brand).await;
    stage.listen_to_events().await;
    stage.server.customer("jo@example.com", "first-password").await;
    for _ in 0..3 {
        assert_eq!(cost(&stage, "jo@example.com").await, cost(&stage, "xy@example.com").await);
    }
    let events = stage.events(EventType::CustomerDataVerification).await;
    assert!(events.iter().all(|event| event["verificationProcess"].get("value").is_none()), "{events:?}");
    assert_eq!(events.len(), 1, "the newest process's");
    assert_eq!(stage.codes().await.len(), 3);
}

async fn without_the_equaliser_it_would_be_seen(store: TestStore) {
    let mut brand = brand();
    brand.verifying.equalises = false;
    let stage = Stage::on(store, brand).await;
    stage.server.customer("jo@example.com", "first-password").await;
    let (known, unknown) = (cost(&stage, "jo@example.com").await, cost(&stage, "xy@example.com").await);
    assert_ne!(known.0, unknown.0);
}

/// Tables, and how many rows they have.
type Rows = Vec<(&'static str, i64)>;

async fn rows(stage: &Stage) -> Rows {
    let tables = [
        ("log", "SELECT count(*) FROM log"),
        ("log_personal", "SELECT count(*) FROM log_personal"),
        ("log_secret", "SELECT count(*) FROM log_secret"),
        ("event", "SELECT count(*) FROM event"),
        ("verification", "SELECT count(*) FROM verification"),
        ("attribute", "SELECT count(*) FROM attribute"),
        ("customer", "SELECT count(*) FROM customer"),
        ("customer_key", "SELECT count(*) FROM customer_key"),
    ];
    let count = move |tx: &mut dyn Tx| {
        let count = |(table, sql)| Ok((table, query_one(tx, &Sql::both("ROWS", sql), &[], |row| row.int(0))?.unwrap()));
        tables.into_iter().map(count).collect::<Result<Vec<_>, Fault>>()
    };
    stage.server.store().read(count).await.unwrap()
}

/// How many more rows there are for this.
async fn written(stage: &Stage, kind: &str, value: &str) -> Rows {
    let before = rows(stage).await;
    cost_of(stage, kind, value).await;
    rows(stage).await.into_iter().zip(before).map(|((table, after), (_, before))| (table, after - before)).collect()
}

/// What is in the log for relays.
async fn entries(stage: &Stage) -> usize {
    let (ring, now) = (stage.server.app.ring.clone(), stage.server.app.moments.now());
    let look = move |tx: &mut dyn Tx| log::after(tx, &ring, (0, i64::MAX), 1000, now);
    stage.server.store().read(look).await.unwrap().len()
}

/// One customer, to whom everybody else is near, and subscriptions to everything that there is.
async fn near_jo(store: TestStore, partner_tells: bool) -> (Stage, Customer) {
    let mut brand = brand();
    brand.verifying.partner_tells = partner_tells;
    let stage = Stage::on(store, brand).await;
    stage.listen_to_events().await;
    let token = stage.server.token("demo-client").await;
    let everything = json!({
        "destination": {"type": "Webhook", "url": "https://example.com/hook"},
        "messages": [{"resourceTypeId": "customer"}, {"resourceTypeId": "customer-email-token"}],
        "changes": [{"resourceTypeId": "customer"}, {"resourceTypeId": "customer-email-token"}],
    });
    let made = stage.server.json(&token, Method::POST, "/demo/subscriptions", &everything).await;
    assert_eq!(made.status, 201, "{made:?}");
    let jo = stage.server.customer_with("demo", "jo@example.com", "first-password", Some("+436641234567")).await;
    (stage, jo)
}

/// An address before that customer's, one behind it, and a number: the same rows as for the customer.
async fn ask_for_nobody(stage: &Stage) {
    let of_known = written(stage, "EMAIL", "jo@example.com").await;
    for email in ["an@example.com", "xy@example.com"] {
        assert_eq!(written(stage, "EMAIL", email).await, of_known);
    }
    let of_known = written(stage, "MOBILE", "+43 664 1234567").await;
    assert_eq!(written(stage, "MOBILE", "+43 664 7654321").await, of_known);
}

async fn decoys_are_seen_by_nobody(store: TestStore) {
    let (stage, jo) = near_jo(store, false).await;
    let token = stage.server.token("demo-client").await;
    let shown = async || {
        let get = async |uri: &str| stage.server.json(&token, Method::GET, uri, &Value::Null).await.json();
        [get("/demo/messages?withTotal=true").await, get("/demo/customers?withTotal=true").await]
    };
    let before = (shown().await, entries(&stage).await);
    assert_eq!((&before.0[0]["total"], &before.0[1]["total"]), (&json!(1), &json!(1)));
    ask_for_nobody(&stage).await;
    assert_eq!(shown().await, before.0);
    // What was written for Jo alone: the message, and its change, once for the address and once for the number.
    assert_eq!(stage.codes().await.len(), 2);
    assert_eq!(entries(&stage).await, before.1 + 4);
    let asked = activity::Asked { customer: Some(jo.id), after: None, limit: 100 };
    let of_jo = stage.server.app.activity(Call::on(demo()), asked).await.unwrap();
    assert_eq!(of_jo.entries.len(), 2);
}

async fn decoys_of_events_are_seen_by_nobody(store: TestStore) {
    let (stage, jo) = near_jo(store, true).await;
    let before = entries(&stage).await;
    ask_for_nobody(&stage).await;
    assert_eq!(entries(&stage).await, before + 2);
    for customer in [None, Some(jo.id)] {
        let (from, to) = (Micros(0), Micros(i64::MAX));
        let asked = event::Asked { event_type: EventType::CustomerDataVerification, from, to, customer };
        let listed = stage.server.app.list_events(demo(), asked, (50, 0)).await.unwrap();
        assert_eq!(listed.len(), 2);
        assert!(listed.iter().all(|event| event.customer == Some(jo.id) && event.state == State::Pending));
    }
}

async fn decoys_go_with_their_time(store: TestStore) {
    go_with_their_time(&near_jo(store, false).await.0).await;
}

async fn decoys_of_events_go_with_their_time(store: TestStore) {
    go_with_their_time(&near_jo(store, true).await.0).await;
}

async fn go_with_their_time(stage: &Stage) {
    let app = &stage.server.app;
    for (kind, value) in [("EMAIL", "an@example.com"), ("EMAIL", "xy@example.com"), ("MOBILE", "+43 664 7654321")] {
        assert!(written(stage, kind, value).await[0].1 > 1, "a decoy, and the trace");
    }
    let left = async || {
        while app.sweep_once().await.unwrap() {}
        rows(stage).await.into_iter().filter(|(_, count)| *count > 0).map(|(table, _)| table).collect::<Vec<_>>()
    };
    // The codes are over.
    stage.server.clock.advance(Micros::HOUR);
    assert!(!left().await.contains(&"log_secret"));
    // So are the processes, and what is kept of events.
    stage.server.clock.advance(2 * Micros::DAY);
    assert_eq!(left().await, ["log", "log_personal", "customer", "customer_key"]);
    // And the log's days, of which nothing is owed any more.
    stage.server.clock.advance(16 * Micros::DAY);
    let forward = |tx: &mut dyn Tx, _: &mut _| {
        let (all, last) = (Sql::both("ALL", "SELECT id FROM subscription"), log::last_position(tx)?);
        let subscriptions: Vec<SubscriptionId> = query_all(tx, &all, &[], |row| row.parsed(0))?;
        let cursors = subscriptions.iter().flat_map(|id| (0..PARTITIONS).map(move |partition| (*id, partition)));
        cursors.into_iter().try_for_each(|(id, partition)| delivery::put_cursor(tx, id, partition, last))
    };
    app.store.write(&app.moments.ctx(), forward).await.unwrap();
    let mut round = app.begin_retention().await.unwrap();
    while app.retain_once(&mut round).await.unwrap() {}
    assert_eq!(left().await, ["customer", "customer_key"]);
}

async fn whoever_stands_in_can_be_erased(store: TestStore) {
    let (stage, jo) = near_jo(store, false).await;
    written(&stage, "EMAIL", "xy@example.com").await;
    let token = stage.server.token("demo-client").await;
    let uri = format!("/demo/customers/{}?version=1&dataErasure=true", jo.id);
    assert_eq!(stage.server.json(&token, Method::DELETE, &uri, &Value::Null).await.status, 200);
    for table in ["log_personal", "log_secret", "customer", "customer_key"] {
        assert!(rows(&stage).await.contains(&(table, 0)), "{table}");
    }
    // Now there is nobody to stand in, and nobody of whom anything could be told.
    assert_eq!(written(&stage, "EMAIL", "xy@example.com").await[0], ("log", 1));
}
