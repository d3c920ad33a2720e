//! Any provider with an HTTP API, by a description of the operator's (`crate::recipe`).
//!
//! An operation is one request, before which another one may be required. It is filled in (`values`, `draft`), shown to
//! be ours (`access`), sent (`exchange`), and its answer judged (`judge`). Short messages are sent the same way
//! (`messenger`).

mod access;
mod draft;
mod exchange;
mod judge;
mod messenger;
mod service_account;
mod values;
mod wallet;

use std::collections::BTreeMap;

use futures_util::future::BoxFuture;
use keyherald_core::Ctx;
use keyherald_core::provider::{
    Capabilities, LookupWays, Probe, ProbeValue, ProviderError, ProviderUser, RecordWrites, SessionEnding, TrialAnswer,
};
use keyherald_core::secret::Password;
use serde_json::Value;
use url::Url;

pub use self::access::NoAccess;
use self::exchange::{Call, Exchange};
use self::judge::Success;
pub use self::messenger::{Messenger, MessengerSettings, Sms};
pub use self::service_account::{ServiceAccount, ServiceAccountSettings};
use self::values::plain;
pub use self::wallet::{Wallet, WalletSettings};
use super::call::{CannotCall, Deadline, Net};
use super::secret::AccessSecret;
use super::{By, Connector, LookedUp, NewUser, TokenOwner, UserChanges, names_google};
use crate::recipe::op::{Op, OpName};
use crate::recipe::{self, IdForm, Recipe, Revokes};

/// What a described provider is reached by.
#[derive(Clone)]
pub struct Settings {
    /// Below which all paths are.
    pub base_url: Url,
    /// What can be done there, and how.
    pub recipe: Recipe,
    /// The secrets that its access needs: the first, and the second of OAuth 1.
    pub secrets: [Option<AccessSecret>; 2],
}

/// A described provider.
pub(super) struct Http {
    recipe: Recipe,
    exchange: Exchange,
}

impl Http {
    pub fn new(settings: Settings, net: &Net) -> Result<Self, CannotCall> {
        let Settings { base_url, recipe, secrets } = settings;
        let exchange = Exchange::new(&base_url, (recipe.access.clone(), secrets), recipe.errors.clone(), net)?;
        Ok(Self { recipe, exchange })
    }

