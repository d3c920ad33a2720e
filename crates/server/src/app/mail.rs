//! What is mailed: the subscription that a project's configuration means.

use keyherald_core::Ctx;
use keyherald_core::id::{CustomerId, ProjectKey};
use keyherald_core::initiator::Initiator;
use keyherald_core::mail::MailKind;
use keyherald_core::subscription::{
    self, Action, Command, DestinationSettings, FormatKind, MessageSelection, Selections, Subscription, Update,
};
pub use keyherald_store::delivery::{DeadLetter, ParkedLane};
use keyherald_store::{Tx, delivery, subscription as subscriptions};

use super::{Answer, App, Fault};

impl App {
    /// Makes the project's subscription of letters what the configuration says: made, changed, or deleted when nothing is
    /// mailed. Mail begins with what happens after it was switched on; what waits is sent on after a change.
    pub async fn ensure_letters(
        &self,
        project: ProjectKey,
        kinds: Vec<MailKind>,
        destination: DestinationSettings,
    ) -> Answer<()> {
        let ring = self.ring.clone();
        let messages = selections(&kinds);
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            subscriptions::lock_project(tx, &project)?;
            let Some(found) = subscriptions::of_letters(tx, &project)? else {
                if messages.is_empty() {
                    return Ok(Ok(()));
                }
                let command = Command {
                    key: None,
                    destination: destination.clone(),
                    selections: Selections { messages: messages.clone(), ..Selections::default() },
                    format: FormatKind::Letter,
                    by: Initiator::default(),
                };
                return match subscription::decide(&command, 0, false, ctx) {
                    Ok(new) => subscriptions::insert(tx, &ring, &project, &new, None, ctx).map(Ok),
                    Err(refusal) => Ok(Err(refusal)),
                };
            };
            subscriptions::claim(tx, &project, found.id)?;
            if messages.is_empty() {
                return subscriptions::delete(tx, &project, &found, ctx.now).map(Ok);
            }
            let update = update(&found, &messages, &destination);
            match subscription::update(&found, &update, false, ctx) {
                Ok(updated) => subscriptions::update(tx, &ring, &project, &updated, None, ctx).map(Ok),
                Err(refusal) => Ok(Err(refusal)),
            }
        };
        Ok(self.store.write(&self.ctx(), work).await??)
    }

    /// The project's subscription of letters: how mail goes. `None`: it mails nothing.
    pub async fn letters(&self, project: ProjectKey) -> Answer<Option<Subscription>> {
        Ok(self.store.read(move |tx| subscriptions::of_letters(tx, &project)).await?)
    }

    /// How the project's mail goes, with at most `limit` entries of each kind; of one customer, if it is named. `None`: it
    /// mails nothing.
    pub async fn mail_state(
        &self,
        project: ProjectKey,
        customer: Option<CustomerId>,
        limit: i64,
    ) -> Answer<Option<MailState>> {
        let look = move |tx: &mut dyn Tx| {
            let Some(letters) = subscriptions::of_letters(tx, &project)? else { return Ok(None) };
            let waiting = delivery::waiting(tx, letters.id, customer, limit)?;
            let put_aside = delivery::put_aside(tx, letters.id, customer, limit)?;
            Ok::<_, Fault>(Some(MailState { letters, waiting, put_aside }))
        };
        Ok(self.store.query(look).await?)
    }
}

/// How a project's mail goes.
pub struct MailState {
    /// Its subscription of letters.
    pub letters: Subscription,
    /// Customers whose mail waits for another try, those first who wait longest.
    pub waiting: Vec<ParkedLane>,
    /// Mail that will not be sent, the newest first.
    pub put_aside: Vec<DeadLetter>,
}

/// The messages that bring these mails about.
fn selections(kinds: &[MailKind]) -> Vec<MessageSelection> {
    // Of one message there may be two mails.
    let mut messages: Vec<_> = kinds.iter().copied().map(MailKind::message).collect();
    messages.sort_unstable();
    messages.dedup();
    let selection = |(resource_type, message_type): (&str, &str)| MessageSelection {
        resource_type: resource_type.to_owned(),
        types: vec![message_type.to_owned()],
    };
    messages.into_iter().map(selection).collect()
}

/// What differs.
fn update(found: &Subscription, messages: &[MessageSelection], destination: &DestinationSettings) -> Update {
    let mut actions = Vec::new();
    if found.destination != *destination {
        actions.push(Action::ChangeDestination(destination.clone()));
    }
    if found.selections.messages != messages {
        actions.push(Action::SetMessages(messages.to_vec()));
    }
    Update { version: found.version, actions, by: Initiator::default() }
}
