//! What operators call, held against the server: golden transcripts, on both engines.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod recorded;
#[expect(dead_code, reason = "other targets use more of it")]
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/transcript.rs"]
mod transcript;

use keyherald_store::testing::block_on;

use support::TestServer;
use transcript::{Defaults, Names};

const ACTIVITY: &str = include_str!("transcripts/activity.txt");
const DOUBTS: &str = include_str!("transcripts/doubts.txt");
const MAIL: &str = include_str!("transcripts/mail.txt");
const TEST_DELIVERY: &str = include_str!("transcripts/test_delivery.txt");

async fn run(server: TestServer, name: &str, text: &str) {
    let mut names = Names::new();
    names.insert("demo".into(), server.token("demo-client").await);
    names.insert("other".into(), server.token("other-client").await);
    names.insert("demo-basic".into(), support::basic("demo-client"));
    let headers = vec![("authorization", format!("Bearer {}", names["demo"]))];
    let defaults = Defaults { names, headers };
    transcript::run(&server, name, text, defaults).await;
}

#[test]
fn activity_sqlite() {
    block_on(async { run(TestServer::sqlite().await, "activity", ACTIVITY).await });
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test starts one"]
fn activity_postgres() {
    block_on(async { run(TestServer::postgres().await, "activity", ACTIVITY).await });
}

#[test]
fn doubts_sqlite() {
    block_on(async { run(TestServer::sqlite().await, "doubts", DOUBTS).await });
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test starts one"]
fn doubts_postgres() {
    block_on(async { run(TestServer::postgres().await, "doubts", DOUBTS).await });
}

#[test]
fn mail_sqlite() {
    block_on(async { run(TestServer::sqlite().await, "mail", MAIL).await });
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test starts one"]
fn mail_postgres() {
    block_on(async { run(TestServer::postgres().await, "mail", MAIL).await });
}

#[test]
fn test_delivery_sqlite() {
    block_on(async { run(TestServer::sqlite().await, "test_delivery", TEST_DELIVERY).await });
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test starts one"]
fn test_delivery_postgres() {
    block_on(async { run(TestServer::postgres().await, "test_delivery", TEST_DELIVERY).await });
}
