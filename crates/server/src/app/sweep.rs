//! Removes what has expired, in small batches: tokens, token values that messages carried, sessions.

use keyherald_store::{session, token};

use super::{Answer, App};

/// Rows that one transaction removes at most.
const BATCH: i64 = 500;

impl App {
    /// One round: at most [`BATCH`] rows of each kind. Answers whether there may be more.
    pub async fn sweep_once(&self) -> Answer<bool> {
        let removed =
            self.store
                .write(&self.ctx(), |tx, ctx| {
                    Ok(session::sweep(tx, ctx.now, BATCH)?.max(token::sweep(tx, ctx.now, BATCH)?))
                })
                .await?;
        Ok(removed >= BATCH.unsigned_abs())
    }
}
