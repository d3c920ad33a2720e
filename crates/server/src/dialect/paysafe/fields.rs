//! JSON bodies: unknown members ignored, and all that is wrong told at once, each by its dotted path (paysafe.md 7.2).

use std::ops::RangeInclusive;

use keyherald_core::Micros;
use keyherald_core::credentials_event::Device;
use keyherald_core::id::VerificationId;
use keyherald_core::secret::Password;
use keyherald_core::verification::{Attribute, Kind};
use serde_json::{Map, Value};

use super::reply::Problem;
use crate::config::RequiredIdentifiers;

/// Longest text of a member, in characters.
const CHARS_MAX: usize = 1000;
/// Longest `deviceInfo.appType`.
const APP_TYPE_CHARS_MAX: usize = 64;
/// Longest `deviceInfo`, written without white space.
const DEVICE_BYTES_MAX: usize = 8 * 1024;

/// A body, and what is wrong with it so far.
pub struct Fields {
    root: Value,
    wrong: Vec<(String, &'static str)>,
}

impl Fields {
    /// Reads a body.
    pub fn parse(body: &[u8]) -> Result<Self, Problem> {
        let root: Map<String, Value> = serde_json::from_slice(body).map_err(|_| Problem::unreadable())?;
        Ok(Self { root: Value::Object(root), wrong: Vec::new() })
    }

    /// Reads a query. Of a member that is there twice, the last one counts.
    pub fn of_query(query: &str) -> Self {
        let pairs = url::form_urlencoded::parse(query.as_bytes());
        let root = pairs.map(|(name, value)| (name.into_owned(), Value::String(value.into_owned()))).collect();
        Self { root: Value::Object(root), wrong: Vec::new() }
    }

    fn at(&self, path: &str) -> Option<&Value> {
        path.split('.').try_fold(&self.root, |value, name| value.get(name)).filter(|value| !value.is_null())
    }

    /// Whether the member is there.
    pub fn has(&self, path: &str) -> bool {
        self.at(path).is_some()
    }

    /// Notes what is wrong with a member.
    pub fn refuse(&mut self, path: &str, error: &'static str) {
        self.wrong.push((path.to_owned(), error));
    }

    /// A text that may be absent.
    pub fn optional_text(&mut self, path: &str) -> Option<String> {
        match self.at(path)? {
            Value::String(text) if text.chars().nth(CHARS_MAX).is_none() => Some(text.clone()),
            Value::String(_) => {
                self.refuse(path, "must not be longer than 1000 characters");
                None
            }
            _ => {
                self.refuse(path, "must be a string");
                None
            }
        }
    }

    /// A text that must be there.
    pub fn text(&mut self, path: &str) -> Option<String> {
        if !self.has(path) {
            self.refuse(path, "must not be null");
            return None;
        }
        let text = self.optional_text(path)?;
        if text.is_empty() {
            self.refuse(path, "must not be empty");
            return None;
        }
        Some(text)
    }

    /// One of the words of a closed list.
    pub fn word<T: std::str::FromStr>(&mut self, path: &str, error: &'static str) -> Option<T> {
        let parsed = self.text(path)?.parse().ok();
        if parsed.is_none() {
            self.refuse(path, error);
        }
        parsed
    }

    /// A time that must be there.
    pub fn time(&mut self, path: &str) -> Option<Micros> {
        if !self.has(path) {
            self.refuse(path, "must not be null");
        }
        self.optional_time(path)
    }

    /// A time that may be absent.
    pub fn optional_time(&mut self, path: &str) -> Option<Micros> {
        let at = Micros::parse_iso(&self.optional_text(path)?);
        if at.is_none() {
            self.refuse(path, "must be a date and time in RFC 3339 form");
        }
        at
    }

    /// A number in a query that may be absent; `error` says what it must be.
    pub fn number(&mut self, path: &str, range: RangeInclusive<i64>, error: &'static str) -> Option<i64> {
        let number = self.optional_text(path)?.parse().ok().filter(|number| range.contains(number));
        if number.is_none() {
            self.refuse(path, error);
        }
        number
    }

    /// A list of texts that must be there, of at most `max`; `error` says that there are too many.
    pub fn texts(&mut self, path: &str, max: usize, error: &'static str) -> Option<Vec<String>> {
        let Some(Value::Array(items)) = self.at(path) else {
            self.refuse(path, "must be an array");
            return None;
        };
        if items.is_empty() {
            self.refuse(path, "must not be empty");
            return None;
        }
        if items.len() > max {
            self.refuse(path, error);
            return None;
        }
        let mut texts = Vec::with_capacity(items.len());
        let mut wrong = Vec::new();
        for (at, item) in items.iter().enumerate() {
            match item.as_str() {
                Some(text) => texts.push(text.to_owned()),
                None => wrong.push((format!("{path}[{at}]"), "must be a string")),
            }
        }
        let all = wrong.is_empty();
        self.wrong.append(&mut wrong);
        all.then_some(texts)
    }

