//! The lanes of one subscription: a state machine without I/O. Events go in, [`Action`]s and [`Changes`] come out; time
//! and chance are arguments.
//!
//! A **live** lane has everything that its customer is still owed in memory, in order, and sends one message at a time.
//! When its head fails it is **parked**: a row says from which position on the customer is owed messages, the lane's
//! entries leave memory, and what the log brings for it later is passed over. When its time has come it reads its
//! backlog page by page. Entries are offered and pages are taken on by this one struct, one after the other, so it knows
//! for each lane the last position that was passed over: a page that reaches that far leaves nothing out, and the lane
//! is live again from the very next entry.
//!
//! **What survives a crash** is the cursors, the rows and the dead letters. They are taken out together
//! ([`Lanes::take_changes`]) and must be written in one transaction; between two such writes only repeats are at stake.
//! One thing must be written before the lane goes on: a message that is given up, for it must not come after its
//! successors when a restart knows nothing of it.
//!
//! **Limits**: entries in memory, messages on their way, messages that are put aside and not written, parked lanes. While the
//! breaker is open and there is room, or all rows are taken, failed lanes wait in memory (*stranded*) and their cursors stay;
//! a full memory stops the intake.

use std::collections::{BTreeSet, HashMap, VecDeque};

use super::progress::Progress;
use crate::delivery::{Breaker, BreakerSettings, Cause, OnExhausted, Outcome, Pace, Persistence, RetrySchedule};
use crate::id::CustomerId;
use crate::lease::PartitionSet;
use crate::message::partition;
use crate::subscription::SubscriptionStatus;
use crate::{Ctx, Micros};

mod steps;
#[cfg(test)]
mod tests;

/// How the lanes of a subscription behave.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The waits between attempts.
    pub schedule: RetrySchedule,
    /// What follows the last one.
    pub on_exhausted: OnExhausted,
    /// What goes in the place of both, for a destination that is never given up.
    pub persistence: Option<Persistence>,
    /// Whether the receiver can end the subscription by saying that it is gone.
    pub gone_disables: bool,
    /// When the whole subscription rests.
    pub breaker: BreakerSettings,
    /// Messages on their way at the same time.
    pub in_flight_max: usize,
    /// Entries in memory.
    pub buffer_max: usize,
    /// Parked lanes.
    pub parked_max: usize,
}

impl Policy {
    /// The longest rest in seconds that a receiver gets for the asking.
    fn retry_after_max_s(&self) -> u32 {
        let max = self.persistence.map_or(self.schedule.retry_after_max, |persistence| persistence.retry_after_max);
        u32::try_from(max / Micros::SECOND).unwrap_or(0)
    }
}

/// A message of a lane. `T` is what the shell needs to send it.
#[derive(Clone, Debug)]
pub struct Item<T> {
    /// Where it lies in the log.
    pub position: i64,
    /// Whose lane it is in.
    pub customer: CustomerId,
    /// When it came about.
    pub at: Micros,
    /// What is sent.
    pub body: T,
}

/// What the shell is to do.
#[derive(Debug)]
pub enum Action<T> {
    /// Send it, and answer with [`Lanes::sent`].
    Send {
        /// What.
        item: Item<T>,
        /// The how-manieth try at it this is, from 1.
        attempt: u32,
    },
    /// Read what the subscription wants of this customer in `from..=up_to`, and answer with [`Lanes::page`] or
    /// [`Lanes::put_off`].
    Read {
        /// Whose.
        customer: CustomerId,
        /// The first position.
        from: i64,
        /// The last one.
        up_to: i64,
    },
}

/// Why a message is put aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It has used up its attempts.
    Exhausted,
    /// It cannot be rendered any more.
    Erased,
    /// The subscription's template makes nothing of it.
    Untransformed,
    /// Its receiver never takes it.
    Rejected,
}

/// A message that is put aside.
#[derive(Clone, Debug)]
pub struct Letter<T> {
    /// Which.
    pub item: Item<T>,
    /// Why.
    pub reason: Reason,
    /// How often it was tried in vain.
    pub attempts: u32,
    /// How the last attempt ended.
    pub error: String,
}

/// A lane that waits for its retry, or for an operator: as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedLane {
    /// The lane's customer.
    pub customer: CustomerId,
    /// The customer's partition.
    pub partition: u16,
    /// Its messages from this position on are still to be sent.
    pub from_position: i64,
    /// How often the message at `from_position` has failed.
    pub failed_attempts: u32,
    /// When to try again. `None`: held.
    pub next_at: Option<Micros>,
    /// Why it failed last.
    pub last_error: String,
    /// Since when it waits.
    pub parked_at: Micros,
}

