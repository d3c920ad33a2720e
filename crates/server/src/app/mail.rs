//! What is mailed, sent by SMS, or told to a wallet elsewhere: the subscriptions that a project's configuration means.

use keyherald_core::Ctx;
use keyherald_core::id::{CustomerId, ProjectKey};
use keyherald_core::initiator::Initiator;
use keyherald_core::mail::{Channel, MailKind};
use keyherald_core::sms::SmsKind;
use keyherald_core::subscription::{
    self, Action, Command, DestinationSettings, FormatKind, MessageSelection, Selections, Subscription, Update,
};
use keyherald_core::wallet_notice::WalletNotice;
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
        let messages = selections(kinds.into_iter().map(MailKind::message));
        self.ensure_told(project, FormatKind::Letter, messages, destination).await
    }

    /// The same for short messages.
    pub async fn ensure_short_messages(
        &self,
        project: ProjectKey,
        kinds: Vec<SmsKind>,
        destination: DestinationSettings,
    ) -> Answer<()> {
        let messages = selections(kinds.into_iter().map(SmsKind::message));
        self.ensure_told(project, FormatKind::ShortMessage, messages, destination).await
    }

    /// The same for what a wallet elsewhere is told: of each password, or of nothing.
    pub async fn ensure_wallet_notices(
        &self,
        project: ProjectKey,
        has_wallet: bool,
        destination: DestinationSettings,
    ) -> Answer<()> {
        let messages = selections(has_wallet.then_some(WalletNotice::MESSAGE).into_iter());
        self.ensure_told(project, FormatKind::WalletNotice, messages, destination).await
    }

    async fn ensure_told(
        &self,
        project: ProjectKey,
        format: FormatKind,
        messages: Vec<MessageSelection>,
        destination: DestinationSettings,
    ) -> Answer<()> {
        let ring = self.ring.clone();
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            subscriptions::lock_project(tx, &project)?;
            let Some(found) = subscriptions::in_form(tx, &project, format)? else {
                if messages.is_empty() {
                    return Ok(Ok(()));
                }
                let command = Command {
                    key: None,
                    destination: destination.clone(),
                    selections: Selections { messages: messages.clone(), ..Selections::default() },
                    format,
                    transformation: None,
                    by: Initiator::default(),
                };
                return match subscription::decide(&command, (0, 1), false, ctx) {
                    Ok(new) => subscriptions::insert(tx, &ring, &project, &new, None, ctx).map(Ok),
                    Err(refusal) => Ok(Err(refusal)),
                };
            };
            subscriptions::claim(tx, &project, found.id)?;
            if messages.is_empty() {
                return subscriptions::delete(tx, &project, &found, ctx).map(Ok);
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
        Ok(self.store.read(move |tx| subscriptions::in_form(tx, &project, FormatKind::Letter)).await?)
    }

    /// How the project's mail goes, or its SMS, with at most `limit` entries of each kind; of one customer, if it is named.
    /// `None`: it sends none.
    pub async fn told_state(
        &self,
        project: ProjectKey,
        channel: Channel,
        customer: Option<CustomerId>,
        limit: i64,
    ) -> Answer<Option<ToldState>> {
        let format = match channel {
            Channel::Email => FormatKind::Letter,
            Channel::Sms => FormatKind::ShortMessage,
        };
        let look = move |tx: &mut dyn Tx| {
            let Some(subscription) = subscriptions::in_form(tx, &project, format)? else { return Ok(None) };
            let waiting = delivery::waiting(tx, subscription.id, customer, limit)?;
            let put_aside = delivery::put_aside(tx, subscription.id, customer, limit)?;
            Ok::<_, Fault>(Some(ToldState { subscription, waiting, put_aside }))
        };
        Ok(self.store.query(look).await?)
    }
}

/// How a project's mail goes, or its SMS.
pub struct ToldState {
    /// Its subscription.
    pub subscription: Subscription,
    /// Customers whose mail or SMS waits for another try, those first who wait longest.
    pub waiting: Vec<ParkedLane>,
    /// What will not be sent, the newest first.
    pub put_aside: Vec<DeadLetter>,
}

/// These messages, each once: of one there may be two mails.
fn selections(messages: impl Iterator<Item = (&'static str, &'static str)>) -> Vec<MessageSelection> {
    let mut messages: Vec<_> = messages.collect();
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
