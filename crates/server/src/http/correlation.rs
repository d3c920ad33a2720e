//! The ids of a request: ours, and the one that the caller follows it by.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use keyherald_core::Ctx;
use keyherald_core::id::ProjectKey;

/// Echoed if the caller sent a usable one, made by us otherwise; on every response.
pub const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");

/// Longest correlation id that is taken over.
const BYTES_MAX: usize = 256;

/// First path segments that are no project, although they could be one's key.
const NOT_PROJECTS: [&str; 4] = ["admin", "oauth", "health", "keyherald"];

/// The ids of one request; an extension of every request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestIds {
    /// Ours: unique, whatever the caller sends.
    pub request: uuid::Uuid,
    /// What the response carries.
    pub correlation: HeaderValue,
}

impl RequestIds {
    /// The ids of a request with these headers and this path.
    pub(super) fn of(headers: &HeaderMap, path: &str, ctx: &mut Ctx) -> Self {
        let request = uuid::Builder::from_random_bytes(ctx.bytes()).into_uuid();
        let sent = headers.get(CORRELATION_ID).filter(|value| is_usable(value));
        let made = || HeaderValue::try_from(format!("{}-{request}", prefix(path))).ok();
        let correlation = sent.cloned().or_else(made).unwrap_or_else(|| HeaderValue::from_static("keyherald"));
        Self { request, correlation }
    }

    /// The correlation id for the log. It is meant for logs, but some callers put an address into it.
    pub fn for_log(&self) -> &str {
        for_log(self.correlation.to_str().unwrap_or_default())
    }
}

/// A caller's id of a request as it may stand in logs: never what looks like an address.
pub fn for_log(text: &str) -> &str {
    if text.contains('@') || text.to_ascii_lowercase().contains("%40") { "(withheld)" } else { text }
}

/// Visible ASCII without spaces, 1 to 256 bytes.
fn is_usable(value: &HeaderValue) -> bool {
    (1..=BYTES_MAX).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic)
}

/// What a made id starts with: the project key of the path, if there is one.
fn prefix(path: &str) -> &str {
    let first = path.split('/').nth(1).unwrap_or_default();
    let is_project = first.parse::<ProjectKey>().is_ok() && !NOT_PROJECTS.contains(&first);
    if is_project { first } else { "keyherald" }
}

#[cfg(test)]
mod tests {
    use keyherald_core::Micros;

    use super::*;

    fn of(sent: Option<&[u8]>, path: &str) -> String {
        let mut headers = HeaderMap::new();
        if let Some(sent) = sent {
            headers.insert(CORRELATION_ID, HeaderValue::from_bytes(sent).unwrap());
        }
        let ids = RequestIds::of(&headers, path, &mut Ctx::new(Micros(0), [1; 32]));
        ids.correlation.to_str().unwrap().replace(&ids.request.to_string(), "ID")
    }

    #[test]
    fn a_usable_one_is_echoed_and_others_replaced() {
        assert_eq!(of(Some(b"projects-1234/abc"), "/demo/customers"), "projects-1234/abc");
        assert_eq!(of(Some(&[b'x'; 256]), "/demo/customers").len(), 256);
        for unusable in [&b""[..], b"two words", b"\xff", b"tab\there", &[b'x'; 257]] {
            assert_eq!(of(Some(unusable), "/demo/customers"), "demo-ID");
        }
    }

    #[test]
    fn a_made_one_starts_with_the_project() {
        assert_eq!(of(None, "/my-shop_2/customers"), "my-shop_2-ID");
        for path in ["/", "", "*", "/oauth/token", "/health/ready", "/Not-A-Key/customers", "/jane%40example.com"] {
            assert_eq!(of(None, path), "keyherald-ID", "{path}");
        }
    }
}
