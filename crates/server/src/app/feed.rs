//! Fetch the feed: messages in the order of the log, from a position on, now or as soon as there are any.
//!
//! How far the log is final is found out as the relay does, by whoever waits first and for all who wait: nobody runs here
//! while nobody asks. Those who wait hold a position, no messages; each is woken by commits and reads a page of its own.
//!
//! It is safe to drop any of these futures: what a reader has seen is the position that it asks on from, nothing else.

use std::sync::Arc;
use std::time::Duration;

use keyherald_core::id::ProjectKey;
use keyherald_core::message::Message;
use keyherald_store::Fault;
pub use keyherald_store::log::feed::Asked;
use keyherald_store::log::feed::{self, Fed};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::{Answer, App};
use crate::deliver::Horizon;

/// Reads that wait, and streams, at the same time, unless it is configured.
const OPEN_MAX: usize = 500;
/// How long a read waits, unless it is configured.
const WAIT_MAX: Duration = Duration::from_secs(20);
/// How long a transaction that is still under way is waited for before a read answers without what comes after it.
const PATIENCE: Duration = Duration::from_secs(1);
/// Pause while positions may still be filled.
const PENDING_PAUSE: Duration = Duration::from_millis(5);
/// How often the log is looked at without a commit of this process.
const POLL: Duration = Duration::from_secs(1);
/// First and longest pause of a reader whose pages are empty although the log grows: others' messages.
const IDLE_PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// What all readers share. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Feed(Arc<Inner>);

struct Inner {
    look: Mutex<Look>,
    open: Arc<Semaphore>,
    wait_max: Duration,
    ended: watch::Sender<bool>,
}

/// How far the log is known to be final.
#[derive(Default)]
struct Look {
    horizon: Horizon,
    end: i64,
    last: Option<Looked>,
}

struct Looked {
    at: Instant,
    /// The commits that it has seen.
    generation: u64,
    is_pending: bool,
}

impl Default for Feed {
    fn default() -> Self {
        Self::open_to(OPEN_MAX, WAIT_MAX)
    }
}

impl Feed {
    /// For this many who wait or stream at the same time, each of them for so long at most before it is answered.
    pub fn open_to(readers_max: usize, wait_max: Duration) -> Self {
        let (look, open) = (Mutex::default(), Arc::new(Semaphore::new(readers_max)));
        Self(Arc::new(Inner { look, open, wait_max, ended: watch::Sender::new(false) }))
    }

    /// A place among those who wait. `None`: all are taken.
    pub fn admit(&self) -> Option<Place> {
        Some(Place(self.0.open.clone().try_acquire_owned().ok()?))
    }

    /// Nobody is waited for any more: who waits is answered at once, and streams end.
    pub fn end(&self) {
        self.0.ended.send_replace(true);
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        *self.0.ended.borrow()
    }
}

/// Somebody's place among those who wait; free again when it is dropped.
pub struct Place(#[expect(dead_code, reason = "is there to be dropped")] OwnedSemaphorePermit);

/// What came of a read.
pub enum Fetched {
    /// These messages, complete up to the position to ask on from.
    Page(Vec<Message>, i64),
    /// Some of what is asked for was removed.
    Gone {
        /// From here on nothing is missing.
        complete_after: i64,
        /// The first message that is left.
        first: Option<i64>,
    },
    /// The log has never come that far.
    Beyond,
}

impl App {
    /// The next messages of the project. If there are none yet, waits for some for so long at most.
    pub async fn fetch(&self, project: &ProjectKey, mut asked: Asked, wait: Duration) -> Answer<Fetched> {
        let until = Instant::now() + wait.min(self.feed.0.wait_max);
        let mut end = self.final_end().await?;
        let mut rest = Duration::ZERO;
        loop {
            let read_at = Instant::now();
            let reached = match self.read_feed(project, asked, end).await? {
                Fed::Page(messages, reached) if messages.is_empty() => reached,
                Fed::Page(messages, reached) => return Ok(Fetched::Page(messages, reached)),
                Fed::Gone { complete_after, first } => return Ok(Fetched::Gone { complete_after, first }),
                Fed::Beyond => return Ok(Fetched::Beyond),
            };
            asked.after = Some(reached);
            let nothing = Ok(Fetched::Page(Vec::new(), reached));
            match self.end_beyond(reached, until).await? {
                Some(further) => end = further,
                None => return nothing,
            }
            // Whose messages are rare among many others' does not read after each of those.
            let is_busy = read_at.elapsed() < IDLE_PAUSE.1;
            rest = if is_busy { (rest * 2).clamp(IDLE_PAUSE.0, IDLE_PAUSE.1) } else { Duration::ZERO };
            sleep_until((read_at + rest).min(until)).await;
        }
    }

    async fn read_feed(&self, project: &ProjectKey, asked: Asked, end: i64) -> Answer<Fed> {
        let (ring, project, now) = (self.ring.clone(), project.clone(), self.ctx().now);
        Ok(self.store.query(move |tx| feed::after(tx, &ring, &project, &asked, (end, now))).await?)
    }

    /// How far the log is final, with all that was committed before this was asked. While a transaction that is older
    /// stays open, as far as it is known.
    async fn final_end(&self) -> Answer<i64> {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(end) = self.look_at_end(true).await? {
                return Ok(end);
            }
            if Instant::now() >= until {
                return Ok(self.feed.0.look.lock().await.end);
            }
            sleep(PENDING_PAUSE).await;
        }
    }

    /// Waits until the log is final beyond a position. `None`: not in time, or nobody is waited for any more.
    async fn end_beyond(&self, reached: i64, until: Instant) -> Answer<Option<i64>> {
        let (mut committed, mut ended) = (self.store.committed(), self.feed.0.ended.subscribe());
        loop {
            committed.mark_unchanged(); // before the look, so that no commit after it is missed
            let pause = match self.look_at_end(false).await? {
                Some(end) if end > reached => return Ok(Some(end)),
                Some(_) => POLL,
                None => PENDING_PAUSE,
            };
            tokio::select! {
                _ = ended.wait_for(|ended| *ended) => return Ok(None),
                () = sleep_until(until) => return Ok(None),
                Ok(()) = committed.changed() => {}
                () = sleep(pause) => {}
            }
        }
    }

    /// How far the log is final; `None`: older transactions must end first. One looks for all: who comes a moment later
    /// gets the same answer, unless it must be `fresh`.
    async fn look_at_end(&self, fresh: bool) -> Result<Option<i64>, Fault> {
        let look = &mut *self.feed.0.look.lock().await;
        let generation = *self.store.committed().borrow();
        if let Some(last) = &look.last
            && !fresh
            && last.at.elapsed() < if last.is_pending { PENDING_PAUSE } else { POLL }
            && (last.is_pending || last.generation == generation)
        {
            return Ok((!last.is_pending).then_some(look.end));
        }
        let at = Instant::now();
        // The first answer may be about a look that was begun earlier; the second is not.
        for _ in 0..2 {
            let found = look.horizon.look(&self.store, &self.ctx()).await?;
            let is_pending = found.is_none();
            look.last = Some(Looked { at, generation, is_pending });
            let Some(end) = found else { return Ok(None) };
            if end == std::mem::replace(&mut look.end, end) {
                break;
            }
        }
        Ok(Some(look.end))
    }
}
