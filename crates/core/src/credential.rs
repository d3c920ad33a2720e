//! A customer's credential: how it signs in, and the hash that proves its password.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A password hash in PHC string form, as it is stored. No `Debug`, no `Serialize`: it is a secret too.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

/// Text that is not a PHC string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a PHC string")]
pub struct NotAHash;

impl PasswordHash {
    /// Takes a PHC string (`$algorithm$...`) of at most 512 bytes.
    pub fn parse(text: &str) -> Result<Self, NotAHash> {
        let fits = text.starts_with('$') && text.len() <= 512 && text.bytes().all(|b| b.is_ascii_graphic());
        if fits { Ok(Self(text.to_owned())) } else { Err(NotAHash) }
    }

    /// The stored form.
    pub fn as_phc(&self) -> &str {
        &self.0
    }

    /// The last four characters, which the commercetools contract shows behind `****` (commercetools.md 0.9).
    pub fn tail(&self) -> String {
        let skip = self.0.chars().count().saturating_sub(4);
        self.0.chars().skip(skip).collect()
    }
}

/// Who checks the password (commercetools.md 2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuthenticationMode {
    /// We do.
    #[default]
    Password,
    /// Somebody else does: there is no password here.
    ExternalAuth,
}

impl AuthenticationMode {
    /// The contract's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Password => "Password",
            Self::ExternalAuth => "ExternalAuth",
        }
    }
}

impl FromStr for AuthenticationMode {
    type Err = NotAHash;

    fn from_str(text: &str) -> Result<Self, NotAHash> {
        match text {
            "Password" => Ok(Self::Password),
            "ExternalAuth" => Ok(Self::ExternalAuth),
            _ => Err(NotAHash),
        }
    }
}
