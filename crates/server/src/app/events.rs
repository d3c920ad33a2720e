//! Events for partners: the subscription that a project's configuration means, what has been sent, and sending it again.

use keyherald_core::event::EventType;
use keyherald_core::id::{CustomerId, MessageId, ProjectKey};
use keyherald_core::initiator::Initiator;
use keyherald_core::subscription::{
    self, Action, Command, DestinationSettings, FormatKind, MessageSelection, Selections, Subscription, Update,
};
use keyherald_core::{Ctx, Micros};
use keyherald_store::event::{self, resend};
pub use keyherald_store::event::{Asked, Listed, State};
use keyherald_store::subscription::Stored;
use keyherald_store::{Fault, Tx, customer, subscription as subscriptions};
use zeroize::Zeroizing;

use super::{Answer, App};
use crate::destination::paysafe::{PaysafeWebhook, Secrets, Settings};

/// Where a project's events go, as its configuration has it.
#[derive(Clone)]
pub struct Wanted {
    /// Which of them go anywhere.
    pub types: Vec<EventType>,
    /// Where, and how.
    pub settings: Settings,
    /// What is signed with. `None`: what is kept here, made when there is none yet.
    pub secrets: Option<Secrets>,
    /// Whether anything is.
    pub is_signed: bool,
}

/// What is to be sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resend {
    /// These events.
    These(Vec<MessageId>),
    /// All of a span of time.
    Span(Asked),
}

impl Resend {
    /// Events that can be named at once.
    pub const IDS_MAX: usize = 500;
    /// Longest span, in microseconds.
    pub const SPAN_MAX: i64 = 31 * Micros::DAY;
    /// Events that are put into the log in one transaction.
    pub(super) const BATCH: i64 = 200;
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resent {
    /// Names the request.
    pub id: MessageId,
    /// How many events it meant.
    pub matched: u64,
}

impl App {
    /// Makes the project's subscription to events what the configuration says: made, changed, or deleted when there is
    /// nowhere to send them. What waits is sent on after a change, as the bytes that it was.
    pub async fn ensure_events(&self, project: ProjectKey, wanted: Option<Wanted>) -> Answer<()> {
        let ring = self.ring.clone();
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            subscriptions::lock_project(tx, &project)?;
            let found = subscriptions::of_events(tx, &ring, &project)?;
            match (found, &wanted) {
                (None, None) => Ok(Ok(())),
                (Some(Stored { subscription: found, .. }), None) => {
                    subscriptions::claim(tx, &project, found.id)?;
                    event::abandon(tx, &project)?;
                    subscriptions::delete(tx, &project, &found, ctx).map(Ok)
                }
                (None, Some(wanted)) => {
                    let secret = wanted.secret(None, ctx);
                    match subscription::decide(&wanted.command(), (0, 1), false, ctx) {
                        Ok(new) => {
                            let secret = secret.as_ref().map(|secret| secret.as_slice());
                            subscriptions::insert(tx, &ring, &project, &new, secret, ctx).map(Ok)
                        }
                        Err(refusal) => Ok(Err(refusal)),
                    }
                }
                (Some(Stored { subscription: found, secret: kept, .. }), Some(wanted)) => {
                    subscriptions::claim(tx, &project, found.id)?;
                    let secret = wanted.secret(kept.as_ref(), ctx);
                    let update = wanted.update(&found, secret != kept);
                    match subscription::update(&found, &update, false, ctx) {
                        Ok(updated) => {
                            let secret = secret.as_ref().map(|secret| secret.as_slice());
                            subscriptions::update(tx, &ring, &project, &updated, secret, ctx).map(Ok)
                        }
                        Err(refusal) => Ok(Err(refusal)),
                    }
                }
            }
        };
        Ok(self.store.write(&self.ctx(), work).await??)
    }

    /// Hands what the project's events are signed with to `show`: for whoever must tell the partner. `None`: they are not
    /// signed, or go nowhere.
    pub async fn signing_secret<T>(&self, project: ProjectKey, show: impl FnOnce(&str) -> T) -> Answer<Option<T>> {
        let ring = self.ring.clone();
        let found = self.store.read(move |tx| subscriptions::of_events(tx, &ring, &project)).await?;
        let secrets = found.and_then(|found| Secrets::read(&found.secret?));
        Ok(secrets.map(|secrets| secrets.active.reveal_with(show)))
    }

    /// Events in the order in which they happened.
    pub async fn list_events(&self, project: ProjectKey, asked: Asked, page: (i64, i64)) -> Answer<Vec<Listed>> {
        Ok(self.store.query(move |tx| event::list(tx, &project, &asked, page)).await?)
    }

    /// The customer with this number of ours.
    pub async fn customer_by_number(&self, project: ProjectKey, number: &str) -> Answer<Option<CustomerId>> {
        let Ok(number) = number.parse() else { return Ok(None) };
        let found = self.store.read(move |tx| customer::by_number(tx, &project, &number)).await?;
        Ok(found.map(|found| found.id))
    }

    /// Has events sent again: the same bytes, under the same ids, in the order in which they happened. What has no body any
    /// more, or is another project's, is passed over.
    ///
    /// The first ones are in the log when this returns; of many, the rest follows in batches ([`App::sweep_once`]), also
    /// when this process ends.
    pub async fn resend_events(&self, project: ProjectKey, what: Resend) -> Answer<Resent> {
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            let id = MessageId::new(ctx);
            let matched = match &what {
                Resend::These(ids) => resend::these(tx, &project, ids, ctx)?,
                Resend::Span(asked) => {
                    let matched = resend::count(tx, &project, asked)?;
                    if matched > 0 {
                        resend::begin(tx, &project, id, asked)?;
                        resend::go_on(tx, Resend::BATCH, ctx)?;
                    }
                    matched
                }
            };
            Ok::<_, Fault>(Resent { id, matched })
        };
        Ok(self.store.write(&self.ctx(), work).await?)
    }
}

impl Wanted {
    /// What is to be kept: the configuration's, or what is kept already, or a new one.
    fn secret(&self, kept: Option<&Zeroizing<Vec<u8>>>, ctx: &mut Ctx) -> Option<Zeroizing<Vec<u8>>> {
        match (&self.secrets, kept) {
            (Some(secrets), _) => Some(secrets.lines()),
            (None, Some(kept)) => Some(kept.clone()),
            (None, None) => self.is_signed.then(|| Secrets::new(ctx).lines()),
        }
    }

    fn destination(&self) -> DestinationSettings {
        DestinationSettings { kind: PaysafeWebhook::NAME.to_owned(), settings: self.settings.stored() }
    }

    fn selections(&self) -> Vec<MessageSelection> {
        vec![event::selection(&self.types)]
    }

    fn command(&self) -> Command {
        Command {
            key: None,
            destination: self.destination(),
            selections: Selections { events: self.selections(), ..Selections::default() },
            format: FormatKind::Rendered,
            transformation: None,
            by: Initiator::default(),
        }
    }

    /// What differs.
    fn update(&self, found: &Subscription, new_secret: bool) -> Update {
        let (destination, events) = (self.destination(), self.selections());
        let mut actions = Vec::new();
        if found.destination != destination || new_secret {
            actions.push(Action::ChangeDestination(destination));
        }
        if found.selections.events != events {
            actions.push(Action::SetEvents(events));
        }
        Update { version: found.version, actions, by: Initiator::default() }
    }
}
