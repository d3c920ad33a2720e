//! Positions that become visible out of order: PostgreSQL only.

use std::sync::mpsc;

use keyherald::deliver::Settings;
use keyherald_store::testing::{TestStore, block_on, options};
use keyherald_store::{Fault, FaultKind, customer};
use tokio::task::JoinSet;

use crate::scripted::{Scripted, to};
use crate::stage::{Stage, settings};

/// A transaction that has taken a position and stays open until it is told how to end.
async fn open_transaction(stage: &Stage, store: &TestStore, transactions: &mut JoinSet<()>) -> mpsc::Sender<bool> {
    let other = store.again(&options());
    let (tell, told) = mpsc::channel();
    let (taken_tx, taken) = tokio::sync::oneshot::channel();
    let (mut created, ring, project, ctx) =
        (stage.created(), stage.ring.clone(), stage.project.clone(), stage.moments.ctx());
    transactions.spawn(async move {
        let mut taken_tx = Some(taken_tx);
        let done = other.write(&ctx, move |tx, ctx| {
            customer::create(tx, &ring, &project, &mut created, ctx)?;
            taken_tx.take().unwrap().send(()).unwrap();
            if told.recv().unwrap() { Ok(()) } else { Err(Fault::new(FaultKind::Internal, "rolled back")) }
        });
        drop(done.await);
        other.close().await;
    });
    taken.await.unwrap();
    tell
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test starts one"]
fn postgres_positions_of_slow_transactions_are_not_skipped() {
    block_on(async {
        let store = TestStore::postgres().await;
        let stage = Stage::new(&store).await;
        stage.subscribe(&[]).await;
        let receiver = Scripted::healthy();
        // One at a time over all customers, so that the order of the log is what is seen.
        let relay = stage.start(to(&receiver), Settings { in_flight_max: 1, ..settings() });
        let first = stage.customer().await;
        stage.until("the first has arrived", || receiver.accepted() == 1).await;

        let mut transactions = JoinSet::new();
        let commit = open_transaction(&stage, &store, &mut transactions).await;
        let abort = open_transaction(&stage, &store, &mut transactions).await;
        let later = stage.customers(3).await;
        stage.until("the log waits", || !relay.counters.figures().horizon_age.is_zero()).await;
        abort.send(false).unwrap();
        transactions.join_next().await.unwrap().unwrap();
        assert_eq!(receiver.accepted(), 1, "later positions wait for the open one");

        commit.send(true).unwrap();
        stage.until("everything has arrived", || receiver.accepted() == 5).await;
        transactions.join_next().await.unwrap().unwrap();
        let order: Vec<_> = receiver.arrivals().iter().map(|arrival| arrival.customer).collect();
        assert_eq!((order[0], &order[2..]), (first.id, &[later[0].id, later[1].id, later[2].id][..]));
        stage.until("the log does not wait", || relay.counters.figures().horizon_age.is_zero()).await;
        relay.stop().await;
    });
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test starts one"]
fn postgres_transactions_that_roll_back_block_nothing() {
    block_on(async {
        let store = TestStore::postgres().await;
        let stage = Stage::new(&store).await;
        stage.subscribe(&[]).await;
        let receiver = Scripted::healthy();
        let relay = stage.start(to(&receiver), settings());
        let mut transactions = JoinSet::new();
        let abort = open_transaction(&stage, &store, &mut transactions).await;
        stage.customers(2).await;
        stage.until("the log waits", || !relay.counters.figures().horizon_age.is_zero()).await;
        assert_eq!(receiver.accepted(), 0);
        abort.send(false).unwrap();
        stage.until("the others have arrived", || receiver.accepted() == 2).await;
        transactions.join_next().await.unwrap().unwrap();
        relay.stop().await;
    });
}