    /// A call that is about a user.
    fn call_about(&self, user: &ProviderUser, ctx: Ctx) -> Result<Call<'static>, ProviderError> {
        let id = user.as_str();
        let fits = match self.recipe.id_form {
            IdForm::Opaque => true,
            IdForm::Guid => uuid::Uuid::try_parse(id).is_ok(),
            IdForm::Email => id.contains('@'),
        };
        if !fits {
            return Err(ProviderError::UserNotFound);
        }
        let mut call = self.exchange.call(ctx);
        call.values.set("user.id", Some(id));
        Ok(call)
    }

    fn op(&self, name: OpName) -> Result<&Op, ProviderError> {
        self.recipe.ops.get(&name).ok_or(ProviderError::NotSupported)
    }

    /// Does an operation, after the one that it requires.
    async fn run(&self, name: OpName, call: &mut Call<'_>) -> Result<Success, ProviderError> {
        let (op, deadline) = (self.op(name)?, Deadline::of_call());
        if let Some(required) = op.require {
            let first = self.op(required)?;
            let work = self.exchange.done((first, required.is_read()), call, deadline);
            call.required = deadline.before(work).await?.extracted(first)?;
            for (name, value) in &call.required {
                call.values.set(&format!("user.{name}"), Some(value.clone()));
            }
        }
        self.exchange.done((op, name.is_read()), call, deadline).await
    }

    async fn find(&self, by: By<'_>, ctx: Ctx) -> Result<LookedUp, ProviderError> {
        let (name, mut call) = match by {
            By::Id(user) => (OpName::LookupById, self.call_about(user, ctx)?),
            By::Email(_) => (OpName::LookupByEmail, self.exchange.call(ctx)),
            By::ExternalId(_) => (OpName::LookupByExternalId, self.exchange.call(ctx)),
        };
        match by {
            By::Id(_) => {}
            By::Email(email) => call.values.set("user.email", Some(email)),
            By::ExternalId(id) => call.values.set("user.external_id", Some(id)),
        }
        let success = self.run(name, &mut call).await?;
        let mut extracted = call.required;
        extracted.extend(success.extracted(self.op(name)?)?);
        // A success that is no user comes from something that stands in between.
        self.looked_up(&extracted).ok_or(ProviderError::Transient)
    }

    fn looked_up(&self, extracted: &BTreeMap<String, Value>) -> Option<LookedUp> {
        let text = |name: &str| extracted.get(name).filter(|value| !value.is_null()).map(plain);
        let probe = match &self.recipe.probe {
            Some(recipe::Probe::Field { name, .. }) => Some(ProbeValue::of(text(name).as_deref())),
            Some(recipe::Probe::SignIn) | None => None,
        };
        Some(LookedUp {
            user: text("id")?.parse().ok()?,
            email: text("email"),
            first_name: text("first_name"),
            last_name: text("last_name"),
            email_verified: text("email_verified").and_then(|yes| yes.parse().ok()),
            probe,
        })
    }

    async fn owner(&self, token: &str, ctx: Ctx) -> Result<Option<TokenOwner>, ProviderError> {
        let (mut call, op) = (self.exchange.call(ctx), self.op(OpName::Userinfo)?);
        call.values.set("secret.token", Some(token));
        let extracted = match self.run(OpName::Userinfo, &mut call).await {
            Ok(success) => success.extracted(op)?,
            Err(ProviderError::UserNotFound | ProviderError::OldPasswordWrong) => return Ok(None),
            // Without our access, whose else was refused?
            Err(ProviderError::AdminAuth | ProviderError::InsufficientScope) if !op.auth => return Ok(None),
            Err(error) => return Err(error),
        };
        let signed_in_by = extracted.get("identity_provider").and_then(Value::as_str);
        let is_google = signed_in_by.is_some_and(names_google);
        let user = self.looked_up(&extracted).ok_or(ProviderError::Transient)?;
        Ok(Some(TokenOwner { user: LookedUp { probe: None, ..user }, is_google }))
    }

    async fn create(&self, user: NewUser<'_>, ctx: Ctx) -> Result<LookedUp, ProviderError> {
        let mut call = self.exchange.call(ctx.clone()).with("secret.new_password", user.password);
        call.values.set("new.email", Some(user.email));
        call.values.set("new.first_name", user.first_name);
        call.values.set("new.last_name", user.last_name);
        call.values.set("new.external_id", user.external_id);
        call.values.set("new.email_verified", Some(user.email_verified));
        let success = self.run(OpName::CreateUser, &mut call).await?;
        let op = self.op(OpName::CreateUser)?;
        if op.extract.contains_key("id") {
            let found = success.extracted(op).ok().and_then(|extracted| self.looked_up(&extracted));
            return found.ok_or(ProviderError::Ambiguous);
        }
        // Created, whatever the look-up says.
        self.find(By::Email(user.email), ctx).await.map_err(|_| ProviderError::Ambiguous)
    }

    async fn set(
        &self,
        step: Option<&str>,
        user: &ProviderUser,
        password: &Password,
        ctx: Ctx,
    ) -> Result<(), ProviderError> {
        let mut call = self.call_about(user, ctx)?.with("secret.new_password", password);
        if let Some(step) = step {
            call.values.set("op.id", Some(step));
        }
        self.run(OpName::SetPassword, &mut call).await.map(drop)
    }

    async fn update(&self, user: &ProviderUser, changes: UserChanges<'_>, ctx: Ctx) -> Result<(), ProviderError> {
        let mut call = self.call_about(user, ctx)?;
        call.values.set("new.email", changes.email);
        call.values.set("new.first_name", changes.first_name);
        call.values.set("new.last_name", changes.last_name);
        call.values.set("new.email_verified", changes.verified);
        self.run(OpName::UpdateUser, &mut call).await.map(drop)
    }

    async fn try_password(
        &self,
        user: &ProviderUser,
        password: &Password,
        ctx: Ctx,
    ) -> Result<TrialAnswer, ProviderError> {
        let mut call = self.call_about(user, ctx)?.with("secret.password", password);
        match self.run(OpName::VerifyPassword, &mut call).await {
            Ok(_) => Ok(TrialAnswer::SignedIn),
            Err(ProviderError::OldPasswordWrong) => Ok(TrialAnswer::Wrong),
            Err(
                ProviderError::UserBlocked
                | ProviderError::AccountIncomplete
                | ProviderError::CredentialUnsupported
                | ProviderError::NeedsInteraction
                | ProviderError::Vetoed { .. },
            ) => Ok(TrialAnswer::CannotTell),
            Err(error) => Err(error),
        }
    }

    fn sessions(&self) -> SessionEnding {
        match self.recipe.claims.revokes_sessions {
            // There is no caller's session that could go on.
            Revokes::All | Revokes::AllButCurrent => SessionEnding::BySet,
            Revokes::None | Revokes::Unknown if self.has(OpName::RevokeSessions) => SessionEnding::ByStep,
            Revokes::None | Revokes::Unknown => SessionEnding::Never,
        }
    }

    fn has(&self, name: OpName) -> bool {
        self.recipe.ops.contains_key(&name)
    }
}

