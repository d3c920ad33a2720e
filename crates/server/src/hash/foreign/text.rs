//! The pieces that stored hashes are made of: fields, numbers, and three alphabets of Base64.

use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD_NO_PAD};

pub(super) use crate::hash::phc::read_number as number;

/// Standard Base64, padded or not.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The alphabet of crypt(3): `$5$`, `$6$`, `$7$`.
const CRYPT: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Exactly `N` fields between separators.
pub(super) fn fields<const N: usize>(text: &str, separator: char) -> Option<[&str; N]> {
    let mut fields = text.split(separator);
    let mut found = [""; N];
    for place in &mut found {
        *place = fields.next()?;
    }
    fields.next().is_none().then_some(found)
}

/// `a=1,b=2`: the numbers of these names, in any order, each at most once and no others.
pub(super) fn numbers<const N: usize>(text: &str, names: [&str; N]) -> Option<[Option<u32>; N]> {
    let mut found = [None; N];
    for field in text.split(',') {
        let (name, value) = field.split_once('=')?;
        let place = names.iter().position(|known| *known == name)?;
        if found.get_mut(place)?.replace(number(value)?).is_some() {
            return None;
        }
    }
    Some(found)
}

/// Base64 as anybody writes it: padded or not, with `+/`, with `-_` (web), or with `./` (passlib).
pub(super) fn bytes(text: &str) -> Option<Vec<u8>> {
    let standard = |character| match character {
        '-' | '.' => '+',
        '_' => '/',
        other => other,
    };
    LENIENT.decode(text.chars().map(standard).collect::<String>()).ok()
}

/// Base64 as PHC strings have it.
pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD_NO_PAD.encode(bytes)
}

/// Six bits, from one character of crypt's alphabet.
pub(super) fn crypt_digit(character: u8) -> Option<u32> {
    CRYPT.iter().position(|known| *known == character).and_then(|value| u32::try_from(value).ok())
}

/// A number in crypt's digits, the lowest first: at most five of them.
pub(super) fn crypt_number(text: &str) -> Option<u32> {
    let mut number = 0;
    for digit in text.bytes().rev() {
        number = (number << 6) | crypt_digit(digit)?;
    }
    (text.len() <= 5).then_some(number)
}

/// Bytes in crypt's digits: three bytes in four digits, the lowest first. Bits that are left over must be zero.
pub(super) fn crypt_bytes(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut count) = (0_u32, 0);
    for character in text.bytes() {
        bits |= crypt_digit(character)? << count;
        count += 6;
        if count >= 8 {
            bytes.push(u8::try_from(bits & 0xff).ok()?);
            bits >>= 8;
            count -= 8;
        }
    }
    (bits == 0 && count < 6).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_spellings_of_base64_are_the_same_bytes() {
        for text in ["++//-w==", "++//+w", "--__+w==", "..//.w"] {
            assert_eq!(bytes(text), Some(vec![0xfb, 0xef, 0xff, 0xfb]), "{text}");
        }
        assert_eq!(bytes("a"), None);
        assert_eq!(bytes("a*aa"), None);
    }

    #[test]
    fn crypt_digits_come_lowest_first() {
        assert_eq!(crypt_number("6...."), Some(8));
        assert_eq!(crypt_number("./..."), Some(64));
        assert_eq!(crypt_number("......"), None);
        assert_eq!(crypt_bytes("/6.."), Some(vec![1, 2, 0]));
        assert_eq!(crypt_bytes("zz"), None, "four bits are left over");
        assert_eq!(crypt_bytes("/."), Some(vec![1]));
        assert_eq!(crypt_bytes("/"), None, "a digit too many");
    }

    #[test]
    fn fields_and_numbers_are_taken_whole_or_not_at_all() {
        assert_eq!(fields("a$b", '$'), Some(["a", "b"]));
        assert_eq!(fields::<2>("a$b$c", '$'), None);
        assert_eq!(fields::<2>("a", '$'), None);
        assert_eq!(numbers("r=8,ln=14", ["ln", "r", "p"]), Some([Some(14), Some(8), None]));
        for wrong in ["", "ln", "ln=", "ln=x", "ln=1,ln=1", "ln=1,q=1", "ln=4294967296"] {
            assert_eq!(numbers(wrong, ["ln"]), None, "{wrong}");
        }
    }
}
