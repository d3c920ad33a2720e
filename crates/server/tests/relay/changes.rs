//! Changes travel with messages: the same log, the same lanes, the same guarantee.

use std::collections::{BTreeMap, BTreeSet};

use keyherald::deliver::Settings;
use keyherald_core::delivery::{Outcome, RetrySchedule};
use keyherald_core::id::CustomerId;
use keyherald_store::each_engine;
use keyherald_store::testing::TestStore;
use serde_json::Value;

use crate::scripted::{Arrival, Scripted, temporary, to};
use crate::stage::{RunningRelay, Stage, settings};

each_engine! {
    messages_and_changes_arrive_in_order_across_restarts,
    changes_are_only_for_who_wants_them,
}

/// Notification type and version of the resource.
fn told(arrival: &Arrival) -> (String, i64) {
    let body: Value = serde_json::from_slice(&arrival.body).unwrap();
    let kind = body["notificationType"].as_str().unwrap().to_owned();
    let version = body.get("resourceVersion").unwrap_or(&body["version"]);
    (kind, version.as_i64().unwrap())
}

/// First arrivals of each customer, in their order.
fn first_arrivals(receiver: &Scripted) -> BTreeMap<CustomerId, Vec<(String, i64)>> {
    let mut known = BTreeMap::new();
    let mut first: BTreeMap<CustomerId, Vec<(String, i64)>> = BTreeMap::new();
    for arrival in receiver.arrivals() {
        let body = known.entry(arrival.message).or_insert_with(|| {
            first.entry(arrival.customer).or_default().push(told(&arrival));
            arrival.body.clone()
        });
        assert_eq!(*body, arrival.body, "a repeat is the same");
    }
    first
}

/// Everything that a customer has come to by `versions`: each has a change, and its message unless it was renamed.
fn assert_complete(told: &[(String, i64)], renamed: &BTreeSet<i64>, versions: i64) {
    assert!(told.is_sorted_by_key(|(_, version)| version), "{told:?}");
    for version in 1..=versions {
        let kinds: BTreeSet<&str> =
            told.iter().filter(|(_, of)| *of == version).map(|(kind, _)| kind.as_str()).collect();
        let change = if version == 1 { "ResourceCreated" } else { "ResourceUpdated" };
        let message = (!renamed.contains(&version)).then_some("Message");
        assert_eq!(kinds, message.into_iter().chain([change]).collect(), "version {version} of {told:?}");
    }
    assert_eq!(told.len(), usize::try_from(versions).unwrap() * 2 - renamed.len());
}

async fn messages_and_changes_arrive_in_order_across_restarts(store: &TestStore) {
    let stage = Stage::new(store).await;
    let id = stage.subscribe_with_changes().await.id;
    // Every third notice fails at first, so that lanes are parked with both kinds behind their heads.
    let receiver = Scripted::new(|delivery| {
        let by_chance = delivery.message_id.uuid().as_bytes()[15] % 3 == 0;
        if by_chance && delivery.attempt == 1 { temporary() } else { Outcome::Delivered }
    });
    let schedule = RetrySchedule { waits: vec![0, 1_000_000, 1_000_000, 1_000_000], ..RetrySchedule::default() };
    let settings = Settings { schedule, page_size: 5, window_max: 7, lane_page_size: 3, buffer_max: 6, ..settings() };
    let mut customers = stage.customers(3).await;
    let relays = std::sync::Arc::new(stage.relay(to(&receiver), settings));
    for _ in 0..3 {
        let relay = RunningRelay::of(&relays);
        for customer in &mut customers {
            stage.change(customer).await;
            stage.rename(customer).await;
            stage.change(customer).await;
        }
        let some = receiver.accepted() + 2;
        stage.until_moving(1_000_000, "some have arrived", async || receiver.accepted() >= some).await;
        relay.drop_where_it_is().await;
    }
    let relay = RunningRelay::of(&relays);
    let all = 3 * (10 * 2 - 3);
    stage.until_moving(1_000_000, "everything has arrived", async || receiver.accepted() == all).await;
    stage.until_quiet(&relay, id).await;
    relay.stop().await;
    let first = first_arrivals(&receiver);
    assert_eq!(first.len(), 3);
    let renamed = BTreeSet::from([3, 6, 9]);
    for told in first.values() {
        assert_complete(told, &renamed, 10);
    }
    assert!(stage.letters(id).await.is_empty());
}

async fn changes_are_only_for_who_wants_them(store: &TestStore) {
    let stage = Stage::new(store).await;
    let (with, without) = (stage.subscribe_with_changes().await.id, stage.subscribe(&[]).await.id);
    let receiver = Scripted::healthy();
    let relay = stage.start(to(&receiver), settings());
    let mut customer = stage.customer().await;
    stage.rename(&mut customer).await;
    stage.change(&mut customer).await;
    for id in [with, without] {
        stage.until_quiet(&relay, id).await;
    }
    relay.stop().await;
    let mut told: Vec<_> = receiver.arrivals().iter().map(told).collect();
    told.sort();
    let expected = [
        ("Message", 1), // to both
        ("Message", 1),
        ("Message", 3),
        ("Message", 3),
        ("ResourceCreated", 1),
        ("ResourceUpdated", 2),
        ("ResourceUpdated", 3),
    ];
    assert_eq!(told, expected.map(|(kind, version)| (kind.to_owned(), version)));
}
