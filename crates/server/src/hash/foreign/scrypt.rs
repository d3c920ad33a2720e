//! scrypt in three spellings:
//! * PHC, `$scrypt$ln=16,r=8,p=1$<salt>$<tag>`;
//! * `$s0$e0801$<salt>$<tag>`, with N, r and p in one hexadecimal number;
//! * `$7$C6..../....<salt>$<tag>` of crypt(3) and libsodium, where the salt is the text itself.
//!
//! The crate takes its memory afresh for each hash, and leaves it as it is: such hashes are rare, and each is computed
//! only until its owner has signed in once.

use ::scrypt::Params;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{Effort, Scheme, UnusableHash, is_salt, is_tag, text};
use crate::hash::argon2id::HashFault;

/// N = 2^`log_n`, r and p, within what [`ScryptCost::new`] allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ScryptCost {
    pub(super) log_n: u32,
    pub(super) r: u32,
    pub(super) p: u32,
}

impl ScryptCost {
    /// `None`: no cost that scrypt is defined for, or one far beyond anything that is used.
    pub(super) fn new(log_n: u32, r: u32, p: u32) -> Option<Self> {
        let fits = (1..=31).contains(&log_n) && (1..=1024).contains(&r) && (1..=1024).contains(&p);
        fits.then_some(Self { log_n, r, p })
    }

    pub(super) fn effort(self) -> Effort {
        let (n, r, p) = (1_u64 << self.log_n, u64::from(self.r), u64::from(self.p));
        // N = 2^16, r = 8 is 64 MiB to the byte: the few blocks that are mixed besides are left out.
        let mixed = if r * p > 8192 { r * p } else { 0 };
        Effort { memory_bytes: 128 * (n * r + mixed), micros: n * r * p * 36 / 100 }
    }

    /// Fills `key`.
    pub(super) fn derive(self, password: &[u8], salt: &[u8], key: &mut [u8]) -> Result<(), HashFault> {
        let log_n = u8::try_from(self.log_n).map_err(|_| HashFault::REFUSED)?;
        let params = Params::new(log_n, self.r, self.p).map_err(|_| HashFault::REFUSED)?;
        ::scrypt::scrypt(password, salt, &params, key).map_err(|_| HashFault::REFUSED)
    }
}

struct Scrypt {
    cost: ScryptCost,
    salt: Vec<u8>,
    tag: Vec<u8>,
}

pub(super) fn read(text: &str) -> Result<Box<dyn Scheme>, UnusableHash> {
    const BROKEN: UnusableHash = UnusableHash::Unreadable {
        scheme: "scrypt",
        reason: "$scrypt$ln=16,r=8,p=1$<salt>$<tag of 16 bytes or more>, $s0$e0801$.. and $7$.. are the forms",
    };
    let taken_apart = || {
        let in_phc = text.strip_prefix("$scrypt$").and_then(phc);
        in_phc.or_else(|| text.strip_prefix("$s0$").and_then(packed)).or_else(|| crypt(text.strip_prefix("$7$")?))
    };
    match taken_apart().filter(|hash| is_salt(&hash.salt) && is_tag(&hash.tag)) {
        Some(hash) => Ok(Box::new(hash)),
        None => Err(BROKEN),
    }
}

fn phc(text: &str) -> Option<Scrypt> {
    let [cost, salt, tag] = text::fields(text, '$')?;
    let [log_n, r, p] = text::numbers(cost, ["ln", "r", "p"])?;
    Some(Scrypt { cost: ScryptCost::new(log_n?, r?, p?)?, salt: text::bytes(salt)?, tag: text::bytes(tag)? })
}

fn packed(text: &str) -> Option<Scrypt> {
    let [cost, salt, tag] = text::fields(text, '$')?;
    let cost = u32::from_str_radix(cost, 16).ok()?;
    let cost = ScryptCost::new(cost >> 16, (cost >> 8) & 0xff, cost & 0xff)?;
    Some(Scrypt { cost, salt: text::bytes(salt)?, tag: text::bytes(tag)? })
}

fn crypt(text: &str) -> Option<Scrypt> {
    let [head, tag] = text::fields(text, '$')?;
    let (log_n, r, p, salt) = (head.get(..1)?, head.get(1..6)?, head.get(6..11)?, head.get(11..)?);
    let cost = ScryptCost::new(text::crypt_number(log_n)?, text::crypt_number(r)?, text::crypt_number(p)?)?;
    Some(Scrypt { cost, salt: salt.as_bytes().to_vec(), tag: text::crypt_bytes(tag)? })
}

impl Scheme for Scrypt {
    fn write(&self) -> String {
        let ScryptCost { log_n, r, p } = self.cost;
        format!("$scrypt$ln={log_n},r={r},p={p}${}${}", text::base64(&self.salt), text::base64(&self.tag))
    }

    fn effort(&self, _: usize) -> Effort {
        self.cost.effort()
    }

    fn matches(&self, password: &[u8]) -> Result<bool, HashFault> {
        let mut tag = Zeroizing::new(vec![0; self.tag.len()]);
        self.cost.derive(password, &self.salt, &mut tag)?;
        Ok(tag.ct_eq(&self.tag).into())
    }
}
