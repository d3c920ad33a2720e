//! Gigya, now SAP Customer Data Cloud, through its REST API (providers.md 2).
//!
//! A password is set with `accounts.setAccountInfo` and `securityOverride`, without webhooks, which would only tell us of
//! our own doing. The probe is `password.created`. Users are looked up by UID and by e-mail address; for other ids there
//! is but a search index, which knows later than everybody else. It serves to tell a user that is not there from one that
//! we may not see, for which Gigya has one code.

mod access;
mod answer;
mod records;

use futures_util::future::BoxFuture;
use keyherald_core::provider::{
    Capabilities, LookupWays, Probe, ProviderError, ProviderUser, RecordWrites, SessionEnding, TrialAnswer,
};
use keyherald_core::secret::Password;
use keyherald_core::{Ctx, Micros};
use reqwest::Method;
use reqwest::header::AUTHORIZATION;
use serde_json::Value;
use url::Url;
use zeroize::Zeroizing;

pub use self::access::Access;
use self::access::{Fields, Once, Signer, encoded};
use self::answer::{Said, UNAUTHORIZED_USER};
use super::call::{Caller, CannotCall, Deadline, Fault, Net, Request};
use super::{By, Connector, Doubt, LookedUp, NewUser, TokenOwner, UserChanges, names_google};
use crate::jwt::{Algorithm, KeySet, Keys, Verifier};

/// What the issuer of a site's tokens begins with; the site's API key follows.
const ISSUER: &str = "https://fidm.gigya.com/jwt/";

/// What a site is reached by.
#[derive(Clone)]
pub struct Settings {
    /// `https://accounts.{data center}`, such as `https://accounts.eu1.gigya.com`.
    pub base_url: Url,
    /// The site's API key.
    pub api_key: String,
    /// The application's or user's key.
    pub user_key: String,
    /// What belongs to it.
    pub access: Access,
    /// Whether sign-ins may be tried. They count for the account's lock.
    pub trial_sign_in: bool,
}

/// A site.
pub(super) struct Gigya {
    base: String,
    api_key: String,
    trial_sign_in: bool,
    signer: Signer,
    caller: Caller,
}

/// How a request ended.
enum Called {
    Code(i64, Value),
    Doubt(Doubt),
    Fault(Fault),
}

impl Gigya {
    pub fn new(settings: Settings, net: &Net) -> Result<Self, CannotCall> {
        let caller = Caller::new(&[&settings.base_url], net)?;
        let signer = Signer::new(&settings.user_key, &settings.access)?;
        let base = settings.base_url.as_str().trim_end_matches('/').to_owned();
        Ok(Self { base, api_key: settings.api_key, trial_sign_in: settings.trial_sign_in, signer, caller })
    }

