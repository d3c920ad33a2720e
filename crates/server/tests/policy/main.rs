//! What is asked of new passwords, on a real store and a real hash pool; and the breach check against a double of the
//! range protocol.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may end here")]

mod applied;
mod breach;
mod throttle;

#[path = "../support/http_double.rs"]
mod http_double;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "other test targets use the rest")]
mod support;
