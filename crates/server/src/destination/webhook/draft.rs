//! A draft of an endpoint, field by field: what is wrong is told with the field's name, and what is not known is refused.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::invalid;
use super::settings::{Days, Never};
use crate::destination::Invalid;

/// The fields of a draft, and which of them have been asked for.
pub(super) struct Draft<'a> {
    fields: &'a Map<String, Value>,
    known: Vec<&'static str>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(fields: &'a Map<String, Value>) -> Self {
        Self { fields, known: Vec::new() }
    }

    /// The field, unless it is absent or null.
    fn take(&mut self, name: &'static str) -> Option<&'a Value> {
        self.known.push(name);
        self.fields.get(name).filter(|value| !value.is_null())
    }

    /// A field that only answers have, so that what was read can be sent back.
    pub(super) fn shown_only(&mut self, name: &'static str) {
        self.take(name);
    }

    pub(super) fn text(&mut self, name: &'static str) -> Result<Option<&'a str>, Invalid> {
        let text = |value: &'a Value| value.as_str().ok_or_else(|| invalid(name, "must be a string"));
        self.take(name).map(text).transpose()
    }

    pub(super) fn flag(&mut self, name: &'static str) -> Result<bool, Invalid> {
        let flag = |value: &Value| value.as_bool().ok_or_else(|| invalid(name, "must be true or false"));
        Ok(self.take(name).map(flag).transpose()?.unwrap_or_default())
    }

    pub(super) fn number(&mut self, name: &'static str, range: RangeInclusive<u32>) -> Result<Option<u32>, Invalid> {
        let number = |value: &Value| {
            let number =
                value.as_u64().and_then(|number| u32::try_from(number).ok()).filter(|number| range.contains(number));
            let (least, most) = (range.start(), range.end());
            number.ok_or_else(|| invalid(name, &format!("must be an integer from {least} to {most}")))
        };
        self.take(name).map(number).transpose()
    }

    /// A number, or `none`.
    pub(super) fn days(&mut self, name: &'static str, range: RangeInclusive<u32>) -> Result<Option<Days>, Invalid> {
        if self.fields.get(name).and_then(Value::as_str) == Some("none") {
            self.known.push(name);
            return Ok(Some(Days::Word(Never::None)));
        }
        let days = self
            .number(name, range)
            .map_err(|invalid| Invalid { text: format!("{}, or none", invalid.text), ..invalid });
        Ok(days?.map(Days::Number))
    }

    pub(super) fn choice<T: Copy>(
        &mut self,
        name: &'static str,
        words: &[(&'static str, T)],
    ) -> Result<Option<T>, Invalid> {
        let choice = |value: &Value| {
            let found = words.iter().find(|(word, _)| value.as_str() == Some(word)).map(|(_, meant)| *meant);
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            found.ok_or_else(|| invalid(name, &format!("must be one of: {}", known.join(", "))))
        };
        self.take(name).map(choice).transpose()
    }

    /// Refuses what nobody has asked for: a setting that is spelled wrong would be without effect, and nobody would know.
    pub(super) fn finish(self) -> Result<(), Invalid> {
        match self.fields.keys().find(|name| *name != "type" && !self.known.contains(&name.as_str())) {
            None => Ok(()),
            Some(unknown) => {
                let unknown: String = unknown.chars().take(50).collect();
                Err(invalid("type", &format!("Webhook has no field {unknown:?}; it has {}", self.known.join(", "))))
            }
        }
    }
}
