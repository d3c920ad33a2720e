//! Calls to other systems: the HTTP client with its limits, plain connections, and the guard that keeps both out of our own
//! network.
//!
//! Destinations call addresses that subscribers name, connectors call providers that the operator names; both connect
//! through here. What is sent and what an answer means is theirs.

pub mod client;
#[cfg(feature = "kafka")]
pub mod gate;
pub mod guard;
pub mod socket;
pub mod tether;
