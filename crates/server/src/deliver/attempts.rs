//! Which attempts were made: noted when they end, and written many at a time.
//!
//! No delivery waits for it, and none depends on it: when too many wait to be written, further ones are counted instead. Those
//! that wait when a process dies are lost; the deliveries are not.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use keyherald_core::delivery::{Cause, Outcome};
use keyherald_core::id::{CustomerId, MessageId};
use keyherald_core::relay::lanes::Item;
use keyherald_core::{Ctx, Micros};
use keyherald_store::attempt::{self, Attempt};
use keyherald_store::log::Entry;
use keyherald_store::subscription::Stored;
use keyherald_store::{Fault, Store, Tx};
use tokio::sync::{Mutex, mpsc};
use tokio::time::{Instant, sleep};

use super::Shared;
use crate::clock::Moments;

/// Attempts that wait at most.
const QUEUE_MAX: usize = 8192;
/// Attempts of one transaction.
const BATCH_MAX: usize = 256;
/// How long the first attempt of a batch waits for others.
const GATHER: Duration = Duration::from_millis(500);
/// Longest reason that is kept, in characters.
const REASON_CHARS_MAX: usize = 200;

/// Attempts that wait to be written. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Attempts(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    queue: mpsc::Sender<Attempt>,
    /// For whoever writes: [`Attempts::write`], which may be started again.
    waiting: Mutex<Waiting>,
    lost: AtomicU64,
}

#[derive(Debug)]
struct Waiting {
    queue: mpsc::Receiver<Attempt>,
    /// Taken out of the queue and not yet written.
    batch: Vec<Attempt>,
}

impl Default for Attempts {
    fn default() -> Self {
        let (sender, queue) = mpsc::channel(QUEUE_MAX);
        let waiting = Mutex::new(Waiting { queue, batch: Vec::new() });
        Self(Arc::new(Inner { queue: sender, waiting, lost: AtomicU64::new(0) }))
    }
}

impl Attempts {
    fn put(&self, attempt: Attempt) {
        if self.0.queue.try_send(attempt).is_err() {
            self.0.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Writes what is noted until `stop`, and then what still waits.
    pub async fn write(&self, store: &Store, moments: &Moments, stop: impl Future<Output = ()>) -> Result<(), Fault> {
        let Waiting { queue, batch } = &mut *self.0.waiting.lock().await;
        let mut stop = std::pin::pin!(stop);
        let mut has_ended = false;
        while !has_ended {
            tokio::select! {
                () = &mut stop => has_ended = true,
                _ = queue.recv_many(batch, BATCH_MAX), if batch.is_empty() => tokio::select! {
                    () = &mut stop => has_ended = true,
                    () = sleep(GATHER) => {}
                },
                () = sleep(GATHER), if !batch.is_empty() => {} // what was not written before
            }
            loop {
                while batch.len() < BATCH_MAX
                    && let Ok(attempt) = queue.try_recv()
                {
                    batch.push(attempt);
                }
                if batch.is_empty() {
                    break;
                }
                write_batch(store, &moments.ctx(), batch).await?;
            }
            let lost = self.0.lost.swap(0, Ordering::Relaxed);
            if lost > 0 {
                tracing::warn!(lost, "{lost} attempts were not noted, for too many wait to be written");
            }
        }
        Ok(())
    }
}

async fn write_batch(store: &Store, ctx: &Ctx, batch: &mut Vec<Attempt>) -> Result<(), Fault> {
    let written = Arc::new(batch.clone());
    let put = move |tx: &mut dyn Tx, _: &mut Ctx| written.iter().try_for_each(|attempt| attempt::put(tx, attempt));
    match store.write(ctx, put).await {
        Err(fault) if fault.may_pass() => return Err(fault), // it is started again, and goes on with them
        Err(fault) => tracing::error!(?fault, "{} attempts cannot be noted", batch.len()),
        Ok(()) => {}
    }
    batch.clear();
    Ok(())
}

/// What one dispatcher has sent and has no answer to. A lane has one at a time.
#[derive(Default)]
pub(super) struct OnTheWay(HashMap<CustomerId, Begun>);

struct Begun {
    message: MessageId,
    position: i64,
    number: u32,
    at: Micros,
    created_at: Micros,
    began: Instant,
    is_replay: bool,
}

impl OnTheWay {
    /// An attempt begins.
    pub(super) fn begin(&mut self, shared: &Shared, item: &Item<Arc<Entry>>, (number, is_replay): (u32, bool)) {
        let (message, position, at) = (item.body.notice.id(), item.position, shared.moments.now());
        let (created_at, began) = (item.at, Instant::now());
        self.0.insert(item.customer, Begun { message, position, number, at, created_at, began, is_replay });
    }

    /// It has ended.
    pub(super) fn end(
        &mut self,
        shared: &Shared,
        stored: &Stored,
        (customer, outcome): (CustomerId, &Outcome),
        ctx: &mut Ctx,
    ) {
        let Some(begun) = self.0.remove(&customer) else { return };
        let (outcome, reason) = told(outcome);
        begun.measured(shared, stored, outcome, ctx.now);
        let Some(attempts) = &shared.settings.attempts else { return };
        attempts.put(Attempt {
            project: stored.project.clone(),
            id: MessageId::new(ctx),
            subscription: stored.subscription.id,
            message: begun.message,
            customer,
            position: begun.position,
            number: begun.number,
            at: begun.at,
            duration_us: ctx.now.0.saturating_sub(begun.at.0),
            outcome: outcome.to_owned(),
            reason: reason.map(|text| text.chars().take(REASON_CHARS_MAX).collect()),
            is_replay: begun.is_replay,
        });
    }
}

impl Begun {
    fn measured(&self, shared: &Shared, stored: &Stored, outcome: &'static str, now: Micros) {
        let (deliveries, kind) = (shared.counters.deliveries(), stored.subscription.destination.kind.as_str());
        let of = (stored.project.as_str(), &*stored.subscription.id.to_string());
        deliveries.attempted(of, kind, outcome, self.began.elapsed());
        if outcome == "delivered" && !self.is_replay {
            let after = now.0.saturating_sub(self.created_at.0);
            deliveries.arrived(kind, Duration::from_micros(u64::try_from(after).unwrap_or(0)));
        }
    }
}

/// The same in a word.
pub(super) fn word_of(outcome: &Outcome) -> &'static str {
    told(outcome).0
}

fn told(outcome: &Outcome) -> (&'static str, Option<&str>) {
    match outcome {
        Outcome::Delivered => ("delivered", None),
        Outcome::Failed { reason, cause, .. } => {
            let word = match cause {
                Cause::Temporary => "temporary",
                Cause::Throttled => "throttled",
                Cause::Refused => "refused",
            };
            (word, Some(reason))
        }
        Outcome::Rejected { reason } => ("rejected", Some(reason)),
        Outcome::Gone => ("gone", Some("the receiver is gone")),
        Outcome::Erased => ("erased", Some("its personal data was erased")),
        Outcome::Untransformed { reason } => ("untransformed", Some(reason)),
        Outcome::Moot => ("moot", Some("it means nothing any more")),
    }
}