impl Connector for Http {
    fn capabilities(&self) -> Capabilities {
        let probe = match &self.recipe.probe {
            Some(recipe::Probe::Field { moved_by_edits: false, .. }) => Probe::Password,
            Some(recipe::Probe::Field { moved_by_edits: true, .. }) => Probe::Record,
            Some(recipe::Probe::SignIn) | None => Probe::None,
        };
        Capabilities {
            probe,
            trial_sign_in: self.has(OpName::VerifyPassword),
            sessions: self.sessions(),
            lookups: LookupWays {
                id: self.has(OpName::LookupById),
                email: self.has(OpName::LookupByEmail),
                external_id: self.has(OpName::LookupByExternalId),
            },
            password_bytes_max: self.recipe.claims.password_bytes_max,
            records: RecordWrites { create: self.has(OpName::CreateUser), update: self.has(OpName::UpdateUser) },
            tokens: self.has(OpName::Userinfo),
        }
    }

    fn look_up<'a>(&'a self, by: By<'a>, ctx: Ctx) -> BoxFuture<'a, Result<LookedUp, ProviderError>> {
        Box::pin(self.find(by, ctx))
    }

    fn set_password<'a>(
        &'a self,
        user: &'a ProviderUser,
        password: &'a Password,
        ctx: Ctx,
    ) -> BoxFuture<'a, Result<(), ProviderError>> {
        Box::pin(self.set(None, user, password, ctx))
    }

    fn set_password_as<'a>(
        &'a self,
        step: &'a str,
        user: &'a ProviderUser,
        password: &'a Password,
        ctx: Ctx,
    ) -> BoxFuture<'a, Result<(), ProviderError>> {
        Box::pin(self.set(Some(step), user, password, ctx))
    }

    fn try_sign_in<'a>(
        &'a self,
        user: &'a ProviderUser,
        password: &'a Password,
        ctx: Ctx,
    ) -> BoxFuture<'a, TrialAnswer> {
        Box::pin(async move { self.try_password(user, password, ctx).await.unwrap_or_else(TrialAnswer::Failed) })
    }

    fn end_sessions<'a>(&'a self, user: &'a ProviderUser, ctx: Ctx) -> BoxFuture<'a, Result<(), ProviderError>> {
        Box::pin(async move {
            let mut call = self.call_about(user, ctx)?;
            self.run(OpName::RevokeSessions, &mut call).await.map(drop)
        })
    }

    fn token_owner<'a>(&'a self, token: &'a str, ctx: Ctx) -> BoxFuture<'a, Result<Option<TokenOwner>, ProviderError>> {
        Box::pin(self.owner(token, ctx))
    }

    fn create_user<'a>(&'a self, user: NewUser<'a>, ctx: Ctx) -> BoxFuture<'a, Result<LookedUp, ProviderError>> {
        Box::pin(self.create(user, ctx))
    }

    fn update_user<'a>(
        &'a self,
        user: &'a ProviderUser,
        changes: UserChanges<'a>,
        ctx: Ctx,
    ) -> BoxFuture<'a, Result<(), ProviderError>> {
        Box::pin(self.update(user, changes, ctx))
    }

    fn health(&self, ctx: Ctx) -> BoxFuture<'_, Result<(), ProviderError>> {
        Box::pin(async move { self.run(OpName::Health, &mut self.exchange.call(ctx)).await.map(drop) })
    }
}
