//! The values that templates are filled with, and the filling.
//!
//! Where a template stands decides how its values are encoded, so that none can leave its place: a path's are segments,
//! a body's are data. A filter that names what the place does anyway changes nothing.

use std::collections::BTreeMap;
use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use keyherald_core::provider::ProviderError;
use keyherald_core::secret::Password;
use ring::hmac;
use serde_json::Value;
use zeroize::Zeroize;

use crate::connector::percent;
use crate::recipe::body::Shape;
use crate::recipe::template::{Expression, Filter, Group, Part, Template};

/// Values by the names that templates know them by. No `Debug`; the texts are wiped in the end.
#[derive(Default)]
pub(super) struct Values {
    known: BTreeMap<String, Value>,
    /// For the filter `hmac`.
    pub key: Option<hmac::Key>,
}

/// Why a template cannot be filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// A user's name or id cannot stand where it should: nobody has it.
    User,
    /// Another value cannot.
    Other,
}

impl From<Unfit> for ProviderError {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::User => Self::UserNotFound,
            Unfit::Other => Self::InvalidRequest,
        }
    }
}

/// A value on its way through filters.
enum Passing {
    Value(Value),
    Bytes(Vec<u8>),
}

impl Drop for Values {
    fn drop(&mut self) {
        for value in self.known.values_mut() {
            if let Value::String(text) = value {
                text.zeroize();
            }
        }
    }
}

impl Values {
    /// Adds a value; `None` and `null` are absent.
    pub fn set(&mut self, name: &str, value: Option<impl Into<Value>>) {
        let value = value.map_or(Value::Null, Into::into);
        self.known.insert(name.to_owned(), value);
    }

    /// Adds a password.
    pub fn set_secret(&mut self, name: &str, password: &Password) {
        password.reveal_with(|text| self.set(name, Some(text)));
    }

    /// `op.id`
    pub fn op_id(&self) -> Option<&str> {
        self.known.get("op.id")?.as_str()
    }

    /// The value of an expression. `own`: the filter that the place applies itself, after all others.
    fn value(&self, expression: &Expression, own: Option<Filter>) -> Result<Option<Value>, Unfit> {
        let value = self.known.get(&expression.variable.to_string()).cloned().unwrap_or_default();
        if value.is_null() {
            return Ok(None);
        }
        let mut filters = expression.filters.as_slice();
        if let Some((last, before)) = filters.split_last()
            && Some(*last) == own
        {
            filters = before;
        }
        let mut passing = Passing::Value(value);
        for filter in filters {
            passing = self.filtered(passing, *filter).ok_or_else(|| unfit(expression))?;
        }
        match passing {
            Passing::Value(value) => Ok(Some(value)),
            Passing::Bytes(_) => Err(Unfit::Other),
        }
    }

    fn filtered(&self, passing: Passing, filter: Filter) -> Option<Passing> {
        let bytes = match &passing {
            Passing::Bytes(bytes) => bytes.clone(),
            Passing::Value(value) => plain(value).into_bytes(),
        };
        let text = || String::from_utf8(bytes.clone()).ok();
        Some(Passing::Value(match filter {
            Filter::Path => percent::segment(&text()?)?.into(),
            Filter::Query => percent::encode(&text()?).into(),
            Filter::Form => url::form_urlencoded::byte_serialize(&bytes).collect::<String>().into(),
            Filter::Json => match passing {
                Passing::Value(value) => value.to_string().into(),
                Passing::Bytes(_) => return None,
            },
            Filter::B64 => STANDARD.encode(&bytes).into(),
            Filter::Hex => hex(&bytes).into(),
            Filter::Lower => text()?.to_lowercase().into(),
            Filter::Hmac => return Some(Passing::Bytes(hmac::sign(self.key.as_ref()?, &bytes).as_ref().to_vec())),
        }))
    }

