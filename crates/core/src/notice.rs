//! What a subscription can be sent: a message, a change (commercetools.md 7.4), an activity entry, or an event that was
//! rendered when it happened ([`crate::event`]).
//!
//! A *message* tells what happened; a *change* only that a resource has another version now. Every version has its
//! change, those without a message too. Changes are for subscriptions alone: no query shows them, they take no sequence
//! number, and they are written down only while a subscription of the project asks for them.
//!
//! The end of a token is no change: the contract shows a token once, when it is made, and none of its versions later.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::activity::Recorded;
use crate::ctx::Micros;
use crate::customer::{Customer, Version};
use crate::event::Sending;
use crate::id::{CustomerId, Key, MessageId};
use crate::message::{Identifiers, Message, NewMessage, ResourceType};
use crate::shop::Shop;
use crate::subscription::Subscription;
use crate::trace::TraceContext;

/// What a subscription can be sent, as it was read back from the log.
#[derive(Clone)]
pub enum Notice {
    /// What happened.
    Message(Box<Message>),
    /// That a resource has another version.
    Change(Change),
    /// That a call was made.
    Activity(Box<Recorded>),
    /// That an event is to be sent.
    Event(Sending),
}

impl Notice {
    /// Order in the log.
    pub fn position(&self) -> i64 {
        match self {
            Self::Message(message) => message.position,
            Self::Change(change) => change.position,
            Self::Activity(recorded) => recorded.position,
            Self::Event(sending) => sending.position,
        }
    }

    /// Stable id.
    pub fn id(&self) -> MessageId {
        match self {
            Self::Message(message) => message.id,
            Self::Change(change) => change.id,
            Self::Activity(recorded) => recorded.activity.id,
            Self::Event(sending) => sending.event,
        }
    }

    /// Whom it concerns: the lane. Of a resource that is no customer's, the resource itself.
    pub fn lane(&self) -> CustomerId {
        match self {
            Self::Message(message) => message.customer,
            Self::Change(change) => change.lane,
            Self::Activity(recorded) => recorded.lane(),
            Self::Event(sending) => sending.lane,
        }
    }

    /// When it came about.
    pub fn at(&self) -> Micros {
        match self {
            Self::Message(message) => message.created_at,
            Self::Change(change) => change.at,
            Self::Activity(recorded) => recorded.activity.at,
            Self::Event(sending) => sending.at,
        }
    }

    /// The trace in which it arose. `None`: in none that anybody wanted to follow, or it is older than such notes.
    pub fn trace(&self) -> Option<&TraceContext> {
        match self {
            Self::Message(message) => message.trace.as_ref(),
            Self::Change(change) => change.trace.as_ref(),
            Self::Activity(recorded) => recorded.activity.trace.as_ref(),
            Self::Event(sending) => sending.trace.as_ref(),
        }
    }

    /// Per resource, without gaps; only messages have one.
    pub fn sequence(&self) -> Option<i64> {
        match self {
            Self::Message(message) => Some(message.sequence),
            Self::Change(_) | Self::Activity(_) | Self::Event(_) => None,
        }
    }
}

/// How a resource came to its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum ChangeKind {
    /// It was made.
    Created,
    /// It was changed.
    Updated {
        /// The version before.
        old_version: Version,
    },
    /// It was deleted; the version is its last one.
    Deleted {
        /// Whether everything personal was erased with it.
        data_erasure: bool,
    },
}

impl ChangeKind {
    /// The contract's notification type.
    pub fn type_name(self) -> &'static str {
        match self {
            Self::Created => "ResourceCreated",
            Self::Updated { .. } => "ResourceUpdated",
            Self::Deleted { .. } => "ResourceDeleted",
        }
    }
}

/// What a log row of a change says besides its columns. Nothing personal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeFacts {
    /// What kind of resource.
    pub resource_type: ResourceType,
    /// How.
    #[serde(flatten)]
    pub kind: ChangeKind,
    /// The key of a resource that is nobody's in person. That of a customer is personal.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<Key>,
    /// The keys of the stores that the customer is in; of a store, its own.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub stores: Vec<Key>,
}

