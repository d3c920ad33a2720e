//! Mail: which words a [`Letter`](keyherald_core::mail::Letter) has in which language, and the mailbox of development.
//!
//! The sentences of a language are one file (`locales/`), and two layouts make the text and the HTML of them, so the two
//! never say different things. Operators put files of their own in the place of any of these; what they write is checked
//! before anything is sent with it, by writing every mail in every language.
//!
//! Values that come from customers never become markup, headers or links: see [`mod@plain`]. How mail travels is not
//! known here.

pub mod mailbox;
pub mod plain;
mod sentences;
pub mod templates;
#[cfg(test)]
mod tests;

pub use mailbox::{Mailbox, Received, Told};
pub use templates::{CannotWrite, Sender, Templates, Written};
