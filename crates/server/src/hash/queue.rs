//! The waiting room of the pool: one bounded queue per lane, served by weight.
//!
//! Start-time fair queueing: each lane has a tag that moves on by the cost of what it was served, divided by its
//! weight, and the lane with the lowest tag is served next. A lane that had nothing to do starts level with the
//! others: it can neither save up its share nor be starved by somebody else's flood. The bound is per lane for the
//! same reason: a flood of sign-ins must not take the places of the changes.

use std::collections::VecDeque;

/// Who waits: each lane has its own places and its own share of the workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// A person at a sign-in form, or a program that asks for a customer's tokens. Weight 4.
    SignIn,
    /// A password is set: create, change, reset. Weight 4.
    Change,
    /// Many at once and nobody watches. Weight 1.
    Import,
}

impl Lane {
    fn weight(self) -> u64 {
        match self {
            Self::SignIn | Self::Change => 4,
            Self::Import => 1,
        }
    }
}

/// A place in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    lane: Lane,
    number: u64,
}

struct Entry<T> {
    number: u64,
    hashes: u32,
    job: T,
}

struct Waiting<T> {
    lane: Lane,
    /// In the order of their numbers.
    entries: VecDeque<Entry<T>>,
    /// Sum over the entries.
    hashes: u64,
    /// The lane's tag: what it was served, divided by its weight.
    served: u64,
}

/// What comes out of the queue.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Popped<T> {
    /// To be done now. The lane is charged for it.
    Due(T),
    /// Its time is over. It cost nothing, so the lane is not charged.
    Expired(T),
}

/// A bounded queue of jobs that cost a number of hashes each.
pub(super) struct FairQueue<T> {
    lanes: [Waiting<T>; 3],
    lane_max: usize,
    /// The tag of the lane that was served last: where a lane starts that has waited for work.
    now: u64,
    next_number: u64,
}

/// A hash moves the tag of a lane by this much divided by its weight.
const TAG_PER_HASH: u64 = 4;

impl<T> FairQueue<T> {
    /// A queue with `lane_max` places in each lane.
    pub(super) fn new(lane_max: usize) -> Self {
        let lanes = [Lane::SignIn, Lane::Change, Lane::Import];
        let lanes = lanes.map(|lane| Waiting { lane, entries: VecDeque::new(), hashes: 0, served: 0 });
        Self { lanes, lane_max, now: 0, next_number: 0 }
    }

    /// Jobs that wait.
    pub(super) fn len(&self) -> usize {
        self.lanes.iter().map(|waiting| waiting.entries.len()).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the lane has no place left.
    pub(super) fn is_full(&self, lane: Lane) -> bool {
        self.waiting(lane).entries.len() >= self.lane_max
    }

    /// Hashes that will be computed before a job that joins the lane now: all that wait, or, if that is less, the
    /// lane's own with what the other lanes' weights add to them.
    pub(super) fn hashes_ahead(&self, lane: Lane) -> u64 {
        let everybody = self.lanes.iter().map(|waiting| waiting.hashes).sum();
        let busy = self.lanes.iter().filter(|waiting| waiting.lane == lane || !waiting.entries.is_empty());
        let weights: u64 = busy.map(|waiting| waiting.lane.weight()).sum();
        let by_share = (self.waiting(lane).hashes * weights).div_ceil(lane.weight());
        by_share.min(everybody)
    }

    /// Lets a job of `hashes` hashes wait. The caller has asked [`FairQueue::is_full`].
    pub(super) fn push(&mut self, lane: Lane, hashes: u32, job: T) -> Ticket {
        let number = self.next_number;
        self.next_number += 1;
        let now = self.now;
        let waiting = self.waiting_mut(lane);
        if waiting.entries.is_empty() {
            waiting.served = waiting.served.max(now);
        }
        waiting.hashes += u64::from(hashes);
        waiting.entries.push_back(Entry { number, hashes, job });
        Ticket { lane, number }
    }

    /// The next job, by weight between the lanes and by age within one.
    pub(super) fn pop(&mut self, is_expired: impl FnOnce(&T) -> bool) -> Option<Popped<T>> {
        let busy = self.lanes.iter_mut().filter(|waiting| !waiting.entries.is_empty());
        let waiting = busy.min_by_key(|waiting| waiting.served)?;
        let Entry { hashes, job, .. } = waiting.entries.pop_front()?;
        waiting.hashes -= u64::from(hashes);
        if is_expired(&job) {
            return Some(Popped::Expired(job));
        }
        self.now = waiting.served;
        waiting.served += u64::from(hashes) * TAG_PER_HASH / waiting.lane.weight();
        Some(Popped::Due(job))
    }

    /// Takes a job back that has not been popped.
    pub(super) fn cancel(&mut self, ticket: Ticket) -> Option<T> {
        let waiting = self.waiting_mut(ticket.lane);
        let place = waiting.entries.binary_search_by_key(&ticket.number, |entry| entry.number).ok()?;
        let entry = waiting.entries.remove(place)?;
        waiting.hashes -= u64::from(entry.hashes);
        Some(entry.job)
    }

    /// Everything that waits.
    #[cfg(test)]
    pub(super) fn jobs_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.lanes.iter_mut().flat_map(|waiting| &mut waiting.entries).map(|entry| &mut entry.job)
    }

