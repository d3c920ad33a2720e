//! JSON Web Tokens (RFC 7519, in the compact form of RFC 7515): the proof that a caller is one whom a tenant trusts.
//!
//! A [`Verifier`] knows one algorithm, the one that the operator has configured. What a token says about its own algorithm
//! is compared with that and believed in nothing, so there is no `none`, and no public key that is taken for a secret.
//! The signature is checked before anything of the claims is read.
//!
//! Deliberately absent: encrypted tokens, certificates in headers, keys that a token brings along, any other algorithm.

mod key_set;
mod published;
mod sign;
#[cfg(test)]
mod tests;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyherald_core::Micros;
use ring::hmac;
use serde_json::{Map, Value};

pub use self::key_set::{KeySet, NoKey};
pub use self::published::{Published, PublishedSettings};
pub use self::sign::{CannotSign, SigningKey};

/// Longest token in bytes.
const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// By how much the clock of whoever issues tokens may be ahead of ours.
const AHEAD: i64 = 30 * Micros::SECOND;

/// What tokens are signed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// RSA (PKCS #1 v1.5) with SHA-256, of 2048 bits or more.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
}

impl Algorithm {
    /// The name in a token's header.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
        }
    }
}

/// Why a token does not count. For the log; a caller is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is no token at all.
    #[error("not a signed token in compact form")]
    Malformed,
    /// It says that it is signed in another way than it may be.
    #[error("signed with another algorithm")]
    Algorithm,
    /// No key is known by the name that it gives.
    #[error("signed with a key that is not known")]
    UnknownKey,
    /// It is not what was signed.
    #[error("the signature is wrong")]
    Signature,
    /// Its time is over.
    #[error("expired")]
    Expired,
    /// Its time has not come.
    #[error("not valid yet")]
    NotYet,
    /// Somebody else issued it, or for somebody else.
    #[error("of another issuer, or for another audience")]
    Stranger,
}

/// Why nothing can be said of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unverified {
    /// It does not count.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The keys could not be fetched yet.
    #[error("the keys of the issuer could not be fetched")]
    NoKeys,
}

/// With what signatures are checked.
pub enum Keys {
    /// A secret.
    Secret(hmac::Key),
    /// Public keys that are known.
    Known(KeySet),
    /// Public keys that the issuer publishes.
    Published(Published),
}

impl Keys {
    /// A secret for [`Algorithm::Hs256`].
    pub fn secret(secret: &str) -> Self {
        Self::Secret(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()))
    }
}

/// What checks the tokens of one tenant's callers.
pub struct Verifier {
    /// The only algorithm that counts.
    pub algorithm: Algorithm,
    /// Its keys.
    pub keys: Keys,
    /// What `iss` must be. `None`: it is not asked for.
    pub issuer: Option<String>,
    /// What `aud` must be or have in it. `None`: it is not asked for.
    pub audience: Option<String>,
}

/// A token, taken apart.
struct Parts<'t> {
    /// What was signed.
    signed: &'t str,
    claims: &'t str,
    signature: Vec<u8>,
    key_id: Option<String>,
}

impl Verifier {
    /// Whether the token was issued for our callers and is good at `now`.
    pub async fn verify(&self, token: &str, now: Micros) -> Result<(), Unverified> {
        self.claims(token, now).await.map(drop)
    }

    /// The same, and what the token says.
    pub async fn claims(&self, token: &str, now: Micros) -> Result<Map<String, Value>, Unverified> {
        let parts = self.take_apart(token)?;
        match &self.keys {
            Keys::Secret(secret) => {
                hmac::verify(secret, parts.signed.as_bytes(), &parts.signature).map_err(|_| Refused::Signature)?;
            }
            Keys::Known(keys) => check(keys, &parts)?,
            Keys::Published(published) => {
                let keys = published.keys(parts.key_id.as_deref()).await.ok_or(Unverified::NoKeys)?;
                check(&keys, &parts)?;
            }
        }
        let claims = object(parts.claims)?;
        check_time(&claims, now)?;
        self.check_parties(&claims)?;
        Ok(claims)
    }

    fn take_apart<'t>(&self, token: &'t str) -> Result<Parts<'t>, Refused> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Refused::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Refused::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(Refused::Malformed)?;
        let header = object(header)?;
        // An extension that must be understood is one that is not.
        if header.contains_key("crit") {
            return Err(Refused::Malformed);
        }
        if header.get("alg").and_then(Value::as_str) != Some(self.algorithm.as_str()) {
            return Err(Refused::Algorithm);
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| Refused::Malformed)?;
        let key_id = header.get("kid").and_then(Value::as_str).map(str::to_owned);
        Ok(Parts { signed, claims, signature, key_id })
    }

    fn check_parties(&self, claims: &Map<String, Value>) -> Result<(), Refused> {
        let is = |claim: Option<&Value>, wanted: &str| match claim {
            Some(Value::String(one)) => one == wanted,
            Some(Value::Array(several)) => several.iter().any(|one| one == wanted),
            _ => false,
        };
        let issuer = self.issuer.as_ref().is_none_or(|wanted| claims.get("iss").is_some_and(|iss| iss == wanted));
        let audience = self.audience.as_ref().is_none_or(|wanted| is(claims.get("aud"), wanted));
        if issuer && audience { Ok(()) } else { Err(Refused::Stranger) }
    }
}

fn check_time(claims: &Map<String, Value>, now: Micros) -> Result<(), Refused> {
    // A time that is no number is no time at all: a token that means to end must not live on for it.
    let seconds = |name: &str| claims.get(name).map(|value| value.as_f64().ok_or(Refused::Malformed)).transpose();
    let now_s = seconds_of(now);
    if seconds("exp")?.is_some_and(|exp| now_s >= exp) {
        return Err(Refused::Expired);
    }
    if seconds("nbf")?.is_some_and(|nbf| seconds_of(now.plus(AHEAD)) < nbf) {
        return Err(Refused::NotYet);
    }
    Ok(())
}

fn check(keys: &KeySet, parts: &Parts<'_>) -> Result<(), Refused> {
    keys.verify(parts.key_id.as_deref(), parts.signed.as_bytes(), &parts.signature)
}

/// A part of a token: a JSON object, encoded.
fn object(encoded: &str) -> Result<Map<String, Value>, Refused> {
    let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| Refused::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| Refused::Malformed)
}

#[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "exact for any date of the next centuries")]
fn seconds_of(at: Micros) -> f64 {
    at.0 as f64 / 1_000_000.0
}
