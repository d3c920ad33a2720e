//! Between the nodes and the database: questions take their time, and answers are lost now and then; what is kept is checked
//! as it is written.

use keyherald_core::id::{CustomerId, NodeId};
use keyherald_core::lease::{PartitionSet, Table};
use keyherald_core::relay::horizon::Question;
use keyherald_core::{Ctx, Micros};

use crate::chance::{MILLI, SECOND};
use crate::database::{Entry, Open, Write};
use crate::node::{Address, Ambush, State, Told, Turn};
use crate::scenario::Broken;
use crate::world::{Event, World};

/// How long somebody waits for a lock, and how long the database waits for a session that is silent in a transaction.
const LOCK_WAIT: i64 = 2_500 * MILLI;
const SILENCE_MAX: i64 = 20 * SECOND;

/// What a node asks the database.
pub enum Ask {
    Renew(NodeId),
    Join {
        is_named: bool,
    },
    /// To take and let go, with so much still at work; as it was found.
    Change(NodeId, PartitionSet, Box<Table>),
    Leave(NodeId),
    Horizon(Question),
    Page {
        after: i64,
        up_to: i64,
    },
    Load(Address, PartitionSet),
    LogPage {
        from: Address,
        after: i64,
        up_to: i64,
    },
    LanePage {
        from: Address,
        customer: CustomerId,
        first: i64,
        up_to: i64,
    },
}

impl World {
    /// The database's clock.
    pub fn database_clock(&self) -> Micros {
        Micros(1_700_000_000 * SECOND + self.now)
    }

    /// A number that nobody else has.
    pub fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    pub fn is_faulty(&mut self) -> bool {
        self.is_chaos() && self.chance.one_in(150)
    }

    pub fn ask(&mut self, node: usize, ask: Ask) {
        let most = if self.is_chaos() && self.chance.one_in(100) { 2 * SECOND } else { 3 * MILLI };
        let life = self.nodes[node].life;
        self.after((MILLI / 10, most), Event::Ask(node, life, ask));
    }

    /// An answer is on its way to a dispatcher.
    pub fn reply(&mut self, to: Address, told: Told) {
        self.after((MILLI / 10, 3 * MILLI), Event::Told(to.node, to.life, told));
    }

    /// A question has reached the database, whoever has asked it is dead or not.
    pub fn asked(&mut self, (node, life): (usize, u32), ask: Ask) {
        let (is_reached, is_lost) = (!self.db.is_down && !self.is_faulty(), self.is_faulty());
        let Some(told) = self.answer((node, life), ask, is_reached, is_lost) else { return };
        self.after((MILLI / 10, 3 * MILLI), Event::Told(node, life, told));
    }

    /// What is told: nothing to be told yet if it waits. `is_lost`: it is done, and nobody knows.
    fn answer(&mut self, (node, life): (usize, u32), ask: Ask, is_reached: bool, is_lost: bool) -> Option<Told> {
        let (lease, can_write) = (self.scenario.lease, is_reached && !self.db.is_full);
        Some(match ask {
            Ask::Renew(id) if can_write => {
                let is_member = self.db.renew(id, lease);
                let member = || Turn::Member(id, Box::new(self.db.leases.clone()));
                let turn = if is_member { member() } else { Turn::Removed };
                Told::Turned((!is_lost).then_some(turn))
            }
            Ask::Join { is_named } if can_write => {
                let wall = Micros(self.wall(node));
                let id = NodeId::new(&mut Ctx::new(wall, self.chance.bytes()));
                self.db.join(id, is_named.then_some(node), lease);
                Told::Turned((!is_lost).then(|| Turn::Member(id, Box::new(self.db.leases.clone()))))
            }
            Ask::Renew(_) | Ask::Join { .. } => Told::Turned(None),
            // Another node is at it.
            Ask::Change(_, _, table) if can_write && self.chance.one_in(10) => Told::Changed(Some(*table)),
            Ask::Change(id, at_work, _) if can_write => {
                self.db.change_hands(id, at_work);
                Told::Changed((!is_lost).then(|| self.db.leases.clone()))
            }
            Ask::Change(..) => Told::Changed(None),
            Ask::Leave(id) => {
                if can_write {
                    self.db.leave(id);
                }
                Told::Left
            }
            Ask::Horizon(question) => Told::Horizon(question, is_reached.then(|| self.horizon(question))),
            Ask::Page { after, up_to } => {
                let limit = self.scenario.page_size;
                Told::Page(is_reached.then(|| self.db.page((after, up_to), limit)), up_to)
            }
            Ask::Load(from, held) if can_write && !self.db.is_held(from.subscription) => self.ledger(from, held),
            Ask::Load(from, held) if can_write => {
                self.db.kept[from.subscription].claimants.push_back((from, held));
                self.at(self.now + LOCK_WAIT, Event::ClaimTimesOut(from));
                return None;
            }
            Ask::Load(from, _) => Told::Loaded(from, None),
            Ask::LogPage { from, after, up_to } => {
                let limit = self.scenario.page_size;
                Told::LogPage(from, is_reached.then(|| self.db.page((after, up_to), limit)), up_to)
            }
            Ask::LanePage { from, customer, first, up_to } => {
                let (limit, customers) = (self.scenario.lane_page_size, &self.people.of_lane[&customer]);
                let page = is_reached.then(|| self.db.page_of(customers, (first, up_to), limit));
                Told::LanePage(from, customer, page, up_to)
            }
        })
        .filter(|_| self.nodes[node].life == life)
    }

