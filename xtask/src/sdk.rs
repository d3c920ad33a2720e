//! The journey of the official TypeScript SDK (`sdk/typescript`) through a development server of its own.

use crate::Result;
use crate::node::{Server, Walker};

/// Its name among the tests.
pub(crate) const TEST: &str = "sdk_journey";

/// Hashes that may wait for a thread: few, so that the journey's crowd meets a busy server.
const HASHES_WAITING_MAX: &str = "4";

/// Finds what it needs, and installs it when `install` says so.
pub(crate) fn ready(install: bool) -> Result<Walker> {
    Walker::ready("sdk/typescript", install)
}

/// Walks, and returns the closing line. An error if anything differs from the contract; the journey has said what.
pub(crate) fn walk(journey: &Walker) -> Result<String> {
    let server = Server::start(&[("KEYHERALD__HASHING__QUEUE_MAX", HASHES_WAITING_MAX)])?;
    journey.walk("journey.js", &[], &server, "SDK journey: ")
}
