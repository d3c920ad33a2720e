//! The rules of leases, one by one, and against nodes that come, go, freeze and wake at random.

use proptest::prelude::*;

use super::*;
use crate::Ctx;

const LEASE: i64 = 1000;

/// A database that members join, leave and forget to renew at, as the store would write it.
struct World {
    table: Table,
    chance: Ctx,
}

impl World {
    fn new() -> Self {
        let free = |partition| Holding { partition, holder: None, epoch: 0 };
        let table = Table { partitions: (0..PARTITIONS).map(free).collect(), ..Table::default() };
        Self { table, chance: Ctx::new(Micros(0), [3; 32]) }
    }

    fn of(members: usize) -> Self {
        let mut world = Self::new();
        for _ in 0..members {
            world.join();
        }
        world.settle();
        world
    }

    fn join(&mut self) -> NodeId {
        // Ids are made of the time: a millisecond later each.
        self.chance.now = self.chance.now.plus(1000);
        let id = NodeId::new(&mut self.chance);
        self.table.members.push(Member { id, expires_at: self.table.now.plus(LEASE) });
        id
    }

    fn renew(&mut self, id: NodeId) {
        let now = self.table.now;
        self.table.members.iter_mut().filter(|member| member.id == id).for_each(|it| it.expires_at = now.plus(LEASE));
    }

    fn leave(&mut self, id: NodeId) {
        self.table.members.retain(|member| member.id != id);
    }

    /// One member carries out its plan.
    fn turn(&mut self, id: NodeId) -> Plan {
        let now = self.table.now;
        self.table.members.retain(|member| member.expires_at > now);
        let plan = self.table.plan(id);
        for holding in &mut self.table.partitions {
            if plan.take.has(holding.partition) {
                (holding.holder, holding.epoch) = (Some(id), holding.epoch + 1);
            } else if plan.let_go.has(holding.partition) {
                holding.holder = None;
            }
        }
        plan
    }

    fn ids(&self) -> Vec<NodeId> {
        self.table.members.iter().map(|member| member.id).collect()
    }

    /// Everybody has two turns: those that hold too much let go in the first, those that hold too little take in the second.
    fn settle(&mut self) {
        for id in [self.ids(), self.ids()].concat() {
            self.turn(id);
        }
    }

    fn holders(&self) -> Vec<Option<NodeId>> {
        self.table.partitions.iter().map(|holding| holding.holder).collect()
    }

    fn sizes(&self) -> Vec<u32> {
        self.ids().into_iter().map(|id| self.table.held_by(id).len()).collect()
    }

    /// Shares differ by one at most, everything is held, and nobody wants anything.
    fn assert_settled(&self) {
        let sizes = self.sizes();
        let (least, most) = (sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
        assert!(most - least <= 1, "{sizes:?}");
        assert_eq!(sizes.iter().sum::<u32>(), u32::from(PARTITIONS), "{sizes:?}");
        for id in self.ids() {
            assert_eq!(self.table.plan(id), Plan::default());
        }
    }
}

#[test]
fn partitions_are_shared_evenly() {
    let expected: [&[u32]; 3] = [&[64], &[32, 32], &[22, 21, 21]];
    for (members, sizes) in (1..).zip(expected) {
        assert_eq!(World::of(members).sizes(), sizes);
    }
    for members in 1..80 {
        World::of(members).assert_settled();
    }
}

#[test]
fn who_joins_gets_its_share_and_nothing_else_moves() {
    for members in 1..20 {
        let mut world = World::of(members);
        let before = world.holders();
        let new = world.join();
        world.settle();
        world.assert_settled();
        let moved: Vec<_> = before.iter().zip(world.holders()).filter(|(was, is)| **was != *is).collect();
        assert!(moved.iter().all(|(_, is)| *is == Some(new)), "only the new one gets any");
    }
}

#[test]
fn what_a_member_leaves_is_shared_and_nothing_else_moves() {
    for members in 2..20 {
        for leaving in 0..members {
            let mut world = World::of(members);
            let (before, gone) = (world.holders(), world.ids()[leaving]);
            world.leave(gone);
            world.settle();
            world.assert_settled();
            let moved: Vec<_> = before.iter().zip(world.holders()).filter(|(was, is)| **was != *is).collect();
            assert!(moved.iter().all(|(was, _)| **was == Some(gone)), "the others keep what they hold");
        }
    }
}

#[test]
fn a_lease_runs_out_at_its_end_and_not_before() {
    let mut world = World::of(2);
    let (one, other) = (world.ids()[0], world.ids()[1]);
    world.table.now = Micros(LEASE - 1);
    world.renew(one);
    assert!(!world.table.has_expired());
    assert_eq!(world.turn(one), Plan::default());
    world.table.now = Micros(LEASE);
    assert!(world.table.has_expired());
    assert_eq!(world.turn(one).take.len(), 32);
    assert_eq!(world.table.held_by(one), PartitionSet::ALL);
    assert_eq!(world.table.plan(other), Plan::default(), "who was removed does nothing");
}

#[test]
fn who_renews_late_and_was_not_removed_goes_on() {
    let mut world = World::of(2);
    world.table.now = Micros(LEASE * 5);
    for id in world.ids() {
        world.renew(id);
        world.turn(id);
    }
    assert_eq!(world.sizes(), [64], "the first to come back has removed the other");
    let mut world = World::of(2);
    world.table.now = Micros(LEASE * 5);
    world.ids().into_iter().for_each(|id| world.renew(id));
    world.settle();
    assert_eq!(world.sizes(), [32, 32]);
    world.assert_settled();
}

#[test]
fn a_fence_holds_until_any_of_it_has_changed_hands() {
    let mut world = World::of(2);
    let (one, other) = (world.ids()[0], world.ids()[1]);
    let fence = world.table.fence(one, world.table.held_by(one));
    let part = world.table.fence(one, PartitionSet::of(0));
    assert!(world.table.is_intact(&fence) && world.table.is_intact(&part));
    assert!(!world.table.is_intact(&Fence { node: other, ..part }));
    // One partition goes to the other member and comes back.
    world.table.partitions[1] = Holding { partition: 1, holder: Some(other), epoch: 2 };
    assert!(!world.table.is_intact(&fence) && world.table.is_intact(&part));
    world.table.partitions[1] = Holding { partition: 1, holder: Some(one), epoch: 3 };
    assert!(!world.table.is_intact(&fence), "held again, but others have written meanwhile");
}

#[test]
fn nothing_is_sent_that_could_outlast_the_lease() {
    let end = until(Uptime(50), 100);
    assert_eq!(end, Uptime(150));
    assert!(may_send(Uptime(110), end, 40) && !may_send(Uptime(111), end, 40));
    assert!(!may_send(Uptime(i64::MAX), end, i64::MAX));
    assert!(suits(100, 49) && !suits(100, 50));
}

/// What may happen to a world.
#[derive(Clone, Debug)]
enum Happening {
    Join,
    Leave(usize),
    /// It is frozen: it renews nothing until it is thawed.
    Freeze(usize),
    Thaw(usize),
    /// Some time passes; who is not frozen renews.
    Pass(i64),
    Turn(usize),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        1 => Just(Happening::Join),
        1 => (0..8_usize).prop_map(Happening::Leave),
        2 => (0..8_usize).prop_map(Happening::Freeze),
        2 => (0..8_usize).prop_map(Happening::Thaw),
        4 => (1..LEASE / 2).prop_map(Happening::Pass),
        8 => (0..8_usize).prop_map(Happening::Turn),
    ]
}

