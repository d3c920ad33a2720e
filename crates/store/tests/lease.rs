//! Members and partitions on PostgreSQL: what several nodes must be able to count on.
#![expect(clippy::unwrap_used, reason = "tests")]

use keyherald_core::id::NodeId;
use keyherald_core::lease::{Fence, PartitionSet, Table};
use keyherald_core::{Ctx, Micros};
use keyherald_store::testing::{TestStore, block_on, options};
use keyherald_store::{Sql, Store, Tx, lease};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

const LONG: i64 = Micros::HOUR;

fn ctx(seed: u8) -> Ctx {
    Ctx::new(Micros(1_700_000_000_000_000), [seed; 32])
}

async fn table(store: &Store) -> Table {
    store.read(|tx| lease::table(tx)).await.unwrap()
}

async fn join(store: &Store, seed: u8, name: Option<&'static str>) -> NodeId {
    let id = NodeId::new(&mut ctx(seed));
    store.write(&ctx(seed), move |tx, _| lease::join(tx, id, name, LONG)).await.unwrap();
    id
}

async fn take(store: &Store, id: NodeId, partitions: &[u16]) -> Fence {
    let partitions: PartitionSet = partitions.iter().copied().collect();
    let take = move |tx: &mut dyn Tx, _: &mut Ctx| {
        assert!(lease::try_lock(tx)?);
        lease::take(tx, id, partitions)?;
        Ok(lease::table(tx)?.fence(id, partitions))
    };
    store.write(&ctx(0), take).await.unwrap()
}

/// What the store says must be what the rules say.
async fn is_intact(store: &Store, fence: Fence) -> bool {
    let intact = store.read(move |tx| lease::is_intact(tx, &fence)).await.unwrap();
    assert_eq!(intact, table(store).await.is_intact(&fence));
    intact
}

async fn run_out(store: &Store, id: NodeId) {
    static RUN_OUT: Sql = Sql::both("RUN_OUT", "UPDATE relay_node SET expires_at = 0 WHERE id = $1");
    store.write(&ctx(0), move |tx, _| tx.execute(&RUN_OUT, &[id.into()])).await.unwrap();
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test starts one"]
fn postgres_a_fence_is_broken_by_every_change_of_hands() {
    block_on(async {
        let store = TestStore::postgres().await;
        assert_eq!(table(&store).await.partitions.len(), 64);
        let (one, other) = (join(&store, 1, None).await, join(&store, 2, None).await);
        let fence = take(&store, one, &[0, 1, 63]).await;
        let part = Fence { partitions: PartitionSet::of(0), epochs: 1, ..fence };
        assert!(is_intact(&store, fence).await && is_intact(&store, part).await);
        assert!(!is_intact(&store, Fence { node: other, ..fence }).await);
        take(&store, other, &[63]).await;
        assert!(!is_intact(&store, fence).await && is_intact(&store, part).await);
        take(&store, one, &[63]).await;
        assert!(!is_intact(&store, fence).await, "it has come back, but others may have written");
        store.write(&ctx(0), move |tx, _| lease::let_go(tx, one, PartitionSet::of(0))).await.unwrap();
        assert!(!is_intact(&store, part).await);
    });
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test starts one"]
fn postgres_who_has_expired_is_removed_unless_it_renews_first() {
    block_on(async {
        let store = TestStore::postgres().await;
        let (one, other) = (join(&store, 1, None).await, join(&store, 2, None).await);
        let fence = take(&store, one, &[5]).await;
        for id in [one, other] {
            run_out(&store, id).await;
        }
        assert!(table(&store).await.has_expired());
        assert!(
            store.write(&ctx(0), move |tx, _| lease::renew(tx, one, LONG)).await.unwrap(),
            "late, but not too late"
        );
        store.write(&ctx(0), |tx, _| lease::remove_expired(tx)).await.unwrap();
        let left: Vec<NodeId> = table(&store).await.members.iter().map(|member| member.id).collect();
        assert_eq!(left, [one]);
        assert!(is_intact(&store, fence).await);
        assert!(!store.write(&ctx(0), move |tx, _| lease::renew(tx, other, LONG)).await.unwrap());
        store.write(&ctx(0), move |tx, _| lease::leave(tx, one)).await.unwrap();
        assert!(!is_intact(&store, fence).await, "nobody took it, but it is not its own any more");
    });
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test starts one"]
fn postgres_a_name_is_one_nodes_at_a_time() {
    block_on(async {
        let store = TestStore::postgres().await;
        let (first, nameless) = (join(&store, 1, Some("a")).await, join(&store, 2, None).await);
        let fence = take(&store, first, &[0]).await;
        let (second, b) = (join(&store, 3, Some("a")).await, join(&store, 4, Some("b")).await);
        let mut members: Vec<NodeId> = table(&store).await.members.iter().map(|member| member.id).collect();
        let mut expected = vec![nameless, second, b];
        members.sort();
        expected.sort();
        assert_eq!(members, expected);
        assert!(!is_intact(&store, fence).await);
    });
}

/// A node that stops dead in the middle of a change, its transaction open.
#[test]
#[ignore = "needs PostgreSQL: cargo xtask test starts one"]
fn postgres_a_change_that_hangs_keeps_nobody_from_renewing() {
    block_on(async {
        let store = TestStore::postgres().await;
        let (one, other) = (join(&store, 1, None).await, join(&store, 2, None).await);
        let (hang, go_on) = std::sync::mpsc::channel::<()>();
        let (tell, told) = oneshot::channel();
        let (mut tell, of_one) = (Some(tell), store.again(&options()));
        let mut hanging = JoinSet::new();
        hanging.spawn(async move {
            let change = move |tx: &mut dyn Tx, _: &mut Ctx| {
                assert!(lease::try_lock(tx)?);
                lease::take(tx, one, PartitionSet::of(0))?;
                tell.take().unwrap().send(()).unwrap();
                go_on.recv().unwrap();
                Ok(())
            };
            of_one.write(&ctx(0), change).await.unwrap();
        });
        told.await.unwrap();
        assert!(store.write(&ctx(0), move |tx, _| lease::renew(tx, other, LONG)).await.unwrap());
        assert!(!store.write(&ctx(0), |tx, _| lease::try_lock(tx)).await.unwrap());
        assert!(table(&store).await.held_by(one).is_empty());
        hang.send(()).unwrap();
        hanging.join_next().await.unwrap().unwrap();
        assert!(table(&store).await.held_by(one).has(0));
    });
}
