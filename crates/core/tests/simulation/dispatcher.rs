//! A dispatcher: the shell around one subscription's course, as that of the server is one.

use std::collections::BTreeMap;
use std::time::Duration;

use keyherald_core::delivery::{Cause, Outcome};
use keyherald_core::id::CustomerId;
use keyherald_core::lease::Tenure;
use keyherald_core::relay::course::{Course, Offer};
use keyherald_core::relay::lanes::{Action, Changes, Item, Lanes};
use keyherald_core::relay::ledger::{Ended, Found};
use keyherald_core::relay::window::{Next, TAKE_MAX, complete_to};
use keyherald_core::subscription::SubscriptionStatus;
use keyherald_core::{Micros, Uptime};

use crate::chance::{MILLI, SECOND, long};
use crate::database::{Entry, Write};
use crate::node::{Address, Ambush, Ledger, Told};
use crate::receiver::failed;
use crate::scenario::Broken;
use crate::wire::Ask;
use crate::world::{Event, World};

/// How long a dispatcher waits before it looks again what time it is.
const TICK: i64 = SECOND;
/// The version of a subscription that is never changed.
const VERSION: i64 = 1;

/// A dispatcher.
pub struct Dispatcher {
    pub address: Address,
    pub tenure: Tenure,
    claim: u64,
    /// Absent until its ledger is read.
    course: Option<Course<Entry>>,
    pub is_stopped: bool,
    is_stopping: bool,
    attempts: BTreeMap<u64, Attempt>,
    /// Writes that are under way. There is one at most.
    writes: BTreeMap<u64, Changes<Entry>>,
    /// When it is to be woken.
    wake: i64,
    /// Lanes that were parked before it began.
    parked_before: usize,
    /// How it has ended.
    ended: Option<Ended>,
}

struct Attempt {
    lane: CustomerId,
    entry: Entry,
    /// When it is given up; absent: it has not begun.
    until: Option<i64>,
}

/// Its beginning and its end.
impl World {
    pub fn begin_dispatcher(&mut self, node: usize, subscription: usize) {
        let serial = self.number();
        let it = &mut self.nodes[node];
        let address = Address { node, life: it.life, subscription, serial };
        it.running[subscription] = Some(Dispatcher {
            address,
            tenure: it.tenure,
            claim: 0,
            course: None,
            is_stopped: false,
            is_stopping: false,
            attempts: BTreeMap::new(),
            writes: BTreeMap::new(),
            wake: 0,
            parked_before: 0,
            ended: None,
        });
        self.load(address);
    }

    pub fn load(&mut self, from: Address) {
        let claim = self.number();
        self.with(from, |world, it| {
            it.claim = claim;
            world.nodes[from.node].claims[from.subscription] = claim;
            world.ask(from.node, Ask::Load(from, it.tenure.partitions));
        });
    }

    pub fn loaded(&mut self, from: Address, ledger: Option<Ledger>) {
        self.with(from, |world, it| match ledger {
            None if it.is_stopped => it.ended = Some(Ended::Stopped),
            None => world.at(world.now + world.scenario.poll, Event::Told(from.node, from.life, Told::Load(from))),
            Some((cursors, ..)) if cursors.is_empty() => it.ended = Some(Ended::Lost),
            Some((cursors, parked, dead)) => {
                world.note(|| {
                    format!("dispatcher {} of {} on node {} begins", from.serial, from.subscription, from.node)
                });
                it.parked_before = parked.len();
                let policy = world.scenario.subscriptions[from.subscription].policy.clone();
                let lanes = Lanes::new(policy, &cursors, parked, dead, SubscriptionStatus::Healthy);
                it.course = Some(Course::new(lanes, world.scenario.saving));
                world.step(it);
            }
        });
    }

    /// Lets a dispatcher do something, if it is still there; and ends it, if it has come to its end.
    pub fn with(&mut self, address: Address, act: impl FnOnce(&mut Self, &mut Dispatcher)) {
        let place = &mut self.nodes[address.node].running[address.subscription];
        if place.as_ref().is_none_or(|it| it.address != address) {
            return;
        }
        let Some(mut it) = place.take() else { return };
        act(self, &mut it);
        match it.ended {
            None => self.nodes[address.node].running[address.subscription] = Some(it),
            Some(ended) => {
                self.note(|| format!("dispatcher {} of {} ends: {ended:?}", address.serial, address.subscription));
                self.ended(address.node, ended);
            }
        }
    }

    /// Whether an attempt may begin.
    fn may_send(&self, it: &Dispatcher) -> bool {
        let node = &self.nodes[it.address.node];
        let until = node.member.filter(|(id, _)| it.tenure.fence.is_some_and(|fence| fence.node == *id));
        let until = until.map_or(Uptime(i64::MIN), |(_, until)| until);
        self.scenario.broken == Broken::Lease
            || it.tenure.may_send(self.uptime(it.address.node), until, self.scenario.attempt_max)
    }

