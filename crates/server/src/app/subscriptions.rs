//! Subscriptions.

use keyherald_core::customer::Version;
use keyherald_core::id::{Key, SubscriptionId};
use keyherald_core::subscription::{self, Command, Subscription, Update};
use keyherald_core::{Ctx, Refusal};
use keyherald_store::{Fault, Listing, Page, Tx, subscription as subscriptions};
use zeroize::Zeroizing;

use super::destinations::succeed;
use super::{Answer, App, Call};

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

impl App {
    /// Makes a subscription; `secret` is what its destination signs or signs in with.
    pub async fn create_subscription(
        &self,
        call: Call,
        command: Command,
        secret: Option<Zeroizing<Vec<u8>>>,
    ) -> Answer<Subscription> {
        let ring = self.ring.clone();
        let limit = self.destinations.subscriptions_max.unwrap_or(subscription::PER_PROJECT_MAX);
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            let existing = subscriptions::count_locked(tx, &call.project)?;
            let key_taken = match &command.key {
                Some(key) => subscriptions::by_key(tx, &call.project, key)?.is_some(),
                None => false,
            };
            match subscription::decide(&command, (existing, limit), key_taken, ctx) {
                Ok(subscription) => {
                    let secret = secret.as_ref().map(|secret| secret.as_slice());
                    subscriptions::insert(tx, &ring, &call.project, &subscription, secret, ctx)?;
                    Ok(Ok(subscription))
                }
                Err(refusal) => Ok(Err(refusal)),
            }
        };
        let created = self.store.write(&self.ctx(), work).await??;
        self.tell_relay();
        Ok(created)
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

    /// Carries out an update; `secret` is that of its last new destination.
    pub async fn update_subscription(
        &self,
        call: Call,
        which: SubscriptionRef,
        update: Update,
        secret: Option<Zeroizing<Vec<u8>>>,
    ) -> Answer<Subscription> {
        let ring = self.ring.clone();
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            // Keys are given one after the other, as when subscriptions are made.
            subscriptions::lock_project(tx, &call.project)?;
            let Some(before) = claim(tx, &call, &which)? else { return Ok(Err(Refusal::SubscriptionNotFound)) };
            let key_taken = match update.key() {
                Some(key) => subscriptions::by_key(tx, &call.project, &key)?.is_some_and(|found| found.id != before.id),
                None => false,
            };
            match subscription::update(&before, &update, key_taken, ctx) {
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
        let updated = self.store.write(&self.ctx(), work).await??;
        self.tell_relay();
        Ok(updated)
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
            subscriptions::delete(tx, &call.project, &last, ctx.now)?;
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
