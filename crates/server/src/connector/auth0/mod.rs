//! Auth0, through its Management API (providers.md 1): users of one database connection.
//!
//! A password is set with `PATCH /api/v2/users/{id}`, and the user's `last_password_reset` is the probe. Sessions are
//! ended by a call of its own, for a new password does not end refresh tokens.

mod answer;

use futures_util::future::BoxFuture;
use keyherald_core::provider::{
    Capabilities, LookupWays, Probe, ProbeValue, ProviderError, ProviderUser, RecordWrites, SessionEnding, TrialAnswer,
};
use keyherald_core::secret::Password;
use keyherald_core::{Ctx, Micros};
use reqwest::Method;
use reqwest::header::AUTHORIZATION;
use serde_json::{Map, Value, json};
use url::Url;

use super::call::{Answer, Caller, CannotCall, Deadline, Fault, Net, Request};
use super::secret::AccessSecret;
use super::token_cache::TokenCache;
use super::{By, Connector, LookedUp, NewUser, TokenOwner, UserChanges, names_google, percent, userinfo};

/// How long before its end a token is replaced.
const EARLY: i64 = Micros::MINUTE;

/// A login that nobody has: no address ends like this (RFC 2606).
const NOBODY: &str = "nobody@keyherald.invalid";

/// What an Auth0 tenant is reached by.
#[derive(Clone)]
pub struct Settings {
    /// `https://{tenant}.{region}.auth0.com`
    pub base_url: Url,
    /// The machine-to-machine application that may use the Management API, and that signs in users on trial.
    pub client_id: String,
    /// Its secret.
    pub client_secret: AccessSecret,
    /// The Management API's identifier. `None`: `{base_url}/api/v2/`, which is wrong for a custom domain.
    pub audience: Option<String>,
    /// The name of the database connection that the users are in.
    pub connection: String,
    /// Whether the application has the password grant, so that a sign-in can be tried.
    pub trial_sign_in: bool,
}

/// A tenant.
pub(super) struct Auth0 {
    base: String,
    audience: String,
    settings: Settings,
    caller: Caller,
    tokens: TokenCache,
}

/// What is done with a user, to be sent with an access token.
struct Command<'a> {
    method: Method,
    path: String,
    body: Option<&'a Value>,
}

impl Auth0 {
    pub fn new(settings: Settings, net: &Net) -> Result<Self, CannotCall> {
        let caller = Caller::new(&[&settings.base_url], net)?;
        let base = settings.base_url.as_str().trim_end_matches('/').to_owned();
        let audience = settings.audience.clone().unwrap_or_else(|| format!("{base}/api/v2/"));
        Ok(Self { base, audience, settings, caller, tokens: TokenCache::new(EARLY) })
    }

    fn url(&self, path: &str) -> Result<Url, ProviderError> {
        Url::parse(&format!("{}{path}", self.base)).map_err(|_| ProviderError::Misconfigured)
    }

    /// One request of the Management API. A token that is refused is made anew, once: such an answer changed nothing.
    async fn manage(&self, command: Command<'_>, now: Micros, deadline: Deadline) -> Result<Managed, ProviderError> {
        let mut refused = false;
        loop {
            let make = async || self.make_token(now, deadline).await;
            let token = deadline.before(self.tokens.token(now, make)).await?;
            let mut request = Request::new(command.method.clone(), self.url(&command.path)?)
                .header(AUTHORIZATION, &format!("Bearer {}", token.reveal()));
            if let Some(body) = command.body {
                request = request.json(body);
            }
            let answer = match self.caller.send(request, deadline).await {
                Err(fault) => return Ok(Managed::Fault(fault)),
                Ok(answer) => answer,
            };
            if answer.status != 401 || refused {
                return Ok(Managed::Answer(answer));
            }
            self.tokens.drop_token(&token).await;
            refused = true;
        }
    }

    async fn make_token(&self, now: Micros, deadline: Deadline) -> Result<(AccessSecret, Micros), ProviderError> {
        let request = Request::new(Method::POST, self.url("/oauth/token")?).json(&json!({
            "grant_type": "client_credentials",
            "client_id": self.settings.client_id,
            "client_secret": self.settings.client_secret.reveal(),
            "audience": self.audience,
        }));
        let answer = self.caller.send(request, deadline).await.map_err(Fault::of_read)?;
        answer::token(&answer, now)
    }

    fn user_path(user: &ProviderUser, rest: &str) -> Result<String, ProviderError> {
        let id = percent::segment(user.as_str()).ok_or(ProviderError::UserNotFound)?;
        Ok(format!("/api/v2/users/{id}{rest}"))
    }

