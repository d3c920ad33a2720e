//! Identity providers, as far as a decision needs to know them: what a call to one can answer, what one is able to do,
//! and which user there is which customer here.
//!
//! Nothing outside these lists leaves a connector. What matters most about an answer is whether the password may have
//! changed there: only [`ProviderError::Ambiguous`] says that it may. How a provider is reached and how its own codes
//! are read is the connector's business.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ctx::Micros;
use crate::id::NotAnId;
use crate::secret::Password;

/// A provider's name in the configuration: 1 to 64 of `[a-z0-9_-]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProviderName(String);

impl fmt::Display for ProviderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ProviderName {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
        if (1..=64).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotAnId)
        }
    }
}

/// A user's id at a provider (Naviga's CustomerRegistrationId). Opaque: 1 to 256 characters without control characters.
///
/// No `Debug` and no `Display`: at some providers it is an e-mail address, which must not get into logs.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProviderUser(String);

impl ProviderUser {
    /// The id as text, to be sent or stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProviderUser {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let fits = !text.is_empty() && text.chars().count() <= 256 && !text.chars().any(char::is_control);
        if fits { Ok(Self(text.to_owned())) } else { Err(NotAnId) }
    }
}

/// Which user of which provider a customer is. A customer with a link has its password set there as well.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderLink {
    /// The provider.
    pub provider: ProviderName,
    /// The user there. Of one customer only.
    pub user: ProviderUser,
}

/// What a provider is able to do. The same for as long as an operation lasts: it is part of the operation's intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Whether a look-up tells when the password was changed last.
    pub probe: Probe,
    /// Whether a sign-in can be tried there with a password.
    pub trial_sign_in: bool,
    /// What becomes of the user's sessions there.
    pub sessions: SessionEnding,
    /// By what a user can be looked up there.
    pub lookups: LookupWays,
    /// Longest password in bytes that is taken as it is. A longer one is refused here: some providers cut it silently.
    pub password_bytes_max: Option<u32>,
    /// What of the user's record can be written there, besides the password.
    #[serde(default)]
    pub records: RecordWrites,
    /// Whether it says whom an access token that it has issued stands for.
    #[serde(default)]
    pub tokens: bool,
}

/// A value of the user's record that answers "did it happen?" when it is compared with the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// There is none.
    None,
    /// It moves with the password and nothing else.
    Password,
    /// It moves with other edits too: that it stands still proves something, that it moved does not.
    Record,
}

/// What becomes of a user's sessions at the provider when the password is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionEnding {
    /// The provider ends them itself, or has none.
    BySet,
    /// They go on until a call ends them.
    ByStep,
    /// Nothing can end them.
    Never,
}

/// By what a user can be looked up at a provider, besides what a search index knows only later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookupWays {
    /// By the user's id there.
    pub id: bool,
    /// By e-mail address.
    pub email: bool,
    /// By the id that the user has elsewhere.
    pub external_id: bool,
}

/// What of a user's record can be written at a provider, besides the password.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordWrites {
    /// Users can be created.
    pub create: bool,
    /// Address and names can be changed.
    pub update: bool,
}

/// A probe's value, kept only to be compared: the digest of what the provider said, for at some it is a password hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProbeValue(String);

impl ProbeValue {
    /// Of what the provider said. `None`: the field is absent (with many until the first change).
    pub fn of(said: Option<&str>) -> Self {
        let mut digest = Sha256::new();
        digest.update([u8::from(said.is_some())]);
        digest.update(said.unwrap_or_default().as_bytes());
        let digest: [u8; 32] = digest.finalize().into();
        Self(digest.iter().take(16).fold(String::new(), |text, byte| format!("{text}{byte:02x}")))
    }
}

/// A provider's own words to the user about a password: what its policy asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PolicyText(String);

impl PolicyText {
    /// Longest text in characters; the rest is cut off.
    pub const CHARS_MAX: usize = 500;

    /// Takes over what the provider said about `password`, without the password itself should it be repeated.
    pub fn new(said: &str, password: &Password) -> Self {
        Self(password.redacted_from(said).chars().filter(|c| !c.is_control()).take(Self::CHARS_MAX).collect())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How a call to a provider failed: the closed list (providers.md 3.5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "class", rename_all = "snake_case")]
pub enum ProviderError {
    /// No such user.
    UserNotFound,
    /// Several users fit.
    UserAmbiguous,
    /// The user is disabled, locked or not verified.
    UserBlocked,
    /// The account lacks what the provider demands.
    AccountIncomplete,
    /// The user has no password there: a federated or social account.
    CredentialUnsupported,
    /// The current password that was sent is not the user's.
    OldPasswordWrong,
    /// The password breaks the provider's policy.
    PolicyViolation {
        /// Which rule, where the provider tells.
        rule: Option<String>,
        /// Its words for the user.
        message: Option<PolicyText>,
    },
    /// The password is the current one, or was used before.
    PasswordReused {
        /// Its words for the user.
        message: Option<PolicyText>,
    },
    /// The password was changed so lately that it may not be changed again.
    TooYoung,
    /// Another user has the value.
    Conflict,
    /// The record moved between look-up and write.
    Stale,
    /// The user must do something there first.
    NeedsInteraction,
    /// Our access does not reach that far.
    InsufficientScope,
    /// Our access is refused, also after it was renewed once.
    AdminAuth,
    /// Our signature is out of time, also after it was made anew once.
    ClockSkew,
    /// The configuration does not fit the provider.
    Misconfigured,
    /// The provider does not understand the request.
    InvalidRequest,
    /// Too many requests.
    RateLimited {
        /// Not worth another try before.
        not_before: Option<Micros>,
    },
    /// Not reached: surely not applied.
    Transient,
    /// Sent, and no answer that tells: time-out, lost connection, error of the provider's own. May be applied.
    Ambiguous,
    /// The provider cannot do this.
    NotSupported,
    /// An extension of the provider's refused.
    Vetoed {
        /// Its words for the user.
        message: Option<PolicyText>,
    },
}

/// What an error says about the password at the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Not changed, and a repeat would be answered the same.
    Refused,
    /// Not changed; worth another try, at this time or later.
    Later(Option<Micros>),
    /// Nobody knows.
    Unknown,
}

