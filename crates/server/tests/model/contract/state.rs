//! What the model remembers. Everything is in the clear, and lists are kept by names and keys, so that two ways to the same
//! state are equal.

use std::collections::BTreeMap;
use std::rc::Rc;

use keyherald_core::Micros;
use serde_json::{Map, Value, json};

use crate::call::{AddressDraft, Role, Selection, changes, hook, mode, object};
use crate::expect::{ANYTHING, Bindings, Name};

/// Projects of a world: the one that most happens in, and another one.
pub const PROJECTS: usize = 2;

/// Everything.
#[derive(Clone, PartialEq)]
pub struct World {
    pub now: Micros,
    pub bindings: Bindings,
    pub projects: [Project; PROJECTS],
    /// Access and refresh tokens, of all projects.
    pub sessions: BTreeMap<Name, Rc<Session>>,
    pub clients: Rc<Vec<Client>>,
    /// A rule that is played wrongly.
    pub mistake: Option<Mistake>,
    /// The number of the call that is played, and how many values it has named.
    pub call: usize,
    pub named: usize,
}

/// Rules that a test plays wrongly, to see that it is noticed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mistake {
    ChangeKeepsVersion,
    ChangeKeepsSessions,
    ResetKeepsOtherTokens,
    TokenMovesVersion,
    EmailsCompareByCase,
    StoresShareEmails,
    SetKeyHasMessage,
    ValueIsAlwaysShown,
    ExpiredIsUnknown,
    RefusedUpdateIsHalfDone,
    EmptySubscriptionsStay,
    /// Calls at once are taken to have come in the order in which they were written down.
    AtOnceIsInOrder,
}

impl Mistake {
    pub const ALL: [Self; 12] = [
        Self::ChangeKeepsVersion,
        Self::ChangeKeepsSessions,
        Self::ResetKeepsOtherTokens,
        Self::TokenMovesVersion,
        Self::EmailsCompareByCase,
        Self::StoresShareEmails,
        Self::SetKeyHasMessage,
        Self::ValueIsAlwaysShown,
        Self::ExpiredIsUnknown,
        Self::RefusedUpdateIsHalfDone,
        Self::EmptySubscriptionsStay,
        Self::AtOnceIsInOrder,
    ];
}

#[derive(Clone, PartialEq)]
pub struct Project {
    pub key: String,
    pub version: i64,
    pub at: Micros,
    pub messages_enabled: bool,
    pub messages_days: i64,
    /// By key.
    pub stores: BTreeMap<String, Rc<Store>>,
    pub customers: BTreeMap<Name, Rc<Customer>>,
    pub tokens: BTreeMap<Name, Rc<Token>>,
    /// By resource and sequence number.
    pub messages: BTreeMap<(Name, i64), Rc<Message>>,
    pub subscriptions: BTreeMap<Name, Rc<Subscription>>,
}

#[derive(Clone, PartialEq)]
pub struct Store {
    pub id: Name,
    pub at: Micros,
    pub by: Value,
}

/// An API client, and what it holds.
#[derive(Clone, PartialEq)]
pub struct Client {
    pub id: String,
    pub project: usize,
    pub scopes: String,
}

/// An access or refresh token.
#[derive(Clone, PartialEq)]
pub struct Session {
    pub is_refresh: bool,
    pub client: String,
    pub project: usize,
    pub scope: String,
    pub customer: Option<Name>,
    /// The visitor's id, sent or made up.
    pub visitor: Option<Name>,
    pub ends: Micros,
    pub revoked: bool,
    /// The refresh token that it came with or from.
    pub granted_by: Option<Name>,
}

#[derive(Clone, PartialEq)]
pub struct Customer {
    pub id: Name,
    pub version: i64,
    pub created_at: Micros,
    pub modified_at: Micros,
    pub created_by: Value,
    pub modified_by: Value,
    pub email: String,
    pub key: Option<String>,
    pub number: Option<String>,
    pub external_id: Option<String>,
    pub external: bool,
    /// The password in the clear, and the name of its mask.
    pub password: Option<(String, Name)>,
    pub verified: bool,
    pub texts: BTreeMap<&'static str, String>,
    pub addresses: Vec<Address>,
    pub shipping: Roles,
    pub billing: Roles,
    /// Keys. Empty: a global customer.
    pub stores: Vec<String>,
    /// Sequence number of the last message.
    pub sequence: i64,
}

