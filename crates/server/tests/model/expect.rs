//! What an answer must be, to the letter, but for the values that only the server can choose.
//!
//! Such a value (an id, a token, the mask of a password) has a *name* in the model, a text between `‹` and `›`. The first
//! answer that shows it binds it: it must have the right form and be nobody else's. From then on it must be the same
//! wherever the name stands.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Map, Value, json};

/// A value that only the server can choose.
pub type Name = Rc<str>;

/// What is known of such values.
pub type Bindings = BTreeMap<Name, Rc<str>>;

/// Stands for whatever the server answers there.
pub const ANYTHING: &str = "‹anything›";

const OPEN: char = '‹';
const CLOSE: char = '›';

/// The name of the value `nth` of `kind` that call number `call` made. Calls that run at once make the same names in
/// whatever order they are played.
pub fn name(kind: &str, call: usize, nth: usize) -> Name {
    format!("{OPEN}{kind} {call}.{nth}{CLOSE}").into()
}

/// An answer, read to its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub status: u16,
    /// `null` if there is none.
    pub body: Value,
}

/// Answers that are right.
#[derive(Clone, Debug)]
pub enum Expected {
    /// This one.
    Body(u16, Value),
    /// This status and no body.
    Head(u16),
    /// 200 and a page of these.
    Page(Listing),
}

/// A list of which a page is answered.
#[derive(Clone, Debug)]
pub struct Listing {
    pub elements: Vec<Value>,
    pub limit: usize,
    pub offset: usize,
    pub with_total: bool,
    /// The field by which it is sorted, and whether descending.
    pub sort: (&'static str, bool),
    /// What tells an element from all others.
    pub identity: &'static [&'static str],
}

/// Why an answer is not right.
pub type Difference = String;

impl Expected {
    /// Holds an answer against it.
    pub fn matches(&self, answer: &Answer, bindings: &mut Bindings) -> Result<(), Difference> {
        let status = match self {
            Self::Body(status, _) | Self::Head(status) => *status,
            Self::Page(_) => 200,
        };
        let matched = match self {
            _ if answer.status != status => Err("another status".to_owned()),
            Self::Body(_, body) => unify(body, &answer.body, bindings, ""),
            Self::Head(_) if answer.body.is_null() => Ok(()),
            Self::Head(_) => Err("a body".to_owned()),
            Self::Page(listing) => listing.matches(&answer.body, bindings),
        };
        matched.map_err(|what| format!("{what}; expected {}", self.told(bindings)))
    }

    fn told(&self, bindings: &Bindings) -> String {
        match self {
            Self::Body(status, body) => format!("{status} {}", resolved(body, bindings)),
            Self::Head(status) => format!("{status} without a body"),
            Self::Page(listing) => {
                let elements = listing.elements.iter().map(|element| resolved(element, bindings).to_string());
                format!("200 with a page of\n    {}", elements.collect::<Vec<_>>().join("\n    "))
            }
        }
    }
}

impl Listing {
    fn matches(&self, body: &Value, bindings: &mut Bindings) -> Result<(), Difference> {
        let results = body["results"].as_array().ok_or("no results")?;
        let total = self.elements.len();
        let count = total.saturating_sub(self.offset).min(self.limit);
        let mut frame = json!({"limit": self.limit, "offset": self.offset, "count": count, "results": results});
        if self.with_total {
            frame["total"] = total.into();
        }
        unify(&frame, body, bindings, "")?;
        if results.len() != count {
            return Err(format!("/results has {} elements", results.len()));
        }
        self.results(results, bindings)
    }

    fn results(&self, results: &[Value], bindings: &mut Bindings) -> Result<(), Difference> {
        let (field, descends) = self.sort;
        let key = |result: &Value| result[field].as_str().unwrap_or_default().to_owned();
        let mut left: Vec<&Value> = self.elements.iter().collect();
        for (at, result) in results.iter().enumerate() {
            let same = |element: &&Value| {
                self.identity.iter().all(|pointer| {
                    let of = |body: &Value| body.pointer(pointer).cloned().unwrap_or_default();
                    resolved(&of(element), bindings) == of(result)
                })
            };
            let found =
                left.iter().position(same).ok_or_else(|| format!("/results/{at} is none of them, or there twice"))?;
            unify(left.remove(found), result, bindings, &format!("/results/{at}"))?;
            if let Some(before) = at.checked_sub(1).map(|before| key(&results[before])) {
                let ordered = if descends { before >= key(result) } else { before <= key(result) };
                if !ordered {
                    return Err(format!("/results/{at} is out of order"));
                }
            }
        }
        Ok(())
    }
}