impl ProviderError {
    /// What it says about the password, taken by itself. After an attempt whose outcome is unknown a refusal says
    /// nothing about that earlier attempt.
    pub fn meaning(&self) -> Meaning {
        match self {
            Self::Ambiguous => Meaning::Unknown,
            Self::RateLimited { not_before } => Meaning::Later(*not_before),
            Self::Transient => Meaning::Later(None),
            _ => Meaning::Refused,
        }
    }

    /// Stable code for activity rows, logs and metrics; the class names of a provider's configuration.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UserNotFound => "user_not_found",
            Self::UserAmbiguous => "user_ambiguous",
            Self::UserBlocked => "user_blocked",
            Self::AccountIncomplete => "account_incomplete",
            Self::CredentialUnsupported => "credential_unsupported",
            Self::OldPasswordWrong => "old_password_wrong",
            Self::PolicyViolation { .. } => "policy_violation",
            Self::PasswordReused { .. } => "password_reused",
            Self::TooYoung => "too_young",
            Self::Conflict => "conflict",
            Self::Stale => "stale",
            Self::NeedsInteraction => "needs_interaction",
            Self::InsufficientScope => "insufficient_scope",
            Self::AdminAuth => "admin_auth",
            Self::ClockSkew => "clock_skew",
            Self::Misconfigured => "misconfigured",
            Self::InvalidRequest => "invalid_request",
            Self::RateLimited { .. } => "rate_limited",
            Self::Transient => "transient",
            Self::Ambiguous => "ambiguous",
            Self::NotSupported => "not_supported",
            Self::Vetoed { .. } => "vetoed",
        }
    }

    /// Whether the customer can do something about it, and is told.
    pub fn concerns_customer(&self) -> bool {
        matches!(
            self,
            Self::OldPasswordWrong
                | Self::PolicyViolation { .. }
                | Self::PasswordReused { .. }
                | Self::TooYoung
                | Self::NeedsInteraction
                | Self::Vetoed { .. }
        )
    }

    /// The provider's own words for the user.
    pub fn message(&self) -> Option<&PolicyText> {
        match self {
            Self::PolicyViolation { message, .. } | Self::PasswordReused { message } | Self::Vetoed { message } => {
                message.as_ref()
            }
            _ => None,
        }
    }
}

/// What a look-up that asks "did it happen?" says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeAnswer {
    /// The value as it is now.
    Value(ProbeValue),
    /// The user is no longer there.
    UserGone,
    /// No answer that tells.
    Failed(ProviderError),
}

/// What a trial sign-in with the new password says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrialAnswer {
    /// It is the user's password.
    SignedIn,
    /// It is not. Not to be said of an account that may be locked.
    Wrong,
    /// The provider wants something else as well (a second factor), or the account is locked: no sign-in tells.
    CannotTell,
    /// No answer that tells.
    Failed(ProviderError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_ambiguous_answer_means_that_the_password_may_have_changed() {
        let at = Some(Micros(7));
        assert_eq!(ProviderError::Ambiguous.meaning(), Meaning::Unknown);
        assert_eq!(ProviderError::Transient.meaning(), Meaning::Later(None));
        assert_eq!(ProviderError::RateLimited { not_before: at }.meaning(), Meaning::Later(at));
        for refused in [ProviderError::UserNotFound, ProviderError::AdminAuth, ProviderError::TooYoung] {
            assert_eq!(refused.meaning(), Meaning::Refused, "{}", refused.code());
        }
    }

    #[test]
    fn a_policy_text_never_repeats_the_password_and_is_cut() {
        let password = Password::new("S3cret!".into()).unwrap();
        let text = PolicyText::new("\"S3cret!\" is too weak\r\nSet-Cookie: x", &password);
        assert_eq!(text.as_str(), "\"***\" is too weakSet-Cookie: x");
        assert_eq!(PolicyText::new(&"x".repeat(999), &password).as_str().len(), PolicyText::CHARS_MAX);
        let empty = Password::new(String::new()).unwrap();
        assert_eq!(PolicyText::new("too weak", &empty).as_str(), "too weak");
    }

    #[test]
    fn a_probe_value_tells_absent_from_empty_and_keeps_nothing() {
        assert_ne!(ProbeValue::of(None), ProbeValue::of(Some("")));
        assert_eq!(ProbeValue::of(Some("$argon2id$x")), ProbeValue::of(Some("$argon2id$x")));
        assert!(!format!("{:?}", ProbeValue::of(Some("$argon2id$x"))).contains("argon"));
    }

    #[test]
    fn an_error_is_stored_by_its_code() {
        for error in [ProviderError::Ambiguous, ProviderError::RateLimited { not_before: Some(Micros(1)) }] {
            let stored = serde_json::to_value(&error).unwrap();
            assert_eq!(stored["class"], error.code());
            assert_eq!(serde_json::from_value::<ProviderError>(stored).unwrap(), error);
        }
    }
}
