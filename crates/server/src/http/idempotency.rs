//! `Idempotency-Key`: what a caller names a request by that it may repeat.

use axum::http::HeaderMap;

/// The header.
pub const IDEMPOTENCY_KEY: &str = "Idempotency-Key";
/// Longest key in bytes.
const BYTES_MAX: usize = 255;

/// Sent, and not 1 to 255 visible ASCII characters, or more than once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAKey;

/// The key of a request. `None`: it has none.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, NotAKey> {
    let mut sent = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(key) = sent.next() else { return Ok(None) };
    let is_key = (1..=BYTES_MAX).contains(&key.len()) && key.as_bytes().iter().all(u8::is_ascii_graphic);
    match (key.to_str(), sent.next()) {
        (Ok(key), None) if is_key => Ok(Some(key.to_owned())),
        _ => Err(NotAKey),
    }
}
