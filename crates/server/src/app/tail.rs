//! The log from a position on, for operators.

use std::time::Duration;

use keyherald_store::log::{self, Entry};

use super::{Answer, App};

/// Entries that one look reads at most.
const PAGE: i64 = 500;
/// How long a transaction that is still under way is waited for in one look.
const PATIENCE: u32 = 100;
const PAUSE: Duration = Duration::from_millis(10);

impl App {
    /// How far the log is final: no message at or below this position will still appear. On PostgreSQL a transaction
    /// that stays open holds it back; then the answer is 0, which is always true.
    pub async fn final_position(&self) -> Answer<i64> {
        let last = self.store.read(|tx| log::last_position(tx)).await?;
        let bound = self.store.write(&self.ctx(), |tx, _| log::horizon_bound(tx)).await?;
        for _ in 0..PATIENCE {
            if self.store.read(move |tx| log::horizon_passed(tx, bound)).await? {
                return Ok(last);
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(0)
    }

    /// Messages and changes after `position`, and the position up to which they are complete.
    pub async fn log_after(&self, position: i64) -> Answer<(Vec<Entry>, i64)> {
        if self.store.read(|tx| log::last_position(tx)).await? <= position {
            return Ok((Vec::new(), position));
        }
        let up_to = self.final_position().await?.max(position);
        let (ring, now) = (self.ring.clone(), self.ctx().now);
        let entries = self.store.read(move |tx| log::after(tx, &ring, (position, up_to), PAGE, now)).await?;
        let full = i64::try_from(entries.len()).is_ok_and(|count| count >= PAGE);
        let reached = entries.last().filter(|_| full).map_or(up_to, |entry| entry.notice.position());
        Ok((entries, reached))
    }
}
