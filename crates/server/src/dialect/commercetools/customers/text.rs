//! A customer's descriptive texts: their names and forms (commercetools.md 2.2).

use keyherald_core::Micros;
use keyherald_core::update::TextField;
use serde_json::Value;

use super::super::fields::{Fields, INDEXED_CHARS_MAX, TEXT_CHARS_MAX};
use super::super::reply::Problem;

/// Reads one of them. Absent: there is none.
pub fn text(body: &mut Fields, field: TextField) -> Result<Option<String>, Problem> {
    match field {
        TextField::FirstName => body.text("firstName", INDEXED_CHARS_MAX),
        TextField::LastName => body.text("lastName", INDEXED_CHARS_MAX),
        TextField::MiddleName => body.text("middleName", TEXT_CHARS_MAX),
        TextField::Title => body.text("title", TEXT_CHARS_MAX),
        TextField::Salutation => body.text("salutation", TEXT_CHARS_MAX),
        TextField::DateOfBirth => checked(body, "dateOfBirth", is_date),
        TextField::CompanyName => body.text("companyName", TEXT_CHARS_MAX),
        TextField::VatId => body.text("vatId", TEXT_CHARS_MAX),
        TextField::Locale => checked(body, "locale", is_language_tag),
    }
}

/// A text of a form.
fn checked(body: &mut Fields, name: &str, fits: fn(&str) -> bool) -> Result<Option<String>, Problem> {
    match body.text(name, TEXT_CHARS_MAX)? {
        Some(text) if !fits(&text) => Err(Problem::invalid_field(name, &Value::from(text))),
        other => Ok(other),
    }
}

/// `YYYY-MM-DD`, a day that there is.
fn is_date(text: &str) -> bool {
    let shaped = text.len() == 10
        && text
            .bytes()
            .enumerate()
            .all(|(at, byte)| if at == 4 || at == 7 { byte == b'-' } else { byte.is_ascii_digit() });
    shaped && Micros::parse_iso(&format!("{text}T00:00:00Z")).is_some()
}

/// A language tag such as `de` or `de-AT`. Projects have no list of languages yet to hold it against.
fn is_language_tag(text: &str) -> bool {
    let mut parts = text.split('-');
    let language = parts.next().unwrap_or_default();
    let is_part = |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    text.len() <= 35
        && (2..=8).contains(&language.len())
        && language.bytes().all(|byte| byte.is_ascii_alphabetic())
        && parts.all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_days_that_there_are() {
        for (text, fits) in [
            ("1975-02-28", true),
            ("2024-02-29", true),
            ("2023-02-29", false),
            ("1975-2-28", false),
            ("1975-13-01", false),
            ("1975-02-28T", false),
            ("+975-02-28", false),
            ("", false),
        ] {
            assert_eq!(is_date(text), fits, "{text}");
        }
    }

    #[test]
    fn language_tags() {
        for (text, fits) in
            [("de", true), ("de-AT", true), ("zh-Hant-TW", true), ("d", false), ("de_AT", false), ("", false)]
        {
            assert_eq!(is_language_tag(text), fits, "{text}");
        }
    }
}
