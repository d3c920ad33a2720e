//! The PHC string of an Argon2id hash: `$argon2id$v=19$m=19456,t=2,p=1$<salt>$<tag>`, Base64 without padding.
//!
//! Read and written here rather than by either Argon2 crate, so that both implementations see the same strings and a
//! stored string can name no cost that nobody looked at.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::argon2id::{Cost, TAG_BYTES};

/// A stored hash, taken apart.
pub(super) struct Encoded {
    pub(super) cost: Cost,
    /// 8 to 64 bytes.
    pub(super) salt: Vec<u8>,
    /// 16 to 64 bytes.
    pub(super) tag: Vec<u8>,
}

impl Encoded {
    /// Reads the string of an Argon2id hash of version 1.3. `None`: another scheme or version, or broken.
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut fields = text.strip_prefix("$argon2id$v=19$")?.split('$');
        let cost = read_cost(fields.next()?)?;
        let salt = STANDARD_NO_PAD.decode(fields.next()?).ok()?;
        let tag = STANDARD_NO_PAD.decode(fields.next()?).ok()?;
        let whole = fields.next().is_none();
        // Argon2 itself allows tags of four bytes: one in 2^32 wrong passwords would match.
        let fits = (8..=64).contains(&salt.len()) && (16..=64).contains(&tag.len());
        (whole && fits).then_some(Self { cost, salt, tag })
    }

    /// Whether it is as this server would make it: of its cost, and no shorter.
    pub(super) fn is_current(&self, cost: Cost) -> bool {
        self.cost == cost && self.tag.len() == TAG_BYTES && self.salt.len() >= 16
    }

    /// The string to store.
    pub(super) fn write(&self) -> String {
        let Cost { memory_kib, passes, lanes } = self.cost;
        let salt = STANDARD_NO_PAD.encode(&self.salt);
        let tag = STANDARD_NO_PAD.encode(&self.tag);
        format!("$argon2id$v=19$m={memory_kib},t={passes},p={lanes}${salt}${tag}")
    }
}

/// `m=..,t=..,p=..` in any order (some producers write `m,p,t`), each once and nothing else.
pub(super) fn read_cost(text: &str) -> Option<Cost> {
    let (mut memory_kib, mut passes, mut lanes) = (None, None, None);
    for field in text.split(',') {
        let (name, number) = field.split_once('=')?;
        let slot = match name {
            "m" => &mut memory_kib,
            "t" => &mut passes,
            "p" => &mut lanes,
            _ => return None, // `keyid` or `data`: part of the hash, and not ours to know
        };
        if slot.replace(read_number(number)?).is_some() {
            return None;
        }
    }
    let cost = Cost { memory_kib: memory_kib?, passes: passes?, lanes: lanes? };
    cost.is_possible().then_some(cost)
}

/// Decimal digits without sign and without leading zero: one number, one spelling.
pub(super) fn read_number(text: &str) -> Option<u32> {
    let canonical = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    if canonical { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORED: &str =
        "$argon2id$v=19$m=19456,t=2,p=1$AQEBAQEBAQEBAQEBAQEBAQ$62QdG5Ru3xTGLX3KBXjk3JI2y0qvK/4QPpdRvIrGYkI";

    #[test]
    fn what_is_read_is_written_again() {
        let encoded = Encoded::read(STORED).unwrap();
        assert_eq!(encoded.cost, Cost { memory_kib: 19456, passes: 2, lanes: 1 });
        assert_eq!(encoded.salt, [1; 16]);
        assert_eq!(encoded.tag.len(), 32);
        assert_eq!(encoded.write(), STORED);
    }

    #[test]
    fn the_order_of_the_costs_is_free() {
        let other = STORED.replace("m=19456,t=2,p=1", "p=1,m=19456,t=2");
        assert_eq!(Encoded::read(&other).unwrap().write(), STORED);
    }

    #[test]
    fn anything_else_is_unreadable() {
        let broken = [
            ("argon2id", "argon2i"),
            ("$v=19", "$v=16"),
            ("$v=19", ""),
            ("m=19456", "m=4294967296"),
            ("m=19456", "m=+19456"),
            ("m=19456", "m=019456"),
            ("m=19456", "m="),
            ("m=19456", "m=7"),
            ("t=2", "t=0"),
            ("p=1", "p=0"),
            ("p=1", "p=2433"), // 8 KiB per lane are needed
            ("t=2", "t=2,t=2"),
            (",p=1", ""),
            ("p=1", "p=1,data=AQEB"),
            ("AQEBAQEBAQEBAQEBAQEBAQ$", "AQEB$"),
            ("AQEBAQEBAQEBAQEBAQEBAQ$", "AQEBAQEBAQEBAQEBAQEBAQ==$"),
            ("62QdG5Ru3xTGLX3KBXjk3JI2y0qvK/4QPpdRvIrGYkI", "62QdG5Ru"),
            ("GYkI", "GYkI$"),
            ("GYkI", "GYk*"),
        ];
        for (part, replacement) in broken {
            let text = STORED.replace(part, replacement);
            assert_ne!(text, STORED);
            assert!(Encoded::read(&text).is_none(), "{part} -> {replacement}");
        }
    }
}
