//! How a request to Gigya shows who sends it (providers.md 2, auth): a secret, a signature, or a signed token.
//!
//! Signatures and tokens hold for one request: whoever repeats one asks for it again, with other chance and a better time.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use keyherald_core::Micros;
use rustls::SignatureScheme;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::SigningKey;
use serde_json::json;
use sha1::Sha1;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::connector::call::CannotCall;
use crate::connector::percent;
use crate::connector::secret::AccessSecret;

/// With what we show who we are.
#[derive(Clone)]
pub enum Access {
    /// A user key and its secret, sent along with every request: the least good.
    Secret(AccessSecret),
    /// The secret (base64) signs each request and is never sent.
    Signature(AccessSecret),
    /// An RSA key in PEM, PKCS#1 or PKCS#8, signs a token per request. The best.
    PrivateKey(AccessSecret),
}

/// The fields of a request, in the order in which they are signed.
pub(super) type Fields = BTreeMap<&'static str, Zeroizing<String>>;

/// When a request is made, and a number that is used once.
pub(super) struct Once {
    pub now: Micros,
    pub nonce: [u8; 16],
}

/// What signs requests.
pub(super) struct Signer {
    user_key: String,
    key: Key,
    /// The key's text, by which marks are made.
    text: AccessSecret,
}

enum Key {
    Secret(AccessSecret),
    Hmac(Zeroizing<Vec<u8>>),
    Rsa(Arc<dyn SigningKey>),
}

impl Signer {
    pub fn new(user_key: &str, access: &Access) -> Result<Self, CannotCall> {
        let (Access::Secret(text) | Access::Signature(text) | Access::PrivateKey(text)) = access;
        let key = match access {
            Access::Secret(secret) => Key::Secret(secret.clone()),
            Access::Signature(secret) => {
                let decoded = STANDARD.decode(secret.reveal().trim());
                Key::Hmac(Zeroizing::new(decoded.map_err(|_| CannotCall::Key("its secret is not base64"))?))
            }
            Access::PrivateKey(pem) => {
                let no_key = CannotCall::Key("its private key is no RSA key in PEM form");
                let key = PrivateKeyDer::from_pem_slice(pem.reveal().as_bytes()).ok();
                let key = key.and_then(|key| any_supported_type(&key).ok());
                // A key of another kind would be found only when it signs.
                let key = key.filter(|key| key.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256]).is_some());
                Key::Rsa(key.ok_or(no_key)?)
            }
        };
        Ok(Self { user_key: user_key.to_owned(), key, text: text.clone() })
    }

    /// A mark that only who has our key can make, the same for the same text.
    pub fn mark(&self, text: &str) -> String {
        // HMAC takes keys of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.text.reveal().trim().as_bytes()) else {
            return String::new();
        };
        mac.update(text.as_bytes());
        URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    }

    /// Adds what the fields need to be a request to `url`. Returns the value of `Authorization`, where there is one.
    pub fn sign(&self, url: &str, fields: &mut Fields, once: &Once) -> Option<Zeroizing<String>> {
        let epoch_s = once.now.0.div_euclid(Micros::SECOND);
        let nonce = once.nonce.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        match &self.key {
            Key::Secret(secret) => {
                fields.insert("userKey", Zeroizing::new(self.user_key.clone()));
                fields.insert("secret", Zeroizing::new(secret.reveal().to_owned()));
                None
            }
            Key::Hmac(key) => {
                fields.insert("userKey", Zeroizing::new(self.user_key.clone()));
                fields.insert("timestamp", Zeroizing::new(epoch_s.to_string()));
                fields.insert("nonce", Zeroizing::new(nonce));
                // The one signature that a repeat carries is its own.
                fields.remove("sig");
                let signature = signature(key, url, fields);
                fields.insert("sig", Zeroizing::new(signature));
                None
            }
            Key::Rsa(key) => bearer(&**key, &self.user_key, epoch_s, &nonce),
        }
    }
}