    /// A new password, or one that there is. U+0000 is none: not every store and provider can keep it.
    pub fn password(&mut self, path: &str) -> Option<Password> {
        let text = self.text(path)?;
        let is_one = !text.contains('\0');
        let password = Password::new(text).ok().filter(|_| is_one);
        if password.is_none() {
            self.refuse(path, "must be a valid password");
        }
        password
    }

    /// `customerIdentifiers`: what is said to be proved, and by which process. A process whose id has no such form is as
    /// unknown as any other: `Some(None)`.
    pub fn identifiers(&mut self) -> Vec<(Attribute, Option<VerificationId>)> {
        const NAME: &str = "customerIdentifiers";
        if !self.has(NAME) {
            self.refuse(NAME, "must not be null");
            return Vec::new();
        }
        let mut identifiers = Vec::new();
        for kind in Kind::ALL {
            let path = format!("{NAME}.{}", member(kind));
            if self.has(&path) {
                let attribute = self.attribute_at(kind, &format!("{path}.value"));
                let id = self.text(&format!("{path}.verificationId"));
                identifiers.extend(attribute.zip(id).map(|(attribute, id)| (attribute, id.parse().ok())));
            }
        }
        identifiers
    }

    /// Notes which identifiers a brand asks for and are not there.
    pub fn require(&mut self, required: &RequiredIdentifiers) {
        const NAME: &str = "customerIdentifiers";
        let is_there = |kind: &Kind| self.has(&format!("{NAME}.{}", member(*kind)));
        let missing: Vec<Kind> = required.all_of.iter().copied().filter(|kind| !is_there(kind)).collect();
        let has_any = required.any_of.is_empty() || required.any_of.iter().any(is_there);
        for kind in missing {
            self.refuse(&format!("{NAME}.{}", member(kind)), "must not be null");
        }
        match required.any_of.as_slice() {
            _ if has_any || !self.has(NAME) => {}
            [kind] => self.refuse(&format!("{NAME}.{}", member(*kind)), "must not be null"),
            _ => self.refuse(NAME, "must have email or mobile"),
        }
    }

    /// `deviceInfo`: what apps say of the device. Members that are not known here are not looked at.
    pub fn device(&mut self, is_required: bool, requires_app_type: bool) -> Option<Device> {
        const NAME: &str = "deviceInfo";
        match self.at(NAME) {
            None if is_required => self.refuse(NAME, "must not be null"),
            Some(Value::Object(members)) => {
                let is_large = serde_json::to_string(members).map_or(true, |text| text.len() > DEVICE_BYTES_MAX);
                if is_large {
                    self.refuse(NAME, "must not be larger than 8192 bytes");
                }
                return Some(self.device_members(requires_app_type));
            }
            Some(_) => self.refuse(NAME, "must be an object"),
            None => {}
        }
        None
    }

    fn device_members(&mut self, requires_app_type: bool) -> Device {
        let path = "deviceInfo.appType";
        let app_type = if requires_app_type { self.text(path) } else { self.optional_text(path) };
        if app_type.as_ref().is_some_and(|text| text.chars().nth(APP_TYPE_CHARS_MAX).is_some()) {
            self.refuse(path, "must not be longer than 64 characters");
        }
        let address = self.optional_text("deviceInfo.ipAddress");
        let user_agent = self.optional_text("deviceInfo.userAgent");
        Device { app_type, address, user_agent }
    }

    /// `attribute`: its type and its value, in canonical form.
    pub fn attribute(&mut self) -> Option<Attribute> {
        if !self.has("attribute") {
            self.refuse("attribute", "must not be null");
            return None;
        }
        let kind: Option<Kind> = self.word("attribute.type", "must be EMAIL or MOBILE");
        if let Some(kind) = kind {
            return self.attribute_at(kind, "attribute.value");
        }
        self.text("attribute.value");
        None
    }

    fn attribute_at(&mut self, kind: Kind, path: &str) -> Option<Attribute> {
        let value = self.text(path)?;
        let attribute = Attribute::parse(kind, &value);
        if attribute.is_none() {
            let error = match kind {
                Kind::Email => "must be a well-formed email address",
                Kind::Mobile => "must be a number in international form",
            };
            self.refuse(path, error);
        }
        attribute
    }

    /// Whether something is wrong.
    pub fn is_wrong(&self) -> bool {
        !self.wrong.is_empty()
    }

    /// The answer, if something is wrong.
    pub fn problem(self) -> Problem {
        Problem::fields(self.wrong)
    }
}

/// The member of `customerIdentifiers` that such an attribute is.
fn member(kind: Kind) -> &'static str {
    match kind {
        Kind::Email => "email",
        Kind::Mobile => "mobile",
    }
}
