//! Several relays on one database: each delivers its share, and nobody delivers what is another's.

use std::time::Duration;

use keyherald::deliver::{NodeSettings, Settings};
use keyherald::destination::Delivery;
use keyherald_core::Micros;
use keyherald_core::delivery::{Outcome, RetrySchedule};
use keyherald_store::testing::{TestStore, block_on};

use crate::peer::{Peer, among, members, run_out};
use crate::scripted::{Scripted, temporary};
use crate::stage::Stage;

async fn until_shared(stage: &Stage, peers: &[&Peer], expected: &[u32]) {
    let what = format!("the partitions are shared as {expected:?}");
    let is_so = || peers.iter().map(|peer| peer.partitions()).eq(expected.iter().copied());
    stage.until(&what, is_so).await;
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test starts one"]
fn postgres_nodes_share_the_work_as_they_come_and_go() {
    block_on(async {
        let store = TestStore::postgres().await;
        let stage = Stage::new(&store).await;
        stage.subscribe(&[]).await;
        let receiver = Scripted::healthy();
        let mut customers = stage.customers(40).await;
        let one = Peer::start(&stage, &store, &receiver, among(None));
        until_shared(&stage, &[&one], &[64]).await;
        stage.until("all have arrived", || receiver.accepted() == 40).await;

        let other = Peer::start(&stage, &store, &receiver, among(None));
        stage.change_all(&mut customers, 2).await;
        until_shared(&stage, &[&one, &other], &[32, 32]).await;
        stage.change_all(&mut customers, 2).await;
        stage.until("all have arrived", || receiver.accepted() == 40 * 5).await;
        assert!(one.sent() > 0 && other.sent() > 0);

        let third = Peer::start(&stage, &store, &receiver, among(None));
        stage.change_all(&mut customers, 2).await;
        until_shared(&stage, &[&one, &other, &third], &[22, 21, 21]).await;
        stage.change_all(&mut customers, 2).await;
        // Nobody's lease runs out in this test: who ends in order has let go at once.
        one.stop().await;
        stage.change_all(&mut customers, 2).await;
        until_shared(&stage, &[&other, &third], &[32, 32]).await;
        other.stop().await;
        until_shared(&stage, &[&third], &[64]).await;
        stage.change_all(&mut customers, 1).await;
        stage.until("all have arrived", || receiver.accepted() == 40 * 12).await;
        third.stop().await;
        receiver.assert_in_order();
        assert_eq!(receiver.arrivals().len(), 40 * 12, "nothing came twice");
        assert!(members(&stage.store).await.is_empty());
    });
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test starts one"]
fn postgres_what_a_dead_node_held_moves_when_its_lease_has_run_out() {
    block_on(async {
        let store = TestStore::postgres().await;
        let stage = Stage::new(&store).await;
        stage.subscribe(&[]).await;
        let receiver = Scripted::healthy();
        let mut customers = stage.customers(40).await;
        let one = Peer::start(&stage, &store, &receiver, among(None));
        let other = Peer::start(&stage, &store, &receiver, among(None));
        stage.until("both are at work", || one.partitions() == 32 && other.partitions() == 32).await;
        stage.until("all have arrived", || receiver.accepted() == 40).await;
        let both = members(&stage.store).await;
        other.kill().await;
        stage.change_all(&mut customers, 2).await;
        // Which of them is the dead one, the other's next renewal tells.
        for member in both {
            run_out(&stage, member).await;
        }
        until_shared(&stage, &[&one], &[64]).await;
        stage.until("all have arrived", || receiver.accepted() == 40 * 3).await;
        receiver.assert_in_order();
        one.stop().await;
    });
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test starts one"]
fn postgres_a_name_takes_the_place_of_whoever_had_it() {
    block_on(async {
        let store = TestStore::postgres().await;
        let stage = Stage::new(&store).await;
        stage.subscribe(&[]).await;
        let receiver = Scripted::healthy();
        let mut customers = stage.customers(10).await;
        let first = Peer::start(&stage, &store, &receiver, among(Some("a")));
        stage.until("all have arrived", || receiver.accepted() == 10).await;
        first.kill().await;
        stage.change_all(&mut customers, 1).await;
        // Nobody's lease runs out.
        let second = Peer::start(&stage, &store, &receiver, among(Some("a")));
        stage.until("the rest has arrived", || receiver.accepted() == 20).await;
        receiver.assert_in_order();
        second.stop().await;
    });
}

/// A node that looks at nothing but its own clock: it has one turn, at its start.
fn unaware() -> Settings {
    let settings = among(None);
    let node = settings.node.clone().map(|node| NodeSettings { every: Duration::from_hours(1), ..node });
    // It would park what fails, for long, and write that at once.
    let schedule = RetrySchedule { waits: vec![0, Micros::DAY], ..RetrySchedule::default() };
    Settings { node, schedule, ..settings }
}

/// One node has a message on its way and two more in its memory. It is frozen; its lease runs out; another node takes its
/// partitions; it comes back. `sleeps`: its own clock stood still, too, as that of a suspended machine may.
async fn frozen(sleeps: bool) {
    let store = TestStore::postgres().await;
    let stage = Stage::new(&store).await;
    let id = stage.subscribe(&[]).await.id;
    let fails_second = |delivery: &Delivery| {
        if delivery.sequence == Some(2) { temporary() } else { Outcome::Delivered }
    };
    let (old, new) = (Scripted::new(fails_second), Scripted::healthy());
    old.hold(true);
    new.hold(true);
    let one = Peer::start(&stage, &store, &old, unaware());
    until_shared(&stage, &[&one], &[64]).await;
    let mut customer = stage.customer().await;
    stage.change(&mut customer).await;
    stage.change(&mut customer).await;
    stage.until("the first is on its way", || one.sent() == 1).await;
    let cursors = stage.cursors(id).await;

    let ice = one.freeze().await;
    run_out(&stage, members(&stage.store).await[0]).await;
    let other = Peer::start(&stage, &store, &new, among(None));
    until_shared(&stage, &[&other], &[64]).await;
    stage.until("the other sends the first", || other.sent() == 1).await;
    if !sleeps {
        one.clock.advance(Micros::DAY);
    }
    drop(ice);
    old.hold(false);
    stage.until("what was on its way is answered", || one.counters.figures().delivered == 1).await;
    stage.until("it has found out", || one.counters.figures().subscriptions.is_empty()).await;
    one.breathe().await;
    if sleeps {
        assert!(one.sent() <= 2, "as far as it knew, it might send; but it could write nothing");
    } else {
        assert_eq!(one.sent(), 1, "it sends nothing after its lease");
    }
    assert_eq!(stage.cursors(id).await, cursors, "it moves no cursor");
    assert!(stage.parked(id).await.is_empty(), "it parks nothing");
    new.hold(false);
    stage.until("the other has sent everything", || new.accepted() == 3).await;
    new.assert_in_order();
    other.stop().await;
    one.kill().await;
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test starts one"]
fn postgres_who_was_frozen_beyond_its_lease_neither_sends_nor_writes() {
    block_on(frozen(false));
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test starts one"]
fn postgres_who_slept_beyond_its_lease_writes_nothing() {
    block_on(frozen(true));
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test starts one"]
fn postgres_who_was_frozen_comes_back_as_another_member() {
    block_on(async {
        let store = TestStore::postgres().await;
        let stage = Stage::new(&store).await;
        stage.subscribe(&[]).await;
        let receiver = Scripted::healthy();
        let mut customers = stage.customers(20).await;
        let one = Peer::start(&stage, &store, &receiver, among(None));
        stage.until("all have arrived", || receiver.accepted() == 20).await;
        let before = members(&stage.store).await;
        let ice = one.freeze().await;
        let other = Peer::start(&stage, &store, &receiver, among(None));
        // A renewal that the frozen node had asked for may still be carried out.
        let is_taken = async || {
            run_out(&stage, before[0]).await;
            other.partitions() == 64
        };
        stage.until_moving(0, "the other has everything", is_taken).await;
        stage.change_all(&mut customers, 2).await;
        stage.until("the other has sent everything", || receiver.accepted() == 60).await;
        drop(ice);
        stage.until("both are at work", || one.partitions() == 32 && other.partitions() == 32).await;
        stage.change_all(&mut customers, 1).await;
        stage.until("all have arrived", || receiver.accepted() == 80).await;
        assert!(!members(&stage.store).await.contains(&before[0]));
        receiver.assert_in_order();
        one.stop().await;
        other.stop().await;
    });
}
