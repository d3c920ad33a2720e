//! One round of a digest over password and salt: `$ssha256$salt=suffix$<salt>$<digest>`, or `salt=prefix`.
//!
//! `ssha1`, `ssha256`, `ssha512` and `smd5`. The spellings of LDAP, `{SSHA}`, `{SSHA256}`, `{SSHA512}` and `{SMD5}`
//! with digest and salt in one Base64 text, are read as well: there the salt is a suffix.
//!
//! A graphics card tries billions of these a second. They are worth replacing by whatever means.

use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use subtle::ConstantTimeEq;

use super::{Effort, Scheme, UnusableHash, is_salt, text};
use crate::hash::argon2id::HashFault;

struct Function {
    name: &'static str,
    of_ldap: &'static str,
    digest_bytes: usize,
    is_digest_of: fn(&[&[u8]; 2], &[u8]) -> bool,
}

static FUNCTIONS: [Function; 4] = [
    Function { name: "$ssha1$", of_ldap: "{SSHA}", digest_bytes: 20, is_digest_of: is_digest::<Sha1> },
    Function { name: "$ssha256$", of_ldap: "{SSHA256}", digest_bytes: 32, is_digest_of: is_digest::<Sha256> },
    Function { name: "$ssha512$", of_ldap: "{SSHA512}", digest_bytes: 64, is_digest_of: is_digest::<Sha512> },
    Function { name: "$smd5$", of_ldap: "{SMD5}", digest_bytes: 16, is_digest_of: is_digest::<Md5> },
];

#[derive(Clone, Copy)]
enum Place {
    Prefix,
    Suffix,
}

struct Salted {
    function: &'static Function,
    place: Place,
    salt: Vec<u8>,
    digest: Vec<u8>,
}

pub(super) fn read(text: &str) -> Result<Box<dyn Scheme>, UnusableHash> {
    const BROKEN: UnusableHash = UnusableHash::Unreadable {
        scheme: "salted digest",
        reason: "$ssha1$, $ssha256$, $ssha512$ or $smd5$, then salt=prefix or salt=suffix, $<salt>$<digest> in Base64 \
                 is the form; {SSHA}, {SSHA256}, {SSHA512} and {SMD5} are read as well",
    };
    let taken_apart = FUNCTIONS.iter().find_map(|function| {
        let ours = text.strip_prefix(function.name).and_then(|text| fielded(function, text));
        ours.or_else(|| text.strip_prefix(function.of_ldap).and_then(|text| joined(function, text)))
    });
    match taken_apart.filter(|hash| is_salt(&hash.salt) && hash.digest.len() == hash.function.digest_bytes) {
        Some(hash) => Ok(Box::new(hash)),
        None => Err(BROKEN),
    }
}

fn fielded(function: &'static Function, text: &str) -> Option<Salted> {
    let [place, salt, digest] = text::fields(text, '$')?;
    let place = match place {
        "salt=prefix" => Place::Prefix,
        "salt=suffix" => Place::Suffix,
        _ => return None,
    };
    Some(Salted { function, place, salt: text::bytes(salt)?, digest: text::bytes(digest)? })
}

fn joined(function: &'static Function, text: &str) -> Option<Salted> {
    let mut digest = text::bytes(text)?;
    let salt = digest.split_off(function.digest_bytes.min(digest.len()));
    Some(Salted { function, place: Place::Suffix, salt, digest })
}

impl Scheme for Salted {
    fn write(&self) -> String {
        let place = match self.place {
            Place::Prefix => "prefix",
            Place::Suffix => "suffix",
        };
        format!("{}salt={place}${}${}", self.function.name, text::base64(&self.salt), text::base64(&self.digest))
    }

    fn effort(&self, _: usize) -> Effort {
        Effort::of_time(1)
    }

    fn matches(&self, password: &[u8]) -> Result<bool, HashFault> {
        let parts = match self.place {
            Place::Prefix => [&self.salt, password],
            Place::Suffix => [password, &self.salt],
        };
        Ok((self.function.is_digest_of)(&parts, &self.digest))
    }
}

fn is_digest<D: Digest>(parts: &[&[u8]; 2], expected: &[u8]) -> bool {
    let computed = parts.iter().fold(D::new(), D::chain_update).finalize();
    computed.as_slice().ct_eq(expected).into()
}
