//! The steps of a lane: from queue to slot, from slot to its next wait.

use super::{Action, Item, Lanes, Letter, ParkedLane, Reason, Row, Step};
use crate::delivery::{Admission, Cause, OnExhausted, Tried};
use crate::id::CustomerId;
use crate::message::partition;
use crate::subscription::SubscriptionStatus;
use crate::{Ctx, Micros};

impl<T: Clone> Lanes<T> {
    /// Puts lanes whose time has come into their queues.
    pub(super) fn wake(&mut self, now: Micros) {
        while let Some((at, customer)) = self.due.first().copied()
            && at <= now
        {
            self.due.remove(&(at, customer));
            self.stranded.remove(&customer);
            self.enqueue(customer);
        }
    }

    pub(super) fn enqueue(&mut self, customer: CustomerId) {
        let Some(lane) = self.by_customer.get_mut(&customer) else { return };
        lane.step = Step::Queued;
        let queue = if lane.row.is_some() { &mut self.retries } else { &mut self.ready };
        queue.push_back(customer);
    }

    /// The next thing that the breaker, the pace and the slots allow.
    ///
    /// A lane with a page goes first: it has its slot already. Then parked lanes, in their share of the slots (half; of a
    /// single slot, every other time), so that customers whose messages fail slowly cannot keep the others waiting; then
    /// live ones.
    pub(super) fn next_action(&mut self, now: Micros) -> Option<Action<T>> {
        let is_probe = match self.breaker.peek(now) {
            Admission::Wait(until) => {
                self.resting_until = until;
                return None;
            }
            Admission::Probe => true,
            Admission::Go => false,
        };
        if let Some(at) = self.pace.wait(now) {
            self.resting_until = Some(at);
            return None;
        }
        if is_probe {
            return self.probe(now);
        }
        if let Some(customer) = self.loaded.pop_front() {
            return self.send(customer, now);
        }
        if self.slots >= self.policy.in_flight_max {
            return None;
        }
        let is_single = self.policy.in_flight_max == 1;
        let may_retry = !(is_single && self.retried_last && !self.ready.is_empty());
        self.retried_last = may_retry && !self.retries.is_empty();
        let retry_slots_max = (self.policy.in_flight_max / 2).max(1);
        if may_retry
            && self.retry_slots < retry_slots_max
            && let Some(customer) = self.retries.pop_front()
        {
            return self.read(customer);
        }
        let customer = self.ready.pop_front()?;
        self.slots += 1;
        self.send(customer, now)
    }

    /// What the breaker lets through to see whether the destination works again.
    ///
    /// What has failed before may be what always fails: if each such lane had its try first, all others would wait for as
    /// many rests, and so would they if new ones always came first. So three take turns: the newest live lane that has not
    /// failed, then a parked one, then the live one that has waited longest. A lane whose message was given up goes on with the
    /// next one, and is not new for that: it would have the first turn each time, and those that are would have none.
    fn probe(&mut self, now: Micros) -> Option<Action<T>> {
        let has_slot = self.slots < self.policy.in_flight_max;
        for turn in [self.probe_turn, self.probe_turn + 1, self.probe_turn + 2].map(|turn| turn % 3) {
            self.probe_turn = turn;
            let lane = match turn {
                0 if has_slot => self.newest_unfailed(),
                1 if !self.loaded.is_empty() => {
                    self.probe_turn = 2;
                    return self.loaded.pop_front().and_then(|customer| self.send(customer, now));
                }
                1 if self.retry_slots > 0 => return None, // its page is on its way
                1 if has_slot && !self.retries.is_empty() => {
                    return self.retries.pop_front().and_then(|customer| self.read(customer));
                }
                2 if has_slot => self.ready.pop_front(),
                _ => None,
            };
            if let Some(customer) = lane {
                self.probe_turn = (turn + 1) % 3;
                self.slots += 1;
                return self.send(customer, now);
            }
        }
        None
    }

    fn newest_unfailed(&mut self) -> Option<CustomerId> {
        let has_not_failed =
            |customer: &CustomerId| self.by_customer.get(customer).is_some_and(|lane| !lane.is_failing);
        let place = self.ready.iter().rposition(has_not_failed)?;
        self.ready.remove(place)
    }

    /// The receiver takes what this customer is sent.
    pub(super) fn is_well(&mut self, customer: CustomerId) {
        if let Some(lane) = self.by_customer.get_mut(&customer) {
            lane.is_failing = false;
        }
    }

