//! A call as it is sent, and as it is told to a person.

use axum::http::Method;
use serde_json::{Map, Value, json};

use super::{Action, AddressDraft, By, Call, Caller, Draft, Grant, Named, Role, Selection, Subscribing, Verb};
use crate::contract::state::PROJECTS;
use crate::query::{Filter, Predicate, escaped};
use crate::support::basic;

/// What a secret of one's own looks like.
const OWN_SECRET: &str = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

/// A call as it is sent.
pub struct Request {
    pub method: Method,
    pub path: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

impl Call {
    /// The request, or `None` for what is no call. `projects`: their keys.
    pub fn request(&self, projects: &[String; PROJECTS]) -> Option<Request> {
        let project = &projects[self.project];
        let (method, path, body) = self.verb.sent(project, &self.in_store())?;
        let mut headers = Vec::new();
        match &self.caller {
            Caller::Nobody => {}
            Caller::Bearer(token) => headers.push(("authorization", format!("Bearer {token}"))),
            Caller::Client(id) => headers.push(("authorization", basic(id))),
        }
        if let Some(user) = &self.external_user {
            headers.push(("x-external-user-id", user.clone()));
        }
        let body = match body {
            Sent::Nothing => String::new(),
            Sent::Json(body) => {
                headers.push(("content-type", "application/json".to_owned()));
                body.to_string()
            }
            Sent::Form(pairs) => {
                headers.push(("content-type", "application/x-www-form-urlencoded".to_owned()));
                pairs.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect::<Vec<_>>().join("&")
            }
        };
        Some(Request { method, path, headers, body })
    }