    /// A path, each value a segment of it.
    pub fn path(&self, template: &Template) -> Result<String, Unfit> {
        let mut path = String::new();
        for part in template.parts() {
            match part {
                Part::Text(text) => path.push_str(text),
                Part::Value(expression) => {
                    let value = self.value(expression, Some(Filter::Path))?.ok_or_else(|| unfit(expression))?;
                    path.push_str(&percent::segment(&plain(&value)).ok_or_else(|| unfit(expression))?);
                }
            }
        }
        Ok(path)
    }

    /// A text that its place encodes, as `own` does. `None`: it is one value, and that is absent.
    pub fn text(&self, template: &Template, own: Option<Filter>) -> Result<Option<String>, Unfit> {
        self.joined(template, own, |value| Ok(plain(value)))
    }

    /// A list of named texts, without those that are absent.
    pub fn list(&self, list: &[(String, Template)], own: Option<Filter>) -> Result<Vec<(String, String)>, Unfit> {
        let mut filled = Vec::new();
        for (name, template) in list {
            filled.extend(self.text(template, own)?.map(|text| (name.clone(), text)));
        }
        Ok(filled)
    }

    /// A text whose values are escaped for XML.
    pub fn xml(&self, template: &Template) -> Result<String, Unfit> {
        let escaped = |value: &Value| {
            let mut escaped = String::new();
            for c in plain(value).chars() {
                match c {
                    '&' => escaped.push_str("&amp;"),
                    '<' => escaped.push_str("&lt;"),
                    '>' => escaped.push_str("&gt;"),
                    '"' => escaped.push_str("&quot;"),
                    '\'' => escaped.push_str("&#39;"),
                    // Read as a space in attributes otherwise.
                    '\t' | '\n' | '\r' => drop(write!(escaped, "&#{};", u32::from(c))),
                    '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => return Err(Unfit::Other),
                    c => escaped.push(c),
                }
            }
            Ok(escaped)
        };
        Ok(self.joined(template, None, escaped)?.unwrap_or_default())
    }

    fn joined(
        &self,
        template: &Template,
        own: Option<Filter>,
        written: impl Fn(&Value) -> Result<String, Unfit>,
    ) -> Result<Option<String>, Unfit> {
        if let Some(expression) = template.only() {
            return self.value(expression, own)?.map(|value| written(&value)).transpose();
        }
        let mut text = String::new();
        for part in template.parts() {
            match part {
                Part::Text(literal) => text.push_str(literal),
                Part::Value(expression) => {
                    if let Some(value) = self.value(expression, own)? {
                        text.push_str(&written(&value)?);
                    }
                }
            }
        }
        Ok(Some(text))
    }

    /// A JSON value. `None`: nothing of it is there.
    pub fn json(&self, shape: &Shape) -> Result<Option<Value>, Unfit> {
        Ok(match shape {
            Shape::Fixed(value) => Some(value.clone()),
            Shape::Filled(template) => match template.only() {
                Some(expression) => self.value(expression, Some(Filter::Json))?,
                None => self.text(template, Some(Filter::Json))?.map(Value::String),
            },
            Shape::List(shapes) => {
                let mut elements = Vec::new();
                for shape in shapes {
                    if self.is_whole(shape)? {
                        elements.extend(self.json(shape)?);
                    }
                }
                Some(elements.into())
            }
            Shape::Object(shapes) => {
                let mut members = serde_json::Map::new();
                for (name, shape) in shapes {
                    members.extend(self.json(shape)?.map(|value| (name.clone(), value)));
                }
                Some(members.into())
            }
        })
    }

    /// Whether every value of a list's element is there.
    fn is_whole(&self, shape: &Shape) -> Result<bool, Unfit> {
        Ok(match shape {
            Shape::Fixed(_) | Shape::List(_) => true,
            Shape::Filled(template) => match template.only() {
                Some(expression) => self.value(expression, Some(Filter::Json))?.is_some(),
                None => true,
            },
            Shape::Object(members) => {
                for (_, member) in members {
                    if !self.is_whole(member)? {
                        return Ok(false);
                    }
                }
                true
            }
        })
    }
}

