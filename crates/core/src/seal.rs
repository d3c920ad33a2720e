//! Sealing at rest: XChaCha20-Poly1305 under a ring of keys, each sealed value bound to the row that holds it.
//!
//! A sealed value is `id length (1) | key id | nonce (24) | ciphertext and tag`. The first key of the ring seals; every
//! key opens, so a key is rotated by putting the new one first and keeping the old one until nothing uses it.
//!
//! What is to be the same value every time, an id in a link, is sealed as a *name* instead: a text whose nonce is a MAC of
//! what is sealed (the construction of RFC 5297), so that a nonce comes again only with the very same content. It tells
//! that two are the same and nothing else.
//!
//! The ring also says whether two secrets are the same without keeping either: a MAC, `id length (1) | key id | tag`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::Ctx;

/// Why a sealed value could not be opened. Says nothing about its content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// No key of the ring has the value's key id.
    #[error("no sealing key {0:?} in the ring: keep retired keys in [secrets] sealing_keys until nothing uses them")]
    UnknownKey(String),
    /// The value was altered, or belongs to another row.
    #[error("a sealed value does not open: altered, or not of this row")]
    Broken,
    /// The ring has no key at all.
    #[error("the key ring is empty")]
    EmptyRing,
}

/// One 256-bit key with its name.
#[derive(Clone)]
pub struct SealingKey {
    id: String,
    key: Zeroizing<[u8; 32]>,
}

impl SealingKey {
    /// A key by its id (1 to 64 bytes) and its 32 bytes.
    pub fn new(id: &str, key: [u8; 32]) -> Option<Self> {
        (1..=64).contains(&id.len()).then(|| Self { id: id.to_owned(), key: Zeroizing::new(key) })
    }

    /// Seals `plain`; `bound_to` names the row (it is authenticated, not stored).
    pub fn seal(&self, ctx: &mut Ctx, bound_to: &str, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let nonce: [u8; 24] = ctx.bytes();
        let cipher = XChaCha20Poly1305::new((&*self.key).into());
        let payload = Payload { msg: plain, aad: bound_to.as_bytes() };
        let text = cipher.encrypt((&nonce).into(), payload).map_err(|_| SealError::Broken)?;
        let mut sealed = Vec::with_capacity(1 + self.id.len() + nonce.len() + text.len());
        sealed.push(u8::try_from(self.id.len()).map_err(|_| SealError::Broken)?);
        sealed.extend_from_slice(self.id.as_bytes());
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&text);
        Ok(sealed)
    }

    /// Opens what [`SealingKey::seal`] made for the same row.
    pub fn open(&self, bound_to: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (_, rest) = split_key_id(sealed)?;
        let (nonce, text) = rest.split_first_chunk::<24>().ok_or(SealError::Broken)?;
        let cipher = XChaCha20Poly1305::new((&*self.key).into());
        let payload = Payload { msg: text, aad: bound_to.as_bytes() };
        cipher.decrypt(nonce.into(), payload).map(Zeroizing::new).map_err(|_| SealError::Broken)
    }
}

impl SealingKey {
    /// The MAC of `plain` in the row that `bound_to` names.
    fn tag(&self, bound_to: &str, plain: &[u8]) -> Result<[u8; 32], SealError> {
        // The row's name has no NUL: where it ends is told apart.
        hmac(&*self.derived(b"keyherald mac")?, [bound_to.as_bytes(), b"\0", plain])
    }

    /// The name of `plain`, without the key's id.
    fn name(&self, bound_to: &str, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let nonce = self.nonce(bound_to, plain)?;
        let payload = Payload { msg: plain, aad: bound_to.as_bytes() };
        let text = self.namer()?.encrypt((&nonce).into(), payload).map_err(|_| SealError::Broken)?;
        Ok([nonce.as_slice(), &text].concat())
    }

    /// What [`SealingKey::name`] was made of.
    fn named(&self, bound_to: &str, name: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (nonce, text) = name.split_first_chunk::<24>().ok_or(SealError::Broken)?;
        let payload = Payload { msg: text, aad: bound_to.as_bytes() };
        let plain = self.namer()?.decrypt(nonce.into(), payload).map_err(|_| SealError::Broken)?;
        Ok(Zeroizing::new(plain))
    }

    fn namer(&self) -> Result<XChaCha20Poly1305, SealError> {
        Ok(XChaCha20Poly1305::new((&*self.derived(b"keyherald name")?).into()))
    }

