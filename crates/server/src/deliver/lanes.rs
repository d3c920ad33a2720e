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
//! **Limits**: entries in memory, messages on their way, parked lanes. While the breaker is open, or all rows are taken,
//! failed lanes wait in memory (*stranded*) and their cursors stay; a full memory stops the intake.

use std::collections::{BTreeSet, HashMap, VecDeque};

use keyherald_core::delivery::{Breaker, BreakerSettings, Cause, OnExhausted, Outcome, RetrySchedule};
use keyherald_core::id::CustomerId;
use keyherald_core::message::partition;
use keyherald_core::subscription::SubscriptionStatus;
use keyherald_core::{Ctx, Micros};
use keyherald_store::delivery::{ParkedLane, PartitionSet};

use super::progress::Progress;

mod steps;
#[cfg(test)]
mod tests;

/// How the lanes of a subscription behave.
#[derive(Clone, Debug)]
pub(super) struct Policy {
    /// The waits between attempts.
    pub(super) schedule: RetrySchedule,
    /// What follows the last one.
    pub(super) on_exhausted: OnExhausted,
    /// Whether there is a last one.
    pub(super) gives_up: bool,
    /// Whether the receiver can end the subscription by saying that it is gone.
    pub(super) gone_disables: bool,
    /// When the whole subscription rests.
    pub(super) breaker: BreakerSettings,
    /// Messages on their way at the same time.
    pub(super) in_flight_max: usize,
    /// Entries in memory.
    pub(super) buffer_max: usize,
    /// Parked lanes.
    pub(super) parked_max: usize,
}

/// A message of a lane. `T` is what the shell needs to send it.
#[derive(Clone, Debug)]
pub(super) struct Item<T> {
    pub(super) position: i64,
    pub(super) customer: CustomerId,
    pub(super) body: T,
}

/// What the shell is to do.
#[derive(Debug)]
pub(super) enum Action<T> {
    /// Send it, and answer with [`Lanes::sent`].
    Send { item: Item<T>, attempt: u32 },
    /// Read what the subscription wants of this customer in `from..=up_to`, and answer with [`Lanes::page`] or
    /// [`Lanes::page_failed`].
    Read { customer: CustomerId, from: i64, up_to: i64 },
}

/// Why a message is put aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// It has used up its attempts.
    Exhausted,
    /// It cannot be rendered any more.
    Erased,
    /// Its receiver never takes it.
    Rejected,
}

/// A message that is put aside.
#[derive(Clone, Debug)]
pub(super) struct Letter<T> {
    pub(super) item: Item<T>,
    pub(super) reason: Reason,
    pub(super) attempts: u32,
    pub(super) error: String,
}

/// What is to be written, in one transaction, before [`Lanes::saved`] is called.
#[derive(Clone, Debug)]
pub(super) struct Changes<T> {
    /// Rows of lanes that are parked or have moved.
    pub(super) parked: Vec<ParkedLane>,
    /// Lanes that are live again.
    pub(super) unparked: Vec<CustomerId>,
    /// Messages that are given up.
    pub(super) letters: Vec<Letter<T>>,
    /// Where the cursors are now.
    pub(super) cursors: Vec<(i64, PartitionSet)>,
    /// How delivery goes, if that has changed.
    pub(super) status: Option<SubscriptionStatus>,
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
        Self { step: Step::Queued, queue: VecDeque::new(), failed: 0, next_at: None, error: String::new(), row: None }
    }
}

/// The state machine.
pub(super) struct Lanes<T> {
    policy: Policy,
    progress: Progress,
    /// Positions above the cursors that have a dead letter: done, whatever the cursors say.
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
    sending: usize,
    buffered: usize,
    parked: usize,
    breaker: Breaker,
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
    pub(super) fn new(
        policy: Policy,
        cursors: &[(u16, i64)],
        parked: Vec<ParkedLane>,
        dead: impl IntoIterator<Item = i64>,
        status: SubscriptionStatus,
    ) -> Self {
        let mut lanes = Self {
            breaker: Breaker::new(policy.breaker),
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
            next_at: row.next_at,
            error: row.last_error,
            row: Some(Row { from: row.from_position, since: row.parked_at, passed, read_to: row.from_position - 1 }),
        };
        self.by_customer.insert(row.customer, lane);
    }

    /// Everything up to here was offered: the next entry to offer is the one after.
    pub(super) fn seen(&self) -> i64 {
        self.progress.seen()
    }

    /// Whether another entry may be offered.
    pub(super) fn has_room(&self) -> bool {
        self.buffered < self.policy.buffer_max
    }

