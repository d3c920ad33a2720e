//! Order, parallelism, failures and their ends.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use keyherald::deliver::Settings;
use keyherald_core::Micros;
use keyherald_core::delivery::{BreakerSettings, Cause, OnExhausted, Outcome, RetrySchedule};
use keyherald_core::id::ProjectKey;
use keyherald_core::message::partition;
use keyherald_core::subscription::SubscriptionStatus;
use keyherald_store::testing::TestStore;
use keyherald_store::{Sql, delivery, each_engine};

use crate::scripted::{Scripted, failed, temporary, to};
use crate::stage::{Stage, settings};

each_engine! {
    every_customer_in_order_whatever_fails,
    many_customers_at_once,
    a_failing_customer_delays_nobody,
    a_receiver_can_ask_for_rest,
    a_receiver_that_is_gone_is_left_alone,
    a_message_that_is_given_up_is_kept_and_the_next_is_sent,
    a_held_customer_waits_for_an_operator,
    an_erased_message_is_put_aside,
    an_outage_rests_the_subscription_and_everything_arrives_after_it,
    only_what_is_wanted,
}

async fn every_customer_in_order_whatever_fails(store: &TestStore) {
    let stage = Stage::new(store).await;
    let id = stage.subscribe(&[]).await.id;
    let count = AtomicU64::new(0);
    // A third fails in some way; some of those have arrived all the same.
    let receiver = Scripted::new(move |_| match count.fetch_add(1, Ordering::Relaxed) * 7 % 10 {
        0 => temporary(),
        3 => failed(Cause::Refused, None),
        7 => failed(Cause::Throttled, None),
        _ => Outcome::Delivered,
    });
    let schedule = RetrySchedule { waits: vec![Micros::SECOND; 50], ..RetrySchedule::default() };
    let relay = stage.start(to(&receiver), Settings { schedule, ..settings() });
    let mut customers = stage.customers(8).await;
    stage.change_all(&mut customers, 5).await;
    stage.until_moving(Micros::SECOND, "everything has arrived", async || receiver.accepted() == 48).await;
    receiver.assert_in_order();
    stage.until_quiet(&relay, id).await;
    assert!(stage.parked(id).await.is_empty());
    assert!(relay.counters.figures().failed > 0);
    relay.stop().await;
}

async fn many_customers_at_once(store: &TestStore) {
    let stage = Stage::new(store).await;
    stage.subscribe(&[]).await;
    let receiver = Scripted::healthy();
    receiver.hold(true);
    let relay = stage.start(to(&receiver), Settings { in_flight_max: 5, ..settings() });
    let customers = stage.customers(7).await;
    stage.until("as many are on their way as may be", || receiver.sending().len() == 5).await;
    receiver.hold(false);
    stage.until("everything has arrived", || receiver.accepted() == customers.len()).await;
    relay.stop().await;
}

async fn a_failing_customer_delays_nobody(store: &TestStore) {
    let stage = Stage::new(store).await;
    let id = stage.subscribe(&[]).await.id;
    let mut customers = stage.customers(4).await;
    let unlucky = customers[0].id;
    let is_repaired = Arc::new(AtomicBool::new(false));
    let repaired = is_repaired.clone();
    let receiver = Scripted::new(move |delivery| {
        if delivery.customer == unlucky && !repaired.load(Ordering::Relaxed) { temporary() } else { Outcome::Delivered }
    });
    let relay = stage.start(to(&receiver), settings());
    stage.change_all(&mut customers, 3).await;
    stage.until("the others have everything", || receiver.accepted() == 12).await;
    stage.until_moving(0, "it is parked", async || !stage.parked(id).await.is_empty()).await;
    let row = stage.parked(id).await.remove(0);
    assert_eq!((row.customer, row.last_error.as_str()), (unlucky, "answered 500"));
    is_repaired.store(true, Ordering::Relaxed);
    stage.until_moving(Micros::SECOND, "everything has arrived", async || receiver.accepted() == 16).await;
    receiver.assert_in_order();
    // It is live again: the next message needs no retry.
    stage.until_moving(0, "it is not parked", async || stage.parked(id).await.is_empty()).await;
    stage.change(&mut customers[0]).await;
    stage.until("the next has arrived", || receiver.accepted() == 17).await;
    relay.stop().await;
}