    async fn find(&self, by: By<'_>, now: Micros) -> Result<Found, ProviderError> {
        let path = match by {
            By::Id(user) => Self::user_path(user, "")?,
            // Addresses are kept in lower case there, and compared as they are.
            By::Email(email) => format!("/api/v2/users-by-email?email={}", percent::encode(&email.to_lowercase())),
            // Known to a search index only, and later than to everybody else: nothing to decide on.
            By::ExternalId(_) => return Err(ProviderError::NotSupported),
        };
        let command = Command { method: Method::GET, path, body: None };
        let answer = match self.manage(command, now, Deadline::of_call()).await? {
            Managed::Fault(fault) => return Err(fault.of_read()),
            Managed::Answer(answer) => answer,
        };
        if answer.status != 200 {
            return Err(answer::error(&answer, None, now).of_read());
        }
        match answer.json() {
            Value::Array(users) => only(&users, &self.settings.connection),
            user => Found::of(&user),
        }
    }

    async fn patch(&self, user: &ProviderUser, body: &Value, now: Micros) -> Result<(), ProviderError> {
        let command = Command { method: Method::PATCH, path: Self::user_path(user, "")?, body: Some(body) };
        match self.manage(command, now, Deadline::of_call()).await? {
            Managed::Fault(fault) => Err(fault.of_write()),
            Managed::Answer(answer) if answer.status == 200 => Ok(()),
            Managed::Answer(answer) => Err(answer::error(&answer, None, now).of_write()),
        }
    }

    async fn create(&self, user: NewUser<'_>, now: Micros) -> Result<LookedUp, ProviderError> {
        let mut body = Map::new();
        body.insert("connection".into(), self.settings.connection.as_str().into());
        body.insert("email".into(), user.email.to_lowercase().into());
        body.insert("email_verified".into(), user.email_verified.into());
        body.insert("password".into(), user.password.reveal_with(|text| text.into()));
        // As the id itself: what lies in metadata is found by a search index only, and later.
        let others = [("given_name", user.first_name), ("family_name", user.last_name), ("user_id", user.external_id)];
        body.extend(others.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into()))));
        let path = "/api/v2/users".to_owned();
        let command = Command { method: Method::POST, path, body: Some(&Value::Object(body)) };
        match self.manage(command, now, Deadline::of_call()).await? {
            Managed::Fault(fault) => Err(fault.of_write()),
            Managed::Answer(answer) if answer.status == 201 => match Found::of(&answer.json()) {
                Ok(found) => Ok(found.looked_up),
                Err(_) => Err(ProviderError::Ambiguous),
            },
            Managed::Answer(answer) => Err(answer::error(&answer, Some(user.password), now).of_write()),
        }
    }

    async fn update(&self, user: &ProviderUser, changes: UserChanges<'_>, now: Micros) -> Result<(), ProviderError> {
        let body = |fields: Vec<(&str, Value)>| {
            let connection = ("connection", self.settings.connection.as_str().into());
            Value::Object(
                fields.into_iter().chain([connection]).map(|(name, value)| (name.to_owned(), value)).collect(),
            )
        };
        // The address goes apart from the rest, and first: it may be refused, and a new one counts as not verified.
        if let Some(email) = changes.email {
            self.patch(user, &body(vec![("email", email.to_lowercase().into())]), now).await?;
        }
        let others = [
            ("given_name", changes.first_name.map(Value::from)),
            ("family_name", changes.last_name.map(Value::from)),
            ("email_verified", changes.verified.map(Value::from)),
        ];
        let others: Vec<_> = others.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        if others.is_empty() { Ok(()) } else { self.patch(user, &body(others), now).await }
    }

    async fn set(&self, user: &ProviderUser, password: &Password, now: Micros) -> Result<(), ProviderError> {
        let path = Self::user_path(user, "")?;
        let body = password.reveal_with(|text| json!({"password": text, "connection": self.settings.connection}));
        let command = Command { method: Method::PATCH, path, body: Some(&body) };
        match self.manage(command, now, Deadline::of_call()).await? {
            Managed::Fault(fault) => Err(fault.of_write()),
            Managed::Answer(answer) if answer.status == 200 => Ok(()),
            Managed::Answer(answer) => Err(answer::error(&answer, Some(password), now).of_write()),
        }
    }

    async fn sign_in(
        &self,
        user: &ProviderUser,
        password: &Password,
        now: Micros,
    ) -> Result<TrialAnswer, ProviderError> {
        let found = self.find(By::Id(user), now).await;
        // For a user who is not there it is tried all the same: that it was not must not be seen in the time it took.
        let (login, is_there) = match found {
            Ok(found) => (found.login.ok_or(ProviderError::NotSupported)?, true),
            Err(ProviderError::UserNotFound) => (NOBODY.to_owned(), false),
            Err(error) => return Err(error),
        };
        let body = password.reveal_with(|text| {
            json!({
                "grant_type": "http://auth0.com/oauth/grant-type/password-realm",
                "client_id": self.settings.client_id,
                "client_secret": self.settings.client_secret.reveal(),
                "realm": self.settings.connection,
                "username": login,
                "password": text,
            })
        });
        let request = Request::new(Method::POST, self.url("/oauth/token")?).json(&body);
        let answer = self.caller.send(request, Deadline::of_call()).await.map_err(Fault::of_read)?;
        let said = answer::trial(&answer, now)?;
        if is_there { Ok(said) } else { Err(ProviderError::UserNotFound) }
    }

    async fn revoke(&self, user: &ProviderUser, now: Micros) -> Result<(), ProviderError> {
        let path = Self::user_path(user, "/revoke-access")?;
        let command = Command { method: Method::POST, path, body: Some(&json!({})) };
        match self.manage(command, now, Deadline::of_call()).await? {
            Managed::Fault(fault) => Err(fault.of_write()),
            Managed::Answer(answer) if (200..=299).contains(&answer.status) => Ok(()),
            Managed::Answer(answer) => Err(answer::error(&answer, None, now).of_write()),
        }
    }
}

