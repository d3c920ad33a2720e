//! What operators change of deliveries and look up about them, on both engines.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

#[expect(dead_code, reason = "other tests use the rest")]
mod customers;

use customers::*;
use keyherald_core::id::{CustomerId, DeadLetterId, MessageId, SubscriptionId};
use keyherald_core::initiator::Initiator;
use keyherald_core::lease::PartitionSet;
use keyherald_core::message::partition;
use keyherald_core::subscription::{self, DestinationSettings, FormatKind, MessageSelection, Selections};
use keyherald_core::{Ctx, Micros};
use keyherald_store::attempt::{self, Asked, Attempt};
use keyherald_store::delivery::intervention::{self, Lag};
use keyherald_store::delivery::{self, DeadLetter, ParkedLane};
use keyherald_store::testing::TestStore;
use keyherald_store::{Fault, Sql, Store, Tx, each_engine, subscription as subscriptions};

each_engine! {
    a_lane_goes_back_and_never_forward,
    going_back_for_all_moves_cursors_and_lanes_and_frees_letters,
    what_is_owed_is_counted_once,
    letters_that_were_dropped_go_in_batches_when_no_cursor_needs_them,
    attempts_are_found_by_all_they_are_asked_by,
    a_replay_reaches_as_far_as_the_furthest_before_it,
}

/// Does it in a transaction of its own.
async fn done<T: Send + 'static>(
    store: &Store,
    seed: u64,
    work: impl FnMut(&mut dyn Tx, &mut Ctx) -> Result<T, Fault> + Send + 'static,
) -> T {
    store.write(&ctx(seed), work).await.unwrap()
}

async fn subscribe(store: &Store) -> SubscriptionId {
    let selections = Selections {
        messages: vec![MessageSelection { resource_type: "customer".into(), types: vec![] }],
        changes: Vec::new(),
        ..Selections::default()
    };
    let command = subscription::Command {
        key: None,
        destination: DestinationSettings { kind: "Webhook".into(), settings: serde_json::Map::new() },
        selections,
        format: FormatKind::Platform,
        transformation: None,
        by: Initiator::default(),
    };
    done(store, 1, move |tx, ctx| {
        let made = subscription::decide(&command, (0, 1), false, ctx).unwrap();
        subscriptions::insert(tx, &ring(), &demo(), &made, None, ctx)?;
        Ok(made.id)
    })
    .await
}

/// So many customers with a message each, and their messages' positions.
async fn customers_of(store: &Store, count: u64) -> Vec<(CustomerId, i64)> {
    let mut made = Vec::new();
    for number in 0..count {
        let id = created(store, 100 + number, &format!("c{number}@example.com"), &[]).await.id;
        let position = store.read(|tx| keyherald_store::log::last_position(tx)).await.unwrap();
        made.push((id, position));
    }
    made
}

async fn pass(store: &Store, id: SubscriptionId, to: i64) {
    done(store, 2, move |tx, _| delivery::move_cursors(tx, id, PartitionSet::ALL, to)).await;
}

async fn put_aside(store: &Store, id: SubscriptionId, (customer, position): (CustomerId, i64)) -> DeadLetterId {
    done(store, 10_000 + position.unsigned_abs(), move |tx, ctx| {
        let letter = DeadLetter {
            project: demo(),
            id: DeadLetterId::new(ctx),
            subscription: id,
            position,
            message: MessageId::new(ctx),
            customer,
            reason: "exhausted".into(),
            attempts: 3,
            last_error: "answered 500".into(),
            body: None,
            created_at: ctx.now,
        };
        delivery::put_dead_letter(tx, &letter)?;
        Ok(letter.id)
    })
    .await
}

async fn park(store: &Store, id: SubscriptionId, (customer, from_position): (CustomerId, i64)) {
    let lane = ParkedLane {
        customer,
        partition: partition(customer),
        from_position,
        failed_attempts: 9,
        next_at: None,
        last_error: "answered 500".into(),
        parked_at: NOW,
    };
    done(store, 3, move |tx, _| delivery::park(tx, id, &lane)).await;
}

async fn parked(store: &Store, id: SubscriptionId) -> Vec<(CustomerId, i64, bool)> {
    let lanes = store.read(move |tx| delivery::parked(tx, id)).await.unwrap();
    lanes.into_iter().map(|lane| (lane.customer, lane.from_position, lane.next_at.is_none())).collect()
}

async fn letters(store: &Store, id: SubscriptionId) -> Vec<i64> {
    store.read(move |tx| delivery::dead_positions(tx, id, 0)).await.unwrap()
}

async fn lag(store: &Store, id: SubscriptionId) -> Lag {
    store.read(move |tx| intervention::lag(tx, &demo(), id)).await.unwrap()
}

