//! Activity: written for calls that write nothing else, and read by operators.
//!
//! What a write leaves is written in its own transaction. A call that only reads would need one for its entry alone, which
//! costs more than the call: such entries wait in a queue and are written many at a time. Nobody waits for them: when the
//! queue is full they are counted instead, and told in the log. Those that wait when a process dies are lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use keyherald_core::activity::{Activity, Recorded};
use keyherald_core::id::ProjectKey;
use keyherald_core::{Ctx, Micros, Refusal};
pub use keyherald_store::log::activity::Asked;
use keyherald_store::{Fault, Tx, log, project};
use tokio::sync::{Mutex, mpsc};
use tokio::time::sleep;

use super::{Answer, App, Call};

/// Entries that wait at most.
const QUEUE_MAX: usize = 8192;
/// Entries of one transaction.
const BATCH_MAX: usize = 256;
/// How long the first entry of a batch waits for others.
const GATHER: Duration = Duration::from_millis(100);
/// First and longest wait before a batch that was not written is tried again.
const WRITE_AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

type Entry = (ProjectKey, Activity);

/// Entries that wait to be written. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Recorder(Arc<Inner>);

struct Inner {
    queue: mpsc::Sender<Entry>,
    /// For whoever writes: [`App::write_activity`], which may be started again.
    waiting: Mutex<Waiting>,
    /// Entries that found the queue full, since it was last told.
    lost: AtomicU64,
}

struct Waiting {
    queue: mpsc::Receiver<Entry>,
    /// Taken out of the queue and not yet written.
    batch: Vec<Entry>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self::holding(QUEUE_MAX)
    }
}

impl Recorder {
    /// One in which this many entries can wait.
    pub fn holding(entries_max: usize) -> Self {
        let (sender, queue) = mpsc::channel(entries_max.max(1));
        let waiting = Mutex::new(Waiting { queue, batch: Vec::new() });
        Self(Arc::new(Inner { queue: sender, waiting, lost: AtomicU64::new(0) }))
    }

    fn put(&self, entry: Entry) {
        if self.0.queue.try_send(entry).is_err() {
            self.0.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn tell_lost(&self) {
        let lost = self.0.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            tracing::warn!(lost, "activity: {lost} entries of reads were left out, for too many wait to be written");
        }
    }
}

/// Entries as they were asked for.
pub struct Found {
    /// In the order of the log.
    pub entries: Vec<Recorded>,
    /// From where to ask on. `None`: not known, for a transaction that stays open may still fill an earlier place.
    pub after: Option<i64>,
}

impl App {
    /// Entries of the project that are not past its retention.
    pub async fn activity(&self, call: Call, asked: Asked) -> Answer<Found> {
        let in_order = self.store.read(|tx| log::positions_are_commits(tx)).await?;
        let settled = if in_order { i64::MAX } else { self.final_position().await? };
        // What is not settled may be shown, but not asked on from: what comes between would never be.
        let up_to = if settled == 0 && asked.after.is_none() { i64::MAX } else { settled };
        let now = self.ctx().now;
        let look = move |tx: &mut dyn Tx| {
            let Some(project) = project::by_key(tx, &call.project)? else { return Ok(None) };
            let oldest = now.plus(-project.messages.days * Micros::DAY);
            log::activity::read(tx, &call.project, &asked, oldest, up_to).map(Some)
        };
        let entries = self.store.query(look).await?.ok_or(Refusal::ProjectNotFound)?;
        let last = entries.last().map(|entry| entry.position).filter(|_| settled > 0);
        Ok(Found { after: last.or(asked.after), entries })
    }

    /// Has the entry of a call that writes nothing else written soon. Never waits and never fails.
    pub fn record(&self, call: &Call, entry: Activity) {
        self.recorder.put((call.project.clone(), entry));
    }

    /// Writes what is recorded until `stop`, and then what still waits. A database that fails is tried again, after
    /// `stop` once.
    pub async fn write_activity(&self, stop: impl Future<Output = ()>) -> Result<(), Fault> {
        let mut waiting = self.recorder.0.waiting.lock().await;
        let mut stop = std::pin::pin!(stop);
        let mut pause = WRITE_AGAIN.0;
        loop {
            if waiting.batch.is_empty() {
                let Waiting { queue, batch } = &mut *waiting;
                tokio::select! {
                    () = &mut stop => break,
                    _ = queue.recv_many(batch, BATCH_MAX) => {}
                }
                // The rest of what comes together.
                tokio::select! {
                    () = &mut stop => break,
                    () = sleep(GATHER) => {}
                }
            }
            match self.write_batch(&mut waiting).await {
                Ok(()) => pause = WRITE_AGAIN.0,
                Err(fault) if fault.may_pass() => {
                    tracing::warn!(?fault, "activity of reads could not be written; trying again");
                    tokio::select! {
                        () = &mut stop => break,
                        () = sleep(pause) => pause = (pause * 2).min(WRITE_AGAIN.1),
                    }
                }
                Err(fault) => {
                    let lost = waiting.batch.len();
                    tracing::error!(?fault, lost, "activity: {lost} entries of reads cannot be written");
                    waiting.batch.clear();
                }
            }
            self.recorder.tell_lost();
        }
        while !(waiting.batch.is_empty() && waiting.queue.is_empty()) {
            self.write_batch(&mut waiting).await?;
        }
        self.recorder.tell_lost();
        Ok(())
    }

    /// Fills the batch from the queue and writes it.
    async fn write_batch(&self, waiting: &mut Waiting) -> Result<(), Fault> {
        while waiting.batch.len() < BATCH_MAX {
            let Ok(entry) = waiting.queue.try_recv() else { break };
            waiting.batch.push(entry);
        }
        let batch = Arc::new(waiting.batch.clone());
        let work = move |tx: &mut dyn Tx, _: &mut Ctx| {
            batch.iter().try_for_each(|(project, entry)| log::activity::append(tx, project, entry))
        };
        self.store.write(&self.ctx(), work).await?;
        waiting.batch.clear();
        Ok(())
    }
}