/// HMAC-SHA1 of what OAuth 1 calls the signature base string.
fn signature(key: &[u8], url: &str, fields: &Fields) -> String {
    let base = base(url, fields);
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(key) else { return String::new() };
    mac.update(base.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

fn base(url: &str, fields: &Fields) -> Zeroizing<String> {
    let query = encoded(fields);
    Zeroizing::new(format!("POST&{}&{}", percent::encode(url), percent::encode(&query)))
}

/// The fields as a form.
pub(super) fn encoded(fields: &Fields) -> Zeroizing<String> {
    let pairs = fields.iter().map(|(name, value)| Zeroizing::new(format!("{name}={}", percent::encode(value))));
    let mut form = Zeroizing::new(String::new());
    for pair in pairs {
        if !form.is_empty() {
            form.push('&');
        }
        form.push_str(&pair);
    }
    form
}

/// A token of RS256 (RFC 7519) with nothing in it but its time and its id.
fn bearer(key: &dyn SigningKey, user_key: &str, epoch_s: i64, id: &str) -> Option<Zeroizing<String>> {
    let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = part(json!({"alg": "RS256", "typ": "JWT", "kid": user_key}));
    let claims = part(json!({"iat": epoch_s, "jti": id}));
    let signer = key.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256])?;
    let signature = signer.sign(format!("{header}.{claims}").as_bytes()).ok()?;
    Some(Zeroizing::new(format!("Bearer {header}.{claims}.{}", URL_SAFE_NO_PAD.encode(signature))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> Fields {
        let fields = [
            ("UID", "u 1/é"),
            ("apiKey", "3_APIKEY"),
            ("format", "json"),
            ("httpStatusCodes", "false"),
            ("newPassword", "P@ss w0rd~+*!"),
            ("nonce", "1700000000000123"),
            ("securityOverride", "true"),
            ("timestamp", "1700000000"),
            ("userKey", "AKuser"),
        ];
        fields.into_iter().map(|(name, value)| (name, Zeroizing::new(value.to_owned()))).collect()
    }

    #[test]
    fn the_contracts_vector_is_signed_as_it_says() {
        let url = "https://accounts.eu1.gigya.com/accounts.setAccountInfo";
        let expected = "POST&https%3A%2F%2Faccounts.eu1.gigya.com%2Faccounts.setAccountInfo&UID%3Du%25201%252F%25C3%25A9\
                        %26apiKey%3D3_APIKEY%26format%3Djson%26httpStatusCodes%3Dfalse%26newPassword%3DP%2540ss%2520w0rd~\
                        %252B%252A%2521%26nonce%3D1700000000000123%26securityOverride%3Dtrue%26timestamp%3D1700000000\
                        %26userKey%3DAKuser";
        assert_eq!(&**base(url, &fields()), expected);
        let key = STANDARD.decode("c2VjcmV0LWtleS1ieXRlcw==").unwrap();
        assert_eq!(signature(&key, url, &fields()), "5FtvNtCEnwL2JIU+cpOQDly2uFk=");
    }

    #[test]
    fn a_repeat_is_signed_anew() {
        let secret = AccessSecret::new("c2VjcmV0LWtleS1ieXRlcw==".into());
        let signer = Signer::new("AKuser", &Access::Signature(secret)).ok().unwrap();
        let mut fields = Fields::new();
        let mut sign = |nonce: u8| {
            signer.sign("https://x/y", &mut fields, &Once { now: Micros(0), nonce: [nonce; 16] });
            fields["sig"].clone()
        };
        let first = sign(1);
        assert_ne!(first, sign(2));
        assert_eq!(first, sign(1));
    }

    #[test]
    fn only_keys_that_can_sign_are_taken() {
        let text = |text: &str| AccessSecret::new(text.into());
        assert!(Signer::new("u", &Access::Signature(text("not base64!"))).is_err());
        assert!(Signer::new("u", &Access::PrivateKey(text("no PEM"))).is_err());
    }
}
