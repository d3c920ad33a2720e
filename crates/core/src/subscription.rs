//! Subscriptions: who wants which messages, where, in which form (commercetools.md chapter 8).

use serde::{Deserialize, Serialize};

use crate::Refusal;
use crate::ctx::{Ctx, Micros};
use crate::customer::Version;
use crate::event::EventType;
use crate::id::{Key, SubscriptionId};
use crate::initiator::Initiator;
use crate::message::ResourceType;
use crate::notice::Notice;
use crate::refusal::{UniqueField, Versioned};

mod filter;
#[cfg(test)]
mod tests;
mod transformation;

pub use filter::NoticeFilter;
pub use transformation::{MediaType, Transformation};

/// Subscriptions that a project may have, unless its operator allows more (commercetools.md 8.1).
pub const PER_PROJECT_MAX: u32 = 50;

/// The service whose events are the project's activity; its types are the codes of events.
pub const ACTIVITY: &str = "activity";

/// The service whose events are those of [`crate::event`]; its types are theirs.
pub const RENDERED: &str = "rendered-event";

/// Messages (or events) of one resource type: all, or some types.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageSelection {
    /// The contract's resource type id. Types that we never emit are accepted: they never match.
    pub resource_type: String,
    /// Message types; empty: all of the resource type.
    #[serde(default)]
    pub types: Vec<String>,
}

/// What a subscription asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selections {
    /// Messages.
    pub messages: Vec<MessageSelection>,
    /// Changes: the contract's resource type ids. Types that we do not have are accepted: they never match.
    pub changes: Vec<String>,
    /// Events: of our [`ACTIVITY`], of what was [`RENDERED`], or of services that are not ours, which never happen here.
    pub events: Vec<MessageSelection>,
    /// Which of them, if not all.
    pub filter: Option<NoticeFilter>,
}

impl Selections {
    /// Refuses a subscription that asks for nothing, or whose filter would never let through what it asks for.
    fn check(&self, format: FormatKind) -> Result<(), Refusal> {
        if self.messages.is_empty() && self.changes.is_empty() && self.events.is_empty() {
            return Err(Refusal::NothingSubscribed);
        }
        let Some(filter) = &self.filter else { return Ok(()) };
        if !matches!(format, FormatKind::Platform | FormatKind::CloudEvents) {
            return Err(Refusal::FilterUnfit(FilterUnfit::Format));
        }
        if !filter.flows.is_empty() && !self.changes.is_empty() {
            return Err(Refusal::FilterUnfit(FilterUnfit::FlowsOfChanges));
        }
        Ok(())
    }
}

/// Why a filter or a transformation does not go with the rest of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterUnfit {
    /// What this format has cannot be filtered.
    Format,
    /// Changes come about by no flow: with a filter of flows none would ever be sent.
    FlowsOfChanges,
    /// Only the contract's own body is transformed.
    TransformedFormat,
    /// The destination takes JSON alone.
    JsonOnly,
}

/// The form in which messages are delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum FormatKind {
    /// The contract's own (commercetools.md 8.3).
    #[default]
    Platform,
    /// CloudEvents 1.0, structured JSON (commercetools.md 8.4).
    CloudEvents,
    /// Activity as Naviga's event records (naviga.md 5). Of activity alone, and all that activity comes in.
    NavigaActivity,
    /// What a mail must say. Only the subscriptions that the configuration makes have it.
    Letter,
    /// What an SMS must say. Only the subscriptions that the configuration makes have it.
    ShortMessage,
    /// Bodies that were rendered when they happened, and nothing else. Only the subscriptions that the configuration makes
    /// have it.
    Rendered,
    /// What a wallet elsewhere must be told. Only the subscriptions that the configuration makes have it.
    WalletNotice,
}

impl FormatKind {
    /// Whether callers may ask for it. The others are the configuration's: no call sees such subscriptions.
    pub fn is_of_callers(self) -> bool {
        !matches!(self, Self::Letter | Self::ShortMessage | Self::Rendered | Self::WalletNotice)
    }

