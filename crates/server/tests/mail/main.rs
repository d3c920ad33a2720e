//! Mail: from a call to a mail server, with the faults of mail servers.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may end here")]

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "not all of the setting is needed here")]
mod support;

mod double;
mod journey;
mod sink;
mod smtp;