/// What is to be written, in one transaction, before [`Lanes::saved`] is called.
#[derive(Clone, Debug)]
pub struct Changes<T> {
    /// Rows of lanes that are parked or have moved.
    pub parked: Vec<ParkedLane>,
    /// Lanes that are live again.
    pub unparked: Vec<CustomerId>,
    /// Messages that are given up.
    pub letters: Vec<Letter<T>>,
    /// Where the cursors are now.
    pub cursors: Vec<(i64, PartitionSet)>,
    /// How delivery goes, if that has changed.
    pub status: Option<SubscriptionStatus>,
}

impl<T> Changes<T> {
    /// Nothing.
    pub fn none() -> Self {
        Self { parked: Vec::new(), unparked: Vec::new(), letters: Vec::new(), cursors: Vec::new(), status: None }
    }
}

/// What a lane is doing. All but one of the queues hold a lane at most once, by its step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// In `ready`, or if it is parked in `retries`.
    Queued,
    /// Has a slot: its page is being read.
    Reading,
    /// Has a slot: in `loaded`, with a page.
    Loaded,
    /// Has a slot: its head is on its way.
    Sending,
    /// Waits for the write that puts its former head aside.
    Settling,
    /// In `due`.
    Waiting,
    /// Waits for an operator.
    Held,
}

struct Lane<T> {
    step: Step,
    /// Live: everything that is left. Parked: a page, or nothing.
    queue: VecDeque<Item<T>>,
    /// How often the head has failed.
    failed: u32,
    /// Whether what was last sent of it failed, be it the head or what was given up before it.
    is_failing: bool,
    /// How often of these it was refused, since the start: a restart begins to count anew, which gives up nothing.
    refused: u32,
    /// When it may be tried again. `None`: held.
    next_at: Option<Micros>,
    /// Why it failed last.
    error: String,
    /// Present: parked.
    row: Option<Row>,
}

struct Row {
    /// The customer is owed messages from here on.
    from: i64,
    since: Micros,
    /// The last position that was passed over.
    passed: i64,
    /// Pages were read up to here.
    read_to: i64,
}

impl<T> Lane<T> {
    fn live() -> Self {
        Self {
            step: Step::Queued,
            queue: VecDeque::new(),
            failed: 0,
            is_failing: false,
            refused: 0,
            next_at: None,
            error: String::new(),
            row: None,
        }
    }
}

/// The state machine.
pub struct Lanes<T> {
    policy: Policy,
    progress: Progress,
    /// Positions above the cursors that had a dead letter when this began: done, whatever cursors and rows say.
    dead: BTreeSet<i64>,
    by_customer: HashMap<CustomerId, Lane<T>>,
    ready: VecDeque<CustomerId>,
    retries: VecDeque<CustomerId>,
    loaded: VecDeque<CustomerId>,
    due: BTreeSet<(Micros, CustomerId)>,
    stranded: BTreeSet<CustomerId>,
    /// Lanes that have a slot, and how many of them are parked ones.
    slots: usize,
    retry_slots: usize,
    /// Whether the only slot was a parked lane's last.
    retried_last: bool,
    /// Who is next when the breaker lets one through.
    probe_turn: u8,
    sending: usize,
    buffered: usize,
    parked: usize,
    breaker: Breaker,
    pace: Pace,
    /// Until when the last [`Lanes::pump`] was told to wait.
    resting_until: Option<Micros>,
    stopped: bool,
    status: SubscriptionStatus,
    saved_status: SubscriptionStatus,
    rows: BTreeSet<CustomerId>,
    letters: Vec<Letter<T>>,
    settling: Vec<CustomerId>,
    /// Those of `settling` that are in the write that is under way.
    saving: Vec<CustomerId>,
    finished: usize,
}

impl<T: Clone> Lanes<T> {
    /// As it was left: cursors, parked lanes, positions with a dead letter above the lowest cursor, status.
    pub fn new(
        policy: Policy,
        cursors: &[(u16, i64)],
        parked: Vec<ParkedLane>,
        dead: impl IntoIterator<Item = i64>,
        status: SubscriptionStatus,
    ) -> Self {
        let mut lanes = Self {
            breaker: Breaker::new(policy.breaker),
            pace: Pace::default(),
            policy,
            progress: Progress::new(cursors),
            dead: dead.into_iter().collect(),
            by_customer: HashMap::new(),
            ready: VecDeque::new(),
            retries: VecDeque::new(),
            loaded: VecDeque::new(),
            due: BTreeSet::new(),
            stranded: BTreeSet::new(),
            slots: 0,
            retry_slots: 0,
            retried_last: false,
            probe_turn: 0,
            sending: 0,
            buffered: 0,
            parked: parked.len(),
            resting_until: None,
            stopped: false,
            status,
            saved_status: status,
            rows: BTreeSet::new(),
            letters: Vec::new(),
            settling: Vec::new(),
            saving: Vec::new(),
            finished: 0,
        };
        for row in parked {
            lanes.restore(row);
        }
        lanes
    }

