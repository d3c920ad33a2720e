//! Users' records at Keycloak: created with one request, changed with a read and a write.
//!
//! A `PUT` of a user takes away what it does not have of the user's profile (Keycloak 24.0.4, upgrading guide). So the
//! profile is read, changed and written; what is no part of it (whether the user is enabled, what is to be done at the
//! next sign-in) is left out and stays as it is. There is no condition to write by: who edits the same profile between the
//! two requests is overwritten.

use keyherald_core::Micros;
use keyherald_core::provider::{ProviderError, ProviderUser};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::{Keycloak, Managed, answer};
use crate::connector::call::Deadline;
use crate::connector::{By, LookedUp, NewUser, UserChanges};

/// The parts of a user's profile.
const PROFILE: [&str; 5] = ["username", "email", "firstName", "lastName", "attributes"];

impl Keycloak {
    pub(super) async fn create(&self, user: NewUser<'_>, now: Micros) -> Result<LookedUp, ProviderError> {
        let email = user.email.to_lowercase();
        let mut body = Map::new();
        // A realm that takes addresses for names takes it anyway.
        body.insert("username".into(), email.as_str().into());
        body.insert("email".into(), email.as_str().into());
        body.insert("emailVerified".into(), user.email_verified.into());
        body.insert("enabled".into(), true.into());
        let password = user.password.reveal_with(|text| json!({"type": "password", "value": text, "temporary": false}));
        body.insert("credentials".into(), [password].into_iter().collect());
        let names = [("firstName", user.first_name), ("lastName", user.last_name)];
        body.extend(names.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into()))));
        if let (Some(name), Some(id)) = (&self.settings.external_id_attribute, user.external_id) {
            body.insert("attributes".into(), json!({name: [id]}));
        }
        let body = Value::Object(body);
        let made = match self.manage((Method::POST, "/users", Some(&body)), now, Deadline::of_call()).await? {
            Managed::Fault(fault) => return Err(fault.of_write()),
            Managed::Answer(answer) if answer.status == 201 => answer,
            Managed::Answer(answer) => return Err(answer::error(&answer, Some(user.password), now).of_write()),
        };
        // The answer has no body: its `Location` ends with the id.
        let id = made.header("location").and_then(|url| url.rsplit('/').next()?.parse().ok());
        Ok(LookedUp {
            email: Some(email),
            first_name: user.first_name.map(str::to_owned),
            last_name: user.last_name.map(str::to_owned),
            email_verified: Some(user.email_verified),
            // Without it, a look-up tells who was made.
            ..LookedUp::of(id.ok_or(ProviderError::Ambiguous)?)
        })
    }

    pub(super) async fn update(
        &self,
        user: &ProviderUser,
        changes: UserChanges<'_>,
        now: Micros,
    ) -> Result<(), ProviderError> {
        let deadline = Deadline::of_call();
        let known = deadline.before(self.user(By::Id(user), now, deadline)).await?;
        let text = |name: &str| known.get(name).and_then(Value::as_str).map(str::to_lowercase);
        let parts = PROFILE.into_iter().filter_map(|name| Some((name.to_owned(), known.get(name)?.clone())));
        let mut body: Map<String, Value> = parts.collect();
        let mut set = |name: &str, value: Value| drop(body.insert(name.to_owned(), value));
        if let Some(email) = changes.email.map(str::to_lowercase) {
            let old = text("email");
            // Who signs in with the address goes on doing so, and the old one is free for others.
            if old.is_some() && text("username") == old {
                set("username", email.as_str().into());
            }
            // Keycloak takes an administrator's word for it that nothing else has changed.
            if old.as_ref() != Some(&email) {
                set("emailVerified", false.into());
            }
            set("email", email.into());
        }
        let others = [
            ("firstName", changes.first_name.map(Value::from)),
            ("lastName", changes.last_name.map(Value::from)),
            ("emailVerified", changes.verified.map(Value::from)),
        ];
        for (name, value) in others.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            set(name, value);
        }
        let path = Self::user_path(user, "")?;
        self.write((Method::PUT, &path, Some(&Value::Object(body))), None, now).await
    }
}
