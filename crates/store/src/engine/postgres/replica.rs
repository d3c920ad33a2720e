//! A standby that callers' queries are read from.
//!
//! **The rule of staleness.** An answer from the standby shows at least everything that was committed
//! [`ReplicaOptions::staleness_max`] before it was asked for. That is measured, and not believed: a thread asks the primary
//! again and again where its log ends, and the standby how far it has replayed. The last end that it has reached was true
//! at a moment that this process knows by its own clock; when that is too long ago, queries are the primary's. So they are
//! when the standby is lost, when it cancels a query (because what the query reads is being removed), and while the primary
//! cannot be asked.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use postgres::Client;

use super::connect::Connector;
use super::worker::{Pool, Task, Worker};
use super::{error, pooler};
use crate::engine::queue::Queue;
use crate::engine::{Shared, spawn};
use crate::{Fault, FaultKind, ReplicaOptions, StoreOptions};

/// Pause after a connection failed.
const RECONNECT_AFTER: Duration = Duration::from_secs(1);
/// Moments that are waited for at most. A standby that is further behind than they reach is too far behind anyway.
const MOMENTS_MAX: usize = 64;

/// The standby's queue, and how far it is known to be.
pub(super) struct Replica {
    queue: Arc<Queue<Task>>,
    progress: Arc<Progress>,
}

/// What was last seen of the standby.
struct Progress {
    begun: Instant,
    /// Microseconds after `begun`, plus one: everything committed before then is there. 0: nothing is known.
    fresh: AtomicU64,
    staleness_max: Duration,
}

impl Progress {
    fn reached(&self, at: Instant) {
        let micros = at.saturating_duration_since(self.begun).as_micros();
        self.fresh.store(u64::try_from(micros).unwrap_or(u64::MAX).saturating_add(1), Ordering::Relaxed);
    }

    /// How old its state is at most. `None`: nobody knows.
    fn staleness(&self) -> Option<Duration> {
        let micros = self.fresh.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.begun.elapsed().saturating_sub(Duration::from_micros(micros)))
    }

    fn is_fresh(&self) -> bool {
        self.staleness().is_some_and(|staleness| staleness <= self.staleness_max)
    }
}

impl Replica {
    /// Starts its threads. It need not be there yet, nor stay. What it cannot answer goes to `primary`.
    pub(super) fn start(
        replica: &ReplicaOptions,
        (connector, primary): (&Arc<Connector>, &Arc<Queue<Task>>),
        options: &StoreOptions,
        shared: &Arc<Shared>,
    ) -> Result<Self, Fault> {
        let standby = Arc::new(Connector::of_standby(&replica.url, options)?);
        let queue = Arc::new(Queue::new(options.queue_max));
        let progress = Arc::new(Progress {
            begun: Instant::now(),
            fresh: AtomicU64::new(0),
            staleness_max: replica.staleness_max,
        });
        let pool = Arc::new(Pool::of_standby(Arc::clone(shared), Arc::clone(primary)));
        for number in 0..options.connections.div_ceil(4) {
            // It commits nothing that anybody would have to be told of.
            let (committed, _) = mpsc::sync_channel(1);
            let worker = Worker::new(queue.taker(), Arc::clone(&pool), Arc::clone(&standby), committed);
            spawn(shared, format!("store-replica-{number}"), move || worker.run())?;
        }
        let watch = Watch {
            primary: Arc::clone(connector),
            standby,
            queue: Arc::clone(&queue),
            progress: Arc::clone(&progress),
            step: (replica.staleness_max / 8).clamp(Duration::from_millis(20), Duration::from_millis(500)),
        };
        spawn(shared, "store-replica-watch".to_owned(), move || watch.run())?;
        Ok(Self { queue, progress })
    }

    /// Where a query goes now. `None`: to the primary.
    pub(super) fn queue(&self) -> Option<&Queue<Task>> {
        self.progress.is_fresh().then_some(&self.queue)
    }

    /// How old its state is at most. `None`: nobody knows.
    pub(super) fn staleness(&self) -> Option<Duration> {
        self.progress.staleness()
    }

    pub(super) fn close(&self) {
        self.queue.close();
    }
}

/// Keeps the progress up to date.
struct Watch {
    primary: Arc<Connector>,
    standby: Arc<Connector>,
    queue: Arc<Queue<Task>>,
    progress: Arc<Progress>,
    step: Duration,
}

impl Watch {
    fn run(self) {
        let mut is_known = false;
        while !self.queue.is_closed() {
            if let Err(fault) = self.follow() {
                // It may be away for hours: once is enough.
                if is_known {
                    tracing::debug!(error = ?fault, "the replica is not followed");
                } else {
                    tracing::warn!(error = ?fault, "the replica is not used until it can be followed: queries are the primary's");
                }
                is_known = true;
                self.queue.stand_aside(RECONNECT_AFTER);
            }
        }
    }

    /// Looks again and again, on one connection to each, until the queue closes.
    fn follow(&self) -> Result<(), Fault> {
        pooler::refuse(&self.standby)?;
        let (mut primary, mut standby) = (self.primary.connect()?, self.standby.connect()?);
        if system(&mut primary)? != system(&mut standby)? {
            let text = "the replica is of another database cluster than the primary ([store] replica_url)";
            return Err(Fault::new(FaultKind::Unavailable, text));
        }
        let mut ahead: VecDeque<(Instant, i64)> = VecDeque::new();
        while !self.queue.is_closed() {
            if ahead.len() < MOMENTS_MAX {
                let at = Instant::now();
                ahead.push_back((at, end_of_log(&mut primary)?));
            }
            let replayed = replayed(&mut standby)?;
            while let Some((at, _)) = ahead.pop_front_if(|(_, end)| *end <= replayed) {
                self.progress.reached(at);
            }
            self.queue.stand_aside(self.step);
        }
        Ok(())
    }
}

/// What says to which cluster a server belongs.
fn system(client: &mut Client) -> Result<i64, Fault> {
    let asked = client.query_one("SELECT system_identifier FROM pg_control_system()", &[]);
    asked.and_then(|row| row.try_get(0)).map_err(|cause| error::fault("pg_control_system", cause))
}

/// Every commit that anybody has been told of lies before it.
fn end_of_log(primary: &mut Client) -> Result<i64, Fault> {
    let asked = primary.query_one("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint", &[]);
    asked.and_then(|row| row.try_get(0)).map_err(|cause| error::fault("pg_current_wal_insert_lsn", cause))
}

fn replayed(standby: &mut Client) -> Result<i64, Fault> {
    let question = "SELECT CASE WHEN pg_is_in_recovery() THEN (pg_last_wal_replay_lsn() - '0/0')::bigint END";
    let asked = standby.query_one(question, &[]).and_then(|row| row.try_get::<_, Option<i64>>(0));
    let text = "the replica is no standby (any more), or replays nothing ([store] replica_url)";
    asked
        .map_err(|cause| error::fault("pg_last_wal_replay_lsn", cause))?
        .ok_or_else(|| Fault::new(FaultKind::Unavailable, text))
}