    fn restore(&mut self, row: ParkedLane) {
        if let Some(at) = row.next_at {
            self.due.insert((at, row.customer));
        }
        // Whatever the cursor is past may have been passed over: nobody remembers.
        let passed = self.progress.known(row.partition);
        let lane = Lane {
            step: if row.next_at.is_some() { Step::Waiting } else { Step::Held },
            queue: VecDeque::new(),
            failed: row.failed_attempts,
            is_failing: true,
            refused: 0,
            next_at: row.next_at,
            error: row.last_error,
            row: Some(Row { from: row.from_position, since: row.parked_at, passed, read_to: row.from_position - 1 }),
        };
        self.by_customer.insert(row.customer, lane);
    }

    /// Everything up to here was offered: the next entry to offer is the one after.
    pub fn seen(&self) -> i64 {
        self.progress.seen()
    }

    /// Whether another entry may be offered.
    pub fn has_room(&self) -> bool {
        self.buffered + self.letters.len() < self.policy.buffer_max
    }

    /// An entry that the subscription wants. To be offered in position order, when there is room.
    pub fn offer(&mut self, item: Item<T>) {
        let (customer, position, part) = (item.customer, item.position, partition(item.customer));
        self.progress.see(position);
        if self.progress.was_done(part, position) || self.dead.contains(&position) {
            return;
        }
        let ready = &mut self.ready;
        let lane = self.by_customer.entry(customer).or_insert_with(|| {
            ready.push_back(customer);
            Lane::live()
        });
        if let Some(row) = &mut lane.row {
            row.passed = row.passed.max(position);
        } else {
            lane.queue.push_back(item);
            self.progress.take_on(part, position);
            self.buffered += 1;
        }
    }

    /// Whether an entry that is offered now would be sent from memory: it is not done yet, and its lane is not parked.
    pub fn would_queue(&self, customer: CustomerId, position: i64) -> bool {
        !self.progress.was_done(partition(customer), position)
            && !self.dead.contains(&position)
            && self.by_customer.get(&customer).is_none_or(|lane| lane.row.is_none())
    }

    /// There is nothing more to offer up to this position.
    pub fn seen_all(&mut self, up_to: i64) {
        self.progress.see(up_to);
    }

    /// Sends no more than this many messages a minute from now on.
    pub fn keep_to(&mut self, per_minute: Option<u32>) {
        self.pace.keep_to(per_minute);
    }

    /// What is to be done now.
    pub fn pump(&mut self, now: Micros) -> Vec<Action<T>> {
        let mut actions = Vec::new();
        self.resting_until = None;
        if self.stopped || self.must_write_letters() {
            return actions;
        }
        self.wake(now);
        self.park_stranded(now);
        while let Some(action) = self.next_action(now) {
            actions.push(action);
        }
        actions
    }

    /// When to pump again even if nothing happens until then. What the last pump was told counts, not what the breaker
    /// would say now: time has passed, and nobody else would tell.
    pub fn next_wake(&self) -> Option<Micros> {
        if self.must_write_letters() {
            return None; // the end of a write is what is waited for
        }
        let due = self.due.first().map(|(at, _)| *at);
        [due, self.resting_until].into_iter().flatten().min()
    }

    /// A message was sent, with this outcome.
    pub fn sent(&mut self, customer: CustomerId, outcome: Outcome, ctx: &mut Ctx) {
        if !self.by_customer.get(&customer).is_some_and(|lane| lane.step == Step::Sending) {
            return;
        }
        self.sending -= 1;
        match outcome {
            Outcome::Delivered => {
                self.breaker.succeeded();
                self.set_status(SubscriptionStatus::Healthy);
                self.finish_head(customer);
                self.is_well(customer);
                self.go_on(customer);
            }
            Outcome::Erased => {
                self.breaker.skipped(ctx.now);
                if let Some((item, failed)) = self.finish_head(customer) {
                    let error = "its personal data was erased".to_owned();
                    self.letters.push(Letter { item, reason: Reason::Erased, attempts: failed, error });
                }
                self.go_on(customer);
            }
            Outcome::Untransformed { reason } => self.untransformed(customer, reason, ctx.now),
            Outcome::Rejected { reason } => self.rejected(customer, reason),
            Outcome::Moot => {
                self.breaker.skipped(ctx.now);
                self.finish_head(customer);
                self.go_on(customer);
            }
            Outcome::Gone if self.policy.gone_disables => {
                self.set_status(SubscriptionStatus::ConfigurationErrorDeliveryStopped);
                self.stopped = true;
            }
            Outcome::Gone => self.failed(customer, (Cause::Refused, "the receiver is gone".to_owned(), None), ctx),
            Outcome::Failed { reason, retry_after_s, cause } => {
                self.failed(customer, (cause, reason, retry_after_s), ctx);
            }
        }
    }

