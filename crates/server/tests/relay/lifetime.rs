//! Subscriptions come and go, fall behind and catch up.

use std::time::Duration;

use keyherald::deliver::Settings;
use keyherald_store::testing::TestStore;
use keyherald_store::{Sql, each_engine, tx};
use tokio::task::JoinSet;

use crate::scripted::{Scripted, to};
use crate::stage::{Stage, settings};

each_engine! {
    a_new_subscription_gets_only_what_comes_later,
    a_deleted_subscription_gets_nothing_more_and_leaves_nothing,
    who_is_far_behind_catches_up,
    a_clean_stop_repeats_nothing,
    a_stop_waits_for_what_is_on_its_way,
    a_stop_does_not_wait_for_ever,
    a_subscription_of_another_process_is_noticed,
}

async fn a_new_subscription_gets_only_what_comes_later(store: &TestStore) {
    let stage = Stage::new(store).await;
    let receiver = Scripted::healthy();
    let relay = stage.start(to(&receiver), settings());
    let mut customers = stage.customers(3).await;
    stage.subscribe(&[]).await;
    stage.change_all(&mut customers, 1).await;
    stage.until("they have arrived", || receiver.accepted() == 3).await;
    relay.stop().await;
    assert!(receiver.arrivals().iter().all(|arrival| arrival.sequence == 2));
}

static LEFT: Sql = Sql::both(
    "LEFT",
    "SELECT (SELECT count(*) FROM delivery_cursor) + (SELECT count(*) FROM parked_lane)
          + (SELECT count(*) FROM dead_letter)",
);

async fn a_deleted_subscription_gets_nothing_more_and_leaves_nothing(store: &TestStore) {
    let stage = Stage::new(store).await;
    let id = stage.subscribe(&[]).await.id;
    let receiver = Scripted::healthy();
    receiver.hold(true);
    let relay = stage.start(to(&receiver), settings());
    let mut customers = stage.customers(3).await;
    stage.until("they are on their way", || receiver.sending().len() == 3).await;
    stage.unsubscribe(id).await;
    stage.until("they are dropped", || receiver.sending().is_empty()).await;
    stage.until("it is forgotten", || relay.counters.figures().subscriptions.is_empty()).await;
    receiver.hold(false);
    stage.change_all(&mut customers, 1).await;
    relay.stop().await;
    assert!(receiver.arrivals().is_empty());
    let left = stage.store.read(|reader| tx::query_one(reader, &LEFT, &[], |row| row.int(0))).await.unwrap();
    assert_eq!(left, Some(0));
}

async fn who_is_far_behind_catches_up(store: &TestStore) {
    let stage = Stage::new(store).await;
    stage.subscribe(&[]).await;
    let mut customers = stage.customers(4).await;
    stage.change_all(&mut customers, 10).await;
    let receiver = Scripted::healthy();
    let small = Settings { window_max: 3, page_size: 5, buffer_max: 4, lane_page_size: 2, ..settings() };
    let relay = stage.start(to(&receiver), small);
    stage.change_all(&mut customers, 5).await;
    stage.until("everything has arrived", || receiver.accepted() == 64).await;
    receiver.assert_in_order();
    // Near the end it reads no pages of its own: the next one comes by the window.
    stage.change_all(&mut customers, 1).await;
    stage.until("the last have arrived", || receiver.accepted() == 68).await;
    relay.stop().await;
    assert_eq!(receiver.arrivals().len(), 68, "nothing came twice");
}

async fn a_clean_stop_repeats_nothing(store: &TestStore) {
    let stage = Stage::new(store).await;
    stage.subscribe(&[]).await;
    let receiver = Scripted::healthy();
    let never = Settings { save_every: Duration::from_hours(1), ..settings() };
    let mut customers = stage.customers(3).await;
    for round in 1..=3 {
        let relay = stage.start(to(&receiver), never.clone());
        stage.change_all(&mut customers, 1).await;
        stage.until("they have arrived", || receiver.accepted() == 3 + 3 * round).await;
        relay.stop().await;
    }
    assert_eq!(receiver.arrivals().len(), 12);
    receiver.assert_in_order();
}

async fn a_stop_waits_for_what_is_on_its_way(store: &TestStore) {
    let stage = Stage::new(store).await;
    stage.subscribe(&[]).await;
    let receiver = Scripted::healthy();
    receiver.hold(true);
    let relay = stage.start(to(&receiver), settings());
    let mut customers = stage.customers(2).await;
    stage.change_all(&mut customers, 1).await;
    stage.until("they are on their way", || receiver.sending().len() == 2).await;
    let mut stopping = JoinSet::new();
    stopping.spawn(relay.stop());
    receiver.hold(false);
    stopping.join_next().await.unwrap().unwrap();
    assert!(receiver.accepted() >= 2);
    let relay = stage.start(to(&receiver), settings());
    stage.until("everything has arrived", || receiver.accepted() == 4).await;
    relay.stop().await;
    assert_eq!(receiver.arrivals().len(), 4, "nothing came twice");
}

async fn a_stop_does_not_wait_for_ever(store: &TestStore) {
    let stage = Stage::new(store).await;
    stage.subscribe(&[]).await;
    let receiver = Scripted::healthy();
    receiver.hold(true);
    let hasty = Settings { drain: Duration::from_millis(30), ..settings() };
    let relay = stage.start(to(&receiver), hasty.clone());
    stage.customers(2).await;
    stage.until("they are on their way", || receiver.sending().len() == 2).await;
    relay.stop().await;
    assert!(receiver.arrivals().is_empty() && receiver.sending().is_empty());
    receiver.hold(false);
    let relay = stage.start(to(&receiver), hasty);
    stage.until("they are sent again", || receiver.accepted() == 2).await;
    relay.stop().await;
}

async fn a_subscription_of_another_process_is_noticed(store: &TestStore) {
    let stage = Stage::new(store).await;
    let receiver = Scripted::healthy();
    let relay = stage.start(to(&receiver), settings());
    let mut customers = stage.customers(1).await;
    let other = Stage::new(store).await; // tells its own relays, of which there are none
    let id = other.subscribe(&[]).await.id;
    stage.change_all(&mut customers, 1).await;
    stage.until("it has arrived", || receiver.accepted() == 1).await;
    other.unsubscribe(id).await;
    stage.until("it is forgotten", || relay.counters.figures().subscriptions.is_empty()).await;
    relay.stop().await;
}