/// A change that a transaction has made and that it must append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewChange {
    /// Made of what it tells, so that nothing has to be drawn or remembered for it.
    pub id: MessageId,
    /// When it came about.
    pub at: Micros,
    /// Id of the resource.
    pub resource_id: Uuid,
    /// The resource's version after the change; of a deleted one the last.
    pub version: Version,
    /// The lane.
    pub lane: CustomerId,
    /// The unchanging part.
    pub facts: ChangeFacts,
    /// A customer's own names at that version: the erasable part.
    pub identifiers: Identifiers,
}

impl NewChange {
    /// The customer is at a new version, in the state in which it was changed last.
    pub fn of_customer(customer: &Customer) -> Self {
        let kind = match customer.version {
            1 => ChangeKind::Created,
            version => ChangeKind::Updated { old_version: version - 1 },
        };
        let lane = (customer.id.uuid(), customer.id);
        let change = Self::new((ResourceType::Customer, kind), lane, customer.version, customer.last_modified_at);
        Self { identifiers: customer.identifiers(), ..change.in_stores(&customer.stores) }
    }

    /// The customer was deleted at its version `last`.
    pub fn of_deleted_customer(last: &Customer, data_erasure: bool, at: Micros) -> Self {
        let lane = (last.id.uuid(), last.id);
        let kind = ChangeKind::Deleted { data_erasure };
        let change = Self::new((ResourceType::Customer, kind), lane, last.version, at);
        let identifiers = if data_erasure { Identifiers::default() } else { last.identifiers() };
        Self { identifiers, ..change.in_stores(&last.stores) }
    }

    /// The token that the message announces was made. `None`: the message is about something else.
    pub fn of_token(message: &NewMessage) -> Option<Self> {
        let resource_type = message.facts.content.resource_type();
        if !matches!(resource_type, ResourceType::CustomerPasswordToken | ResourceType::CustomerEmailToken) {
            return None;
        }
        let lane = (message.resource_id, message.customer);
        let change =
            Self::new((resource_type, ChangeKind::Created), lane, message.resource_version, message.created_at);
        Some(change.in_stores(&message.facts.stores))
    }

    /// The store was made.
    pub fn of_shop(shop: &Shop) -> Self {
        let lane = (shop.id.uuid(), shop.id.uuid().into());
        let change = Self::new((ResourceType::Store, ChangeKind::Created), lane, shop.version, shop.created_at);
        change.with_key(Some(&shop.key)).in_stores(std::slice::from_ref(&shop.key))
    }

    /// The subscription is as it is now by `kind`, at `at`.
    pub fn of_subscription(subscription: &Subscription, kind: ChangeKind, at: Micros) -> Self {
        let lane = (subscription.id.uuid(), subscription.id.uuid().into());
        let change = Self::new((ResourceType::Subscription, kind), lane, subscription.version, at);
        change.with_key(subscription.key.as_ref())
    }

    fn new(
        (resource_type, kind): (ResourceType, ChangeKind),
        (resource_id, lane): (Uuid, CustomerId),
        version: Version,
        at: Micros,
    ) -> Self {
        let facts = ChangeFacts { resource_type, kind, key: None, stores: Vec::new() };
        let id = id(resource_id, kind, version);
        Self { id, at, resource_id, version, lane, facts, identifiers: Identifiers::default() }
    }

    fn in_stores(mut self, stores: &[Key]) -> Self {
        self.facts.stores = stores.to_vec();
        self
    }

    fn with_key(mut self, key: Option<&Key>) -> Self {
        self.facts.key = key.cloned();
        self
    }
}

/// A UUID of version 8: a resource comes to a version once, and is deleted once.
fn id(resource: Uuid, kind: ChangeKind, version: Version) -> MessageId {
    let mut digest = Sha256::new();
    digest.update(resource.as_bytes());
    digest.update(kind.type_name());
    digest.update(version.to_be_bytes());
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(digest.finalize()).for_each(|(byte, drawn)| *byte = drawn);
    uuid::Builder::from_custom_bytes(bytes).into_uuid().into()
}

