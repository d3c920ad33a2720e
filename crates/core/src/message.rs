//! The message catalogue: facts that others must hear, and the envelope that they travel in.
//!
//! A log entry has three parts. The *header* and the [`Facts`] hold ids, types, times and keys of stores only and never change. The
//! [`Personal`] part (names, addresses, identifiers) lies in a side row sealed under the customer's own key, so that
//! erasing the key erases it. A *secret* (a token value that a receiver is entitled to) lies in a sealed column of its
//! own and is erased when it is used or expired.

use serde::{Deserialize, Serialize};

use crate::ctx::{Ctx, Micros};
use crate::customer::{Address, AddressRole, Customer, Version};
use crate::id::{CustomerId, Key, MessageId, TokenId};
use crate::initiator::Initiator;
use crate::mail::{Channel, Link, MailKind, Recipient};
use crate::secret::TokenValue;
use crate::trace::TraceContext;

/// Lanes are spread over this many partitions, by customer. Fixed: cursors are stored per partition.
pub const PARTITIONS: u16 = 64;

/// The partition of a customer's lane: the same on every node and in every version.
pub fn partition(customer: CustomerId) -> u16 {
    // FNV-1a over the id's 16 bytes. Version 7 ids share their leading bytes, so all of them must be mixed.
    let hash = customer
        .uuid()
        .as_bytes()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    let mixed = hash ^ (hash >> 32);
    u16::try_from(mixed % u64::from(PARTITIONS)).unwrap_or(0)
}

/// What kind of resource a message or a change is about (the contract's `typeId`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResourceType {
    /// A customer.
    Customer,
    /// A password reset token: a resource of its own, with its own sequence numbers (commercetools.md 0.18).
    CustomerPasswordToken,
    /// An e-mail verification token.
    CustomerEmailToken,
    /// A store. It has changes, but no messages of ours.
    Store,
    /// A subscription. The same.
    Subscription,
}

impl ResourceType {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Customer, Self::CustomerPasswordToken, Self::CustomerEmailToken, Self::Store, Self::Subscription];

    /// The contract's `typeId`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::CustomerPasswordToken => "customer-password-token",
            Self::CustomerEmailToken => "customer-email-token",
            Self::Store => "store",
            Self::Subscription => "subscription",
        }
    }
}

impl std::str::FromStr for ResourceType {
    type Err = crate::id::NotAnId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "customer" => Ok(Self::Customer),
            "customer-password-token" => Ok(Self::CustomerPasswordToken),
            "customer-email-token" => Ok(Self::CustomerEmailToken),
            "store" => Ok(Self::Store),
            "subscription" => Ok(Self::Subscription),
            _ => Err(crate::id::NotAnId),
        }
    }
}

/// By which way a change came about. Shown to support, never to the contract's callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flow {
    /// A customer was created.
    Create,
    /// The current password was given.
    Change,
    /// A partner who keeps the password has told that it was changed.
    ChangeElsewhere,
    /// A reset token was made.
    CreateToken,
    /// A reset token was redeemed.
    Reset,
    /// A trusted caller set it, without the current password.
    Set,
    /// A forgotten password was replaced by what a mail said.
    Recover,
    /// An e-mail token was made.
    CreateEmailToken,
    /// An e-mail token was redeemed.
    ConfirmEmail,
    /// A customer's own fields were changed.
    Update,
    /// A customer was deleted.
    Delete,
    /// A sign-in was tried.
    SignIn,
    /// A customer was asked for.
    Find,
}

impl Flow {
    /// Those that messages come about by. The others are of activity alone.
    pub const OF_MESSAGES: [Self; 11] = [
        Self::Create,
        Self::Change,
        Self::ChangeElsewhere,
        Self::CreateToken,
        Self::Reset,
        Self::Set,
        Self::Recover,
        Self::CreateEmailToken,
        Self::ConfirmEmail,
        Self::Update,
        Self::Delete,
    ];

    /// As it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Change => "change",
            Self::ChangeElsewhere => "change_elsewhere",
            Self::CreateToken => "create_token",
            Self::Reset => "reset",
            Self::Set => "set",
            Self::Recover => "recover",
            Self::CreateEmailToken => "create_email_token",
            Self::ConfirmEmail => "confirm_email",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::SignIn => "sign_in",
            Self::Find => "find",
        }
    }
}

