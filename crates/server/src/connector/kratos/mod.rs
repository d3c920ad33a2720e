//! Ory Kratos, through its admin API (providers.md 4.5).
//!
//! A password is set by replacing its hash with one made here, if the hash is still the one that was read just before:
//! this touches nothing else of the identity. Kratos applies no policy to it; whoever wants one has it here. An identity
//! without a password has none to replace.
//!
//! The probe is the hash. It moves with the password, and also when Kratos writes a hash anew at a sign-in, because it
//! is of other costs than those configured there: so it proves something only by standing still. The time that Kratos
//! notes beside it moves with other edits as well.

mod hash;

use futures_util::future::BoxFuture;
use keyherald_core::provider::{
    Capabilities, LookupWays, Probe, ProbeValue, ProviderError, ProviderUser, RecordWrites, SessionEnding, TrialAnswer,
};
use keyherald_core::secret::Password;
use keyherald_core::{Ctx, Micros};
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, HeaderName};
use serde_json::{Value, json};
use url::Url;
use zeroize::Zeroizing;

use self::hash::Hasher;
use super::call::{Answer, Caller, CannotCall, Deadline, Fault, Net, Request};
use super::percent::{encode, segment};
use super::retry_hint::{self, Form};
use super::secret::AccessSecret;
use super::{By, Connector, Doubt, LookedUp, TokenOwner, names_google, userinfo};

/// What an installation is reached by.
#[derive(Clone)]
pub struct Settings {
    /// The admin API.
    pub base_url: Url,
    /// The access token of Ory Network. `None`: an installation of one's own, whose admin API asks for none.
    pub access_token: Option<AccessSecret>,
    /// The trait with the e-mail address.
    pub email_trait: String,
    /// The public API, which knows sessions by their tokens. `None`: they are not asked for.
    pub public_url: Option<Url>,
}

/// An installation.
pub(super) struct Kratos {
    base: String,
    settings: Settings,
    caller: Caller,
    hasher: Hasher,
}

/// An identity, and the hash of its password if it has one.
struct Found {
    looked_up: LookedUp,
    hash: Option<Zeroizing<String>>,
}

impl Kratos {
    pub fn new(settings: Settings, net: &Net) -> Result<Self, CannotCall> {
        let urls: Vec<&Url> = [&settings.base_url].into_iter().chain(&settings.public_url).collect();
        let caller = Caller::new(&urls, net)?;
        let base = format!("{}/admin/identities", settings.base_url.as_str().trim_end_matches('/'));
        Ok(Self { base, settings, caller, hasher: Hasher::new() })
    }

