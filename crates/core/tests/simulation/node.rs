//! A node: the shell around the rules, as the relay of the server is one. What it is told waits while it is frozen, and is
//! nobody's when it is dead.

use std::time::Duration;

use keyherald_core::Uptime;
use keyherald_core::delivery::Outcome;
use keyherald_core::id::{CustomerId, NodeId};
use keyherald_core::lease::{Fate, PartitionSet, Table, Tenure, until};
use keyherald_core::relay::horizon::{Horizon, Question};
use keyherald_core::relay::lanes::ParkedLane;
use keyherald_core::relay::ledger::Ended;
use keyherald_core::relay::window::{Advance, Tail, Window, complete_to};

use crate::chance::{Chance, MILLI, SECOND, long};
use crate::database::{Entry, Write};
use crate::dispatcher::Dispatcher;
use crate::scenario::{Broken, Scenario};
use crate::wire::Ask;
use crate::world::{Event, World};

/// A dispatcher of a life of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    pub node: usize,
    pub life: u32,
    pub subscription: usize,
    /// Its number among all dispatchers.
    pub serial: u64,
}

/// What a dispatcher starts from: cursors, parked lanes, positions that have a dead letter. There is nothing to deliver if
/// there are no cursors.
pub type Ledger = (Vec<(u16, i64)>, Vec<ParkedLane>, Vec<i64>);

/// What a node finds when it has its turn.
pub enum Turn {
    /// It was silent for too long.
    Removed,
    Member(NodeId, Box<Table>),
}

/// What a node is told. Nothing where something was expected: a fault.
pub enum Told {
    /// It has its turn among the others; or not, if another one is to come sooner.
    Turn(u64),
    Turned(Option<Turn>),
    Changed(Option<Table>),
    Left,
    LeaveNow,
    Look(u64),
    Notified,
    Horizon(Question, Option<i64>),
    Page(Option<Vec<Entry>>, i64),
    Match,
    Load(Address),
    Loaded(Address, Option<Ledger>),
    LogPage(Address, Option<Vec<Entry>>, i64),
    LanePage(Address, CustomerId, Option<Vec<Entry>>, i64),
    Attempt(Address, u64),
    Answered(Address, u64, Outcome),
    Write(Address, u64),
    Hold(Box<Write>),
    Commit(i64, Address, u64),
    Written(Address, u64, Option<Result<(), Ended>>),
    Wake(Address),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Dead,
    Alive,
    Frozen,
}

/// What lies in wait for a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ambush {
    Freeze,
    Panic,
}

/// A node.
pub struct Node {
    pub state: State,
    pub life: u32,
    /// What it was told while it was frozen.
    deferred: Vec<Told>,
    /// How its clocks differ from the world's.
    uptime_ahead: i64,
    pub ahead: i64,
    /// Whether it comes back under its name.
    pub is_named: bool,
    /// The only node there is, and knows of no others.
    is_sole: bool,
    pub is_leaving: bool,
    /// What befalls it when it next asks for a lane's row to be removed: the moment at which a second writer does most harm.
    pub ambush: Option<Ambush>,
    pub member: Option<(NodeId, Uptime)>,
    has_joined: bool,
    pub tenure: Tenure,
    /// Its turn has begun, at this time, and with so much at work.
    turning: Option<(Uptime, PartitionSet)>,
    next_turn: u64,
    follower: Follower,
    pub window: Window<Entry>,
    /// By subscription: which dispatcher of this process has it.
    pub claims: Vec<u64>,
    pub running: Vec<Option<Dispatcher>>,
}

/// Who follows the log's end.
#[derive(Default)]
struct Follower {
    horizon: Horizon,
    tail: Tail,
    is_busy: bool,
    was_woken: bool,
    pause: i64,
    next_look: u64,
    /// A bound that was taken before the last position was asked for.
    early_bound: Option<i64>,
}

impl Node {
    pub fn new(subscriptions: usize, scenario: &Scenario, chance: &mut Chance) -> Self {
        Self {
            state: State::Dead,
            life: 0,
            deferred: Vec::new(),
            uptime_ahead: chance.between(0, 1_000_000) * SECOND,
            ahead: chance.between(-3, 3) * SECOND,
            is_named: chance.one_in(2),
            is_sole: scenario.nodes == 1 && chance.one_in(2),
            is_leaving: false,
            ambush: None,
            member: None,
            has_joined: false,
            tenure: Tenure::NOTHING,
            turning: None,
            next_turn: 0,
            follower: Follower::default(),
            window: Window::new(scenario.window_max),
            claims: vec![0; subscriptions],
            running: (0..subscriptions).map(|_| None).collect(),
        }
    }

