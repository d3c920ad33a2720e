//! Decodes form-encoded text: query strings, and bodies of token requests.
//!
//! Strict where guessing could change what is asked for: a `%` that begins no escape and bytes that are no UTF-8 are
//! errors, while the `url` crate would put replacement characters into a predicate. Characters that should have been
//! escaped (spaces and colons in a `scope`) are taken as they are, because clients send them.

/// Pairs in one query string or body.
pub const PAIRS_MAX: usize = 10_000;

/// Text that is not form-encoded. Answered as 400 InvalidInput with this text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotFormEncoded {
    /// `%` without two hexadecimal digits.
    #[error("Malformed parameter: a '%' is not followed by two hexadecimal digits.")]
    Escape,
    /// The decoded bytes are no text.
    #[error("Malformed parameter: a name or value is not UTF-8.")]
    Utf8,
    /// More than [`PAIRS_MAX`] pairs.
    #[error("Malformed parameter: there are more than {PAIRS_MAX} parameters.")]
    TooMany,
}

/// The pairs in their order, repeated names kept; `name` without `=` has an empty value. `+` means space.
pub fn decode(text: &[u8]) -> Result<Vec<(String, String)>, NotFormEncoded> {
    let mut pairs = Vec::new();
    for pair in text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
        if pairs.len() == PAIRS_MAX {
            return Err(NotFormEncoded::TooMany);
        }
        let mut halves = pair.splitn(2, |byte| *byte == b'=');
        let name = unescape(halves.next().unwrap_or_default())?;
        let value = unescape(halves.next().unwrap_or_default())?;
        pairs.push((name, value));
    }
    Ok(pairs)
}

fn unescape(text: &[u8]) -> Result<String, NotFormEncoded> {
    let mut plain = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'+' => b' ',
            b'%' => hex_digit(bytes.next())? * 16 + hex_digit(bytes.next())?,
            byte => byte,
        });
    }
    String::from_utf8(plain).map_err(|_| NotFormEncoded::Utf8)
}

fn hex_digit(byte: Option<u8>) -> Result<u8, NotFormEncoded> {
    match byte {
        Some(digit @ b'0'..=b'9') => Ok(digit - b'0'),
        Some(digit @ b'a'..=b'f') => Ok(digit - b'a' + 10),
        Some(digit @ b'A'..=b'F') => Ok(digit - b'A' + 10),
        _ => Err(NotFormEncoded::Escape),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(text: &str) -> Vec<(String, String)> {
        decode(text.as_bytes()).unwrap()
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.into(), value.into())
    }

    #[test]
    fn pairs_are_decoded_in_order() {
        assert_eq!(decoded(""), []);
        assert_eq!(decoded("&&"), []);
        assert_eq!(decoded("a=1&b=2&a=3"), [pair("a", "1"), pair("b", "2"), pair("a", "3")]);
        assert_eq!(decoded("a&b=&=c"), [pair("a", ""), pair("b", ""), pair("", "c")]);
        assert_eq!(decoded("where=a+%3D+%22%C3%A4%2b%22"), [pair("where", "a = \"ä+\"")]);
        assert_eq!(decoded("scope=a:demo b:demo=x"), [pair("scope", "a:demo b:demo=x")]);
    }

    #[test]
    fn what_cannot_be_decoded_is_refused() {
        for text in ["a=%", "a=%4", "a=%zz", "%u0041=1", "a=100%&b=1"] {
            assert_eq!(decode(text.as_bytes()), Err(NotFormEncoded::Escape), "{text}");
        }
        assert_eq!(decode(b"a=%ff"), Err(NotFormEncoded::Utf8));
        assert_eq!(decode(b"\xff=a"), Err(NotFormEncoded::Utf8));
        assert_eq!(decode("a&".repeat(PAIRS_MAX).as_bytes()).unwrap().len(), PAIRS_MAX);
        assert_eq!(decode("a&".repeat(PAIRS_MAX + 1).as_bytes()), Err(NotFormEncoded::TooMany));
    }

    proptest! {
        #[test]
        fn what_the_url_crate_writes_is_read(pairs in prop::collection::vec((".{0,8}", ".{0,8}"), 0..5)) {
            let written = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
            prop_assert_eq!(decode(written.as_bytes()).unwrap(), pairs);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(pairs) = decode(&bytes) {
                let lossy: Vec<_> = url::form_urlencoded::parse(&bytes).into_owned().collect();
                prop_assert_eq!(pairs, lossy);
            }
        }
    }
}