    fn horizon(&mut self, question: Question) -> i64 {
        match question {
            Question::Last if self.scenario.broken == Broken::Horizon => self.db.last_visible(),
            Question::Last => self.db.last_position(),
            Question::Bound => self.db.bound(),
            Question::Passed(bound) => i64::from(self.db.has_passed(bound)),
        }
    }

    fn ledger(&self, from: Address, held: PartitionSet) -> Told {
        Told::Loaded(from, Some(self.db.load(from.subscription, held)))
    }

    /// Nobody holds it any more: whoever waited reads.
    fn serve_claimants(&mut self, subscription: usize) {
        if self.db.is_held(subscription) {
            return;
        }
        for (from, held) in std::mem::take(&mut self.db.kept[subscription].claimants) {
            let told = self.ledger(from, held);
            self.reply(from, told);
        }
    }

    pub fn claim_times_out(&mut self, from: Address) {
        let claimants = &mut self.db.kept[from.subscription].claimants;
        let before = claimants.len();
        claimants.retain(|(waiting, _)| *waiting != from);
        if claimants.len() < before {
            self.reply(from, Told::Loaded(from, None));
        }
    }

    /// A write is committed, unless its session has ended.
    pub fn commit(&mut self, transaction: i64, from: Address, number: u64) {
        let Some((write, permitted)) = self.db.release(transaction) else {
            return self.reply(from, Told::Written(from, number, None));
        };
        if permitted.is_ok() {
            self.apply(&write);
        }
        self.serve_claimants(from.subscription);
        let result = (!self.is_faulty()).then_some(permitted);
        self.reply(from, Told::Written(from, number, result));
    }

    pub fn session_ends(&mut self, transaction: i64) {
        if let Some((write, _)) = self.db.release(transaction) {
            self.serve_claimants(write.from.subscription);
        }
    }

    /// Of a node that is frozen, or dead: what it has not asked to be committed is undone, later or at once.
    pub fn sessions_end(&mut self, node: usize) {
        let is_dead = self.nodes[node].state == State::Dead;
        let of_node = |open: &Open| match open {
            Open::State { write, is_committing, .. } => write.from.node == node && !is_committing,
            Open::Writer { .. } => false,
        };
        let open: Vec<i64> = self.db.open.iter().filter(|(_, open)| of_node(open)).map(|(id, _)| *id).collect();
        for transaction in open {
            self.at(self.now + if is_dead { 0 } else { SILENCE_MAX }, Event::SessionEnds(transaction));
        }
    }

