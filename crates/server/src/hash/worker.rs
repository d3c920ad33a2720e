//! The threads that hash, and the state that they share with those who wait.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};

use super::argon2id::{Argon2id, Cost, HashFault, Implementation};
use super::queue::{FairQueue, Lane, Popped, Ticket};
use super::work::{Done, Work};
use super::{Counters, OverloadReason, Overloaded};

/// A job in the queue.
struct Job {
    work: Work,
    deadline: Instant,
    answer: oneshot::Sender<Result<Done, Overloaded>>,
}

/// A job whose answer is awaited. Dropping it takes the job out of the queue, if it is still there.
pub(super) struct Pending<'a> {
    shared: &'a Shared,
    ticket: Ticket,
    answer: oneshot::Receiver<Result<Done, Overloaded>>,
}

impl Pending<'_> {
    /// Waits for the answer.
    pub(super) async fn done(mut self) -> Result<Done, Overloaded> {
        // The worker lets go of the job without an answer only if it panicked.
        (&mut self.answer).await.unwrap_or(Err(Overloaded::FAILED))
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.shared.cancel(self.ticket);
    }
}

/// What the pool and its workers share.
pub(super) struct Shared {
    pub(super) cost: Cost,
    implementation: Implementation,
    deadline: Duration,
    nice: i32,
    state: Mutex<State>,
    /// There is a job to take, or none will come any more.
    work: Condvar,
    /// Nothing waits and nobody hashes; or a worker has ended.
    quiet: Notify,
}

struct State {
    queue: FairQueue<Job>,
    workers: usize,
    busy: usize,
    /// No job is taken in any more. What waits is still done.
    closed: bool,
    /// Exponentially smoothed time of one hash. Zero: nothing was measured yet.
    mean_cost_ns: u64,
    counters: Counters,
}

impl State {
    /// Says no before anything waits: at the door, not after a time-out.
    fn admit(&mut self, lane: Lane, deadline: Duration) -> Result<(), Overloaded> {
        let workers = u64::try_from(self.workers.max(1)).unwrap_or(u64::MAX);
        let wait = Duration::from_nanos(self.queue.hashes_ahead(lane).saturating_mul(self.mean_cost_ns) / workers);
        let reason = if self.closed {
            OverloadReason::Stopping
        } else if self.queue.is_full(lane) {
            OverloadReason::QueueFull
        } else if wait > deadline / 4 * 3 {
            // The speed of a shared machine drifts by a third: with this reserve, hardly anybody who was let in
            // expires.
            OverloadReason::WaitTooLong
        } else {
            return Ok(());
        };
        self.counters.refused += 1;
        Err(Overloaded::after(reason, wait))
    }

    fn push<'a>(&mut self, shared: &'a Shared, lane: Lane, work: Work) -> Pending<'a> {
        let (sender, answer) = oneshot::channel();
        let hashes = work.hashes();
        let job = Job { work, deadline: Instant::now() + shared.deadline, answer: sender };
        Pending { shared, ticket: self.queue.push(lane, hashes, job), answer }
    }

    fn is_quiet(&self) -> bool {
        self.busy == 0 && self.queue.is_empty()
    }
}

/// How the two hashes of a change are done.
pub(super) enum Admitted<'a> {
    /// One job: one after the other.
    InTurn(Pending<'a>),
    /// Two jobs on two workers that had nothing to do.
    AtOnce { verify: Pending<'a>, hash: Pending<'a> },
}

impl Shared {
    pub(super) fn new(implementation: Implementation, options: &super::HashOptions) -> Self {
        let state = State {
            queue: FairQueue::new(options.queue_max),
            workers: 0,
            busy: 0,
            closed: false,
            mean_cost_ns: 0,
            counters: Counters::default(),
        };
        Self {
            cost: options.cost(),
            implementation,
            deadline: options.deadline,
            nice: options.nice,
            state: Mutex::new(state),
            work: Condvar::new(),
            quiet: Notify::new(),
        }
    }

    /// Whether a job would be taken in now.
    pub(super) fn admit(&self, lane: Lane) -> Result<(), Overloaded> {
        self.lock().admit(lane, self.deadline)
    }

