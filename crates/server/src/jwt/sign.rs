//! Making tokens: for operators who give one to a caller.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Map, Value, json};

use super::Algorithm;

/// What tokens are signed with. No `Debug`.
pub enum SigningKey {
    /// A secret, for HS256.
    Secret(hmac::Key),
    /// For RS256.
    Rsa(Box<RsaKeyPair>),
    /// For ES256.
    P256(Box<EcdsaKeyPair>),
}

/// Why no token can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotSign {
    /// No private key in it.
    #[error("not a private key in PEM form (-----BEGIN PRIVATE KEY-----)")]
    NoPem,
    /// Not one for the algorithm.
    #[error("not a private key for this algorithm: RSA of 2048 bits or more, or P-256 in PKCS #8")]
    OtherKey,
    /// The key does not work.
    #[error("the key does not sign")]
    Broken,
}

impl SigningKey {
    /// A secret for HS256.
    pub fn secret(secret: &str) -> Self {
        Self::Secret(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()))
    }

    /// A private key for RS256 or ES256.
    pub fn of_pem(text: &[u8], algorithm: Algorithm) -> Result<Self, CannotSign> {
        let key = PrivateKeyDer::from_pem_slice(text).map_err(|_| CannotSign::NoPem)?;
        let other = |_| CannotSign::OtherKey;
        match (algorithm, &key) {
            (Algorithm::Rs256, PrivateKeyDer::Pkcs8(der)) => {
                let key = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(other)?;
                Ok(Self::Rsa(Box::new(key)))
            }
            (Algorithm::Rs256, PrivateKeyDer::Pkcs1(der)) => {
                let key = RsaKeyPair::from_der(der.secret_pkcs1_der()).map_err(other)?;
                Ok(Self::Rsa(Box::new(key)))
            }
            (Algorithm::Es256, PrivateKeyDer::Pkcs8(der)) => {
                let (der, random) = (der.secret_pkcs8_der(), SystemRandom::new());
                let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der, &random).map_err(other)?;
                Ok(Self::P256(Box::new(key)))
            }
            _ => Err(CannotSign::OtherKey),
        }
    }

    fn algorithm(&self) -> Algorithm {
        match self {
            Self::Secret(_) => Algorithm::Hs256,
            Self::Rsa(_) => Algorithm::Rs256,
            Self::P256(_) => Algorithm::Es256,
        }
    }

    /// A token with these claims.
    pub fn sign(&self, claims: &Map<String, Value>, key_id: Option<&str>) -> Result<String, CannotSign> {
        let mut header = json!({"alg": self.algorithm().as_str(), "typ": "JWT"});
        if let (Some(key_id), Some(header)) = (key_id, header.as_object_mut()) {
            header.insert("kid".into(), key_id.into());
        }
        let part = |value: String| URL_SAFE_NO_PAD.encode(value);
        let claims = serde_json::to_string(claims).map_err(|_| CannotSign::Broken)?;
        let signed = format!("{}.{}", part(header.to_string()), part(claims));
        let random = SystemRandom::new();
        let signature = match self {
            Self::Secret(key) => hmac::sign(key, signed.as_bytes()).as_ref().to_vec(),
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature)
                    .map_err(|_| CannotSign::Broken)?;
                signature
            }
            Self::P256(key) => key.sign(&random, signed.as_bytes()).map_err(|_| CannotSign::Broken)?.as_ref().to_vec(),
        };
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}
