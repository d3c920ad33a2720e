//! A stored hash of whatever scheme, taken apart: one of ours, or one that another system made.

use super::argon2id::Cost;
use super::foreign::{self, Scheme, UnusableHash};
use super::phc::Encoded;

/// A stored hash that can be verified.
pub(super) enum Stored {
    /// Argon2id 1.3, of any cost up to the ceiling: computed in the worker's arena.
    Argon2id(Encoded),
    /// Anything else.
    Foreign(Box<dyn Scheme>),
}

impl Stored {
    /// Reads a hash in any spelling, if it costs no more than `ceiling` or, of another scheme, no more than is allowed
    /// there.
    pub(super) fn read(text: &str, ceiling: Cost) -> Result<Self, UnusableHash> {
        const SCHEME: &str = "Argon2id";
        let text = unwrapped(text);
        if !text.starts_with("$argon2id$v=19$") {
            return foreign::read(text).map(Self::Foreign);
        }
        let encoded = Encoded::read(text).ok_or(UnusableHash::Unreadable {
            scheme: SCHEME,
            reason: "$argon2id$v=19$m=19456,t=2,p=1$<salt of 8 to 64 bytes>$<tag of 16 to 64>, \
                     without padding, is the form",
        })?;
        if encoded.cost.memory_kib > ceiling.memory_kib {
            let mib = |kib: u32| u64::from(kib.div_ceil(1024));
            let (mib, limit_mib) = (mib(encoded.cost.memory_kib), mib(ceiling.memory_kib));
            return Err(UnusableHash::TooLarge { scheme: SCHEME, mib, limit_mib });
        }
        if !encoded.cost.is_within(ceiling) {
            let reason = "it has more passes or lanes than are computed here";
            return Err(UnusableHash::Unreadable { scheme: SCHEME, reason });
        }
        Ok(Self::Argon2id(encoded))
    }

    /// The one form that is stored.
    pub(super) fn write(&self) -> String {
        match self {
            Self::Argon2id(encoded) => encoded.write(),
            Self::Foreign(hash) => hash.write(),
        }
    }
}

/// Without what Django (`bcrypt$`, `argon2`) and LDAP (`{CRYPT}`) put before a string that speaks for itself.
fn unwrapped(text: &str) -> &str {
    let wrapped = ["bcrypt$", "argon2", "{CRYPT}"].iter().find_map(|wrapping| text.strip_prefix(wrapping));
    wrapped.filter(|rest| rest.starts_with('$')).unwrap_or(text)
}
