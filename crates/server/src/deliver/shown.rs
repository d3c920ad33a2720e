//! What of a notice may still be shown when it is sent.

use std::borrow::Cow;

use keyherald_core::Micros;
use keyherald_core::message::{Content, Message};
use keyherald_core::notice::Notice;

/// The notice as it may be shown at `now`: an entry that was read a while ago may hold a token that has ended since.
pub(super) fn notice_at(notice: &Notice, now: Micros) -> Cow<'_, Notice> {
    let Notice::Message(message) = notice else { return Cow::Borrowed(notice) };
    match &message.facts.content {
        Content::CustomerPasswordTokenCreated { expires_at, .. }
        | Content::CustomerEmailTokenCreated { expires_at, .. }
        | Content::CustomerWelcomed { expires_at }
        | Content::VerificationCodeCreated { expires_at, .. }
            if message.secret.is_some() && *expires_at <= now =>
        {
            Cow::Owned(Notice::Message(Box::new(Message { secret: None, ..(**message).clone() })))
        }
        _ => Cow::Borrowed(notice),
    }
}