/// As retention does.
async fn forget(store: &Store, position: i64) {
    static FORGET: Sql = Sql::both("FORGET", "DELETE FROM log WHERE position = $1");
    static FORGET_PERSONAL: Sql = Sql::both("FORGET_PERSONAL", "DELETE FROM log_personal WHERE position = $1");
    done(store, 4, move |tx, _| {
        tx.execute(&FORGET_PERSONAL, &[position.into()])?;
        tx.execute(&FORGET, &[position.into()])
    })
    .await;
}

async fn a_lane_goes_back_and_never_forward(store: &TestStore) {
    let id = subscribe(store).await;
    let made = customers_of(store, 4).await;
    let &[one, two, three, four] = made.as_slice() else { panic!("four") };
    pass(store, id, three.1).await;
    let back = async |(customer, _): (CustomerId, i64), from: i64| {
        done(store, 5, move |tx, ctx| intervention::go_back_of(tx, (id, customer), from, ctx.now)).await;
    };
    back(one, one.1).await;
    assert_eq!(parked(store, id).await, [(one.0, one.1, false)]);
    // What is above the cursor is owed without a lane. One that began there would pass over what comes before.
    back(four, four.1).await;
    assert_eq!(parked(store, id).await.len(), 1);
    // A lane that waits further back stays there; it is tried at once.
    park(store, id, two).await;
    back(two, two.1 + 1).await;
    assert_eq!(parked(store, id).await, sorted(vec![(one.0, one.1, false), (two.0, two.1, false)]));
    // Put aside above the cursor: the lane behind it goes back to it.
    put_aside(store, id, four).await;
    park(store, id, (four.0, four.1 + 1)).await;
    back(four, four.1).await;
    assert!(parked(store, id).await.contains(&(four.0, four.1, false)));
    assert!(letters(store, id).await.is_empty(), "or it would count as done");
    let replayed = store.read(move |tx| intervention::replayed(tx, id)).await.unwrap();
    assert!(replayed.contains(&(one.0, three.1)), "{replayed:?}");
}

fn sorted(mut lanes: Vec<(CustomerId, i64, bool)>) -> Vec<(CustomerId, i64, bool)> {
    lanes.sort();
    lanes
}

async fn going_back_for_all_moves_cursors_and_lanes_and_frees_letters(store: &TestStore) {
    let id = subscribe(store).await;
    let made = customers_of(store, 5).await;
    let &[first, early, aside, gone, last] = made.as_slice() else { panic!("five") };
    pass(store, id, last.1).await;
    park(store, id, early).await;
    park(store, id, (last.0, last.1)).await;
    put_aside(store, id, aside).await;
    let lost = put_aside(store, id, gone).await;
    forget(store, gone.1).await;
    let to = done(store, 6, move |tx, _| intervention::go_back(tx, id, early.1)).await;
    assert_eq!(to, last.1);
    let cursors = store.read(move |tx| delivery::cursors(tx, id)).await.unwrap();
    assert!(cursors.len() == 64 && cursors.iter().all(|(_, position)| *position == early.1));
    // The one that waits further back keeps its place; both wait for an operator as before.
    assert_eq!(parked(store, id).await, sorted(vec![(early.0, early.1, true), (last.0, early.1 + 1, true)]));
    assert_eq!(letters(store, id).await, [gone.1], "all that is left of a message stays");
    let place = done(store, 7, move |tx, _| intervention::letter(tx, &demo(), id, lost)).await;
    assert_eq!(place, None, "it cannot come again");
    assert_eq!(lag(store, id).await.letters, 1);
    assert!(first.1 < early.1);
}

async fn what_is_owed_is_counted_once(store: &TestStore) {
    let id = subscribe(store).await;
    let made = customers_of(store, 6).await;
    let &[one, two, three, four, ..] = made.as_slice() else { panic!("six") };
    let count = async || {
        let lag = lag(store, id).await;
        let messages = lag.owed.iter().filter(|owed| owed.kind == "message");
        (messages.map(|owed| owed.count).sum::<i64>(), lag.waiting, lag.held)
    };
    assert_eq!(count().await, (6, 0, 0));
    pass(store, id, two.1).await;
    assert_eq!(count().await, (4, 0, 0));
    put_aside(store, id, three).await;
    assert_eq!(count().await, (3, 0, 0), "what is put aside is owed no more");
    park(store, id, one).await; // below the cursor
    park(store, id, four).await; // above it
    assert_eq!(count().await, (4, 2, 2));
    let oldest = lag(store, id).await.owed.iter().map(|owed| owed.oldest).min();
    assert_eq!(oldest, Some(NOW));
}

