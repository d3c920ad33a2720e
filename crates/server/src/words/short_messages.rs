//! What a short message says. Each is one segment, or in Cyrillic two, as long as the names of the sender are short: a
//! segment has a price, and the second one may come first.
//!
//! A code stands at the beginning, where a locked screen shows it and where telephones look for it. No link is in it:
//! whoever gets an unexpected link by SMS should not open it.

use std::collections::BTreeMap;

use keyherald_core::Micros;
use keyherald_core::sms::{ShortMessage, SmsKind};
use serde::Deserialize;

/// The language that there always is.
const LANGUAGE: &str = "en";
/// Longest name of a sender in characters.
const SENDER_CHARACTERS_MAX: usize = 40;
/// Longest contact in characters.
const CONTACT_CHARACTERS_MAX: usize = 60;

const FILES: [(&str, &str); 5] = [
    ("bg", include_str!("short_messages/bg.toml")),
    ("de", include_str!("short_messages/de.toml")),
    ("en", include_str!("short_messages/en.toml")),
    ("es", include_str!("short_messages/es.toml")),
    ("fr", include_str!("short_messages/fr.toml")),
];

/// The texts of all languages.
#[derive(Clone)]
pub struct ShortMessages {
    languages: BTreeMap<&'static str, Texts>,
}

/// The file of one language. `{code}`, `{sender}`, `{time}` (UTC) and `{contact}` are replaced.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Texts {
    verification_code: String,
    password_changed: String,
    /// Added where there is a contact.
    contact: String,
}

/// In whose name short messages are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SmsSender {
    /// What customers know it by.
    pub name: String,
    /// Whom they turn to: a number, an address or a page.
    pub contact: Option<String>,
    /// The language for customers who have none, or one that there are no texts for.
    pub locale: Option<String>,
}

/// A message that cannot be written: its code is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a short message has no code")]
pub struct CannotWrite;

impl ShortMessages {
    /// The built-in ones. What is wrong with a file, in clear text.
    pub fn built_in() -> Result<Self, String> {
        let read = |(language, text): (&'static str, &str)| {
            let texts = toml::from_str(text).map_err(|error| format!("{language}.toml: {error}"))?;
            Ok::<_, String>((language, texts))
        };
        Ok(Self { languages: FILES.into_iter().map(read).collect::<Result<_, _>>()? })
    }

    /// The text in the customer's language.
    pub fn write(&self, message: &ShortMessage, sender: &SmsSender) -> Result<String, CannotWrite> {
        let wanted = [message.locale.as_deref(), sender.locale.as_deref(), Some(LANGUAGE)];
        let texts = wanted.into_iter().flatten().find_map(|locale| self.of(locale)).ok_or(CannotWrite)?;
        let name = line(&sender.name, SENDER_CHARACTERS_MAX);
        match message.kind {
            SmsKind::VerificationCode => {
                let code = message.code.as_deref().ok_or(CannotWrite)?;
                let time = message.until.map(time).ok_or(CannotWrite)?;
                Ok(filled(&texts.verification_code, &[("{code}", code), ("{time}", &time), ("{sender}", &name)]))
            }
            SmsKind::PasswordChanged => {
                let told = filled(&texts.password_changed, &[("{sender}", &name)]);
                Ok(match &sender.contact {
                    Some(contact) => {
                        let contact = line(contact, CONTACT_CHARACTERS_MAX);
                        format!("{told} {}", filled(&texts.contact, &[("{contact}", &contact)]))
                    }
                    None => told,
                })
            }
        }
    }

    fn of(&self, locale: &str) -> Option<&Texts> {
        self.languages.get(locale.split(['-', '_']).next()?.to_ascii_lowercase().as_str())
    }
}

/// Hour and minute, in UTC.
fn time(at: Micros) -> String {
    at.iso().get(11..16).unwrap_or_default().to_owned()
}

/// A text with values in the places of names. What is in a value is never looked at again.
fn filled(text: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(text.len() + 64);
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        let (before, from) = rest.split_at(at);
        filled.push_str(before);
        let (name, value) = values.iter().find(|(name, _)| from.starts_with(name)).copied().unwrap_or(("{", "{"));
        filled.push_str(value);
        rest = from.get(name.len()..).unwrap_or_default();
    }
    filled.push_str(rest);
    filled
}

/// One line of at most so many characters.
fn line(text: &str, characters_max: usize) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().filter(|character| !character.is_control()).take(characters_max).collect()
}

#[cfg(test)]
mod tests {
    use keyherald_core::sms::segments;

    use super::*;

    fn message(kind: SmsKind, locale: Option<&str>) -> ShortMessage {
        ShortMessage {
            kind,
            to: "+359897765463".to_owned(),
            locale: locale.map(str::to_owned),
            at: Micros(0),
            until: Some(Micros::parse_iso("2026-11-22T10:14:00Z").unwrap()),
            code: Some("123456".to_owned()),
        }
    }

    fn sender(contact: Option<&str>) -> SmsSender {
        SmsSender { name: "Herald's Books".to_owned(), contact: contact.map(str::to_owned), locale: None }
    }

    #[test]
    fn every_text_is_whole_and_short_in_every_language() {
        let texts = ShortMessages::built_in().unwrap();
        for (language, _) in FILES {
            let segments_max = if language == "bg" { 2 } else { 1 };
            for kind in SmsKind::ALL {
                for contact in [None, Some("help@books.example")] {
                    let text = texts.write(&message(kind, Some(language)), &sender(contact)).unwrap();
                    assert!(!text.contains(['{', '}']) && text.contains("Herald's Books"), "{language}: {text}");
                    assert!(segments(&text) <= segments_max, "{language}: {} segments: {text}", segments(&text));
                    let shows = |part: &str| text.contains(part);
                    if kind == SmsKind::VerificationCode {
                        assert!(text.starts_with("123456") && shows("10:14 UTC"), "{language}: {text}");
                    } else {
                        assert!(contact.is_none_or(shows) && !shows("123456"), "{language}: {text}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_language_is_the_customers_or_the_senders_or_english() {
        let texts = ShortMessages::built_in().unwrap();
        let told = |locale, own: Option<&str>| {
            let sender = SmsSender { locale: own.map(str::to_owned), ..sender(None) };
            texts.write(&message(SmsKind::PasswordChanged, locale), &sender).unwrap()
        };
        assert_eq!(told(Some("de-AT"), Some("fr")), told(Some("de"), None));
        assert_eq!(told(Some("pt"), Some("fr")), told(Some("fr"), None));
        assert_eq!(told(None, Some("pt")), told(Some("en"), None));
    }

    #[test]
    fn values_are_never_read_as_names_and_stay_one_line() {
        let texts = ShortMessages::built_in().unwrap();
        let hostile = SmsSender { name: "{code}\r\n{sender}".to_owned(), ..SmsSender::default() };
        let told = texts.write(&message(SmsKind::PasswordChanged, None), &hostile).unwrap();
        assert!(told.contains("{code} {sender}") && !told.contains("123456") && !told.contains('\n'), "{told}");
        let without = ShortMessage { code: None, ..message(SmsKind::VerificationCode, None) };
        assert_eq!(texts.write(&without, &hostile), Err(CannotWrite));
    }
}
