//! bcrypt: `$2b$10$<22 characters of salt><31 of hash>`. `$2a$` and `$2y$` name the same function; `$2x$` names a
//! known mistake and is not read.
//!
//! As everywhere, only the first 72 bytes of a password count. The upgrade at the next sign-in mends that.

use ::bcrypt::bcrypt;
use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{Effort, Scheme, UnusableHash};
use crate::hash::argon2id::HashFault;

/// Some producers leave bits behind in the last character of the salt. Nobody reads them.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::BCRYPT,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// What the function looks at of a password.
const PASSWORD_BYTES_MAX: usize = 72;

struct Bcrypt {
    text: String,
    cost: u32,
    salt: [u8; 16],
    hash: [u8; 23],
}

pub(super) fn read(text: &str) -> Result<Box<dyn Scheme>, UnusableHash> {
    const BROKEN: UnusableHash = UnusableHash::Unreadable {
        scheme: "bcrypt",
        reason: "$2b$, a cost of two digits from 04 to 31, $, and 53 characters of ./A-Za-z0-9 are the form",
    };
    match taken_apart(text) {
        Some(hash) => Ok(Box::new(hash)),
        None => Err(BROKEN),
    }
}

fn taken_apart(text: &str) -> Option<Bcrypt> {
    // After `$2b$`, which has been looked at.
    let (cost, salt_and_hash) = text.get(4..)?.split_once('$')?;
    let digits = cost.len() == 2 && cost.bytes().all(|byte| byte.is_ascii_digit());
    let cost: u32 = cost.parse().ok().filter(|cost| digits && (4..=31).contains(cost))?;
    let salt = BASE64.decode(salt_and_hash.get(..22)?).ok()?.try_into().ok()?;
    let hash = BASE64.decode(salt_and_hash.get(22..)?).ok()?.try_into().ok()?;
    Some(Bcrypt { text: text.to_owned(), cost, salt, hash })
}

impl Scheme for Bcrypt {
    fn write(&self) -> String {
        self.text.clone()
    }

    fn effort(&self, _: usize) -> Effort {
        Effort::of_time(60 << self.cost)
    }

    fn matches(&self, password: &[u8]) -> Result<bool, HashFault> {
        // The string's closing NUL is part of it, unless it was cut off.
        let mut key = Zeroizing::new(Vec::with_capacity(PASSWORD_BYTES_MAX));
        key.extend(password.iter().copied().chain([0]).take(PASSWORD_BYTES_MAX));
        let hash = Zeroizing::new(bcrypt(self.cost, self.salt, &key));
        Ok(hash.iter().as_slice().get(..self.hash.len()).is_some_and(|hash| hash.ct_eq(&self.hash).into()))
    }
}
