//! What the store remembers of a subscription's delivery: read at the start, written as it changes.
//!
//! A dispatcher may die while the store still has a write of its. If that landed after its successor had read, rows and
//! cursors of two lives would mix, and a cursor could pass messages that no row keeps. So whoever reads claims the
//! subscription first: it waits for writes that are under way, and voids those that have not begun ([`Claims`]). Between
//! processes the first half does: a dead process's transaction either holds the subscription already, or never ends.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use keyherald_core::Ctx;
use keyherald_core::id::{DeadLetterId, SubscriptionId};
use keyherald_core::message::Message;
use keyherald_core::notice::Notice;
use keyherald_store::delivery::{self, DeadLetter, ParkedLane};
use keyherald_store::log::Entry;
use keyherald_store::subscription::{self, Stored};
use keyherald_store::{Fault, Tx};

use super::Shared;
use super::dispatch::Ended;
use super::lanes::{Changes, Letter, Reason};
use crate::format;

/// Which dispatcher of this process has each subscription: the last one that claimed it.
#[derive(Default)]
pub(super) struct Claims(Mutex<BTreeMap<SubscriptionId, u64>>);

/// One dispatcher's claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claim(u64);

impl Claims {
    fn take(&self, id: SubscriptionId) -> Claim {
        let mut claims = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let claim = claims.entry(id).or_default();
        *claim += 1;
        Claim(*claim)
    }

    fn is_current(&self, id: SubscriptionId, claim: Claim) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&id) == Some(&claim.0)
    }
}

/// What a dispatcher starts from.
pub(super) struct Ledger {
    pub(super) claim: Claim,
    pub(super) cursors: Vec<(u16, i64)>,
    pub(super) parked: Vec<ParkedLane>,
    /// Positions above the lowest cursor that have a dead letter.
    pub(super) dead: Vec<i64>,
}

/// Claims the subscription and reads it, all of one moment. `None`: it is deleted.
pub(super) async fn load(shared: &Shared, stored: &Stored) -> Result<Option<Ledger>, Fault> {
    let (id, project) = (stored.subscription.id, stored.project.clone());
    let claim = shared.claims.take(id);
    let look = move |tx: &mut dyn Tx, _: &mut Ctx| {
        if !subscription::claim(tx, &project, id)? {
            return Ok(None);
        }
        let cursors = delivery::cursors(tx, id)?;
        let Some(lowest) = cursors.iter().map(|(_, position)| *position).min() else { return Ok(None) };
        let (parked, dead) = (delivery::parked(tx, id)?, delivery::dead_positions(tx, id, lowest)?);
        Ok(Some(Ledger { claim, cursors, parked, dead }))
    };
    shared.store.write(&shared.moments.ctx(), look).await
}

/// [`Changes`] as rows. Made once, however often the write is tried.
pub(super) struct Rows {
    claim: Claim,
    changes: Changes<Arc<Entry>>,
    letters: Vec<DeadLetter>,
}

impl Rows {
    /// Renders and seals the bodies of dead letters.
    pub(super) fn new(
        shared: &Shared,
        stored: &Stored,
        claim: Claim,
        changes: Changes<Arc<Entry>>,
    ) -> Result<Self, Fault> {
        let mut ctx = shared.moments.ctx();
        let letters = changes.letters.iter().map(|letter| dead_letter(shared, stored, letter, &mut ctx));
        Ok(Self { claim, letters: letters.collect::<Result<_, _>>()?, changes })
    }

    /// Writes them in one transaction. Or nothing: because the subscription was updated or deleted, or has another
    /// dispatcher.
    pub(super) async fn write(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        stored: &Arc<Stored>,
    ) -> Result<Result<(), Ended>, Fault> {
        let (rows, stored, of_write) = (self.clone(), stored.clone(), shared.clone());
        shared.store.write(&shared.moments.ctx(), move |tx, _| rows.put(tx, &of_write, &stored)).await
    }

    fn put(&self, tx: &mut dyn Tx, shared: &Shared, stored: &Stored) -> Result<Result<(), Ended>, Fault> {
        let id = stored.subscription.id;
        // In this order: once it is held, a new claim waits for this transaction before it reads.
        let held = subscription::hold(tx, &stored.project, id)?;
        if !shared.claims.is_current(id, self.claim) {
            return Ok(Err(Ended::Lost));
        }
        // What was dropped by an old filter, or failed at an old destination, is not done.
        let version = stored.subscription.version;
        match held {
            None => return Ok(Err(Ended::Lost)),
            Some(current) if current != version => return Ok(Err(Ended::Outdated)),
            Some(_) => {}
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
            subscription::set_status(tx, id, version, status)?;
        }
        Ok(Ok(()))
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
    let notice = match &entry.notice {
        Notice::Message(message) => Notice::Message(Box::new(Message { secret: None, ..(**message).clone() })),
        other @ (Notice::Change(_) | Notice::Activity(_)) => other.clone(),
    };
    let body = match format::render(&stored.project, &notice, stored.subscription.format, &shared.settings.event_ids) {
        Ok(rendered) => Some(delivery::seal_body(&shared.ring, id, &rendered.body, ctx)?),
        Err(format::Erased) => None,
    };
    let reason = match letter.reason {
        Reason::Exhausted => "exhausted",
        Reason::Erased => "erased",
        Reason::Rejected => "rejected",
    };
    Ok(DeadLetter {
        project: stored.project.clone(),
        id,
        subscription: stored.subscription.id,
        position: letter.item.position,
        message: notice.id(),
        customer: letter.item.customer,
        reason: reason.to_owned(),
        attempts: letter.attempts,
        last_error: letter.error.clone(),
        body,
        created_at: ctx.now,
    })
}
