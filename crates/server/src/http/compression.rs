//! gzip for answers that are worth it, if the client takes it.
//!
//! Not for what `no-store` says is secret: where a secret and something that the caller chose are compressed together,
//! the length of the result tells something of the secret to whoever watches the line (the BREACH attack).

use axum::http::header::CACHE_CONTROL;
use axum::http::{Extensions, HeaderMap, StatusCode, Version};
use tower_http::compression::predicate::{Predicate, SizeAbove};
use tower_http::compression::{CompressionLayer, CompressionLevel};

/// Shorter answers fit a packet anyway.
const BYTES_MIN: u16 = 1024;

/// Compresses answers, quickly rather than well: JSON shrinks to a fifth either way.
pub(super) fn layer() -> CompressionLayer<impl Predicate> {
    let worth_it = SizeAbove::new(BYTES_MIN).and(is_no_secret);
    CompressionLayer::new().gzip(true).quality(CompressionLevel::Fastest).compress_when(worth_it)
}

fn is_no_secret(_: StatusCode, _: Version, headers: &HeaderMap, _: &Extensions) -> bool {
    headers.get(CACHE_CONTROL).is_none_or(|directive| directive != "no-store")
}
