//! PBKDF2 with HMAC-SHA-1, SHA-256 or SHA-512, in three spellings:
//! * PHC, `$pbkdf2-sha256$i=600000,l=32$<salt>$<tag>`;
//! * passlib, `$pbkdf2-sha256$29000$<salt>$<tag>`, and `$pbkdf2$` for SHA-1;
//! * Django, `pbkdf2_sha256$600000$<salt>$<tag>`, where the salt is the text itself.

use ::pbkdf2::pbkdf2_hmac;
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{Effort, Scheme, UnusableHash, is_salt, is_tag, text};
use crate::hash::argon2id::HashFault;

/// The hash function below HMAC.
struct Prf {
    name: &'static str,
    digest_bytes: usize,
    /// Time of one iteration of one block in nanoseconds, on a core that has no instructions for it.
    nanos: u64,
    derive: fn(password: &[u8], salt: &[u8], iterations: u32, key: &mut [u8]),
}

static PRFS: [Prf; 3] = [
    Prf { name: "sha1", digest_bytes: 20, nanos: 400, derive: pbkdf2_hmac::<Sha1> },
    Prf { name: "sha256", digest_bytes: 32, nanos: 500, derive: pbkdf2_hmac::<Sha256> },
    Prf { name: "sha512", digest_bytes: 64, nanos: 600, derive: pbkdf2_hmac::<Sha512> },
];

struct Pbkdf2 {
    prf: &'static Prf,
    iterations: u32,
    salt: Vec<u8>,
    tag: Vec<u8>,
}

pub(super) fn read(text: &str) -> Result<Box<dyn Scheme>, UnusableHash> {
    const BROKEN: UnusableHash = UnusableHash::Unreadable {
        scheme: "PBKDF2",
        reason: "$pbkdf2-sha256$i=600000,l=32$<salt>$<tag of 16 bytes or more> is the form; \
                 passlib's and Django's are read as well, with sha1, sha256 or sha512",
    };
    match taken_apart(text).filter(|hash| is_salt(&hash.salt) && is_tag(&hash.tag)) {
        Some(hash) => Ok(Box::new(hash)),
        None => Err(BROKEN),
    }
}

fn taken_apart(text: &str) -> Option<Pbkdf2> {
    let of_django = text.strip_prefix("pbkdf2_");
    let (name, rest) = match of_django.or_else(|| text.strip_prefix("$pbkdf2-")) {
        Some(named) => named.split_once('$')?,
        None => ("sha1", text.strip_prefix("$pbkdf2$")?),
    };
    let prf = PRFS.iter().find(|prf| prf.name == name)?;
    let [cost, salt, tag] = text::fields(rest, '$')?;
    let tag = text::bytes(tag)?;
    let (iterations, length) = if let Some(iterations) = text::number(cost) {
        (Some(iterations), None)
    } else {
        let [iterations, length] = text::numbers(cost, ["i", "l"])?;
        (iterations, length)
    };
    let as_said = length.is_none_or(|length| usize::try_from(length).is_ok_and(|length| length == tag.len()));
    let iterations = iterations.filter(|iterations| *iterations >= 1 && as_said)?;
    let salt = if of_django.is_some() { salt.as_bytes().to_vec() } else { text::bytes(salt)? };
    Some(Pbkdf2 { prf, iterations, salt, tag })
}

impl Scheme for Pbkdf2 {
    fn write(&self) -> String {
        let (salt, tag) = (text::base64(&self.salt), text::base64(&self.tag));
        format!("$pbkdf2-{}$i={},l={}${salt}${tag}", self.prf.name, self.iterations, self.tag.len())
    }

    fn effort(&self, _: usize) -> Effort {
        let blocks = u64::try_from(self.tag.len().div_ceil(self.prf.digest_bytes)).unwrap_or(u64::MAX);
        let iterations = u64::from(self.iterations).saturating_mul(blocks);
        Effort::of_time(iterations.saturating_mul(self.prf.nanos) / 1000)
    }

    fn matches(&self, password: &[u8]) -> Result<bool, HashFault> {
        let mut tag = Zeroizing::new(vec![0; self.tag.len()]);
        (self.prf.derive)(password, &self.salt, self.iterations, &mut tag);
        Ok(tag.ct_eq(&self.tag).into())
    }
}
