//! A bounded queue between async callers and worker threads.
//!
//! Pushing never waits: a full queue refuses at once, which is what keeps memory and waiting time bounded. The
//! standard channels fit badly: one has a single consumer, the other cannot hand over a whole batch, and neither can
//! be closed from outside while what it holds is still worked off.

use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a batch waits for more jobs, at most: less than a disk takes to flush.
const PATIENCE: Duration = Duration::from_micros(200);

/// Why a job was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// As many jobs wait as may wait.
    Full,
    /// The queue was closed.
    Closed,
}

/// What [`Queue::take_one`] found.
pub(crate) enum Taken<J> {
    Job(J),
    /// Nothing came within the time limit.
    Nothing,
    /// Closed, and all that was in it has been taken.
    Closed,
}

pub(crate) struct Queue<J> {
    state: Mutex<State<J>>,
    /// A job came, or the queue was closed.
    wake: Condvar,
    /// The queue was closed: for those who must not use up a wake-up that is meant for a taker.
    closing: Condvar,
    waiting_max: usize,
}

struct State<J> {
    jobs: VecDeque<J>,
    /// Threads in `wake`: a wake-up is a system call, so none is made when nobody sleeps.
    sleepers: usize,
    /// Threads that take jobs.
    takers: usize,
    /// How many jobs are worth waking anybody for.
    wanted: usize,
    closed: bool,
}

impl<J> Queue<J> {
    pub(crate) fn new(waiting_max: usize) -> Self {
        let state = State { jobs: VecDeque::new(), sleepers: 0, takers: 0, wanted: 1, closed: false };
        Self { state: Mutex::new(state), wake: Condvar::new(), closing: Condvar::new(), waiting_max }
    }

    /// Says that a thread takes jobs for as long as it keeps the answer.
    pub(crate) fn taker(self: &Arc<Self>) -> Taker<J> {
        self.lock().takers += 1;
        Taker(Arc::clone(self))
    }

    /// Appends a job, or says at once why not.
    pub(crate) fn push(&self, job: J) -> Result<(), Refused> {
        let mut state = self.lock();
        if state.closed {
            return Err(Refused::Closed);
        }
        if state.jobs.len() >= self.waiting_max {
            return Err(Refused::Full);
        }
        state.jobs.push_back(job);
        let wake = state.sleepers > 0 && state.jobs.len() >= state.wanted;
        drop(state);
        if wake {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Waits for at least one job and moves up to `max` of them, in order, into `batch`. False: closed and empty.
    ///
    /// Once there is one, it waits up to [`PATIENCE`] for `hoped` of them.
    pub(crate) fn take_batch(&self, max: usize, hoped: usize, batch: &mut Vec<J>) -> bool {
        let mut state = self.lock();
        while state.jobs.is_empty() && !state.closed {
            state = self.sleep(state, None);
        }
        let until = Instant::now() + PATIENCE;
        while state.jobs.len() < hoped.min(max) && !state.closed {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state.wanted = hoped;
            state = self.sleep(state, Some(left));
            state.wanted = 1;
        }
        let count = state.jobs.len().min(max);
        batch.extend(state.jobs.drain(..count));
        count > 0
    }

    /// Waits for one job, at most as long as `limit`.
    pub(crate) fn take_one(&self, limit: Option<Duration>) -> Taken<J> {
        let until = limit.map(|limit| Instant::now() + limit);
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                return Taken::Job(job);
            }
            if state.closed {
                return Taken::Closed;
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Taken::Nothing;
            }
            state = self.sleep(state, left);
        }
    }

    /// Leaves the jobs to others for `pause`; ends early when the queue closes.
    pub(crate) fn stand_aside(&self, pause: Duration) {
        let state = self.lock();
        drop(self.closing.wait_timeout_while(state, pause, |state| !state.closed));
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Refuses new jobs. Those that wait can still be taken.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_all();
        self.closing.notify_all();
    }

    fn sleep<'a>(&self, mut state: MutexGuard<'a, State<J>>, limit: Option<Duration>) -> MutexGuard<'a, State<J>> {
        state.sleepers += 1;
        let mut state = match limit {
            None => self.wake.wait(state).unwrap_or_else(PoisonError::into_inner),
            Some(limit) => self.wake.wait_timeout(state, limit).unwrap_or_else(PoisonError::into_inner).0,
        };
        state.sleepers -= 1;
        state
    }

    fn lock(&self) -> MutexGuard<'_, State<J>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread that takes jobs. When the last one ends, be it by a panic, nobody would answer what still waits: it is
/// dropped, which its callers notice, and nothing more is taken.
pub(crate) struct Taker<J>(Arc<Queue<J>>);

impl<J> Deref for Taker<J> {
    type Target = Queue<J>;

    fn deref(&self) -> &Queue<J> {
        &self.0
    }
}

impl<J> Drop for Taker<J> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.takers -= 1;
        if state.takers == 0 {
            state.closed = true;
            let unanswered = std::mem::take(&mut state.jobs);
            drop(state);
            drop(unanswered); // foreign destructors, so not under the lock
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_when_full_and_when_closed_and_gives_in_order() {
        let queue = Queue::new(2);
        assert_eq!((queue.push(1), queue.push(2), queue.push(3)), (Ok(()), Ok(()), Err(Refused::Full)));
        queue.close();
        assert_eq!(queue.push(4), Err(Refused::Closed));
        let mut batch = Vec::new();
        assert!(queue.take_batch(5, 1, &mut batch));
        assert!(!queue.take_batch(5, 1, &mut batch));
        assert_eq!(batch, [1, 2]);
    }

    #[test]
    fn what_waits_is_dropped_when_the_last_taker_ends() {
        let queue = Arc::new(Queue::new(2));
        let (job, dropped) = std::sync::mpsc::channel::<()>();
        let takers = [queue.taker(), queue.taker()];
        queue.push(job.clone()).unwrap();
        let [one, other] = takers;
        drop(one);
        queue.push(job).unwrap();
        let died = std::thread::spawn(move || {
            let _other = other;
            panic!("on purpose");
        });
        assert!(died.join().is_err());
        assert_eq!(dropped.recv(), Err(std::sync::mpsc::RecvError));
        assert!(queue.is_closed());
    }

    #[test]
    fn a_batch_does_not_wait_for_jobs_that_do_not_come() {
        let queue = Queue::new(9);
        queue.push(1).unwrap();
        let mut batch = Vec::new();
        assert!(queue.take_batch(5, 4, &mut batch));
        assert_eq!(batch, [1]);
    }
}
