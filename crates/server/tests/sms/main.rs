//! SMS: from a call to a service's HTTP interface, with the faults that such a service has.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may end here")]

#[path = "../support/http_double.rs"]
mod http_double;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "not all of the setting is needed here")]
mod support;

mod attempt;
mod described;
mod journey;
