//! JSON bodies, read field by field, so that every error names its field in the contract's words.
//!
//! `null` counts as absent, unknown fields are ignored, as the contract's clients expect. Limits: the body's length
//! (before this), nesting (serde_json's 128), each text and each list. U+0000 is refused wherever it stands, because
//! not every store can keep it.
//!
//! Not serde's derives: their errors are prose that would have to be taken apart again, and they know no lengths.

use std::ops::RangeInclusive;
use std::str::FromStr;

use keyherald_core::id::Key;
use keyherald_core::secret::Password;
use serde_json::{Map, Value};

use super::reply::Problem;

/// Longest e-mail address in characters. RFC 5321 allows 254 bytes.
pub const EMAIL_CHARS_MAX: usize = 512;
/// Longest of the texts that the store indexes (names, numbers, ids), in characters.
pub const INDEXED_CHARS_MAX: usize = 256;
/// Longest of other texts, in characters.
pub const TEXT_CHARS_MAX: usize = 4096;

/// An object of a request's body. Reading a field takes it out.
pub struct Fields {
    /// Where the object lies in the body: `addresses -> `, or nothing.
    at: String,
    map: Map<String, Value>,
}

impl Fields {
    /// Reads a body.
    pub fn parse(body: &[u8]) -> Result<Self, Problem> {
        if body.is_empty() {
            return Err(Problem::invalid_json("The request body is empty."));
        }
        let text = std::str::from_utf8(body).map_err(|_| Problem::invalid_json("The request body is not UTF-8."))?;
        // serde_json's syntax errors name a place and never a value.
        let value: Value = serde_json::from_str(text).map_err(|error| Problem::invalid_json(error.to_string()))?;
        if let Some(mut path) = path_to_nul(&value) {
            path.reverse();
            let path: String = path.join(" -> ").chars().take(TEXT_CHARS_MAX).collect();
            return Err(Problem::invalid_json(format!("{path}: The character U+0000 is not allowed")));
        }
        match value {
            Value::Object(map) => Ok(Self { at: String::new(), map }),
            _ => Err(Problem::invalid_json("Expected a JSON object.")),
        }
    }

    /// The field's path from the top of the body.
    fn path(&self, name: &str) -> String {
        format!("{}{name}", self.at)
    }

    /// The problem that a field is not as it must be.
    pub fn wrong(&self, name: &str, detail: &str) -> Problem {
        Problem::invalid_json(format!("{}: {detail}", self.path(name)))
    }

    /// The problem that a field is missing.
    pub fn missing(&self, name: &str) -> Problem {
        self.wrong(name, "Missing required value")
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        self.map.remove(name).filter(|value| !value.is_null())
    }

    /// Whether the field is there.
    pub fn has(&self, name: &str) -> bool {
        self.map.get(name).is_some_and(|value| !value.is_null())
    }

    /// The problem that a required field is missing, unless it is there.
    pub fn require(&self, name: &str) -> Result<(), Problem> {
        if self.has(name) { Ok(()) } else { Err(self.missing(name)) }
    }