    fn nonce(&self, bound_to: &str, plain: &[u8]) -> Result<[u8; 24], SealError> {
        let mac = hmac(&*self.derived(b"keyherald name nonce")?, [bound_to.as_bytes(), b"\0", plain])?;
        mac.first_chunk().copied().ok_or(SealError::Broken)
    }

    /// A key of its own for each use, so that no key serves two algorithms.
    fn derived(&self, purpose: &[u8]) -> Result<Zeroizing<[u8; 32]>, SealError> {
        hmac(&*self.key, [purpose, b"", b""]).map(Zeroizing::new)
    }
}

fn hmac(key: &[u8], parts: [&[u8]; 3]) -> Result<[u8; 32], SealError> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|_| SealError::Broken)?;
    for part in parts {
        mac.update(part);
    }
    Ok(mac.finalize().into_bytes().into())
}

fn split_key_id(sealed: &[u8]) -> Result<(&str, &[u8]), SealError> {
    let (length, rest) = sealed.split_first().ok_or(SealError::Broken)?;
    let (id, rest) = rest.split_at_checked(usize::from(*length)).ok_or(SealError::Broken)?;
    Ok((std::str::from_utf8(id).map_err(|_| SealError::Broken)?, rest))
}

/// The keys that the server seals with. The first one seals, all of them open.
#[derive(Clone)]
pub struct KeyRing(Vec<SealingKey>);

impl KeyRing {
    /// A ring of at least one key.
    pub fn new(keys: Vec<SealingKey>) -> Result<Self, SealError> {
        if keys.is_empty() { Err(SealError::EmptyRing) } else { Ok(Self(keys)) }
    }

    /// Seals with the first key.
    pub fn seal(&self, ctx: &mut Ctx, bound_to: &str, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        self.0.first().ok_or(SealError::EmptyRing)?.seal(ctx, bound_to, plain)
    }

    /// Opens with the key that the value names.
    pub fn open(&self, bound_to: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (id, _) = split_key_id(sealed)?;
        let key = self.0.iter().find(|key| key.id == id).ok_or_else(|| SealError::UnknownKey(id.to_owned()))?;
        key.open(bound_to, sealed)
    }

    /// The name of `plain`: `{key id}.{base64url}`, the same text each time until the first key changes. `bound_to` says
    /// whose name it is and for which use, and has no NUL.
    pub fn name(&self, bound_to: &str, plain: &[u8]) -> Result<String, SealError> {
        let key = self.0.first().ok_or(SealError::EmptyRing)?;
        Ok(format!("{}.{}", key.id, URL_SAFE_NO_PAD.encode(key.name(bound_to, plain)?)))
    }

    /// What a name stands for, also after the first key has changed.
    pub fn named(&self, bound_to: &str, name: &str) -> Result<Zeroizing<Vec<u8>>, SealError> {
        // Ids may have dots, base64url has none.
        let (id, text) = name.rsplit_once('.').ok_or(SealError::Broken)?;
        let key = self.0.iter().find(|key| key.id == id).ok_or_else(|| SealError::UnknownKey(id.to_owned()))?;
        key.named(bound_to, &URL_SAFE_NO_PAD.decode(text).map_err(|_| SealError::Broken)?)
    }

    /// What tells later whether another secret is the same as `plain`, in the row that `bound_to` names.
    pub fn mac(&self, bound_to: &str, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let key = self.0.first().ok_or(SealError::EmptyRing)?;
        let length = u8::try_from(key.id.len()).map_err(|_| SealError::Broken)?;
        Ok([[length].as_slice(), key.id.as_bytes(), &key.tag(bound_to, plain)?].concat())
    }

    /// Whether `mac` was made of `plain` for the same row. Takes the same time whatever differs.
    pub fn is_mac_of(&self, mac: &[u8], bound_to: &str, plain: &[u8]) -> Result<bool, SealError> {
        let (id, tag) = split_key_id(mac)?;
        let key = self.0.iter().find(|key| key.id == id).ok_or_else(|| SealError::UnknownKey(id.to_owned()))?;
        Ok(key.tag(bound_to, plain)?.ct_eq(tag).into())
    }
}

