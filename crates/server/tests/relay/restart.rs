//! The relay is dropped at arbitrary points and started again on the same store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use keyherald::deliver::Settings;
use keyherald_core::delivery::{OnExhausted, Outcome, RetrySchedule};
use keyherald_core::{Ctx, Micros};
use keyherald_store::each_engine;
use keyherald_store::testing::TestStore;

use crate::scripted::{Scripted, temporary, to};
use crate::stage::{RunningRelay, Stage, settings};

each_engine! {
    nothing_is_lost_and_the_order_is_kept,
}

const SEEDS: u8 = 8;

async fn nothing_is_lost_and_the_order_is_kept(store: &TestStore) {
    let stage = Stage::new(store).await;
    for seed in 0..SEEDS {
        one_life(&stage, seed).await;
    }
}

/// One subscription, four customers, a receiver that fails now and then, and a relay that dies five times.
async fn one_life(stage: &Stage, seed: u8) {
    let mut chance = Ctx::new(Micros(0), [seed; 32]);
    let id = stage.subscribe(&[]).await.id;
    let (drawn, seed_of_receiver) = (AtomicU64::new(0), u64::from(seed));
    let receiver = Scripted::new(move |_| {
        let number = drawn.fetch_add(1, Ordering::Relaxed).wrapping_mul(2_654_435_761).wrapping_add(seed_of_receiver);
        if number % 11 < 3 { temporary() } else { Outcome::Delivered }
    });
    let settings = Settings {
        // It never runs out in this test, and it is held if it does: a gap would fail the order below.
        schedule: RetrySchedule { waits: vec![Micros::SECOND; 50], ..RetrySchedule::default() },
        on_exhausted: OnExhausted::Hold,
        in_flight_max: 3,
        buffer_max: 6,
        lane_page_size: 2,
        save_every: Duration::from_millis(u64::from(seed % 4) * 4),
        ..settings()
    };
    let mut customers = stage.customers(4).await;
    let relay_of_lives = Arc::new(stage.relay(to(&receiver), settings));
    for _ in 0..5 {
        let relay = RunningRelay::of(&relay_of_lives);
        stage.change_all(&mut customers, 2).await;
        for _ in 0..chance.number() % 12 {
            stage.clock.advance(Micros::SECOND);
            tokio::time::sleep(Duration::from_millis(chance.number() % 4)).await;
        }
        relay.drop_where_it_is().await;
    }
    let relay = RunningRelay::of(&relay_of_lives);
    stage.change_all(&mut customers, 1).await;
    stage.until_moving(Micros::SECOND, "everything has arrived", async || receiver.accepted() == 48).await;
    receiver.assert_in_order();
    // What was accepted in an earlier life may be sent, and fail, once more.
    stage.until_quiet(&relay, id).await;
    relay.stop().await;
    let after = receiver.arrivals().len();
    let relay = stage.start(to(&receiver), settings_of_last());
    stage.change(&mut customers[0]).await;
    stage.until("the last has arrived", || receiver.accepted() == 49).await;
    relay.stop().await;
    let last = receiver.arrivals().split_off(after);
    let sequences: Vec<i64> = last.iter().map(|arrival| arrival.sequence).collect();
    assert!(sequences.iter().all(|sequence| *sequence == 13), "a clean stop repeats nothing: {sequences:?}");
    stage.unsubscribe(id).await;
}

fn settings_of_last() -> Settings {
    Settings { schedule: RetrySchedule { waits: vec![0; 50], ..RetrySchedule::default() }, ..settings() }
}