    /// Writes what has changed, and looks whether anything is lost by it.
    fn apply(&mut self, write: &Write) {
        let (subscription, changes) = (write.from.subscription, &write.changes);
        self.note(|| {
            let rows: Vec<i64> = changes.parked.iter().map(|lane| lane.from_position).collect();
            let letters: Vec<i64> = changes.letters.iter().map(|letter| letter.item.position).collect();
            let (cursors, unparked) = (&changes.cursors, changes.unparked.len());
            format!("{} writes of {subscription}: rows {rows:?}, unparked {unparked}, letters {letters:?}, cursors {cursors:?}", write.from.serial)
        });
        let mut passed: Vec<Entry> = Vec::new();
        for letter in &changes.letters {
            self.db.kept[subscription].letters.insert(letter.item.position);
        }
        let unparked = changes.unparked.iter().map(|customer| (*customer, None));
        let rows = changes.parked.iter().map(|lane| (lane.customer, Some(lane.clone()))).chain(unparked);
        for (customer, row) in rows {
            let kept = &mut self.db.kept[subscription].rows;
            let to = row.as_ref().map_or(i64::MAX, |row| row.from_position - 1);
            let before = match row {
                Some(row) => kept.insert(customer, row),
                None => kept.remove(&customer),
            };
            if let Some(before) = before {
                let customers = &self.people.of_lane[&customer];
                passed.extend(self.db.page_of(customers, (before.from_position, to), usize::MAX));
            }
        }
        for (position, partitions) in &changes.cursors {
            for partition in partitions.iter() {
                let cursor = &mut self.db.kept[subscription].cursors[usize::from(partition)];
                let before = std::mem::replace(cursor, (*cursor).max(*position));
                if before < *position {
                    let page = self.db.page((before, *position), usize::MAX);
                    passed.extend(page.into_iter().filter(|it| self.people.partition(it.customer) == partition));
                }
            }
        }
        for entry in passed {
            let is_kept = self.is_safe(subscription, &entry) || self.is_done(subscription, entry.position);
            if self.wants(subscription, &entry) && !is_kept {
                self.violated(|| format!("lost: nobody will send {entry:?} to {subscription} any more"));
            }
        }
    }
}

/// What goes wrong.
impl World {
    pub fn trouble(&mut self) {
        if !self.is_chaos() {
            return;
        }
        let again = self.now + self.chance.between(1, 2 * self.scenario.trouble_every);
        self.at(again, Event::Trouble);
        let node = self.chance.below(self.nodes.len());
        let (is_well, life) =
            (self.nodes[node].state == State::Alive && !self.nodes[node].is_leaving, self.nodes[node].life);
        match self.chance.below(20) {
            0..5 if is_well => {
                self.tally.kills += 1;
                self.kill(node);
                let rest = self.chance.between(1, 30) * SECOND;
                self.at(self.now + rest, Event::Start(node));
            }
            5..8 if is_well => {
                self.tally.freezes += 1;
                self.freeze(node);
                let long = self.chance.between(MILLI, 2 * self.scenario.lease);
                self.at(self.now + long, Event::Thaw(node, life));
            }
            8..10 => self.nodes[node].ambush = Some(Ambush::Freeze),
            10 | 11 => self.nodes[node].ambush = Some(Ambush::Panic),
            12 | 13 if is_well => self.leave(node),
            14 | 15 => {
                let subscription = self.chance.below(self.receivers.len());
                self.panic(node, subscription);
            }
            16 => {
                self.tally.outages += 1;
                self.note(|| "the database is gone".into());
                self.db.is_down = true;
                self.db.crash();
                for subscription in 0..self.receivers.len() {
                    self.serve_nobody(subscription);
                }
                self.after((SECOND / 10, 10 * SECOND), Event::DatabaseUp);
            }
            17 => {
                self.tally.outages += 1;
                self.note(|| "the database is full".into());
                self.db.is_full = true;
                self.after((SECOND, 20 * SECOND), Event::DatabaseHasRoom);
            }
            18 => self.nodes[node].ahead += self.chance.between(-2, 2) * SECOND,
            _ => {}
        }
    }

    /// Long enough for others to take over what it had.
    pub fn freeze_for_long(&mut self, node: usize) {
        if self.nodes[node].state != State::Alive || self.nodes[node].is_leaving {
            return;
        }
        self.tally.freezes += 1;
        let life = self.nodes[node].life;
        self.freeze(node);
        let long = self.chance.between(self.scenario.lease, 3 * self.scenario.lease);
        self.at(self.now + long, Event::Thaw(node, life));
    }

    /// Who waited to claim is sent away.
    fn serve_nobody(&mut self, subscription: usize) {
        for (from, _) in std::mem::take(&mut self.db.kept[subscription].claimants) {
            self.reply(from, Told::Loaded(from, None));
        }
    }
}