    /// A text of at most `chars_max` characters.
    pub fn text(&mut self, name: &str, chars_max: usize) -> Result<Option<String>, Problem> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.chars().nth(chars_max).is_none() => Ok(Some(text)),
            Some(value @ Value::String(_)) => Err(Problem::invalid_field(&self.path(name), &value)),
            Some(_) => Err(self.wrong(name, "Expected a text")),
        }
    }

    /// A text that must be there.
    pub fn required_text(&mut self, name: &str, chars_max: usize) -> Result<String, Problem> {
        self.text(name, chars_max)?.ok_or_else(|| self.missing(name))
    }

    /// A text that parses.
    pub fn parsed<T: FromStr>(&mut self, name: &str, chars_max: usize) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name, chars_max)? else { return Ok(None) };
        text.parse().map(Some).map_err(|_| Problem::invalid_field(&self.path(name), &Value::from(text)))
    }

    /// A resource's key.
    pub fn key(&mut self, name: &str) -> Result<Option<Key>, Problem> {
        self.parsed(name, TEXT_CHARS_MAX)
    }

    /// One of some texts.
    pub fn one_of<T: Copy>(&mut self, name: &str, known: &[(&str, T)]) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name, TEXT_CHARS_MAX)? else { return Ok(None) };
        match known.iter().find(|(spelled, _)| *spelled == text) {
            Some((_, value)) => Ok(Some(*value)),
            None => Err(self.unknown(name, &text, known.iter().map(|(spelled, _)| *spelled))),
        }
    }

    /// The problem that a text is none of the `known` ones.
    pub fn unknown<'k>(&self, name: &str, text: &str, known: impl Iterator<Item = &'k str>) -> Problem {
        let known: Vec<String> = known.map(|spelled| format!("'{spelled}'")).collect();
        self.wrong(name, &format!("Invalid enum value: '{text}'. Expected one of: {}", known.join(",")))
    }

    /// A whole number of 64 bits.
    pub fn integer(&mut self, name: &str) -> Result<Option<i64>, Problem> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Number(number)) if number.is_i64() => Ok(number.as_i64()),
            Some(_) => Err(self.wrong(name, "Expected an integer")),
        }
    }

    /// A whole number that must be there.
    pub fn required_integer(&mut self, name: &str) -> Result<i64, Problem> {
        self.integer(name)?.ok_or_else(|| self.missing(name))
    }

    /// A whole number within `range`. Any other number, also a fraction, gets the answer of a malformed parameter.
    pub fn integer_within(&mut self, name: &str, range: &RangeInclusive<i64>) -> Result<Option<i64>, Problem> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Number(number)) => {
                let within = number.as_i64().filter(|integer| range.contains(integer));
                let (least, most) = (range.start(), range.end());
                let why = || format!("The {name} parameter must be in the range of [{least}..{most}]");
                within.map(Some).ok_or_else(|| Problem::malformed_parameter(name, why()))
            }
            Some(_) => Err(self.wrong(name, "Expected an integer")),
        }
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, name: &str) -> Result<Option<bool>, Problem> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => Err(self.wrong(name, "Expected true or false")),
        }
    }

    /// A password as somebody typed it to prove who they are. It may be empty: then it is wrong.
    pub fn password(&mut self, name: &str) -> Result<Password, Problem> {
        match self.take(name) {
            None => Err(self.missing(name)),
            Some(Value::String(text)) => {
                Password::new(text).map_err(|_too_long| Problem::invalid_secret(&self.path(name)))
            }
            Some(_) => Err(self.wrong(name, "Expected a text")),
        }
    }

    /// A password that is to be set: any text but an empty one (there is no policy, commercetools.md 0.11).
    pub fn new_password(&mut self, name: &str) -> Result<Password, Problem> {
        let password = self.password(name)?;
        if password.hash_with(<[u8]>::is_empty) {
            return Err(Problem::invalid_secret(&self.path(name)));
        }
        Ok(password)
    }

    /// An object.
    pub fn object(&mut self, name: &str) -> Result<Option<Self>, Problem> {
        match self.take(name) {
            None => Ok(None),
            Some(value) => self.inner(name, value).map(Some),
        }
    }

    /// A list of at most `max` objects; absent: an empty one.
    pub fn objects(&mut self, name: &str, max: usize) -> Result<Vec<Self>, Problem> {
        self.list(name, max)?.into_iter().map(|value| self.inner(name, value)).collect()
    }

    /// A list of at most `max` texts; absent: an empty one.
    pub fn texts(&mut self, name: &str, max: usize, chars_max: usize) -> Result<Vec<String>, Problem> {
        let values = self.list(name, max)?;
        let read = |value| match value {
            Value::String(text) if text.chars().nth(chars_max).is_none() => Ok(text),
            value @ Value::String(_) => Err(Problem::invalid_field(&self.path(name), &value)),
            _ => Err(self.wrong(name, "Expected a list of texts")),
        };
        values.into_iter().map(read).collect()
    }

    /// A list of at most `max` whole numbers; absent: an empty one.
    pub fn integers(&mut self, name: &str, max: usize) -> Result<Vec<i64>, Problem> {
        let values = self.list(name, max)?;
        let read = |value: Value| value.as_i64().ok_or_else(|| self.wrong(name, "Expected a list of integers"));
        values.into_iter().map(read).collect()
    }

    fn list(&mut self, name: &str, max: usize) -> Result<Vec<Value>, Problem> {
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(values)) if values.len() <= max => Ok(values),
            Some(Value::Array(_)) => Err(self.wrong(name, &format!("Expected at most {max} elements"))),
            Some(_) => Err(self.wrong(name, "Expected a list")),
        }
    }

    fn inner(&self, name: &str, value: Value) -> Result<Self, Problem> {
        match value {
            Value::Object(map) => Ok(Self { at: format!("{} -> ", self.path(name)), map }),
            _ => Err(self.wrong(name, "Expected an object")),
        }
    }

    /// Leaves fields out, as if they had not been sent.
    pub fn forget(&mut self, names: &[&str]) {
        self.map.retain(|name, _| !names.contains(&name.as_str()));
    }

    /// What was not read, as it is.
    pub fn into_rest(self) -> Map<String, Value> {
        self.map
    }
}

/// The names that lead to a text or a name with U+0000 in it, innermost first. Walks as deep as serde_json has read, so
/// within its limit; the path is put together only when there is one.
fn path_to_nul(value: &Value) -> Option<Vec<&str>> {
    match value {
        Value::String(text) => text.contains('\0').then(Vec::new),
        Value::Array(values) => values.iter().find_map(path_to_nul),
        Value::Object(map) => map.iter().find_map(|(name, value)| {
            let mut path = if name.contains('\0') { Vec::new() } else { path_to_nul(value)? };
            path.push(name.as_str());
            Some(path)
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}
