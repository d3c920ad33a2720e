//! What a customer signs in with: the stored hash of a password, or nothing because somebody else holds it.
//!
//! This module knows the shape of a stored hash, not how one is made: hashing takes memory and time and lives in the
//! server.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Text that cannot be a stored password hash. The text itself is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a password hash: a PHC string starts with '$' and has at most {} printable ASCII characters",
    PasswordHash::BYTES_MAX
)]
pub struct NotAPasswordHash;

/// A password hash in PHC string format, as it is stored: `$argon2id$v=19$m=19456,t=2,p=1$<salt>$<tag>`.
///
/// The scheme is not looked at here, so that hashes of other systems can be stored and read. It has no `Debug` and no
/// `Serialize`: a hash that leaks can be guessed against at leisure.
///
/// ```compile_fail
/// fn printable<T: std::fmt::Debug>() {}
/// printable::<keyherald_core::credential::PasswordHash>();
/// ```
/// ```compile_fail
/// fn writable<T: serde::Serialize>() {}
/// writable::<keyherald_core::credential::PasswordHash>();
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Longest stored hash in bytes. Ours have 97.
    pub const BYTES_MAX: usize = 512;

    /// Takes a PHC string: `$`, then printable ASCII, at most [`PasswordHash::BYTES_MAX`] bytes.
    pub fn parse(text: &str) -> Result<Self, NotAPasswordHash> {
        let fits = text.len() <= Self::BYTES_MAX
            && text.len() > 1
            && text.starts_with('$')
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        if fits { Ok(Self(text.to_owned())) } else { Err(NotAPasswordHash) }
    }

    /// The string that is stored.
    pub fn as_phc(&self) -> &str {
        &self.0
    }

    /// The last four characters, which commercetools shows behind `****` so that a caller sees that it changed.
    pub fn tail(&self) -> String {
        let start = self.0.len().saturating_sub(4);
        self.0.get(start..).unwrap_or_default().to_owned()
    }
}

/// Who knows the customer's password.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AuthenticationMode {
    /// Keyherald holds the hash of it.
    #[default]
    Password,
    /// Another system does: no password of this customer is ever accepted or changed here.
    ExternalAuth,
}

/// Text that is no authentication mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an authentication mode: use Password or ExternalAuth")]
pub struct NotAnAuthenticationMode;

impl AuthenticationMode {
    /// `Password` or `ExternalAuth`: its spelling in JSON and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Password => "Password",
            Self::ExternalAuth => "ExternalAuth",
        }
    }
}

impl fmt::Display for AuthenticationMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for AuthenticationMode {
    type Err = NotAnAuthenticationMode;

    fn from_str(text: &str) -> Result<Self, NotAnAuthenticationMode> {
        match text {
            "Password" => Ok(Self::Password),
            "ExternalAuth" => Ok(Self::ExternalAuth),
            _ => Err(NotAnAuthenticationMode),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_kept_as_it_was_read_and_shows_four_characters() {
        let phc = "$argon2id$v=19$m=19456,t=2,p=1$AQEBAQEBAQEBAQEBAQEBAQ$62QdG5Ru3xTGLX3KBXjk3JI2y0qvK/4QPpdRvIrGYkI";
        let hash = PasswordHash::parse(phc).ok().unwrap();
        assert_eq!(hash.as_phc(), phc);
        assert_eq!(hash.tail(), "GYkI");
    }

    #[test]
    fn hashes_of_other_schemes_are_stored_and_nonsense_is_not() {
        assert!(PasswordHash::parse("$2b$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy").is_ok());
        for nonsense in ["", "$", "plain", "$a b", "$\u{e9}", "$a\0", &format!("${}", "x".repeat(512))] {
            assert!(PasswordHash::parse(nonsense).is_err(), "{nonsense:?}");
        }
        assert_eq!(PasswordHash::parse("$2").ok().unwrap().tail(), "$2");
    }

    #[test]
    fn a_mode_has_one_spelling() {
        for mode in [AuthenticationMode::Password, AuthenticationMode::ExternalAuth] {
            assert_eq!(mode.as_str().parse(), Ok(mode));
            assert_eq!(serde_json::to_string(&mode).unwrap(), format!("\"{mode}\""));
        }
        assert!("password".parse::<AuthenticationMode>().is_err());
    }
}
