//! SHA-crypt of crypt(3): `$5$<salt>$<hash>` (SHA-256) and `$6$<salt>$<hash>` (SHA-512), with `rounds=n$` before the
//! salt if they are not 5,000.
//!
//! Every round hashes the password again, so that it is the one scheme here whose effort grows with the password.

use sha_crypt::Params;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{Effort, Scheme, UnusableHash, text};
use crate::hash::argon2id::HashFault;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Digest {
    Sha256,
    Sha512,
}

struct ShaCrypt {
    text: String,
    digest: Digest,
    rounds: u32,
    salt: String,
    /// In the order of bytes in which crypt(3) writes them.
    hash: Vec<u8>,
}

pub(super) fn read(text: &str) -> Result<Box<dyn Scheme>, UnusableHash> {
    const BROKEN: UnusableHash = UnusableHash::Unreadable {
        scheme: "SHA-crypt",
        reason: "$5$ or $6$, rounds=1000 to 999999999 and $ if they are not 5000, at most 16 characters of salt, $, \
                 and 43 or 86 characters of hash are the form",
    };
    match taken_apart(text) {
        Some(hash) => Ok(Box::new(hash)),
        None => Err(BROKEN),
    }
}

fn taken_apart(text: &str) -> Option<ShaCrypt> {
    let (digest, rest) = match text.strip_prefix("$5$") {
        Some(rest) => (Digest::Sha256, rest),
        None => (Digest::Sha512, text.strip_prefix("$6$")?),
    };
    let (rounds, rest) = match rest.strip_prefix("rounds=") {
        None => (Params::RECOMMENDED_ROUNDS, rest),
        Some(rounds) => {
            let (rounds, rest) = rounds.split_once('$')?;
            (text::number(rounds)?, rest)
        }
    };
    Params::new(rounds).ok()?;
    let [salt, hash] = text::fields(rest, '$')?;
    let hash = text::crypt_bytes(hash)?;
    let length = if digest == Digest::Sha256 { 32 } else { 64 };
    let fits = salt.len() <= 16 && hash.len() == length;
    fits.then(|| ShaCrypt { text: text.to_owned(), digest, rounds, salt: salt.to_owned(), hash })
}

impl Scheme for ShaCrypt {
    fn write(&self) -> String {
        self.text.clone()
    }

    fn effort(&self, password_bytes: usize) -> Effort {
        // A round hashes the digest, the salt and the password once or twice, and has a cost of its own.
        let nanos = 300 + 5 * u64::try_from(password_bytes).unwrap_or(u64::MAX).min(1 << 20);
        Effort::of_time(u64::from(self.rounds) * nanos / 1000)
    }

    fn matches(&self, password: &[u8]) -> Result<bool, HashFault> {
        let params = Params::new(self.rounds).map_err(|_| HashFault::REFUSED)?;
        let hash = match self.digest {
            Digest::Sha256 => {
                let hash = Zeroizing::new(sha_crypt::sha256_crypt(password, self.salt.as_bytes(), params));
                shuffled_sha256(hash.as_slice())
            }
            Digest::Sha512 => {
                let hash = Zeroizing::new(sha_crypt::sha512_crypt(password, self.salt.as_bytes(), params));
                shuffled_sha512(hash.as_slice())
            }
        };
        Ok(hash.ct_eq(&self.hash).into())
    }
}

/// crypt(3) does not write the bytes in their order: it takes one from each third in turn, beginning with another
/// third each time.
fn shuffled_sha256(hash: &[u8]) -> Vec<u8> {
    let order = (0..10).flat_map(|place| {
        let mut group = [place + 20, place + 10, place];
        group.rotate_left(place % 3);
        group
    });
    order.chain([30, 31]).filter_map(|place| hash.get(place).copied()).collect()
}

fn shuffled_sha512(hash: &[u8]) -> Vec<u8> {
    let order = (0..21).flat_map(|place| {
        let mut group = [place + 42, place + 21, place];
        group.rotate_right(place % 3);
        group
    });
    order.chain([63]).filter_map(|place| hash.get(place).copied()).collect()
}