    /// An entry that the subscription wants. To be offered in position order, when there is room.
    pub(super) fn offer(&mut self, item: Item<T>) {
        let (customer, position, part) = (item.customer, item.position, partition(item.customer));
        self.progress.see(position);
        if self.progress.was_done(part, position) || self.dead.remove(&position) {
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

    /// There is nothing more to offer up to this position.
    pub(super) fn seen_all(&mut self, up_to: i64) {
        self.progress.see(up_to);
    }

    /// What is to be done now.
    pub(super) fn pump(&mut self, now: Micros) -> Vec<Action<T>> {
        let mut actions = Vec::new();
        if self.stopped {
            return actions;
        }
        self.resting_until = None;
        self.wake(now);
        self.park_stranded(now);
        while let Some(action) = self.next_action(now) {
            actions.push(action);
        }
        actions
    }

    /// When to pump again even if nothing happens until then. What the last pump was told counts, not what the breaker
    /// would say now: time has passed, and nobody else would tell.
    pub(super) fn next_wake(&self) -> Option<Micros> {
        let due = self.due.first().map(|(at, _)| *at);
        [due, self.resting_until].into_iter().flatten().min()
    }

    /// A message was sent, with this outcome.
    pub(super) fn sent(&mut self, customer: CustomerId, outcome: Outcome, ctx: &mut Ctx) {
        if !self.by_customer.get(&customer).is_some_and(|lane| lane.step == Step::Sending) {
            return;
        }
        self.sending -= 1;
        match outcome {
            Outcome::Delivered => {
                self.breaker.succeeded();
                self.set_status(SubscriptionStatus::Healthy);
                self.finish_head(customer);
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
    pub(super) fn page(&mut self, customer: CustomerId, items: Vec<Item<T>>, read_to: i64) {
        let Some(lane) = self.by_customer.get_mut(&customer).filter(|lane| lane.step == Step::Reading) else { return };
        let Some(row) = &mut lane.row else { return };
        row.read_to = read_to;
        if items.first().is_none_or(|head| head.position != row.from) {
            lane.failed = 0; // the message that had failed is not wanted any more
        }
        lane.queue = items.into();
        self.go_on(customer);
    }

    /// A page could not be read: later.
    pub(super) fn page_failed(&mut self, customer: CustomerId, now: Micros) {
        let Some(lane) = self.by_customer.get_mut(&customer).filter(|lane| lane.step == Step::Reading) else { return };
        lane.step = Step::Waiting;
        self.due.insert((now.plus(Micros::SECOND), customer));
        self.leave_slot(true);
    }

    /// Nothing is started any more; what is on its way can still be answered.
    pub(super) fn stop(&mut self) {
        self.stopped = true;
    }

    /// Whether the receiver ended the subscription.
    pub(super) fn is_disabled(&self) -> bool {
        self.status == SubscriptionStatus::ConfigurationErrorDeliveryStopped
    }

    /// Whether a lane waits for a write.
    pub(super) fn is_save_urgent(&self) -> bool {
        !self.settling.is_empty() || (self.is_disabled() && self.status != self.saved_status)
    }

    /// Whether there is something to write, sooner or later.
    pub(super) fn is_save_due(&self) -> bool {
        self.finished > 0
            || !self.rows.is_empty()
            || !self.letters.is_empty()
            || self.status != self.saved_status
            || self.progress.lags()
    }

    /// Messages delivered or put aside since the last write.
    pub(super) fn unsaved(&self) -> usize {
        self.finished
    }

    /// What has changed since the last time; `None` if nothing has. Not to be called again before [`Lanes::saved`].
    /// With `all`, also cursors that say nothing new: at a clean stop.
    pub(super) fn take_changes(&mut self, all: bool) -> Option<Changes<T>> {
        let mut changes = Changes {
            parked: Vec::new(),
            unparked: Vec::new(),
            letters: std::mem::take(&mut self.letters),
            cursors: self.progress.take(all),
            status: (self.status != self.saved_status).then_some(self.status),
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
    pub(super) fn saved(&mut self) {
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
    pub(super) fn sending(&self) -> usize {
        self.sending
    }

    /// Entries in memory.
    pub(super) fn buffered(&self) -> usize {
        self.buffered
    }

    /// Parked lanes, with held ones.
    pub(super) fn parked(&self) -> usize {
        self.parked
    }

    /// Whether the whole subscription rests.
    pub(super) fn is_resting(&self) -> bool {
        self.breaker.is_open()
    }
}
