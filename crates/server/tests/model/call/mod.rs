//! A call as the model reads it.

mod sent;

use crate::query::{Filter, Page, Predicate};

pub use self::sent::{changes, hook, mode, object, told};

/// One call, or something else that happens between calls.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Call {
    pub caller: Caller,
    /// Index of the project whose path is called.
    pub project: usize,
    /// The store within whose path it is.
    pub store: Option<String>,
    /// `X-External-User-ID`.
    pub external_user: Option<String>,
    pub verb: Verb,
}

/// What a call is authorized with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Caller {
    Nobody,
    /// An access token.
    Bearer(String),
    /// A client's id and secret.
    Client(String),
}

/// Every call of the contract that the model knows. A new one is a variant here, a branch in `sent.rs`, a rule in
/// `contract/`, and a weight in `plan/`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verb {
    Create {
        own: bool,
        draft: Draft,
    },
    Read {
        by: By,
        head: bool,
    },
    Query {
        predicate: Predicate,
        page: Page,
        head: bool,
    },
    Update {
        by: By,
        version: i64,
        actions: Vec<Action>,
    },
    Delete {
        by: By,
        version: Option<i64>,
        erase: Option<bool>,
    },
    /// Without an id: one's own.
    Change {
        id: Option<String>,
        version: i64,
        current: String,
        new: String,
    },
    PasswordToken {
        email: String,
        ttl: Option<i64>,
        older: Option<bool>,
    },
    EmailToken {
        id: String,
        ttl: Option<i64>,
        version: Option<i64>,
        older: Option<bool>,
    },
    Reset {
        own: bool,
        value: String,
        version: Option<i64>,
        new: String,
    },
    Confirm {
        own: bool,
        value: String,
        version: Option<i64>,
    },
    Login {
        own: bool,
        email: String,
        password: String,
    },
    /// `expand`: with the customers that they are about.
    Messages {
        filter: Filter,
        page: Page,
        expand: bool,
        head: bool,
    },
    Message {
        id: String,
        expand: bool,
        head: bool,
    },
    Subscribe {
        key: Option<String>,
        messages: Vec<Selection>,
        cloud_events: bool,
    },
    Subscription {
        by: By,
        head: bool,
    },
    /// With this key, if one is given.
    Subscriptions {
        key: Option<String>,
        page: Page,
        head: bool,
    },
    Resubscribe {
        by: By,
        version: i64,
        actions: Vec<Subscribing>,
    },
    Unsubscribe {
        by: By,
        version: Option<i64>,
    },
    Health {
        id: String,
    },
    Token(Grant),
    Introspect {
        token: String,
    },
    Revoke {
        token: String,
    },
    Project {
        head: bool,
    },
    /// Without days: the deprecated action.
    Configure {
        version: i64,
        enabled: bool,
        days: Option<i64>,
    },
    CreateStore {
        key: String,
    },
    Store {
        by: By,
        head: bool,
    },
    /// With this key, if one is given.
    Stores {
        key: Option<String>,
        page: Page,
        head: bool,
    },
    /// What has expired is removed. Nobody may notice.
    Sweep,
    /// Time passes.
    Wait {
        micros: i64,
    },
}

/// How a path names a resource.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum By {
    Id(String),
    Key(String),
    PasswordToken(String),
    EmailToken(String),
    Me,
}

/// What tokens are asked for with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Grant {
    Client { scope: Option<String> },
    Customer { email: String, password: String, scope: Option<String>, refresh: bool },
    Anonymous { id: Option<String>, scope: Option<String>, refresh: bool },
    Refresh { token: String },
}

/// A CustomerDraft.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Draft {
    pub email: String,
    pub password: Option<String>,
    pub external: Option<bool>,
    pub key: Option<String>,
    pub number: Option<String>,
    pub external_id: Option<String>,
    pub verified: Option<bool>,
    pub texts: Vec<(&'static str, String)>,
    pub addresses: Vec<AddressDraft>,
    pub default_shipping: Option<usize>,
    pub default_billing: Option<usize>,
    pub shipping: Vec<usize>,
    pub billing: Vec<usize>,
    pub stores: Vec<Named>,
}

/// A resource as another names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Named {
    Id(String),
    Key(String),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AddressDraft {
    pub country: &'static str,
    pub key: Option<String>,
    pub city: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    Shipping,
    Billing,
}

/// An update action.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    ChangeEmail(String),
    SetMode {
        external: bool,
        password: Option<String>,
    },
    SetKey(Option<String>),
    SetExternalId(Option<String>),
    SetNumber(Option<String>),
    SetStores(Vec<Named>),
    AddStore(Named),
    RemoveStore(Named),
    SetText(&'static str, Option<String>),
    AddAddress(AddressDraft),
    ChangeAddress(Named, AddressDraft),
    RemoveAddress(Named),
    SetDefault(Role, Option<Named>),
    AddRole(Role, Named),
    RemoveRole(Role, Named),
    /// Customer groups, of which there are none.
    SetGroup(Option<Named>),
    SetGroups(Vec<Named>),
    AddGroup(Named),
    RemoveGroup(Named),
    /// Custom fields, which there are not. By the action's name.
    Custom(&'static str),
    /// No action of the contract.
    Unknown,
}

/// Messages or events that a subscription wants.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Selection {
    pub resource: &'static str,
    pub types: Vec<&'static str>,
}

/// An update action of a subscription.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Subscribing {
    SetKey(Option<String>),
    SetMessages(Vec<Selection>),
    SetChanges(Vec<&'static str>),
    SetEvents(Vec<Selection>),
    /// To a web hook with this number, and with a secret of one's own or of the server's.
    ChangeDestination {
        hook: u8,
        with_secret: bool,
    },
    /// No action of the contract.
    Unknown,
}
