//! Follows the log's end: the one reader that fills the [`Window`](super::window::Window).
//!
//! Woken by commits, and by the clock as the safety net for those of other processes.

use std::time::Duration;

use keyherald_core::relay::window::{Advance, Tail, complete_to};
use keyherald_store::{Fault, log};
use tokio::time::{sleep, timeout};

use super::Shared;
use super::horizon::Horizon;

/// First and longest pause while positions may still be filled.
const PENDING_PAUSE: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(50));
/// Pause after a fault.
const FAULT_PAUSE: Duration = Duration::from_secs(1);

/// Follows the log for ever.
pub(super) async fn follow(shared: &Shared) {
    let mut committed = shared.store.committed();
    let mut tail = Follower { horizon: Horizon::default(), tail: Tail::default(), pause: PENDING_PAUSE.0 };
    loop {
        committed.mark_unchanged(); // before the look, so that no commit after it is missed
        let pause = match tail.advance(shared).await {
            Ok(Found::New) => continue,
            Ok(Found::Nothing) => shared.settings.poll,
            Ok(Found::Pending) => tail.next_pause(),
            Err(fault) => {
                tracing::warn!(fault = ?fault, "the log cannot be read; trying again");
                sleep(FAULT_PAUSE).await;
                continue;
            }
        };
        // Elapsed, woken, or the store is closed: then the next look says so.
        if let Ok(Err(_closed)) = timeout(pause, committed.changed()).await {
            sleep(FAULT_PAUSE).await;
        }
    }
}

struct Follower {
    horizon: Horizon,
    tail: Tail,
    pause: Duration,
}

enum Found {
    /// The window has moved; there may be more.
    New,
    /// The window ends where the log does.
    Nothing,
    /// Older transactions must end first.
    Pending,
}

impl Follower {
    async fn advance(&mut self, shared: &Shared) -> Result<Found, Fault> {
        let looked = self.horizon.look(&shared.store, &shared.moments.ctx()).await;
        shared.counters.set_pending_since(self.horizon.pending_since());
        let Some(end) = looked? else { return Ok(Found::Pending) };
        self.pause = PENDING_PAUSE.0;
        let (after, up_to) = match self.tail.advance(end) {
            Advance::Begin(at) => {
                shared.window.begin(at);
                return Ok(Found::New);
            }
            Advance::Nothing => return Ok(Found::Nothing),
            Advance::Read { after, up_to } => (after, up_to),
        };
        let (ring, now, limit) = (shared.ring.clone(), shared.moments.now(), shared.settings.page_size);
        let page = shared.store.read(move |tx| log::after(tx, &ring, (after, up_to), limit, now)).await?;
        let up_to = complete_to(&page, limit, up_to);
        shared.window.push(page, up_to);
        self.tail.was_read(up_to);
        Ok(Found::New)
    }

    /// Doubles: a long transaction is not asked after every two milliseconds for minutes.
    fn next_pause(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(PENDING_PAUSE.1);
        pause
    }
}
