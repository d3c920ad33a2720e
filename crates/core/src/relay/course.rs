//! The course of one subscription on one node: from the log into its [`Lanes`], and from there into what must be written.
//!
//! Its shell carries out what it says, and tells it what has ended. Entries come from the [window](super::window), or from
//! pages when the subscription is behind it; one page and one write are under way at a time. Nothing is sent that could
//! outlast the lease. When the course is stopped, what is on its way is waited for, and everything it knows is written
//! once more.
//!
//! Times are those of a clock of the shell's that only goes forward; schedules are made by the clock of days.

use std::collections::VecDeque;
use std::time::Duration;

use super::Positioned;
use super::lanes::{Action, Changes, Item, Lanes};
use super::window::Next;
use crate::Micros;

/// When progress is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saving {
    /// This long after it was made ...
    pub every: Duration,
    /// ... or after this many messages.
    pub after: usize,
}

/// A subscription that is being delivered. `E` is an entry of the log.
pub struct Course<E> {
    /// What is sent next, and what was.
    pub lanes: Lanes<E>,
    saving: Saving,
    /// Entries that are to be offered, and the position up to which they are complete.
    intake: VecDeque<E>,
    intake_to: i64,
    is_paging: bool,
    is_saving: bool,
    /// When what has changed is to be written.
    save_at: Option<Duration>,
    /// Nothing is sent: the lease has not been renewed for long.
    awaits_lease: bool,
    end: End,
}

/// What becomes of an entry of the log.
#[derive(Clone, Debug)]
pub enum Offer<E> {
    /// The subscription wants it.
    Take(Item<E>),
    /// It is nothing to it, or not this node's.
    Skip,
    /// Not yet: it is asked again at the next occasion.
    Wait,
}

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It goes on.
    None,
    /// What is on its way is waited for, until then.
    Draining(Duration),
    /// The last write has been taken.
    Closing,
}

impl<E: Positioned + Clone> Course<E> {
    /// From lanes as they were left.
    pub fn new(lanes: Lanes<E>, saving: Saving) -> Self {
        let (intake, intake_to) = (VecDeque::new(), lanes.seen());
        Self {
            lanes,
            saving,
            intake,
            intake_to,
            is_paging: false,
            is_saving: false,
            save_at: None,
            awaits_lease: false,
            end: End::None,
        }
    }

    /// Offers what the lanes have room for: what `after` says comes after a position, as `offer` says. Answers if a page of the
    /// log must be read: after the first position, up to the second. [`Course::paged`] is told what became of it.
    pub fn take_in(
        &mut self,
        after: impl Fn(i64) -> Next<E>,
        mut offer: impl FnMut(&Lanes<E>, &E) -> Offer<E>,
    ) -> Option<(i64, i64)> {
        loop {
            while self.lanes.has_room()
                && let Some(entry) = self.intake.front()
            {
                let position = entry.position();
                match offer(&self.lanes, entry) {
                    Offer::Take(item) => self.lanes.offer(item),
                    Offer::Skip => self.lanes.seen_all(position),
                    Offer::Wait => return None,
                }
                self.intake.pop_front();
            }
            if !self.intake.is_empty() {
                return None;
            }
            self.lanes.seen_all(self.intake_to);
            if self.is_paging || !self.lanes.has_room() {
                return None;
            }
            match after(self.lanes.seen()) {
                Next::Nothing => return None,
                Next::Entries(entries, up_to) => (self.intake, self.intake_to) = (entries.into(), up_to),
                Next::Behind(end) => {
                    self.is_paging = true;
                    return Some((self.lanes.seen(), end));
                }
            }
        }
    }

    /// A page was read, complete up to the position; `None`: it could not be.
    pub fn paged(&mut self, page: Option<(Vec<E>, i64)>) {
        self.is_paging = false;
        if let Some((entries, up_to)) = page {
            (self.intake, self.intake_to) = (entries.into(), up_to);
        }
    }

    /// What is to be started now, if there is time for it before the lease ends.
    pub fn start(&mut self, may_send: bool, now: Micros) -> Vec<Action<E>> {
        self.awaits_lease = !may_send;
        if may_send { self.lanes.pump(now) } else { Vec::new() }
    }