    /// The path's segment for the store.
    fn in_store(&self) -> String {
        self.store.as_ref().map(|key| format!("/in-store/key={key}")).unwrap_or_default()
    }
}

enum Sent {
    Nothing,
    Json(Value),
    Form(Vec<(&'static str, String)>),
}

impl Verb {
    fn sent(&self, project: &str, store: &str) -> Option<(Method, String, Sent)> {
        let at = format!("/{project}{store}");
        let read = |head: bool| if head { Method::HEAD } else { Method::GET };
        let own = |own: bool| if own { "/me" } else { "/customers" };
        let get = |head: bool, path: String| Some((read(head), path, Sent::Nothing));
        let post = |path: String, body: Map<String, Value>| Some((Method::POST, path, Sent::Json(body.into())));
        match self {
            Self::Create { own: false, draft } => post(format!("{at}/customers"), draft.json()),
            Self::Create { own: true, draft } => post(format!("{at}/me/signup"), draft.json()),
            Self::Read { by, head } => get(*head, format!("{at}{}", by.of("/customers"))),
            Self::Query { predicate, page, head } => {
                let clause = (*predicate != Predicate::All).then(|| predicate.to_string());
                get(*head, format!("{at}/customers{}", page.string(clause)))
            }
            Self::Update { by, version, actions } => {
                let actions: Vec<Value> = actions.iter().map(Action::json).collect();
                post(
                    format!("{at}{}", by.of("/customers")),
                    object(&[("version", json!(version)), ("actions", actions.into())]),
                )
            }
            Self::Delete { by, version, erase } => {
                let path = format!("{at}{}{}", by.of("/customers"), deletion(*version, *erase));
                Some((Method::DELETE, path, Sent::Nothing))
            }
            Self::Change { id, version, current, new } => post(
                format!("{at}{}/password", own(id.is_none())),
                object(&[
                    ("id", json!(id)),
                    ("version", json!(version)),
                    ("currentPassword", json!(current)),
                    ("newPassword", json!(new)),
                ]),
            ),
            Self::PasswordToken { email, ttl, older } => post(
                format!("{at}/customers/password-token"),
                object(&[("email", json!(email)), ("ttlMinutes", json!(ttl)), ("invalidateOlderTokens", json!(older))]),
            ),
            Self::EmailToken { id, ttl, version, older } => post(
                format!("{at}/customers/email-token"),
                object(&[
                    ("id", json!(id)),
                    ("ttlMinutes", json!(ttl)),
                    ("version", json!(version)),
                    ("invalidateOlderTokens", json!(older)),
                ]),
            ),
            Self::Reset { own: mine, value, version, new } => post(
                format!("{at}{}/password/reset", own(*mine)),
                object(&[("tokenValue", json!(value)), ("version", json!(version)), ("newPassword", json!(new))]),
            ),
            Self::Confirm { own: mine, value, version } => post(
                format!("{at}{}/email/confirm", own(*mine)),
                object(&[("tokenValue", json!(value)), ("version", json!(version))]),
            ),
            Self::Login { own, email, password } => post(
                format!("{at}{}/login", if *own { "/me" } else { "" }),
                object(&[("email", json!(email)), ("password", json!(password))]),
            ),
            Self::Messages { filter, page, expand, head } => {
                let clause = (*filter != Filter::All).then(|| filter.to_string());
                let asked = page.string(clause);
                let expanded = match (expand, asked.is_empty()) {
                    (false, _) => "",
                    (true, true) => "?expand=resource",
                    (true, false) => "&expand=resource",
                };
                get(*head, format!("/{project}/messages{asked}{expanded}"))
            }
            Self::Message { id, expand, head } => {
                let expanded = if *expand { "?expand=resource" } else { "" };
                get(*head, format!("/{project}/messages/{id}{expanded}"))
            }
            Self::Subscribe { key, messages, cloud_events } => {
                let destination = json!({"type": "Webhook", "url": hook(0)});
                let messages: Vec<Value> = messages.iter().map(Selection::json).collect();
                let format = cloud_events.then(|| json!({"type": "CloudEvents", "cloudEventsVersion": "1.0"}));
                let fields = [
                    ("key", json!(key)),
                    ("destination", destination),
                    ("messages", messages.into()),
                    ("format", json!(format)),
                ];
                post(format!("/{project}/subscriptions"), object(&fields))
            }
            Self::Subscription { by, head } => get(*head, format!("/{project}{}", by.of("/subscriptions"))),
            Self::Subscriptions { key, page, head } => {
                get(*head, format!("/{project}/subscriptions{}", page.string(key.as_deref().map(with_key))))
            }
            Self::Resubscribe { by, version, actions } => {
                let actions: Vec<Value> = actions.iter().map(Subscribing::json).collect();
                let path = format!("/{project}{}", by.of("/subscriptions"));
                post(path, object(&[("version", json!(version)), ("actions", actions.into())]))
            }
            Self::Health { id } => get(false, format!("/{project}/subscriptions/{id}/health")),
            Self::Unsubscribe { by, version } => {
                let path = format!("/{project}{}{}", by.of("/subscriptions"), deletion(*version, None));
                Some((Method::DELETE, path, Sent::Nothing))
            }
            Self::Token(grant) => Some((Method::POST, grant.path(project, store), Sent::Form(grant.form()))),
            Self::Introspect { token } => {
                Some((Method::POST, "/oauth/introspect".to_owned(), Sent::Form(vec![("token", token.clone())])))
            }
            Self::Revoke { token } => {
                Some((Method::POST, "/oauth/token/revoke".to_owned(), Sent::Form(vec![("token", token.clone())])))
            }
            Self::Project { head } => get(*head, format!("/{project}")),
            Self::Configure { version, enabled, days } => {
                let action = match days {
                    Some(days) => json!({
                        "action": "changeMessagesConfiguration",
                        "messagesConfiguration": {"enabled": enabled, "deleteDaysAfterCreation": days},
                    }),
                    None => json!({"action": "changeMessagesEnabled", "messagesEnabled": enabled}),
                };
                post(format!("/{project}"), object(&[("version", json!(version)), ("actions", json!([action]))]))
            }
            Self::CreateStore { key } => post(format!("/{project}/stores"), object(&[("key", json!(key))])),
            Self::Store { by, head } => get(*head, format!("/{project}{}", by.of("/stores"))),
            Self::Stores { key, page, head } => {
                get(*head, format!("/{project}/stores{}", page.string(key.as_deref().map(with_key))))
            }
            Self::Sweep | Self::Wait { .. } => None,
        }
    }
}

impl By {
    fn of(&self, collection: &str) -> String {
        match self {
            Self::Id(id) => format!("{collection}/{id}"),
            Self::Key(key) => format!("{collection}/key={key}"),
            Self::PasswordToken(value) => format!("{collection}/password-token={value}"),
            Self::EmailToken(value) => format!("{collection}/email-token={value}"),
            Self::Me => "/me".to_owned(),
        }
    }
}

fn deletion(version: Option<i64>, erase: Option<bool>) -> String {
    let version = version.map(|version| format!("version={version}"));
    let erase = erase.map(|erase| format!("dataErasure={erase}"));
    let pairs: Vec<String> = version.into_iter().chain(erase).collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

impl Grant {
    fn path(&self, project: &str, store: &str) -> String {
        match self {
            Self::Client { .. } | Self::Refresh { .. } => "/oauth/token".to_owned(),
            Self::Customer { .. } => format!("/oauth/{project}{store}/customers/token"),
            Self::Anonymous { .. } => format!("/oauth/{project}/anonymous/token"),
        }
    }

    fn form(&self) -> Vec<(&'static str, String)> {
        let no_refresh = |refresh: bool| (!refresh).then(|| ("refresh_token", "false".to_owned()));
        let scoped = |scope: &Option<String>| scope.clone().map(|scope| ("scope", scope));
        let kind = |kind: &str| ("grant_type", kind.to_owned());
        match self {
            Self::Client { scope } => [kind("client_credentials")].into_iter().chain(scoped(scope)).collect(),
            Self::Customer { email, password, scope, refresh } => {
                [kind("password"), ("username", email.clone()), ("password", password.clone())]
                    .into_iter()
                    .chain(scoped(scope))
                    .chain(no_refresh(*refresh))
                    .collect()
            }
            Self::Anonymous { id, scope, refresh } => [kind("client_credentials")]
                .into_iter()
                .chain(id.clone().map(|id| ("anonymous_id", id)))
                .chain(scoped(scope))
                .chain(no_refresh(*refresh))
                .collect(),
            Self::Refresh { token } => vec![kind("refresh_token"), ("refresh_token", token.clone())],
        }
    }
}

/// An object of those fields that are not `null`.
pub fn object(fields: &[(&str, Value)]) -> Map<String, Value> {
    let there = fields.iter().filter(|(_, value)| !value.is_null());
    there.map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

impl Draft {
    fn json(&self) -> Map<String, Value> {
        let some = |list: &[usize]| if list.is_empty() { Value::Null } else { json!(list) };
        let mut draft = object(&[
            ("email", json!(self.email)),
            ("password", json!(self.password)),
            ("authenticationMode", json!(self.external.map(mode))),
            ("key", json!(self.key)),
            ("customerNumber", json!(self.number)),
            ("externalId", json!(self.external_id)),
            ("isEmailVerified", json!(self.verified)),
            ("addresses", self.addresses.iter().map(|address| Value::from(address.json())).collect()),
            ("defaultShippingAddress", json!(self.default_shipping)),
            ("defaultBillingAddress", json!(self.default_billing)),
            ("shippingAddresses", some(&self.shipping)),
            ("billingAddresses", some(&self.billing)),
            ("stores", self.stores.iter().map(|store| store.json("store")).collect()),
        ]);
        draft.extend(self.texts.iter().map(|(name, text)| ((*name).to_owned(), json!(text))));
        draft
    }
}

/// An authentication mode's name.
pub fn mode(external: bool) -> &'static str {
    if external { "ExternalAuth" } else { "Password" }
}

impl Named {
    fn json(&self, kind: &str) -> Value {
        match self {
            Self::Id(id) => json!({"typeId": kind, "id": id}),
            Self::Key(key) => json!({"typeId": kind, "key": key}),
        }
    }

    fn address(&self) -> (&'static str, Value) {
        match self {
            Self::Id(id) => ("addressId", json!(id)),
            Self::Key(key) => ("addressKey", json!(key)),
        }
    }
}

impl AddressDraft {
    /// The fields as they were sent, and as they are kept.
    pub fn json(&self) -> Map<String, Value> {
        object(&[("country", json!(self.country)), ("key", json!(self.key)), ("city", json!(self.city))])
    }
}

impl Role {
    pub fn name(self) -> &'static str {
        match self {
            Self::Shipping => "Shipping",
            Self::Billing => "Billing",
        }
    }
}

impl Action {
    pub fn json(&self) -> Value {
        let action =
            |name: &str, fields: &[(&str, Value)]| Value::from(object(&[&[("action", json!(name))], fields].concat()));
        let upper = |name: &str| format!("{}{}", name[..1].to_uppercase(), &name[1..]);
        let texts = |stores: &[Named]| stores.iter().map(|store| store.json("store")).collect::<Vec<_>>();
        match self {
            Self::ChangeEmail(email) => action("changeEmail", &[("email", json!(email))]),
            Self::SetMode { external, password } => {
                action("setAuthenticationMode", &[("authMode", json!(mode(*external))), ("password", json!(password))])
            }
            Self::SetKey(key) => action("setKey", &[("key", json!(key))]),
            Self::SetExternalId(id) => action("setExternalId", &[("externalId", json!(id))]),
            Self::SetNumber(number) => action("setCustomerNumber", &[("customerNumber", json!(number))]),
            Self::SetStores(stores) => action("setStores", &[("stores", texts(stores).into())]),
            Self::AddStore(store) => action("addStore", &[("store", store.json("store"))]),
            Self::RemoveStore(store) => action("removeStore", &[("store", store.json("store"))]),
            Self::SetText(name, text) => action(&format!("set{}", upper(name)), &[(name, json!(text))]),
            Self::AddAddress(address) => action("addAddress", &[("address", address.json().into())]),
            Self::ChangeAddress(which, address) => {
                action("changeAddress", &[which.address(), ("address", address.json().into())])
            }
            Self::RemoveAddress(which) => action("removeAddress", &[which.address()]),
            Self::SetDefault(role, which) => {
                let which: Vec<(&str, Value)> = which.iter().map(Named::address).collect();
                action(&format!("setDefault{}Address", role.name()), &which)
            }
            Self::AddRole(role, which) => action(&format!("add{}AddressId", role.name()), &[which.address()]),
            Self::RemoveRole(role, which) => action(&format!("remove{}AddressId", role.name()), &[which.address()]),
            Self::SetGroup(group) => {
                let group = group.as_ref().map(|group| group.json("customer-group"));
                action("setCustomerGroup", &[("customerGroup", json!(group))])
            }
            Self::SetGroups(groups) => {
                let all = groups.iter().map(assignment).collect();
                action("setCustomerGroupAssignments", &[("customerGroupAssignments", all)])
            }
            Self::AddGroup(group) => {
                action("addCustomerGroupAssignment", &[("customerGroupAssignment", assignment(group))])
            }
            Self::RemoveGroup(group) => {
                action("removeCustomerGroupAssignment", &[("customerGroup", group.json("customer-group"))])
            }
            Self::Custom(name) => action(name, &[("addressId", json!("a")), ("name", json!("b")), ("value", json!(1))]),
            Self::Unknown => action("setPassword", &[("password", json!("x"))]),
        }
    }
}

/// A customer group that a customer is assigned to.
fn assignment(group: &Named) -> Value {
    json!({"customerGroup": group.json("customer-group")})
}

impl Selection {
    pub fn json(&self) -> Value {
        json!({"resourceTypeId": self.resource, "types": self.types})
    }
}

impl Subscribing {
    fn json(&self) -> Value {
        match self {
            Self::SetKey(key) => object(&[("action", json!("setKey")), ("key", json!(key))]).into(),
            Self::SetMessages(wanted) => {
                json!({"action": "setMessages", "messages": wanted.iter().map(Selection::json).collect::<Vec<_>>()})
            }
            Self::SetChanges(wanted) => json!({"action": "setChanges", "changes": changes(wanted)}),
            Self::SetEvents(wanted) => {
                json!({"action": "setEvents", "events": wanted.iter().map(Selection::json).collect::<Vec<_>>()})
            }
            Self::ChangeDestination { hook: number, with_secret } => {
                let secret = json!(with_secret.then_some(OWN_SECRET));
                let to = [("type", json!("Webhook")), ("url", json!(hook(*number))), ("secret", secret)];
                json!({"action": "changeDestination", "destination": object(&to)})
            }
            Self::Unknown => json!({"action": "setFormat"}),
        }
    }
}

/// Changes that a subscription wants, by the types of their resources.
pub fn changes(wanted: &[&'static str]) -> Value {
    wanted.iter().map(|resource| json!({"resourceTypeId": resource})).collect()
}

/// The address of a web hook.
pub fn hook(number: u8) -> String {
    format!("https://example.com/hook-{number}")
}

/// A predicate.
fn with_key(key: &str) -> String {
    format!("key = \"{key}\"")
}

/// Readable, and enough to repeat it by hand. `who`: whose token it is called with.
pub fn told(call: &Call, who: &str, projects: &[String; PROJECTS]) -> String {
    let Some(request) = call.request(projects) else {
        return format!("{:?} on {}", call.verb, projects[call.project]);
    };
    let user = call.external_user.as_ref().map(|user| format!(" for {user}")).unwrap_or_default();
    format!("{} {} [{who}{user}] {}", request.method, request.path, request.body)
}