    fn waiting(&self, lane: Lane) -> &Waiting<T> {
        let [sign_in, change, import] = &self.lanes;
        match lane {
            Lane::SignIn => sign_in,
            Lane::Change => change,
            Lane::Import => import,
        }
    }

    fn waiting_mut(&mut self, lane: Lane) -> &mut Waiting<T> {
        let [sign_in, change, import] = &mut self.lanes;
        match lane {
            Lane::SignIn => sign_in,
            Lane::Change => change,
            Lane::Import => import,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next<T>(queue: &mut FairQueue<T>) -> T {
        match queue.pop(|_| false) {
            Some(Popped::Due(job)) => job,
            _ => panic!("a job is due"),
        }
    }

    #[test]
    fn each_lane_gets_its_share_whatever_the_others_hold() {
        let mut queue = FairQueue::new(1000);
        for _ in 0..1000 {
            queue.push(Lane::Import, 1, Lane::Import);
            queue.push(Lane::SignIn, 1, Lane::SignIn);
        }
        for _ in 0..100 {
            queue.push(Lane::Change, 2, Lane::Change);
        }
        let served: Vec<Lane> = (0..140).map(|_| next(&mut queue)).collect();
        let count = |lane| served.iter().filter(|served| **served == lane).count();
        // 180 hashes: 80 for sign-ins, 80 for changes of two each, 20 for the import.
        assert_eq!((count(Lane::SignIn), count(Lane::Change), count(Lane::Import)), (80, 40, 20));
    }

    #[test]
    fn a_lane_that_was_idle_is_served_soon_but_has_saved_nothing_up() {
        let mut queue = FairQueue::new(1000);
        for _ in 0..1000 {
            queue.push(Lane::SignIn, 1, Lane::SignIn);
        }
        for _ in 0..500 {
            next(&mut queue);
        }
        for _ in 0..100 {
            queue.push(Lane::Change, 1, Lane::Change);
        }
        let served: Vec<Lane> = (0..20).map(|_| next(&mut queue)).collect();
        assert!(served[..2].contains(&Lane::Change));
        assert_eq!(served.iter().filter(|lane| **lane == Lane::Change).count(), 10);
    }

    #[test]
    fn places_are_per_lane_and_come_back() {
        let mut queue = FairQueue::new(2);
        let first = queue.push(Lane::SignIn, 1, 'a');
        queue.push(Lane::SignIn, 1, 'b');
        assert!(queue.is_full(Lane::SignIn));
        assert!(!queue.is_full(Lane::Change));
        assert_eq!(queue.cancel(first), Some('a'));
        assert_eq!(queue.cancel(first), None, "only once");
        assert!(!queue.is_full(Lane::SignIn));
        assert_eq!(next(&mut queue), 'b');
        assert!(queue.is_empty());
        assert_eq!(queue.hashes_ahead(Lane::SignIn), 0);
    }

    #[test]
    fn the_wait_is_that_of_the_lane_not_of_the_flood() {
        let mut queue = FairQueue::new(1000);
        for _ in 0..500 {
            queue.push(Lane::Import, 1, ());
        }
        assert_eq!(queue.hashes_ahead(Lane::Import), 500);
        assert_eq!(queue.hashes_ahead(Lane::SignIn), 0);
        for _ in 0..8 {
            queue.push(Lane::SignIn, 1, ());
        }
        assert_eq!(queue.hashes_ahead(Lane::SignIn), 10, "8 of its own and 2 of the import");
        assert_eq!(queue.hashes_ahead(Lane::Import), 508);
    }

    #[test]
    fn an_expired_job_is_not_charged() {
        let mut queue = FairQueue::new(10);
        for job in 0..4 {
            queue.push(Lane::Import, 1, job);
        }
        queue.push(Lane::SignIn, 1, 9);
        assert_eq!(queue.pop(|_| false), Some(Popped::Due(9)));
        assert_eq!(queue.pop(|_| true), Some(Popped::Expired(0)));
        assert_eq!(queue.pop(|_| true), Some(Popped::Expired(1)));
        queue.push(Lane::SignIn, 1, 8);
        assert_eq!(queue.pop(|_| false), Some(Popped::Due(2)), "the import still has the lowest tag");
    }
}