    /// Nothing is started any more; what is on its way is waited for until then.
    pub fn stop(&mut self, until: Duration) {
        self.lanes.stop();
        self.end = End::Draining(until);
    }

    /// Whether it was stopped, and everything is written.
    pub fn is_over(&self) -> bool {
        self.end == End::Closing && !self.is_saving
    }

    /// What must be written now: one write at a time, and [`Course::saved`] is told when it is done. `has_more`: the shell has
    /// something of its own that is to be written along.
    pub fn save(&mut self, has_more: bool, now: Duration) -> Option<Changes<E>> {
        if self.is_saving || self.end == End::Closing {
            return None;
        }
        let is_last = matches!(self.end, End::Draining(until) if now >= until || self.lanes.sending() == 0);
        if is_last {
            self.end = End::Closing;
        }
        if self.save_at.is_none() && (self.lanes.is_save_due() || has_more) {
            self.save_at = Some(now + self.saving.every);
        }
        let is_time = self.save_at.is_some_and(|at| at <= now);
        if !(is_last || is_time || self.lanes.is_save_urgent() || self.lanes.unsaved() >= self.saving.after) {
            return None;
        }
        self.save_at = None;
        let changes = self.lanes.take_changes(is_last);
        self.is_saving = has_more || changes.is_some();
        self.is_saving.then(|| changes.unwrap_or_else(Changes::none))
    }

    /// What was taken last is written.
    pub fn saved(&mut self) {
        self.is_saving = false;
        self.lanes.saved();
    }

    /// When something is to be started although nothing happens. Not while nothing may be: what is due stays so, and whoever
    /// woke for it would wake again at once.
    pub fn start_at(&self) -> Option<Micros> {
        self.lanes.next_wake().filter(|_| !self.awaits_lease && self.end == End::None)
    }

    /// Whether nothing is sent because the lease has not been renewed for long.
    pub fn awaits_lease(&self) -> bool {
        self.awaits_lease
    }

    /// When something is to be written although nothing happens.
    pub fn save_at(&self) -> Option<Duration> {
        let drained = match self.end {
            End::Draining(until) => Some(until),
            End::None | End::Closing => None,
        };
        [self.save_at, drained].into_iter().flatten().min().filter(|_| !self.is_saving)
    }

