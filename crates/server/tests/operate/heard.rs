//! What a subscriber to activity hears of operations: every call, in its order.

use std::sync::Arc;
use std::time::Duration;

use keyherald::deliver::{self, Relay};
use keyherald_core::delivery::BreakerSettings;
use keyherald_core::id::CustomerId;
use keyherald_core::mail::MailKind;
use keyherald_core::subscription::{
    self, ACTIVITY, Command, DestinationSettings, FormatKind, MessageSelection, Selections,
};
use keyherald_store::testing::TestStore;
use keyherald_store::{Tx, each_engine, subscription as subscriptions};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::faults::refusal;
use crate::provider::{Fate, Scripted as Provider};
use crate::receiver::{Scripted, temporary, to};
use crate::stage::{NEW, Process, Stage, call, demo};

each_engine! {
    the_four_calls_of_a_clean_change_arrive_in_order,
    a_subscriber_to_one_event_hears_no_other,
    the_customer_is_mailed_once_for_each_time_that_the_password_was_set_here,
}

/// Subscribes to events of these codes, and delivers them.
async fn subscribed(process: &Process, types: &[&str], receiver: &Arc<Scripted>) -> JoinSet<()> {
    let app = &process.app;
    let types = types.iter().map(|code| (*code).to_owned()).collect();
    let events = vec![MessageSelection { resource_type: ACTIVITY.into(), types }];
    let destination = DestinationSettings { kind: "Webhook".into(), settings: <_>::default() };
    let selections = Selections { events, ..Selections::default() };
    let command = Command {
        key: None,
        destination,
        selections,
        format: FormatKind::NavigaActivity,
        transformation: None,
        by: call().by,
    };
    let made = subscription::decide(&command, (0, 1), false, &mut app.moments.ctx()).unwrap();
    let ring = app.ring.clone();
    let work = move |tx: &mut dyn Tx, ctx: &mut _| subscriptions::insert(tx, &ring, &demo(), &made, None, ctx);
    app.store.write(&app.moments.ctx(), work).await.unwrap();
    relaying(process, receiver)
}

/// Delivers what is subscribed.
fn relaying(process: &Process, receiver: &Arc<Scripted>) -> JoinSet<()> {
    let settings = deliver::Settings {
        tick: Duration::from_millis(5),
        poll: Duration::from_millis(20),
        breaker: BreakerSettings { failures: 1_000_000, ..BreakerSettings::default() },
        ..deliver::Settings::default()
    };
    let app = &process.app;
    let (_, changed) = watch::channel(0);
    let (store, ring, moments) = (app.store.clone(), app.ring.clone(), app.moments.clone());
    let relay = Relay::new(store, ring, moments, to(receiver), settings, changed);
    let mut running = JoinSet::new();
    running.spawn(async move { relay.run(std::future::pending()).await });
    running
}

/// The event records of a lane, as they arrived first.
fn heard(receiver: &Scripted, lane: CustomerId) -> Vec<Value> {
    let mut known = std::collections::BTreeSet::new();
    let first = receiver.of(lane).into_iter().filter(|arrival| known.insert(arrival.message));
    first.map(|arrival| serde_json::from_slice(&arrival.body).unwrap()).collect()
}

fn codes(heard: &[Value]) -> Vec<i64> {
    heard.iter().map(|record| record["eventTypeId"].as_i64().unwrap_or_default()).collect()
}

