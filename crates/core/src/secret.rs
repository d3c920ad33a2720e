//! Secrets as types with no way out: no `Debug`, no `Serialize`, no getter; wiped when dropped.
//!
//! What must be done with a secret is a method here or a closure that is handed the bytes for as long as it runs.
//!
//! ```compile_fail
//! fn printable<T: std::fmt::Debug>() {}
//! printable::<keyherald_core::secret::Password>();
//! ```
//! ```compile_fail
//! fn printable<T: std::fmt::Debug>() {}
//! printable::<keyherald_core::secret::TokenValue>();
//! ```
//! ```compile_fail
//! fn writable<T: serde::Serialize>() {}
//! writable::<keyherald_core::secret::Password>();
//! ```
//! ```compile_fail
//! fn writable<T: serde::Serialize>() {}
//! writable::<keyherald_core::secret::TokenValue>();
//! ```

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use unicode_normalization::{UnicodeNormalization, is_nfc};
use zeroize::Zeroizing;

use crate::Ctx;

/// A password in clear, as a person typed it. At most [`Password::BYTES_MAX`] bytes.
pub struct Password(Zeroizing<String>);

/// The password is longer than [`Password::BYTES_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a password may have at most {} bytes", Password::BYTES_MAX)]
pub struct PasswordTooLong;

impl Password {
    /// Longest password in bytes: far above what people type, and low enough that hashing it costs nothing more.
    pub const BYTES_MAX: usize = 1024;

    /// Takes the text over; it is wiped when the password is dropped.
    pub fn new(text: String) -> Result<Self, PasswordTooLong> {
        let text = Zeroizing::new(text);
        if text.len() > Self::BYTES_MAX { Err(PasswordTooLong) } else { Ok(Self(text)) }
    }

    /// 256 bits of chance as text, and then `ending`.
    pub(crate) fn random(ctx: &mut Ctx, ending: &str) -> Self {
        Self(Zeroizing::new(format!("{}{ending}", URL_SAFE_NO_PAD.encode(ctx.bytes::<32>()))))
    }

    /// Hands the bytes to a hash function.
    pub fn hash_with<T>(&self, hash: impl FnOnce(&[u8]) -> T) -> T {
        hash(self.0.as_bytes())
    }

    /// A copy for the second hash of a change.
    pub fn duplicate(&self) -> Self {
        Self(self.0.clone())
    }

    /// The same password in Unicode's normal form C, in which it is hashed where the contract does not say otherwise:
    /// keyboards write some letters in several ways, and whoever typed one means all of them. At most three times as many
    /// bytes.
    #[must_use]
    pub fn nfc(&self) -> Self {
        let mut text = Zeroizing::new(String::with_capacity(3 * self.0.len())); // never moved, so that no copy is left
        text.extend(self.0.nfc());
        Self(text)
    }

    /// Whether it is in normal form C as it was typed.
    pub fn is_nfc(&self) -> bool {
        is_nfc(&self.0)
    }

    /// Hands the text to the one who must send it to a provider.
    pub fn reveal_with<T>(&self, send: impl FnOnce(&str) -> T) -> T {
        send(&self.0)
    }

    /// `text` without this password in it.
    pub fn redacted_from(&self, text: &str) -> String {
        if self.0.is_empty() { text.to_owned() } else { text.replace(self.0.as_str(), "***") }
    }
}

/// SHA-256 of a random secret (a token value, an access token, a client secret): what is stored and compared.
///
/// A plain digest is enough because the secret has 160 bits of chance or more: there is nothing to guess.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// The digest of a presented secret.
    pub fn of(presented: &str) -> Self {
        Self(Sha256::digest(presented.as_bytes()).into())
    }

    /// The stored form.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Compares in constant time with a stored digest.
    pub fn matches(&self, stored: &[u8]) -> bool {
        self.0.ct_eq(stored).into()
    }
}

impl From<[u8; 32]> for TokenDigest {
    /// A digest as it was stored.
    fn from(stored: [u8; 32]) -> Self {
        Self(stored)
    }
}

/// A new random secret that is shown once: a reset token's value, an access token, a client secret.
pub struct TokenValue(Zeroizing<String>);

impl TokenValue {
    /// 40 characters of `[A-Za-z0-9_-]`, 240 bits (commercetools.md 3.2).
    pub fn new(ctx: &mut Ctx) -> Self {
        Self(Zeroizing::new(URL_SAFE_NO_PAD.encode(ctx.bytes::<30>())))
    }

    /// 32 characters of `[A-Za-z0-9_-]`, 192 bits: an access token (commercetools.md 1.2).
    pub fn access(ctx: &mut Ctx) -> Self {
        Self(Zeroizing::new(URL_SAFE_NO_PAD.encode(ctx.bytes::<24>())))
    }

    /// `{prefix}{43 characters}`, 256 bits: a refresh token (commercetools.md 1.2).
    pub fn prefixed(ctx: &mut Ctx, prefix: &str) -> Self {
        Self(Zeroizing::new(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(ctx.bytes::<32>()))))
    }

    /// A secret that came back out of its seal.
    pub fn from_sealed(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// What is stored of it.
    pub fn digest(&self) -> TokenDigest {
        TokenDigest::of(&self.0)
    }

    /// Hands the text to whoever must show or seal it.
    pub fn reveal_with<T>(&self, show: impl FnOnce(&str) -> T) -> T {
        show(&self.0)
    }
}

impl Clone for TokenValue {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Micros;

    #[test]
    fn a_token_value_has_the_documented_form() {
        let value = TokenValue::new(&mut Ctx::new(Micros(0), [3; 32]));
        value.reveal_with(|text| {
            assert_eq!(text.len(), 40);
            assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
            assert!(TokenDigest::of(text).matches(value.digest().as_bytes()));
        });
    }

    #[test]
    fn a_password_has_a_limit() {
        assert!(Password::new("x".repeat(Password::BYTES_MAX)).is_ok());
        assert!(Password::new("x".repeat(Password::BYTES_MAX + 1)).is_err());
    }
}
