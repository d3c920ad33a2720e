//! The commercetools contract, held against the server: golden transcripts of every endpoint, and what transcripts
//! cannot say (many at once, equal work, bad input in bulk, every caller on every route).
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod bad_input;
mod callers;
mod concurrency;
mod coverage;
mod equal_work;
mod fields;
mod health;
#[path = "../support/http_double.rs"]
#[expect(dead_code, reason = "parts of it are for other tests")]
mod http_double;
mod provider;
mod queries;
#[expect(dead_code, reason = "other tests need more of it")]
#[path = "../operate/provider.rs"]
mod scripted;
#[path = "../support/mod.rs"]
mod support;
mod test_message;
#[path = "../support/transcript.rs"]
mod transcript;
mod transcripts;
mod trouble;
