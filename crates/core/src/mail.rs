//! Mail to customers: which messages are mailed, to whom, and what a mail must say.
//!
//! A [`Letter`] is a message cut down to what its mail needs. How that reads in which language is `mail`'s business in the
//! server, how it travels a destination's.

use serde::{Deserialize, Serialize};

use crate::ctx::Micros;
use crate::customer::Customer;
use crate::message::Content;

/// By which way somebody is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// By mail.
    #[default]
    Email,
    /// By a message to a mobile number.
    Sms,
}

/// What a mail is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailKind {
    /// The password was changed or reset.
    PasswordChanged,
    /// The account has another e-mail address; to the old one.
    EmailChanged,
    /// The same, to the new one.
    NewEmail,
    /// A link with which a new password can be chosen.
    ResetPassword,
    /// A link that proves that the address is the customer's.
    VerifyEmail,
    /// A code that proves the same.
    VerificationCode,
    /// The account was made by somebody else: a link with which its first password can be chosen.
    Welcome,
}

impl MailKind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::PasswordChanged,
        Self::EmailChanged,
        Self::NewEmail,
        Self::ResetPassword,
        Self::VerifyEmail,
        Self::VerificationCode,
        Self::Welcome,
    ];

    /// The name in configurations and templates.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PasswordChanged => "password_changed",
            Self::EmailChanged => "email_changed",
            Self::NewEmail => "new_email",
            Self::ResetPassword => "reset_password",
            Self::VerifyEmail => "verify_email",
            Self::VerificationCode => "verification_code",
            Self::Welcome => "welcome",
        }
    }

    /// What the mail cannot do without.
    pub fn carries(self) -> Carries {
        match self {
            Self::PasswordChanged | Self::EmailChanged | Self::NewEmail => Carries::Nothing,
            Self::ResetPassword | Self::VerifyEmail | Self::Welcome => Carries::Link,
            Self::VerificationCode => Carries::Code,
        }
    }

    /// The mail about a message; of one to each of two addresses, the first. `None`: there is none.
    pub fn about(content: &Content) -> Option<Self> {
        match content {
            Content::CustomerPasswordUpdated { .. } => Some(Self::PasswordChanged),
            Content::CustomerEmailChanged => Some(Self::EmailChanged),
            Content::CustomerPasswordTokenCreated { .. } => Some(Self::ResetPassword),
            Content::CustomerEmailTokenCreated { .. } => Some(Self::VerifyEmail),
            Content::CustomerWelcomed { .. } => Some(Self::Welcome),
            Content::VerificationCodeCreated { channel: Channel::Email, .. } => Some(Self::VerificationCode),
            _ => None,
        }
    }

    /// The message that brings it about: resource type and type.
    pub fn message(self) -> (&'static str, &'static str) {
        match self {
            Self::PasswordChanged => ("customer", "CustomerPasswordUpdated"),
            Self::EmailChanged | Self::NewEmail => ("customer", "CustomerEmailChanged"),
            Self::ResetPassword => ("customer-password-token", "CustomerPasswordTokenCreated"),
            Self::VerifyEmail => ("customer-email-token", "CustomerEmailTokenCreated"),
            Self::VerificationCode => ("customer-email-token", "VerificationCodeCreated"),
            Self::Welcome => ("customer-password-token", "CustomerWelcomed"),
        }
    }
}

/// The secret of a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carries {
    /// None.
    Nothing,
    /// A token's value, in a link.
    Link,
    /// A code to be typed; and, where the letter names a page, a link that carries it there.
    Code,
}

/// The address of the page where a token is redeemed, with `{token}` in the place of its value.
///
/// The page is the operator's, and it redeems by POST: what opens links in mail is often a scanner, and a GET must not
/// use a token up. In the fragment (`#token={token}`) the value reaches no server's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Link(String);

impl TryFrom<String> for Link {
    type Error = crate::id::NotAnId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Link> for String {
    fn from(link: Link) -> Self {
        link.0
    }
}

impl Link {
    /// The place of the token's value.
    const PLACE: &'static str = "{token}";

    /// The address with this token's value.
    pub fn with_token(&self, value: &str) -> String {
        let mut encoded = String::with_capacity(value.len());
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                encoded.push(char::from(byte));
            } else {
                encoded.extend(['%', hex_digit(byte >> 4), hex_digit(byte & 15)]);
            }
        }
        self.0.replacen(Self::PLACE, &encoded, 1)
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn hex_digit(value: u8) -> char {
    char::from_digit(u32::from(value), 16).unwrap_or('0').to_ascii_uppercase()
}

impl std::str::FromStr for Link {
    type Err = crate::id::NotAnId;

