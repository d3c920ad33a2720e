//! What the mail about a message must say, for the one destination that makes mail of it.
//!
//! Everything in it comes from the message: the address and the name from its personal part, a token's value from its
//! secret one. The words are not here: they are chosen when the mail is sent.

use keyherald_core::mail::{Letter, MailKind, Recipient};
use keyherald_core::message::{Content, Flow};
use keyherald_core::notice::Notice;
use serde::Serialize;

use super::{Erased, Rendered};

/// The letter as JSON; `null` for a message that no mail is about, such as a code that goes to a mobile number.
pub fn render(notice: &Notice) -> Result<Rendered, Erased> {
    let Notice::Message(message) = notice else { return Err(Erased) };
    let content = &message.facts.content;
    let Some(kind) = MailKind::about(content) else { return json(&None::<Letter>) };
    let personal = message.personal.as_ref().ok_or(Erased)?;
    let to = Recipient { mobile: None, ..personal.recipient.clone().ok_or(Erased)? };
    let new_email = if kind == MailKind::EmailChanged { personal.email.clone() } else { None };
    let until = match content {
        Content::CustomerPasswordTokenCreated { expires_at, .. }
        | Content::CustomerEmailTokenCreated { expires_at, .. }
        | Content::CustomerWelcomed { expires_at }
        | Content::VerificationCodeCreated { expires_at, .. } => Some(*expires_at),
        _ => None,
    };
    let secret = message.secret.as_ref().map(|value| value.reveal_with(str::to_owned));
    let page = personal.page.clone();
    let recovers = kind == MailKind::VerificationCode && message.facts.flow == Flow::Recover;
    json(&Some(Letter { kind, to, recovers, new_email, at: message.created_at, until, secret, page }))
}

/// What a destination of ours reads again.
pub(super) fn json(told: &impl Serialize) -> Result<Rendered, Erased> {
    let body = serde_json::to_vec(told).map_err(|_| Erased)?;
    Ok(Rendered { content_type: "application/json", body })
}