/// How a request of the Management API ended.
enum Managed {
    Answer(Answer),
    Fault(Fault),
}

/// A user as this API shows it.
struct Found {
    looked_up: LookedUp,
    /// What the user types to sign in.
    login: Option<String>,
}

impl Found {
    fn of(user: &Value) -> Result<Self, ProviderError> {
        let text = |name: &str| user.get(name).and_then(Value::as_str);
        let owned = |name: &str| text(name).map(str::to_owned);
        // A 200 that is no user comes from something that stands in between.
        let id = text("user_id").and_then(|id| id.parse().ok()).ok_or(ProviderError::Transient)?;
        let looked_up = LookedUp {
            user: id,
            email: owned("email"),
            first_name: owned("given_name"),
            last_name: owned("family_name"),
            email_verified: user.get("email_verified").and_then(Value::as_bool),
            probe: Some(ProbeValue::of(text("last_password_reset"))),
        };
        let login = looked_up.email.clone().or_else(|| owned("username"));
        Ok(Self { looked_up, login })
    }
}

/// The one user of an array who is in this connection.
fn only(users: &[Value], connection: &str) -> Result<Found, ProviderError> {
    let is_in = |user: &&Value| match user.get("identities").and_then(Value::as_array) {
        None => true,
        Some(identities) => identities.iter().any(|identity| identity.get("connection") == Some(&connection.into())),
    };
    let mut inside = users.iter().filter(is_in);
    match (inside.next(), inside.next()) {
        (None, _) => Err(ProviderError::UserNotFound),
        (Some(user), None) => Found::of(user),
        (Some(_), Some(_)) => Err(ProviderError::UserAmbiguous),
    }
}

impl Connector for Auth0 {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            probe: Probe::Password,
            trial_sign_in: self.settings.trial_sign_in,
            sessions: SessionEnding::ByStep,
            lookups: LookupWays { id: true, email: true, external_id: false },
            password_bytes_max: Some(72), // bcrypt there cuts the rest off without a word
            records: RecordWrites { create: true, update: true },
            tokens: true,
        }
    }

    fn look_up<'a>(&'a self, by: By<'a>, ctx: Ctx) -> BoxFuture<'a, Result<LookedUp, ProviderError>> {
        Box::pin(async move { Ok(self.find(by, ctx.now).await?.looked_up) })
    }

    fn set_password<'a>(
        &'a self,
        user: &'a ProviderUser,
        password: &'a Password,
        ctx: Ctx,
    ) -> BoxFuture<'a, Result<(), ProviderError>> {
        Box::pin(async move { self.set(user, password, ctx.now).await })
    }

    fn try_sign_in<'a>(
        &'a self,
        user: &'a ProviderUser,
        password: &'a Password,
        ctx: Ctx,
    ) -> BoxFuture<'a, TrialAnswer> {
        Box::pin(async move {
            if !self.settings.trial_sign_in {
                return TrialAnswer::Failed(ProviderError::NotSupported);
            }
            self.sign_in(user, password, ctx.now).await.unwrap_or_else(TrialAnswer::Failed)
        })
    }

    fn end_sessions<'a>(&'a self, user: &'a ProviderUser, ctx: Ctx) -> BoxFuture<'a, Result<(), ProviderError>> {
        Box::pin(async move { self.revoke(user, ctx.now).await })
    }

    fn token_owner<'a>(&'a self, token: &'a str, ctx: Ctx) -> BoxFuture<'a, Result<Option<TokenOwner>, ProviderError>> {
        Box::pin(async move {
            let url = self.url("/userinfo")?;
            // Ids begin with who signs the user in.
            let is_google = |claims: &Value| {
                let id = claims.get("sub").and_then(Value::as_str).unwrap_or_default();
                id.split_once('|').is_some_and(|(connection, _)| names_google(connection))
            };
            userinfo::owner(&self.caller, url, token, ctx.now, is_google).await
        })
    }

    fn create_user<'a>(&'a self, user: NewUser<'a>, ctx: Ctx) -> BoxFuture<'a, Result<LookedUp, ProviderError>> {
        Box::pin(async move { self.create(user, ctx.now).await })
    }

    fn update_user<'a>(
        &'a self,
        user: &'a ProviderUser,
        changes: UserChanges<'a>,
        ctx: Ctx,
    ) -> BoxFuture<'a, Result<(), ProviderError>> {
        Box::pin(async move { self.update(user, changes, ctx.now).await })
    }
}