    fn at_work(&self) -> PartitionSet {
        let tenures = self.running.iter().flatten().map(|running| running.tenure.partitions);
        tenures.fold(PartitionSet::EMPTY, PartitionSet::with)
    }
}

/// What befalls a node.
impl World {
    pub fn start(&mut self, node: usize) {
        let (window_max, is_leaving) = (self.scenario.window_max, self.nodes[node].is_leaving);
        let it = &mut self.nodes[node];
        if it.state != State::Dead || is_leaving {
            return;
        }
        it.state = State::Alive;
        it.life += 1;
        (it.member, it.has_joined, it.turning) = (None, false, None);
        it.tenure = if it.is_sole { Tenure::SOLE } else { Tenure::NOTHING };
        (it.follower, it.window) = (Follower::default(), Window::new(window_max));
        let life = it.life;
        self.note(|| format!("node {node} starts"));
        self.turn_after(node, 0);
        self.look_after(node, 0);
        self.at(self.now, Event::Told(node, life, Told::Match));
    }

    pub fn kill(&mut self, node: usize) {
        let it = &mut self.nodes[node];
        it.state = State::Dead;
        it.is_leaving = false;
        it.deferred.clear();
        it.running.iter_mut().for_each(|running| *running = None);
        self.note(|| format!("node {node} is dead"));
        self.sessions_end(node);
    }

    pub fn freeze(&mut self, node: usize) {
        self.nodes[node].state = State::Frozen;
        self.note(|| format!("node {node} freezes"));
        self.sessions_end(node);
    }

    pub fn thaw(&mut self, node: usize, life: u32) {
        let it = &mut self.nodes[node];
        if it.life != life || it.state != State::Frozen {
            return;
        }
        it.state = State::Alive;
        self.note(|| format!("node {node} goes on"));
        // Whatever is ready is done in any order.
        for told in std::mem::take(&mut self.nodes[node].deferred) {
            self.after((0, MILLI), Event::Told(node, life, told));
        }
    }

    /// Ends in order: what is on its way is finished, and others have the rest at once.
    pub fn leave(&mut self, node: usize) {
        self.note(|| format!("node {node} is stopped"));
        self.nodes[node].is_leaving = true;
        let (life, drain) = (self.nodes[node].life, self.scenario.drain);
        for subscription in 0..self.receivers.len() {
            self.stop(node, subscription);
        }
        self.at(self.now + 2 * drain, Event::Told(node, life, Told::LeaveNow));
        self.gone_if_idle(node);
    }

    fn gone_if_idle(&mut self, node: usize) {
        let it = &mut self.nodes[node];
        if !it.is_leaving || it.running.iter().any(Option::is_some) {
            return;
        }
        match it.member.take() {
            Some((id, _)) => self.ask(node, Ask::Leave(id)),
            None => self.gone(node),
        }
    }

    fn gone(&mut self, node: usize) {
        if self.nodes[node].is_leaving {
            self.kill(node);
            let rest = self.chance.between(1, 20) * SECOND;
            self.at(self.now + rest, Event::Start(node));
        }
    }

    /// A task of it panics: nobody knows what it knew.
    pub fn panic(&mut self, node: usize, subscription: usize) {
        if self.nodes[node].state == State::Alive && self.nodes[node].running[subscription].take().is_some() {
            self.note(|| format!("the dispatcher of {subscription} on node {node} panics"));
            self.ended(node, Ended::Lost);
        }
    }

    pub fn wall(&self, node: usize) -> i64 {
        self.database_clock().0 + self.nodes[node].ahead
    }

    pub fn uptime(&self, node: usize) -> Uptime {
        Uptime(self.now + self.nodes[node].uptime_ahead)
    }

    pub fn clock(&self) -> Duration {
        Duration::from_micros(u64::try_from(self.now).unwrap())
    }

    pub fn tell(&mut self, node: usize, life: u32, told: Told) {
        let it = &mut self.nodes[node];
        match it.state {
            _ if it.life != life => {}
            State::Dead => {}
            State::Frozen => it.deferred.push(told),
            State::Alive => self.told(node, told),
        }
    }

