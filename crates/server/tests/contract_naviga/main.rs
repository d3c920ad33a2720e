//! The contract of Naviga's Users Orchestrator, held against the server: golden transcripts, the ways in which paths and
//! headers may be written, tokens, and passwords that are set at a provider too.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

#[path = "../connector/auth0/vendor.rs"]
mod auth0;
mod coverage;
#[expect(dead_code, reason = "other targets use more of it")]
#[path = "../connector/double.rs"]
mod double;
mod doubts;
mod forms;
mod gigya;
#[path = "../connector/people.rs"]
mod people;
mod provider;
mod recovery;
mod shop;
mod sign_in;
mod stage;
#[expect(dead_code, reason = "other targets use more of it")]
#[path = "../support/mod.rs"]
mod support;
mod tokens;
#[path = "../support/transcript.rs"]
mod transcript;
mod transcripts;
mod users;
#[path = "../connector/gigya/vendor.rs"]
mod vendor_gigya;