/// What happened, without anything personal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Content {
    /// Personal part: the customer as it was created.
    CustomerCreated,
    /// A password was changed (`reset: false`) or reset (`reset: true`).
    CustomerPasswordUpdated {
        /// Whether a token was redeemed.
        reset: bool,
    },
    /// A reset token was made. Secret part: its value, when it lives 60 minutes or less.
    CustomerPasswordTokenCreated {
        /// Whose password it can reset.
        customer_id: CustomerId,
        /// When it ends.
        expires_at: Micros,
        /// Whether it ended all earlier ones.
        invalidate_older_tokens: bool,
    },
    /// An e-mail token was made. Secret part: its value, when it lives 60 minutes or less.
    CustomerEmailTokenCreated {
        /// Whose address it can verify.
        customer_id: CustomerId,
        /// When it ends.
        expires_at: Micros,
        /// Whether it ended all earlier ones.
        invalidate_older_tokens: bool,
    },
    /// A customer was made by somebody else and has no password of its own. Secret part: the value of a password token,
    /// for the mail alone.
    CustomerWelcomed {
        /// When the token ends.
        expires_at: Micros,
    },
    /// Somebody is to prove an address by a code. Secret part: the code, for the mail alone.
    VerificationCodeCreated {
        /// When the code ends.
        expires_at: Micros,
        /// By which way it goes.
        #[serde(default)]
        channel: Channel,
    },
    /// An e-mail token was redeemed.
    CustomerEmailVerified,
    /// Personal part: both addresses.
    CustomerEmailChanged,
    /// Personal part: the value, if it was not removed.
    CustomerExternalIdSet,
    /// Personal part: the stores before and after.
    CustomerStoresSet,
    /// Personal part: the value, if it was not removed.
    CustomerFirstNameSet,
    /// Personal part: the value, if it was not removed.
    CustomerLastNameSet,
    /// Personal part: the value, if it was not removed.
    CustomerTitleSet,
    /// Personal part: the value, if it was not removed.
    CustomerCompanyNameSet,
    /// Personal part: the value, if it was not removed.
    CustomerDateOfBirthSet,
    /// Personal part: the address.
    CustomerAddressAdded,
    /// Personal part: the address as it is now.
    CustomerAddressChanged {
        /// What it is used for.
        #[serde(flatten)]
        roles: AddressRoles,
    },
    /// Personal part: the address as it was.
    CustomerAddressRemoved {
        /// What it was used for.
        #[serde(flatten)]
        roles: AddressRoles,
    },
    /// Personal part: the address, if there is a default one now.
    CustomerDefaultShippingAddressSet,
    /// Personal part: the address, if there is a default one now.
    CustomerDefaultBillingAddressSet,
    /// Personal part: the address.
    CustomerShippingAddressAdded,
    /// Personal part: the address.
    CustomerShippingAddressRemoved,
    /// Personal part: the address.
    CustomerBillingAddressAdded,
    /// Personal part: the address.
    CustomerBillingAddressRemoved,
    /// Personal part: the e-mail address it had, unless it was erased.
    CustomerDeleted {
        /// Whether everything personal was erased with it.
        #[serde(default)]
        data_erasure: bool,
    },
}

impl Content {
    /// A default address was set or unset.
    pub(crate) fn default_address_set(role: AddressRole) -> Self {
        match role {
            AddressRole::Shipping => Self::CustomerDefaultShippingAddressSet,
            AddressRole::Billing => Self::CustomerDefaultBillingAddressSet,
        }
    }

    /// An address got a role.
    pub(crate) fn role_added(role: AddressRole) -> Self {
        match role {
            AddressRole::Shipping => Self::CustomerShippingAddressAdded,
            AddressRole::Billing => Self::CustomerBillingAddressAdded,
        }
    }

    /// An address lost a role.
    pub(crate) fn role_removed(role: AddressRole) -> Self {
        match role {
            AddressRole::Shipping => Self::CustomerShippingAddressRemoved,
            AddressRole::Billing => Self::CustomerBillingAddressRemoved,
        }
    }
}

/// Whether an address was used for shipping, for billing, or both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressRoles {
    /// A shipping address.
    pub shipping: bool,
    /// A billing address.
    pub billing: bool,
}