    fn told(&mut self, node: usize, told: Told) {
        match told {
            Told::Turn(number) if number == self.nodes[node].next_turn => self.turn(node),
            Told::Turned(answer) => self.turned(node, answer),
            Told::Changed(table) => self.changed(node, table),
            Told::Left => self.gone(node),
            Told::LeaveNow => {
                self.nodes[node].running.iter_mut().for_each(|running| *running = None);
                self.gone_if_idle(node);
            }
            Told::Look(number) if number == self.nodes[node].follower.next_look => self.look(node),
            Told::Turn(_) | Told::Look(_) => {} // another one has taken its place
            Told::Notified => self.notified(node),
            Told::Horizon(question, answer) => self.found(node, question, answer),
            Told::Page(page, up_to) => self.tail_read(node, page, up_to),
            Told::Match => self.match_subscriptions(node),
            Told::Load(from) => self.load(from),
            Told::Loaded(from, ledger) => self.loaded(from, ledger),
            Told::LogPage(from, page, up_to) => self.log_read(from, page, up_to),
            Told::LanePage(from, customer, page, up_to) => self.lane_read(from, customer, page, up_to),
            Told::Attempt(from, number) => self.attempt(from, number),
            Told::Answered(from, number, outcome) => self.answered(from, number, outcome),
            Told::Write(from, number) => self.write(from, number),
            Told::Hold(write) => self.hold(*write),
            Told::Commit(transaction, from, number) => self.commit(transaction, from, number),
            Told::Written(from, number, result) => self.written(from, number, result),
            Told::Wake(from) => self.with(from, Self::step),
        }
    }
}

/// Its place among the others.
impl World {
    pub fn turn_after(&mut self, node: usize, time: i64) {
        let it = &mut self.nodes[node];
        if it.is_sole {
            return;
        }
        it.next_turn += 1;
        let (life, number) = (it.life, it.next_turn);
        self.at(self.now + time, Event::Told(node, life, Told::Turn(number)));
    }

    fn turn(&mut self, node: usize) {
        let uptime = self.uptime(node);
        let it = &mut self.nodes[node];
        if it.turning.is_some() {
            return;
        }
        it.turning = Some((uptime, it.at_work()));
        let ask = match (it.member, it.is_leaving) {
            (None, true) => return,
            (Some((id, _)), _) => Ask::Renew(id),
            (None, false) => Ask::Join { is_named: it.is_named && !it.has_joined },
        };
        self.ask(node, ask);
    }

    fn turned(&mut self, node: usize, answer: Option<Turn>) {
        let lease = self.scenario.lease;
        let it = &mut self.nodes[node];
        let Some((asked_at, at_work)) = it.turning else { return };
        match answer {
            None => self.turn_over(node),
            Some(Turn::Removed) => {
                it.member = None;
                self.adopt(node, Tenure::NOTHING);
                self.turn_over(node);
            }
            Some(Turn::Member(id, table)) => {
                let before = it.member.map_or(Uptime(i64::MIN), |(_, until)| until);
                it.member = Some((id, before.max(until(asked_at, lease))));
                it.has_joined = true;
                if it.is_leaving {
                    self.turn_over(node);
                } else if table.must_change(id, at_work) {
                    self.ask(node, Ask::Change(id, at_work, table));
                } else {
                    self.changed(node, Some(*table));
                }
            }
        }
    }

    fn changed(&mut self, node: usize, table: Option<Table>) {
        let it = &self.nodes[node];
        if let (Some(table), Some((id, _)), false) = (table, it.member, it.is_leaving) {
            let tenure = table.tenure(id);
            self.adopt(node, tenure);
        }
        self.turn_over(node);
    }

    fn turn_over(&mut self, node: usize) {
        self.nodes[node].turning = None;
        self.turn_after(node, self.scenario.turn_every);
        self.match_subscriptions(node);
    }

    fn adopt(&mut self, node: usize, tenure: Tenure) {
        if self.nodes[node].tenure == tenure {
            return;
        }
        self.note(|| format!("node {node} has {} partitions: {:?}", tenure.partitions.len(), tenure.fence));
        self.nodes[node].tenure = tenure;
        for subscription in 0..self.receivers.len() {
            let Some(running) = &self.nodes[node].running[subscription] else { continue };
            if running.tenure.fate(&tenure) == Fate::EndsAtOnce {
                self.nodes[node].running[subscription] = None;
            }
        }
    }

    /// Not within a turn: what is at work then can only become less, which is what the turn relies on when it lets go.
    fn match_subscriptions(&mut self, node: usize) {
        if self.nodes[node].turning.is_some() {
            return;
        }
        let tenure = self.nodes[node].tenure;
        for subscription in 0..self.receivers.len() {
            match self.nodes[node].running[subscription].as_ref().map(|running| running.tenure.fate(&tenure)) {
                Some(Fate::GoesOn) => {}
                Some(Fate::Finishes | Fate::EndsAtOnce) => self.stop(node, subscription),
                None if tenure.partitions.is_empty() || self.nodes[node].is_leaving => {}
                None => self.begin_dispatcher(node, subscription),
            }
        }
    }