/// A change as it was read back from the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Order in the log.
    pub position: i64,
    /// Stable id.
    pub id: MessageId,
    /// When it came about.
    pub at: Micros,
    /// Id of the resource.
    pub resource_id: Uuid,
    /// The resource's version after the change; of a deleted one the last.
    pub version: Version,
    /// The lane.
    pub lane: CustomerId,
    /// The unchanging part.
    pub facts: ChangeFacts,
    /// The resource's own names at that version, as far as they were not erased.
    pub identifiers: Identifiers,
    /// The trace in which it arose.
    pub trace: Option<TraceContext>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Ctx;
    use crate::create::tests::customer;
    use crate::initiator::Initiator;
    use crate::message::{Content, Flow};

    #[test]
    fn each_version_of_a_customer_has_one_change_with_an_id_of_its_own() {
        let mut customer = customer();
        let created = NewChange::of_customer(&customer);
        assert_eq!((created.facts.kind, created.version), (ChangeKind::Created, 1));
        customer.touch(Micros(9_000_000), &Initiator::default());
        customer.key = Some("c-1".parse().unwrap());
        let updated = NewChange::of_customer(&customer);
        assert_eq!(
            (updated.facts.kind, updated.version, updated.at),
            (ChangeKind::Updated { old_version: 1 }, 2, Micros(9_000_000))
        );
        assert_eq!(updated.identifiers.key.as_deref(), Some("c-1"));
        let deleted = NewChange::of_deleted_customer(&customer, false, Micros(10_000_000));
        assert_eq!((deleted.version, deleted.identifiers.key.as_deref()), (2, Some("c-1")));
        assert_eq!(updated, NewChange::of_customer(&customer), "told twice, it is the same");
        let ids = [created.id, updated.id, deleted.id];
        assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
        assert!(ids.iter().all(|id| id.to_string().parse() == Ok(*id)));
    }

    #[test]
    fn an_erasing_delete_tells_no_names() {
        let customer = Customer { external_id: Some("crm-7".into()), ..customer() };
        let deleted = NewChange::of_deleted_customer(&customer, true, Micros(1));
        assert!(deleted.identifiers.is_empty());
        assert_eq!(deleted.facts.kind, ChangeKind::Deleted { data_erasure: true });
    }

    #[test]
    fn only_a_token_is_made_by_its_message() {
        let made = crate::email_token::tests::made(None, 5).ok().unwrap();
        let change = NewChange::of_token(&made.message).unwrap();
        assert_eq!(change.facts.resource_type, ResourceType::CustomerEmailToken);
        assert_eq!((change.resource_id, change.lane), (made.token.id.uuid(), made.token.customer));
        let (content, by) = (Content::CustomerEmailVerified, Initiator::default());
        let ctx = &mut Ctx::new(Micros(0), [0; 32]);
        let verified = NewMessage::about_customer(&mut customer(), content, Flow::ConfirmEmail, &by, ctx);
        assert_eq!(NewChange::of_token(&verified), None);
    }

    /// They are in databases: these texts may never change.
    #[test]
    fn facts_are_stored_like_this() {
        let facts = |kind, key: Option<&str>| {
            let key = key.map(|key| key.parse().unwrap());
            let facts = ChangeFacts { resource_type: ResourceType::Customer, kind, key, stores: Vec::new() };
            let text = serde_json::to_string(&facts).unwrap();
            assert_eq!(serde_json::from_str::<ChangeFacts>(&text).unwrap(), facts);
            text
        };
        assert_eq!(
            facts(ChangeKind::Created, Some("k-1")),
            r#"{"resource_type":"customer","change":"created","key":"k-1"}"#
        );
        assert_eq!(
            facts(ChangeKind::Updated { old_version: 4 }, None),
            r#"{"resource_type":"customer","change":"updated","old_version":4}"#
        );
        assert_eq!(
            facts(ChangeKind::Deleted { data_erasure: true }, None),
            r#"{"resource_type":"customer","change":"deleted","data_erasure":true}"#
        );
        let of_shop = ChangeFacts {
            resource_type: ResourceType::Store,
            kind: ChangeKind::Created,
            key: None,
            stores: vec!["berlin".parse().unwrap()],
        };
        assert_eq!(
            serde_json::to_string(&of_shop).unwrap(),
            r#"{"resource_type":"store","change":"created","stores":["berlin"]}"#
        );
    }
}
