//! Follows the log's end: the one reader that fills the [`Window`](super::window::Window).
//!
//! Woken by commits, and by the clock as the safety net for those of other processes.

use std::time::Duration;

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
    let mut tail = Tail { horizon: Horizon::default(), read_to: None, pause: PENDING_PAUSE.0 };
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

struct Tail {
    horizon: Horizon,
    /// Everything up to here is in the window, or was before it began.
    read_to: Option<i64>,
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

impl Tail {
    async fn advance(&mut self, shared: &Shared) -> Result<Found, Fault> {
        let looked = self.horizon.look(&shared.store, &shared.moments.ctx()).await;
        shared.counters.set_pending_since(self.horizon.pending_since());
        let Some(end) = looked? else { return Ok(Found::Pending) };
        self.pause = PENDING_PAUSE.0;
        let Some(read_to) = self.read_to else {
            // Subscriptions that are further back read their own pages.
            shared.window.begin(end);
            self.read_to = Some(end);
            return Ok(Found::New);
        };
        if end <= read_to {
            return Ok(Found::Nothing);
        }
        let (ring, now, limit) = (shared.ring.clone(), shared.moments.now(), shared.settings.page_size);
        let page = shared.store.read(move |tx| log::after(tx, &ring, (read_to, end), limit, now)).await?;
        let full = i64::try_from(page.len()).is_ok_and(|length| length >= limit);
        let up_to = page.last().filter(|_| full).map_or(end, |last| last.notice.position());
        shared.window.push(page, up_to);
        self.read_to = Some(up_to);
        Ok(Found::New)
    }

    /// Doubles: a long transaction is not asked after every two milliseconds for minutes.
    fn next_pause(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(PENDING_PAUSE.1);
        pause
    }
}