async fn a_receiver_can_ask_for_rest(store: &TestStore) {
    let stage = Stage::new(store).await;
    let id = stage.subscribe(&[]).await.id;
    let asks = AtomicBool::new(true);
    let mut customers = stage.customers(2).await;
    let patient = customers[0].id;
    let receiver = Scripted::new(move |delivery| {
        let first = delivery.customer == patient && asks.swap(false, Ordering::Relaxed);
        if first { failed(Cause::Temporary, Some(3600)) } else { Outcome::Delivered }
    });
    let relay = stage.start(to(&receiver), settings());
    stage.until_moving(0, "it is parked", async || !stage.parked(id).await.is_empty()).await;
    stage.clock.advance(3590 * Micros::SECOND);
    let (_, other) = customers.split_at_mut(1);
    stage.change_all(other, 5).await; // the relay has looked at the clock many times
    stage.until("the other has everything", || receiver.accepted() == 6).await;
    assert_eq!(receiver.of(patient).len(), 1);
    stage.clock.advance(20 * Micros::SECOND);
    stage.until("it is tried again", || receiver.accepted() == 7).await;
    assert_eq!(receiver.of(patient)[1].attempt, 2);
    relay.stop().await;
}

async fn a_receiver_that_is_gone_is_left_alone(store: &TestStore) {
    let stage = Stage::new(store).await;
    let id = stage.subscribe(&[]).await.id;
    let receiver = Scripted::new(|_| Outcome::Gone);
    let relay = stage.start(to(&receiver), Settings { in_flight_max: 1, ..settings() });
    let mut customers = stage.customers(3).await;
    let stopped = SubscriptionStatus::ConfigurationErrorDeliveryStopped;
    stage.until_moving(0, "it is stopped", async || stage.status(id).await == stopped).await;
    stage.change_all(&mut customers, 2).await;
    relay.stop().await;
    assert_eq!(receiver.arrivals().len(), 1);
    let cursors = stage.cursors(id).await;
    for customer in &customers {
        let first = stage.positions(customer.id).await[0];
        let cursor = cursors.iter().find(|(number, _)| *number == partition(customer.id)).unwrap().1;
        assert!(cursor < first, "nothing is counted as delivered");
    }
    // A new relay leaves it alone, too.
    let other = stage.subscribe(&[]).await.id;
    let relay = stage.start(to(&receiver), settings());
    stage.change(&mut customers[0]).await;
    stage.until_moving(0, "the other is stopped", async || stage.status(other).await == stopped).await;
    relay.stop().await;
    assert_eq!(receiver.arrivals().len(), 2);
}

fn two_attempts() -> Settings {
    let schedule = RetrySchedule { waits: vec![0, Micros::SECOND], ..RetrySchedule::default() };
    Settings { schedule, ..settings() }
}

async fn a_message_that_is_given_up_is_kept_and_the_next_is_sent(store: &TestStore) {
    let stage = Stage::new(store).await;
    let id = stage.subscribe(&[]).await.id;
    let mut customers = stage.customers(1).await;
    let receiver =
        Scripted::new(|delivery| if delivery.sequence == Some(2) { temporary() } else { Outcome::Delivered });
    let relay = stage.start(to(&receiver), two_attempts());
    stage.change_all(&mut customers, 3).await;
    stage.until_moving(Micros::SECOND, "the rest has arrived", async || receiver.accepted() == 3).await;
    let letters = stage.letters(id).await;
    assert_eq!(letters.len(), 1);
    let given_up = receiver.arrivals().into_iter().find(|arrival| arrival.sequence == 2).unwrap();
    assert_eq!(letters[0].message, given_up.message);
    assert_eq!((letters[0].reason.as_str(), letters[0].attempts), ("exhausted", 2));
    assert_eq!(letters[0].last_error, "answered 500");
    let body = delivery::open_body(&stage.ring, &letters[0]).unwrap().unwrap();
    assert_eq!(*body, given_up.body);
    assert_eq!(receiver.arrivals().iter().map(|arrival| arrival.sequence).collect::<Vec<_>>(), [1, 2, 2, 3, 4]);
    assert_eq!(relay.counters.figures().dead, 1);
    relay.stop().await;
}

