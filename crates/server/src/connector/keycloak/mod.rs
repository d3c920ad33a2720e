//! Keycloak, through its Admin REST API (providers.md 4.1): users of one realm.
//!
//! A password is set with `PUT reset-password`, for good. The probe is the credential's id and the time at which it was
//! made, which takes a request of its own. Sessions are ended by another, for a new password leaves them alone.

mod answer;
mod records;

use futures_util::future::BoxFuture;
use keyherald_core::provider::{
    Capabilities, LookupWays, Probe, ProbeValue, ProviderError, ProviderUser, RecordWrites, SessionEnding, TrialAnswer,
};
use keyherald_core::secret::Password;
use keyherald_core::{Ctx, Micros};
use reqwest::Method;
use reqwest::header::AUTHORIZATION;
use serde_json::{Value, json};
use url::Url;
use zeroize::Zeroizing;

use super::call::{Answer, Caller, CannotCall, Deadline, Fault, Net, Request};
use super::percent::{encode, segment};
use super::secret::AccessSecret;
use super::token_cache::TokenCache;
use super::{By, Connector, LookedUp, NewUser, TokenOwner, UserChanges, names_google, userinfo};

/// How long before its end a token is replaced. Keycloak's live for a minute.
const EARLY: i64 = 10 * Micros::SECOND;

/// What a realm is reached by.
#[derive(Clone)]
pub struct Settings {
    /// The server, with `/auth` where an old one has it.
    pub base_url: Url,
    /// The realm that the users are in.
    pub realm: String,
    /// A client of it with a service account that may view, query and manage users.
    pub client_id: String,
    /// Its secret.
    pub client_secret: AccessSecret,
    /// The attribute with the id that a user has elsewhere.
    pub external_id_attribute: Option<String>,
    /// Whether the client has direct access grants, so that a sign-in can be tried.
    pub trial_sign_in: bool,
}

/// A realm.
pub(super) struct Keycloak {
    token_url: String,
    userinfo_url: String,
    admin_url: String,
    settings: Settings,
    caller: Caller,
    tokens: TokenCache,
}

/// How a request of the Admin API ended.
enum Managed {
    Answer(Answer),
    Fault(Fault),
}

impl Keycloak {
    pub fn new(settings: Settings, net: &Net) -> Result<Self, CannotCall> {
        let caller = Caller::new(&[&settings.base_url], net)?;
        let base = settings.base_url.as_str().trim_end_matches('/');
        let realm = segment(&settings.realm).ok_or(CannotCall::Key("its realm is no name"))?;
        let [token_url, userinfo_url] =
            ["token", "userinfo"].map(|name| format!("{base}/realms/{realm}/protocol/openid-connect/{name}"));
        let admin_url = format!("{base}/admin/realms/{realm}");
        Ok(Self { token_url, userinfo_url, admin_url, settings, caller, tokens: TokenCache::new(EARLY) })
    }

