//! Reading tables that are language, not settings: each key once, and what nobody asked for is unknown.

use std::str::FromStr;

use crate::config::keys::Place;
use crate::config::problem::did_you_mean;
use crate::config::tree::{Node, Table, Value};
use crate::recipe::predicate::Statuses;
use crate::recipe::source::is_header_name;
use crate::recipe::template::Template;

/// Longest list or table.
const LENGTH_MAX: usize = 200;

/// A table that is being read. What is wrong with it is reported, and read as absent.
pub(super) struct Fields<'n, 'p> {
    node: &'n Node,
    table: &'n Table,
    place: Place<'p>,
    known: Vec<&'static str>,
}

/// Reads `node` as a table by `read`.
pub(super) fn table<'n, T>(
    node: &'n Node,
    place: &mut Place<'_>,
    read: impl FnOnce(&mut Fields<'n, '_>) -> Option<T>,
) -> Option<T> {
    let Value::Table(table) = &node.value else {
        place.refuse(node, format!("must be a table, not {}", node.value.kind()), None);
        return None;
    };
    let mut fields = Fields { node, table, place: place.again(), known: Vec::new() };
    let value = read(&mut fields);
    fields.end();
    value
}

impl<'n> Fields<'n, '_> {
    /// A key that may be absent.
    pub fn read<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&'n Node, &mut Place<'_>) -> Option<T>,
    ) -> Option<T> {
        self.known.push(name);
        let node = self.table.get(name)?;
        read(node, &mut self.place.inside(name))
    }

    /// A key that must be there.
    pub fn require<T>(
        &mut self,
        name: &'static str,
        hint: &str,
        read: impl FnOnce(&'n Node, &mut Place<'_>) -> Option<T>,
    ) -> Option<T> {
        if !self.has(name) {
            self.place.inside(name).refuse(self.node, "is missing", Some(hint.to_owned()));
        }
        self.read(name, read)
    }

    /// Whether the key is there.
    pub fn has(&self, name: &str) -> bool {
        self.table.contains_key(name)
    }

    /// Says that the table as a whole cannot be.
    pub fn refuse(&mut self, what: impl Into<String>, hint: Option<&str>) {
        self.place.refuse(self.node, what, hint.map(str::to_owned));
    }

    fn end(mut self) {
        for (name, node) in self.table {
            if !self.known.contains(&name.as_str()) {
                let hint = match did_you_mean(name, &self.known) {
                    Some(meant) => format!("did you mean {meant:?}?"),
                    None => format!("known here: {}", self.known.join(", ")),
                };
                self.place.inside(name).refuse(node, "unknown key", Some(hint));
            }
        }
    }
}

/// A text.
pub(super) fn text(node: &Node, place: &mut Place<'_>) -> Option<String> {
    match &node.value {
        Value::Text(text) => Some(text.clone()),
        other => {
            place.refuse(node, format!("must be a text, not {}", other.kind()), None);
            None
        }
    }
}

/// A text that is a language of its own.
pub(super) fn parsed<T>(node: &Node, place: &mut Place<'_>) -> Option<T>
where
    T: FromStr,
    T::Err: ToString,
{
    let text = text(node, place)?;
    text.parse().map_err(|error: T::Err| place.refuse(node, error.to_string(), None)).ok()
}

/// `true` or `false`.
pub(super) fn yes(node: &Node, place: &mut Place<'_>) -> Option<bool> {
    if let Value::Bool(yes) = node.value {
        return Some(yes);
    }
    place.refuse(node, format!("must be true or false, not {}", node.value.kind()), None);
    None
}

/// One of a few words.
pub(super) fn word<T: Copy>(words: &'static [(&'static str, T)]) -> impl Fn(&Node, &mut Place<'_>) -> Option<T> {
    |node, place| {
        let text = text(node, place)?;
        let found = words.iter().find(|(known, _)| *known == text).map(|(_, word)| *word);
        if found.is_none() {
            let known: Vec<&str> = words.iter().map(|(known, _)| *known).collect();
            let hint = did_you_mean(&text, &known).map(|meant| format!("did you mean {meant:?}?"));
            place.refuse(node, format!("must be one of {}", known.join(", ")), hint);
        }
        found
    }
}