impl Content {
    /// The contract's message type.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::CustomerCreated => "CustomerCreated",
            Self::CustomerPasswordUpdated { .. } => "CustomerPasswordUpdated",
            Self::CustomerPasswordTokenCreated { .. } => "CustomerPasswordTokenCreated",
            Self::CustomerEmailTokenCreated { .. } => "CustomerEmailTokenCreated",
            Self::CustomerWelcomed { .. } => "CustomerWelcomed",
            Self::VerificationCodeCreated { .. } => "VerificationCodeCreated",
            Self::CustomerEmailVerified => "CustomerEmailVerified",
            Self::CustomerEmailChanged => "CustomerEmailChanged",
            Self::CustomerExternalIdSet => "CustomerExternalIdSet",
            Self::CustomerStoresSet => "CustomerStoresSet",
            Self::CustomerFirstNameSet => "CustomerFirstNameSet",
            Self::CustomerLastNameSet => "CustomerLastNameSet",
            Self::CustomerTitleSet => "CustomerTitleSet",
            Self::CustomerCompanyNameSet => "CustomerCompanyNameSet",
            Self::CustomerDateOfBirthSet => "CustomerDateOfBirthSet",
            Self::CustomerAddressAdded => "CustomerAddressAdded",
            Self::CustomerAddressChanged { .. } => "CustomerAddressChanged",
            Self::CustomerAddressRemoved { .. } => "CustomerAddressRemoved",
            Self::CustomerDefaultShippingAddressSet => "CustomerDefaultShippingAddressSet",
            Self::CustomerDefaultBillingAddressSet => "CustomerDefaultBillingAddressSet",
            Self::CustomerShippingAddressAdded => "CustomerShippingAddressAdded",
            Self::CustomerShippingAddressRemoved => "CustomerShippingAddressRemoved",
            Self::CustomerBillingAddressAdded => "CustomerBillingAddressAdded",
            Self::CustomerBillingAddressRemoved => "CustomerBillingAddressRemoved",
            Self::CustomerDeleted { .. } => "CustomerDeleted",
        }
    }

    /// The kind of resource it is about.
    pub fn resource_type(&self) -> ResourceType {
        match self {
            Self::CustomerPasswordTokenCreated { .. } | Self::CustomerWelcomed { .. } => {
                ResourceType::CustomerPasswordToken
            }
            Self::CustomerEmailTokenCreated { .. } | Self::VerificationCodeCreated { .. } => {
                ResourceType::CustomerEmailToken
            }
            _ => ResourceType::Customer,
        }
    }
}

/// The resource's own names at the time of the message (`resourceUserProvidedIdentifiers`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identifiers {
    /// The caller's key.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<String>,
    /// The id in another system.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub external_id: Option<String>,
    /// The customer number.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub customer_number: Option<String>,
}

impl Identifiers {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What a log row says besides its columns. Ids, flags, times and keys of stores only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// What happened.
    pub content: Content,
    /// Who caused it, without what is personal of it. Rows of earlier versions have the visitor's id here.
    pub by: Initiator,
    /// By which way.
    pub flow: Flow,
    /// The keys of the stores that the customer is in; of a message that these have changed, also of those that it was in.
    /// They are what subscriptions are told apart by, so they stay when the customer is erased.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub stores: Vec<Key>,
}

/// The part of a message that must be erasable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Personal {
    /// The resource's own names.
    #[serde(skip_serializing_if = "Identifiers::is_empty", default)]
    pub identifiers: Identifiers,
    /// `X-External-User-ID` of the request.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub external_user_id: Option<String>,
    /// The visitor whose token the request had.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub anonymous_id: Option<String>,
    /// The customer as it was created.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub customer: Option<Box<Customer>>,
    /// The e-mail address: of a deleted customer the last one, of a changed one the new one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub email: Option<String>,
    /// The e-mail address before the change.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub old_email: Option<String>,
    /// The new value of the one text that the message is about. Absent: it was removed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub value: Option<String>,
    /// The address that the message is about.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub address: Option<Address>,
    /// The stores after the change.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stores: Option<Vec<Key>>,
    /// The stores before the change.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub old_stores: Option<Vec<Key>>,
    /// Whom the mail about it goes to, if there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub recipient: Option<Recipient>,
    /// Where the link in that mail leads, if the call that brought it about named a page.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub page: Option<Link>,
}

impl Personal {
    /// What is personal of who caused it.
    fn of(by: &Initiator) -> Self {
        let (external_user_id, anonymous_id) = (by.external_user_id.clone(), by.anonymous_id.clone());
        Self { external_user_id, anonymous_id, ..Self::default() }
    }

