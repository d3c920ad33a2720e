//! Subscriptions.

use keyherald_core::customer::Version;
use keyherald_core::delivery::Outcome;
use keyherald_core::id::{Key, ProjectKey, SubscriptionId};
use keyherald_core::subscription::{self, Command, FilterUnfit, MediaType, Subscription, Update, Updated};
use keyherald_core::{Ctx, Refusal};
use keyherald_store::subscription::{self as subscriptions, Attended, Stored};
use keyherald_store::{Fault, Listing, Page, Tx};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::destinations::{complete, succeed, tested_as};
use super::{Answer, App, Call, Failure};
use crate::deliver::{self, CannotTryOut};
use crate::destination::{self, Kind};

/// How a subscription is named in a request path.
#[derive(Clone)]
pub enum SubscriptionRef {
    /// By id.
    Id(SubscriptionId),
    /// By key.
    Key(Key),
}

pub(super) fn find(tx: &mut dyn Tx, call: &Call, which: &SubscriptionRef) -> Result<Option<Subscription>, Fault> {
    match which {
        SubscriptionRef::Id(id) => subscriptions::by_id(tx, &call.project, *id),
        SubscriptionRef::Key(key) => subscriptions::by_key(tx, &call.project, key),
    }
}

/// The subscription as it stands while no relay and no other call writes to it.
fn claim(tx: &mut dyn Tx, call: &Call, which: &SubscriptionRef) -> Result<Option<Subscription>, Fault> {
    let Some(found) = find(tx, call, which)? else { return Ok(None) };
    if !subscriptions::claim(tx, &call.project, found.id)? {
        return Ok(None);
    }
    // The key may have become another's before the lock was there.
    Ok(find(tx, call, which)?.filter(|there| there.id == found.id))
}

/// A test message did not arrive, so nothing was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotReached {
    /// The destination, as the contract names it.
    pub destination: String,
}

/// What is sealed of a destination.
type Secret = Option<Zeroizing<Vec<u8>>>;

/// Decides on a new subscription by what is there.
fn made(
    tx: &mut dyn Tx,
    call: &Call,
    (command, limit): (&Command, u32),
    ctx: &mut Ctx,
) -> Result<Result<Subscription, Refusal>, Fault> {
    let existing = subscriptions::count(tx, &call.project)?;
    let key_taken = match &command.key {
        Some(key) => subscriptions::by_key(tx, &call.project, key)?.is_some(),
        None => false,
    };
    let decided = subscription::decide(command, (existing, limit), key_taken, ctx);
    Ok(decided.map(|mut subscription| {
        complete(&call.project, &mut subscription);
        subscription
    }))
}

/// Decides on an update of a subscription as it stands.
fn updated(
    tx: &mut dyn Tx,
    call: &Call,
    before: &Subscription,
    update: &Update,
    ctx: &Ctx,
) -> Result<Result<Updated, Refusal>, Fault> {
    let key_taken = match update.key() {
        Some(key) => subscriptions::by_key(tx, &call.project, &key)?.is_some_and(|found| found.id != before.id),
        None => false,
    };
    let decided = subscription::update(before, update, key_taken, ctx);
    Ok(decided.map(|mut updated| {
        if updated.new_destination {
            complete(&call.project, &mut updated.subscription);
        }
        updated
    }))
}

/// A subscription as it would be stored.
struct Tested {
    project: ProjectKey,
    subscription: Subscription,
    secret: Secret,
}

/// Whether a template has something else to do than it had.
fn is_sent_otherwise(before: &Subscription, after: &Subscription) -> bool {
    before.transformation != after.transformation
        || before.selections != after.selections
        || before.destination.kind != after.destination.kind
}

