//! Password hashes that other systems made: verified until their owner signs in once, and then replaced.
//!
//! Each scheme has a file and a line in [`READERS`]. What is read from any of its spellings is written in one form,
//! and that form is what is stored:
//!
//! | scheme | spellings | stored as |
//! |---|---|---|
//! | Argon2i, Argon2d, Argon2 1.0 | `$argon2i$v=19$m=..,t=..,p=..$salt$tag`, without `v=`: version 1.0 | PHC |
//! | bcrypt | `$2a$`, `$2b$`, `$2y$` | as it is |
//! | scrypt | `$scrypt$ln=..,r=..,p=..$salt$tag`, `$s0$params$salt$tag`, `$7$..` | PHC |
//! | Firebase's scrypt | `$firescrypt$ln=..,r=..,p=1$salt$hash$separator$signer key` | as it is |
//! | PBKDF2 | `$pbkdf2-sha256$i=..,l=..$salt$tag`, passlib's `$pbkdf2-sha256$29000$..`, Django's `pbkdf2_sha256$..` | PHC |
//! | SHA-crypt | `$5$`, `$6$`, with or without `rounds=` | as it is |
//! | salted digests | `$ssha256$salt=suffix$salt$digest`, `{SSHA}`, `{SSHA256}`, `{SSHA512}`, `{SMD5}` | the first |
//!
//! A stored string is somebody else's choice of cost. So each scheme says what a hash would take before it is
//! computed, and what would take more than [`Effort::MEMORY_BYTES_MAX`] or about [`Effort::MICROS_MAX`] is refused:
//! at import with the reason, at a sign-in as no match.
//!
//! What is not here: schemes without a salt, and MD5-crypt and DES-crypt, which are as good as clear text by now.

mod argon2;
mod bcrypt;
mod firebase;
mod pbkdf2;
mod salted;
mod scrypt;
mod sha_crypt;
#[cfg(test)]
mod tests;
mod text;

use super::argon2id::HashFault;

/// A hash of another system, taken apart.
pub(super) trait Scheme: Send {
    /// The one form that is stored: `$`, then printable ASCII. Reading it gives the same hash.
    fn write(&self) -> String;

    /// What it takes to compute it for a password of this length.
    fn effort(&self, password_bytes: usize) -> Effort;

    /// Whether it is the hash of the password.
    fn matches(&self, password: &[u8]) -> Result<bool, HashFault>;
}

/// What one hash takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Effort {
    /// Memory of its own, besides the worker's arena.
    pub(super) memory_bytes: u64,
    /// Time on one core of a small server of 2023, in microseconds.
    pub(super) micros: u64,
}

impl Effort {
    /// scrypt with N = 2^16 and r = 8 has just room.
    pub(super) const MEMORY_BYTES_MAX: u64 = 64 * 1024 * 1024;
    /// bcrypt of cost 14 has just room.
    pub(super) const MICROS_MAX: u64 = 1_000_000;

    fn of_time(micros: u64) -> Self {
        Self { memory_bytes: 0, micros }
    }

    fn is_affordable(self) -> bool {
        self.memory_bytes <= Self::MEMORY_BYTES_MAX && self.micros <= Self::MICROS_MAX
    }
}

/// Why a stored hash is not verified here. Nothing of the hash but its cost is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnusableHash {
    /// No scheme that is read here begins like this.
    #[error("its scheme is none of those that are verified here")]
    UnknownScheme,
    /// It begins like a hash of the scheme and does not go on like one.
    #[error("not a {scheme} hash: {reason}")]
    Unreadable {
        /// Name of the scheme.
        scheme: &'static str,
        /// What is wrong.
        reason: &'static str,
    },
    /// Computing it would take more memory than a worker gives.
    #[error("this {scheme} hash takes {mib} MiB of memory to verify, the limit is {limit_mib} MiB")]
    TooLarge {
        /// Name of the scheme.
        scheme: &'static str,
        /// Memory that it takes.
        mib: u64,
        /// Memory that is given.
        limit_mib: u64,
    },
    /// Computing it would hold a worker for too long.
    #[error("this {scheme} hash takes about {millis} ms to verify, the limit is about {limit_millis} ms")]
    TooSlow {
        /// Name of the scheme.
        scheme: &'static str,
        /// Estimated time.
        millis: u64,
        /// Time that is given.
        limit_millis: u64,
    },
    /// It is longer than what is stored, or has characters that are not.
    #[error("it is longer than a stored hash may be, or not printable ASCII")]
    Unstorable,
}

type Reader = fn(&str) -> Result<Box<dyn Scheme>, UnusableHash>;

/// How the texts of each scheme begin, its name, and who reads them.
static READERS: &[(&[&str], &str, Reader)] = &[
    (&["$argon2i$", "$argon2d$", "$argon2id$"], "Argon2", argon2::read),
    (&["$2a$", "$2b$", "$2y$"], "bcrypt", bcrypt::read),
    (&["$scrypt$", "$s0$", "$7$"], "scrypt", scrypt::read),
    (&["$firescrypt$"], "Firebase scrypt", firebase::read),
    (&["$pbkdf2$", "$pbkdf2-", "pbkdf2_"], "PBKDF2", pbkdf2::read),
    (&["$5$", "$6$"], "SHA-crypt", sha_crypt::read),
    (&["$ssha", "$smd5$", "{SSHA", "{SMD5}"], "salted digest", salted::read),
];

/// Reads a hash that this machine can pay for.
pub(super) fn read(text: &str) -> Result<Box<dyn Scheme>, UnusableHash> {
    let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| text.starts_with(prefix));
    let (_, scheme, reader) =
        READERS.iter().find(|(prefixes, ..)| begins(prefixes)).ok_or(UnusableHash::UnknownScheme)?;
    let hash = reader(text)?;
    let Effort { memory_bytes, micros } = hash.effort(USUAL_PASSWORD_BYTES);
    if memory_bytes > Effort::MEMORY_BYTES_MAX {
        let (mib, limit_mib) = (memory_bytes.div_ceil(1 << 20), Effort::MEMORY_BYTES_MAX >> 20);
        return Err(UnusableHash::TooLarge { scheme, mib, limit_mib });
    }
    if micros > Effort::MICROS_MAX {
        let (millis, limit_millis) = (micros.div_ceil(1000), Effort::MICROS_MAX / 1000);
        return Err(UnusableHash::TooSlow { scheme, millis, limit_millis });
    }
    Ok(hash)
}

/// Whether it is the hash of this password. A password so long that it makes the hash too dear matches nothing: it is
/// somebody who wants to keep a worker busy.
pub(super) fn verify(hash: &dyn Scheme, password: &[u8]) -> Result<bool, HashFault> {
    if hash.effort(password.len()).is_affordable() { hash.matches(password) } else { Ok(false) }
}

/// What the effort is judged by before a password is there.
const USUAL_PASSWORD_BYTES: usize = 64;

/// Lengths in bytes that are believed of a salt.
fn is_salt(salt: &[u8]) -> bool {
    (1..=128).contains(&salt.len())
}

/// Lengths in bytes of what is compared. A short one would match one wrong password in a few; a long one would not be
/// stored.
fn is_tag(tag: &[u8]) -> bool {
    (16..=128).contains(&tag.len())
}