    /// Whether there is nothing to keep.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A message that a decision made and that its transaction must append.
pub struct NewMessage {
    /// Stable everywhere and for ever.
    pub id: MessageId,
    /// When it happened.
    pub created_at: Micros,
    /// Id of the resource it is about.
    pub resource_id: uuid::Uuid,
    /// The resource's version after the change.
    pub resource_version: Version,
    /// Per resource, from 1, without gaps.
    pub sequence: i64,
    /// The customer it concerns: the lane.
    pub customer: CustomerId,
    /// The unchanging part.
    pub facts: Facts,
    /// The erasable part.
    pub personal: Personal,
    /// A token value that entitled receivers may see until the given time.
    pub secret: Option<(TokenValue, Micros)>,
    /// What is kept besides if the project mails such messages.
    pub for_mail: Option<ForMail>,
}

/// What only the mail about a message needs, and what is not written down without one.
pub struct ForMail {
    /// Becomes part of what is personal.
    pub to: Recipient,
    /// Becomes the secret if there is none yet.
    pub secret: Option<(TokenValue, Micros)>,
    /// Where its link leads. `None`: to the page that is configured.
    pub page: Option<Link>,
}

impl NewMessage {
    /// A message about `customer` (already at its new version), taking its next sequence number.
    pub fn about_customer(
        customer: &mut Customer,
        content: Content,
        flow: Flow,
        by: &Initiator,
        ctx: &mut Ctx,
    ) -> Self {
        let identifiers = customer.identifiers();
        let for_mail =
            MailKind::about(&content).map(|_| ForMail { to: Recipient::of(customer), secret: None, page: None });
        Self {
            id: MessageId::new(ctx),
            created_at: ctx.now,
            resource_id: customer.id.uuid(),
            resource_version: customer.version,
            sequence: customer.next_sequence(),
            customer: customer.id,
            facts: Facts { content, by: by.impersonal(), flow, stores: customer.stores.clone() },
            personal: Personal { identifiers, ..Personal::of(by) },
            secret: None,
            for_mail,
        }
    }

    /// The same message, about somebody who is in these stores.
    #[must_use]
    pub fn in_stores(mut self, stores: &[Key]) -> Self {
        self.facts.stores = stores.to_vec();
        self
    }

