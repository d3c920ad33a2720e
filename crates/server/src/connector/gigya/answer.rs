//! Gigya's answers in our words (providers.md 2, errorCode map). The status of HTTP is 200 whatever happened.

use keyherald_core::Micros;
use keyherald_core::provider::{PolicyText, ProviderError, TrialAnswer};
use keyherald_core::secret::Password;
use serde_json::Value;

use crate::connector::Doubt;
use crate::connector::call::Answer;
use crate::connector::retry_hint::{self, Form};

/// The answer of Gigya's, or what stood in between.
pub(super) enum Said {
    /// Its own, with this `errorCode`.
    Code(i64, Value),
    /// Somebody else's.
    Other(Doubt),
}

impl Said {
    pub fn of(answer: &Answer, now: Micros) -> Self {
        let body = answer.json();
        if let Some(code) = body.get("errorCode").and_then(Value::as_i64) {
            return Self::Code(code, body);
        }
        Self::Other(match answer.status {
            429 => {
                let hint = answer.header("retry-after");
                let not_before = hint.and_then(|text| retry_hint::read(text, Form::SecondsOrDate, now));
                Doubt::No(ProviderError::RateLimited { not_before })
            }
            300..=399 => Doubt::No(ProviderError::Misconfigured),
            400..=499 => Doubt::No(ProviderError::InvalidRequest),
            // Also a 200 that is not from Gigya.
            _ => Doubt::Yes,
        })
    }
}

/// Whether the request is refused for its time or its number: it may be made again, once.
pub(super) fn is_out_of_time(code: i64) -> bool {
    matches!(code, 400_128 | 403_002 | 403_004)
}

/// What Gigya says to a user that it does not know, and to access that does not reach that far.
pub(super) const UNAUTHORIZED_USER: i64 = 403_005;

/// What any other code than 0 says. `password` is taken out of every text.
pub(super) fn error(code: i64, body: &Value, password: Option<&Password>) -> Doubt {
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    let told = |said: &str| password.filter(|_| !said.is_empty()).map(|password| PolicyText::new(said, password));
    let details = text("errorDetails");
    let is_validation = matches!(code, 400_006 | 400_009);
    Doubt::No(match code {
        206_001 | 206_002 | 206_003 | 206_006 => ProviderError::AccountIncomplete,
        301_001 | 400_093 | 400_096 | 401_000 | 403_036 | 403_045 | 405_001 => ProviderError::Misconfigured,
        401_030 => ProviderError::PasswordReused { message: told(details) },
        _ if is_validation && details.contains("Same_password") => {
            ProviderError::PasswordReused { message: told(details) }
        }
        _ if is_validation && details.contains("Invalid_password") => ProviderError::OldPasswordWrong,
        _ if is_validation && is_taken(body) => ProviderError::Conflict,
        _ if is_validation && let Some(said) = about_password(body) => {
            ProviderError::PolicyViolation { rule: None, message: told(said) }
        }
        403_042 => ProviderError::OldPasswordWrong,
        400_003 | 400_022 | 403_043 | 409_001 | 409_003 => ProviderError::Conflict,
        400_050 | 401_020 | 401_021 | 401_023 | 403_100 | 403_101 | 403_102 | 403_110 => {
            ProviderError::NeedsInteraction
        }
        400_028 | 403_013 | 403_041 | 403_044 | 403_120 => ProviderError::UserBlocked,
        403_047 | 404_003 => ProviderError::UserNotFound,
        403_000 | 403_007 | 403_023 | 403_026 | UNAUTHORIZED_USER => ProviderError::InsufficientScope,
        403_003 | 403_010 | 403_025 | 400_008 => ProviderError::AdminAuth,
        code if is_out_of_time(code) => ProviderError::ClockSkew,
        // Nothing is said about when to come back.
        403_048 | 400_124 | 400_125 => ProviderError::RateLimited { not_before: None },
        // More than five requests at once about one user: refused, and not for long.
        409_030 => ProviderError::Transient,
        400_302 | 400_303 => ProviderError::Vetoed { message: told(details) },
        300_000..=499_999 => ProviderError::InvalidRequest,
        // Its own errors and time-outs, and what nobody has heard of.
        _ => return Doubt::Yes,
    })
}

/// Whether a validation says that somebody has the login identifier. That `accounts.register` says so like this is known
/// from reports; documents list the code by itself and 403043 alone.
fn is_taken(body: &Value) -> bool {
    let errors = body.get("validationErrors").and_then(Value::as_array);
    let says_so = |error: &Value| matches!(error.get("errorCode").and_then(Value::as_i64), Some(400_003 | 403_043));
    errors.is_some_and(|errors| errors.iter().any(says_so))
}

/// What a validation says about the password.
fn about_password(body: &Value) -> Option<&str> {
    let errors = body.get("validationErrors")?.as_array()?;
    let is_about =
        |error: &&Value| error.get("fieldName").is_some_and(|name| name == "password" || name == "newPassword");
    Some(errors.iter().find(is_about)?.get("message").and_then(Value::as_str).unwrap_or_default())
}

/// What became of a new password. Two codes mean success with remarks: about the password itself they are none.
pub(super) fn of_set(code: i64, body: &Value, password: &Password) -> Result<(), ProviderError> {
    match code {
        0 => Ok(()),
        200_008 | 200_010 => match about_password(body) {
            None => Ok(()),
            Some(said) => {
                Err(ProviderError::PolicyViolation { rule: None, message: Some(PolicyText::new(said, password)) })
            }
        },
        // Said about a sign-in or a record that is looked at. What it means for a password that is set, nobody says.
        206_001 | 206_002 | 206_003 | 206_006 => Err(ProviderError::Ambiguous),
        code => Err(error(code, body, Some(password)).of_write()),
    }
}

/// Done, but for the login identifier, which somebody has. The name of this code is known from reports.
const DONE_BUT_TAKEN: i64 = 200_010;

/// What became of a registration. An account that has something to do first is there all the same, with its address and
/// its password.
pub(super) fn of_registration(code: i64, body: &Value, password: &Password) -> Result<(), ProviderError> {
    match code {
        0 | 200_008 | 206_001 | 206_002 | 206_006 => Ok(()),
        DONE_BUT_TAKEN => Err(ProviderError::Conflict),
        code => Err(error(code, body, Some(password)).of_write()),
    }
}

/// What became of a change of a record.
pub(super) fn of_change(code: i64, body: &Value) -> Result<(), ProviderError> {
    match code {
        0 | 200_008 => Ok(()),
        DONE_BUT_TAKEN => Err(ProviderError::Conflict),
        // Said about a sign-in or a record that is looked at. What it means for a change, nobody says.
        206_001 | 206_002 | 206_003 | 206_006 => Err(ProviderError::Ambiguous),
        code => Err(error(code, body, None).of_write()),
    }
}

/// What a sign-in says about the password. An account that is locked, incomplete, or wants a second factor tells nothing.
pub(super) fn trial(code: i64, body: &Value) -> TrialAnswer {
    match (code, error(code, body, None).of_read()) {
        (0, _) => TrialAnswer::SignedIn,
        (403_042, _) => TrialAnswer::Wrong,
        (
            _,
            ProviderError::AccountIncomplete
            | ProviderError::NeedsInteraction
            | ProviderError::UserBlocked
            | ProviderError::Vetoed { .. },
        ) => TrialAnswer::CannotTell,
        (_, error) => TrialAnswer::Failed(error),
    }
}