/// Refuses a template that fails with what the subscription would be sent, or makes what its destination cannot take.
fn check_transformation(call: &Call, subscription: &Subscription) -> Result<(), Failure> {
    let Some(transformation) = &subscription.transformation else { return Ok(()) };
    let takes_text = destination::kind(&subscription.destination.kind).is_none_or(Kind::takes_text);
    if transformation.media_type != MediaType::Json && !takes_text {
        return Err(Refusal::FilterUnfit(FilterUnfit::JsonOnly).into());
    }
    let tried = deliver::try_template(&call.project, subscription, transformation);
    tried.map_err(|why| Failure::Refused(Refusal::TemplateFails(why)))
}

impl App {
    /// Makes a subscription; `secret` is what its destination signs or signs in with. Where the contract wants a test message to
    /// arrive first, it is sent between two transactions: the first one looks whether there is anything to refuse, the second
    /// decides anew.
    pub async fn create_subscription(
        &self,
        call: Call,
        command: Command,
        secret: Secret,
    ) -> Answer<Result<Subscription, NotReached>> {
        let (ring, ctx) = (self.ring.clone(), self.ctx()); // with the same chance, so that what is tested has its id
        // As it would be, whatever else there is.
        if let Ok(would_be) = subscription::decide(&command, (0, 1), false, &mut ctx.clone()) {
            check_transformation(&call, &would_be)?;
        }
        let limit = self.destinations.subscriptions_max.unwrap_or(subscription::PER_PROJECT_MAX);
        if tested_as(&command.destination).is_some() {
            let (call, command, ctx) = (call.clone(), command.clone(), ctx.clone());
            let project = call.project.clone();
            let look = move |tx: &mut dyn Tx| made(tx, &call, (&command, limit), &mut ctx.clone());
            let subscription = self.store.read(look).await??;
            if let Err(not_reached) = self.reach(Tested { project, subscription, secret: secret.clone() }).await {
                return Ok(Err(not_reached));
            }
        }
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            subscriptions::lock_project(tx, &call.project)?;
            match made(tx, &call, (&command, limit), ctx)? {
                Ok(subscription) => {
                    let secret = secret.as_ref().map(|secret| secret.as_slice());
                    subscriptions::insert(tx, &ring, &call.project, &subscription, secret, ctx)?;
                    Ok(Ok(subscription))
                }
                Err(refusal) => Ok(Err(refusal)),
            }
        };
        let created = self.store.write(&ctx, work).await??;
        self.tell_relay();
        Ok(Ok(created))
    }

    /// The subscription that a path names.
    pub async fn subscription(&self, call: Call, which: SubscriptionRef) -> Answer<Subscription> {
        let found = self.store.read(move |tx| find(tx, &call, &which)).await?;
        Ok(found.ok_or(Refusal::SubscriptionNotFound)?)
    }

    /// A page of the project's subscriptions.
    pub async fn subscriptions(&self, call: Call, listing: Listing) -> Answer<Page<Subscription>> {
        Ok(self.store.query(move |tx| subscriptions::page(tx, &call.project, &listing)).await?)
    }

    /// Carries out an update; `secret` is that of its last new destination, which may have to be reached first, as when a
    /// subscription is made.
    pub async fn update_subscription(
        &self,
        call: Call,
        which: SubscriptionRef,
        update: Update,
        secret: Secret,
    ) -> Answer<Result<Subscription, NotReached>> {
        self.check_update(&call, &which, &update).await?;
        let (ring, ctx) = (self.ring.clone(), self.ctx());
        if update.destination().and_then(tested_as).is_some() {
            let (call, which, update, ctx) = (call.clone(), which.clone(), update.clone(), ctx.clone());
            let project = call.project.clone();
            let look = move |tx: &mut dyn Tx| match find(tx, &call, &which)? {
                Some(before) => updated(tx, &call, &before, &update, &ctx),
                None => Ok(Err(Refusal::SubscriptionNotFound)),
            };
            let subscription = self.store.read(look).await??.subscription;
            if let Err(not_reached) = self.reach(Tested { project, subscription, secret: secret.clone() }).await {
                return Ok(Err(not_reached));
            }
        }
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            // Keys are given one after the other, as when subscriptions are made.
            subscriptions::lock_project(tx, &call.project)?;
            let Some(before) = claim(tx, &call, &which)? else { return Ok(Err(Refusal::SubscriptionNotFound)) };
            match updated(tx, &call, &before, &update, ctx)? {
                Ok(mut updated) => {
                    let mut secret = secret.clone();
                    if updated.new_destination {
                        let former = subscriptions::secret(tx, &ring, &call.project, before.id)?;
                        let former = former.map(|secret| (&before.destination, secret));
                        secret = succeed(&mut updated.subscription.destination, secret, former, ctx.now);
                    }
                    let secret = secret.as_ref().map(|secret| secret.as_slice());
                    subscriptions::update(tx, &ring, &call.project, &updated, secret, ctx)?;
                    Ok(Ok(updated.subscription))
                }
                Err(refusal) => Ok(Err(refusal)),
            }
        };
        let updated = self.store.write(&ctx, work).await??;
        self.tell_relay();
        Ok(Ok(updated))
    }

    /// Sends a test message, once, to a destination that is not stored yet, and answers whether it arrived.
    async fn reach(&self, tested: Tested) -> Result<(), NotReached> {
        let Tested { project, subscription, secret } = tested;
        let (id, kind) = (subscription.id, subscription.destination.kind.clone());
        let destination = tested_as(&subscription.destination).unwrap_or_default();
        let stored = Stored { project, subscription, secret, attended: Attended::default() };
        let why = match timeout(self.test_timeout, deliver::try_out(&stored, &self.opener, &self.moments)).await {
            Ok(Ok(tried)) => match tried.probed.outcome {
                Outcome::Delivered => return Ok(()),
                Outcome::Failed { reason, .. } | Outcome::Rejected { reason } | Outcome::Untransformed { reason } => {
                    reason
                }
                Outcome::Gone | Outcome::Erased | Outcome::Moot => "it was not taken".to_owned(),
            },
            // There is nothing that could be sent.
            Ok(Err(CannotTryOut::Format)) => return Ok(()),
            Ok(Err(CannotTryOut::Destination(error))) => error.to_string(),
            Err(_late) => "no answer in time".to_owned(),
        };
        tracing::info!(subscription = %id, kind, reason = why, "a test message did not arrive: nothing is stored");
        Err(NotReached { destination })
    }

    /// Tries out what would be sent after an update, before the transaction: that takes time. An update is for one version, and
    /// what is another one by then is refused for that.
    async fn check_update(&self, call: &Call, which: &SubscriptionRef, update: &Update) -> Result<(), Failure> {
        let (of_call, which) = (call.clone(), which.clone());
        let Some(found) = self.store.read(move |tx| find(tx, &of_call, &which)).await? else { return Ok(()) };
        match subscription::update(&found, update, false, &self.ctx()) {
            Ok(Updated { subscription: after, .. }) if is_sent_otherwise(&found, &after) => {
                check_transformation(call, &after)
            }
            _ => Ok(()), // or as it will be told
        }
    }

    /// Deletes a subscription and answers it as it was last.
    pub async fn delete_subscription(
        &self,
        call: Call,
        which: SubscriptionRef,
        version: Version,
    ) -> Answer<Subscription> {
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            let Some(last) = claim(tx, &call, &which)? else { return Ok(Err(Refusal::SubscriptionNotFound)) };
            if let Err(refusal) = subscription::check_version(&last, version) {
                return Ok(Err(refusal));
            }
            subscriptions::delete(tx, &call.project, &last, ctx)?;
            Ok(Ok(last))
        };
        let deleted = self.store.write(&self.ctx(), work).await??;
        self.tell_relay();
        Ok(deleted)
    }

    pub(super) fn tell_relay(&self) {
        self.subscriptions_changed.send_modify(|generation| *generation += 1);
    }
}