    /// Takes one job in, or refuses it.
    pub(super) fn submit(&self, lane: Lane, work: Work) -> Result<Pending<'_>, Overloaded> {
        let mut state = self.lock();
        state.admit(lane, self.deadline)?;
        let pending = state.push(self, lane, work);
        drop(state);
        self.work.notify_one();
        Ok(pending)
    }

    /// Takes both hashes of a change in, or refuses it.
    ///
    /// On an idle machine two workers halve the time to the answer. As soon as anybody waits, a split would only let
    /// this change overtake others, and a wrong current password would cost two hashes instead of one.
    pub(super) fn submit_change(&self, work: Work) -> Result<Admitted<'_>, Overloaded> {
        let mut state = self.lock();
        state.admit(Lane::Change, self.deadline)?;
        let split = state.queue.is_empty() && state.workers.saturating_sub(state.busy) >= 2;
        let admitted = if split {
            state.counters.changes_at_once += 1;
            let (verify, hash) = work.split();
            Admitted::AtOnce {
                verify: state.push(self, Lane::Change, verify),
                hash: state.push(self, Lane::Change, hash),
            }
        } else {
            Admitted::InTurn(state.push(self, Lane::Change, work))
        };
        drop(state);
        self.work.notify_all();
        Ok(admitted)
    }

    pub(super) fn counters(&self) -> Counters {
        let state = self.lock();
        Counters {
            queued: state.queue.len(),
            workers: state.workers,
            busy_workers: state.busy,
            mean_cost_us: state.mean_cost_ns / 1000,
            ..state.counters
        }
    }

    /// Resolves when nothing waits and nobody hashes.
    pub(super) async fn idle(&self) {
        self.until(State::is_quiet).await;
    }

    /// No new jobs; the workers end when they have done what waits.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.work.notify_all();
    }

    /// Resolves when the last worker has ended.
    pub(super) async fn ended(&self) {
        self.until(|state| state.workers == 0).await;
    }

    async fn until(&self, reached: impl Fn(&State) -> bool) {
        loop {
            // Registered before the look, so that what happens in between wakes us.
            let mut changed = std::pin::pin!(self.quiet.notified());
            changed.as_mut().enable();
            if reached(&self.lock()) {
                return;
            }
            changed.await;
        }
    }

    fn cancel(&self, ticket: Ticket) {
        let mut state = self.lock();
        let Some(job) = state.queue.cancel(ticket) else { return };
        state.counters.cancelled += 1;
        drop(state);
        drop(job); // wipes the passwords, outside the lock
        self.wake_if_quiet();
    }

    fn wake_if_quiet(&self) {
        if self.lock().is_quiet() {
            self.quiet.notify_waiters();
        }
    }

    /// The next job, once there is one. `None`: the pool is closed and everything is done.
    fn take(&self) -> Option<Popped<Job>> {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            if let Some(popped) = state.queue.pop(|job| job.deadline <= now) {
                match popped {
                    Popped::Due(_) => state.busy += 1,
                    Popped::Expired(_) => state.counters.expired += 1,
                }
                return Some(popped);
            }
            if state.closed {
                return None;
            }
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Notes what a job came to. Before its answer is sent, so that who reads the answer finds the worker free.
    fn note(&self, outcome: Option<&Done>, took: Duration) {
        let mut state = self.lock();
        state.busy = state.busy.saturating_sub(1);
        match outcome {
            None => state.counters.failed += 1,
            Some(done) => {
                let counters = &mut state.counters;
                counters.dummy += u64::from(done.dummy);
                counters.verified += u64::from(done.verified.is_some() && !done.dummy);
                counters.hashed += u64::from(done.hash.is_some());
                state.measure(done.hashes, took);
            }
        }
        drop(state);
        self.wake_if_quiet();
    }

    fn note_arena(&self) {
        self.lock().counters.arenas += 1;
    }

    /// A thread that panicked while it held the lock left nothing half-done: every change of the state is a few
    /// additions.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
impl Shared {
    /// As if this had been measured.
    pub(super) fn assume_mean_cost(&self, cost: Duration) {
        self.lock().mean_cost_ns = u64::try_from(cost.as_nanos()).unwrap();
    }

    /// As if everything that waits had waited too long.
    pub(super) fn expire_waiting(&self) {
        self.lock().queue.jobs_mut().for_each(|job| job.deadline = Instant::now());
    }

    /// A thread panics while it holds the lock.
    pub(super) fn poison(&self) {
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _state = self.state.lock();
            panic!("injected by a test");
        }));
        assert!(panicked.is_err() && self.state.is_poisoned());
    }
}

