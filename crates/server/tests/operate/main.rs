//! Operations on real stores, with an identity provider in memory that answers by a script: each step fails in each way,
//! is repeated, and has its process die before, in and after it. At the end provider and database agree, or the operation
//! says that it is not known. Every test runs on both engines.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod crash;
mod faults;
mod heard;
mod provider;
#[expect(dead_code, reason = "the relay's own tests use all of it")]
#[path = "../relay/scripted.rs"]
mod receiver;
mod recover;
mod stage;
mod turns;
