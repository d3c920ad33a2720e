//! What the server removes by itself, and what it must keep.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "support/mod.rs"]
#[expect(dead_code, reason = "parts of it are for other tests")]
mod support;

use axum::http::{Method, StatusCode};
use keyherald_core::Micros;
use keyherald_core::id::{CustomerId, SubscriptionId};
use keyherald_core::message::partition;
use keyherald_store::delivery::{self, ParkedLane};
use keyherald_store::testing::block_on;
use keyherald_store::tx::query_one;
use keyherald_store::{Sql, Tx, log};
use serde_json::{Value, json};

use support::{START, TestServer, basic};

/// Makes two tests of each function: `name::sqlite` and `name::postgres`.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            #[test]
            fn sqlite() {
                super::block_on(async { super::$name(&super::TestServer::sqlite().await).await });
            }

            #[test]
            #[ignore = "needs PostgreSQL: cargo xtask test starts one"]
            fn postgres() {
                super::block_on(async { super::$name(&super::TestServer::postgres().await).await });
            }
        }
    )*};
}

on_both! {
    old_messages_go_and_those_that_are_owed_stay,
    fewer_days_hide_at_once_and_remove_at_the_next_round,
    many_go_in_many_batches,
    what_has_expired_is_erased,
}

async fn post(server: &TestServer, path: &str, body: Value) -> Value {
    let token = server.token("demo-client").await;
    let answered = server.json(&token, Method::POST, path, &body).await;
    assert!(answered.status.is_success(), "{answered:?}");
    answered.json()
}

async fn customer(server: &TestServer, email: &str) -> CustomerId {
    let made = post(server, "/demo/customers", json!({"email": email, "password": "secret"})).await;
    made["customer"]["id"].as_str().unwrap().parse().unwrap()
}

/// A round of retention, as the background task does it. Says how much it removed.
async fn round(server: &TestServer) -> usize {
    let mut round = server.app.begin_retention().await.unwrap();
    while server.app.retain_once(&mut round).await.unwrap() {}
    round.removed
}

async fn count(server: &TestServer, sql: &'static str) -> i64 {
    let sql = Sql::both("retention::COUNT", sql);
    server.store().read(move |tx| query_one(tx, &sql, &[], |row| row.int(0))).await.unwrap().unwrap()
}

/// The positions of a customer's messages.
async fn positions(server: &TestServer, customer: CustomerId) -> Vec<i64> {
    let (ring, project) = (server.app.ring.clone(), "demo".parse().unwrap());
    let look = move |tx: &mut dyn Tx| log::of_customer(tx, &ring, (&project, customer), (0, i64::MAX), 100, START);
    server.store().read(look).await.unwrap().iter().filter_map(|entry| Some(entry.message()?.position)).collect()
}

/// Moves all cursors of a subscription to the end of the log.
async fn delivered(server: &TestServer, subscription: SubscriptionId) {
    let work = move |tx: &mut dyn Tx, _: &mut _| {
        let last = log::last_position(tx)?;
        (0..64).try_for_each(|partition| delivery::put_cursor(tx, subscription, partition, last))
    };
    server.store().write(&server.app.moments.ctx(), work).await.unwrap();
}

async fn old_messages_go_and_those_that_are_owed_stay(server: &TestServer) {
    let before = customer(server, "before@example.com").await;
    let draft = json!({
        "destination": {"type": "Webhook", "url": "https://example.com/hook"},
        "messages": [{"resourceTypeId": "customer"}],
    });
    let made = post(server, "/demo/subscriptions", draft).await;
    let subscription: SubscriptionId = made["id"].as_str().unwrap().parse().unwrap();
    let (one, two) = (customer(server, "one@example.com").await, customer(server, "two@example.com").await);

    // Not a moment before its days are over.
    server.clock.advance(15 * Micros::DAY);
    assert_eq!(round(server).await, 0);
    server.clock.advance(Micros::SECOND);
    // What was there before the subscription is owed to nobody; the rest has not been delivered.
    assert!(round(server).await > 0);
    assert_eq!((positions(server, before).await.len(), positions(server, one).await.len()), (0, 1));
    assert_eq!(round(server).await, 0);

    // Both delivered but for one lane, which waits for its retry.
    let from_position = positions(server, one).await[0];
    let lane = ParkedLane {
        customer: one,
        partition: partition(one),
        from_position,
        failed_attempts: 3,
        next_at: None,
        last_error: "503".into(),
        parked_at: server.app.moments.now(),
    };
    let park = move |tx: &mut dyn Tx, _: &mut _| delivery::park(tx, subscription, &lane);
    server.store().write(&server.app.moments.ctx(), park).await.unwrap();
    delivered(server, subscription).await;
    round(server).await;
    assert_eq!((positions(server, one).await.len(), positions(server, two).await.len()), (1, 0));

    let unpark = move |tx: &mut dyn Tx, _: &mut _| delivery::unpark(tx, subscription, one);
    server.store().write(&server.app.moments.ctx(), unpark).await.unwrap();
    round(server).await;
    assert!(positions(server, one).await.is_empty());
    assert_eq!(count(server, "SELECT count(*) FROM log").await, 0);
    assert_eq!(count(server, "SELECT count(*) FROM log_personal").await, 0);
    // The customers are still there, and the next message of each has the next number.
    assert_eq!(count(server, "SELECT count(*) FROM customer_key").await, 3);
    let token = server.token("demo-client").await;
    let changed = json!({"id": one, "version": 1, "currentPassword": "secret", "newPassword": "x"});
    assert_eq!(server.json(&token, Method::POST, "/demo/customers/password", &changed).await.status, StatusCode::OK);
    let page = server.json(&token, Method::GET, "/demo/messages", &Value::Null).await.json();
    assert_eq!((&page["count"], &page["results"][0]["sequenceNumber"]), (&json!(1), &json!(2)));
}

