//! Access tokens: fetched or made, kept until shortly before they end.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use keyherald_core::provider::ProviderError;
use keyherald_core::{Ctx, Micros};
use reqwest::Method;
use reqwest::header::AUTHORIZATION;
use serde_json::{Map, Value};
use url::form_urlencoded;

use super::{Access, NoAccess, Sending, nonce, seconds};
use crate::connector::Doubt;
use crate::connector::call::{Answer, Fault, Request};
use crate::connector::http::draft::Draft;
use crate::connector::http::judge::Judge;
use crate::connector::http::values::{hex, plain};
use crate::connector::percent;
use crate::connector::retry_hint::{self, Form};
use crate::connector::secret::AccessSecret;
use crate::connector::token_cache::TokenCache;
use crate::jwt::{Algorithm, SigningKey};
use crate::recipe::access::{ClientStyle, Jwt, JwtAlgorithm, Token, TokenSource};
use crate::recipe::op::{Op, WaitForm};
use crate::recipe::source::Source;

/// `client_assertion_type` of a signed assertion.
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// Longest life of a token that we believe, in seconds.
const LIFE_S_MAX: i64 = 30 * 86_400;

/// The tokens of one provider.
pub(super) struct Tokens {
    pub cache: TokenCache,
    key: Option<SigningKey>,
}

/// A token, and when it ends.
type Made = (AccessSecret, Micros);

impl Tokens {
    pub fn new(token: &Token, secret: Option<&AccessSecret>) -> Result<Self, NoAccess> {
        let jwt = match &token.source {
            TokenSource::ClientCredentials { style: ClientStyle::PrivateKeyJwt(jwt), .. }
            | TokenSource::Assertion { jwt, .. }
            | TokenSource::SelfSigned(jwt) => Some(jwt),
            TokenSource::ClientCredentials { .. } | TokenSource::Call { .. } => None,
        };
        let key = match (jwt, secret) {
            (Some(jwt), Some(secret)) => Some(signing_key(jwt.algorithm, secret)?),
            _ => None,
        };
        Ok(Self { cache: TokenCache::new(token.early_us), key })
    }

    /// The token that is good now.
    pub async fn token(
        &self,
        token: &Token,
        access: &Access,
        sending: &Sending<'_>,
        ctx: &mut Ctx,
    ) -> Result<AccessSecret, ProviderError> {
        let make = async || self.make(&token.source, access, sending, ctx).await;
        sending.deadline.before(self.cache.token(sending.now, make)).await
    }

    async fn make(
        &self,
        source: &TokenSource,
        access: &Access,
        sending: &Sending<'_>,
        ctx: &mut Ctx,
    ) -> Result<Made, ProviderError> {
        match source {
            TokenSource::SelfSigned(jwt) => {
                let ends_at = sending.now.plus(jwt.life_s.saturating_mul(Micros::SECOND));
                Ok((AccessSecret::new(self.signed(jwt, None, sending.now, ctx)?), ends_at))
            }
            TokenSource::ClientCredentials { url, client_id, style, scope, audience } => {
                let mut form = vec![("grant_type", "client_credentials".to_owned())];
                let mut request = Request::new(Method::POST, url.clone());
                match style {
                    ClientStyle::Basic => {
                        // Both are encoded first (RFC 6749, 2.3.1).
                        let (user, secret) = (percent::encode(client_id), percent::encode(access.secret()));
                        let value = format!("Basic {}", STANDARD.encode(format!("{user}:{secret}")));
                        request = request.header(AUTHORIZATION, &value);
                    }
                    ClientStyle::Body => {
                        form.push(("client_id", client_id.clone()));
                        form.push(("client_secret", access.secret().to_owned()));
                    }
                    ClientStyle::PrivateKeyJwt(jwt) => {
                        form.push(("client_id", client_id.clone()));
                        form.push(("client_assertion_type", ASSERTION.to_owned()));
                        form.push(("client_assertion", self.signed(jwt, None, sending.now, ctx)?));
                    }
                }
                form.extend(scope.iter().map(|scope| ("scope", scope.clone())));
                form.extend(audience.iter().map(|audience| ("audience", audience.clone())));
                fetched(request, &form, sending).await
            }
            TokenSource::Assertion { url, jwt, scope } => {
                let assertion = self.signed(jwt, scope.as_deref(), sending.now, ctx)?;
                let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer".to_owned();
                let mut form = vec![("grant_type", grant), ("assertion", assertion)];
                form.extend(scope.iter().map(|scope| ("scope", scope.clone())));
                fetched(Request::new(Method::POST, url.clone()), &form, sending).await
            }
            TokenSource::Call { op, token, ends, life_us, .. } => {
                called(op, (token, ends.as_ref(), *life_us), access, sending, ctx).await
            }
        }
    }

