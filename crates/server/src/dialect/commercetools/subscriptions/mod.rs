//! Subscriptions (commercetools.md chapter 8).
//!
//! Not here yet: update actions, change and event notifications.

pub mod create;
pub mod delete;
mod draft;
pub mod get;
pub mod health;
pub mod query;

use keyherald_core::Refusal;
use keyherald_core::subscription::{FormatKind, MessageSelection, Subscription};
use serde_json::{Value, json};

use super::predicate::Field;
use super::reply::{Named, Problem, refused};
use crate::app::subscriptions::SubscriptionRef;
use crate::format::commercetools::{Object, initiator};

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
    Object::default()
        .with("id", subscription.id.to_string())
        .with("version", subscription.version)
        .with("createdAt", subscription.created_at.iso())
        .with("lastModifiedAt", subscription.last_modified_at.iso())
        .with("lastModifiedBy", initiator(&subscription.last_modified_by))
        .with("createdBy", initiator(&subscription.created_by))
        .with_some("key", subscription.key.as_ref().map(ToString::to_string))
        .with("destination", Value::from(destination))
        .with("messages", subscription.messages.iter().map(selection).collect::<Vec<_>>())
        .with("changes", json!([]))
        .with("events", json!([]))
        .with("format", format(subscription.format))
        .with("status", subscription.status.as_str())
        .into()
}

fn selection(selection: &MessageSelection) -> Value {
    json!({"resourceTypeId": selection.resource_type, "types": selection.types})
}

fn format(format: FormatKind) -> Value {
    match format {
        FormatKind::Platform => json!({"type": "Platform"}),
        FormatKind::CloudEvents => json!({"type": "CloudEvents", "cloudEventsVersion": "1.0"}),
    }
}
