//! What is common to destinations that are spoken to over HTTP: how an answer is read, and what it means that there is none.

use std::error::Error;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use keyherald_core::Micros;
use keyherald_core::delivery::{Cause, Outcome};
use reqwest::Response;
use reqwest::header::{HeaderMap, RETRY_AFTER};

use crate::outbound::guard::NotPublic;

/// How much of an answer is read, so that its connection can be used again. Nothing of it is kept.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// How much of an answer is shown to whoever tries a destination out.
const EXCERPT_CHARS_MAX: usize = 256;

/// How long the receiver asked to be left alone: `Retry-After` in seconds, or as a date. `None`: it did not.
pub(super) fn asked_for_s(headers: &HeaderMap, now: Micros) -> Option<u32> {
    retry_after_s(headers.get(RETRY_AFTER)?.to_str().ok()?, now)
}

fn retry_after_s(text: &str, now: Micros) -> Option<u32> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(text.parse().unwrap_or(u32::MAX));
    }
    let at = httpdate::parse_http_date(text).ok()?;
    let now = UNIX_EPOCH.checked_add(Duration::from_micros(u64::try_from(now.0).ok()?))?;
    let wait = SystemTime::duration_since(&at, now).unwrap_or_default();
    // Rounded up: a moment too late is polite, a moment too early is not.
    Some(u32::try_from(wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).unwrap_or(u32::MAX))
}

/// Reads what is left of an answer, up to a limit.
pub(super) async fn drain(mut answer: Response) {
    let mut left = ANSWER_BYTES_MAX;
    while let Ok(Some(chunk)) = answer.chunk().await {
        match left.checked_sub(chunk.len()) {
            Some(rest) => left = rest,
            None => return, // the connection is closed with the answer
        }
    }
}

/// The beginning of an answer, for people: at most 256 characters, of which none does anything but show.
pub(super) async fn excerpt(mut answer: Response) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < EXCERPT_CHARS_MAX * 4
        && let Ok(Some(chunk)) = answer.chunk().await
    {
        bytes.extend_from_slice(&chunk);
    }
    bytes.truncate(EXCERPT_CHARS_MAX * 4); // the longest that so many characters can be
    escaped(&String::from_utf8_lossy(&bytes))
}

/// The beginning of a text, for people.
pub(super) fn escaped(text: &str) -> String {
    let mut excerpt = String::new();
    for char in text.chars() {
        let shown: String = match char {
            '<' | '>' | '&' => char.escape_unicode().collect(),
            '"' | '\'' => char.into(),
            _ => char.escape_debug().collect(),
        };
        if excerpt.chars().count() + shown.chars().count() > EXCERPT_CHARS_MAX {
            break;
        }
        excerpt.push_str(&shown);
    }
    excerpt
}

/// No answer: the message may have arrived or not. The reason names no address.
pub(super) fn unanswered(error: &reqwest::Error) -> Outcome {
    let mut source: Option<&dyn Error> = Some(error);
    while let Some(inner) = source {
        if inner.is::<NotPublic>() {
            return failed(Cause::Refused, NotPublic.to_string());
        }
        if inner.is::<rustls::Error>() {
            return failed(Cause::Temporary, "no TLS connection".to_owned());
        }
        source = inner.source();
    }
    let reason = if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "no connection"
    } else {
        "the connection broke"
    };
    failed(Cause::Temporary, reason.to_owned())
}

/// A failure without an answer that asks for rest.
pub(super) fn failed(cause: Cause, reason: String) -> Outcome {
    Outcome::Failed { reason, retry_after_s: None, cause }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_only_shows() {
        let text = "a\"b'\n\u{1b}[31m<b>&\u{202e}é";
        assert_eq!(escaped(text), r#"a"b'\n\u{1b}[31m\u{3c}b\u{3e}\u{26}\u{202e}é"#);
        assert_eq!(escaped(&"x".repeat(500)), "x".repeat(256));
        assert_eq!(escaped(&"\n".repeat(500)).len(), 256);
        assert!(escaped(&"<".repeat(500)).chars().count() <= 256);
    }

    #[test]
    fn retry_after_has_two_forms() {
        let now = Micros::parse_iso("2026-11-22T10:00:00.500Z").unwrap();
        for (text, expected) in [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("99999999999999999999", Some(u32::MAX)),
            ("Sun, 22 Nov 2026 10:01:00 GMT", Some(60)),
            ("Sun, 22 Nov 2026 09:00:00 GMT", Some(0)),
            ("-5", None),
            ("soon", None),
            ("", None),
            ("1.5", None),
        ] {
            assert_eq!(retry_after_s(text, now), expected, "{text:?}");
        }
    }
}
