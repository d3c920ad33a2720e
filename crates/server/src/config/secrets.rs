//! `[secrets]`: the keys that personal data is sealed with at rest.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use keyherald_core::seal::{KeyRing, SealError, SealingKey};
use zeroize::Zeroizing;

use super::Purpose;
use super::keys::{Keys, Section};
use super::secret::{KeyNames, Secret};

/// `[secrets]`
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    /// The first one seals, all of them open.
    pub sealing_keys: Vec<NamedKey>,
}

/// One of `secrets.sealing_keys`.
#[derive(Clone, Debug)]
pub struct NamedKey {
    /// Stored with every sealed value; 1 to 64 characters.
    pub id: String,
    /// 32 bytes as base64 or hex.
    pub key: Secret,
}

static KEY: KeyNames = KeyNames { inline: "key", file: "key_file", variable: "key_env", masked: None };

const HOW_TO_MAKE_ONE: &str = "make one with `openssl rand -base64 32` and name its file: \
    sealing_keys = [{ id = \"2026-01\", key_file = \"/run/secrets/keyherald-sealing\" }]";

impl Secrets {
    /// The key ring for sealing.
    pub fn key_ring(&self) -> Result<KeyRing, SealError> {
        let key = |named: &NamedKey| SealingKey::new(&named.id, *decode(named.key.reveal())?);
        KeyRing::new(self.sealing_keys.iter().filter_map(key).collect())
    }
}

impl Section for Secrets {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.sections("sealing_keys", &mut self.sealing_keys);
        if keys.purpose() == Some(Purpose::Serve) && self.sealing_keys.is_empty() {
            keys.refuse("sealing_keys", "at least one key is needed to serve", Some(HOW_TO_MAKE_ONE.into()));
        }
        for (number, named) in self.sealing_keys.iter().enumerate() {
            if self.sealing_keys.iter().take(number).any(|earlier| earlier.id == named.id && !named.id.is_empty()) {
                keys.refuse("sealing_keys", format!("the id {:?} is given twice", named.id), None);
            }
        }
    }
}

impl Default for NamedKey {
    fn default() -> Self {
        Self { id: String::new(), key: Secret::unreadable() }
    }
}

impl Section for NamedKey {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.value("id", &mut self.id);
        keys.require("id", Some("any name, such as the month in which the key was made".into()));
        if self.id.len() > 64 {
            keys.refuse("id", "must have at most 64 bytes", None);
        }
        keys.secret(&KEY, &mut self.key);
        keys.require_one(&KEY, HOW_TO_MAKE_ONE);
        if self.key.is_readable() {
            match decode(self.key.reveal()) {
                None => keys.refuse_secret(&KEY, "must hold 32 bytes as base64 or hex", HOW_TO_MAKE_ONE),
                Some(key) if key.iter().all(|byte| key.first() == Some(byte)) => {
                    keys.refuse_secret(&KEY, "must be random, not one byte repeated", HOW_TO_MAKE_ONE);
                }
                Some(_) => {}
            }
        }
    }
}

/// 32 bytes from 64 hex digits, or from base64 in either alphabet, with or without padding.
fn decode(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let bytes = if text.len() == 64 {
        let pairs = text.as_bytes().chunks_exact(2);
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        pairs.map(byte).collect::<Option<Vec<u8>>>()?
    } else {
        let text = text.trim_end_matches('=');
        STANDARD_NO_PAD.decode(text).or_else(|_| URL_SAFE_NO_PAD.decode(text)).ok()?
    };
    let bytes = Zeroizing::new(bytes);
    bytes.as_slice().try_into().ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_base64_or_hex() {
        let bytes: [u8; 32] = std::array::from_fn(|place| u8::try_from(place * 7 + 3).unwrap_or(255));
        let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let hex = hex.concat();
        let padded = format!("{}=", STANDARD_NO_PAD.encode(bytes));
        for text in
            [hex.clone(), hex.to_uppercase(), padded, STANDARD_NO_PAD.encode(bytes), URL_SAFE_NO_PAD.encode(bytes)]
        {
            assert_eq!(decode(&text).as_deref(), Some(&bytes), "{text}");
        }
        for wrong in ["", "short", &hex[1..], &"zz".repeat(32), &STANDARD_NO_PAD.encode([0; 31]), &"+1".repeat(32)] {
            assert!(decode(wrong).is_none() || wrong.starts_with("+1"), "{wrong}");
        }
    }
}
