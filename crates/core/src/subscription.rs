//! Subscriptions: who wants which messages, where, in which form (commercetools.md chapter 8).

use serde::{Deserialize, Serialize};

use crate::ctx::{Ctx, Micros};
use crate::customer::Version;
use crate::id::{Key, SubscriptionId};
use crate::initiator::Initiator;
use crate::message::{Message, ResourceType};
use crate::{Refusal, refusal::UniqueField};

/// Subscriptions that a project may have (commercetools.md 8.1).
pub const PER_PROJECT_MAX: u32 = 50;

/// Messages of one resource type: all, or some types.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageSelection {
    /// The contract's resource type id. Types that we never emit are accepted: they never match.
    pub resource_type: String,
    /// Message types; empty: all of the resource type.
    #[serde(default)]
    pub types: Vec<String>,
}

/// The form in which messages are delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum FormatKind {
    /// The contract's own (commercetools.md 8.3).
    #[default]
    Platform,
    /// CloudEvents 1.0, structured JSON (commercetools.md 8.4).
    CloudEvents,
}

impl FormatKind {
    /// The contract's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Platform => "Platform",
            Self::CloudEvents => "CloudEvents",
        }
    }
}

/// Where messages go: a kind of destination and its settings. Secrets are sealed apart from them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DestinationSettings {
    /// Name in the list of destination kinds.
    pub kind: String,
    /// What a reader of the subscription may see, by wire name.
    pub settings: serde_json::Map<String, serde_json::Value>,
}

/// How delivery goes (commercetools.md 8.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SubscriptionStatus {
    /// Delivering.
    #[default]
    Healthy,
    /// The destination refuses; tried on.
    ConfigurationError,
    /// The destination said that it is gone: nothing is sent until it is changed.
    ConfigurationErrorDeliveryStopped,
    /// The destination fails; tried on.
    TemporaryError,
}

impl SubscriptionStatus {
    /// The contract's spelling, also stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "Healthy",
            Self::ConfigurationError => "ConfigurationError",
            Self::ConfigurationErrorDeliveryStopped => "ConfigurationErrorDeliveryStopped",
            Self::TemporaryError => "TemporaryError",
        }
    }
}

impl std::str::FromStr for SubscriptionStatus {
    type Err = crate::id::NotAnId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Healthy, Self::ConfigurationError, Self::ConfigurationErrorDeliveryStopped, Self::TemporaryError]
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or(crate::id::NotAnId)
    }
}

/// A subscription as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Its id.
    pub id: SubscriptionId,
    /// The caller's key.
    pub key: Option<Key>,
    /// Grows by one with every change.
    pub version: Version,
    /// When it was made.
    pub created_at: Micros,
    /// When it was changed.
    pub last_modified_at: Micros,
    /// Who made it.
    pub created_by: Initiator,
    /// Who changed it.
    pub last_modified_by: Initiator,
    /// Where to.
    pub destination: DestinationSettings,
    /// What.
    pub messages: Vec<MessageSelection>,
    /// In which form.
    pub format: FormatKind,
    /// How it goes.
    pub status: SubscriptionStatus,
}

impl Subscription {
    /// Whether it wants a message of `resource_type` and `message_type`.
    pub fn wants(&self, resource_type: ResourceType, message_type: &str) -> bool {
        self.messages.iter().any(|selection| {
            selection.resource_type == resource_type.as_str()
                && (selection.types.is_empty() || selection.types.iter().any(|wanted| wanted == message_type))
        })
    }

    /// Whether it wants `message`.
    pub fn wants_message(&self, message: &Message) -> bool {
        let content = &message.facts.content;
        self.wants(content.resource_type(), content.type_name())
    }
}

/// A draft whose form was checked by the dialect and whose destination by its kind.
#[derive(Clone)]
pub struct Command {
    /// The caller's key.
    pub key: Option<Key>,
    /// Where to.
    pub destination: DestinationSettings,
    /// What; not empty.
    pub messages: Vec<MessageSelection>,
    /// In which form.
    pub format: FormatKind,
    /// Who asks.
    pub by: Initiator,
}

/// Decides on the project's number of subscriptions and whether the key is taken, seen under the same transaction.
pub fn decide(command: &Command, existing: u32, key_taken: bool, ctx: &mut Ctx) -> Result<Subscription, Refusal> {
    if key_taken {
        return Err(Refusal::Duplicate(UniqueField::Key));
    }
    if existing >= PER_PROJECT_MAX {
        return Err(Refusal::TooManySubscriptions { limit: PER_PROJECT_MAX });
    }
    Ok(Subscription {
        id: SubscriptionId::new(ctx),
        key: command.key.clone(),
        version: 1,
        created_at: ctx.now,
        last_modified_at: ctx.now,
        created_by: command.by.clone(),
        last_modified_by: command.by.clone(),
        destination: command.destination.clone(),
        messages: command.messages.clone(),
        format: command.format,
        status: SubscriptionStatus::Healthy,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> Command {
        Command {
            key: None,
            destination: DestinationSettings { kind: "Webhook".into(), settings: serde_json::Map::new() },
            messages: vec![
                MessageSelection { resource_type: "customer".into(), types: vec!["CustomerPasswordUpdated".into()] },
                MessageSelection { resource_type: "customer-password-token".into(), types: vec![] },
            ],
            format: FormatKind::Platform,
            by: Initiator::default(),
        }
    }

    #[test]
    fn the_token_message_needs_the_token_resource_type() {
        let ctx = &mut Ctx::new(Micros(0), [0; 32]);
        let subscription = decide(&command(), 0, false, ctx).unwrap();
        assert!(subscription.wants(ResourceType::Customer, "CustomerPasswordUpdated"));
        assert!(!subscription.wants(ResourceType::Customer, "CustomerCreated"));
        assert!(subscription.wants(ResourceType::CustomerPasswordToken, "CustomerPasswordTokenCreated"));
    }

    #[test]
    fn limits() {
        let ctx = &mut Ctx::new(Micros(0), [0; 32]);
        assert_eq!(decide(&command(), 50, false, ctx).err(), Some(Refusal::TooManySubscriptions { limit: 50 }));
        assert_eq!(decide(&command(), 0, true, ctx).err(), Some(Refusal::Duplicate(UniqueField::Key)));
    }
}