    /// A message about a token of `customer`: the token is a resource of its own, this its first message. Whoever knows the
    /// customer's stores adds them.
    pub fn about_token(
        token: TokenId,
        customer: CustomerId,
        content: Content,
        flow: Flow,
        by: &Initiator,
        ctx: &mut Ctx,
    ) -> Self {
        Self {
            id: MessageId::new(ctx),
            created_at: ctx.now,
            resource_id: token.uuid(),
            resource_version: 1,
            sequence: 1,
            customer,
            facts: Facts { content, by: by.impersonal(), flow, stores: Vec::new() },
            personal: Personal::of(by),
            secret: None,
            for_mail: None,
        }
    }
}

/// A message as it was read back from the log, opened as far as it can be.
#[derive(Clone)]
pub struct Message {
    /// Order in the log. Never shown to callers of the contracts.
    pub position: i64,
    /// Stable id.
    pub id: MessageId,
    /// When it happened.
    pub created_at: Micros,
    /// Id of the resource it is about.
    pub resource_id: uuid::Uuid,
    /// The resource's version after the change.
    pub resource_version: Version,
    /// Per resource, from 1, without gaps.
    pub sequence: i64,
    /// The customer it concerns: the lane.
    pub customer: CustomerId,
    /// Whether `/messages` may show it (messages were enabled when it happened).
    pub visible: bool,
    /// The unchanging part.
    pub facts: Facts,
    /// The erasable part. `None`: there was one, and it was erased.
    pub personal: Option<Personal>,
    /// A token value that may still be shown.
    pub secret: Option<TokenValue>,
    /// The trace in which it arose.
    pub trace: Option<TraceContext>,
}

impl Message {
    /// Who caused it, with what is personal of it if that is still there.
    pub fn initiator(&self) -> Initiator {
        let mut by = self.facts.by.clone();
        if let Some(personal) = &self.personal {
            by.external_user_id.clone_from(&personal.external_user_id);
            by.anonymous_id = personal.anonymous_id.clone().or(by.anonymous_id);
        }
        by
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_spread_evenly_and_fixed() {
        let mut counts = vec![0_u32; usize::from(PARTITIONS)];
        let mut ctx = Ctx::new(Micros(1_700_000_000_000_000), [9; 32]);
        for _ in 0..6400 {
            counts[usize::from(partition(CustomerId::new(&mut ctx)))] += 1;
        }
        assert!(counts.iter().all(|count| (50..160).contains(count)), "{counts:?}");
        // Stored cursors depend on it: this value may never change.
        let id: CustomerId = "0192f3a1-5b7c-7d3e-9f10-0123456789ab".parse().unwrap();
        assert_eq!(partition(id), 40);
    }

    #[test]
    fn facts_hold_nothing_personal() {
        let by = Initiator {
            external_user_id: Some("agent-7".into()),
            anonymous_id: Some("jo@example.com".into()),
            ..Initiator::default()
        };
        let mut ctx = Ctx::new(Micros(0), [0; 32]);
        let (token, customer) = (TokenId::new(&mut ctx), CustomerId::new(&mut ctx));
        let content = Content::CustomerPasswordTokenCreated {
            customer_id: customer,
            expires_at: Micros(1),
            invalidate_older_tokens: false,
        };
        let message = NewMessage::about_token(token, customer, content, Flow::CreateToken, &by, &mut ctx);
        let facts = serde_json::to_string(&message.facts).unwrap();
        assert!(!facts.contains("agent-7") && !facts.contains("jo@"), "{facts}");
        assert_eq!(message.personal.external_user_id.as_deref(), Some("agent-7"));
        assert_eq!(message.personal.anonymous_id.as_deref(), Some("jo@example.com"));
    }

    #[test]
    fn the_stored_tag_is_the_type() {
        let roles = AddressRoles { shipping: true, billing: false };
        for content in [
            Content::CustomerEmailVerified,
            Content::CustomerDeleted { data_erasure: true },
            Content::CustomerAddressChanged { roles },
            Content::CustomerDefaultBillingAddressSet,
        ] {
            let stored = serde_json::to_value(&content).unwrap();
            assert_eq!(stored["type"], content.type_name());
            assert_eq!(serde_json::from_value::<Content>(stored).unwrap(), content);
        }
    }

    /// Rows as the first version wrote them. They are in databases: these texts may never change.
    #[test]
    fn rows_of_the_first_version_still_read() {
        let facts = |content: &str| -> Facts {
            let by = r#"{"client_id":"c","anonymous_id":"v-1"}"#;
            serde_json::from_str(&format!(r#"{{"content":{content},"by":{by},"flow":"create"}}"#)).unwrap()
        };
        assert_eq!(facts(r#"{"type":"CustomerCreated"}"#).content, Content::CustomerCreated);
        let deleted = facts(r#"{"type":"CustomerDeleted"}"#);
        assert_eq!(deleted.content, Content::CustomerDeleted { data_erasure: false });
        let updated = facts(r#"{"type":"CustomerPasswordUpdated","reset":true}"#);
        assert_eq!(updated.content, Content::CustomerPasswordUpdated { reset: true });
        let personal: Personal = serde_json::from_str(
            r#"{"identifiers":{"key":"c-1"},"external_user_id":"agent-7","customer":{
                "id":"0192f3a1-5b7c-7d3e-9f10-0123456789ab","number":"123456789012345","version":1,"last_sequence":1,
                "created_at":5000,"last_modified_at":5000,"created_by":{},"last_modified_by":{},
                "email":"jo@example.com","key":"c-1","external_id":null,"customer_number":null,
                "authentication_mode":"Password","is_email_verified":false,"password_tail":"aGg=",
                "profile":{"first_name":"Jo","addresses":[{"id":"a","country":"DE","fields":{"city":"Ulm"}}]}}}"#,
        )
        .unwrap();
        let customer = personal.customer.as_deref().unwrap();
        assert!(customer.is_global());
        assert_eq!(customer.profile.first_name.as_deref(), Some("Jo"));
        let message = Message {
            position: 1,
            id: "0192f3a1-5b7c-7d3e-9f10-0123456789ab".parse().unwrap(),
            created_at: Micros(5000),
            resource_id: customer.id.uuid(),
            resource_version: 1,
            sequence: 1,
            customer: customer.id,
            visible: true,
            facts: deleted,
            personal: Some(personal.clone()),
            secret: None,
            trace: None,
        };
        let by = message.initiator();
        assert_eq!((by.external_user_id.as_deref(), by.anonymous_id.as_deref()), (Some("agent-7"), Some("v-1")));
    }
}
