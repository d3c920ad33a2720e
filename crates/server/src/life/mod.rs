//! The life of the process: background work, and its end.
//!
//! All background work is a [`Task`], started by [`Life::spawn`] and supervised: an error or a panic is logged and
//! handled by the task's manners. [`Life::run`] waits for a signal, or for a task that takes the process down, and then
//! goes through the [`Phase`]s: not ready, stop accepting and finish requests, stop lanes between messages, close the
//! store. Requests and lanes share one time limit; what is not done by then is dropped, which is safe: nothing was
//! answered before its COMMIT, and what was not acknowledged is sent again. A second signal ends `run` at once.

mod readiness;
mod signals;
mod task;

use std::error::Error;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};

pub use readiness::Readiness;
pub use signals::{Signal, Signals};
pub use task::{Manners, OnError, OnStop, Task};

use crate::telemetry::chain;

/// How far the shutdown is. In order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// No shutdown.
    Running,
    /// `/health/ready` says no; requests are still taken.
    Unready,
    /// Nothing new is accepted; requests are finished.
    Requests,
    /// Lanes stop between two messages.
    Lanes,
    /// The store is closed.
    Closed,
}

/// A task's view of the shutdown. Cheap to clone.
#[derive(Clone)]
pub struct Stop {
    phase: watch::Receiver<Phase>,
    at: Phase,
}

impl Stop {
    /// Whether the task should come to its end.
    pub fn is_requested(&self) -> bool {
        *self.phase.borrow() >= self.at
    }

    /// Waits until the task should come to its end. Cancel-safe.
    pub async fn requested(&self) {
        let mut phase = self.phase.clone();
        // An error: `Life` is gone, which is a request too.
        let _ended = phase.wait_for(|phase| *phase >= self.at).await;
    }
}

/// Time limits of the shutdown.
#[derive(Clone, Copy, Debug)]
pub struct Grace {
    /// How long the server says that it is not ready before it stops accepting.
    pub delay: Duration,
    /// How long requests and lanes may then take together.
    pub work: Duration,
    /// How long closing the store may take.
    pub close: Duration,
}

/// How the process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// On request, with everything finished.
    Orderly,
    /// On request, but not everything was finished in time.
    Cut,
    /// Because a task failed that the process cannot do without.
    Failed(Task),
    /// By a second signal: nothing was waited for.
    Hard(Signal),
}

impl Ending {
    /// The process's exit code.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Orderly => 0,
            Self::Cut | Self::Failed(_) => 1,
            Self::Hard(signal) => signal.exit_code(),
        }
    }
}

/// What a task's work returns.
pub type TaskResult = Result<(), Box<dyn Error + Send + Sync>>;

/// What every phase of the shutdown gets, also when the one before has used up the time.
const PHASE_MIN: Duration = Duration::from_secs(1);
/// First wait before a failed task is started again; doubled each time.
const RESTART_FIRST: Duration = Duration::from_millis(100);
/// Longest wait before a failed task is started again.
const RESTART_MAX: Duration = Duration::from_secs(30);
/// A task that has run this long has recovered: its next wait is the first again.
const RECOVERED_AFTER: Duration = Duration::from_mins(1);

/// The process's background work and its end. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Life(Arc<Inner>);

struct Inner {
    phase: watch::Sender<Phase>,
    /// The first task whose failure takes the process down.
    failed: watch::Sender<Option<Task>>,
    asked: watch::Sender<bool>,
    tasks: Mutex<Vec<(Task, JoinHandle<()>)>>,
    readiness: Readiness,
}

impl Life {
    /// A life with no work yet.
    pub fn new(readiness: Readiness) -> Self {
        Self(Arc::new(Inner {
            phase: watch::Sender::new(Phase::Running),
            failed: watch::Sender::new(None),
            asked: watch::Sender::new(false),
            tasks: Mutex::default(),
            readiness,
        }))
    }

    /// Whether the server wants requests.
    pub fn readiness(&self) -> &Readiness {
        &self.0.readiness
    }

    /// Asks for an orderly shutdown from inside: a command that has done its work.
    pub fn end(&self) {
        self.0.asked.send_replace(true);
    }

    /// Starts `work`, and starts it again after an error if the task's manners say so. Returning `Ok` is its end.
    #[expect(clippy::disallowed_methods, reason = "the one place that starts background work")]
    pub fn spawn<W, F>(&self, task: Task, work: W)
    where
        W: FnMut(Stop) -> F + Send + 'static,
        F: Future<Output = TaskResult> + Send + 'static,
    {
        let stop = Stop { phase: self.0.phase.subscribe(), at: task.manners().stops_at };
        let handle = tokio::spawn(supervise(Arc::clone(&self.0), task, stop, work));
        self.tasks().push((task, handle));
    }

