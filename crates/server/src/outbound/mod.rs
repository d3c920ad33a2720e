//! Calls to other systems over HTTP: the client with its limits, and the guard that keeps it out of our own network.
//!
//! Destinations call addresses that subscribers name, connectors call providers that the operator names; both connect
//! through here. What is sent and what an answer means is theirs.

pub mod client;
pub mod guard;