    /// What a dispatcher does whenever something has happened.
    pub fn step(&mut self, it: &mut Dispatcher) {
        let may_send = self.may_send(it);
        let (clock, wall, from) = (self.clock(), Micros(self.wall(it.address.node)), it.address);
        let Some(course) = &mut it.course else { return };
        if it.is_stopped && !it.is_stopping {
            it.is_stopping = true;
            course.stop(clock + Duration::from_micros(u64::try_from(self.scenario.drain).unwrap()));
        }
        let mut actions = Vec::new();
        if !it.is_stopping {
            let (window, people, wish) =
                (&self.nodes[from.node].window, &self.people, &self.scenario.subscriptions[from.subscription]);
            let forgets = self.scenario.broken == Broken::WindowGap;
            let after = |seen| match window.after(seen) {
                Next::Behind(end) if forgets => Next::Entries(Vec::new(), end),
                next => next,
            };
            let offer = |_: &Lanes<Entry>, entry: &Entry| {
                if !it.tenure.partitions.has(people.partition(entry.customer)) || !wish.wants(entry.kind) {
                    return Offer::Skip;
                }
                let customer = people.lanes[entry.customer];
                Offer::Take(Item { position: entry.position, customer, at: entry.at, body: *entry })
            };
            if let Some((after, up_to)) = course.take_in(after, offer) {
                self.ask(from.node, Ask::LogPage { from, after, up_to });
            }
            actions = course.start(may_send, wall);
        }
        for action in actions {
            self.act(it, action);
        }
        self.save(it, clock);
        self.hold_limits(it);
        self.wake(it);
    }

    fn act(&mut self, it: &mut Dispatcher, action: Action<Entry>) {
        let from = it.address;
        match action {
            Action::Send { item, .. } => {
                if it.attempts.values().any(|other| other.lane == item.customer) {
                    self.violated(|| format!("two messages of a lane are on their way: {:?}", item.body));
                }
                let number = self.number();
                it.attempts.insert(number, Attempt { lane: item.customer, entry: item.body, until: None });
                self.after((0, MILLI), Event::Told(from.node, from.life, Told::Attempt(from, number)));
            }
            Action::Read { customer, from: first, up_to } => {
                self.note(|| format!("{} reads {first}..={up_to} of a lane of {}", from.serial, from.subscription));
                self.ask(from.node, Ask::LanePage { from, customer, first, up_to });
            }
        }
    }

    fn wake(&mut self, it: &mut Dispatcher) {
        let Some(course) = &it.course else { return };
        let wall = self.wall(it.address.node);
        let due = course.start_at().map(|at| self.now + (at.0 - wall).clamp(0, TICK));
        let save = course.save_at().map(|at| i64::try_from(at.as_micros()).unwrap());
        let renewal = course.awaits_lease().then_some(self.now + TICK);
        let Some(at) = [due, save, renewal].into_iter().flatten().min() else { return };
        let at = at.max(self.now);
        if it.wake <= self.now || at < it.wake {
            it.wake = at.max(self.now + 1);
            self.at(it.wake, Event::Told(it.address.node, it.address.life, Told::Wake(it.address)));
        }
    }

    /// Nothing in memory grows beyond its limit.
    fn hold_limits(&mut self, it: &Dispatcher) {
        let Some(Course { lanes, .. }) = &it.course else { return };
        let policy = &self.scenario.subscriptions[it.address.subscription].policy;
        let kept = [
            ("entries", lanes.buffered(), policy.buffer_max),
            ("messages on their way", lanes.sending().max(it.attempts.len()), policy.in_flight_max),
            ("parked lanes", lanes.parked(), policy.parked_max.max(it.parked_before)),
            ("messages put aside", lanes.put_aside(), policy.buffer_max + policy.in_flight_max),
            ("entries taken in", it.course.as_ref().map_or(0, Course::taken_in), TAKE_MAX.max(self.scenario.page_size)),
        ];
        for (what, is, most) in kept {
            if is > most {
                self.violated(|| format!("{is} {what} in memory, more than {most}: {:?}", it.address));
            }
        }
    }
}

/// Its messages.
impl World {
    pub fn attempt(&mut self, from: Address, number: u64) {
        self.with(from, |world, it| {
            if !world.may_send(it) {
                it.ended = Some(Ended::Lost);
                return;
            }
            let until = world.now + world.scenario.attempt_max;
            let Some(attempt) = it.attempts.get_mut(&number) else { return };
            attempt.until = Some(until);
            let arrive = Event::Arrive(from, number, attempt.entry, it.tenure.fence);
            world.after((MILLI / 10, 20 * MILLI), arrive);
            if world.scenario.broken == Broken::AnswerAssumed {
                world.conclude(it, number, Outcome::Delivered);
            }
        });
    }

    pub fn answered(&mut self, from: Address, number: u64, outcome: Outcome) {
        self.with(from, |world, it| {
            let Some(until) = it.attempts.get(&number).and_then(|attempt| attempt.until) else { return };
            let in_time = world.now < until;
            let outcome = if in_time { outcome } else { failed(Cause::Temporary, None) };
            world.conclude(it, number, outcome);
        });
    }