    /// Starts work that owns what cannot be made twice, such as a bound socket. It is never started again.
    pub fn spawn_once<W, F>(&self, task: Task, work: W)
    where
        W: FnOnce(Stop) -> F + Send + 'static,
        F: Future<Output = TaskResult> + Send + 'static,
    {
        let mut work = Some(work);
        self.spawn(task, move |stop| {
            let work = work.take();
            async move {
                match work {
                    Some(work) => work(stop).await,
                    None => Ok(()),
                }
            }
        });
    }

    /// Lives until a signal, a failed task or [`Life::end`], then shuts down in order; `close` closes the store.
    ///
    /// After [`Ending::Hard`], threads and tasks may still run: return from `main` without waiting for them.
    pub async fn run(&self, mut signals: Signals, grace: Grace, close: impl Future<Output = ()>) -> Ending {
        let (mut failed, mut asked) = (self.0.failed.subscribe(), self.0.asked.subscribe());
        tokio::select! {
            signal = signals.next() => tracing::info!(?signal, "shutting down on {signal:?}; a second signal ends at once"),
            _failed = failed.wait_for(Option::is_some) => tracing::error!("shutting down because a task failed"),
            _asked = asked.wait_for(|asked| *asked) => tracing::debug!("shutting down, the work is done"),
        }
        tokio::select! {
            biased;
            signal = signals.next() => {
                tracing::warn!(?signal, "ended by a second signal, without waiting");
                Ending::Hard(signal)
            }
            finished = self.shut_down(grace, close) => {
                let failed = *self.0.failed.borrow();
                match (failed, finished) {
                    (Some(task), _) => Ending::Failed(task),
                    (None, true) => Ending::Orderly,
                    (None, false) => Ending::Cut,
                }
            }
        }
    }

    /// Goes through the phases. Says whether everything was finished in time.
    async fn shut_down(&self, grace: Grace, close: impl Future<Output = ()>) -> bool {
        self.0.readiness.fail("shutting_down", "the server is shutting down");
        self.0.phase.send_replace(Phase::Unready);
        sleep(grace.delay).await;
        let deadline = Instant::now() + grace.work;
        let mut finished = true;
        for phase in [Phase::Requests, Phase::Lanes] {
            self.0.phase.send_replace(phase);
            finished &= self.finish(phase, deadline.max(Instant::now() + PHASE_MIN)).await;
        }
        self.0.phase.send_replace(Phase::Closed);
        let deadline = Instant::now() + grace.close;
        finished &= self.finish(Phase::Closed, deadline).await;
        if timeout_at(deadline, close).await.is_err() {
            tracing::warn!("the store was not closed in time");
            finished = false;
        }
        tracing::info!("shut down");
        finished
    }

    /// Waits for all tasks that stop at `phase` or earlier; drops those that are late.
    async fn finish(&self, phase: Phase, deadline: Instant) -> bool {
        let due: Vec<_> = self.tasks().extract_if(.., |(task, _)| task.manners().stops_at <= phase).collect();
        let mut finished = true;
        for (task, mut handle) in due {
            if timeout_at(deadline, &mut handle).await.is_err() {
                tracing::warn!(?task, "{task:?} did not finish in time and is dropped");
                handle.abort();
                // Until it is really gone, so that nothing of it runs against what is closed next. A task that never
                // waits cannot be ended from outside: it is left behind.
                let _aborted = timeout(PHASE_MIN, handle).await;
                finished = false;
            }
        }
        finished
    }

    fn tasks(&self) -> std::sync::MutexGuard<'_, Vec<(Task, JoinHandle<()>)>> {
        self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs a task's work by its manners until it has ended for good.
async fn supervise<W, F>(life: Arc<Inner>, task: Task, stop: Stop, mut work: W)
where
    W: FnMut(Stop) -> F + Send,
    F: Future<Output = TaskResult> + Send,
{
    let manners = task.manners();
    let mut wait = RESTART_FIRST;
    loop {
        let started = Instant::now();
        let run = AssertUnwindSafe(async { work(stop.clone()).await }).catch_unwind();
        let outcome = match manners.on_stop {
            OnStop::Drains => run.await,
            OnStop::Drops => tokio::select! {
                outcome = run => outcome,
                () = stop.requested() => return,
            },
        };
        match outcome {
            Ok(Ok(())) => return,
            Ok(Err(error)) => {
                let error = chain(&*error);
                tracing::error!(?task, error, "{task:?} failed: {error}");
            }
            // The panic hook has told where.
            Err(_panic) => tracing::error!(?task, "{task:?} panicked"),
        }
        match manners.on_error {
            OnError::Ignore => return,
            OnError::TakeDown => {
                life.failed.send_if_modified(|failed| failed.is_none() && failed.replace(task).is_none());
                return;
            }
            OnError::Restart => {}
        }
        if started.elapsed() >= RECOVERED_AFTER {
            wait = RESTART_FIRST;
        }
        tokio::select! {
            () = stop.requested() => return,
            () = sleep(wait) => wait = (wait * 2).min(RESTART_MAX),
        }
        tracing::info!(?task, "{task:?} is started again");
    }
}

#[cfg(test)]
mod tests;