async fn a_held_customer_waits_for_an_operator(store: &TestStore) {
    let stage = Stage::new(store).await;
    let id = stage.subscribe(&[]).await.id;
    let mut customers = stage.customers(2).await;
    let held = customers[0].id;
    let receiver =
        Scripted::new(move |delivery| if delivery.customer == held { temporary() } else { Outcome::Delivered });
    let settings = Settings { on_exhausted: OnExhausted::Hold, ..two_attempts() };
    let relay = stage.start(to(&receiver), settings.clone());
    let is_held = async || stage.parked(id).await.iter().any(|row| row.next_at.is_none() && row.failed_attempts == 2);
    stage.until_moving(Micros::SECOND, "it is held", is_held).await;
    relay.stop().await;
    // It stays so over a restart, and the others go on.
    let relay = stage.start(to(&receiver), settings);
    stage.change_all(&mut customers, 2).await;
    stage.clock.advance(Micros::DAY);
    stage.until("the other has everything", || receiver.accepted() == 3).await;
    relay.stop().await;
    assert_eq!(receiver.of(held).len(), 2);
    let rows = stage.parked(id).await;
    assert_eq!((rows.len(), rows[0].next_at, rows[0].failed_attempts), (1, None, 2));
    assert!(stage.letters(id).await.is_empty());
}

static ERASE_KEYS: Sql = Sql::both("ERASE_KEYS", "DELETE FROM customer_key");

async fn an_erased_message_is_put_aside(store: &TestStore) {
    let stage = Stage::new(store).await;
    let id = stage.subscribe(&[]).await.id;
    let mut customers = stage.customers(1).await;
    stage.change_all(&mut customers, 1).await;
    stage.store.write(&stage.moments.ctx(), |tx, _| tx.execute(&ERASE_KEYS, &[])).await.unwrap();
    let receiver = Scripted::healthy();
    let relay = stage.start(to(&receiver), settings());
    stage.until("the next has arrived", || receiver.accepted() == 1).await;
    stage.until_moving(0, "it is recorded", async || !stage.letters(id).await.is_empty()).await;
    let letters = stage.letters(id).await;
    assert_eq!((letters.len(), letters[0].reason.as_str(), &letters[0].body), (1, "erased", &None));
    assert_eq!(receiver.arrivals()[0].sequence, 2);
    relay.stop().await;
}

async fn an_outage_rests_the_subscription_and_everything_arrives_after_it(store: &TestStore) {
    let stage = Stage::new(store).await;
    let id = stage.subscribe(&[]).await.id;
    let is_down = Arc::new(AtomicBool::new(true));
    let down = is_down.clone();
    let receiver = Scripted::new(move |_| if down.load(Ordering::Relaxed) { temporary() } else { Outcome::Delivered });
    let breaker = BreakerSettings { failures: 3, rest: 60 * Micros::SECOND, ..BreakerSettings::default() };
    let settings = Settings { breaker, in_flight_max: 4, buffer_max: 20, ..settings() };
    let relay = stage.start(to(&receiver), settings);
    let mut customers = stage.customers(12).await;
    stage.change_all(&mut customers, 3).await;
    let gauge = || relay.counters.figures().subscriptions.get(&id).copied().unwrap_or_default();
    stage.until("it rests, with its memory full", || gauge().resting && gauge().buffered == 20).await;
    let tried = receiver.arrivals().len();
    assert!(tried < 12, "{tried} attempts");
    let is_told = async || stage.status(id).await == SubscriptionStatus::TemporaryError;
    stage.until_moving(0, "its status says so", is_told).await;
    is_down.store(false, Ordering::Relaxed);
    stage.until_moving(Micros::SECOND, "everything has arrived", async || receiver.accepted() == 48).await;
    receiver.assert_in_order();
    stage.until_moving(0, "it is healthy", async || stage.status(id).await == SubscriptionStatus::Healthy).await;
    relay.stop().await;
}

async fn only_what_is_wanted(store: &TestStore) {
    let stage = Stage::new(store).await;
    let other: ProjectKey = "other".parse().unwrap();
    stage.ensure(&other).await;
    let mut early = stage.customers(1).await;
    let id = stage.subscribe(&["CustomerPasswordUpdated"]).await.id;
    let receiver = Scripted::healthy();
    let relay = stage.start(to(&receiver), settings());
    stage.change_all(&mut early, 1).await;
    let mut customers = stage.customers(3).await;
    stage.customer_of(&other).await;
    stage.change_all(&mut customers, 1).await;
    stage.until("what is wanted has arrived", || receiver.accepted() == 4).await;
    relay.stop().await;
    let got: BTreeSet<i64> = receiver.arrivals().iter().map(|arrival| arrival.sequence).collect();
    assert_eq!((receiver.arrivals().len(), got), (4, BTreeSet::from([2])));
    // What is not wanted moves the cursors, too.
    let end = stage.store.read(keyherald_store::log::last_position).await.unwrap();
    assert!(stage.cursors(id).await.iter().all(|(_, position)| *position == end));
}
