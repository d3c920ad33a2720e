//! The body that a subscription's own template makes of the contract's.
//!
//! A template is a caller's: it must not be able to take memory, time, or anything besides the message. So its language is
//! small ([`language`]): it reads the message, loops over parts of it, and asks; it names no other file, defines nothing, and
//! can bind a name only to a part of the message, so that nothing in it can grow from round to round. What remains is held
//! by rations, of instructions ([`FUEL`]) and of bytes ([`OUTPUT_BYTES_MAX`], [`TEXT_BYTES_MAX`], [`WORK_BYTES_MAX`]).
//!
//! What is not there is an error and no gap. Values are escaped for what the template makes.

mod language;
pub mod sample;
#[cfg(test)]
mod tests;

use std::io;

use keyherald_core::subscription::{MediaType, Transformation};
use minijinja::value::{Serde, ValueKind};
use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value, context, filters, tests as asks,
};
use serde::de::IgnoredAny;
use serde_json::Map;

use super::Rendered;

/// Instructions of one rendering.
pub const FUEL: u64 = 10_000;
/// Longest body in bytes.
pub const OUTPUT_BYTES_MAX: usize = 256 * 1024;
/// Longest text that `tojson` makes, in bytes.
pub const TEXT_BYTES_MAX: usize = 32 * 1024;
/// Bytes that filters may go through in one rendering, together.
pub const WORK_BYTES_MAX: usize = 4 << 20;

const NAME: &str = "template";
const JSON: &str = "json";

/// A template that cannot be used, or that makes nothing of a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .line.map_or_else(|| .what.clone(), |line| format!("{what} (line {line})")))]
pub struct TemplateError {
    /// The line of the template, from 1, if it is one's fault.
    pub line: Option<usize>,
    /// What is wrong. No values of a message.
    pub what: String,
    /// More of it, for the author of the template alone: it may repeat values.
    pub detail: Option<String>,
}

impl TemplateError {
    fn new(line: Option<usize>, what: impl Into<String>) -> Self {
        Self { line, what: what.into(), detail: None }
    }

    /// All of it, for the author.
    pub fn in_full(&self) -> String {
        self.detail.as_ref().map_or_else(|| self.to_string(), |detail| format!("{self}: {detail}"))
    }
}

/// A template that was read and is in the language.
pub struct Template {
    environment: Environment<'static>,
    media_type: MediaType,
}

impl Template {
    /// Reads a template.
    pub fn read(transformation: &Transformation) -> Result<Self, TemplateError> {
        let Transformation { template, media_type } = transformation;
        if template.len() > Transformation::TEMPLATE_BYTES_MAX {
            let most = Transformation::TEMPLATE_BYTES_MAX;
            return Err(TemplateError::new(None, format!("it is longer than {most} bytes")));
        }
        language::check(template)?;
        let mut environment = environment(*media_type);
        environment.add_template_owned(NAME, template.clone()).map_err(|error| of_error(&error))?;
        Ok(Self { environment, media_type: *media_type })
    }

    /// The body that it makes of the contract's one, which it knows as `message`.
    pub fn render(&self, payload: &Map<String, serde_json::Value>) -> Result<Rendered, TemplateError> {
        let template = self.environment.get_template(NAME).map_err(|error| of_error(&error))?;
        let mut body = Limited::new(OUTPUT_BYTES_MAX);
        let context = context! { message => Value::from(Serde(payload)) };
        let rendered = template.render_captured_to(context, &mut body).map(drop);
        if body.is_over {
            return Err(TemplateError::new(None, format!("what it makes is longer than {OUTPUT_BYTES_MAX} bytes")));
        }
        rendered.map_err(|error| of_error(&error))?;
        if self.media_type == MediaType::Json
            && let Err(error) = serde_json::from_slice::<IgnoredAny>(&body.bytes)
        {
            // Where it ends to be JSON is said of what was made; the error names no value.
            let place = format!("line {}, column {} of it", error.line(), error.column());
            return Err(TemplateError::new(None, format!("what it makes is no JSON: {place}")));
        }
        Ok(Rendered { content_type: content_type(self.media_type), body: body.bytes })
    }
}

fn content_type(media_type: MediaType) -> &'static str {
    match media_type {
        MediaType::Json => "application/json; charset=utf-8",
        MediaType::Xml => "application/xml; charset=utf-8",
        MediaType::Text => "text/plain; charset=utf-8",
    }
}