    fn stop(&mut self, node: usize, subscription: usize) {
        if let Some(mut running) = self.nodes[node].running[subscription].take() {
            running.is_stopped = true;
            let address = running.address;
            self.nodes[node].running[subscription] = Some(running);
            self.with(address, Self::step);
        }
    }

    /// A dispatcher is no more.
    pub fn ended(&mut self, node: usize, ended: Ended) {
        let it = &self.nodes[node];
        let (life, is_turn) = (it.life, it.tenure.partitions.contains(it.at_work()));
        let soon =
            if matches!(ended, Ended::Stopped | Ended::Outdated) { 0 } else { self.chance.between(0, 5 * SECOND) };
        self.at(self.now + soon, Event::Told(node, life, Told::Match));
        if is_turn && self.nodes[node].turning.is_none() {
            self.turn_after(node, 0);
        }
        self.gone_if_idle(node);
    }
}

/// The log's end.
impl World {
    fn look_after(&mut self, node: usize, time: i64) {
        let it = &mut self.nodes[node];
        it.follower.next_look += 1;
        let (life, number) = (it.life, it.follower.next_look);
        self.at(self.now + time, Event::Told(node, life, Told::Look(number)));
    }

    fn notified(&mut self, node: usize) {
        self.nodes[node].follower.was_woken = true;
        if !self.nodes[node].follower.is_busy {
            self.look(node);
        }
    }

    fn look(&mut self, node: usize) {
        let follower = &mut self.nodes[node].follower;
        if follower.is_busy {
            return;
        }
        (follower.is_busy, follower.was_woken) = (true, false);
        self.question(node);
    }

    fn question(&mut self, node: usize) {
        let follower = &mut self.nodes[node].follower;
        let question = follower.horizon.question();
        if self.scenario.broken == Broken::BoundFirst {
            match (question, follower.early_bound) {
                (Question::Last, None) => return self.ask(node, Ask::Horizon(Question::Bound)),
                (Question::Bound, Some(bound)) => {
                    follower.early_bound = None;
                    follower.horizon.bound(bound);
                    return self.question(node);
                }
                _ => {}
            }
        }
        self.ask(node, Ask::Horizon(question));
    }

    fn found(&mut self, node: usize, question: Question, answer: Option<i64>) {
        let follower = &mut self.nodes[node].follower;
        let Some(answer) = answer else { return self.rest(node, SECOND) };
        let end = match question {
            Question::Last if self.scenario.broken == Broken::Horizon => Some(answer),
            Question::Last => follower.horizon.last(answer),
            Question::Bound if follower.horizon.question() == Question::Last => {
                follower.early_bound = Some(answer);
                None
            }
            Question::Bound => {
                follower.horizon.bound(answer);
                None
            }
            Question::Passed(_) => {
                let end = follower.horizon.passed(answer == 1);
                if end.is_none() {
                    let pause = (follower.pause * 2).clamp(2 * MILLI, 50 * MILLI);
                    follower.pause = pause;
                    return self.rest(node, pause);
                }
                end
            }
        };
        let Some(end) = end else { return self.question(node) };
        follower.pause = 0;
        match follower.tail.advance(end) {
            Advance::Begin(at) => {
                self.nodes[node].window.begin(at);
                self.moved(node);
                self.rest(node, 0);
            }
            Advance::Nothing => self.rest(node, self.scenario.poll),
            Advance::Read { after, up_to } => self.ask(node, Ask::Page { after, up_to }),
        }
    }

    fn tail_read(&mut self, node: usize, page: Option<Vec<Entry>>, up_to: i64) {
        let Some(page) = page else { return self.rest(node, SECOND) };
        let up_to = complete_to(&page, long(self.scenario.page_size), up_to);
        let it = &mut self.nodes[node];
        it.window.push(page, up_to);
        it.follower.tail.was_read(up_to);
        if it.window.len() > self.scenario.window_max {
            self.violated(|| "a window has grown beyond its limit".into());
        }
        self.moved(node);
        self.rest(node, 0);
    }

    /// It looks again after this time, or when it is woken.
    fn rest(&mut self, node: usize, time: i64) {
        let follower = &mut self.nodes[node].follower;
        follower.is_busy = false;
        let time = if follower.was_woken { 0 } else { time };
        self.look_after(node, time);
    }

    fn moved(&mut self, node: usize) {
        for subscription in 0..self.receivers.len() {
            if let Some(address) = self.nodes[node].running[subscription].as_ref().map(|running| running.address) {
                self.with(address, Self::step);
            }
        }
    }
}