    /// The contract's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Platform => "Platform",
            Self::CloudEvents => "CloudEvents",
            Self::NavigaActivity => "NavigaActivity",
            Self::Letter => "Letter",
            Self::ShortMessage => "ShortMessage",
            Self::Rendered => "Rendered",
            Self::WalletNotice => "WalletNotice",
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
    pub selections: Selections,
    /// In which form.
    pub format: FormatKind,
    /// What is sent in that form's place, if anything is.
    pub transformation: Option<Transformation>,
    /// How it goes.
    pub status: SubscriptionStatus,
}

impl Subscription {
    /// Whether it wants a message of `resource_type` and `message_type`.
    pub fn wants_message(&self, resource_type: ResourceType, message_type: &str) -> bool {
        self.selections.messages.iter().any(|selection| {
            selection.resource_type == resource_type.as_str()
                && (selection.types.is_empty() || selection.types.iter().any(|wanted| wanted == message_type))
        })
    }

    /// Whether it wants changes of `resource_type`.
    pub fn wants_changes(&self, resource_type: ResourceType) -> bool {
        self.selections.changes.iter().any(|wanted| wanted == resource_type.as_str())
    }

    /// Whether it wants the activity whose event has this code. `None`: the entry is no single event.
    pub fn wants_activity(&self, code: Option<&str>) -> bool {
        self.selections.events.iter().filter(|selection| selection.resource_type == ACTIVITY).any(|selection| {
            selection.types.is_empty() || selection.types.iter().any(|wanted| Some(wanted.as_str()) == code)
        })
    }

    /// Whether it wants events of this type.
    pub fn wants_events(&self, event_type: EventType) -> bool {
        let of_rendered = self.selections.events.iter().filter(|selection| selection.resource_type == RENDERED);
        of_rendered.flat_map(|selection| &selection.types).any(|wanted| wanted == event_type.as_str())
    }

    /// Whether it wants `notice`, and in a form that there is of it. The predicate of its filter is not looked at.
    pub fn wants(&self, notice: &Notice) -> bool {
        self.is_asked_for(notice) && self.selections.filter.as_ref().is_none_or(|filter| filter.admits(notice))
    }

    fn is_asked_for(&self, notice: &Notice) -> bool {
        let is_of_activity = self.format == FormatKind::NavigaActivity;
        let is_of_rendered = self.format == FormatKind::Rendered;
        match notice {
            Notice::Event(sending) => is_of_rendered && self.wants_events(sending.event_type),
            _ if is_of_rendered => false,
            Notice::Activity(recorded) => {
                let code = recorded.activity.facts.event_code();
                is_of_activity && self.wants_activity(code.map(|code| code.code))
            }
            _ if is_of_activity => false,
            Notice::Message(message) => {
                let content = &message.facts.content;
                self.wants_message(content.resource_type(), content.type_name())
            }
            Notice::Change(change) => self.wants_changes(change.facts.resource_type),
        }
    }
}

/// A draft whose form was checked by the dialect and whose destination by its kind.
#[derive(Clone)]
pub struct Command {
    /// The caller's key.
    pub key: Option<Key>,
    /// Where to.
    pub destination: DestinationSettings,
    /// What.
    pub selections: Selections,
    /// In which form.
    pub format: FormatKind,
    /// What is sent in that form's place, if anything is.
    pub transformation: Option<Transformation>,
    /// Who asks.
    pub by: Initiator,
}

/// Decides on the project's number of subscriptions, of so many that it may have, and whether the key is taken, seen under the same
/// transaction.
pub fn decide(
    command: &Command,
    (existing, limit): (u32, u32),
    key_taken: bool,
    ctx: &mut Ctx,
) -> Result<Subscription, Refusal> {
    command.selections.check(command.format)?;
    check_transformation(command.transformation.as_ref(), command.format)?;
    if key_taken {
        return Err(Refusal::Duplicate(UniqueField::Key));
    }
    if existing >= limit {
        return Err(Refusal::TooManySubscriptions { limit });
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
        selections: command.selections.clone(),
        format: command.format,
        transformation: command.transformation.clone(),
        status: SubscriptionStatus::Healthy,
    })
}

