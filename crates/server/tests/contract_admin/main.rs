//! What operators call, held against the server: golden transcripts, on both engines.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod recorded;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/transcript.rs"]
mod transcript;

use keyherald_store::testing::block_on;

use support::TestServer;

const ACTIVITY: &str = include_str!("transcripts/activity.txt");

#[test]
fn activity_sqlite() {
    block_on(async { transcript::run(&TestServer::sqlite().await, "activity", ACTIVITY).await });
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test starts one"]
fn activity_postgres() {
    block_on(async { transcript::run(&TestServer::postgres().await, "activity", ACTIVITY).await });
}
