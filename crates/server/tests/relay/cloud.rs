//! What the contract promises of its own destinations (commercetools.md 8.3, 8.5).

use keyherald_core::Micros;
use keyherald_core::delivery::Cause;
use keyherald_core::subscription::SubscriptionStatus;
use keyherald_store::each_engine;
use keyherald_store::testing::TestStore;
use serde_json::{Value, json};

use crate::disabled::pass;
use crate::scripted::{Scripted, failed, temporary, to, to_cloud};
use crate::stage::{Stage, settings};

each_engine! {
    delivery_that_is_refused_for_a_day_stops,
    trouble_that_passes_is_tried_for_two_days_and_stops_nothing,
}

const STOPPED: SubscriptionStatus = SubscriptionStatus::ConfigurationErrorDeliveryStopped;

async fn delivery_that_is_refused_for_a_day_stops(store: &TestStore) {
    let stage = Stage::new(store).await;
    let receiver = Scripted::new(|_| failed(Cause::Refused, None));
    let subscription = stage.subscribe(&[]).await;
    let relay = stage.start(to_cloud(&receiver), settings());
    stage.customer().await;
    stage.until("it was refused", || !receiver.arrivals().is_empty()).await;
    pass(&stage, &receiver, 21).await;
    let status = async || stage.status(subscription.id).await;
    stage.until_moving(0, "it shows", async || status().await == SubscriptionStatus::ConfigurationError).await;
    stage.clock.advance(4 * Micros::HOUR);
    stage.customer().await;
    stage.until_moving(Micros::MINUTE, "it has stopped", async || status().await == STOPPED).await;
    stage.until("nobody is at work for it", || relay.counters.figures().subscriptions.is_empty()).await;
    relay.stop().await;
}

async fn trouble_that_passes_is_tried_for_two_days_and_stops_nothing(store: &TestStore) {
    let stage = Stage::new(store).await;
    let receiver = Scripted::new(|_| temporary());
    let subscription = stage.subscribe(&[]).await;
    let relay = stage.start(to_cloud(&receiver), settings());
    let first = stage.customer().await;
    stage.until("it has failed", || !receiver.arrivals().is_empty()).await;
    pass(&stage, &receiver, 45).await;
    assert!(stage.letters(subscription.id).await.is_empty(), "not yet two days");
    // Others of those hours may be given up with it.
    let letter = async || stage.letters(subscription.id).await.into_iter().find(|letter| letter.customer == first.id);
    stage.until_moving(Micros::HOUR, "the first one is given up", async || letter().await.is_some()).await;
    let letter = letter().await.unwrap();
    assert_eq!((letter.reason.as_str(), letter.attempts), ("exhausted", 9));
    assert_eq!(stage.status(subscription.id).await, SubscriptionStatus::TemporaryError);
    relay.stop().await;
}

#[tokio::test]
async fn a_message_that_is_too_large_goes_without_its_own_fields() {
    let store = TestStore::sqlite().await;
    let stage = Stage::new(&store).await;
    let receiver = Scripted::taking(600);
    let subscription = stage.subscribe(&[]).await;
    let relay = stage.start(to(&receiver), settings());
    let mut customer = stage.customer().await;
    stage.change(&mut customer).await;
    stage.until_quiet(&relay, subscription.id).await;
    relay.stop().await;
    let bodies: Vec<Value> =
        receiver.arrivals().iter().map(|arrival| serde_json::from_slice(&arrival.body).unwrap()).collect();
    let [created, changed] = bodies.as_slice() else { panic!("{bodies:?}") };
    let not_included = json!({"reason": "Payload too large.", "payloadType": "CustomerCreated"});
    assert_eq!((&created["payloadNotIncluded"], created.get("customer")), (&not_included, None));
    assert_eq!((changed.get("payloadNotIncluded"), &changed["reset"]), (None, &json!(false)));
}