impl State {
    /// Wall time, not CPU time: what is wanted is how long others will wait, on a machine that has more to do than
    /// this.
    fn measure(&mut self, hashes: u32, took: Duration) {
        let Some(each) = took.checked_div(hashes) else { return };
        let each = u64::try_from(each.as_nanos()).unwrap_or(u64::MAX);
        self.mean_cost_ns = match self.mean_cost_ns {
            0 => each,
            mean => (mean.saturating_mul(15).saturating_add(each)) / 16,
        };
    }
}

/// A worker that is counted among the living until its thread ends, however it ends.
pub(super) struct Worker {
    shared: Arc<Shared>,
    argon2id: Argon2id,
}

impl Worker {
    /// Allocates the arena and hashes once, which makes its pages resident and measures the cost.
    pub(super) fn new(shared: Arc<Shared>) -> Result<Self, HashFault> {
        lower_priority(shared.nice);
        let argon2id = Argon2id::new(shared.implementation, shared.cost)?;
        shared.note_arena();
        shared.lock().workers += 1;
        let mut worker = Self { shared, argon2id };
        let begun = Instant::now();
        worker.argon2id.tag(worker.shared.cost, b"first", &[0; 16], &mut [0; 32])?;
        worker.shared.lock().measure(1, begun.elapsed());
        Ok(worker)
    }

    /// Serves until the pool is closed.
    pub(super) fn serve(mut self) {
        while let Some(popped) = self.shared.take() {
            match popped {
                Popped::Due(job) => self.work(job),
                Popped::Expired(job) => {
                    // The other end may be gone: then nobody wants to know.
                    let _ = job.answer.send(Err(Overloaded::after(OverloadReason::Expired, Duration::ZERO)));
                    self.shared.wake_if_quiet();
                }
            }
        }
    }

    fn work(&mut self, Job { work, answer, .. }: Job) {
        let begun = Instant::now();
        let cost = self.shared.cost;
        let outcome = catch_unwind(AssertUnwindSafe(|| work.run(&mut self.argon2id, cost)));
        let took = begun.elapsed();
        if outcome.is_err() {
            tracing::error!("a hash panicked: its job failed, the worker goes on with a new arena");
            self.replace_arena();
        }
        let outcome = outcome.ok().and_then(|outcome| {
            outcome.inspect_err(|fault| tracing::error!(%fault, "a hash could not be computed")).ok()
        });
        self.shared.note(outcome.as_ref(), took);
        let _ = answer.send(outcome.ok_or(Overloaded::FAILED));
    }

    /// Nothing is known about an arena that a panic went through. If there is no memory for another one, the old one
    /// stays: it is valid memory, and every hash writes before it reads.
    fn replace_arena(&mut self) {
        match Argon2id::new(self.shared.implementation, self.shared.cost) {
            Ok(argon2id) => {
                self.argon2id = argon2id;
                self.shared.note_arena();
            }
            Err(fault) => tracing::error!(%fault, "no new arena"),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.lock().workers -= 1;
        self.shared.quiet.notify_waiters();
    }
}

/// Puts the calling thread behind everything else on the machine. Refused or unknown: it hashes at normal weight.
pub(super) fn lower_priority(nice: i32) {
    static TOLD: Once = Once::new();
    // Only Linux takes a nice value for one thread; elsewhere the whole process would step back.
    #[cfg(target_os = "linux")]
    let outcome = rustix::process::setpriority_process(Some(rustix::thread::gettid()), nice).map_err(|e| e.to_string());
    #[cfg(not(target_os = "linux"))]
    let outcome: Result<(), String> = Err(format!("no nice value {nice} for a single thread on this system"));
    if let Err(error) = outcome {
        TOLD.call_once(|| tracing::warn!(error, nice, "hashing threads keep their normal priority"));
    }
}
