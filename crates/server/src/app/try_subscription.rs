//! Try a subscription out: a test message, now.

use keyherald_core::Refusal;
use keyherald_store::subscription::{self as subscriptions, Attended, Stored};

use super::subscriptions::{SubscriptionRef, find};
use super::{Answer, App, Call};
use crate::deliver::{self, CannotTryOut, TriedOut};

impl App {
    /// Sends a test message to the subscription's destination, also when delivery has stopped. It takes the time of an attempt.
    pub async fn try_subscription(&self, call: Call, which: SubscriptionRef) -> Answer<Result<TriedOut, CannotTryOut>> {
        let ring = self.ring.clone();
        let look = move |tx: &mut dyn keyherald_store::Tx| {
            let Some(subscription) = find(tx, &call, &which)? else { return Ok(None) };
            let secret = subscriptions::secret(tx, &ring, &call.project, subscription.id)?;
            // What operators have done to it is about what is owed, and this is not.
            let attended = Attended::default();
            Ok(Some(Stored { project: call.project.clone(), subscription, secret, attended }))
        };
        let stored = self.store.read(look).await?.ok_or(Refusal::SubscriptionNotFound)?;
        Ok(deliver::try_out(&stored, &self.opener, &self.moments).await)
    }
}