async fn the_four_calls_of_a_clean_change_arrive_in_order(store: &TestStore) {
    let stage = Stage::new(store, Provider::telling());
    let process = stage.process(1).await;
    let (ada, eve) = (process.linked(&stage, "ada").await, process.linked(&stage, "eve").await);
    // Each second event fails at first.
    let receiver = Scripted::new(|delivery| {
        let by_chance = delivery.message_id.uuid().as_bytes()[15] % 2 == 0;
        if by_chance && delivery.attempt == 1 { temporary() } else { keyherald_core::delivery::Outcome::Delivered }
    });
    let _running = subscribed(&process, &[], &receiver).await;
    process.change(&ada, NEW).await.unwrap();
    stage.provider.script([Fate::AnswerLost]);
    process.change(&eve, NEW).await.unwrap();
    let unknown = process.app.sign_in(call(), "nobody@example.com".into(), crate::provider::secret(NEW)).await;
    refusal(unknown);
    let project = keyherald_core::activity::project_lane(&demo());
    let all = stage.entries(None).await.len();
    stage.pass_until("all have arrived", async || receiver.accepted() == all).await;
    let of_ada = heard(&receiver, ada.id);
    assert_eq!(codes(&of_ada), [4601, 4001, 4609, 4010]);
    for record in &of_ada {
        assert_eq!((&record["sourceSystem"], &record["result"]), (&"ExternalSystem".into(), &"succeeded".into()));
        assert_eq!(record["customerRegistrationId"], "ada");
        assert_eq!((&record["runId"], &record["operationId"]), (&of_ada[0]["eventId"], &of_ada[1]["operationId"]));
    }
    let parents: Vec<&Value> = of_ada.iter().map(|record| &record["parentEventId"]).collect();
    let first = &of_ada[0]["eventId"];
    assert_eq!(parents, [&Value::Null, first, first, first]);
    // An answer that was lost: the look at what became of it is a call, too.
    let of_eve = heard(&receiver, eve.id);
    assert_eq!(codes(&of_eve), [4601, 4001, 4609, 4601, 4605, 4010]);
    assert_eq!(of_eve[2]["result"], "unknown");
    assert_eq!(codes(&heard(&receiver, project)), [4006], "who is nobody goes the project's own way");
}

async fn a_subscriber_to_one_event_hears_no_other(store: &TestStore) {
    let stage = Stage::new(store, Provider::telling());
    let process = stage.process(1).await;
    let (ada, eve) = (process.linked(&stage, "ada").await, process.unlinked("eve").await);
    let receiver = Scripted::healthy();
    let _running = subscribed(&process, &["SUBSCRIBE_USER_CHANGEPASSWORD"], &receiver).await;
    process.change(&ada, NEW).await.unwrap();
    process.change(&eve, NEW).await.unwrap();
    stage.pass_until("both have arrived", async || receiver.accepted() >= 2).await;
    assert_eq!(receiver.arrivals().len(), 2);
    for customer in [&ada, &eve] {
        assert_eq!(codes(&heard(&receiver, customer.id)), [4010]);
    }
}

/// naviga.md 1.4: 4010 is what sends the mail. The mail goes by the message that the same transaction writes.
async fn the_customer_is_mailed_once_for_each_time_that_the_password_was_set_here(store: &TestStore) {
    let stage = Stage::new(store, Provider::telling());
    let process = stage.process(1).await;
    let (ada, eve) = (process.linked(&stage, "ada").await, process.linked(&stage, "eve").await);
    let (bob, joe) = (process.unlinked("bob").await, process.linked(&stage, "joe").await);
    let destination = DestinationSettings { kind: "Mail".into(), settings: <_>::default() };
    process.app.ensure_letters(demo(), vec![MailKind::PasswordChanged], destination).await.unwrap();
    let receiver = Scripted::healthy();
    let _running = relaying(&process, &receiver);
    process.change(&ada, NEW).await.unwrap();
    stage.provider.script([Fate::AnswerLost]);
    process.change(&eve, NEW).await.unwrap();
    process.change(&bob, NEW).await.unwrap();
    refusal(process.change(&joe, "weak-1").await);
    stage.pass_until("all have arrived", async || receiver.accepted() >= 3).await;
    for (customer, mails) in [(&ada, 1), (&eve, 1), (&bob, 1), (&joe, 0)] {
        let entries = stage.activity(customer.id).await;
        let set = entries.iter().filter(|(id, outcome)| (*id, outcome.as_str()) == (4010, "done")).count();
        assert_eq!((set, receiver.of(customer.id).len()), (mails, mails), "{entries:?}");
    }
}