    /// One request of the Admin API. A token that is refused is made anew, once: such an answer changed nothing.
    async fn manage(
        &self,
        (method, path, body): (Method, &str, Option<&Value>),
        now: Micros,
        deadline: Deadline,
    ) -> Result<Managed, ProviderError> {
        let url = Url::parse(&format!("{}{path}", self.admin_url)).map_err(|_| ProviderError::Misconfigured)?;
        let mut refused = false;
        loop {
            let make = async || self.make_token(now, deadline).await;
            let token = deadline.before(self.tokens.token(now, make)).await?;
            let bearer = Zeroizing::new(format!("Bearer {}", token.reveal()));
            let mut request = Request::new(method.clone(), url.clone()).header(AUTHORIZATION, &bearer);
            if let Some(body) = body {
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

    /// A request at the token endpoint.
    async fn grant(&self, fields: &[(&str, &str)], deadline: Deadline) -> Result<Answer, ProviderError> {
        let client =
            [("client_id", self.settings.client_id.as_str()), ("client_secret", self.settings.client_secret.reveal())];
        let pairs: Vec<String> =
            fields.iter().chain(&client).map(|(name, value)| format!("{name}={}", encode(value))).collect();
        let url = Url::parse(&self.token_url).map_err(|_| ProviderError::Misconfigured)?;
        let request = Request::new(Method::POST, url).body("application/x-www-form-urlencoded", pairs.join("&"));
        self.caller.send(request, deadline).await.map_err(Fault::of_read)
    }

    async fn make_token(&self, now: Micros, deadline: Deadline) -> Result<(AccessSecret, Micros), ProviderError> {
        answer::token(&self.grant(&[("grant_type", "client_credentials")], deadline).await?, now)
    }

    /// What a request that changes nothing answers.
    async fn read(&self, path: &str, now: Micros, deadline: Deadline) -> Result<Value, ProviderError> {
        match self.manage((Method::GET, path, None), now, deadline).await? {
            Managed::Fault(fault) => Err(fault.of_read()),
            Managed::Answer(answer) if answer.status == 200 => Ok(answer.json()),
            Managed::Answer(answer) => Err(answer::error(&answer, None, now).of_read()),
        }
    }

    /// What a request that changes something answers.
    async fn write(
        &self,
        (method, path, body): (Method, &str, Option<&Value>),
        password: Option<&Password>,
        now: Micros,
    ) -> Result<(), ProviderError> {
        match self.manage((method, path, body), now, Deadline::of_call()).await? {
            Managed::Fault(fault) => Err(fault.of_write()),
            Managed::Answer(answer) if (200..=299).contains(&answer.status) => Ok(()),
            Managed::Answer(answer) => Err(answer::error(&answer, password, now).of_write()),
        }
    }

    fn user_path(user: &ProviderUser, rest: &str) -> Result<String, ProviderError> {
        let id = segment(user.as_str()).ok_or(ProviderError::UserNotFound)?;
        Ok(format!("/users/{id}{rest}"))
    }

    async fn user(&self, by: By<'_>, now: Micros, deadline: Deadline) -> Result<Value, ProviderError> {
        match by {
            By::Id(user) => self.read(&Self::user_path(user, "")?, now, deadline).await,
            By::Email(email) => {
                let found = self.read(&format!("/users?email={}&exact=true", encode(email)), now, deadline).await?;
                only(&found, |user| {
                    user.get("email").and_then(Value::as_str).is_some_and(|known| known.eq_ignore_ascii_case(email))
                })
            }
            By::ExternalId(id) => {
                let name = self.settings.external_id_attribute.as_deref().ok_or(ProviderError::NotSupported)?;
                // The query has a language of its own. What it finds is compared here.
                let query = format!("{name}:\"{}\"", id.replace('\\', "\\\\").replace('"', "\\\""));
                let found = self.read(&format!("/users?q={}&max=100", encode(&query)), now, deadline).await?;
                only(&found, |user| {
                    let values = user.get("attributes").and_then(|all| all.get(name)).and_then(Value::as_array);
                    values.is_some_and(|values| values.iter().any(|value| value == id))
                })
            }
        }
    }

    async fn find(&self, by: By<'_>, now: Micros) -> Result<LookedUp, ProviderError> {
        let deadline = Deadline::of_call();
        let found = deadline.before(self.user(by, now, deadline)).await?;
        let text = |name: &str| found.get(name).and_then(Value::as_str);
        // A 200 that is no user comes from something that stands in between.
        let user: ProviderUser = text("id").and_then(|id| id.parse().ok()).ok_or(ProviderError::Transient)?;
        let credentials = self.read(&Self::user_path(&user, "/credentials")?, now, deadline).await?;
        let credentials = credentials.as_array().ok_or(ProviderError::Transient)?;
        let password = credentials.iter().find(|credential| credential.get("type") == Some(&"password".into()));
        let made = password.map(|credential| format!("{:?} {:?}", credential.get("id"), credential.get("createdDate")));
        let owned = |name: &str| text(name).map(str::to_owned);
        Ok(LookedUp {
            email: owned("email"),
            first_name: owned("firstName"),
            last_name: owned("lastName"),
            email_verified: found.get("emailVerified").and_then(Value::as_bool),
            probe: Some(ProbeValue::of(made.as_deref())),
            user,
        })
    }

    async fn set(&self, user: &ProviderUser, password: &Password, now: Micros) -> Result<(), ProviderError> {
        let path = Self::user_path(user, "/reset-password")?;
        let body = password.reveal_with(|text| json!({"type": "password", "value": text, "temporary": false}));
        self.write((Method::PUT, &path, Some(&body)), Some(password), now).await
    }

    async fn sign_in(
        &self,
        user: &ProviderUser,
        password: &Password,
        now: Micros,
    ) -> Result<TrialAnswer, ProviderError> {
        let found = self.user(By::Id(user), now, Deadline::of_call()).await?;
        // Who may not sign in, or has something to do first, is told so before the password is looked at, or after.
        let is_free = found.get("enabled") == Some(&true.into())
            && found.get("requiredActions").and_then(Value::as_array).is_none_or(Vec::is_empty);
        if !is_free {
            return Ok(TrialAnswer::CannotTell);
        }
        let login = found.get("username").and_then(Value::as_str).ok_or(ProviderError::NotSupported)?;
        let text = Zeroizing::new(password.reveal_with(str::to_owned));
        let fields = [("grant_type", "password"), ("username", login), ("password", &*text)];
        let answer = answer::trial(&self.grant(&fields, Deadline::of_call()).await?, now)?;
        // An account that is locked for a while is answered like a wrong password.
        if answer == TrialAnswer::Wrong && !self.is_free_of_locks(user, now).await {
            return Ok(TrialAnswer::CannotTell);
        }
        Ok(answer)
    }

    /// Whether the realm's detection of brute force says that it has not locked the user.
    async fn is_free_of_locks(&self, user: &ProviderUser, now: Micros) -> bool {
        let Some(id) = segment(user.as_str()) else { return false };
        let path = format!("/attack-detection/brute-force/users/{id}");
        let status = self.read(&path, now, Deadline::of_call()).await;
        status.is_ok_and(|status| status.get("disabled") == Some(&false.into()))
    }
}

/// The one user that fits.
fn only(found: &Value, fits: impl Fn(&Value) -> bool) -> Result<Value, ProviderError> {
    let mut fitting = found.as_array().ok_or(ProviderError::Transient)?.iter().filter(|user| fits(user));
    match (fitting.next(), fitting.next()) {
        (None, _) => Err(ProviderError::UserNotFound),
        (Some(user), None) => Ok(user.clone()),
        (Some(_), Some(_)) => Err(ProviderError::UserAmbiguous),
    }
}

impl Connector for Keycloak {
    fn capabilities(&self) -> Capabilities {
        let external_id = self.settings.external_id_attribute.is_some();
        Capabilities {
            probe: Probe::Password,
            trial_sign_in: self.settings.trial_sign_in,
            sessions: SessionEnding::ByStep,
            lookups: LookupWays { id: true, email: true, external_id },
            password_bytes_max: None,
            records: RecordWrites { create: true, update: true },
            tokens: true,
        }
    }

    fn look_up<'a>(&'a self, by: By<'a>, ctx: Ctx) -> BoxFuture<'a, Result<LookedUp, ProviderError>> {
        Box::pin(async move { self.find(by, ctx.now).await })
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
        Box::pin(async move {
            let path = Self::user_path(user, "/logout")?;
            self.write((Method::POST, &path, None), None, ctx.now).await
        })
    }

    fn token_owner<'a>(&'a self, token: &'a str, ctx: Ctx) -> BoxFuture<'a, Result<Option<TokenOwner>, ProviderError>> {
        Box::pin(async move {
            let url = Url::parse(&self.userinfo_url).map_err(|_| ProviderError::Misconfigured)?;
            // Where a mapper of the realm puts it there.
            let is_google =
                |claims: &Value| claims.get("identity_provider").and_then(Value::as_str).is_some_and(names_google);
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