async fn letters_that_were_dropped_go_in_batches_when_no_cursor_needs_them(store: &TestStore) {
    let id = subscribe(store).await;
    let made = customers_of(store, 4).await;
    let mut letters_made = Vec::new();
    for of in &made {
        letters_made.push(put_aside(store, id, *of).await);
    }
    let kept = letters_made.pop().unwrap();
    for letter in letters_made {
        assert!(done(store, 8, move |tx, ctx| intervention::end_letter(tx, &demo(), id, letter, ctx.now)).await);
        assert!(!done(store, 8, move |tx, ctx| intervention::end_letter(tx, &demo(), id, letter, ctx.now)).await);
    }
    let sweep =
        async |limit| done(store, 9, move |tx, ctx| intervention::sweep(tx, ctx.now.plus(Micros::SECOND), limit)).await;
    assert_eq!(sweep(10).await, 0, "the cursors are below them");
    assert_eq!(letters(store, id).await.len(), 4);
    pass(store, id, made.last().unwrap().1).await;
    assert_eq!((sweep(2).await, sweep(2).await, sweep(2).await), (2, 1, 0));
    let left = store.read(move |tx| delivery::put_aside(tx, id, None, 10)).await.unwrap();
    assert_eq!(left.iter().map(|letter| letter.id).collect::<Vec<_>>(), [kept]);
}

async fn attempts_are_found_by_all_they_are_asked_by(store: &TestStore) {
    let (mut one, mut other) = (ctx(20), ctx(21));
    let subscriptions = [SubscriptionId::new(&mut one), SubscriptionId::new(&mut other)];
    let customers = customers_of(store, 2).await;
    let messages = [MessageId::new(&mut one), MessageId::new(&mut other)];
    let mut ids = Vec::new();
    for (number, (subscription, lane)) in (0_u32..).zip([(0, 0), (1, 0), (0, 1), (0, 1)]) {
        let at = NOW.plus(i64::from(number) * Micros::SECOND);
        let attempt = Attempt {
            project: demo(),
            id: MessageId::new(&mut ctx_at(at, u64::from(30 + number))),
            subscription: *subscriptions.get(subscription).unwrap(),
            message: *messages.get(lane).unwrap(),
            customer: customers[lane].0,
            position: customers[lane].1,
            number: 1,
            at,
            duration_us: 1500,
            outcome: "delivered".into(),
            reason: None,
            is_replay: number == 3,
        };
        ids.push(attempt.id);
        done(store, 22, move |tx, _| {
            attempt::put(tx, &attempt)?;
            attempt::put(tx, &attempt) // written twice, there once
        })
        .await;
    }
    let found = async |asked: Asked| {
        let asked = Asked { limit: 10, ..asked };
        let found = store.read(move |tx| attempt::latest(tx, &demo(), &asked)).await.unwrap();
        found.iter().map(|attempt| ids.iter().position(|id| *id == attempt.id).unwrap()).collect::<Vec<_>>()
    };
    let (subscription, customer, message) = (Some(subscriptions[0]), Some(customers[0].0), Some(messages[1]));
    assert_eq!(found(Asked::default()).await, [3, 2, 1, 0]);
    assert_eq!(found(Asked { before: Some(ids[2]), ..Asked::default() }).await, [1, 0]);
    assert_eq!(found(Asked { subscription, ..Asked::default() }).await, [3, 2, 0]);
    assert_eq!(found(Asked { customer, ..Asked::default() }).await, [1, 0]);
    assert_eq!(found(Asked { customer, subscription, ..Asked::default() }).await, [0]);
    assert_eq!(found(Asked { message, ..Asked::default() }).await, [3, 2]);
    assert_eq!(found(Asked { message, customer, ..Asked::default() }).await, [0_usize; 0]);
    let sweep = async || done(store, 23, move |tx, ctx| attempt::sweep(tx, ctx.now.plus(2 * Micros::SECOND), 1)).await;
    assert_eq!((sweep().await, sweep().await, sweep().await), (1, 1, 0));
    assert_eq!(found(Asked::default()).await, [3, 2]);
}

async fn a_replay_reaches_as_far_as_the_furthest_before_it(store: &TestStore) {
    let id = subscribe(store).await;
    let attended = async || {
        let all = store.read(|tx| subscriptions::attended(tx, &demo())).await.unwrap();
        let found = all.first().unwrap().1;
        (found.replayed_to, found.replay_rate, found.interventions)
    };
    assert_eq!(attended().await, (0, 100, 0));
    for (rate, to) in [(5, Some(70)), (6, Some(40)), (7, None)] {
        done(store, 40, move |tx, _| {
            subscriptions::replay(tx, &demo(), id, (rate, to))?;
            subscriptions::intervene(tx, &demo(), id)
        })
        .await;
    }
    assert_eq!(attended().await, (70, 7, 3));
}