fn environment(media_type: MediaType) -> Environment<'static> {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.set_auto_escape_callback(move |_| match media_type {
        MediaType::Json => AutoEscape::Custom(JSON.into()),
        MediaType::Xml => AutoEscape::Html,
        MediaType::Text => AutoEscape::None,
    });
    environment.set_formatter(put);
    environment.add_filter("default", filters::default);
    environment.add_filter("first", filters::first);
    environment.add_filter("items", filters::items);
    environment.add_filter("last", filters::last);
    environment.add_filter("length", filters::length);
    environment.add_filter("lower", |state: &mut State<'_, '_>, text: &str| {
        spend(state, text.len()).map(|()| text.to_lowercase())
    });
    environment.add_filter("upper", |state: &mut State<'_, '_>, text: &str| {
        spend(state, text.len()).map(|()| text.to_uppercase())
    });
    environment.add_filter("trim", |state: &mut State<'_, '_>, text: &str| {
        spend(state, text.len()).map(|()| text.trim().to_owned())
    });
    environment.add_filter("tojson", to_json);
    environment.add_test("defined", asks::is_defined);
    environment.add_test("undefined", asks::is_undefined);
    environment.add_test("none", asks::is_none);
    environment
}

/// Puts a value into the body.
fn put(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    match state.auto_escape() {
        AutoEscape::Custom(_) => put_text(out, &json(value, OUTPUT_BYTES_MAX)?),
        escape => {
            let text = match value.kind() {
                ValueKind::Undefined | ValueKind::None => return Ok(()),
                ValueKind::Map | ValueKind::Seq | ValueKind::Iterable => json(value, OUTPUT_BYTES_MAX)?,
                _ => value.to_string(),
            };
            match escape {
                AutoEscape::Html => put_text(out, &escaped(&text)),
                _ => put_text(out, &text),
            }
        }
    }
}

fn put_text(out: &mut Output<'_>, text: &str) -> Result<(), Error> {
    out.write_str(text).map_err(Error::from)
}

/// A text in XML, as an element's content or within either kind of quotes. What XML cannot hold at all is left out.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {}
            _ => escaped.push(char),
        }
    }
    escaped
}

fn to_json(state: &mut State<'_, '_>, value: &Value) -> Result<Value, Error> {
    let text = json(value, TEXT_BYTES_MAX)?;
    spend(state, text.len())?;
    Ok(text.into())
}

fn json(value: &Value, bytes_max: usize) -> Result<String, Error> {
    let mut written = Limited::new(bytes_max);
    let done = serde_json::to_writer(&mut written, value);
    if written.is_over {
        return Err(Error::new(ErrorKind::WriteFailure, format!("a value is longer than {bytes_max} bytes")));
    }
    let text = done.ok().and_then(|()| String::from_utf8(written.bytes).ok());
    text.ok_or_else(|| Error::new(ErrorKind::BadSerialization, "a value is no JSON"))
}

/// What filters have gone through in this rendering.
#[derive(Debug, Default)]
struct Spent(usize);

fn spend(state: &mut State<'_, '_>, bytes: usize) -> Result<(), Error> {
    let spent: &mut Spent = state.get_or_insert_extension_with(Spent::default);
    spent.0 = spent.0.saturating_add(bytes);
    if spent.0 > WORK_BYTES_MAX { Err(Error::from(ErrorKind::OutOfFuel)) } else { Ok(()) }
}

/// Takes so many bytes, and no more.
struct Limited {
    bytes: Vec<u8>,
    bytes_max: usize,
    is_over: bool,
}

impl Limited {
    fn new(bytes_max: usize) -> Self {
        Self { bytes: Vec::new(), bytes_max, is_over: false }
    }
}

impl io::Write for Limited {
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + more.len() > self.bytes_max {
            self.is_over = true;
            return Err(io::Error::other("too long"));
        }
        self.bytes.extend_from_slice(more);
        Ok(more.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What minijinja says, without the values that it may repeat.
fn of_error(error: &Error) -> TemplateError {
    let what = match error.kind() {
        ErrorKind::UndefinedError => "a value is not there".to_owned(),
        ErrorKind::OutOfFuel => format!("it takes more than {FUEL} steps, or goes through too much text"),
        kind => kind.to_string(),
    };
    let detail = error.detail().map(str::to_owned);
    TemplateError { line: error.line(), what, detail }
}
