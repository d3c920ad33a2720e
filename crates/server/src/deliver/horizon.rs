//! How far the log is final: which positions no transaction can fill any more.
//!
//! On SQLite every position that is seen is final. On PostgreSQL positions can become visible out of order; the rule is
//! told in the head of the store's `log`: read the last position, then take a transaction id, and wait until every
//! older transaction has ended. A transaction id is taken only when the last position has moved.

use keyherald_core::Ctx;
use keyherald_store::{Fault, Store, log};
use tokio::time::Instant;

/// The reader's knowledge of the log's end.
#[derive(Default)]
pub(super) struct Horizon {
    /// Whether this store needs no bound. Asked once.
    in_order: Option<bool>,
    /// The last position that was found to be final.
    settled: Option<i64>,
    pending: Option<Pending>,
}

/// A last position that is final once every transaction before `bound` has ended.
struct Pending {
    last: i64,
    bound: i64,
    since: Instant,
}

impl Horizon {
    /// Looks once. `None`: there are positions that may still be filled; look again soon. A final position may have
    /// successors already: look again until it stays.
    pub(super) async fn look(&mut self, store: &Store, ctx: &Ctx) -> Result<Option<i64>, Fault> {
        if self.is_in_order(store).await? {
            return store.read(log::last_position).await.map(Some);
        }
        let pending = if let Some(pending) = self.pending.take() {
            pending
        } else {
            let last = store.read(log::last_position).await?;
            if self.settled == Some(last) {
                return Ok(self.settled);
            }
            // After the position was read, never before.
            let bound = store.write(ctx, |tx, _| log::horizon_bound(tx)).await?;
            Pending { last, bound, since: Instant::now() }
        };
        let bound = pending.bound;
        let passed = store.read(move |tx| log::horizon_passed(tx, bound)).await;
        if matches!(passed, Ok(true)) {
            self.settled = Some(pending.last);
            return Ok(self.settled);
        }
        self.pending = Some(pending);
        passed.map(|_| None)
    }

    /// Since when the log's end waits for older transactions.
    pub(super) fn pending_since(&self) -> Option<Instant> {
        self.pending.as_ref().map(|pending| pending.since)
    }

    async fn is_in_order(&mut self, store: &Store) -> Result<bool, Fault> {
        if let Some(known) = self.in_order {
            return Ok(known);
        }
        let in_order = store.read(log::positions_are_commits).await?;
        self.in_order = Some(in_order);
        Ok(in_order)
    }
}