/// One change of a subscription. The dialect has checked its form, and a destination's kind the destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Another destination, or other settings or another secret of the same: delivery begins anew.
    ChangeDestination(DestinationSettings),
    /// Sets or removes the key.
    SetKey(Option<Key>),
    /// Replaces what it wants of messages.
    SetMessages(Vec<MessageSelection>),
    /// Replaces what it wants of changes.
    SetChanges(Vec<String>),
    /// Replaces what it wants of events.
    SetEvents(Vec<MessageSelection>),
    /// Sets or removes the filter.
    SetFilter(Option<NoticeFilter>),
    /// Sets or removes the transformation.
    SetTransformation(Option<Transformation>),
}

/// What the caller of an update asks for.
#[derive(Clone)]
pub struct Update {
    /// The version that the caller read.
    pub version: Version,
    /// One after the other; all or nothing.
    pub actions: Vec<Action>,
    /// Who asks.
    pub by: Initiator,
}

impl Update {
    /// Most actions of one update (commercetools.md 2.5).
    pub const ACTIONS_MAX: usize = 500;

    /// The destination that the subscription would have from now on, if it gets another one.
    pub fn destination(&self) -> Option<&DestinationSettings> {
        self.actions.iter().rev().find_map(|action| match action {
            Action::ChangeDestination(destination) => Some(destination),
            _ => None,
        })
    }

    /// The key that the subscription would have from now on, if one is set.
    pub fn key(&self) -> Option<Key> {
        let set = |action: &Action| match action {
            Action::SetKey(key) => Some(key.clone()),
            _ => None,
        };
        self.actions.iter().rev().find_map(set).flatten()
    }
}

/// What one transaction must write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Updated {
    /// The subscription after the update, one version further; or as it was.
    pub subscription: Subscription,
    /// Whether there is anything to write.
    pub changed: bool,
    /// Whether the destination's secret is replaced, and what failed at the former one is tried at once.
    pub new_destination: bool,
}

/// Decides on the claimed subscription. `key_taken`: another subscription of the project has the key of
/// [`Update::key`], seen under the same transaction. What it asks for is looked at after all actions: they may swap.
pub fn update(subscription: &Subscription, update: &Update, key_taken: bool, ctx: &Ctx) -> Result<Updated, Refusal> {
    if update.actions.len() > Update::ACTIONS_MAX {
        return Err(Refusal::TooManyActions { limit: Update::ACTIONS_MAX });
    }
    check_version(subscription, update.version)?;
    let mut after = subscription.clone();
    let mut new_destination = false;
    for action in &update.actions {
        match action {
            Action::ChangeDestination(destination) => {
                after.destination.clone_from(destination);
                after.status = SubscriptionStatus::Healthy;
                new_destination = true;
            }
            Action::SetKey(key) => after.key.clone_from(key),
            Action::SetMessages(messages) => after.selections.messages.clone_from(messages),
            Action::SetChanges(changes) => after.selections.changes.clone_from(changes),
            Action::SetEvents(events) => after.selections.events.clone_from(events),
            Action::SetFilter(filter) => after.selections.filter.clone_from(filter),
            Action::SetTransformation(transformation) => after.transformation.clone_from(transformation),
        }
    }
    after.selections.check(after.format)?;
    check_transformation(after.transformation.as_ref(), after.format)?;
    if key_taken && after.key != subscription.key {
        return Err(Refusal::Duplicate(UniqueField::Key));
    }
    let changed = new_destination || after != *subscription;
    if changed {
        after.version += 1;
        after.last_modified_at = ctx.now;
        after.last_modified_by.clone_from(&update.by);
    }
    Ok(Updated { subscription: after, changed, new_destination })
}

fn check_transformation(transformation: Option<&Transformation>, format: FormatKind) -> Result<(), Refusal> {
    if transformation.is_some() && format != FormatKind::Platform {
        return Err(Refusal::FilterUnfit(FilterUnfit::TransformedFormat));
    }
    Ok(())
}

/// Refuses a version that is not the subscription's.
pub fn check_version(subscription: &Subscription, expected: Version) -> Result<(), Refusal> {
    if subscription.version == expected {
        return Ok(());
    }
    let of = Versioned::Subscription(subscription.id);
    Err(Refusal::VersionMismatch { of, expected, actual: subscription.version })
}