#[derive(Clone, PartialEq)]
pub struct Address {
    pub id: Name,
    pub draft: AddressDraft,
}

/// The addresses of a role.
#[derive(Clone, PartialEq, Default)]
pub struct Roles {
    pub ids: Vec<Name>,
    pub default: Option<Name>,
}

/// A reset or e-mail token.
#[derive(Clone, PartialEq)]
pub struct Token {
    pub id: Name,
    pub is_email: bool,
    pub value: Name,
    pub customer: Name,
    pub expires: Micros,
    pub ended: bool,
}

#[derive(Clone, PartialEq)]
pub struct Message {
    pub id: Name,
    pub at: Micros,
    pub kind: &'static str,
    pub resource_kind: &'static str,
    pub resource: Name,
    pub sequence: i64,
    pub version: i64,
    /// Whom it concerns.
    pub customer: Name,
    pub by: Value,
    /// Key, external id, customer number.
    pub identifiers: Map<String, Value>,
    /// Its own fields that are nobody's secret, and those that are personal.
    pub facts: Map<String, Value>,
    pub personal: Map<String, Value>,
    /// The token whose value it carries while it lives.
    pub token: Option<Name>,
    /// Messages were enabled when it happened.
    pub visible: bool,
    pub erased: bool,
}

#[derive(Clone, PartialEq)]
pub struct Subscription {
    pub id: Name,
    pub key: Option<String>,
    pub version: i64,
    pub created_at: Micros,
    pub modified_at: Micros,
    pub created_by: Value,
    pub modified_by: Value,
    /// The number of its web hook.
    pub hook: u8,
    pub messages: Vec<Selection>,
    pub changes: Vec<&'static str>,
    pub events: Vec<Selection>,
    pub cloud_events: bool,
}

impl Customer {
    pub fn is_in(&self, store: Option<&str>) -> bool {
        store.is_none_or(|store| self.stores.iter().any(|own| own == store))
    }

    pub fn roles(&mut self, role: Role) -> &mut Roles {
        match role {
            Role::Shipping => &mut self.shipping,
            Role::Billing => &mut self.billing,
        }
    }

    /// The names that the caller gave it.
    pub fn identifiers(&self) -> Map<String, Value> {
        object(&[
            ("key", json!(self.key)),
            ("externalId", json!(self.external_id)),
            ("customerNumber", json!(self.number)),
        ])
    }

    /// As it is answered (2.3).
    pub fn json(&self) -> Value {
        let ids = |roles: &Roles| roles.ids.iter().map(|id| json!(&**id)).collect::<Value>();
        let mut fields = object(&[
            ("id", json!(&*self.id)),
            ("version", json!(self.version)),
            ("createdAt", json!(self.created_at.iso())),
            ("lastModifiedAt", json!(self.modified_at.iso())),
            ("createdBy", self.created_by.clone()),
            ("lastModifiedBy", self.modified_by.clone()),
            ("email", json!(self.email)),
            ("password", json!(self.password.as_ref().map(|(_, mask)| &**mask))),
            ("addresses", self.addresses.iter().map(Address::json).collect()),
            ("shippingAddressIds", ids(&self.shipping)),
            ("billingAddressIds", ids(&self.billing)),
            ("defaultShippingAddressId", json!(self.shipping.default.as_deref())),
            ("defaultBillingAddressId", json!(self.billing.default.as_deref())),
            ("isEmailVerified", json!(self.verified)),
            ("stores", stores(&self.stores)),
            ("authenticationMode", json!(mode(self.external))),
            ("customerGroupAssignments", json!([])),
        ]);
        fields.extend(self.identifiers());
        fields.extend(self.texts.iter().map(|(name, text)| ((*name).to_owned(), json!(text))));
        fields.into()
    }
}

/// Stores by their keys.
pub fn stores(keys: &[String]) -> Value {
    keys.iter().map(|key| json!({"typeId": "store", "key": key})).collect()
}