    fn read(&mut self, customer: CustomerId) -> Option<Action<T>> {
        let known = self.progress.known(partition(customer));
        let lane = self.by_customer.get_mut(&customer)?;
        let row = lane.row.as_ref()?;
        lane.step = Step::Reading;
        self.slots += 1;
        self.retry_slots += 1;
        Some(Action::Read { customer, from: row.from, up_to: known.max(row.passed) })
    }

    fn send(&mut self, customer: CustomerId, now: Micros) -> Option<Action<T>> {
        let lane = self.by_customer.get_mut(&customer)?;
        let item = lane.queue.front()?.clone();
        lane.step = Step::Sending;
        self.breaker.admit(now);
        self.pace.sent(now);
        self.sending += 1;
        Some(Action::Send { item, attempt: lane.failed.saturating_add(1) })
    }

    /// The head is done: delivered, or put aside. Gives it back with its failed attempts.
    pub(super) fn finish_head(&mut self, customer: CustomerId) -> Option<(Item<T>, u32)> {
        let lane = self.by_customer.get_mut(&customer)?;
        let item = lane.queue.pop_front()?;
        let failed = std::mem::take(&mut lane.failed);
        lane.refused = 0;
        if let Some(row) = &mut lane.row {
            row.from = item.position + 1;
            self.rows.insert(customer);
            // The row has kept it; the cursor may say that it is done, so that nobody takes it for owed.
            self.progress.finish(partition(customer), item.position);
        } else {
            self.progress.finish(partition(customer), item.position);
            self.buffered -= 1;
        }
        self.finished += 1;
        Some((item, failed))
    }

    /// What a lane with a slot does when its head is done or its page has come.
    pub(super) fn go_on(&mut self, customer: CustomerId) {
        let Some(lane) = self.by_customer.get_mut(&customer) else { return };
        let is_parked = lane.row.is_some();
        match &mut lane.row {
            Some(_) if !lane.queue.is_empty() => {
                // It keeps its slot until the page is sent: pages in memory are as many as slots.
                lane.step = Step::Loaded;
                self.loaded.push_back(customer);
                return;
            }
            Some(row) if row.read_to < row.passed => {
                row.from = row.from.max(row.read_to + 1);
                self.enqueue(customer);
            }
            // Nothing was passed over behind the page: the next entry that is offered is the next in order.
            Some(_) => {
                self.by_customer.remove(&customer);
                self.rows.insert(customer);
                self.parked -= 1;
            }
            None if lane.queue.is_empty() => {
                self.by_customer.remove(&customer);
            }
            None => self.enqueue(customer),
        }
        self.leave_slot(is_parked);
    }

    pub(super) fn leave_slot(&mut self, is_parked: bool) {
        self.slots -= 1;
        if is_parked {
            self.retry_slots -= 1;
        }
    }

    /// An attempt has failed: the lane waits, or its head is given up.
    pub(super) fn failed(
        &mut self,
        customer: CustomerId,
        (cause, reason, retry_after_s): (Cause, String, Option<u32>),
        ctx: &mut Ctx,
    ) {
        let retry_after_s = retry_after_s.map(|asked| asked.min(self.policy.retry_after_max_s()));
        if self.policy.persistence.is_some() && cause == Cause::Refused {
            self.breaker.succeeded(); // it answers: that it refuses one customer's message keeps no other waiting
        } else {
            self.breaker.failed(ctx.now, retry_after_s.filter(|_| cause == Cause::Throttled));
        }
        self.set_status(match cause {
            Cause::Refused => SubscriptionStatus::ConfigurationError,
            Cause::Temporary | Cause::Throttled => SubscriptionStatus::TemporaryError,
        });
        let Some(lane) = self.by_customer.get_mut(&customer) else { return };
        let is_parked = lane.row.is_some();
        lane.failed = lane.failed.saturating_add(1);
        lane.is_failing = true;
        lane.refused = lane.refused.saturating_add(u32::from(cause == Cause::Refused));
        lane.error = reason;
        let (failed, refused) = (lane.failed, lane.refused);
        let since = lane.queue.front().map_or(ctx.now, |head| head.at);
        let (next_at, skips) = if let Some(persistence) = self.policy.persistence {
            (persistence.next(&Tried { failed, refused, cause, since, retry_after_s }, ctx), true)
        } else {
            let next_at = self.policy.schedule.next(failed, retry_after_s, ctx);
            (next_at, self.policy.on_exhausted == OnExhausted::Skip)
        };
        self.leave_slot(is_parked);
        if next_at.is_none() && skips {
            self.give_up(customer, Reason::Exhausted);
        } else {
            self.wait(customer, next_at, ctx.now);
        }
    }