    fn signed(&self, jwt: &Jwt, scope: Option<&str>, now: Micros, ctx: &mut Ctx) -> Result<String, ProviderError> {
        let Some(key) = &self.key else { return Err(ProviderError::Misconfigured) };
        let now_s = seconds(now);
        let mut claims = Map::new();
        claims.insert("iss".into(), jwt.issuer.as_str().into());
        claims.extend(jwt.subject.as_deref().map(|subject| ("sub".to_owned(), subject.into())));
        claims.insert("aud".into(), jwt.audience.as_str().into());
        claims.insert("iat".into(), now_s.into());
        claims.insert("exp".into(), now_s.saturating_add(jwt.life_s).into());
        claims.insert("jti".into(), nonce(ctx, now).into());
        claims.extend(scope.map(|scope| ("scope".to_owned(), scope.into())));
        key.sign(&claims, jwt.key_id.as_deref()).map_err(|_| ProviderError::Misconfigured)
    }
}

fn signing_key(algorithm: JwtAlgorithm, secret: &AccessSecret) -> Result<SigningKey, NoAccess> {
    Ok(match algorithm {
        JwtAlgorithm::Hs256 => SigningKey::secret(secret.reveal()),
        JwtAlgorithm::Rs256 => SigningKey::of_pem(secret.reveal().as_bytes(), Algorithm::Rs256)?,
        JwtAlgorithm::Es256 => SigningKey::of_pem(secret.reveal().as_bytes(), Algorithm::Es256)?,
    })
}

/// A token of an OAuth 2 token endpoint.
async fn fetched(request: Request, form: &[(&str, String)], sending: &Sending<'_>) -> Result<Made, ProviderError> {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let request = request.body("application/x-www-form-urlencoded", body);
    let answer = sending.caller.send(request, sending.deadline).await.map_err(Fault::of_read)?;
    let body = answer.json();
    match answer.status {
        200 => {}
        401 | 403 => return Err(ProviderError::AdminAuth),
        400 if is_about_us(&body) => return Err(ProviderError::AdminAuth),
        429 => return Err(ProviderError::RateLimited { not_before: retry_after(&answer, sending.now) }),
        300..=499 => return Err(ProviderError::Misconfigured),
        _ => return Err(ProviderError::Transient),
    }
    let token = body.get("access_token").and_then(Value::as_str).ok_or(ProviderError::Misconfigured)?;
    // Some write the number as a text.
    let life_s = body.get("expires_in").and_then(|life| plain(life).parse::<i64>().ok()).unwrap_or(0);
    let life = life_s.clamp(0, LIFE_S_MAX).saturating_mul(Micros::SECOND);
    Ok((AccessSecret::new(token.to_owned()), sending.now.plus(life)))
}

fn is_about_us(body: &Value) -> bool {
    let error = body.get("error").and_then(Value::as_str).unwrap_or_default();
    ["invalid_client", "invalid_grant", "unauthorized_client"].contains(&error)
}

fn retry_after(answer: &Answer, now: Micros) -> Option<Micros> {
    retry_hint::read(answer.header("retry-after")?, Form::SecondsOrDate, now)
}

/// A token of a call of the provider's own.
async fn called(
    op: &Op,
    (token, ends, life_us): (&Source, Option<&(Source, WaitForm)>, i64),
    access: &Access,
    sending: &Sending<'_>,
    ctx: &mut Ctx,
) -> Result<Made, ProviderError> {
    let mut values = access.own(|_| {});
    values.set("op.id", Some(hex(&ctx.bytes::<16>())));
    let request = Draft::of(op, &values, ctx)?.request(sending.base)?;
    let ended = sending.caller.send(request, sending.deadline).await;
    let judge = Judge { shared: sending.shared, is_read: true, password: None, now: sending.now };
    let success = judge.judge(op, ended).map_err(Doubt::of_read)?;
    let token = success.value(token).map(|token| plain(&token)).filter(|token| !token.is_empty());
    let told = ends.and_then(|(source, form)| retry_hint::read(&plain(&success.value(source)?), *form, sending.now));
    let ends_at = told.unwrap_or_else(|| sending.now.plus(life_us));
    Ok((AccessSecret::new(token.ok_or(ProviderError::Misconfigured)?), ends_at))
}