    /// A page of a parked lane: what the subscription wants of it, complete up to `read_to`.
    pub fn page(&mut self, customer: CustomerId, mut items: Vec<Item<T>>, read_to: i64) {
        items.retain(|item| !self.dead.contains(&item.position));
        let Some(lane) = self.by_customer.get_mut(&customer).filter(|lane| lane.step == Step::Reading) else { return };
        let Some(row) = &mut lane.row else { return };
        row.read_to = read_to;
        if items.first().is_none_or(|head| head.position != row.from) {
            (lane.failed, lane.refused) = (0, 0); // the message that had failed is not wanted any more
        }
        lane.queue = items.into();
        self.go_on(customer);
    }

    /// A page could not be read, or must not be yet: later, at `until`.
    pub fn put_off(&mut self, customer: CustomerId, until: Micros) {
        let Some(lane) = self.by_customer.get_mut(&customer).filter(|lane| lane.step == Step::Reading) else { return };
        lane.step = Step::Waiting;
        self.due.insert((until, customer));
        self.leave_slot(true);
    }

    /// Nothing is started any more; what is on its way can still be answered.
    pub fn stop(&mut self) {
        self.stopped = true;
    }

    /// Whether the receiver ended the subscription.
    pub fn is_disabled(&self) -> bool {
        self.status == SubscriptionStatus::ConfigurationErrorDeliveryStopped
    }

    /// Whether a lane waits for a write.
    pub fn is_save_urgent(&self) -> bool {
        !self.settling.is_empty()
            || self.must_write_letters()
            || (self.is_disabled() && self.status != self.saved_status)
    }

    /// Whether there is something to write, sooner or later.
    pub fn is_save_due(&self) -> bool {
        self.finished > 0
            || !self.rows.is_empty()
            || !self.letters.is_empty()
            || self.status != self.saved_status
            || self.progress.lags()
    }

    /// Messages delivered or put aside since the last write.
    pub fn unsaved(&self) -> usize {
        self.finished
    }

    /// What has changed since the last time; `None` if nothing has. Not to be called again before [`Lanes::saved`].
    /// With `all`, also cursors that say nothing new: at a clean stop.
    pub fn take_changes(&mut self, all: bool) -> Option<Changes<T>> {
        let mut changes = Changes {
            letters: std::mem::take(&mut self.letters),
            cursors: self.progress.take(all),
            status: (self.status != self.saved_status).then_some(self.status),
            ..Changes::none()
        };
        for customer in std::mem::take(&mut self.rows) {
            match self.parked_lane(customer) {
                Some(row) => changes.parked.push(row),
                None => changes.unparked.push(customer),
            }
        }
        self.saved_status = self.status;
        self.saving = std::mem::take(&mut self.settling);
        self.finished = 0;
        let nothing = changes.parked.is_empty()
            && changes.unparked.is_empty()
            && changes.letters.is_empty()
            && changes.cursors.is_empty()
            && changes.status.is_none();
        (!nothing).then_some(changes)
    }

    /// What was taken last is written.
    pub fn saved(&mut self) {
        for customer in std::mem::take(&mut self.saving) {
            let Some(lane) = self.by_customer.get_mut(&customer) else { continue };
            if lane.row.is_none() && lane.queue.is_empty() {
                self.by_customer.remove(&customer);
            } else {
                self.enqueue(customer);
            }
        }
    }

    /// Messages on their way.
    pub fn sending(&self) -> usize {
        self.sending
    }

    /// Entries in memory.
    pub fn buffered(&self) -> usize {
        self.buffered
    }

    /// Whether so many were put aside that nothing is started before they are written.
    fn must_write_letters(&self) -> bool {
        self.letters.len() >= self.policy.buffer_max
    }

    /// Messages that were put aside since the last write.
    pub fn put_aside(&self) -> usize {
        self.letters.len()
    }

    /// Parked lanes, with held ones.
    pub fn parked(&self) -> usize {
        self.parked
    }

    /// Whether nobody waits for anything.
    pub fn is_idle(&self) -> bool {
        self.by_customer.is_empty()
    }

    /// When the oldest came about of what live lanes have; or, of parked ones, since when they have waited.
    pub fn oldest(&self) -> Option<Micros> {
        let oldest = |lane: &Lane<T>| lane.row.as_ref().map(|row| row.since).or(lane.queue.front().map(|item| item.at));
        self.by_customer.values().filter_map(oldest).min()
    }

    /// Whether the whole subscription rests.
    pub fn is_resting(&self) -> bool {
        self.breaker.is_open()
    }
}
