//! The file and the environment as one tree of values that know where they were set.
//!
//! Nothing here knows what keys mean; `keys` reads the tree into sections.

use std::collections::BTreeMap;
use std::ffi::OsString;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Origin, Problems};

/// Variables that set keys begin with this: `KEYHERALD__SERVER__LISTEN` is `server.listen`.
pub const PREFIX: &str = "KEYHERALD__";

/// A value and where it was set.
#[derive(Clone)]
pub(super) struct Node {
    pub value: Value,
    pub origin: Origin,
}

/// A value as it was written. From the environment everything is text.
#[derive(Clone)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    /// A date or time: no key of ours takes one.
    Time,
    List(Vec<Node>),
    Table(Table),
}

impl Node {
    /// What `steps` lead to, by keys and numbers of list elements, or the last thing on the way that is there.
    pub fn nearest(&self, steps: &[String]) -> &Self {
        let Some((step, rest)) = steps.split_first() else { return self };
        let inside = match &self.value {
            Value::Table(table) => table.get(step),
            Value::List(list) => step.parse::<usize>().ok().and_then(|number| list.get(number)),
            _ => None,
        };
        inside.map_or(self, |node| node.nearest(rest))
    }

    /// The same value as TOML.
    pub fn to_toml(&self) -> toml::Value {
        match &self.value {
            Value::Text(text) => text.as_str().into(),
            Value::Integer(number) => (*number).into(),
            Value::Float(number) => (*number).into(),
            Value::Bool(yes) => (*yes).into(),
            Value::Time => "".into(),
            Value::List(list) => list.iter().map(Self::to_toml).collect::<Vec<_>>().into(),
            Value::Table(table) => {
                let table: toml::Table = table.iter().map(|(name, node)| (name.clone(), node.to_toml())).collect();
                table.into()
            }
        }
    }
}

pub(super) type Table = BTreeMap<String, Node>;

impl Value {
    /// What it is, for problem texts.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a number with decimals",
            Self::Bool(_) => "true or false",
            Self::Time => "a date or time",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

/// The environment variables that a configuration may use, taken once.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    unreadable: Vec<String>,
}

impl Environment {
    /// The process's environment.
    pub fn of_process() -> Self {
        Self::of(std::env::vars_os())
    }

    /// These variables; for tests, and for a command that sets defaults of its own.
    pub fn of(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut environment = Self::default();
        for (name, value) in variables {
            let Ok(name) = name.into_string() else { continue };
            match value.into_string() {
                Ok(value) => drop(environment.variables.insert(name, value)),
                Err(_) => environment.unreadable.push(name),
            }
        }
        environment
    }

    /// The value of a variable.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }
}

/// Reads the text of a TOML file; every syntax error is a problem. Error texts leave the line's content out: it may
/// hold a secret.
pub(super) fn of_file(text: &str, problems: &mut Problems) -> Table {
    let lines = Lines::of(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let origin = error.span().map_or(Origin::Nowhere, |span| lines.origin(span.start));
        problems.add(origin, "", format!("not TOML: {}", error.message().replace('\n', ", ")), None);
    }
    of_table(table.into_inner(), &lines)
}

fn of_table(table: DeTable<'_>, lines: &Lines) -> Table {
    let entry = |(key, value): (Spanned<_>, Spanned<DeValue<'_>>)| {
        let origin = lines.origin(key.span().start);
        let key: std::borrow::Cow<'_, str> = key.into_inner();
        (key.into_owned(), Node { value: of_value(value.into_inner(), lines), origin })
    };
    table.into_iter().map(entry).collect()
}

