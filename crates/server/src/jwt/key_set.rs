//! Public keys: of a JSON Web Key Set (RFC 7517, 7518), or one of a PEM file.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;

use super::{Algorithm, Refused};

/// Most keys of a set. A token that names none is tried with each.
const KEYS_MAX: usize = 50;

/// `SEQUENCE { OID rsaEncryption, NULL }`, the algorithm of an RSA key.
const RSA: &[u8] = &[0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0];
/// `SEQUENCE { OID ecPublicKey, OID prime256v1 }`, that of a key on P-256.
const P256: &[u8] = &[0x30, 19, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];

/// The keys of one algorithm.
#[derive(Clone)]
pub struct KeySet(Vec<NamedKey>);

#[derive(Clone)]
struct NamedKey {
    id: Option<String>,
    key: PublicKey,
}

#[derive(Clone)]
enum PublicKey {
    /// Modulus and exponent.
    Rsa { n: Vec<u8>, e: Vec<u8> },
    /// `RSAPublicKey` of PKCS #1.
    RsaDer(Vec<u8>),
    /// An uncompressed point on P-256.
    P256(Vec<u8>),
}

/// Why there is no key in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoKey {
    /// It is no key set.
    #[error("not a JSON Web Key Set")]
    NoSet,
    /// Nothing in it is for this algorithm.
    #[error("no public key for this algorithm")]
    None,
    /// There is no public key in it.
    #[error("not a public key in PEM form (-----BEGIN PUBLIC KEY-----)")]
    NoPem,
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// Those keys of a key set that sign with this algorithm. What is for something else is left out, as RFC 7517 wants.
    pub fn of_jwks(text: &[u8], algorithm: Algorithm) -> Result<Self, NoKey> {
        let set: Jwks = serde_json::from_slice(text).map_err(|_| NoKey::NoSet)?;
        let keys = set.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok());
        let keys: Vec<NamedKey> = keys.filter_map(|key| of_jwk(key, algorithm)).take(KEYS_MAX).collect();
        if keys.is_empty() { Err(NoKey::None) } else { Ok(Self(keys)) }
    }

    /// The key of a PEM file.
    pub fn of_pem(text: &[u8], algorithm: Algorithm) -> Result<Self, NoKey> {
        let info = SubjectPublicKeyInfoDer::from_pem_slice(text).map_err(|_| NoKey::NoPem)?;
        let (kind, bits) = public_key_info(&info).ok_or(NoKey::NoPem)?;
        let key = match algorithm {
            Algorithm::Rs256 if kind == RSA => PublicKey::RsaDer(bits.to_vec()),
            Algorithm::Es256 if kind == P256 => PublicKey::P256(bits.to_vec()),
            _ => return Err(NoKey::None),
        };
        Ok(Self(vec![NamedKey { id: None, key }]))
    }

    /// Whether a key of this name is there.
    pub(super) fn has(&self, id: &str) -> bool {
        self.0.iter().any(|key| key.id.as_deref() == Some(id))
    }

    /// Whether one of the keys made the signature: the one that is named, or any where no name is given on either side.
    pub(super) fn verify(&self, id: Option<&str>, signed: &[u8], signature: &[u8]) -> Result<(), Refused> {
        let is_meant = |key: &&NamedKey| id.is_none() || key.id.is_none() || key.id.as_deref() == id;
        let mut meant = self.0.iter().filter(is_meant).peekable();
        if meant.peek().is_none() {
            return Err(Refused::UnknownKey);
        }
        if meant.any(|key| key.key.has_made(signed, signature)) { Ok(()) } else { Err(Refused::Signature) }
    }
}

impl PublicKey {
    fn has_made(&self, signed: &[u8], signature: &[u8]) -> bool {
        let checked = match self {
            Self::Rsa { n, e } => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, signed, signature)
            }
            Self::RsaDer(der) => UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der).verify(signed, signature),
            Self::P256(point) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed, signature),
        };
        checked.is_ok()
    }
}

fn of_jwk(jwk: Jwk, algorithm: Algorithm) -> Option<NamedKey> {
    let other_use = jwk.usage.is_some_and(|usage| usage != "sig");
    let other_algorithm = jwk.alg.is_some_and(|alg| alg != algorithm.as_str());
    if other_use || other_algorithm {
        return None;
    }
    let bytes = |text: Option<String>| URL_SAFE_NO_PAD.decode(text?.trim_end_matches('=')).ok();
    let key = match (algorithm, jwk.kty.as_str()) {
        (Algorithm::Rs256, "RSA") => PublicKey::Rsa { n: without_zeros(bytes(jwk.n)?), e: bytes(jwk.e)? },
        (Algorithm::Es256, "EC") if jwk.crv.as_deref() == Some("P-256") => {
            let (x, y) = (bytes(jwk.x)?, bytes(jwk.y)?);
            PublicKey::P256([&[4], x.as_slice(), y.as_slice()].concat())
        }
        _ => return None,
    };
    Some(NamedKey { id: jwk.kid, key })
}

/// Some write the modulus as a signed number, with a zero in front.
fn without_zeros(number: Vec<u8>) -> Vec<u8> {
    number.into_iter().skip_while(|byte| *byte == 0).collect()
}

/// Algorithm and key of a `SubjectPublicKeyInfo` (RFC 5280, 4.1.2.7): the outermost of the few structures that ring leaves
/// to others.
fn public_key_info(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (0x30, info, []) = element(der)? else { return None };
    let (0x30, _, after) = element(info)? else { return None };
    let kind = info.get(..info.len() - after.len())?;
    // A bit string begins with the number of bits that do not count.
    let (3, [0, bits @ ..], []) = element(after)? else { return None };
    Some((kind, bits))
}

/// The first DER element: its tag, its content, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81 => rest.split_first().map(|(length, rest)| (usize::from(*length), rest))?,
        0x82 => {
            let ([high, low], rest) = rest.split_first_chunk::<2>()?;
            (usize::from(*high) << 8 | usize::from(*low), rest)
        }
        _ => return None,
    };
    let (content, after) = rest.split_at_checked(length)?;
    Some((*tag, content, after))
}
