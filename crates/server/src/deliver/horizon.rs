//! How far the log is final: which positions no transaction can fill any more.
//!
//! On SQLite every position that is seen is final. On PostgreSQL positions can become visible out of order; the rule is
//! that of [`keyherald_core::relay::horizon`], and why it holds is told in the head of the store's `log`.

use keyherald_core::Ctx;
use keyherald_core::relay::horizon::{self, Question};
use keyherald_store::{Fault, Store, log};
use tokio::time::Instant;

/// The reader's knowledge of the log's end.
#[derive(Default)]
pub struct Horizon {
    /// Whether this store needs no bound. Asked once.
    in_order: Option<bool>,
    rule: horizon::Horizon,
    pending_since: Option<Instant>,
}

impl Horizon {
    /// Looks once. `None`: there are positions that may still be filled; look again soon. A final position may have
    /// successors already: look again until it stays.
    pub async fn look(&mut self, store: &Store, ctx: &Ctx) -> Result<Option<i64>, Fault> {
        if self.is_in_order(store).await? {
            return store.read(log::last_position).await.map(Some);
        }
        loop {
            match self.rule.question() {
                Question::Last => {
                    if let Some(end) = self.rule.last(store.read(log::last_position).await?) {
                        return Ok(Some(end));
                    }
                }
                Question::Bound => {
                    self.rule.bound(store.write(ctx, |tx, _| log::horizon_bound(tx)).await?);
                    self.pending_since = Some(Instant::now());
                }
                Question::Passed(bound) => {
                    let end = self.rule.passed(store.read(move |tx| log::horizon_passed(tx, bound)).await?);
                    self.pending_since = self.pending_since.filter(|_| end.is_none());
                    return Ok(end);
                }
            }
        }
    }

    /// Since when the log's end waits for older transactions.
    pub(super) fn pending_since(&self) -> Option<Instant> {
        self.pending_since
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
