//! Auth0's answers in our words (providers.md 1, errors).

use keyherald_core::Micros;
use keyherald_core::provider::{PolicyText, ProviderError, TrialAnswer};
use keyherald_core::secret::Password;
use serde_json::Value;

use crate::connector::Doubt;
use crate::connector::call::Answer;
use crate::connector::retry_hint::{self, Form};
use crate::connector::secret::AccessSecret;

/// What an answer other than the expected one says. `password` is taken out of every text.
pub(super) fn error(answer: &Answer, password: Option<&Password>, now: Micros) -> Doubt {
    let body = answer.json();
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    let (code, message) = (text("errorCode"), text("message"));
    Doubt::No(match answer.status {
        400 => bad_request(code, message, password),
        401 => ProviderError::AdminAuth,
        403 => ProviderError::InsufficientScope,
        404 if code == "inexistent_connection" => ProviderError::Misconfigured,
        404 => ProviderError::UserNotFound,
        409 => ProviderError::Conflict,
        429 => ProviderError::RateLimited { not_before: not_before(answer, now) },
        // Redirects too: what answers so is not the API.
        301 | 302 | 307 | 308 => ProviderError::Misconfigured,
        500.. => return Doubt::Yes,
        _ => ProviderError::InvalidRequest,
    })
}

/// The rule's name stands before the colon; what follows is free wording.
fn bad_request(code: &str, message: &str, password: Option<&Password>) -> ProviderError {
    let (name, wording) = message.split_once(':').unwrap_or((message, message));
    let message = password.map(|password| PolicyText::new(wording.trim(), password));
    let violation = |rule: &str, message| ProviderError::PolicyViolation { rule: Some(rule.to_owned()), message };
    match (name, code) {
        ("PasswordStrengthError", _) | (_, "password_strength_error" | "invalid_password") => {
            violation("strength", message)
        }
        ("PasswordHistoryError", _) | (_, "password_history_error") => ProviderError::PasswordReused { message },
        ("PasswordDictionaryError", _) | (_, "password_dictionary_error") => violation("common", message),
        ("PasswordNoUserInfoError", _) | (_, "password_no_user_info_error") => violation("personal_data", message),
        (_, "operation_not_supported") => ProviderError::CredentialUnsupported,
        (_, "inexistent_connection") => ProviderError::Misconfigured,
        _ => ProviderError::InvalidRequest,
    }
}

fn not_before(answer: &Answer, now: Micros) -> Option<Micros> {
    let hint = |name: &str, form| retry_hint::read(answer.header(name)?, form, now);
    hint("retry-after", Form::SecondsOrDate).or_else(|| hint("x-ratelimit-reset", Form::EpochS))
}

/// An access token, and when it ends.
pub(super) fn token(answer: &Answer, now: Micros) -> Result<(AccessSecret, Micros), ProviderError> {
    match answer.status {
        200 => {}
        401 | 403 => return Err(ProviderError::AdminAuth),
        429 => return Err(ProviderError::RateLimited { not_before: not_before(answer, now) }),
        300..=499 => return Err(ProviderError::Misconfigured),
        _ => return Err(ProviderError::Transient),
    }
    let body = answer.json();
    let token = body.get("access_token").and_then(Value::as_str).ok_or(ProviderError::Misconfigured)?;
    let life_s = body.get("expires_in").and_then(Value::as_i64).unwrap_or(0).clamp(0, 30 * 86_400);
    Ok((AccessSecret::new(token.to_owned()), now.plus(life_s.saturating_mul(Micros::SECOND))))
}

/// What the password grant says about the password. Only its own words for "wrong" count as such: an account that is
/// blocked, or wants a second factor, tells nothing.
pub(super) fn trial(answer: &Answer, now: Micros) -> Result<TrialAnswer, ProviderError> {
    let body = answer.json();
    let code = body.get("error").and_then(Value::as_str).unwrap_or_default();
    match (answer.status, code) {
        (200, _) if body.get("access_token").is_some() => Ok(TrialAnswer::SignedIn),
        (400..=403, "invalid_grant") => Ok(TrialAnswer::Wrong),
        (400..=403, "unauthorized_client" | "unsupported_grant_type") => Err(ProviderError::NotSupported),
        (401, "invalid_client") => Err(ProviderError::AdminAuth),
        // too_many_attempts: the account is blocked; mfa_required, unauthorized (blocked too), password_leaked, ...
        (429, "too_many_attempts") | (400..=403, _) => Ok(TrialAnswer::CannotTell),
        (429, _) => Err(ProviderError::RateLimited { not_before: not_before(answer, now) }),
        _ => Err(ProviderError::Transient),
    }
}
