//! What one job does, on one worker's arena: verify a password, hash one, or both.

use std::hint::black_box;

use keyherald_core::credential::PasswordHash;
use keyherald_core::secret::Password;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::Verified;
use super::argon2id::{Argon2id, Cost, HashFault, TAG_BYTES};
use super::foreign;
use super::phc::Encoded;
use super::stored::Stored;

/// A password to be compared with a stored hash. `None`: there is no such customer, and nobody may notice.
pub(super) struct Verify {
    pub(super) password: Password,
    pub(super) stored: Option<PasswordHash>,
}

/// A password to be hashed.
pub(super) struct Hash {
    pub(super) password: Password,
    pub(super) salt: [u8; 16],
}

/// A job's work. Its passwords are wiped when it is dropped, whether it was done or not.
pub(super) struct Work {
    verify: Option<Verify>,
    /// Not done if the verification before it does not match.
    hash: Option<Hash>,
    /// Runs before the work: tests block or break a worker with it.
    #[cfg(test)]
    pub(super) hook: Option<Box<dyn FnOnce() + Send>>,
}

/// What came of a job, and what it took.
#[derive(Default)]
pub(super) struct Done {
    pub(super) verified: Option<Verified>,
    pub(super) hash: Option<PasswordHash>,
    /// Whether the verification was one against nothing.
    pub(super) dummy: bool,
    /// Hashes computed.
    pub(super) hashes: u32,
}

impl Work {
    /// A verification, a hash, or the one and then the other.
    pub(super) fn new(verify: Option<Verify>, hash: Option<Hash>) -> Self {
        Self {
            verify,
            hash,
            #[cfg(test)]
            hook: None,
        }
    }

    /// Two jobs of one: the verification, and the hash whatever comes of it.
    pub(super) fn split(self) -> (Self, Self) {
        (Self::new(self.verify, None), Self::new(None, self.hash))
    }

    /// Hashes that it costs at most.
    pub(super) fn hashes(&self) -> u32 {
        u32::from(self.verify.is_some()) + u32::from(self.hash.is_some())
    }

    /// Does it. Takes the work over, so that its passwords are gone when this returns or unwinds.
    pub(super) fn run(self, argon2id: &mut Argon2id, cost: Cost) -> Result<Done, HashFault> {
        #[cfg(test)]
        if let Some(hook) = self.hook {
            hook();
        }
        let mut done = Done::default();
        if let Some(verify) = self.verify {
            let (verified, dummy, hashes) = verify.run(argon2id, cost)?;
            done.hashes += hashes;
            done.dummy = dummy;
            done.verified = Some(verified);
            // The answer to a wrong current password comes one hash earlier than that to a right one. Nothing is told
            // by that which the answer itself does not tell, and an unknown customer takes the same way.
            if !verified.matches {
                return Ok(done);
            }
        }
        if let Some(hash) = self.hash {
            done.hash = Some(hash.run(argon2id, cost)?);
            done.hashes += 1;
        }
        Ok(done)
    }
}

/// Salt and expected tag of the verification against nothing. Whether it matches is not even asked.
const DUMMY_SALT: [u8; 16] = *b"no such customer";
const DUMMY_TAG: [u8; TAG_BYTES] = [0x5a; TAG_BYTES];

impl Verify {
    /// Compares the password as it was typed and then, if that is another text, in normal form C, in which passwords are
    /// hashed where no contract says otherwise. What was typed alone decides about the second hash, so that it tells
    /// nothing about the customer.
    fn run(mut self, argon2id: &mut Argon2id, cost: Cost) -> Result<(Verified, bool, u32), HashFault> {
        let as_typed = self.compare(argon2id, cost)?;
        if self.password.is_nfc() {
            return Ok((as_typed.0, as_typed.1, 1));
        }
        self.password = self.password.nfc();
        let (normal, dummy) = self.compare(argon2id, cost)?;
        let (verified, _) = if as_typed.0.matches { as_typed } else { (normal, dummy) };
        Ok((verified, dummy, 2))
    }

    fn compare(&self, argon2id: &mut Argon2id, cost: Cost) -> Result<(Verified, bool), HashFault> {
        let stored = match self.stored.as_ref().and_then(|stored| readable(stored, cost)) {
            Some(Stored::Foreign(hash)) => {
                let matches = self.password.hash_with(|bytes| foreign::verify(hash.as_ref(), bytes))?;
                return Ok((Verified { matches, upgrade: matches }, false));
            }
            Some(Stored::Argon2id(encoded)) => Some(encoded),
            None => None,
        };
        let dummy = stored.is_none();
        let expected = stored.unwrap_or_else(|| Encoded { cost, salt: DUMMY_SALT.to_vec(), tag: DUMMY_TAG.to_vec() });
        let mut tag = Zeroizing::new(vec![0; expected.tag.len()]);
        self.password.hash_with(|bytes| argon2id.tag(expected.cost, bytes, &expected.salt, &mut tag))?;
        let same: bool = black_box(tag.ct_eq(&expected.tag).into());
        let matches = same && !dummy;
        Ok((Verified { matches, upgrade: matches && !expected.is_current(cost) }, dummy))
    }
}

/// The stored hash, if it is of a scheme that is known and not dearer than this server is willing to pay.
fn readable(stored: &PasswordHash, cost: Cost) -> Option<Stored> {
    Stored::read(stored.as_phc(), cost.ceiling())
        .inspect_err(|reason| tracing::warn!(%reason, "a stored hash cannot be verified: taken as no match"))
        .ok()
}

impl Hash {
    fn run(self, argon2id: &mut Argon2id, cost: Cost) -> Result<PasswordHash, HashFault> {
        let mut tag = [0; TAG_BYTES];
        self.password.hash_with(|bytes| argon2id.tag(cost, bytes, &self.salt, &mut tag))?;
        let encoded = Encoded { cost, salt: self.salt.to_vec(), tag: tag.to_vec() };
        PasswordHash::parse(&encoded.write()).map_err(|_| HashFault::UNSTORABLE)
    }
}
