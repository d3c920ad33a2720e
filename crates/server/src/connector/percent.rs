//! Percent-encoding by RFC 3986: everything but letters, digits and `-._~`.

use std::fmt::Write;

/// The text, encoded.
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a `String` cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// The text as one segment of a path. `None`: it would not stay one, because URLs resolve it away.
pub(super) fn segment(text: &str) -> Option<String> {
    if ["", ".", ".."].contains(&text) { None } else { Some(encode(text)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unreserved_characters_stay() {
        assert_eq!(encode("auth0|a b/é~-._"), "auth0%7Ca%20b%2F%C3%A9~-._");
        assert_eq!(segment(".."), None);
        assert_eq!(segment("../x").as_deref(), Some("..%2Fx"));
    }
}