    async fn send(
        &self,
        (method, path, body): (Method, &str, Option<&Value>),
        deadline: Deadline,
    ) -> Result<Result<Answer, Fault>, ProviderError> {
        let url = Url::parse(&format!("{}{path}", self.base)).map_err(|_| ProviderError::Misconfigured)?;
        let mut request = Request::new(method, url);
        if let Some(token) = &self.settings.access_token {
            let bearer = Zeroizing::new(format!("Bearer {}", token.reveal()));
            request = request.header(AUTHORIZATION, &bearer);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        Ok(self.caller.send(request, deadline).await)
    }

    async fn read(&self, path: &str, now: Micros, deadline: Deadline) -> Result<Value, ProviderError> {
        match self.send((Method::GET, path, None), deadline).await? {
            Err(fault) => Err(fault.of_read()),
            Ok(answer) if answer.status == 200 => Ok(answer.json()),
            Ok(answer) => Err(error(&answer, now).of_read()),
        }
    }

    async fn write(&self, command: (Method, &str, Option<&Value>), now: Micros) -> Result<(), ProviderError> {
        match self.send(command, Deadline::of_call()).await? {
            Err(fault) => Err(fault.of_write()),
            Ok(answer) if (200..=299).contains(&answer.status) => Ok(()),
            Ok(answer) => Err(error(&answer, now).of_write()),
        }
    }

    fn identity_path(id: &str, rest: &str) -> Result<String, ProviderError> {
        Ok(format!("/{}{rest}", segment(id).ok_or(ProviderError::UserNotFound)?))
    }

    /// The id of an identity, where it is looked up by something else.
    async fn id_of(&self, by: By<'_>, now: Micros, deadline: Deadline) -> Result<String, ProviderError> {
        let found = match by {
            By::Id(user) => return Ok(user.as_str().to_owned()),
            By::Email(email) => {
                // Identifiers are kept in lower case. Not from a copy that lags behind.
                let email = encode(&email.to_lowercase());
                let path = format!("?credentials_identifier={email}&consistency=strong");
                let found = self.read(&path, now, deadline).await?;
                match found.as_array().map(Vec::as_slice) {
                    None => return Err(ProviderError::Transient),
                    Some([]) => return Err(ProviderError::UserNotFound),
                    Some([identity]) => identity.clone(),
                    Some(_) => return Err(ProviderError::UserAmbiguous),
                }
            }
            By::ExternalId(id) => {
                let id = segment(id).ok_or(ProviderError::UserNotFound)?;
                self.read(&format!("/by/external/{id}"), now, deadline).await?
            }
        };
        found.get("id").and_then(Value::as_str).map(str::to_owned).ok_or(ProviderError::Transient)
    }

    async fn find(&self, by: By<'_>, now: Micros, deadline: Deadline) -> Result<Found, ProviderError> {
        let id = deadline.before(self.id_of(by, now, deadline)).await?;
        let path = Self::identity_path(&id, "?include_credential=password")?;
        let identity = self.read(&path, now, deadline).await?;
        let text = |path: &str| identity.pointer(path).and_then(Value::as_str).map(str::to_owned);
        let user = text("/id").and_then(|id| id.parse().ok()).ok_or(ProviderError::Transient)?;
        let email = text(&format!("/traits/{}", self.settings.email_trait));
        let hash = text("/credentials/password/config/hashed_password").map(Zeroizing::new);
        let probe = Some(ProbeValue::of(hash.as_deref().map(String::as_str)));
        Ok(Found { looked_up: LookedUp { email, probe, ..LookedUp::of(user) }, hash })
    }

    async fn set(&self, user: &ProviderUser, password: &Password, ctx: &mut Ctx) -> Result<(), ProviderError> {
        const PLACE: &str = "/credentials/password/config/hashed_password";
        let (now, deadline, salt) = (ctx.now, Deadline::of_call(), ctx.bytes());
        let path = Self::identity_path(user.as_str(), "")?;
        let found = deadline.before(self.find(By::Id(user), now, deadline)).await?;
        let old = found.hash.ok_or(ProviderError::CredentialUnsupported)?;
        let new = deadline.before(self.hasher.hash(password, salt)).await?;
        let patch = json!([
            {"op": "test", "path": PLACE, "value": &*old},
            {"op": "replace", "path": PLACE, "value": &*new},
        ]);
        match self.send((Method::PATCH, &path, Some(&patch)), deadline).await? {
            Err(fault) => Err(fault.of_write()),
            Ok(answer) if answer.status == 200 => Ok(()),
            Ok(answer) => Err(error(&answer, now).of_write()),
        }
    }
}

impl Kratos {
    /// Whom a session's token stands for.
    async fn whoami(&self, token: &str, now: Micros) -> Result<Option<TokenOwner>, ProviderError> {
        let base = self.settings.public_url.as_ref().ok_or(ProviderError::NotSupported)?;
        let url = format!("{}/sessions/whoami", base.as_str().trim_end_matches('/'));
        let url = Url::parse(&url).map_err(|_| ProviderError::Misconfigured)?;
        let request = Request::new(Method::GET, url).header(HeaderName::from_static("x-session-token"), token);
        let answer = self.caller.send(request, Deadline::of_call()).await.map_err(Fault::of_read)?;
        let Some(session) = userinfo::said(&answer, now)? else { return Ok(None) };
        if session.get("active") != Some(&true.into()) {
            return Ok(None);
        }
        let text = |path: &str| session.pointer(path).and_then(Value::as_str);
        let id = text("/identity/id").and_then(|id| id.parse().ok()).ok_or(ProviderError::Transient)?;
        let email = text(&format!("/identity/traits/{}", self.settings.email_trait)).map(str::to_owned);
        let addresses = session.pointer("/identity/verifiable_addresses").and_then(Value::as_array);
        let verified = |address: &Value| {
            (address.get("value").and_then(Value::as_str) == email.as_deref())
                .then(|| address.get("verified")?.as_bool())
        };
        let email_verified = addresses.and_then(|all| all.iter().find_map(verified)).flatten();
        let methods = session.get("authentication_methods").and_then(Value::as_array);
        let is_google = methods.is_some_and(|methods| {
            methods.iter().any(|method| method.get("provider").and_then(Value::as_str).is_some_and(names_google))
        });
        Ok(Some(TokenOwner { user: LookedUp { email, email_verified, ..LookedUp::of(id) }, is_google }))
    }
}

/// What an answer other than the expected one says.
fn error(answer: &Answer, now: Micros) -> Doubt {
    let body = answer.json();
    let says = |name: &str| body.pointer(&format!("/error/{name}")).and_then(Value::as_str).unwrap_or_default();
    let is_mismatch = ["message", "reason"].iter().any(|name| says(name).contains("failed to apply JSON patch"));
    Doubt::No(match answer.status {
        400 if is_mismatch => ProviderError::Stale,
        401 => ProviderError::AdminAuth,
        403 => ProviderError::InsufficientScope,
        404 => ProviderError::UserNotFound,
        409 => ProviderError::Conflict,
        429 => {
            let hint = answer.header("retry-after");
            let not_before = hint.and_then(|text| retry_hint::read(text, Form::SecondsOrDate, now));
            ProviderError::RateLimited { not_before }
        }
        300..=399 => ProviderError::Misconfigured,
        500.. => return Doubt::Yes,
        _ => ProviderError::InvalidRequest,
    })
}

impl Connector for Kratos {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            probe: Probe::Record,
            trial_sign_in: false,
            sessions: SessionEnding::ByStep,
            lookups: LookupWays { id: true, email: true, external_id: true },
            password_bytes_max: None,
            records: RecordWrites::default(),
            tokens: self.settings.public_url.is_some(),
        }
    }

    fn look_up<'a>(&'a self, by: By<'a>, ctx: Ctx) -> BoxFuture<'a, Result<LookedUp, ProviderError>> {
        Box::pin(async move { Ok(self.find(by, ctx.now, Deadline::of_call()).await?.looked_up) })
    }

    fn set_password<'a>(
        &'a self,
        user: &'a ProviderUser,
        password: &'a Password,
        mut ctx: Ctx,
    ) -> BoxFuture<'a, Result<(), ProviderError>> {
        Box::pin(async move { self.set(user, password, &mut ctx).await })
    }

    fn try_sign_in<'a>(&'a self, _: &'a ProviderUser, _: &'a Password, _: Ctx) -> BoxFuture<'a, TrialAnswer> {
        Box::pin(async { TrialAnswer::Failed(ProviderError::NotSupported) })
    }

    fn end_sessions<'a>(&'a self, user: &'a ProviderUser, ctx: Ctx) -> BoxFuture<'a, Result<(), ProviderError>> {
        Box::pin(async move {
            let path = Self::identity_path(user.as_str(), "/sessions")?;
            self.write((Method::DELETE, &path, None), ctx.now).await
        })
    }

    fn token_owner<'a>(&'a self, token: &'a str, ctx: Ctx) -> BoxFuture<'a, Result<Option<TokenOwner>, ProviderError>> {
        Box::pin(self.whoami(token, ctx.now))
    }
}
