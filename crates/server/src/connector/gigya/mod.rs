//! Gigya, now SAP Customer Data Cloud, through its REST API (providers.md 2).
//!
//! A password is set with `accounts.setAccountInfo` and `securityOverride`, without webhooks, which would only tell us of
//! our own doing. The probe is `password.created`. Users are looked up by UID alone: for addresses and other ids there is
//! but a search index, which knows later than everybody else. It serves to tell a user that is not there from one that we
//! may not see, for which Gigya has one code.

mod access;
mod answer;

use futures_util::future::BoxFuture;
use keyherald_core::provider::{
    Capabilities, LookupWays, Probe, ProbeValue, ProviderError, ProviderUser, RecordWrites, SessionEnding, TrialAnswer,
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
use super::{By, Connector, Doubt, LookedUp};

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
                Said::Code(code, body) => return Ok(Called::Code(code, body)),
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
        let fields = [("UID", user.as_str()), ("include", "loginIDs,emails,profile")];
        match self.read("accounts.getAccountInfo", &fields, ctx, deadline).await? {
            Ok(account) => Ok(account),
            Err(_) => Err(self.unauthorized(user, ctx, deadline).await),
        }
    }

    async fn find(&self, by: By<'_>, ctx: &mut Ctx) -> Result<LookedUp, ProviderError> {
        let By::Id(user) = by else { return Err(ProviderError::NotSupported) };
        let account = self.account(user, ctx, Deadline::of_call()).await?;
        let id = account.get("UID").and_then(Value::as_str).and_then(|id| id.parse().ok());
        let user = id.ok_or(ProviderError::Transient)?;
        // A text, and in old accounts a number.
        let created = account.pointer("/password/created").map(ToString::to_string);
        let email = account.pointer("/profile/email").or_else(|| account.pointer("/loginIDs/emails/0"));
        let email = email.and_then(Value::as_str).map(str::to_owned);
        let probe = Some(ProbeValue::of(created.as_deref()));
        Ok(LookedUp { email, probe, ..LookedUp::of(user) })
    }

    async fn set(&self, user: &ProviderUser, password: &Password, ctx: &mut Ctx) -> Result<(), ProviderError> {
        let text = Zeroizing::new(password.reveal_with(str::to_owned));
        let fields =
            [("UID", user.as_str()), ("newPassword", &*text), ("securityOverride", "true"), ("muteWebhooks", "true")];
        match self.call("accounts.setAccountInfo", &fields, ctx, Deadline::of_call()).await? {
            Called::Fault(fault) => Err(fault.of_write()),
            Called::Doubt(doubt) => Err(doubt.of_write()),
            Called::Code(UNAUTHORIZED_USER, _) => Err(self.unauthorized(user, ctx, Deadline::of_call()).await),
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
        let ids = ["/loginIDs/emails/0", "/loginIDs/username"];
        let login = ids.iter().find_map(|path| account.pointer(path)?.as_str()).ok_or(ProviderError::NotSupported)?;
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

impl Connector for Gigya {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            probe: Probe::Password,
            trial_sign_in: self.trial_sign_in,
            // A new password is said to end sessions elsewhere too; by whom it was set may matter.
            sessions: SessionEnding::ByStep,
            lookups: LookupWays { id: true, email: false, external_id: false },
            password_bytes_max: None,
            records: RecordWrites::default(),
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

    fn end_sessions<'a>(&'a self, user: &'a ProviderUser, mut ctx: Ctx) -> BoxFuture<'a, Result<(), ProviderError>> {
        Box::pin(async move { self.log_out(user, &mut ctx).await })
    }
}