    /// One request. One that is refused for its time is made again, once, by the clock of who refused it: such an answer
    /// changed nothing.
    async fn call(
        &self,
        method: &str,
        fields: &[(&'static str, &str)],
        ctx: &mut Ctx,
        deadline: Deadline,
    ) -> Result<Called, ProviderError> {
        let url = format!("{}/{method}", self.base);
        let address = Url::parse(&url).map_err(|_| ProviderError::Misconfigured)?;
        let always = [("apiKey", self.api_key.as_str()), ("format", "json"), ("httpStatusCodes", "false")];
        let mut all: Fields = Fields::new();
        all.extend(fields.iter().chain(&always).map(|(name, value)| (*name, Zeroizing::new((*value).to_owned()))));
        let mut now = ctx.now;
        let mut again = false;
        loop {
            let bearer = self.signer.sign(&url, &mut all, &Once { now, nonce: ctx.bytes() });
            let form = encoded(&all).to_string();
            let mut request = Request::new(Method::POST, address.clone());
            if let Some(bearer) = bearer {
                request = request.header(AUTHORIZATION, &bearer);
            }
            let request = request.body("application/x-www-form-urlencoded", form);
            let answer = match self.caller.send(request, deadline).await {
                Err(fault) => return Ok(Called::Fault(fault)),
                Ok(answer) => answer,
            };
            match Said::of(&answer, ctx.now) {
                Said::Other(doubt) => return Ok(Called::Doubt(doubt)),
                Said::Code(code, body) if answer::is_out_of_time(code) && !again => {
                    let theirs = body.get("time").and_then(Value::as_str).and_then(Micros::parse_iso);
                    now = theirs.unwrap_or(now);
                    again = true;
                }
                Said::Code(code, body) => {
                    note(method, code, &body);
                    return Ok(Called::Code(code, body));
                }
            }
        }
    }

    /// A request that changes nothing, and its answer if the code is 0.
    async fn read(
        &self,
        method: &str,
        fields: &[(&'static str, &str)],
        ctx: &mut Ctx,
        deadline: Deadline,
    ) -> Result<Result<Value, i64>, ProviderError> {
        match self.call(method, fields, ctx, deadline).await? {
            Called::Fault(fault) => Err(fault.of_read()),
            Called::Doubt(doubt) => Err(doubt.of_read()),
            Called::Code(0 | 200_008 | 200_010, body) => Ok(Ok(body)),
            Called::Code(UNAUTHORIZED_USER, _) => Ok(Err(UNAUTHORIZED_USER)),
            Called::Code(code, body) => Err(answer::error(code, &body, None).of_read()),
        }
    }

    /// What it means that we are not authorized for a user: whether there is one at all, the index knows.
    async fn unauthorized(&self, user: &ProviderUser, ctx: &mut Ctx, deadline: Deadline) -> ProviderError {
        let quoted = user.as_str().replace('\\', "\\\\").replace('"', "\\\"");
        let query = format!("SELECT UID FROM accounts WHERE UID = \"{quoted}\" LIMIT 1");
        match self.read("accounts.search", &[("query", &query)], ctx, deadline).await {
            Ok(Ok(body)) => match body.get("results").and_then(Value::as_array) {
                Some(results) if results.is_empty() => ProviderError::UserNotFound,
                _ => ProviderError::InsufficientScope,
            },
            Ok(Err(_)) => ProviderError::InsufficientScope,
            Err(error) => error,
        }
    }

    async fn account(&self, user: &ProviderUser, ctx: &mut Ctx, deadline: Deadline) -> Result<Value, ProviderError> {
        // The password's hash is not asked for: when it was made is told all the same.
        let fields = [("UID", user.as_str()), ("include", "loginIDs,emails,profile,regSource")];
        match self.read("accounts.getAccountInfo", &fields, ctx, deadline).await? {
            Ok(account) => Ok(account),
            Err(_) => Err(self.unauthorized(user, ctx, deadline).await),
        }
    }

    async fn find(&self, by: By<'_>, ctx: &mut Ctx) -> Result<LookedUp, ProviderError> {
        let deadline = Deadline::of_call();
        let named;
        let user = match by {
            By::Id(user) => user,
            By::Email(email) => {
                named = self.user_with(email, ctx, deadline).await?;
                &named
            }
            By::ExternalId(_) => return Err(ProviderError::NotSupported),
        };
        self.looked_up(&self.account(user, ctx, deadline).await?)
    }

    /// Whom a token that the site has issued (`accounts.getJWT`) stands for: it is signed with the site's key, and says so.
    /// One that is good for ever is not taken.
    async fn token_owner(&self, token: &str, ctx: &mut Ctx) -> Result<Option<TokenOwner>, ProviderError> {
        let (now, deadline) = (ctx.now, Deadline::of_call());
        let keys = self.read("accounts.getJWTPublicKey", &[("V2", "true")], ctx, deadline).await?;
        let keys = keys.map_err(|_| ProviderError::InsufficientScope)?.to_string();
        let keys = KeySet::of_jwks(keys.as_bytes(), Algorithm::Rs256).map_err(|_| ProviderError::Misconfigured)?;
        let verifier = Verifier { algorithm: Algorithm::Rs256, keys: Keys::Known(keys), issuer: None, audience: None };
        let Ok(claims) = verifier.claims(token, now).await else { return Ok(None) };
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        let is_ours = text("iss").and_then(|issuer| issuer.strip_prefix(ISSUER)).is_some_and(|site| {
            // Documents have it with a slash at the end and without.
            site.strip_suffix('/').unwrap_or(site) == self.api_key
        });
        let user: Option<ProviderUser> = text("sub").and_then(|id| id.parse().ok());
        let Some(user) = user.filter(|_| is_ours && claims.contains_key("exp")) else { return Ok(None) };
        let account = match self.account(&user, ctx, deadline).await {
            Err(ProviderError::UserNotFound) => return Ok(None),
            account => account?,
        };
        let is_google = account.get("loginProvider").and_then(Value::as_str).is_some_and(names_google);
        Ok(Some(TokenOwner { user: self.looked_up(&account)?, is_google }))
    }

    async fn set(&self, user: &ProviderUser, password: &Password, ctx: &mut Ctx) -> Result<(), ProviderError> {
        let text = Zeroizing::new(password.reveal_with(str::to_owned));
        let fields =
            [("UID", user.as_str()), ("newPassword", &*text), ("securityOverride", "true"), ("muteWebhooks", "true")];
        match self.call("accounts.setAccountInfo", &fields, ctx, Deadline::of_call()).await? {
            Called::Fault(fault) => Err(fault.of_write()),
            Called::Doubt(doubt) => Err(doubt.of_write()),
            Called::Code(UNAUTHORIZED_USER, _) => Err(self.unauthorized(user, ctx, Deadline::of_call()).await),
            // Nothing was set: our access may not override. It may still reset, as for a user who has forgotten it.
            Called::Code(code, body) => match answer::of_set(code, &body, password) {
                Err(ProviderError::InsufficientScope) => self.reset(user, password, &text, ctx).await,
                set => set,
            },
        }
    }

    /// Sets a password by a token that is made for it and goes to nobody else. Takes the place of earlier tokens.
    async fn reset(
        &self,
        user: &ProviderUser,
        password: &Password,
        text: &str,
        ctx: &mut Ctx,
    ) -> Result<(), ProviderError> {
        const METHOD: &str = "accounts.resetPassword";
        let deadline = Deadline::of_call();
        let account = self.account(user, ctx, deadline).await?;
        let login = login_of(&account).ok_or(ProviderError::InsufficientScope)?;
        let made = self.read(METHOD, &[("loginID", login), ("sendEmail", "false")], ctx, deadline).await?;
        let token =
            made.ok().and_then(|made| Some(Zeroizing::new(made.get("passwordResetToken")?.as_str()?.to_owned())));
        // What is not told to us is not ours to use.
        let token = token.ok_or(ProviderError::InsufficientScope)?;
        let fields = [("passwordResetToken", token.as_str()), ("newPassword", text)];
        match self.call(METHOD, &fields, ctx, deadline).await? {
            Called::Fault(fault) => Err(fault.of_write()),
            Called::Doubt(doubt) => Err(doubt.of_write()),
            Called::Code(code, body) => answer::of_set(code, &body, password),
        }
    }

    async fn sign_in(
        &self,
        user: &ProviderUser,
        password: &Password,
        ctx: &mut Ctx,
    ) -> Result<TrialAnswer, ProviderError> {
        let account = self.account(user, ctx, Deadline::of_call()).await?;
        let login = login_of(&account).ok_or(ProviderError::NotSupported)?;
        let text = Zeroizing::new(password.reveal_with(str::to_owned));
        let fields = [("loginID", login), ("password", &*text), ("targetEnv", "mobile")];
        match self.call("accounts.login", &fields, ctx, Deadline::of_call()).await? {
            Called::Fault(fault) => Err(fault.of_read()),
            Called::Doubt(doubt) => Err(doubt.of_read()),
            Called::Code(code, body) => Ok(answer::trial(code, &body)),
        }
    }

    async fn log_out(&self, user: &ProviderUser, ctx: &mut Ctx) -> Result<(), ProviderError> {
        match self.call("accounts.logout", &[("UID", user.as_str())], ctx, Deadline::of_call()).await? {
            Called::Fault(fault) => Err(fault.of_write()),
            Called::Doubt(doubt) => Err(doubt.of_write()),
            Called::Code(0, _) => Ok(()),
            Called::Code(UNAUTHORIZED_USER, _) => Err(self.unauthorized(user, ctx, Deadline::of_call()).await),
            Called::Code(code, body) => Err(answer::error(code, &body, None).of_write()),
        }
    }
}

/// Leaves in the log by what SAP's support finds a call that was answered with anything but success.
fn note(method: &str, code: i64, body: &Value) {
    let call_id: String = body.get("callId").and_then(Value::as_str).unwrap_or_default().chars().take(64).collect();
    if code != 0 {
        tracing::info!(method, code, ?call_id, "Gigya answered {method} with {code}, callId {call_id:?}");
    }
}

/// What the user types to sign in.
fn login_of(account: &Value) -> Option<&str> {
    ["/loginIDs/emails/0", "/loginIDs/username"].iter().find_map(|path| account.pointer(path)?.as_str())
}

impl Connector for Gigya {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            probe: Probe::Password,
            trial_sign_in: self.trial_sign_in,
            // A new password is said to end sessions elsewhere too; by whom it was set may matter.
            sessions: SessionEnding::ByStep,
            lookups: LookupWays { id: true, email: true, external_id: false },
            password_bytes_max: None,
            records: RecordWrites { create: true, update: true },
            tokens: true,
        }
    }

    fn look_up<'a>(&'a self, by: By<'a>, mut ctx: Ctx) -> BoxFuture<'a, Result<LookedUp, ProviderError>> {
        Box::pin(async move { self.find(by, &mut ctx).await })
    }

    fn set_password<'a>(
        &'a self,
        user: &'a ProviderUser,
        password: &'a Password,
        mut ctx: Ctx,
    ) -> BoxFuture<'a, Result<(), ProviderError>> {
        Box::pin(async move { self.set(user, password, &mut ctx).await })
    }

