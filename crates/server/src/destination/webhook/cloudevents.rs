//! The HTTP binding of CloudEvents 1.0: how an event that was rendered as JSON becomes a request (standards.md 3.2, 3.3).

use std::fmt::Write;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// How events are sent. Other formats have one way only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Mode {
    /// The event is the body.
    #[default]
    Structured,
    /// The attributes are headers, the data is the body.
    Binary,
    /// Several events are the body.
    Batched,
}

impl Mode {
    /// The spellings of a draft.
    pub(super) const WORDS: [(&'static str, Self); 3] =
        [("structured", Self::Structured), ("binary", Self::Binary), ("batched", Self::Batched)];
}

/// The media type of a batch.
pub(super) const BATCH: &str = "application/cloudevents-batch+json; charset=utf-8";

/// Whether a rendered body is an event.
pub(super) fn is_event(content_type: &str) -> bool {
    content_type.starts_with("application/cloudevents+json")
}

/// An event in binary mode.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Binary {
    pub(super) content_type: String,
    /// `ce-` headers, their values encoded.
    pub(super) attributes: Vec<(String, String)>,
    /// The data's own bytes.
    pub(super) body: Vec<u8>,
}

/// Takes a rendered event apart. `None`: it is no JSON object.
pub(super) fn binary(event: &[u8]) -> Option<Binary> {
    let mut event: Map<String, Value> = serde_json::from_slice(event).ok()?;
    let body = event.shift_remove("data").map_or_else(Vec::new, |data| data.to_string().into_bytes());
    let content_type = event.shift_remove("datacontenttype");
    let content_type = content_type.as_ref().and_then(Value::as_str).unwrap_or("application/json").to_owned();
    let header = |(name, value): (String, Value)| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        (format!("ce-{name}"), percent_encoded(&text))
    };
    Some(Binary { content_type, attributes: event.into_iter().map(header).collect(), body })
}

/// Events as one batch. All of them are JSON objects already.
pub(super) fn batch<'a>(events: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut body = vec![b'['];
    for event in events {
        if body.len() > 1 {
            body.push(b',');
        }
        body.extend_from_slice(event);
    }
    body.push(b']');
    body
}

/// The value of a header: white space, `"`, `%` and all but printable ASCII as UTF-8 bytes in upper-case hex.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && !matches!(byte, b'"' | b'%') {
            encoded.push(char::from(byte));
        } else {
            let _infallible = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_header_value() {
        assert_eq!(percent_encoded("Euro € 😀"), "Euro%20%E2%82%AC%20%F0%9F%98%80");
        assert_eq!(percent_encoded("a%\"b\"\u{7f}~!"), "a%25%22b%22%7F~!");
    }

    #[test]
    fn binary_mode_has_the_same_attributes_and_the_data_byte_for_byte() {
        let event = r#"{"specversion":"1.0","id":"1","source":"/demo/ä","sequence":"2","flag":true,"data":{"b":1,"a":"ü","c":1.50}}"#;
        let binary = binary(event.as_bytes()).unwrap();
        assert_eq!(binary.content_type, "application/json");
        assert_eq!(binary.body, r#"{"b":1,"a":"ü","c":1.5}"#.as_bytes());
        let attributes: Vec<(&str, &str)> = binary.attributes.iter().map(|(name, value)| (&**name, &**value)).collect();
        let expected = [
            ("ce-specversion", "1.0"),
            ("ce-id", "1"),
            ("ce-source", "/demo/%C3%A4"),
            ("ce-sequence", "2"),
            ("ce-flag", "true"),
        ];
        assert_eq!(attributes, expected);
        assert_eq!(super::binary(b"[]"), None);
    }

    #[test]
    fn a_datacontenttype_is_the_content_type_and_no_header() {
        let event = br#"{"id":"1","datacontenttype":"application/x+json","data":7}"#;
        let Binary { content_type, attributes, body } = binary(event).unwrap();
        assert_eq!((content_type.as_str(), attributes.len(), &body[..]), ("application/x+json", 1, &b"7"[..]));
    }

    #[test]
    fn a_batch_is_an_array() {
        assert_eq!(batch([&br#"{"a":1}"#[..], br#"{"b":2}"#].into_iter()), br#"[{"a":1},{"b":2}]"#);
        assert_eq!(batch([&br#"{"a":1}"#[..]].into_iter()), br#"[{"a":1}]"#);
    }
}