    fn conclude(&mut self, it: &mut Dispatcher, number: u64, outcome: Outcome) {
        let Some(attempt) = it.attempts.remove(&number) else { return };
        let wall = Micros(self.wall(it.address.node));
        if let Some(course) = &mut it.course {
            course.lanes.sent(attempt.lane, outcome, self.chance.at(wall));
        }
        self.step(it);
    }

    pub fn log_read(&mut self, from: Address, page: Option<Vec<Entry>>, up_to: i64) {
        let limit = self.scenario.page_size;
        self.with(from, |world, it| {
            let page = page.map(|page| {
                let complete = complete_to(&page, long(limit), up_to);
                (page, complete)
            });
            if let Some(course) = &mut it.course {
                course.paged(page);
            }
            world.step(it);
        });
    }

    pub fn lane_read(&mut self, from: Address, customer: CustomerId, page: Option<Vec<Entry>>, up_to: i64) {
        let (limit, wall) = (self.scenario.lane_page_size, Micros(self.wall(from.node)));
        self.with(from, |world, it| {
            let Some(course) = &mut it.course else { return };
            let Some(page) = page else {
                course.lanes.put_off(customer, wall.plus(SECOND));
                return world.step(it);
            };
            let is_all = world.scenario.broken == Broken::PageIsAll;
            let complete = if is_all { up_to } else { complete_to(&page, long(limit), up_to) };
            let wish = &world.scenario.subscriptions[from.subscription];
            let wanted = page.into_iter().filter(|entry| wish.wants(entry.kind));
            let item = |entry: Entry| Item { position: entry.position, customer, at: entry.at, body: entry };
            course.lanes.page(customer, wanted.map(item).collect(), complete);
            world.step(it);
        });
    }
}

/// Its progress.
impl World {
    fn save(&mut self, it: &mut Dispatcher, clock: Duration) {
        let Some(course) = &mut it.course else { return };
        if let Some(mut changes) = course.save(false, clock) {
            if self.scenario.broken == Broken::EarlyCursor {
                changes.cursors = vec![(course.lanes.seen(), it.tenure.partitions)];
            }
            if self.scenario.broken == Broken::SavedTooSoon {
                course.saved();
            }
            let number = self.number();
            it.writes.insert(number, changes);
            self.write_of(it, number);
        }
        if it.course.as_ref().is_some_and(Course::is_over) {
            it.ended = Some(Ended::Stopped);
        }
    }

    /// Leaves a write to the store, which goes on with it even if the dispatcher ends.
    fn write_of(&mut self, it: &mut Dispatcher, number: u64) {
        let Some(changes) = it.writes.get(&number) else { return };
        let is_worst = self.is_chaos() && !changes.unparked.is_empty();
        let (from, claim, fence) = (it.address, it.claim, it.tenure.fence);
        let write = Box::new(Write { from, number, claim, fence, changes: changes.clone() });
        let most = if self.is_chaos() && self.chance.one_in(12) { 12 * SECOND } else { 3 * MILLI };
        let ambush = self.nodes[from.node].ambush.take_if(|_| is_worst);
        let least = if ambush == Some(Ambush::Panic) { most.max(8 * SECOND) } else { MILLI / 10 };
        self.after((least, most.max(least)), Event::Told(from.node, from.life, Told::Hold(write)));
        match ambush {
            Some(Ambush::Freeze) => self.freeze_for_long(from.node),
            Some(Ambush::Panic) => it.ended = Some(Ended::Lost),
            None => {}
        }
    }

    pub fn write(&mut self, from: Address, number: u64) {
        self.with(from, |world, it| world.write_of(it, number));
    }

    /// Begins the transaction of a write.
    pub fn hold(&mut self, write: Write) {
        let (from, number) = (write.from, write.number);
        if self.db.is_down || self.db.is_full || self.is_faulty() {
            return self.reply(from, Told::Written(from, number, None));
        }
        let is_fence_intact = write.fence.is_none_or(|fence| self.db.leases.is_intact(&fence));
        let found = Found {
            is_claim_current: self.nodes[from.node].claims[from.subscription] == write.claim
                || self.scenario.broken == Broken::Claim,
            is_fence_intact: is_fence_intact || self.scenario.broken == Broken::Fence,
            version: Some(VERSION),
        };
        let is_committing = self.chance.one_in(2);
        let transaction = self.db.hold(write, found.permits(&VERSION), is_committing);
        let event = if is_committing {
            Event::Commit(transaction, from, number)
        } else {
            Event::Told(from.node, from.life, Told::Commit(transaction, from, number))
        };
        self.after((MILLI / 10, 4 * MILLI), event);
    }

    pub fn written(&mut self, from: Address, number: u64, result: Option<Result<(), Ended>>) {
        self.with(from, |world, it| match result {
            None => world.at(world.now + SECOND, Event::Told(from.node, from.life, Told::Write(from, number))),
            Some(Err(ended)) => it.ended = Some(ended),
            Some(Ok(())) => {
                it.writes.remove(&number);
                if let Some(course) = &mut it.course
                    && world.scenario.broken != Broken::SavedTooSoon
                {
                    course.saved();
                }
                world.step(it);
            }
        });
    }
}
