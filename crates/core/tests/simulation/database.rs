//! A database that everybody shares: the log with its transactions, the lease table, and what is kept of deliveries. It does
//! what the store's statements do, in the transactions in which the store runs them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use keyherald_core::Micros;
use keyherald_core::id::{CustomerId, NodeId};
use keyherald_core::lease::{Holding, Member, PartitionSet, Table};
use keyherald_core::message::{PARTITIONS, partition};
use keyherald_core::relay::Positioned;
use keyherald_core::relay::lanes::{Changes, ParkedLane};
use keyherald_core::relay::ledger::{Ended, keep_held};

use crate::chance::Chance;
use crate::node::{Address, Ledger};

/// A message in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub position: i64,
    /// What receivers know it by.
    pub id: u64,
    pub customer: usize,
    /// Its number among the customer's messages.
    pub number: u32,
    pub kind: u8,
    pub at: Micros,
}

impl Positioned for Entry {
    fn position(&self) -> i64 {
        self.position
    }
}

/// The customers.
pub struct People {
    pub ids: Vec<CustomerId>,
    /// Whose lane each uses: the own one.
    pub lanes: Vec<CustomerId>,
    pub of_lane: BTreeMap<CustomerId, Vec<usize>>,
}

impl People {
    pub fn new(count: usize, share_lanes: bool, chance: &mut Chance) -> Self {
        let ids: Vec<CustomerId> = (0..count).map(|_| CustomerId::new(chance.at(Micros(0)))).collect();
        let mut first: BTreeMap<u16, CustomerId> = BTreeMap::new();
        let mut lanes = ids.clone();
        if share_lanes {
            for lane in &mut lanes {
                *lane = *first.entry(partition(*lane)).or_insert(*lane);
            }
        }
        let mut of_lane: BTreeMap<CustomerId, Vec<usize>> = BTreeMap::new();
        for (customer, lane) in lanes.iter().enumerate() {
            of_lane.entry(*lane).or_default().push(customer);
        }
        Self { ids, lanes, of_lane }
    }

    pub fn partition(&self, customer: usize) -> u16 {
        partition(self.ids[customer])
    }
}

/// A write of delivery state that has looked whether it may, and is not committed.
#[derive(Clone, Debug)]
pub struct Write {
    pub from: Address,
    pub number: u64,
    pub claim: u64,
    pub fence: Option<keyherald_core::lease::Fence>,
    pub changes: Changes<Entry>,
}

/// A transaction that has not ended.
pub enum Open {
    /// Of a request: it holds the customer, and has taken positions.
    Writer { customer: usize, entries: Vec<Entry> },
    /// Of the relay. It holds the subscription, so that nobody can claim it.
    State { write: Write, permitted: Result<(), Ended>, is_committing: bool },
}

/// What is kept of one subscription's deliveries.
pub struct Kept {
    pub cursors: Vec<i64>,
    pub rows: BTreeMap<CustomerId, ParkedLane>,
    pub letters: BTreeSet<i64>,
    /// Transactions that hold it.
    holders: BTreeSet<i64>,
    /// Dispatchers that wait to claim it.
    pub claimants: VecDeque<(Address, PartitionSet)>,
}

#[derive(Clone, Default)]
struct Lock {
    holder: Option<i64>,
    waiting: VecDeque<i64>,
}

/// All of it.
pub struct Database {
    /// Nobody can reach it.
    pub is_down: bool,
    /// Nothing can be written, though read.
    pub is_full: bool,
    next_transaction: i64,
    pub open: BTreeMap<i64, Open>,
    last_position: i64,
    last_id: u64,
    /// What is visible, by position.
    log: Vec<Option<Entry>>,
    of_customer: Vec<Vec<i64>>,
    locks: Vec<Lock>,
    pub leases: Table,
    names: BTreeMap<NodeId, usize>,
    pub kept: Vec<Kept>,
}

impl Database {
    pub fn new(customers: usize, subscriptions: usize) -> Self {
        let free = |partition| Holding { partition, holder: None, epoch: 0 };
        let kept = || Kept {
            cursors: vec![0; usize::from(PARTITIONS)],
            rows: BTreeMap::new(),
            letters: BTreeSet::new(),
            holders: BTreeSet::new(),
            claimants: VecDeque::new(),
        };
        Self {
            is_down: false,
            is_full: false,
            next_transaction: 1,
            open: BTreeMap::new(),
            last_position: 0,
            last_id: 0,
            log: Vec::new(),
            of_customer: vec![Vec::new(); customers],
            locks: vec![Lock::default(); customers],
            leases: Table { partitions: (0..PARTITIONS).map(free).collect(), ..Table::default() },
            names: BTreeMap::new(),
            kept: (0..subscriptions).map(|_| kept()).collect(),
        }
    }

    // What requests do.

    /// A transaction that will write of this customer. It has its id before anything else. Answers whether it holds the
    /// customer already.
    pub fn begin(&mut self, customer: usize) -> (i64, bool) {
        let id = self.bound();
        self.open.insert(id, Open::Writer { customer, entries: Vec::new() });
        let lock = &mut self.locks[customer];
        if lock.holder.is_some() {
            lock.waiting.push_back(id);
            return (id, false);
        }
        lock.holder = Some(id);
        (id, true)
    }

    /// Takes positions for what it writes.
    pub fn append(&mut self, transaction: i64, kinds: &[u8], at: Micros) {
        let Some(Open::Writer { customer, entries }) = self.open.get_mut(&transaction) else { return };
        let first = self.of_customer[*customer].len();
        for (kind, number) in kinds.iter().zip(first..) {
            self.last_position += 1;
            self.last_id += 1;
            let (position, id, number) = (self.last_position, self.last_id, u32::try_from(number).unwrap());
            entries.push(Entry { position, id, customer: *customer, number, kind: *kind, at });
        }
    }

