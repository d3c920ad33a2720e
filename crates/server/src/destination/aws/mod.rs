//! What `SQS`, `SNS` and `EventBridge` share: who we are at AWS ([`access`]), a signed request ([`call`]), and what AWS's error
//! codes mean ([`fault`]).
//!
//! The HTTP API is spoken as AWS documents it, by the client of all destinations: guarded, without redirects, and with the
//! attempt's time. AWS's own SDKs would bring some sixty crates, and connections that nobody guards.

pub(super) mod access;
pub(super) mod call;
mod fault;

pub use self::access::{Aws, Keys};
use super::Delivery;

/// Largest body, in bytes. AWS counts attributes as well: what is left of 256 KiB is for them (commercetools.md 8.5).
pub(super) const BODY_BYTES_MAX: usize = 254 * 1024;

/// Names and values by which consumers recognise copies, and by which a topic's subscriptions can be filtered.
pub(super) fn attributes(delivery: &Delivery) -> Vec<(&'static str, String)> {
    let mut attributes = vec![
        ("id", delivery.message_id.to_string()),
        ("project", delivery.project.to_string()),
        ("customer", delivery.customer.to_string()),
        ("contentType", delivery.content_type.to_owned()),
    ];
    attributes.extend(delivery.is_replay.then(|| ("replay", "true".to_owned())));
    attributes.extend(delivery.trace_fields());
    attributes
}

/// Whether a queue or topic keeps an order: its name says so.
pub(super) fn is_fifo(place: &str) -> bool {
    place.rsplit_once('.').is_some_and(|(_, ending)| ending == "fifo")
}

/// What a FIFO place goes by: the customer's group, and the id by which it drops copies for five minutes.
pub(super) fn group(delivery: &Delivery) -> (String, String) {
    (delivery.customer.to_string(), delivery.message_id.to_string())
}

/// The body as text that AWS takes: two characters of Unicode it does not, and in JSON they can be written otherwise.
pub(super) fn text(body: Vec<u8>) -> Option<String> {
    let text = String::from_utf8(body).ok()?;
    Some(text.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_aws_refuses_are_written_otherwise() {
        let body = serde_json::json!({"lastName": "a\u{fffe}b\u{ffff}c\u{10ffff}é"});
        let text = text(body.to_string().into_bytes()).unwrap();
        assert!(!text.contains(['\u{fffe}', '\u{ffff}']));
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), body);
        assert_eq!(super::text(vec![0xff]), None);
    }
}
