//! A destination that has accepted nothing for days is disabled, and somebody is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use keyherald_core::Micros;
use keyherald_core::delivery::Outcome;
use keyherald_core::subscription::{Action, SubscriptionStatus};
use keyherald_store::each_engine;
use keyherald_store::testing::TestStore;

use crate::scripted::{Scripted, temporary, to};
use crate::stage::{Stage, destination, settings};

each_engine! {
    days_without_success_disable_it_over_restarts,
    one_success_begins_the_days_anew,
}

const AFTER: i64 = 5 * Micros::DAY;

/// Moves the clock on, some hours at a time, with a message of a new customer each, so that there is always one to try.
pub async fn pass(stage: &Stage, receiver: &Scripted, hours: usize) {
    for _ in 0..hours.div_ceil(3) {
        stage.clock.advance(3 * Micros::HOUR);
        let before = receiver.arrivals().len();
        stage.customer().await;
        let tried = tokio::time::timeout(std::time::Duration::from_secs(20), async {
            while receiver.arrivals().len() == before {
                tokio::time::sleep(std::time::Duration::from_millis(3)).await;
            }
        });
        assert!(tried.await.is_ok(), "nothing was tried");
    }
}

async fn days_without_success_disable_it_over_restarts(store: &TestStore) {
    let stage = Stage::new(store).await;
    let receiver = Scripted::disabled_after(AFTER, |_| temporary());
    let subscription = stage.subscribe(&[]).await;
    let relay = stage.start(to(&receiver), settings());
    stage.customer().await;
    stage.until("it has failed", || !receiver.arrivals().is_empty()).await;
    pass(&stage, &receiver, 60).await;
    relay.stop().await;
    let relay = stage.start(to(&receiver), settings());
    pass(&stage, &receiver, 54).await;
    assert_eq!(stage.status(subscription.id).await, SubscriptionStatus::TemporaryError, "not yet five days");
    stage.clock.advance(8 * Micros::HOUR);
    stage.customer().await;
    let is_stopped =
        async || stage.status(subscription.id).await == SubscriptionStatus::ConfigurationErrorDeliveryStopped;
    stage.until_moving(Micros::MINUTE, "it is disabled", is_stopped).await;
    stage.until("nobody is at work for it", || relay.counters.figures().subscriptions.is_empty()).await;
    // A change begins delivery anew, and the days with it.
    let updated =
        stage.update(subscription.id, vec![Action::ChangeDestination(destination("https://other.example"))]).await;
    assert_eq!((updated.version, updated.status), (3, SubscriptionStatus::Healthy));
    let before = receiver.arrivals().len();
    stage.until("it is tried again", || receiver.arrivals().len() > before).await;
    pass(&stage, &receiver, 3).await;
    assert_ne!(stage.status(subscription.id).await, SubscriptionStatus::ConfigurationErrorDeliveryStopped);
    relay.stop().await;
}

async fn one_success_begins_the_days_anew(store: &TestStore) {
    let stage = Stage::new(store).await;
    let accepts = Arc::new(AtomicBool::new(false));
    let answer = accepts.clone();
    let script = move |_: &_| if answer.load(Ordering::SeqCst) { Outcome::Delivered } else { temporary() };
    let receiver = Scripted::disabled_after(AFTER, script);
    let subscription = stage.subscribe(&[]).await;
    let relay = stage.start(to(&receiver), settings());
    stage.customer().await;
    stage.until("it has failed", || !receiver.arrivals().is_empty()).await;
    pass(&stage, &receiver, 96).await;
    accepts.store(true, Ordering::SeqCst);
    stage.customer().await;
    stage.until("it has accepted", || receiver.accepted() > 0).await;
    accepts.store(false, Ordering::SeqCst);
    pass(&stage, &receiver, 96).await;
    assert_ne!(stage.status(subscription.id).await, SubscriptionStatus::ConfigurationErrorDeliveryStopped);
    relay.stop().await;
}
