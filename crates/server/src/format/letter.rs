//! What the mail about a message must say, for the one destination that makes mail of it.
//!
//! Everything in it comes from the message: the address and the name from its personal part, a token's value from its
//! secret one. The words are not here: they are chosen when the mail is sent.

use keyherald_core::mail::{Letter, MailKind};
use keyherald_core::message::Content;
use keyherald_core::notice::Notice;

use super::{Erased, Rendered};

/// The letter as JSON. Messages that no mail is about, which are never asked for, count as erased: nobody is left to be
/// told.
pub fn render(notice: &Notice) -> Result<Rendered, Erased> {
    let Notice::Message(message) = notice else { return Err(Erased) };
    let content = &message.facts.content;
    let kind = MailKind::about(content).ok_or(Erased)?;
    let personal = message.personal.as_ref().ok_or(Erased)?;
    let to = personal.recipient.clone().ok_or(Erased)?;
    let new_email = if kind == MailKind::EmailChanged { personal.email.clone() } else { None };
    let until = match content {
        Content::CustomerPasswordTokenCreated { expires_at, .. }
        | Content::CustomerEmailTokenCreated { expires_at, .. }
        | Content::CustomerWelcomed { expires_at }
        | Content::VerificationCodeCreated { expires_at } => Some(*expires_at),
        _ => None,
    };
    let secret = message.secret.as_ref().map(|value| value.reveal_with(str::to_owned));
    let page = personal.page.clone();
    let letter = Letter { kind, to, new_email, at: message.created_at, until, secret, page };
    let body = serde_json::to_vec(&letter).map_err(|_| Erased)?;
    Ok(Rendered { content_type: "application/json", body })
}