/// A header's name.
pub(super) fn header_name(node: &Node, place: &mut Place<'_>) -> Option<String> {
    let name = text(node, place)?;
    if !is_header_name(&name) {
        place.refuse(node, "is no header's name", None);
        return None;
    }
    Some(name)
}

/// A list, or a single element for a list of one.
pub(super) fn list<T>(
    read: impl Fn(&Node, &mut Place<'_>) -> Option<T>,
) -> impl Fn(&Node, &mut Place<'_>) -> Option<Vec<T>> {
    move |node, place| {
        let Value::List(nodes) = &node.value else { return Some(vec![read(node, place)?]) };
        if nodes.len() > LENGTH_MAX {
            place.refuse(node, format!("must have at most {LENGTH_MAX} elements, not {}", nodes.len()), None);
            return None;
        }
        let element = |(number, node): (usize, &Node)| read(node, &mut place.inside(&format!("[{number}]")));
        Some(nodes.iter().enumerate().filter_map(element).collect())
    }
}

/// A table whose names are not ours.
pub(super) fn named<T>(
    read: impl Fn(&Node, &mut Place<'_>) -> Option<T>,
) -> impl Fn(&Node, &mut Place<'_>) -> Option<Vec<(String, T)>> {
    move |node, place| {
        let Value::Table(table) = &node.value else {
            place.refuse(node, format!("must be a table, not {}", node.value.kind()), None);
            return None;
        };
        if table.len() > LENGTH_MAX {
            place.refuse(node, format!("must have at most {LENGTH_MAX} keys, not {}", table.len()), None);
            return None;
        }
        let member = |(name, node): (&String, &Node)| Some((name.clone(), read(node, &mut place.inside(name))?));
        Some(table.iter().filter_map(member).collect())
    }
}

/// A template, or a number or truth value that stands for itself.
pub(super) fn template(node: &Node, place: &mut Place<'_>) -> Option<Template> {
    let literal = match &node.value {
        Value::Integer(number) => number.to_string(),
        Value::Bool(yes) => yes.to_string(),
        _ => return parsed(node, place),
    };
    literal.parse().ok()
}

/// Statuses and ranges of them.
pub(super) fn statuses(node: &Node, place: &mut Place<'_>) -> Option<Statuses> {
    let range = |node: &Node, place: &mut Place<'_>| {
        let text = match &node.value {
            Value::Integer(number) => number.to_string(),
            _ => text(node, place)?,
        };
        Statuses::range(&text).map_err(|error| place.refuse(node, error.to_string(), None)).ok()
    };
    let ranges = list(range)(node, place)?;
    if matches!(&node.value, Value::List(nodes) if nodes.is_empty()) {
        place.refuse(node, "is empty", None);
    }
    Some(Statuses::of(ranges))
}

/// Any value, as JSON.
pub(super) fn json(node: &Node, place: &mut Place<'_>) -> Option<serde_json::Value> {
    json_at(node, place, 8)
}

fn json_at(node: &Node, place: &mut Place<'_>, depth: usize) -> Option<serde_json::Value> {
    let below = |node: &Node, place: &mut Place<'_>| json_at(node, place, depth.saturating_sub(1));
    Some(match &node.value {
        Value::Text(text) => text.as_str().into(),
        Value::Integer(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::Bool(yes) => (*yes).into(),
        Value::List(_) if depth > 0 => list(below)(node, place)?.into(),
        Value::Table(_) if depth > 0 => serde_json::Value::Object(named(below)(node, place)?.into_iter().collect()),
        Value::Time | Value::List(_) | Value::Table(_) => {
            place.refuse(node, format!("cannot be {} here", node.value.kind()), None);
            return None;
        }
    })
}