    /// The receiver answers, and will never take this one: it is put aside at once.
    pub(super) fn rejected(&mut self, customer: CustomerId, reason: String) {
        self.breaker.succeeded();
        self.set_status(SubscriptionStatus::Healthy);
        self.is_well(customer);
        self.give_up_at_once(customer, Reason::Rejected, reason);
    }

    /// It was not sent, and will not be as long as the subscription is what it is: nothing is known of the receiver.
    pub(super) fn untransformed(&mut self, customer: CustomerId, reason: String, now: Micros) {
        self.breaker.skipped(now);
        self.give_up_at_once(customer, Reason::Untransformed, reason);
    }

    fn give_up_at_once(&mut self, customer: CustomerId, why: Reason, error: String) {
        let Some(lane) = self.by_customer.get_mut(&customer) else { return };
        let is_parked = lane.row.is_some();
        lane.failed = lane.failed.saturating_add(1);
        lane.error = error;
        self.leave_slot(is_parked);
        self.give_up(customer, why);
    }

    /// The lane waits until `next_at`, or for an operator: parked if that may be.
    fn wait(&mut self, customer: CustomerId, next_at: Option<Micros>, now: Micros) {
        let may_park = self.may_park() || next_at.is_none();
        let Some(lane) = self.by_customer.get_mut(&customer) else { return };
        lane.next_at = next_at;
        lane.step = if next_at.is_some() { Step::Waiting } else { Step::Held };
        if let Some(at) = next_at {
            self.due.insert((at, customer));
        }
        match (&mut lane.row, lane.queue.front()) {
            (Some(row), Some(head)) => {
                row.from = head.position;
                row.read_to = head.position - 1;
                lane.queue.clear(); // read again when its time has come
                self.rows.insert(customer);
            }
            _ if may_park => self.park(customer, now),
            _ => {
                self.stranded.insert(customer);
            }
        }
    }

    /// While the breaker is open it is the destination that fails, not the lane; unless memory is full: if all that is in it
    /// fails for ever, others must come in to show that the destination works. Rows have a limit.
    fn may_park(&self) -> bool {
        (!self.breaker.is_open() || !self.has_room()) && self.parked < self.policy.parked_max
    }

    pub(super) fn park_stranded(&mut self, now: Micros) {
        while self.may_park() {
            if let Some(customer) = self.stranded.pop_first() {
                self.park(customer, now);
            } else if let Some(customer) = self.failed_and_ready() {
                self.park(customer, now);
                self.retries.push_back(customer);
            } else {
                return;
            }
        }
    }

    /// A live lane that has failed, and would be tried again if the breaker were not open.
    fn failed_and_ready(&mut self) -> Option<CustomerId> {
        if !self.breaker.is_open() {
            return None; // before the look, which is long
        }
        let has_failed = |customer: &CustomerId| self.by_customer.get(customer).is_some_and(|lane| lane.failed > 0);
        let place = self.ready.iter().position(has_failed)?;
        self.ready.remove(place)
    }

    /// Turns a live lane that has failed into a parked one.
    fn park(&mut self, customer: CustomerId, now: Micros) {
        let Some(lane) = self.by_customer.get_mut(&customer) else { return };
        let (Some(head), Some(last)) = (lane.queue.front(), lane.queue.back()) else { return };
        let from = head.position;
        lane.row = Some(Row { from, since: now, passed: last.position, read_to: from - 1 });
        self.buffered -= lane.queue.len();
        for item in lane.queue.drain(..) {
            self.progress.hand_over(partition(customer), item.position);
        }
        self.parked += 1;
        self.rows.insert(customer);
    }

    /// Puts the head aside. The lane goes on when that is written.
    fn give_up(&mut self, customer: CustomerId, reason: Reason) {
        let Some((item, attempts)) = self.finish_head(customer) else { return };
        let Some(lane) = self.by_customer.get_mut(&customer) else { return };
        lane.step = Step::Settling;
        if let Some(row) = &mut lane.row {
            row.read_to = item.position;
            lane.queue.clear();
        }
        self.letters.push(Letter { item, reason, attempts, error: lane.error.clone() });
        self.settling.push(customer);
    }

    pub(super) fn set_status(&mut self, status: SubscriptionStatus) {
        if !self.is_disabled() {
            self.status = status;
        }
    }

    pub(super) fn parked_lane(&self, customer: CustomerId) -> Option<ParkedLane> {
        let lane = self.by_customer.get(&customer)?;
        let row = lane.row.as_ref()?;
        Some(ParkedLane {
            customer,
            partition: partition(customer),
            from_position: row.from,
            failed_attempts: lane.failed,
            next_at: lane.next_at,
            last_error: lane.error.clone(),
            parked_at: row.since,
        })
    }
}
