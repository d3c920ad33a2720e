//! Outgoing bodies: pure functions of a message (and of the subscription's settings), so that a retry and a replay send
//! the same bytes. One file per format; this is the list.

pub mod cloudevents;
pub mod commercetools;
pub mod platform;

use keyherald_core::id::ProjectKey;
use keyherald_core::message::Message;
use keyherald_core::subscription::FormatKind;

/// A body and its media type.
pub struct Rendered {
    /// The `Content-Type`.
    pub content_type: &'static str,
    /// The very bytes that are signed and sent.
    pub body: Vec<u8>,
}

/// The message cannot be rendered: its personal data was erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Erased;

/// Renders `message` for a subscription of `project` in `format`.
pub fn render(project: &ProjectKey, message: &Message, format: FormatKind) -> Result<Rendered, Erased> {
    match format {
        FormatKind::Platform => platform::render(project, message),
        FormatKind::CloudEvents => cloudevents::render(project, message),
    }
}