    /// `https://`, or `http://` on this machine; the place behind the host, once; nothing that has to be escaped.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let local = ["localhost", "127.0.0.1", "[::1]"];
        let is_local = |rest: &str| {
            local.iter().any(|host| rest.strip_prefix(host).is_some_and(|rest| rest.starts_with([':', '/'])))
        };
        let rest = match text.strip_prefix("https://") {
            Some(rest) => Some(rest),
            None => text.strip_prefix("http://").filter(|rest| is_local(rest)),
        };
        let (host, path) = rest.and_then(|rest| rest.split_once('/')).ok_or(crate::id::NotAnId)?;
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\"'<>\\^`|{}".contains(&byte);
        let bare = path.replacen(Self::PLACE, "", 1);
        let is_link = !host.is_empty()
            && !host.contains('@')
            && text.len() <= 1000
            && path.contains(Self::PLACE)
            && host.bytes().chain(bare.bytes()).all(is_plain);
        if is_link { Ok(Self(text.to_owned())) } else { Err(crate::id::NotAnId) }
    }
}

/// Whom a mail goes to: the customer as it was when the message came about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// The address. Empty where only the mobile number is known.
    pub email: String,
    /// The mobile number, where it is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mobile: Option<String>,
    /// The first name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
    /// The customer's locale.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub locale: Option<String>,
}

impl Recipient {
    /// The customer as it is.
    pub fn of(customer: &Customer) -> Self {
        let profile = &customer.profile;
        let (name, locale) = (profile.first_name.clone(), profile.locale.clone());
        let mobile = customer.mobile.as_ref().map(|mobile| mobile.as_str().to_owned());
        Self { email: customer.email.clone(), mobile, name, locale }
    }
}

/// What one mail must say.
// No `Debug`: it holds an address and a secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// What it is about.
    pub kind: MailKind,
    /// Whom it goes to.
    pub to: Recipient,
    /// Whether its code is for a forgotten password.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub recovers: bool,
    /// The customer's new address, to which another one goes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub new_email: Option<String>,
    /// When that happened which it tells.
    pub at: Micros,
    /// When its secret ends.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub until: Option<Micros>,
    /// The token's value, or the code. Absent where one belongs: it has ended, and the mail is pointless.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub secret: Option<String>,
    /// Where its link leads. `None`: to the page that is configured; of a code, nowhere.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub page: Option<Link>,
}

impl Letter {
    /// The letters that it is: one for each address.
    pub fn of_each_address(self) -> impl Iterator<Item = Self> {
        let second = self.new_email.clone().map(|email| Self {
            kind: MailKind::NewEmail,
            to: Recipient { email, ..self.to.clone() },
            new_email: None,
            ..self.clone()
        });
        std::iter::once(self).chain(second)
    }

    /// Whether what it carries has ended: such a mail is not sent.
    pub fn is_moot(&self, now: Micros) -> bool {
        let ended = self.secret.is_none() || self.until.is_some_and(|until| until <= now);
        self.kind.carries() != Carries::Nothing && ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::create::tests::customer;

    #[test]
    fn a_letter_without_its_secret_is_moot() {
        let letter = |kind, secret: Option<&str>, until| Letter {
            kind,
            to: Recipient::of(&customer()),
            recovers: false,
            new_email: None,
            at: Micros(0),
            until,
            secret: secret.map(str::to_owned),
            page: None,
        };
        assert!(!letter(MailKind::PasswordChanged, None, None).is_moot(Micros(9)));
        assert!(letter(MailKind::ResetPassword, None, Some(Micros(10))).is_moot(Micros(9)));
        assert!(!letter(MailKind::ResetPassword, Some("t"), Some(Micros(10))).is_moot(Micros(9)));
        assert!(letter(MailKind::VerificationCode, Some("t"), Some(Micros(10))).is_moot(Micros(10)));
    }

    #[test]
    fn a_link_has_one_place_behind_its_host() {
        let link: Link = "https://shop.example/reset?lang=de#token={token}".parse().unwrap();
        assert_eq!(link.with_token("aB-_9"), "https://shop.example/reset?lang=de#token=aB-_9");
        assert_eq!(link.with_token("\"><a&\n"), "https://shop.example/reset?lang=de#token=%22%3E%3Ca%26%0A");
        for good in ["http://localhost:3000/{token}", "http://127.0.0.1/a#{token}", "https://a/{token}/b"] {
            assert!(good.parse::<Link>().is_ok(), "{good}");
        }
        for wrong in [
            "https://shop.example/reset",
            "https://{token}/",
            "https://shop.example/{token}/{token}",
            "http://shop.example/{token}",
            "http://localhost.evil.example/{token}",
            "https://user@shop.example/{token}",
            "https:///{token}",
            "javascript:alert('{token}')",
            "https://shop.example/\r\nBcc: a@b/{token}",
            "https://shop.example/\"{token}",
        ] {
            assert!(wrong.parse::<Link>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn kinds_have_the_names_that_are_stored() {
        for kind in MailKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }
}
