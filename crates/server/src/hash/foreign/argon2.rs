//! Argon2i, Argon2d, and Argon2 as it was before version 1.3: `$argon2i$v=19$m=65536,t=2,p=1$<salt>$<tag>`. Without
//! `v=` it is version 1.0.
//!
//! Computed by RustCrypto's crate on memory of its own: the fast crate proves itself at the start for Argon2id only.
//! Argon2id 1.3, of whatever cost, is what we make ourselves and does not come here.

use ::argon2::{Algorithm, Argon2, Block, Params, Version};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use super::{Effort, Scheme, UnusableHash, text};
use crate::hash::argon2id::{Cost, HashFault};
use crate::hash::phc::read_cost;

struct Argon2Hash {
    algorithm: Algorithm,
    version: Version,
    cost: Cost,
    salt: Vec<u8>,
    tag: Vec<u8>,
}

pub(super) fn read(text: &str) -> Result<Box<dyn Scheme>, UnusableHash> {
    const BROKEN: UnusableHash = UnusableHash::Unreadable {
        scheme: "Argon2",
        reason: "$argon2i$v=19$m=65536,t=2,p=1$<salt of 8 to 64 bytes>$<tag of 16 to 64> is the form",
    };
    match taken_apart(text) {
        Some(hash) => Ok(Box::new(hash)),
        None => Err(BROKEN),
    }
}

fn taken_apart(text: &str) -> Option<Argon2Hash> {
    let (algorithm, rest) = text.strip_prefix('$')?.split_once('$')?;
    let algorithm = Algorithm::new(algorithm).ok()?;
    let (version, rest) = match rest.strip_prefix("v=") {
        None => (Version::V0x10, rest),
        Some(versioned) => {
            let (version, rest) = versioned.split_once('$')?;
            (Version::try_from(text::number(version)?).ok()?, rest)
        }
    };
    let [cost, salt, tag] = text::fields(rest, '$')?;
    let (cost, salt, tag) = (read_cost(cost)?, text::bytes(salt)?, text::bytes(tag)?);
    let fits = (8..=64).contains(&salt.len()) && (16..=64).contains(&tag.len());
    fits.then_some(Argon2Hash { algorithm, version, cost, salt, tag })
}

impl Scheme for Argon2Hash {
    fn write(&self) -> String {
        let version = match self.version {
            Version::V0x10 => 16,
            Version::V0x13 => 19,
        };
        let (Cost { memory_kib, passes, lanes }, name) = (self.cost, self.algorithm.as_str());
        let (salt, tag) = (text::base64(&self.salt), text::base64(&self.tag));
        format!("${name}$v={version}$m={memory_kib},t={passes},p={lanes}${salt}${tag}")
    }

    fn effort(&self, _: usize) -> Effort {
        let memory_kib = u64::from(self.cost.memory_kib);
        // The lanes are computed one after the other.
        let micros = memory_kib.saturating_mul(u64::from(self.cost.passes));
        Effort { memory_bytes: memory_kib * 1024, micros }
    }

    fn matches(&self, password: &[u8]) -> Result<bool, HashFault> {
        let Cost { memory_kib, passes, lanes } = self.cost;
        let params = Params::new(memory_kib, passes, lanes, Some(self.tag.len())).map_err(|_| HashFault::REFUSED)?;
        let mut blocks = Vec::new();
        blocks.try_reserve_exact(params.block_count()).map_err(|_| HashFault::NO_MEMORY)?;
        blocks.resize(params.block_count(), Block::new());
        let mut tag = Zeroizing::new(vec![0; self.tag.len()]);
        let argon2 = Argon2::new(self.algorithm, self.version, params);
        let outcome = argon2.hash_password_into_with_memory(password, &self.salt, &mut tag, &mut blocks[..]);
        blocks.iter_mut().for_each(Zeroize::zeroize);
        outcome.map_err(|_| HashFault::REFUSED)?;
        Ok(tag.ct_eq(&self.tag).into())
    }
}
