//! Access tokens of a service account: it signs who it is, and a token endpoint gives a token for that (RFC 7523, 2.1).
//!
//! Tokens are kept until shortly before they end; whoever finds none fetches one, and the others wait for it. The calls that
//! they are for are made elsewhere.

use keyherald_core::provider::ProviderError;
use keyherald_core::{Ctx, Micros};
use url::Url;

use super::access::{Access, Sending, Shown};
use crate::connector::call::{Caller, CannotCall, Deadline, Net};
use crate::connector::secret::AccessSecret;
use crate::recipe;
use crate::recipe::access::{Jwt, JwtAlgorithm, Token, TokenSource};
use crate::recipe::predicate::Statuses;

/// How long before its end a token is replaced.
const EARLY: i64 = 5 * Micros::MINUTE;
/// Life of an assertion in seconds: it is used at once. Google takes an hour at most.
const ASSERTION_LIFE_S: i64 = 300;

/// Who a service account is.
pub struct ServiceAccountSettings {
    /// The token endpoint; also whom the assertion is for.
    pub token_url: Url,
    /// Who signs: `iss`. There is no `sub`: an account asks for itself.
    pub issuer: String,
    /// The key's name, if it has one.
    pub key_id: Option<String>,
    /// The RSA key, as PEM.
    pub key: AccessSecret,
    /// What is asked for.
    pub scope: String,
}

/// A service account.
pub struct ServiceAccount {
    access: Access,
    caller: Caller,
}

impl ServiceAccount {
    /// Reads the key. Calls nobody.
    pub fn new(settings: ServiceAccountSettings, net: &Net) -> Result<Self, CannotCall> {
        let ServiceAccountSettings { token_url, issuer, key_id, key, scope } = settings;
        let caller = Caller::new(&[&token_url], net)?;
        let jwt = Jwt {
            issuer,
            subject: None,
            audience: token_url.as_str().to_owned(),
            algorithm: JwtAlgorithm::Rs256,
            key_id,
            life_s: ASSERTION_LIFE_S,
        };
        let token = Token {
            source: TokenSource::Assertion { url: token_url, jwt, scope: Some(scope) },
            header: "authorization".to_owned(),
            value: "Bearer {{ auth.token }}".parse().map_err(|_| CannotCall::Key("a template of ours is none"))?,
            early_us: EARLY,
            renew_on: Statuses::of(vec![401..=401]),
        };
        let access = Access::new(recipe::Access::Token(Box::new(token)), [Some(key), None])?;
        Ok(Self { access, caller })
    }

    /// The token that is good now.
    pub async fn token(&self, ctx: &mut Ctx) -> Result<AccessSecret, ProviderError> {
        let (deadline, now) = (Deadline::of_call(), ctx.now);
        let sending = Sending { caller: &self.caller, base: "", shared: &[], deadline, now };
        self.access.token(&sending, ctx).await
    }

    /// A call was answered 401: this token is not used again.
    pub async fn drop_token(&self, refused: AccessSecret) {
        self.access.renews(401, &Shown::Token(refused)).await;
    }
}