/// A customer's own key: everything personal that the log needs is sealed under it, so that erasing the key erases
/// the data wherever copies of the rows may lie.
pub fn customer_key(bytes: [u8; 32]) -> Option<SealingKey> {
    SealingKey::new("c", bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Micros;

    fn ring(keys: &[(&str, u8)]) -> KeyRing {
        KeyRing::new(keys.iter().map(|(id, byte)| SealingKey::new(id, [*byte; 32]).unwrap()).collect()).unwrap()
    }

    #[test]
    fn opens_only_in_its_own_row_and_unaltered() {
        let ring = ring(&[("a", 1)]);
        let sealed = ring.seal(&mut Ctx::new(Micros(0), [0; 32]), "row 1", b"secret").unwrap();
        assert_eq!(ring.open("row 1", &sealed).unwrap().as_slice(), b"secret");
        assert_eq!(ring.open("row 2", &sealed), Err(SealError::Broken));
        for place in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[place] ^= 1;
            assert!(ring.open("row 1", &altered).is_err(), "byte {place}");
        }
        assert!(!sealed.windows(6).any(|part| part == b"secret"));
    }

    #[test]
    fn a_mac_tells_the_same_from_another_also_after_rotation() {
        let old = ring(&[("2025", 1)]);
        let mac = old.mac("row 1", b"secret").unwrap();
        let rotated = ring(&[("2026", 2), ("2025", 1)]);
        assert_eq!(rotated.is_mac_of(&mac, "row 1", b"secret"), Ok(true));
        assert_eq!(rotated.is_mac_of(&mac, "row 1", b"secres"), Ok(false));
        assert_eq!(rotated.is_mac_of(&mac, "row 2", b"secret"), Ok(false));
        assert_ne!(rotated.mac("row 1", b"secret").unwrap(), mac);
        assert_eq!(ring(&[("2026", 2)]).is_mac_of(&mac, "row 1", b"secret"), Err(SealError::UnknownKey("2025".into())));
        let other = ring(&[("2025", 3)]);
        assert_eq!(other.is_mac_of(&mac, "row 1", b"secret"), Ok(false));
    }

    #[test]
    fn a_name_is_always_the_same_and_another_for_another_use() {
        let old = ring(&[("2025.1", 1)]);
        let name = old.name("tenant 1, id", b"2937").unwrap();
        assert_eq!(old.name("tenant 1, id", b"2937").unwrap(), name);
        assert_eq!(old.named("tenant 1, id", &name).unwrap().as_slice(), b"2937");
        assert!(name.starts_with("2025.1.") && name.len() == 7 + 59, "{name}");
        for (bound_to, plain) in [("tenant 1, id", "2938"), ("tenant 2, id", "2937"), ("tenant 1, mail", "2937")] {
            let other = old.name(bound_to, plain.as_bytes()).unwrap();
            assert_ne!(other.split_at(7 + 32), name.split_at(7 + 32)); // nor the nonce
            assert_eq!(old.named("tenant 1, id", &other).ok().is_some(), bound_to == "tenant 1, id");
        }
        let rotated = ring(&[("2026", 2), ("2025.1", 1)]);
        assert_eq!(rotated.named("tenant 1, id", &name).unwrap().as_slice(), b"2937");
        assert_ne!(rotated.name("tenant 1, id", b"2937").unwrap(), name);
        assert!(matches!(ring(&[("2026", 2)]).named("tenant 1, id", &name), Err(SealError::UnknownKey(_))));
        for place in 7..name.len() - 1 {
            let mut altered = name.clone().into_bytes();
            altered[place] = if altered[place] == b'A' { b'B' } else { b'A' };
            assert!(old.named("tenant 1, id", std::str::from_utf8(&altered).unwrap()).is_err(), "byte {place}");
        }
        for wrong in ["", ".", "2025.1.", "2025.1.AAAA", "2025.1", "2025.1.\u{e9}"] {
            assert!(old.named("tenant 1, id", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn rotation_keeps_old_values_readable() {
        let mut ctx = Ctx::new(Micros(0), [0; 32]);
        let old = ring(&[("2025", 1)]).seal(&mut ctx, "r", b"x").unwrap();
        let rotated = ring(&[("2026", 2), ("2025", 1)]);
        assert_eq!(rotated.open("r", &old).unwrap().as_slice(), b"x");
        let new = rotated.seal(&mut ctx, "r", b"y").unwrap();
        assert_eq!(ring(&[("2025", 1)]).open("r", &new), Err(SealError::UnknownKey("2026".into())));
    }
}
