//! What the SMS about a message must say, for the one destination that makes one of it.
//!
//! As with letters, everything in it comes from the message: the number from its personal part, a code from its secret one.
//! The words are not here: they are chosen when it is sent.

use keyherald_core::notice::Notice;
use keyherald_core::sms::{ShortMessage, SmsKind};

use super::letter::json;
use super::{Erased, Rendered};

/// The short message as JSON; `null` where there is none: the message is about something else, or no number is known.
pub fn render(notice: &Notice) -> Result<Rendered, Erased> {
    let Notice::Message(message) = notice else { return Err(Erased) };
    let content = &message.facts.content;
    if SmsKind::about(content).is_none() {
        return json(&None::<ShortMessage>);
    }
    let to = message.personal.as_ref().and_then(|personal| personal.recipient.as_ref()).ok_or(Erased)?;
    let code = message.secret.as_ref().map(|value| value.reveal_with(str::to_owned));
    json(&ShortMessage::about(content, message.created_at, to, code))
}
