//! The libraries of Standard Webhooks and CloudEvents (`sdk/webhooks`) read what a development server of its own delivers.

use crate::Result;
use crate::node::{Server, Walker};

/// Its name among the tests.
pub(crate) const TEST: &str = "webhook_readers";

/// Finds what it needs, and installs it when `install` says so.
pub(crate) fn ready(install: bool) -> Result<Walker> {
    Walker::ready("sdk/webhooks", install)
}

/// Has them read, and returns the closing line. An error if anything does not verify or is no event.
pub(crate) fn read(readers: &Walker) -> Result<String> {
    readers.walk("read.js", &[], &Server::start(&[])?, "webhook readers: ")
}
