//! What the store remembers of a subscription's delivery: read at the start, written as it changes.
//!
//! A dispatcher may die while the store still has a write of its. If that landed after its successor had read, rows and
//! cursors of two lives would mix, and a cursor could pass messages that no row keeps. So whoever reads claims the
//! subscription first: it waits for writes that are under way, and voids those that have not begun. [`Claims`] tell the
//! lives of one process apart, the fence of its [`Tenure`] those of several.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use keyherald_core::delivery::Outcome;
use keyherald_core::event::Sending;
use keyherald_core::id::{CustomerId, DeadLetterId, SubscriptionId};
use keyherald_core::lease::Fence;
use keyherald_core::message::Message;
use keyherald_core::notice::Notice;
use keyherald_core::relay::lanes::{Changes, Letter, ParkedLane, Reason};
use keyherald_core::relay::ledger::{Ended, Found, keep_held};
use keyherald_core::{Ctx, Micros};
use keyherald_store::delivery::{self, DeadLetter, intervention};
use keyherald_store::event::{self, Settled};
use keyherald_store::log::Entry;
use keyherald_store::subscription::{self, Stored};
use keyherald_store::{Fault, Tx, lease};

use super::Shared;
use super::compiled::Compiled;
use super::tenure::Tenure;

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
    /// Positions with a dead letter that a cursor has not passed, or that a lane's row keeps.
    pub(super) dead: Vec<i64>,
    /// Up to where customers' messages are sent once more.
    pub(super) replayed: BTreeMap<CustomerId, i64>,
}

/// Claims the subscription and reads what the tenure has of it, all of one moment. `None`: it is deleted.
pub(super) async fn load(shared: &Shared, stored: &Stored, tenure: &Tenure) -> Result<Option<Ledger>, Fault> {
    let (id, project, held) = (stored.subscription.id, stored.project.clone(), tenure.partitions());
    let claim = shared.claims.take(id);
    let look = move |tx: &mut dyn Tx, _: &mut Ctx| {
        if !subscription::claim(tx, &project, id)? {
            return Ok(None);
        }
        let mut cursors = delivery::cursors(tx, id)?;
        let mut parked = delivery::parked(tx, id)?;
        let Some(lowest) = keep_held(&mut cursors, &mut parked, held) else { return Ok(None) };
        let dead = delivery::dead_positions(tx, id, lowest)?;
        let replayed = intervention::replayed(tx, id)?.into_iter().collect();
        Ok(Some(Ledger { claim, cursors, parked, dead, replayed }))
    };
    shared.store.write(&shared.moments.ctx(), look).await
}

/// [`Changes`] as rows. Made once, however often the write is tried.
pub(super) struct Rows {
    claim: Claim,
    fence: Option<Fence>,
    changes: Changes<Arc<Entry>>,
    letters: Vec<DeadLetter>,
    /// In the order of their ids, as all who write several of them do.
    settled: Vec<(Sending, Settled)>,
    note: Option<Note>,
    at: Micros,
}

/// How the destination does, of one that is disabled when it has accepted nothing for so many microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Note {
    /// It has accepted something ...
    pub(super) accepted: bool,
    /// ... and fails since then.
    pub(super) fails: bool,
    pub(super) disable_after: i64,
}

impl Rows {
    /// Renders and seals the bodies of dead letters.
    pub(super) fn new(
        shared: &Shared,
        of: (&Stored, &Compiled),
        (claim, fence): (Claim, Option<Fence>),
        (changes, mut settled): (Changes<Arc<Entry>>, Vec<(Sending, Settled)>),
        note: Option<Note>,
    ) -> Result<Self, Fault> {
        let mut ctx = shared.moments.ctx();
        settled.extend(changes.letters.iter().filter_map(|letter| match &letter.item.body.notice {
            Notice::Event(sending) => Some((sending.clone(), Settled::Parked)),
            _ => None,
        }));
        settled.sort_by_key(|(sending, _)| (sending.event, sending.position));
        let at = ctx.now;
        let letters = changes.letters.iter().map(|letter| dead_letter(shared, of, letter, &mut ctx));
        Ok(Self { claim, fence, letters: letters.collect::<Result<_, _>>()?, changes, settled, note, at })
    }

    /// Writes them in one transaction. Or nothing: because the subscription was updated or deleted, or because another
    /// dispatcher, here or on another node, goes on with what this one had.
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
        let found = Found {
            is_claim_current: shared.claims.is_current(id, self.claim),
            is_fence_intact: match &self.fence {
                Some(fence) => lease::is_intact(tx, fence)?,
                None => true,
            },
            version: held,
        };
        let version = stored.subscription.version;
        if let Err(ended) = found.permits(&(version, stored.attended.interventions)) {
            return Ok(Err(ended));
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
        for (sending, settled) in &self.settled {
            event::settle(tx, &stored.project, sending, *settled, self.at)?;
        }
        if let Some(status) = self.changes.status {
            subscription::set_status(tx, id, version, status)?;
        }
        if self.note.is_some_and(|note| note.accepted) {
            subscription::note_accepting(tx, id, version)?;
        }
        if let Some(Note { fails: true, disable_after, .. }) = self.note
            && subscription::note_failing(tx, &stored.project, &stored.subscription, disable_after, self.at)?
        {
            return Ok(Err(Ended::Disabled)); // with all that was written here
        }
        Ok(Ok(()))
    }
}

fn dead_letter(
    shared: &Shared,
    (stored, compiled): (&Stored, &Compiled),
    letter: &Letter<Arc<Entry>>,
    ctx: &mut Ctx,
) -> Result<DeadLetter, Fault> {
    let (id, entry) = (DeadLetterId::new(ctx), &letter.item.body);
    // A token value must not live on in a letter when its own seal is erased.
    let notice = match &entry.notice {
        Notice::Message(message) => Notice::Message(Box::new(Message { secret: None, ..(**message).clone() })),
        other @ (Notice::Change(_) | Notice::Activity(_) | Notice::Event(_)) => other.clone(),
    };
    let (of, terms) = ((&stored.project, &stored.subscription), (&shared.settings.event_ids, None));
    // Of what a template makes nothing of, it is kept what the template was given.
    let rendered = match compiled.render(of, &notice, terms) {
        Err(Outcome::Untransformed { .. }) => Compiled::default().render(of, &notice, terms),
        rendered => rendered,
    };
    let body = rendered.ok().map(|rendered| delivery::seal_body(&shared.ring, id, &rendered.body, ctx)).transpose()?;
    let reason = match letter.reason {
        Reason::Exhausted => "exhausted",
        Reason::Erased => "erased",
        Reason::Untransformed => "untransformed",
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