    fn try_sign_in<'a>(
        &'a self,
        user: &'a ProviderUser,
        password: &'a Password,
        mut ctx: Ctx,
    ) -> BoxFuture<'a, TrialAnswer> {
        Box::pin(async move {
            if !self.trial_sign_in {
                return TrialAnswer::Failed(ProviderError::NotSupported);
            }
            self.sign_in(user, password, &mut ctx).await.unwrap_or_else(TrialAnswer::Failed)
        })
    }

    fn token_owner<'a>(
        &'a self,
        token: &'a str,
        mut ctx: Ctx,
    ) -> BoxFuture<'a, Result<Option<TokenOwner>, ProviderError>> {
        Box::pin(async move { self.token_owner(token, &mut ctx).await })
    }

    fn end_sessions<'a>(&'a self, user: &'a ProviderUser, mut ctx: Ctx) -> BoxFuture<'a, Result<(), ProviderError>> {
        Box::pin(async move { self.log_out(user, &mut ctx).await })
    }
    fn create_user<'a>(&'a self, user: NewUser<'a>, mut ctx: Ctx) -> BoxFuture<'a, Result<LookedUp, ProviderError>> {
        Box::pin(async move { self.create(user, &mut ctx).await })
    }

    fn update_user<'a>(
        &'a self,
        user: &'a ProviderUser,
        changes: UserChanges<'a>,
        mut ctx: Ctx,
    ) -> BoxFuture<'a, Result<(), ProviderError>> {
        Box::pin(async move { self.update(user, changes, &mut ctx).await })
    }
}
