//! What people are told outside of mails: why a password is not taken, how a good one is found, and what short messages say,
//! in every language.
//!
//! Sentences are files, one per language (`reasons/`, `short_messages/`); which of them fits, callers say by codes of
//! `core`. What a mail says is in `mail`.

mod reasons;
mod short_messages;

pub use reasons::Reasons;
pub use short_messages::{CannotWrite, ShortMessages, SmsSender};