fn unfit(expression: &Expression) -> Unfit {
    if expression.variable.group == Group::User { Unfit::User } else { Unfit::Other }
}

/// A value as a text: what is no text is as in JSON.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

/// Hexadecimal digits, lower case.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn values() -> Values {
        let mut values = Values::default();
        values.key = Some(hmac::Key::new(hmac::HMAC_SHA256, b"key"));
        values.set("user.id", Some("a b/é\"'"));
        values.set("user.odd", Some(".."));
        values.set("user.traits", Some(json!({"n": 1})));
        values.set("new.email_verified", Some(true));
        values.set("new.first_name", None::<&str>);
        values.set("secret.new_password", Some("a\"<&+ %"));
        values
    }

    fn template(text: &str) -> Template {
        text.parse().unwrap()
    }

    #[test]
    fn a_value_in_a_path_is_one_segment() {
        for text in ["/u/{{ user.id }}/p", "/u/{{ user.id | path }}/p"] {
            assert_eq!(values().path(&template(text)).as_deref(), Ok("/u/a%20b%2F%C3%A9%22%27/p"));
        }
        assert_eq!(values().path(&template("/u/{{ user.odd }}")), Err(Unfit::User));
        assert_eq!(values().path(&template("/u/{{ new.first_name }}")), Err(Unfit::Other));
    }

    #[test]
    fn filters_are_applied_in_order() {
        let text = |text: &str| values().text(&template(text), None).unwrap();
        assert_eq!(text("{{ secret.new_password | b64 }}").as_deref(), Some("YSI8JisgJQ=="));
        assert_eq!(text("{{ secret.new_password | form }}").as_deref(), Some("a%22%3C%26%2B+%25"));
        assert_eq!(text("{{ secret.new_password | query }}").as_deref(), Some("a%22%3C%26%2B%20%25"));
        assert_eq!(text("{{ secret.new_password | json }}").as_deref(), Some(r#""a\"<&+ %""#));
        assert_eq!(text("x eq {{ user.odd | json }}").as_deref(), Some(r#"x eq "..""#));
        assert_eq!(text("{{ user.id | lower | hex }}").as_deref(), Some("6120622fc3a92227"));
        let mac = "1af49281e49be6a4bbcd03e19bfa78b6bd1de67e84db0d2c4a1d8c4ea8bb4dcd";
        assert_eq!(text("{{ user.odd | hmac | hex }}").map(|mac| mac.len()), Some(mac.len()));
        assert_eq!(text("{{ new.first_name }}"), None);
        assert_eq!(text("-{{ new.first_name }}-").as_deref(), Some("--"));
    }

    #[test]
    fn a_body_keeps_types_and_leaves_out_what_is_absent() {
        let filled = |text: &str| Shape::Filled(template(text));
        let member = |name: &str, shape| (name.to_owned(), shape);
        let operation =
            |value: &str| Shape::Object(vec![member("v", filled(value)), member("op", Shape::Fixed(json!("r")))]);
        let shape = Shape::Object(vec![
            member("yes", filled("{{ new.email_verified }}")),
            member("traits", filled("{{ user.traits }}")),
            member("password", filled("{{ secret.new_password | json }}")),
            member("gone", filled("{{ new.first_name }}")),
            member("list", Shape::List(vec![operation("{{ new.first_name }}"), operation("{{ user.odd }}")])),
        ]);
        let expected = json!({
            "yes": true, "traits": {"n": 1}, "password": "a\"<&+ %", "list": [{"v": "..", "op": "r"}],
        });
        assert_eq!(values().json(&shape), Ok(Some(expected)));
    }

    #[test]
    fn xml_cannot_be_broken_by_a_value() {
        let text = values().xml(&template("<p v=\"{{ secret.new_password }}\"/>")).unwrap();
        assert_eq!(text, "<p v=\"a&quot;&lt;&amp;+ %\"/>");
        let mut values = Values::default();
        values.set("secret.new_password", Some("\0"));
        assert_eq!(values.xml(&template("{{ secret.new_password }}")), Err(Unfit::Other));
    }
}