/// The value with all names that are bound replaced.
pub fn resolved(value: &Value, bindings: &Bindings) -> Value {
    match value {
        Value::String(text) => match parts(text) {
            Some((before, name, after)) => match bindings.get(name) {
                Some(bound) => Value::from(format!("{before}{bound}{after}")),
                None => value.clone(),
            },
            None => value.clone(),
        },
        Value::Array(values) => values.iter().map(|value| resolved(value, bindings)).collect(),
        Value::Object(map) => {
            let resolve = |(name, value): (&String, &Value)| (name.clone(), resolved(value, bindings));
            map.iter().map(resolve).collect::<Map<_, _>>().into()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// The name in a text, and what stands around it.
fn parts(text: &str) -> Option<(&str, &str, &str)> {
    let start = text.find(OPEN)?;
    let end = text.find(CLOSE)? + CLOSE.len_utf8();
    Some((&text[..start], &text[start..end], &text[end..]))
}

/// Holds a value against another, and binds what is not bound yet. The error: where they differ.
fn unify(expected: &Value, actual: &Value, bindings: &mut Bindings, at: &str) -> Result<(), Difference> {
    match (expected, actual) {
        (Value::String(expected), _) if expected == ANYTHING => Ok(()),
        (Value::String(expected), Value::String(actual)) => match parts(expected) {
            Some((before, name, after)) => {
                let middle = actual.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
                bind(name, middle.ok_or_else(|| format!("{at} differs"))?, bindings)
                    .map_err(|why| format!("{at}: {why}"))
            }
            None if expected == actual => Ok(()),
            None => Err(format!("{at} differs")),
        },
        (Value::Array(expected), Value::Array(actual)) if expected.len() == actual.len() => {
            let mut pairs = expected.iter().zip(actual).enumerate();
            pairs.try_for_each(|(n, (expected, actual))| unify(expected, actual, bindings, &format!("{at}/{n}")))
        }
        (Value::Object(expected), Value::Object(actual)) => {
            if let Some(extra) = actual.keys().find(|name| !expected.contains_key(*name)) {
                return Err(format!("{at}/{extra} is too much"));
            }
            expected.iter().try_for_each(|(name, expected)| {
                let at = format!("{at}/{name}");
                let actual = actual.get(name).ok_or_else(|| format!("{at} is missing"))?;
                unify(expected, actual, bindings, &at)
            })
        }
        (expected, actual) if expected == actual => Ok(()),
        _ => Err(format!("{at} differs")),
    }
}

fn bind(name: &str, actual: &str, bindings: &mut Bindings) -> Result<(), Difference> {
    match bindings.get(name) {
        Some(bound) if **bound == *actual => return Ok(()),
        Some(_) => return Err(format!("{name} differs")),
        None => {}
    }
    let kind = name.trim_start_matches(OPEN).split(' ').next().unwrap_or_default();
    let url_safe = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    let fits = match kind {
        "id" => actual.len() == 36 && actual.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-')),
        "value" => actual.len() == 40 && url_safe(actual),
        "mask" => actual.len() == 8 && actual.starts_with("****"),
        "refresh" => actual.contains(':'),
        "text" => true,
        _ => !actual.is_empty(),
    };
    if !fits {
        return Err(format!("{actual:?} cannot be {name}"));
    }
    // Masks are short and addresses have their ids within a customer; texts are no values of their own.
    let is_own = !matches!(kind, "mask" | "address" | "text");
    if is_own && bindings.values().any(|bound| **bound == *actual) {
        return Err(format!("{name} is a value that something else has"));
    }
    bindings.insert(name.into(), actual.into());
    Ok(())
}
