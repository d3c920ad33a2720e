//! What a wallet elsewhere must be told of a message, for the one destination that tells it.

use keyherald_core::notice::Notice;
use keyherald_core::wallet_notice::WalletNotice;

use super::letter::json;
use super::{Erased, Rendered};

/// The notice as JSON; `null` where there is none: the message is about something else.
pub fn render(notice: &Notice) -> Result<Rendered, Erased> {
    let Notice::Message(message) = notice else { return Err(Erased) };
    let names = &message.personal.as_ref().ok_or(Erased)?.identifiers;
    json(&WalletNotice::about(&message.facts.content, message.created_at, names))
}
