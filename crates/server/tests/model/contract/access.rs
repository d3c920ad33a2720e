//! Who calls, and what they may (commercetools.md 1.4, 1.5).

use keyherald_core::Micros;
use serde_json::{Value, json};

use super::refused::{self, Refused};
use super::state::{Session, World};
use crate::call::{By, Call, Caller, Verb, object};
use crate::expect::Name;

/// Who makes a call.
#[derive(Clone, Default)]
pub struct Who {
    /// As `createdBy` shows it.
    pub by: Value,
    /// Whose token it is.
    pub customer: Option<Name>,
    /// The caller may call the project's other stores too.
    pub sees_others: bool,
}

/// What a call needs. Each is a scope's name.
fn needed(verb: &Verb) -> &'static str {
    match verb {
        Verb::Create { own: true, .. }
        | Verb::Reset { own: true, .. }
        | Verb::Confirm { own: true, .. }
        | Verb::Login { own: true, .. }
        | Verb::Change { id: None, .. }
        | Verb::Read { by: By::Me, .. }
        | Verb::Update { by: By::Me, .. }
        | Verb::Delete { by: By::Me, .. } => "manage_my_profile",
        Verb::Read { .. } | Verb::Query { .. } => "view_customers",
        Verb::Messages { .. } | Verb::Message { .. } => "view_messages",
        Verb::Subscribe { .. }
        | Verb::Subscription { .. }
        | Verb::Subscriptions { .. }
        | Verb::Resubscribe { .. }
        | Verb::Unsubscribe { .. } => "manage_subscriptions",
        Verb::Project { .. } => "view_project_settings",
        Verb::Configure { .. } => "manage_project_settings",
        Verb::Store { .. } | Verb::Stores { .. } => "view_stores",
        Verb::CreateStore { .. } => "manage_stores",
        _ => "manage_customers",
    }
}

/// Whether it is a call of `/me` about the customer whose token it is.
fn is_about_me(verb: &Verb) -> bool {
    matches!(
        verb,
        Verb::Change { id: None, .. }
            | Verb::Read { by: By::Me, .. }
            | Verb::Update { by: By::Me, .. }
            | Verb::Delete { by: By::Me, .. }
    )
}

/// Whether scopes hold `name` for the whole project, or for the store if one is given.
fn hold(scopes: &str, name: &str, project: &str, store: Option<&str>) -> bool {
    let including: &[&str] = match name {
        "view_customers" => &["manage_customers"],
        "view_messages" => &["view_orders"],
        "view_project_settings" => &["manage_project_settings"],
        "view_stores" => &["manage_stores"],
        _ => &[],
    };
    let whole = |name: &str| format!("{name}:{project}");
    scopes.split(' ').any(|scope| {
        scope == whole("manage_project")
            || including.iter().chain(&[name]).any(|name| {
                scope == whole(name) || store.is_some_and(|store| scope == format!("{}:{store}", whole(name)))
            })
    })
}

/// Whether a client with these scopes may ask for those.
pub fn covers(held: &str, asked: &str, project: &str) -> bool {
    asked.split(' ').all(|scope| {
        let parts: Vec<&str> = scope.split(':').collect();
        match parts[..] {
            [name, of] => of == project && hold(held, name, of, None) && name != "manage_orders",
            [name, of, store] => of == project && hold(held, name, of, Some(store)),
            _ => false,
        }
    })
}

impl Session {
    pub fn is_alive(&self, now: Micros) -> bool {
        !self.revoked && now < self.ends
    }
}

impl World {
    /// Who makes this call, if they may.
    pub fn who(&self, call: &Call) -> Result<Who, Refused> {
        let value = match &call.caller {
            Caller::Bearer(value) => value,
            Caller::Nobody | Caller::Client(_) => return Err(refused::no_token()),
        };
        let session = self.session(value).filter(|(_, session)| !session.is_refresh && session.is_alive(self.now));
        let (_, session) = session.ok_or_else(refused::dead_token)?;
        let project = &self.projects[call.project];
        let needed = needed(&call.verb);
        let sees_others = hold(&session.scope, needed, &project.key, None);
        if !sees_others && !hold(&session.scope, needed, &project.key, call.store.as_deref()) {
            return Err(refused::insufficient_scope(needed));
        }
        if let Some(store) = call.store.as_ref().filter(|store| !project.stores.contains_key(*store)) {
            return Err(refused::no_such_key(store));
        }
        if is_about_me(&call.verb) && session.customer.is_none() {
            return Err(if session.visitor.is_some() { refused::nothing() } else { refused::nobodys_token() });
        }
        let customer = session.customer.clone();
        let by = object(&[
            ("clientId", json!(session.client)),
            ("isPlatformClient", json!(false)),
            ("externalUserId", json!(call.external_user)),
            ("customer", json!(customer.as_deref().map(|id| json!({"typeId": "customer", "id": id})))),
            ("anonymousId", json!(session.visitor.as_deref())),
        ]);
        Ok(Who { by: by.into(), customer, sees_others })
    }

    /// The access or refresh token with this value.
    pub fn session(&self, value: &str) -> Option<(Name, &Session)> {
        let found = self.sessions.iter().find(|(name, _)| self.is(name, value));
        found.map(|(name, session)| (name.clone(), &**session))
    }
}
