//! Keycloak's answers in our words (providers.md 4.1).

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
    Doubt::No(match answer.status {
        400 => bad_request(&answer.json(), password),
        401 => ProviderError::AdminAuth,
        403 => ProviderError::InsufficientScope,
        404 => ProviderError::UserNotFound,
        409 => ProviderError::Conflict,
        // Keycloak has no limit of its own; what stands before it may.
        429 => ProviderError::RateLimited { not_before: not_before(answer, now) },
        300..=399 => ProviderError::Misconfigured,
        500.. => return Doubt::Yes,
        _ => ProviderError::InvalidRequest,
    })
}

/// `error` is a name; `error_description` is in the language of whoever the access token belongs to.
fn bad_request(body: &Value, password: Option<&Password>) -> ProviderError {
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    let (name, wording) = (text("error"), text("error_description"));
    let wording = if wording.is_empty() { text("errorMessage") } else { wording };
    let message = || password.filter(|_| !wording.is_empty()).map(|password| PolicyText::new(wording, password));
    let said = |part: &str| name.contains(part) || wording.contains(part);
    let rule = name.strip_prefix("invalidPassword").and_then(|rest| rest.strip_suffix("Message"));
    match rule {
        Some("History") => ProviderError::PasswordReused { message: message() },
        Some(rule) => ProviderError::PolicyViolation { rule: Some(rule_name(rule)), message: message() },
        None if said("old passwords is not allowed") => ProviderError::PasswordReused { message: message() },
        // What some versions say of a new user's password (their source; no document does).
        None if said("Password policy not met") => ProviderError::PolicyViolation { rule: None, message: message() },
        None if said("account is read only") => ProviderError::CredentialUnsupported,
        None => ProviderError::InvalidRequest,
    }
}

/// `MinLowerCaseChars` as `min_lower_case_chars`.
fn rule_name(rule: &str) -> String {
    let mut name = String::new();
    for letter in rule.chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

fn not_before(answer: &Answer, now: Micros) -> Option<Micros> {
    retry_hint::read(answer.header("retry-after")?, Form::SecondsOrDate, now)
}

/// An access token, and when it ends.
pub(super) fn token(answer: &Answer, now: Micros) -> Result<(AccessSecret, Micros), ProviderError> {
    match answer.status {
        200 => {}
        400 | 401 | 403 => return Err(ProviderError::AdminAuth),
        429 => return Err(ProviderError::RateLimited { not_before: not_before(answer, now) }),
        300..=499 => return Err(ProviderError::Misconfigured),
        _ => return Err(ProviderError::Transient),
    }
    let body = answer.json();
    let token = body.get("access_token").and_then(Value::as_str).ok_or(ProviderError::Misconfigured)?;
    let life_s = body.get("expires_in").and_then(Value::as_i64).unwrap_or(0).clamp(0, 30 * 86_400);
    Ok((AccessSecret::new(token.to_owned()), now.plus(life_s.saturating_mul(Micros::SECOND))))
}

/// What the password grant says about the password. Wrong ones and accounts that are locked for a while are answered
/// alike. Only a description tells of an account that has to do something first.
pub(super) fn trial(answer: &Answer, now: Micros) -> Result<TrialAnswer, ProviderError> {
    let body = answer.json();
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    match (answer.status, text("error")) {
        (200, _) if body.get("access_token").is_some() => Ok(TrialAnswer::SignedIn),
        (400 | 401, "invalid_grant") if text("error_description") == "Invalid user credentials" => {
            Ok(TrialAnswer::Wrong)
        }
        (400..=403, "unauthorized_client" | "unsupported_grant_type") => Err(ProviderError::NotSupported),
        (400..=403, "invalid_client") => Err(ProviderError::AdminAuth),
        (429, _) => Err(ProviderError::RateLimited { not_before: not_before(answer, now) }),
        (400..=403, _) => Ok(TrialAnswer::CannotTell),
        _ => Err(ProviderError::Transient),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_named_as_everywhere_else() {
        assert_eq!(rule_name("MinLowerCaseChars"), "min_lower_case_chars");
        assert_eq!(rule_name(""), "");
    }
}
