//! JSON bodies: property names in whatever letter case, unknown ones ignored, and all that is wrong told at once in the
//! contract's words (naviga.md 2.3, 2.5).

use std::collections::BTreeMap;

use keyherald_core::Micros;
use keyherald_core::secret::Password;
use serde_json::{Map, Value};

use super::password_rules::PasswordRules;
use super::reply::Problem;

/// Longest e-mail address in characters.
pub const EMAIL_CHARS_MAX: usize = 256;
/// Longest text that is looked for.
pub const INDEXED_CHARS_MAX: usize = 512;
/// Longest access token in characters.
pub const TOKEN_CHARS_MAX: usize = 8192;
/// Longest address of a page in characters.
pub const URL_CHARS_MAX: usize = 800;

/// A field's value cannot be. Noted in [`Fields::problem`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotValid;

/// The properties of a body. Reading one takes it out.
pub struct Fields {
    /// By their names in lower case. Of two that differ in letter case only, the later one.
    values: BTreeMap<String, Value>,
    wrong: Vec<String>,
}

impl Fields {
    /// Reads a body.
    pub fn parse(body: &[u8]) -> Result<Self, Problem> {
        // serde_json's texts are not repeated: the contract has a sentence of its own.
        let read: Option<Map<String, Value>> = serde_json::from_slice(body).map_err(|_| Problem::NoBody)?;
        let named = |(name, value): (String, Value)| (name.to_ascii_lowercase(), value);
        let values = read.ok_or(Problem::NoBody)?.into_iter().map(named).collect();
        Ok(Self { values, wrong: Vec::new() })
    }

    /// Whether the property is there and neither null nor a blank text.
    pub fn has(&self, name: &str) -> bool {
        self.values.get(&name.to_ascii_lowercase()).is_some_and(|value| !is_blank(value))
    }

    /// Whether one of these properties is there.
    pub fn has_any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.values.contains_key(&name.to_ascii_lowercase()))
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        self.values.remove(&name.to_ascii_lowercase()).filter(|value| !is_blank(value))
    }

    /// A password. `None`: there is none that could be; [`Fields::problem`] says so.
    pub fn password(&mut self, name: &str) -> Option<Password> {
        match self.take(name) {
            None => {
                self.wrong.push(format!("The {name} field is required."));
                None
            }
            // Not every store and provider can keep U+0000.
            Some(Value::String(text)) if !text.contains('\0') => Password::new(text).ok().or_else(|| {
                self.not_valid(name);
                None
            }),
            Some(_) => {
                self.not_valid(name);
                None
            }
        }
    }

    /// The same that is to be set, by these rules.
    pub fn new_password(&mut self, name: &str, rules: &PasswordRules) -> Option<Password> {
        let password = self.password(name)?;
        let broken = rules.broken_by(&password, name);
        let is_good = broken.is_empty();
        self.wrong.extend(broken);
        is_good.then_some(password)
    }

    /// A text that must be there, of at most `chars_max` characters. `None`: it is not, and [`Fields::problem`] says so.
    pub fn required_text(&mut self, name: &str, chars_max: usize) -> Option<String> {
        let text = self.text(name, chars_max).ok()?;
        if text.is_none() {
            self.wrong.push(format!("The {name} field is required."));
        }
        text
    }

    /// A text that may be there. If it is none that could be, [`Fields::problem`] says so.
    pub fn text(&mut self, name: &str, chars_max: usize) -> Result<Option<String>, NotValid> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.chars().count() <= chars_max && !text.contains('\0') => Ok(Some(text)),
            Some(_) => Err(self.not_valid(name)),
        }
    }

    /// An e-mail address that must be there. `None`: it is not, and [`Fields::problem`] says so.
    pub fn email(&mut self, name: &str) -> Option<String> {
        let email = self.required_text(name, EMAIL_CHARS_MAX)?.trim().to_owned();
        let parts = email.rsplit_once('@').filter(|(local, domain)| !local.is_empty() && !domain.is_empty());
        if parts.is_none() || email.chars().any(|letter| letter.is_whitespace() || letter.is_control()) {
            self.not_valid(name);
            return None;
        }
        Some(email)
    }

    /// Notes that a field's value cannot be.
    pub fn not_valid(&mut self, name: &str) -> NotValid {
        self.wrong.push(format!("The {name} field is not valid."));
        NotValid
    }

    /// A value that may be there, read by `read`. If it is none that could be, [`Fields::problem`] says so.
    fn optional<T>(&mut self, name: &str, read: impl FnOnce(Value) -> Option<T>) -> Result<Option<T>, NotValid> {
        match self.take(name).map(read) {
            None => Ok(None),
            Some(None) => Err(self.not_valid(name)),
            Some(value) => Ok(value),
        }
    }

    /// `true` or `false`, also as a text.
    pub fn flag(&mut self, name: &str) -> Result<Option<bool>, NotValid> {
        self.optional(name, |value| match value {
            Value::Bool(flag) => Some(flag),
            Value::String(text) => text.trim().to_ascii_lowercase().parse().ok(),
            _ => None,
        })
    }

    /// An object of the caller's own.
    pub fn object(&mut self, name: &str) -> Result<Option<Map<String, Value>>, NotValid> {
        self.optional(name, |value| match value {
            Value::Object(fields) => Some(fields),
            _ => None,
        })
    }

    /// A point in time; without a zone it is UTC.
    pub fn time(&mut self, name: &str) -> Result<Option<Micros>, NotValid> {
        self.optional(name, |value| {
            let text = value.as_str()?.trim();
            Micros::parse_iso(text).or_else(|| Micros::parse_iso(&format!("{text}Z"))).map(Micros::whole_millis)
        })
    }

    /// Whatever stands there.
    pub fn value(&mut self, name: &str) -> Option<Value> {
        self.take(name)
    }

    /// All that was found wrong.
    pub fn problem(self) -> Problem {
        Problem::invalid_input(self.wrong.join(" "))
    }
}

fn is_blank(value: &Value) -> bool {
    value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty())
}
