//! Removes what has had its time, in small batches, so that no request waits for long: expired tokens and sessions, the
//! token values that messages carried, what is left of operations, and old entries of the log.
//!
//! A batch is a transaction of its own, and everything here is harmless when repeated: whatever is cut off goes on in the
//! next round. Several nodes may sweep at once.

use keyherald_core::Micros;
use keyherald_store::project::{self, Project};
use keyherald_store::retention::{self, Place};
use keyherald_store::{operation, registration, session, token};

use super::{Answer, App};

/// Rows that one transaction removes at most, of each kind.
const BATCH: i64 = 500;
/// Entries of the log that are looked at, and at most removed, at a time. Each has many index entries.
const LOG_BATCH: i64 = 200;

/// How long an operation that has ended can be looked at, in microseconds.
const OPERATION_KEPT_US: i64 = 30 * Micros::DAY;

/// How far a round through the logs of all projects has come.
pub struct Retention {
    /// Still to come; the last one is next.
    projects: Vec<Project>,
    /// Where to go on in the last one.
    from: Place,
    /// Entries removed so far.
    pub removed: usize,
}

impl App {
    /// Removes expired tokens, values, sessions, sealed passwords and old operations: one batch. Answers whether there may be more.
    pub async fn sweep_once(&self) -> Answer<bool> {
        let removed = self
            .store
            .write(&self.ctx(), |tx, ctx| {
                let kept_from = ctx.now.plus(-OPERATION_KEPT_US);
                let operations = operation::sweep(tx, ctx.now, kept_from, BATCH)?;
                let operations = operations.max(registration::sweep(tx, ctx.now, BATCH)?);
                Ok(session::sweep(tx, ctx.now, BATCH)?.max(token::sweep(tx, ctx.now, BATCH)?).max(operations))
            })
            .await?;
        Ok(removed >= BATCH.unsigned_abs())
    }

    /// Begins a round of retention.
    pub async fn begin_retention(&self) -> Answer<Retention> {
        let projects = self.store.read(|tx| project::all(tx)).await?;
        Ok(Retention { projects, from: Place::START, removed: 0 })
    }

    /// Looks at one batch of a project's old entries and removes those that no subscription is owed. Answers whether there
    /// is more to look at.
    pub async fn retain_once(&self, round: &mut Retention) -> Answer<bool> {
        let Some(project) = round.projects.last() else { return Ok(false) };
        let ctx = self.ctx();
        let (key, older_than, from) = (project.key.clone(), project.messages.oldest_shown(ctx.now), round.from);
        let look = self.store.read(move |tx| retention::outdated(tx, &key, older_than, from, LOG_BATCH));
        let outdated = look.await?;
        round.removed += outdated.len();
        round.from = outdated.next.unwrap_or(Place::START);
        if outdated.next.is_none() {
            round.projects.pop();
        }
        if !outdated.is_empty() {
            self.store.write(&ctx, move |tx, _| retention::remove(tx, &outdated)).await?;
        }
        Ok(!round.projects.is_empty())
    }
}
