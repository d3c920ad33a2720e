//! Who delivers what, where several nodes share a database: the rules, pure.
//!
//! A node is a *member* from when it joins until it leaves or is removed, and each partition is held by one member or by
//! nobody. What a node does next is decided here, from a [`Table`] that was read in one transaction and from its own
//! monotonic clock; the store reads and writes, the relay carries out.
//!
//! **Two clocks, which are never compared.** Whether a member's lease has run out, the database's clock says, and nobody
//! else's. Until when a node may count on its own, its monotonic clock says, from the moment *before* it asked for the
//! renewal ([`until`]). That is earlier, so a node has stopped sending before anybody may take its partitions, whatever
//! the clocks of days say.
//!
//! **Fencing.** A partition's epoch grows each time that it gets another holder. Every write of delivery state carries a
//! [`Fence`] of what its writer held when it read that state, and is refused if any of it has changed hands since.

use crate::id::NodeId;
use crate::message::PARTITIONS;
use crate::{Micros, Uptime};

#[cfg(test)]
mod tests;

/// Partitions as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartitionSet(u64);

impl PartitionSet {
    /// None of them.
    pub const EMPTY: Self = Self(0);
    /// All of them.
    pub const ALL: Self = Self(u64::MAX);

    /// One partition.
    pub fn of(partition: u16) -> Self {
        let mut set = Self::EMPTY;
        set.add(partition);
        set
    }

    /// Whether a partition is in it.
    pub fn has(self, partition: u16) -> bool {
        self.0.checked_shr(u32::from(partition)).unwrap_or(0) & 1 == 1
    }

    /// Adds a partition (0 to 63).
    pub fn add(&mut self, partition: u16) {
        self.0 |= 1_u64.checked_shl(u32::from(partition)).unwrap_or(0);
    }

    /// How many there are.
    pub fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether all of the other's are in it.
    pub fn contains(self, other: Self) -> bool {
        other.without(self).is_empty()
    }

    /// With those of the other.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Without those of the other.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// In ascending order.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = u16> {
        (0..PARTITIONS).filter(move |partition| self.has(*partition))
    }

    /// One bit for each, as the store binds it.
    pub fn bits(self) -> i64 {
        i64::from_ne_bytes(self.0.to_ne_bytes())
    }
}

impl FromIterator<u16> for PartitionSet {
    fn from_iter<I: IntoIterator<Item = u16>>(partitions: I) -> Self {
        let mut set = Self::EMPTY;
        partitions.into_iter().for_each(|partition| set.add(partition));
        set
    }
}

/// A node that delivers, or did until lately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its membership.
    pub id: NodeId,
    /// When it may be removed, unless it renews its lease before; by the database's clock.
    pub expires_at: Micros,
}

/// Who holds a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holding {
    /// The partition.
    pub partition: u16,
    /// The member that took it last and has not let it go. It may have been removed since.
    pub holder: Option<NodeId>,
    /// How often it has been taken.
    pub epoch: i64,
}

/// Members and partitions, all of one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// That moment, by the database's clock.
    pub now: Micros,
    /// In the order of their ids, which is about the order in which they joined.
    pub members: Vec<Member>,
    /// Each partition once.
    pub partitions: Vec<Holding>,
}

/// What a member should do to come to its share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Partitions that nobody holds.
    pub take: PartitionSet,
    /// Partitions that are another member's share: to be finished, and then let go.
    pub let_go: PartitionSet,
}

impl Table {
    /// Whether there are members whose lease has run out: they are to be removed, whoever sees it, before anybody plans.
    pub fn has_expired(&self) -> bool {
        self.members.iter().any(|member| member.expires_at <= self.now)
    }

    /// What this member should do. Nothing, if it is none any more.
    ///
    /// Members share the partitions evenly: of what does not come out even, those that joined first have one more. So one
    /// that joins changes nobody's place before it, and one that leaves makes nobody's share smaller: no partition changes
    /// hands that need not. Nobody takes what a member holds; that one lets it go.
    pub fn plan(&self, me: NodeId) -> Plan {
        let Some(place) = self.members.iter().position(|member| member.id == me) else { return Plan::default() };
        let (mine, share) = (self.held_by(me), share(place, self.members.len()));
        let is_free = |holding: &&Holding| !self.members.iter().any(|member| Some(member.id) == holding.holder);
        let free = self.partitions.iter().filter(is_free).map(|holding| holding.partition);
        let held = usize::try_from(mine.len()).unwrap_or(usize::MAX);
        Plan {
            take: free.take(share.saturating_sub(held)).collect(),
            let_go: mine.iter().rev().take(held.saturating_sub(share)).collect(),
        }
    }