/// A node as it sees itself: what it believes to hold, and until when.
#[derive(Clone)]
struct Node {
    id: NodeId,
    fence: Fence,
    until: Uptime,
    is_frozen: bool,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Monotonic time and the database's time go at the same pace, from different beginnings.
    #[test]
    fn no_two_nodes_may_send_for_one_partition(happenings in prop::collection::vec(happening(), 1..120)) {
        const ATTEMPT: i64 = LEASE / 2 - 1;
        const AHEAD: i64 = 77_000;
        let mut world = World::new();
        let mut nodes: Vec<Node> = Vec::new();
        for happening in happenings {
            let uptime = Uptime(world.table.now.0 + AHEAD);
            let some = nodes.len().max(1);
            match happening {
                Happening::Join if nodes.len() < 8 => {
                    let id = world.join();
                    let fence = world.table.fence(id, PartitionSet::EMPTY);
                    nodes.push(Node { id, fence, until: until(uptime, LEASE), is_frozen: false });
                }
                Happening::Leave(n) if !nodes.is_empty() => {
                    let node = nodes.remove(n % some);
                    world.leave(node.id);
                }
                Happening::Freeze(n) | Happening::Thaw(n) if !nodes.is_empty() => {
                    nodes[n % some].is_frozen = matches!(happening, Happening::Freeze(_));
                }
                Happening::Pass(time) => world.table.now = world.table.now.plus(time),
                Happening::Turn(n) if !nodes.is_empty() && !nodes[n % some].is_frozen => {
                    let node = &mut nodes[n % some];
                    if world.table.members.iter().any(|member| member.id == node.id) {
                        world.renew(node.id);
                        world.turn(node.id);
                        let held = world.table.held_by(node.id);
                        (node.fence, node.until) = (world.table.fence(node.id, held), until(uptime, LEASE));
                    }
                }
                _ => {}
            }
            let uptime = Uptime(world.table.now.0 + AHEAD);
            for partition in 0..PARTITIONS {
                let may = |node: &&Node| node.fence.partitions.has(partition) && may_send(uptime, node.until, ATTEMPT);
                let senders: Vec<&Node> = nodes.iter().filter(may).collect();
                prop_assert!(senders.len() <= 1, "partition {partition} has {} senders", senders.len());
                for sender in senders {
                    prop_assert!(world.table.is_intact(&sender.fence), "who may send may write");
                }
            }
            for (one, other) in nodes.iter().flat_map(|one| nodes.iter().map(move |other| (one, other))) {
                let both = one.fence.partitions.without(one.fence.partitions.without(other.fence.partitions));
                let both_intact = world.table.is_intact(&one.fence) && world.table.is_intact(&other.fence);
                prop_assert!(one.id == other.id || both.is_empty() || !both_intact, "two may write of one partition");
            }
        }
        // When everybody is awake again, it comes to rest.
        for node in &nodes {
            world.renew(node.id);
        }
        if !world.table.members.is_empty() {
            world.settle();
            world.settle();
            world.assert_settled();
        }
    }
}