impl Address {
    pub fn json(&self) -> Value {
        let mut fields = self.draft.json();
        fields.insert("id".to_owned(), json!(&*self.id));
        fields.into()
    }
}

impl Message {
    /// Whether something personal of it was erased, without which it says nothing.
    pub fn is_gone(&self) -> bool {
        let plain = ["CustomerPasswordUpdated", "CustomerEmailVerified", "CustomerDeleted"];
        let is_told_anyway = plain.contains(&self.kind) || self.resource_kind != "customer";
        let is_named = self.by["externalUserId"].is_string() || self.by["anonymousId"].is_string();
        let is_personal = is_named || !self.identifiers.is_empty() || !self.personal.is_empty();
        self.erased && is_personal && !is_told_anyway
    }

    /// As `/messages` shows it (5.1). `value`: its token lives.
    pub fn json(&self, value: Option<&Name>) -> Value {
        let mut by = self.by.clone();
        let mut own = self.facts.clone();
        let mut identifiers = self.identifiers.clone();
        if self.erased {
            identifiers.clear();
            for name in ["externalUserId", "anonymousId"] {
                by.as_object_mut().and_then(|by| by.remove(name));
            }
        } else {
            own.extend(self.personal.clone());
        }
        let mut fields = object(&[
            ("id", json!(&*self.id)),
            ("version", json!(1)),
            ("sequenceNumber", json!(self.sequence)),
            ("resource", json!({"typeId": self.resource_kind, "id": &*self.resource})),
            ("resourceVersion", json!(self.version)),
            ("type", json!(self.kind)),
            ("createdAt", json!(self.at.iso())),
            ("lastModifiedAt", json!(self.at.iso())),
            ("createdBy", by.clone()),
            ("lastModifiedBy", by),
            ("value", json!(value.map(|value| &**value))),
        ]);
        if !identifiers.is_empty() {
            fields.insert("resourceUserProvidedIdentifiers".to_owned(), identifiers.into());
        }
        fields.extend(own);
        fields.into()
    }
}

impl Project {
    /// As it is answered (chapter 4).
    pub fn json(&self) -> Value {
        json!({
            "version": self.version, "key": self.key, "name": self.key, "createdAt": self.at.iso(),
            "countries": [], "currencies": [], "languages": [],
            "messages": {"enabled": self.messages_enabled, "deleteDaysAfterCreation": self.messages_days},
            "carts": ANYTHING, "inventory": ANYTHING, "discounts": ANYTHING,
        })
    }
}

impl Store {
    /// As it is answered (chapter 4).
    pub fn json(&self, key: &str) -> Value {
        json!({
            "id": &*self.id, "version": 1, "key": key, "createdAt": self.at.iso(), "lastModifiedAt": self.at.iso(),
            "createdBy": self.by, "lastModifiedBy": self.by, "languages": [], "countries": [],
            "distributionChannels": [], "supplyChannels": [], "productSelections": [],
        })
    }
}

impl Subscription {
    /// As it is answered (8.1). `secret`: once, when its destination was made.
    pub fn json(&self, secret: Option<&Name>) -> Value {
        let format = if self.cloud_events {
            json!({"type": "CloudEvents", "cloudEventsVersion": "1.0"})
        } else {
            json!({"type": "Platform"})
        };
        let destination = object(&[
            ("type", json!("Webhook")),
            ("url", json!(hook(self.hook))),
            ("secret", json!(secret.map(|secret| &**secret))),
        ]);
        let fields = object(&[
            ("id", json!(&*self.id)),
            ("version", json!(self.version)),
            ("createdAt", json!(self.created_at.iso())),
            ("lastModifiedAt", json!(self.modified_at.iso())),
            ("createdBy", self.created_by.clone()),
            ("lastModifiedBy", self.modified_by.clone()),
            ("key", json!(self.key)),
            ("destination", destination.into()),
            ("messages", self.messages.iter().map(Selection::json).collect()),
            ("changes", changes(&self.changes)),
            ("events", self.events.iter().map(Selection::json).collect()),
            ("format", format),
            ("status", json!("Healthy")),
        ]);
        fields.into()
    }
}