    /// Ends it. Answers what is visible now, and which transaction has the customer next.
    pub fn end(&mut self, transaction: i64, commits: bool) -> (Vec<Entry>, Option<i64>) {
        let Some(Open::Writer { customer, entries }) = self.open.remove(&transaction) else { return (vec![], None) };
        let lock = &mut self.locks[customer];
        lock.holder = lock.waiting.pop_front();
        let next = lock.holder;
        if !commits {
            return (vec![], next);
        }
        let length = usize::try_from(self.last_position).unwrap();
        self.log.resize(length.max(self.log.len()), None);
        for entry in &entries {
            self.log[usize::try_from(entry.position - 1).unwrap()] = Some(*entry);
            self.of_customer[customer].push(entry.position);
        }
        (entries, next)
    }

    /// All that was open is undone.
    pub fn crash(&mut self) {
        self.open.clear();
        self.locks.iter_mut().for_each(|lock| *lock = Lock::default());
        self.kept.iter_mut().for_each(|kept| kept.holders.clear());
    }

    // What the relay asks of the log.

    pub fn at(&self, position: i64) -> Option<Entry> {
        usize::try_from(position - 1).ok().and_then(|index| self.log.get(index).copied().flatten())
    }

    /// The last position that was taken.
    pub fn last_position(&self) -> i64 {
        self.last_position
    }

    /// The last position that can be seen.
    pub fn last_visible(&self) -> i64 {
        self.log.iter().rev().flatten().next().map_or(0, |entry| entry.position)
    }

    /// A transaction id.
    pub fn bound(&mut self) -> i64 {
        self.next_transaction += 1;
        self.next_transaction
    }

    pub fn has_passed(&self, bound: i64) -> bool {
        self.open.first_key_value().is_none_or(|(oldest, _)| *oldest >= bound)
    }

    pub fn page(&self, (after, up_to): (i64, i64), limit: usize) -> Vec<Entry> {
        let (first, end) = (usize::try_from(after).unwrap(), usize::try_from(up_to).unwrap().min(self.log.len()));
        self.log.get(first..end).unwrap_or_default().iter().flatten().take(limit).copied().collect()
    }

    pub fn page_of(&self, customers: &[usize], (from, up_to): (i64, i64), limit: usize) -> Vec<Entry> {
        let mut positions: Vec<i64> = Vec::new();
        for customer in customers {
            let of = &self.of_customer[*customer];
            let first = of.partition_point(|position| *position < from);
            positions.extend(of[first..].iter().take_while(|position| **position <= up_to).take(limit));
        }
        positions.sort_unstable();
        positions.into_iter().take(limit).filter_map(|position| self.at(position)).collect()
    }

    // What the relay keeps.

    /// Holds the subscription for a write.
    pub fn hold(&mut self, write: Write, permitted: Result<(), Ended>, is_committing: bool) -> i64 {
        let transaction = self.bound();
        self.kept[write.from.subscription].holders.insert(transaction);
        self.open.insert(transaction, Open::State { write, permitted, is_committing });
        transaction
    }

    /// Ends a write. What it was; `None`: it is gone already. Its changes are the caller's to apply.
    pub fn release(&mut self, transaction: i64) -> Option<(Write, Result<(), Ended>)> {
        match self.open.remove(&transaction) {
            Some(Open::State { write, permitted, .. }) => {
                self.kept[write.from.subscription].holders.remove(&transaction);
                Some((write, permitted))
            }
            _ => None,
        }
    }

    pub fn is_held(&self, subscription: usize) -> bool {
        !self.kept[subscription].holders.is_empty()
    }

    /// What a dispatcher goes on from. To be asked when nobody holds the subscription.
    pub fn load(&self, subscription: usize, held: PartitionSet) -> Ledger {
        let kept = &self.kept[subscription];
        let mut cursors: Vec<(u16, i64)> = (0..PARTITIONS).zip(kept.cursors.iter().copied()).collect();
        let mut parked: Vec<ParkedLane> = kept.rows.values().cloned().collect();
        let lowest = keep_held(&mut cursors, &mut parked, held).unwrap_or(i64::MAX - 1);
        (cursors, parked, kept.letters.range(lowest + 1..).copied().collect())
    }

    // The lease table.

    pub fn join(&mut self, id: NodeId, name: Option<usize>, lease: i64) {
        if let Some(name) = name {
            let names = &self.names;
            self.leases.members.retain(|member| names.get(&member.id) != Some(&name));
            self.names.insert(id, name);
        }
        self.leases.members.push(Member { id, expires_at: self.leases.now.plus(lease) });
        self.leases.members.sort_by_key(|member| member.id);
    }

    pub fn renew(&mut self, id: NodeId, lease: i64) -> bool {
        let until = self.leases.now.plus(lease);
        let member = self.leases.members.iter_mut().find(|member| member.id == id);
        member.map(|member| member.expires_at = until).is_some()
    }

    pub fn leave(&mut self, id: NodeId) {
        self.leases.members.retain(|member| member.id != id);
    }

    pub fn change_hands(&mut self, id: NodeId, at_work: PartitionSet) {
        let now = self.leases.now;
        self.leases.members.retain(|member| member.expires_at > now);
        let plan = self.leases.plan(id);
        let let_go = plan.let_go.without(at_work);
        for holding in &mut self.leases.partitions {
            if let_go.has(holding.partition) && holding.holder == Some(id) {
                holding.holder = None;
            }
            if plan.take.has(holding.partition) {
                (holding.holder, holding.epoch) = (Some(id), holding.epoch + 1);
            }
        }
    }
}