    /// Whether something must be written for this member to come to its share. What is in `at_work` is not let go yet.
    pub fn must_change(&self, me: NodeId, at_work: PartitionSet) -> bool {
        let Plan { take, let_go } = self.plan(me);
        self.has_expired() || !take.is_empty() || !let_go.without(at_work).is_empty()
    }

    /// What this member delivers from now on: what it holds, but for what it is to let go.
    pub fn tenure(&self, me: NodeId) -> Tenure {
        Tenure::of(self.fence(me, self.held_by(me).without(self.plan(me).let_go)))
    }

    /// What this member holds.
    pub fn held_by(&self, member: NodeId) -> PartitionSet {
        self.partitions.iter().filter(|held| held.holder == Some(member)).map(|held| held.partition).collect()
    }

    /// The fence around these partitions, which this member holds.
    pub fn fence(&self, member: NodeId, partitions: PartitionSet) -> Fence {
        let within = self.partitions.iter().filter(|holding| partitions.has(holding.partition));
        Fence { node: member, partitions, epochs: within.map(|holding| holding.epoch).sum() }
    }

    /// Whether its holder is still a member, and nothing within the fence has changed hands.
    pub fn is_intact(&self, fence: &Fence) -> bool {
        self.members.iter().any(|member| member.id == fence.node)
            && self.held_by(fence.node).contains(fence.partitions)
            && self.fence(fence.node, fence.partitions) == *fence
    }
}

/// What a member held at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The member.
    pub node: NodeId,
    /// What it held.
    pub partitions: PartitionSet,
    /// The sum of their epochs. Epochs only grow, so the sum is the same only while each of them is.
    pub epochs: i64,
}

/// Partitions, and the right to deliver what is in them. It never changes: when a node is to deliver something else, its
/// dispatchers end and others begin with the next tenure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tenure {
    /// What is delivered.
    pub partitions: PartitionSet,
    /// What every write of delivery state carries. `None`: there is no other node, or nothing to deliver.
    pub fence: Option<Fence>,
}

/// What becomes of a dispatcher when its node gets another tenure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nothing: it is the same tenure.
    GoesOn,
    /// It finishes what is on its way and writes it down.
    Finishes,
    /// Others may be at it already: it ends at once, and could write nothing.
    EndsAtOnce,
}

impl Tenure {
    /// Of the only node there is: everything, for ever.
    pub const SOLE: Self = Self { partitions: PartitionSet::ALL, fence: None };
    /// Of a node that is no member.
    pub const NOTHING: Self = Self { partitions: PartitionSet::EMPTY, fence: None };

    /// Of one node among several: what is within the fence.
    pub fn of(fence: Fence) -> Self {
        Self { partitions: fence.partitions, fence: Some(fence) }
    }

    /// Whether an attempt that takes `attempt_max` microseconds at most may begin now, if its node may be counted on `until`
    /// then.
    pub fn may_send(&self, now: Uptime, until: Uptime, attempt_max: i64) -> bool {
        self.fence.is_none() || may_send(now, until, attempt_max)
    }

    /// What becomes of a dispatcher of this tenure when its node's is `next`.
    pub fn fate(&self, next: &Self) -> Fate {
        let node = |tenure: &Self| tenure.fence.map(|fence| fence.node);
        if self == next {
            Fate::GoesOn
        } else if node(self) == node(next) {
            Fate::Finishes
        } else {
            Fate::EndsAtOnce
        }
    }
}

/// The share of the member at this place among so many.
fn share(place: usize, members: usize) -> usize {
    let partitions = usize::from(PARTITIONS);
    let (each, over) = (partitions / members.max(1), partitions % members.max(1));
    each + usize::from(place < over)
}

/// Whether a lease of this length (both in microseconds) suits attempts that may take this long: they must end within half
/// of it, so that the other half remains for renewals that are late.
pub fn suits(lease: i64, attempt_max: i64) -> bool {
    attempt_max < lease / 2
}

/// Until when a node may count on a lease that was renewed for `lease` microseconds after `asked_at`.
pub fn until(asked_at: Uptime, lease: i64) -> Uptime {
    asked_at.plus(lease)
}

/// Whether an attempt that takes `attempt_max` microseconds at most ends before the lease does.
pub fn may_send(now: Uptime, until: Uptime, attempt_max: i64) -> bool {
    now.plus(attempt_max) <= until
}
