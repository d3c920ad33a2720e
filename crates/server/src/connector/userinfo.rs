//! What an OpenID Connect provider says of an access token at its userinfo endpoint (OpenID Connect Core 5.3): whom it
//! stands for. The token is sent as its own proof, so an answer that refuses it says that it is nobody's.

use keyherald_core::Micros;
use keyherald_core::provider::ProviderError;
use reqwest::Method;
use reqwest::header::AUTHORIZATION;
use serde_json::Value;
use url::Url;
use zeroize::Zeroizing;

use super::call::{Answer, Caller, Deadline, Fault, Request};
use super::retry_hint::{self, Form};
use super::{LookedUp, TokenOwner};

/// Asks whom the token stands for. `is_google` reads that off the claims.
pub(super) async fn owner(
    caller: &Caller,
    url: Url,
    token: &str,
    now: Micros,
    is_google: impl Fn(&Value) -> bool,
) -> Result<Option<TokenOwner>, ProviderError> {
    let bearer = Zeroizing::new(format!("Bearer {token}"));
    let request = Request::new(Method::GET, url).header(AUTHORIZATION, &bearer);
    let answer = caller.send(request, Deadline::of_call()).await.map_err(Fault::of_read)?;
    let Some(claims) = said(&answer, now)? else { return Ok(None) };
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    // A 200 that names nobody comes from something that stands in between.
    let user = text("sub").and_then(|id| id.parse().ok()).ok_or(ProviderError::Transient)?;
    let owned = |name: &str| text(name).map(str::to_owned);
    let user = LookedUp {
        email: owned("email"),
        first_name: owned("given_name"),
        last_name: owned("family_name"),
        email_verified: claims.get("email_verified").and_then(Value::as_bool),
        ..LookedUp::of(user)
    };
    Ok(Some(TokenOwner { user, is_google: is_google(&claims) }))
}

/// The body of an answer to a request whose only proof is a user's token. `None`: the token is refused.
pub(super) fn said(answer: &Answer, now: Micros) -> Result<Option<Value>, ProviderError> {
    match answer.status {
        200 => Ok(Some(answer.json())),
        400 | 401 | 403 => Ok(None),
        429 => {
            let hint = answer.header("retry-after");
            let not_before = hint.and_then(|text| retry_hint::read(text, Form::SecondsOrDate, now));
            Err(ProviderError::RateLimited { not_before })
        }
        300..=499 => Err(ProviderError::Misconfigured),
        _ => Err(ProviderError::Transient),
    }
}
