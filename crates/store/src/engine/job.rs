//! A closure of a caller, with the types forgotten: engines run it, possibly again, and answer it once.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::{Fault, FaultKind, Tx};

/// A closure that runs longer is logged: its neighbours in the batch, or in the queue, wait for it.
const SLOW: Duration = Duration::from_millis(5);
/// A closure that runs longer than this is logged as a warning.
const VERY_SLOW: Duration = Duration::from_millis(100);

/// A job as the engines see it.
pub(crate) trait Job: Send {
    /// Runs the closure and keeps what it returned. May be called again after its transaction was rolled back.
    fn run(&mut self, tx: &mut dyn Tx) -> Result<(), Fault>;

    /// Hands the caller what the last run returned, or the fault.
    fn answer(self: Box<Self>, outcome: Result<(), Fault>);
}

/// Wraps a closure; its result comes through the receiver. A caller who is gone does not stop the job.
pub(crate) fn job<T, F>(work: F) -> (Box<dyn Job>, oneshot::Receiver<Result<T, Fault>>)
where
    T: Send + 'static,
    F: FnMut(&mut dyn Tx) -> Result<T, Fault> + Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    (Box::new(Work { closure: work, value: None, reply }), answer)
}

struct Work<T, F> {
    closure: F,
    value: Option<T>,
    reply: oneshot::Sender<Result<T, Fault>>,
}

impl<T, F> Job for Work<T, F>
where
    T: Send + 'static,
    F: FnMut(&mut dyn Tx) -> Result<T, Fault> + Send + 'static,
{
    fn run(&mut self, tx: &mut dyn Tx) -> Result<(), Fault> {
        let begun = Instant::now();
        // What a panicking closure leaves behind is its own captured state, which nobody else sees; the transaction
        // is rolled back by the engine.
        let outcome = catch_unwind(AssertUnwindSafe(|| (self.closure)(tx)));
        log_if_slow(begun.elapsed());
        self.value = Some(outcome.unwrap_or_else(|panic| Err(panicked(panic.as_ref())))?);
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<(), Fault>) {
        let Self { closure, value, reply } = *self;
        let answer = outcome.and_then(|()| value.ok_or_else(|| Fault::new(FaultKind::Internal, "a job did not run")));
        // A failed send means that the caller has gone away, which is its right. Foreign destructors run here, on the
        // engine's thread: none may take it down.
        let dropped = catch_unwind(AssertUnwindSafe(|| {
            let _ = reply.send(answer);
            drop(closure);
        }));
        if dropped.is_err() {
            tracing::error!("a destructor of a store closure panicked");
        }
    }
}

fn log_if_slow(elapsed: Duration) {
    let elapsed_ms = elapsed.as_secs_f64() * 1e3;
    if elapsed > VERY_SLOW {
        tracing::warn!(elapsed_ms, "a store closure took {elapsed_ms:.0} ms");
    } else if elapsed > SLOW {
        tracing::debug!(elapsed_ms, "a store closure took {elapsed_ms:.0} ms");
    }
}

/// The panic's own text is printed by the panic hook; it may hold values, so it is not repeated here.
fn panicked(_panic: &(dyn Any + Send)) -> Fault {
    Fault::new(FaultKind::Internal, "a store closure panicked")
}