    /// Entries in memory that no lane has yet.
    pub fn taken_in(&self) -> usize {
        self.intake.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Ctx;
    use crate::delivery::{BreakerSettings, Cause, OnExhausted, Outcome, RetrySchedule};
    use crate::id::CustomerId;
    use crate::message::{PARTITIONS, partition};
    use crate::relay::lanes::Policy;
    use crate::relay::window::Window;
    use crate::subscription::SubscriptionStatus;

    const MILLI: Duration = Duration::from_millis(1);

    fn course() -> (Course<i64>, CustomerId) {
        let policy = Policy {
            schedule: RetrySchedule::default(),
            on_exhausted: OnExhausted::Skip,
            persistence: None,
            gone_disables: true,
            breaker: BreakerSettings::default(),
            in_flight_max: 4,
            buffer_max: 3,
            parked_max: 10,
        };
        let cursors: Vec<(u16, i64)> = (0..PARTITIONS).map(|number| (number, 0)).collect();
        let lanes = Lanes::new(policy, &cursors, Vec::new(), [], SubscriptionStatus::Healthy);
        (Course::new(lanes, Saving { every: 10 * MILLI, after: 100 }), CustomerId::new(&mut ctx(0)))
    }

    fn ctx(seconds: i64) -> Ctx {
        Ctx::new(Micros(seconds * Micros::SECOND), [0; 32])
    }

    fn item(customer: CustomerId, position: i64) -> Item<i64> {
        Item { position, customer, at: Micros(0), body: position }
    }

    fn offer(customer: CustomerId) -> impl FnMut(&Lanes<i64>, &i64) -> Offer<i64> {
        move |_, position| Offer::Take(item(customer, *position))
    }

    fn failed() -> Outcome {
        Outcome::Failed { reason: String::new(), retry_after_s: None, cause: Cause::Temporary }
    }

    #[test]
    fn it_reads_pages_until_it_has_reached_the_window_and_leaves_nothing_out() {
        let (mut course, customer) = course();
        let mut window = Window::new(2);
        window.begin(6);
        window.push(vec![7, 8], 8);
        let after = |seen| window.after(seen);
        assert_eq!(course.take_in(after, offer(customer)), Some((0, 8)));
        assert_eq!(course.take_in(after, offer(customer)), None, "one page at a time");
        course.paged(None);
        assert_eq!(course.take_in(after, offer(customer)), Some((0, 8)), "again, for it could not be read");
        course.paged(Some((vec![1, 2, 3, 4], 6)));
        let mut came = Vec::new();
        for _ in 0..6 {
            assert_eq!(course.take_in(after, offer(customer)), None);
            let actions = course.start(true, Micros(0));
            let [Action::Send { item, .. }] = &actions[..] else { panic!("{actions:?}") };
            came.push(item.position);
            course.lanes.sent(customer, Outcome::Delivered, &mut ctx(0));
        }
        assert_eq!(came, [1, 2, 3, 4, 7, 8]);
    }

    #[test]
    fn an_entry_that_must_wait_keeps_its_place() {
        let (mut course, customer) = course();
        let mut window = Window::new(10);
        window.begin(0);
        window.push(vec![1, 2, 3], 3);
        let mut may_go = false;
        let mut second_waits = |may_go: bool| {
            course.take_in(
                |seen| window.after(seen),
                |_, position| match position {
                    2 if !may_go => Offer::Wait,
                    3 => Offer::Skip,
                    _ => Offer::Take(item(customer, *position)),
                },
            );
            (course.lanes.seen(), course.lanes.buffered(), course.taken_in())
        };
        assert_eq!(second_waits(may_go), (1, 1, 2));
        may_go = true;
        assert_eq!(second_waits(may_go), (3, 2, 0));
    }

    #[test]
    fn nothing_is_started_and_nobody_is_woken_for_it_while_the_lease_is_too_short() {
        let (mut course, customer) = course();
        course.lanes.offer(item(customer, 1));
        assert_eq!(course.start(true, Micros(0)).len(), 1);
        course.lanes.sent(customer, failed(), &mut ctx(0));
        let due = course.start_at().unwrap();
        assert!(course.start(false, due).is_empty() && course.awaits_lease());
        assert_eq!(course.start_at(), None, "it is due all the time");
        assert_eq!(course.start(true, due).len(), 1);
    }

    #[test]
    fn one_write_at_a_time_and_a_last_one_when_everything_is_answered() {
        let (mut course, customer) = course();
        for position in 1..=3 {
            course.lanes.offer(item(customer, position));
        }
        assert!(course.save(false, MILLI).is_none(), "nothing is done");
        course.start(true, Micros(0));
        course.lanes.sent(customer, Outcome::Delivered, &mut ctx(0));
        assert!(course.save(false, MILLI).is_none(), "not yet");
        assert_eq!(course.save_at(), Some(11 * MILLI));
        assert!(course.save(false, 11 * MILLI).is_some());
        course.start(true, Micros(0));
        course.stop(100 * MILLI);
        course.lanes.sent(customer, Outcome::Delivered, &mut ctx(0));
        assert!(course.save(false, 30 * MILLI).is_none() && !course.is_over(), "the first is under way");
        course.saved();
        let last = course.save(false, 30 * MILLI).unwrap();
        let of_customer = last.cursors.iter().find(|(_, set)| set.has(partition(customer)));
        assert_eq!(of_customer.map(|(position, _)| *position), Some(2));
        assert!(!course.is_over());
        course.saved();
        assert!(course.is_over());
    }

    #[test]
    fn what_is_not_answered_in_time_is_waited_for_no_longer() {
        let (mut course, customer) = course();
        course.lanes.offer(item(customer, 1));
        course.start(true, Micros(0));
        course.stop(100 * MILLI);
        assert!(course.save(false, 99 * MILLI).is_none() && !course.is_over());
        assert_eq!(course.save_at(), Some(100 * MILLI));
        if course.save(false, 100 * MILLI).is_some() {
            course.saved();
        }
        assert!(course.is_over());
    }
}
