//! Subscriptions (commercetools.md chapter 8).

pub mod create;
pub mod delete;
mod draft;
mod extension;
pub mod get;
pub mod health;
pub mod query;
pub mod update;

use keyherald_core::Refusal;
use keyherald_core::subscription::{FormatKind, MessageSelection, Subscription};
use serde_json::{Map, Value, json};

use self::draft::DestinationDraft;
use super::reply::{Named, Problem, refused};
use crate::app::App;
use crate::app::destinations::{Accepted, DestinationRefused};
use crate::app::subscriptions::{NotReached, SubscriptionRef};
use crate::format::commercetools::{Object, initiator};
use crate::predicate::Field;

/// What subscriptions can be filtered and sorted by.
static FIELDS: &[Field] = &[
    Field::text("id"),
    Field::integer("version"),
    Field::date_time("createdAt"),
    Field::date_time("lastModifiedAt"),
    Field::text("key"),
    Field::text("status"),
];

/// A subscription as a path names it.
struct Target {
    which: SubscriptionRef,
    named: Named,
}

impl Target {
    /// By id. Text that cannot be an id names none.
    fn by_id(text: &str) -> Result<Self, Problem> {
        Self::new(text.parse().ok().map(SubscriptionRef::Id), Named::id(text))
    }

    /// By key. Text that cannot be a key names none.
    fn by_key(text: &str) -> Result<Self, Problem> {
        Self::new(text.parse().ok().map(SubscriptionRef::Key), Named::key(text))
    }

    fn new(which: Option<SubscriptionRef>, named: Named) -> Result<Self, Problem> {
        match which {
            Some(which) => Ok(Self { which, named }),
            None => Err(refused(&Refusal::SubscriptionNotFound, &named)),
        }
    }
}

/// A subscription as it is answered: what it says about its destination holds no secret.
fn subscription(subscription: &Subscription) -> Value {
    let destination = Object::default()
        .with("type", subscription.destination.kind.as_str())
        .with_all(subscription.destination.settings.clone());
    let selections = &subscription.selections;
    Object::default()
        .with("id", subscription.id.to_string())
        .with("version", subscription.version)
        .with("createdAt", subscription.created_at.iso())
        .with("lastModifiedAt", subscription.last_modified_at.iso())
        .with("lastModifiedBy", initiator(&subscription.last_modified_by))
        .with("createdBy", initiator(&subscription.created_by))
        .with_some("key", subscription.key.as_ref().map(ToString::to_string))
        .with("destination", Value::from(destination))
        .with("messages", selections.messages.iter().map(selection).collect::<Vec<_>>())
        .with("changes", selections.changes.iter().map(|of| json!({"resourceTypeId": of})).collect::<Vec<_>>())
        .with("events", selections.events.iter().map(selection).collect::<Vec<_>>())
        .with("format", format(subscription.format))
        .with("status", subscription.status.as_str())
        .with_some("filter", selections.filter.as_ref().map(extension::shown_filter))
        .with_some("transformation", subscription.transformation.as_ref().map(extension::shown_transformation))
        .into()
}

/// The same, with what only the answer to its destination's making shows.
fn with_shown_once(mut subscription: Value, shown_once: Map<String, Value>) -> Value {
    if let Some(destination) = subscription.get_mut("destination").and_then(Value::as_object_mut) {
        destination.extend(shown_once);
    }
    subscription
}

/// Has the destination of a draft checked by its kind.
fn accepted(app: &App, draft: &DestinationDraft) -> Result<Accepted, Problem> {
    let DestinationDraft { kind, settings } = draft;
    app.accept_destination(kind, settings).map_err(|refused| unusable(kind, refused))
}

/// Why a destination cannot be used, for the caller.
fn unusable(kind: &str, refused: DestinationRefused) -> Problem {
    match refused {
        DestinationRefused::NotAvailable { available } => {
            let available = available.join(", ");
            Problem::invalid_input(format!(
                "Destinations of type {kind} are not available on this server yet; use one of: {available}."
            ))
        }
        DestinationRefused::UnknownKind { known } => {
            let known: Vec<String> = known.iter().map(|known| format!("'{known}'")).collect();
            let known = known.join(",");
            Problem::invalid_json(format!(
                "destination -> type: Invalid enum value: '{kind}'. Expected one of: {known}"
            ))
        }
        DestinationRefused::Settings(text) => Problem::invalid_input(text),
    }
}

/// That a test message did not arrive (commercetools.md 8.1).
fn not_reached(NotReached { destination }: &NotReached) -> Problem {
    Problem::invalid_input(format!(
        "A test message could not be delivered to this destination: {destination}. Please make sure your destination is correctly configured."
    ))
}

fn selection(selection: &MessageSelection) -> Value {
    json!({"resourceTypeId": selection.resource_type, "types": selection.types})
}

fn format(format: FormatKind) -> Value {
    match format {
        FormatKind::Platform => json!({"type": "Platform"}),
        FormatKind::NavigaActivity => json!({"type": "NavigaActivity"}),
        // The configuration's: no call sees such a subscription.
        FormatKind::Letter | FormatKind::ShortMessage | FormatKind::Rendered | FormatKind::WalletNotice => {
            json!({"type": format.as_str()})
        }
        FormatKind::CloudEvents => json!({"type": "CloudEvents", "cloudEventsVersion": "1.0"}),
    }
}