async fn fewer_days_hide_at_once_and_remove_at_the_next_round(server: &TestServer) {
    customer(server, "one@example.com").await;
    server.clock.advance(Micros::DAY + Micros::SECOND);
    customer(server, "two@example.com").await;
    let token = server.token("demo-client").await;
    let shown = async || server.json(&token, Method::GET, "/demo/messages", &Value::Null).await.json()["total"].clone();
    assert_eq!(shown().await, 2);
    let setting = json!({"enabled": true, "deleteDaysAfterCreation": 1});
    let action = json!({"action": "changeMessagesConfiguration", "messagesConfiguration": setting});
    post(server, "/demo", json!({"version": 1, "actions": [action]})).await;
    assert_eq!((shown().await, count(server, "SELECT count(*) FROM log WHERE kind = 'message'").await), (json!(1), 2));
    assert!(round(server).await > 0);
    assert_eq!((shown().await, count(server, "SELECT count(*) FROM log WHERE kind = 'message'").await), (json!(1), 1));
}

async fn many_go_in_many_batches(server: &TestServer) {
    // More than two batches, in two projects. Failed sign-ins are cheap entries.
    let token = server.token("demo-client").await;
    for _ in 0..450 {
        let login = json!({"email": "nobody@example.com", "password": "x"});
        server.json(&token, Method::POST, "/demo/login", &login).await;
    }
    let elsewhere = server.token("other-client").await;
    let draft = json!({"email": "jo@example.com", "password": "secret"});
    assert_eq!(server.json(&elsewhere, Method::POST, "/other/customers", &draft).await.status, StatusCode::CREATED);
    assert_eq!(count(server, "SELECT count(*) FROM log").await, 451);
    server.clock.advance(16 * Micros::DAY);
    let mut round = server.app.begin_retention().await.unwrap();
    let mut batches = 1;
    while server.app.retain_once(&mut round).await.unwrap() {
        batches += 1;
    }
    assert_eq!((round.removed, count(server, "SELECT count(*) FROM log").await), (451, 0));
    assert!(batches >= 4, "{batches}");
}

async fn what_has_expired_is_erased(server: &TestServer) {
    let jo = customer(server, "jo@example.com").await;
    for ttl in [20, 60, 61] {
        post(server, "/demo/customers/password-token", json!({"email": "jo@example.com", "ttlMinutes": ttl})).await;
    }
    let form = "grant_type=password&username=jo%40example.com&password=secret";
    let headers = [("authorization", basic("demo-client"))];
    assert_eq!(server.send(Method::POST, "/oauth/demo/customers/token", &headers, form).await.status, StatusCode::OK);
    // Values ride with the messages of the two that live an hour or less.
    assert_eq!(count(server, "SELECT count(*) FROM log_secret").await, 2);
    server.clock.advance(20 * Micros::MINUTE);
    assert!(!server.app.sweep_once().await.unwrap());
    assert_eq!(count(server, "SELECT count(*) FROM log_secret").await, 1);
    server.clock.advance(40 * Micros::MINUTE);
    server.app.sweep_once().await.unwrap();
    assert_eq!(count(server, "SELECT count(*) FROM log_secret").await, 0);
    assert_eq!(count(server, "SELECT count(*) FROM token").await, 3);
    // An expired token is told from an unknown one for a day.
    server.clock.advance(Micros::DAY + Micros::MINUTE);
    server.app.sweep_once().await.unwrap();
    assert_eq!(count(server, "SELECT count(*) FROM token").await, 0);
    // Access tokens after two days, refresh tokens after 200.
    server.clock.advance(Micros::DAY);
    server.app.sweep_once().await.unwrap();
    assert_eq!(count(server, "SELECT count(*) FROM session").await, 1);
    server.clock.advance(200 * Micros::DAY);
    server.app.sweep_once().await.unwrap();
    assert_eq!(count(server, "SELECT count(*) FROM session").await, 0);
    assert_eq!(positions(server, jo).await.len(), 4);
}
