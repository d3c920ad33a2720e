//! Subscriptions are updated while they are delivered.

use std::sync::Arc;

use keyherald::deliver::{Opened, Opener};
use keyherald::destination::{Destination, Rules};
use keyherald_core::delivery::Outcome;
use keyherald_core::subscription::{Action, SubscriptionStatus};
use keyherald_store::each_engine;
use keyherald_store::testing::TestStore;

use crate::scripted::{Scripted, temporary, to};
use crate::stage::{Stage, destination, settings};

each_engine! {
    what_is_wanted_counts_from_the_update_on,
    a_new_destination_gets_what_failed_at_the_old_one_at_once,
    a_stopped_subscription_goes_on_at_a_new_destination,
}

const NEW: &str = "https://new.example";

/// Subscriptions whose URL is [`NEW`] go to `new`, all others to `old`.
fn by_url(old: &Arc<Scripted>, new: &Arc<Scripted>) -> Opener {
    let (old, new): (Arc<dyn Destination>, Arc<dyn Destination>) = (old.clone(), new.clone());
    let rules = Rules { gone_disables: true, persistence: None };
    Arc::new(move |stored| {
        let is_new = stored.subscription.destination.settings["url"] == NEW;
        Ok(Opened { destination: if is_new { new.clone() } else { old.clone() }, rules, endurance: None })
    })
}

async fn what_is_wanted_counts_from_the_update_on(store: &TestStore) {
    let stage = Stage::new(store).await;
    let id = stage.subscribe(&["CustomerPasswordUpdated"]).await.id;
    let receiver = Scripted::healthy();
    let relay = stage.start(to(&receiver), settings());
    let mut customer = stage.customer().await;
    stage.change(&mut customer).await;
    stage.until("the first has arrived", || receiver.accepted() == 1).await;
    stage.update(id, vec![Action::SetMessages(vec![]), Action::SetChanges(vec!["customer".into()])]).await;
    stage.change(&mut customer).await;
    stage.until("the change has arrived", || receiver.accepted() == 2).await;
    stage.update(id, vec![Action::SetChanges(vec!["store".into()])]).await;
    stage.change(&mut customer).await;
    stage.until_quiet(&relay, id).await;
    relay.stop().await;
    let body = String::from_utf8(receiver.arrivals().last().unwrap().body.clone()).unwrap();
    assert!(body.contains(r#""notificationType":"ResourceUpdated""#) && body.contains(r#""oldVersion":2"#), "{body}");
    assert_eq!(receiver.accepted(), 2);
}

async fn a_new_destination_gets_what_failed_at_the_old_one_at_once(store: &TestStore) {
    let stage = Stage::new(store).await;
    let id = stage.subscribe(&[]).await.id;
    let (old, new) = (Scripted::new(|_| temporary()), Scripted::healthy());
    let relay = stage.start(by_url(&old, &new), settings());
    let mut customers = stage.customers(3).await;
    stage.until_moving(0, "they wait", async || stage.parked(id).await.len() == 3).await;
    stage.until_moving(0, "it is told", async || stage.status(id).await == SubscriptionStatus::TemporaryError).await;
    stage.change_all(&mut customers, 1).await;
    let updated = stage.update(id, vec![Action::ChangeDestination(destination(NEW))]).await;
    assert_eq!((updated.status, updated.version), (SubscriptionStatus::Healthy, 2));
    // The clock stands still: nobody waits for the schedule of the old destination.
    stage.until("everything has arrived", || new.accepted() == 6).await;
    new.assert_in_order();
    stage.until_quiet(&relay, id).await;
    relay.stop().await;
    assert_eq!(stage.status(id).await, SubscriptionStatus::Healthy);
}

async fn a_stopped_subscription_goes_on_at_a_new_destination(store: &TestStore) {
    let stage = Stage::new(store).await;
    let id = stage.subscribe(&[]).await.id;
    let (old, new) = (Scripted::new(|_| Outcome::Gone), Scripted::healthy());
    let relay = stage.start(by_url(&old, &new), settings());
    let mut customers = stage.customers(2).await;
    let stopped = SubscriptionStatus::ConfigurationErrorDeliveryStopped;
    stage.until_moving(0, "it has stopped", async || stage.status(id).await == stopped).await;
    stage.change_all(&mut customers, 2).await;
    stage.update(id, vec![Action::ChangeDestination(destination(NEW))]).await;
    stage.until("the backlog has arrived", || new.accepted() == 6).await;
    relay.stop().await;
    new.assert_in_order();
    assert_eq!(stage.status(id).await, SubscriptionStatus::Healthy);
}
