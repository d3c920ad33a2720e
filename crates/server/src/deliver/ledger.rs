//! What the store remembers of a subscription's delivery: read at the start, written as it changes.

use std::sync::Arc;

use keyherald_core::Ctx;
use keyherald_core::id::DeadLetterId;
use keyherald_core::message::Message;
use keyherald_store::delivery::{self, DeadLetter, ParkedLane};
use keyherald_store::log::Entry;
use keyherald_store::subscription::{self, Stored};
use keyherald_store::{Fault, Tx};

use super::Shared;
use super::lanes::{Changes, Letter, Reason};
use crate::format;

/// What a dispatcher starts from.
pub(super) struct Ledger {
    pub(super) cursors: Vec<(u16, i64)>,
    pub(super) parked: Vec<ParkedLane>,
    /// Positions above the lowest cursor that have a dead letter.
    pub(super) dead: Vec<i64>,
}

/// Reads it, all of one moment. `None`: the subscription is deleted.
pub(super) async fn load(shared: &Shared, stored: &Stored) -> Result<Option<Ledger>, Fault> {
    let id = stored.subscription.id;
    let look = move |tx: &mut dyn Tx| {
        let cursors = delivery::cursors(tx, id)?;
        let Some(lowest) = cursors.iter().map(|(_, position)| *position).min() else { return Ok(None) };
        let (parked, dead) = (delivery::parked(tx, id)?, delivery::dead_positions(tx, id, lowest)?);
        Ok(Some(Ledger { cursors, parked, dead }))
    };
    shared.store.read(look).await
}

/// [`Changes`] as rows. Made once, however often the write is tried.
pub(super) struct Rows {
    changes: Changes<Arc<Entry>>,
    letters: Vec<DeadLetter>,
}

impl Rows {
    /// Renders and seals the bodies of dead letters.
    pub(super) fn new(shared: &Shared, stored: &Stored, changes: Changes<Arc<Entry>>) -> Result<Self, Fault> {
        let mut ctx = shared.moments.ctx();
        let letters = changes.letters.iter().map(|letter| dead_letter(shared, stored, letter, &mut ctx));
        Ok(Self { letters: letters.collect::<Result<_, _>>()?, changes })
    }

    /// Writes them in one transaction. False: the subscription is deleted, and nothing is written.
    pub(super) async fn write(self: &Arc<Self>, shared: &Shared, stored: &Arc<Stored>) -> Result<bool, Fault> {
        let (rows, stored) = (self.clone(), stored.clone());
        shared.store.write(&shared.moments.ctx(), move |tx, _| rows.put(tx, &stored)).await
    }

    fn put(&self, tx: &mut dyn Tx, stored: &Stored) -> Result<bool, Fault> {
        let id = stored.subscription.id;
        if !subscription::hold(tx, &stored.project, id)? {
            return Ok(false);
        }
        for letter in &self.letters {
            delivery::put_dead_letter(tx, letter)?;
        }
        for lane in &self.changes.parked {
            delivery::park(tx, id, lane)?;
        }
        for customer in &self.changes.unparked {
            delivery::unpark(tx, id, *customer)?;
        }
        for (position, partitions) in &self.changes.cursors {
            delivery::move_cursors(tx, id, *partitions, *position)?;
        }
        if let Some(status) = self.changes.status {
            subscription::set_status(tx, id, status)?;
        }
        Ok(true)
    }
}

fn dead_letter(
    shared: &Shared,
    stored: &Stored,
    letter: &Letter<Arc<Entry>>,
    ctx: &mut Ctx,
) -> Result<DeadLetter, Fault> {
    let (id, entry) = (DeadLetterId::new(ctx), &letter.item.body);
    // A token value must not live on in a letter when its own seal is erased.
    let message = Message { secret: None, ..entry.message.clone() };
    let body = match format::render(&stored.project, &message, stored.subscription.format) {
        Ok(rendered) => Some(delivery::seal_body(&shared.ring, id, &rendered.body, ctx)?),
        Err(format::Erased) => None,
    };
    let reason = match letter.reason {
        Reason::Exhausted => "exhausted",
        Reason::Erased => "erased",
    };
    Ok(DeadLetter {
        project: stored.project.clone(),
        id,
        subscription: stored.subscription.id,
        position: letter.item.position,
        message: entry.message.id,
        customer: letter.item.customer,
        reason: reason.to_owned(),
        attempts: letter.attempts,
        last_error: letter.error.clone(),
        body,
        created_at: ctx.now,
    })
}