fn of_value(value: DeValue<'_>, lines: &Lines) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.into_owned()),
        // A number that does not fit is left as text: the key that takes it says what it takes.
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| Value::Text(number.to_string()), Value::Integer),
        DeValue::Float(number) => {
            number.as_str().parse().map_or_else(|_| Value::Text(number.to_string()), Value::Float)
        }
        DeValue::Boolean(yes) => Value::Bool(yes),
        DeValue::Datetime(_) => Value::Time,
        DeValue::Array(items) => {
            let node = |item: Spanned<DeValue<'_>>| {
                let origin = lines.origin(item.span().start);
                Node { value: of_value(item.into_inner(), lines), origin }
            };
            Value::List(items.into_iter().map(node).collect())
        }
        DeValue::Table(table) => Value::Table(of_table(table, lines)),
    }
}

/// Byte offsets to line numbers.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(text.match_indices('\n').map(|(offset, _)| offset).collect())
    }

    fn origin(&self, offset: usize) -> Origin {
        Origin::Line(1 + self.0.partition_point(|newline| *newline < offset))
    }
}

/// Lays the `KEYHERALD__` variables over `table`. An index names an element of a list: the next free one appends.
pub(super) fn overlay(table: &mut Table, environment: &Environment, problems: &mut Problems) {
    for name in environment.unreadable.iter().filter(|name| name.starts_with(PREFIX)) {
        problems.add(Origin::Variable(name.clone()), "", "is not UTF-8", None);
    }
    let mut settings: Vec<(Vec<String>, &String, &String)> = environment
        .variables
        .iter()
        .filter_map(|(name, value)| {
            let path = name.strip_prefix(PREFIX)?;
            Some((path.split("__").map(str::to_lowercase).collect(), name, value))
        })
        .collect();
    // By number where it is one, so that element 2 comes before element 10.
    settings.sort_by_cached_key(|(path, ..)| {
        path.iter().map(|step| (step.parse::<usize>().ok(), step.clone())).collect::<Vec<_>>()
    });
    for (path, name, value) in settings {
        let origin = Origin::Variable(name.clone());
        let leaf = Node { value: Value::Text(value.clone()), origin: origin.clone() };
        if let Err(what) = set_in_table(table, &path, leaf) {
            problems.add(origin, &path.join("."), what, None);
        }
    }
}

fn set_in_table(table: &mut Table, path: &[String], leaf: Node) -> Result<(), String> {
    let Some((step, rest)) = path.split_first() else { return Err("names no key".into()) };
    if step.is_empty() {
        return Err("has an empty part: write KEYHERALD__SECTION__KEY".into());
    }
    if rest.is_empty() {
        table.insert(step.clone(), leaf);
        return Ok(());
    }
    let fresh = || Node { value: fresh_parent(rest), origin: leaf.origin.clone() };
    let node = table.entry(step.clone()).or_insert_with(fresh);
    set_below(node, rest, leaf)
}

fn set_below(node: &mut Node, path: &[String], leaf: Node) -> Result<(), String> {
    match &mut node.value {
        Value::Table(table) => set_in_table(table, path, leaf),
        Value::List(list) => set_in_list(list, path, leaf),
        other => Err(format!("reaches into a key that holds {}", other.kind())),
    }
}

fn set_in_list(list: &mut Vec<Node>, path: &[String], leaf: Node) -> Result<(), String> {
    let Some((step, rest)) = path.split_first() else { return Err("names no key".into()) };
    let index: usize = step.parse().map_err(|_| "is a list: name an element by its number, from 0".to_owned())?;
    if index > list.len() {
        return Err(format!("there is no element {}: elements are numbered from 0 without gaps", index - 1));
    }
    if index == list.len() {
        let value = if rest.is_empty() { Value::List(Vec::new()) } else { fresh_parent(rest) };
        list.push(Node { value, origin: leaf.origin.clone() });
    }
    let Some(node) = list.get_mut(index) else { return Err("names no element".into()) };
    if rest.is_empty() {
        *node = leaf;
        return Ok(());
    }
    set_below(node, rest, leaf)
}

/// What a variable's path makes on its way: a list where the next step is a number.
fn fresh_parent(rest: &[String]) -> Value {
    let numbered = rest.first().is_some_and(|step| step.parse::<usize>().is_ok());
    if numbered { Value::List(Vec::new()) } else { Value::Table(Table::new()) }
}
