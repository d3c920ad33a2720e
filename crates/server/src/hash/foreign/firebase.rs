//! Firebase's own use of scrypt: what scrypt gives is not compared, but encrypts the project's signer key.
//!
//! `$firescrypt$ln=<memory cost>,r=<rounds>,p=1$<salt>$<hash>$<salt separator>$<signer key>`, all in Base64: the form
//! that Ory Kratos has for it. The project's parameters (Firebase console, Authentication, "Password hash parameters")
//! are in every string, so that each can be verified by itself.

use aes::Aes256;
use aes::cipher::{Block, BlockCipherEncrypt, KeyInit};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::scrypt::ScryptCost;
use super::{Effort, Scheme, UnusableHash, is_salt, is_tag, text};
use crate::hash::argon2id::HashFault;

struct Firebase {
    cost: ScryptCost,
    salt: Vec<u8>,
    hash: Vec<u8>,
    separator: Vec<u8>,
    signer_key: Vec<u8>,
}

pub(super) fn read(text: &str) -> Result<Box<dyn Scheme>, UnusableHash> {
    const BROKEN: UnusableHash = UnusableHash::Unreadable {
        scheme: "Firebase scrypt",
        reason: "$firescrypt$ln=14,r=8,p=1$<salt>$<hash>$<salt separator>$<signer key> is the form",
    };
    match taken_apart(text) {
        Some(hash) => Ok(Box::new(hash)),
        None => Err(BROKEN),
    }
}

fn taken_apart(text: &str) -> Option<Firebase> {
    let [cost, salt, hash, separator, signer_key] = text::fields(text.strip_prefix("$firescrypt$")?, '$')?;
    let [log_n, r, p] = text::numbers(cost, ["ln", "r", "p"])?;
    let hash = Firebase {
        cost: ScryptCost::new(log_n?, r?, p.unwrap_or(1))?,
        salt: text::bytes(salt)?,
        hash: text::bytes(hash)?,
        separator: text::bytes(separator)?,
        signer_key: text::bytes(signer_key)?,
    };
    let fits = is_salt(&hash.salt) && is_tag(&hash.hash) && hash.hash.len() == hash.signer_key.len();
    fits.then_some(hash)
}

impl Scheme for Firebase {
    fn write(&self) -> String {
        let ScryptCost { log_n, r, p } = self.cost;
        let parts = [&self.salt, &self.hash, &self.separator, &self.signer_key].map(|part| text::base64(part));
        format!("$firescrypt$ln={log_n},r={r},p={p}${}", parts.join("$"))
    }

    fn effort(&self, _: usize) -> Effort {
        self.cost.effort()
    }

    fn matches(&self, password: &[u8]) -> Result<bool, HashFault> {
        let mut key = Zeroizing::new([0; 32]);
        self.cost.derive(password, &[self.salt.as_slice(), &self.separator].concat(), key.as_mut())?;
        let cipher = Aes256::new(&(*key).into());
        // AES-256-CTR from a counter of zero.
        let mut encrypted = Vec::with_capacity(self.signer_key.len());
        for (counter, plain) in (0_u128..).zip(self.signer_key.chunks(16)) {
            let mut stream = Block::<Aes256>::from(counter.to_be_bytes());
            cipher.encrypt_block(&mut stream);
            encrypted.extend(plain.iter().zip(stream).map(|(plain, stream)| plain ^ stream));
        }
        Ok(encrypted.ct_eq(&self.hash).into())
    }
}
