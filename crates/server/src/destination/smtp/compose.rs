//! A mail as bytes: headers and two alternatives of one text. lettre knows how headers are encoded and folded, and that
//! nothing in them ends a line.
//!
//! The same message gives the same bytes at every attempt but for the date: ids and boundaries are made of its id.

use std::time::{Duration, UNIX_EPOCH};

use keyherald_core::mail::MailKind;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, MultiPart, SinglePart};
use lettre::{Address, error::Error};

use super::Account;
use crate::destination::Delivery;
use crate::mail::Written;

/// The whole mail, with the line ends of SMTP.
pub(super) fn compose(
    mail: &Written,
    account: &Account,
    (kind, to): (MailKind, &Address),
    delivery: &Delivery,
) -> Result<Vec<u8>, Error> {
    // The second mail about one message is no copy of the first.
    let suffix = if kind == MailKind::NewEmail { "-new" } else { "" };
    let id = format!("{}{suffix}", delivery.message_id.uuid().simple());
    let micros = u64::try_from(delivery.now.0).unwrap_or(0);
    let alternatives = MultiPart::alternative()
        .boundary(format!("=_{id}"))
        .singlepart(SinglePart::builder().header(ContentType::TEXT_PLAIN).body(mail.text.clone()))
        .singlepart(SinglePart::builder().header(ContentType::TEXT_HTML).body(mail.html.clone()));
    let mut builder = Message::builder()
        .message_id(Some(format!("<{id}@{}>", account.from.email.domain())))
        .date(UNIX_EPOCH + Duration::from_micros(micros))
        .from(account.from.clone())
        // Without a name: that would be one more place for what somebody typed.
        .to(Mailbox::new(None, to.clone()))
        .subject(mail.subject.clone());
    if let Some(reply_to) = &account.reply_to {
        builder = builder.reply_to(reply_to.clone());
    }
    // Nobody's out-of-office note should answer a machine (RFC 3834).
    for (name, value) in [
        ("Auto-Submitted", "auto-generated"),
        ("X-Auto-Response-Suppress", "All"),
        ("Content-Language", mail.language.as_str()),
    ] {
        let name = HeaderName::new_from_ascii(name.to_owned()).map_err(|_| Error::NonAsciiChars)?;
        builder = builder.raw_header(HeaderValue::new(name, value.to_owned()));
    }
    Ok(builder.multipart(alternatives)?.formatted())
}
