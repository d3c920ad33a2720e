//! Removes what has had its time, in small batches, so that no request waits for long: expired tokens and sessions, the
//! token values that messages carried, what is left of operations, events, and old entries of the log.
//!
//! A batch is a transaction of its own, and everything here is harmless when repeated: whatever is cut off goes on in the
//! next round. Several nodes may sweep at once.

use std::time::Duration;

use keyherald_core::{Ctx, Micros};
use keyherald_store::delivery::intervention;
use keyherald_store::event::{self, resend};
use keyherald_store::project::{self, Project};
use keyherald_store::retention::{self, Place};
use keyherald_store::{Tx, attempt, limit, operation, registration, session, throttle, token, verification};

use super::events::Resend;
use super::{Answer, App};

/// Rows that one transaction removes at most, of each kind.
const BATCH: i64 = 500;
/// Entries of the log that are looked at, and at most removed, at a time. Each has many index entries.
const LOG_BATCH: i64 = 200;

/// How long an operation that has ended can be looked at, in microseconds.
const OPERATION_KEPT_US: i64 = 30 * Micros::DAY;

/// How long a dead letter stays that was looked after, in microseconds.
const LETTER_KEPT_US: i64 = Micros::DAY;

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
    /// Removes expired tokens, values, sessions, sealed passwords, old operations and events, and goes on with what is to be
    /// sent again: one batch. Answers whether there may be more.
    pub async fn sweep_once(&self) -> Answer<bool> {
        let removed = self
            .store
            .write(&self.ctx(), |tx, ctx| {
                let kept_from = ctx.now.plus(-OPERATION_KEPT_US);
                let operations = operation::sweep(tx, ctx.now, kept_from, BATCH)?;
                let drafts = registration::sweep(tx, ctx.now, BATCH)?.max(verification::sweep(tx, ctx.now, BATCH)?);
                let short_lived = session::sweep(tx, ctx.now, BATCH)?.max(token::sweep(tx, ctx.now, BATCH)?);
                let sent = event::sweep(tx, ctx.now, BATCH)?.max(throttle::sweep(tx, ctx.now, BATCH)?);
                let sent = sent.max(limit::sweep(tx, ctx.now, BATCH)?);
                // Whole batches, however few events are left of what is to be sent again.
                let resent = if resend::go_on(tx, Resend::BATCH, ctx)? { BATCH.unsigned_abs() } else { 0 };
                Ok(operations.max(drafts).max(short_lived).max(sent).max(resent))
            })
            .await?;
        Ok(removed >= BATCH.unsigned_abs())
    }

    /// Removes attempts that began longer ago than they are kept, and dead letters that were looked after: one batch.
    /// Answers whether there may be more.
    pub async fn sweep_attempts(&self, kept: Duration) -> Answer<bool> {
        let kept_us = i64::try_from(kept.as_micros()).unwrap_or(i64::MAX);
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            let letters = intervention::sweep(tx, ctx.now.plus(-LETTER_KEPT_US), BATCH)?;
            Ok(attempt::sweep(tx, ctx.now.plus(-kept_us), BATCH)?.max(letters))
        };
        Ok(self.store.write(&self.ctx(), work).await? >= BATCH.unsigned_abs())
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
