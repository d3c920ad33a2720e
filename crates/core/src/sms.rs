//! Short messages to mobile numbers: which messages bring one about, to whom, and what it must say.
//!
//! As with mail, a [`ShortMessage`] is a message cut down to what is sent; how that reads in which language is for the
//! server's `words`, how it travels a destination's. Each segment of a short message is paid for, so it is known here how
//! many a text has.

use serde::{Deserialize, Serialize};

use crate::ctx::Micros;
use crate::mail::{Channel, Recipient};
use crate::message::Content;

/// What a short message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SmsKind {
    /// The password was changed or reset.
    PasswordChanged,
    /// A code that proves that the number is the customer's.
    VerificationCode,
}

impl SmsKind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::PasswordChanged, Self::VerificationCode];

    /// The name in configurations and texts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PasswordChanged => "password_changed",
            Self::VerificationCode => "verification_code",
        }
    }

    /// The short message about a message. `None`: there is none.
    pub fn about(content: &Content) -> Option<Self> {
        match content {
            Content::CustomerPasswordUpdated { .. } => Some(Self::PasswordChanged),
            Content::VerificationCodeCreated { channel: Channel::Sms, .. } => Some(Self::VerificationCode),
            _ => None,
        }
    }

    /// The message that brings it about: resource type and type.
    pub fn message(self) -> (&'static str, &'static str) {
        match self {
            Self::PasswordChanged => ("customer", "CustomerPasswordUpdated"),
            Self::VerificationCode => ("customer-email-token", "VerificationCodeCreated"),
        }
    }
}

/// What one short message must say.
// No `Debug`: it holds a number and a secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShortMessage {
    /// What it is about.
    pub kind: SmsKind,
    /// The mobile number, as `+359897765463`.
    pub to: String,
    /// The customer's locale.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub locale: Option<String>,
    /// When that happened which it tells.
    pub at: Micros,
    /// When its code ends.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub until: Option<Micros>,
    /// The code. Absent where one belongs: it has ended, and the message is pointless.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub code: Option<String>,
}

impl ShortMessage {
    /// One about `content`, to whoever that went to. `None`: there is none about it, or no number.
    pub fn about(content: &Content, at: Micros, to: &Recipient, code: Option<String>) -> Option<Self> {
        let kind = SmsKind::about(content)?;
        let until = match content {
            Content::VerificationCodeCreated { expires_at, .. } => Some(*expires_at),
            _ => None,
        };
        Some(Self { kind, to: to.mobile.clone()?, locale: to.locale.clone(), at, until, code })
    }

    /// Whether what it carries has ended: such a message is not sent.
    pub fn is_moot(&self, now: Micros) -> bool {
        let ended = self.code.is_none() || self.until.is_some_and(|until| until <= now);
        self.kind == SmsKind::VerificationCode && ended
    }
}

/// The characters of the default alphabet (3GPP TS 23.038) that are not ASCII.
const NOT_ASCII: &str = "£¥èéùìòÇØøÅåΔΦΓΛΩΠΨΣΘΞÆæßÉÄÖÑÜ§äöñüà¡¿¤";
/// ASCII characters that are not in it.
const NO_ASCII: &str = "`";
/// Those that take two places in it.
const TWO_PLACES: &str = "^{}\\[~]|€";

/// How many segments a text is sent as: each is paid for. With one character outside of the default alphabet, a segment
/// holds less than half.
pub fn segments(text: &str) -> usize {
    let places = |character: char| match character {
        _ if TWO_PLACES.contains(character) => Some(2),
        '\n' | '\r' => Some(1),
        _ if character.is_ascii_control() || NO_ASCII.contains(character) => None,
        _ if character.is_ascii() || NOT_ASCII.contains(character) => Some(1),
        _ => None,
    };
    let in_alphabet = text.chars().map(places).sum::<Option<usize>>();
    let (length, alone, joined) = match in_alphabet {
        Some(places) => (places, 160, 153),
        None => (text.encode_utf16().count(), 70, 67),
    };
    if length <= alone { 1 } else { length.div_ceil(joined) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_counted_by_alphabet() {
        for (text, expected) in [
            (String::new(), 1),
            ("x".repeat(160), 1),
            ("x".repeat(161), 2),
            ("x".repeat(306), 2),
            ("x".repeat(307), 3),
            ("€".repeat(80), 1),
            ("€".repeat(81), 2),
            ("ж".repeat(70), 1),
            ("ж".repeat(71), 2),
            ("ж".repeat(135), 3),
            (format!("{}ó", "x".repeat(70)), 2),
            (format!("{}é", "x".repeat(159)), 1),
            ("🦔".repeat(35), 1),
            ("🦔".repeat(36), 2),
        ] {
            assert_eq!(segments(&text), expected, "{} of {text:.8}", text.chars().count());
        }
    }

    #[test]
    fn a_code_by_mail_is_no_short_message() {
        let to = Recipient { mobile: Some("+359897765463".to_owned()), ..Recipient::default() };
        let of = |channel| {
            let content = Content::VerificationCodeCreated { expires_at: Micros(9), channel };
            ShortMessage::about(&content, Micros(1), &to, Some("123456".to_owned()))
        };
        assert!(of(Channel::Email).is_none());
        let message = of(Channel::Sms).unwrap();
        assert!(!message.is_moot(Micros(8)) && message.is_moot(Micros(9)));
        assert!(ShortMessage { code: None, ..message }.is_moot(Micros(1)));
        let told =
            ShortMessage::about(&Content::CustomerPasswordUpdated { reset: true }, Micros(1), &to, None).unwrap();
        assert!(!told.is_moot(Micros(i64::MAX)));
        let nobody = Recipient::default();
        assert!(
            ShortMessage::about(&Content::CustomerPasswordUpdated { reset: true }, Micros(1), &nobody, None).is_none()
        );
    }
}
