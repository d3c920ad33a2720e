//! One list of keys per section, used both ways: to read a section out of the tree, and to write it back as TOML.
//!
//! A section names its keys once, in [`Section::keys`]. Reading leaves the default where a key is absent, notes a
//! problem where a value does not fit, and in the end calls every key that nobody asked for unknown. What the listing
//! prints is therefore exactly what can be set.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::Purpose;
use super::problem::{Origin, Problems, did_you_mean};
use super::secret::{self, Secret};
use super::setting::Setting;
use super::tree::{Environment, Node, Table, Value};

/// A table of the configuration. Its default is what an empty table means.
pub(super) trait Section {
    /// Shows every key to `keys`, then refuses what does not go together.
    fn keys(&mut self, keys: &mut Keys<'_>);
}

/// A value that has a form of its own, and how it was written.
#[derive(Clone)]
pub(super) struct Written<T> {
    /// `None`: absent, or there is a problem with it, which is reported.
    pub value: Option<T>,
    node: Option<Node>,
}

impl<T> Written<T> {
    /// Whether the key is there, readable or not.
    pub fn is_given(&self) -> bool {
        self.node.is_some()
    }
}

impl<T> Default for Written<T> {
    fn default() -> Self {
        Self { value: None, node: None }
    }
}

impl<T: std::fmt::Debug> std::fmt::Debug for Written<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.value.fmt(f)
    }
}

/// Where a value that has a form of its own stands, for what is wrong with it.
pub(super) struct Place<'a> {
    path: String,
    problems: &'a mut Problems,
}

impl Place<'_> {
    /// The same place.
    pub fn again(&mut self) -> Place<'_> {
        Place { path: self.path.clone(), problems: self.problems }
    }

    /// Something inside of it: a key, or a list's element as `[3]`.
    pub fn inside(&mut self, step: &str) -> Place<'_> {
        let dot = if step.starts_with('[') { "" } else { "." };
        Place { path: format!("{}{dot}{step}", self.path), problems: self.problems }
    }

    /// Says what is wrong with `node`, which stands here.
    pub fn refuse(&mut self, node: &Node, what: impl Into<String>, hint: Option<String>) {
        self.problems.add(node.origin.clone(), &self.path, what, hint);
    }
}

/// What reading shares between sections.
pub(super) struct Reading {
    pub problems: Problems,
    pub environment: Environment,
    pub purpose: Purpose,
}

/// The cursor that a section shows its keys to.
pub(super) struct Keys<'a> {
    /// Path of the section, with a dot at its end; empty for the whole.
    path: String,
    mode: Mode<'a>,
}

enum Mode<'a> {
    Read(Reader<'a>),
    Write(&'a mut toml::Table),
}

struct Reader<'a> {
    /// What nobody has asked for yet.
    table: Table,
    origin: Origin,
    known: Vec<&'static str>,
    seen: BTreeMap<&'static str, Origin>,
    run: &'a mut Reading,
}

impl Reader<'_> {
    fn take(&mut self, name: &'static str) -> Option<Node> {
        self.known.push(name);
        let node = self.table.remove(name)?;
        self.seen.insert(name, node.origin.clone());
        Some(node)
    }

    fn take_one<T: Setting>(&mut self, path: &str, name: &'static str) -> Option<T> {
        let node = self.take(name)?;
        self.run.setting(&format!("{path}{name}"), &node)
    }
}

impl Reading {
    /// Reads one value; a problem and `None` when it does not fit.
    fn setting<T: Setting>(&mut self, key: &str, node: &Node) -> Option<T> {
        let value = T::read(node);
        if value.is_none() {
            let found = found(node, T::SHOWN);
            self.problems.add(node.origin.clone(), key, format!("must be {}, not {found}", T::WANTED), None);
        }
        value
    }

    /// Reads a table into `section` and reports the keys that it does not have.
    pub fn section(&mut self, section: &mut impl Section, path: String, node: Node) {
        let Value::Table(table) = node.value else {
            let what = format!("must be a table, not {}", node.value.kind());
            return self.problems.add(node.origin, path.trim_end_matches('.'), what, None);
        };
        let reader = Reader { table, origin: node.origin, known: Vec::new(), seen: BTreeMap::new(), run: self };
        let mut keys = Keys { path, mode: Mode::Read(reader) };
        section.keys(&mut keys);
        let Keys { path, mode: Mode::Read(reader) } = keys else { return };
        for (name, node) in reader.table {
            let hint = match did_you_mean(&name, &reader.known) {
                Some(meant) => format!("did you mean {meant:?}?"),
                None => format!("known here: {}", reader.known.join(", ")),
            };
            reader.run.problems.add(node.origin, &format!("{path}{name}"), "unknown key", Some(hint));
        }
    }
}

/// The section as TOML.
pub(super) fn write(section: &mut impl Section) -> toml::Table {
    let mut table = toml::Table::new();
    section.keys(&mut Keys { path: String::new(), mode: Mode::Write(&mut table) });
    table
}

impl Keys<'_> {
    /// A key with a default.
    pub fn value<T: Setting>(&mut self, name: &'static str, value: &mut T) {
        match &mut self.mode {
            Mode::Read(reader) => {
                if let Some(read) = reader.take_one(&self.path, name) {
                    *value = read;
                }
            }
            Mode::Write(table) => drop(table.insert(name.to_owned(), value.write())),
        }
    }

    /// A key with a default and bounds.
    pub fn within<T: Setting + PartialOrd>(&mut self, name: &'static str, value: &mut T, bounds: RangeInclusive<T>) {
        self.value(name, value);
        if !bounds.contains(value) {
            let (least, most) = (bounds.start().write(), bounds.end().write());
            self.refuse(name, format!("must be from {least} to {most}, not {}", value.write()), None);
        }
    }

    /// A key that may be absent.
    pub fn optional<T: Setting>(&mut self, name: &'static str, value: &mut Option<T>) {
        match (&mut self.mode, value) {
            (Mode::Read(reader), value) => *value = reader.take_one(&self.path, name),
            (Mode::Write(table), Some(value)) => drop(table.insert(name.to_owned(), value.write())),
            (Mode::Write(_), None) => {}
        }
    }

    /// A key that takes one of a few words.
    pub fn choice<T: Copy + PartialEq>(&mut self, name: &'static str, value: &mut T, words: &[(&'static str, T)]) {
        match &mut self.mode {
            Mode::Read(reader) => {
                let Some(node) = reader.take(name) else { return };
                let word = if let Value::Text(text) = &node.value { text.trim() } else { "" };
                if let Some((_, chosen)) = words.iter().find(|(known, _)| *known == word) {
                    *value = *chosen;
                    return;
                }
                let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                let what = format!("must be one of {known:?}, not {}", found(&node, true));
                reader.run.problems.add(node.origin, &format!("{}{name}", self.path), what, None);
            }
            Mode::Write(table) => {
                if let Some((word, _)) = words.iter().find(|(_, known)| known == value) {
                    table.insert(name.to_owned(), (*word).into());
                }
            }
        }
    }

    /// A list of values. In one variable: with commas between them.
    pub fn list<T: Setting>(&mut self, name: &'static str, values: &mut Vec<T>, length: RangeInclusive<usize>) {
        let reader = match &mut self.mode {
            Mode::Read(reader) => reader,
            Mode::Write(table) => {
                table.insert(name.to_owned(), values.iter().map(Setting::write).collect::<Vec<_>>().into());
                return;
            }
        };
        let Some(node) = reader.take(name) else { return };
        let path = format!("{}{name}", self.path);
        let Some(nodes) = elements(node.clone()) else {
            let what = format!("must be a list, not {}", node.value.kind());
            return reader.run.problems.add(node.origin, &path, what, None);
        };
        if !length.contains(&nodes.len()) {
            let (least, most, found) = (length.start(), length.end(), nodes.len());
            let what = format!("must have from {least} to {most} elements, not {found}");
            reader.run.problems.add(node.origin, &path, what, None);
        }
        let element = |(number, node)| reader.run.setting(&format!("{path}[{number}]"), node);
        *values = nodes.iter().enumerate().filter_map(element).collect();
    }

    /// A table in this one.
    pub fn section(&mut self, name: &'static str, section: &mut impl Section) {
        match &mut self.mode {
            Mode::Read(reader) => {
                let empty = || Node { value: Value::Table(Table::new()), origin: Origin::Nowhere };
                // An absent section is read as an empty one, so that its own checks run.
                let node = reader.take(name).unwrap_or_else(empty);
                reader.run.section(section, format!("{}{name}.", self.path), node);
            }
            Mode::Write(table) => drop(table.insert(name.to_owned(), write(section).into())),
        }
    }

    /// A table that may be absent.
    pub fn optional_section<S: Section + Default>(&mut self, name: &'static str, section: &mut Option<S>) {
        match (&mut self.mode, section) {
            (Mode::Read(reader), section) => {
                if let Some(node) = reader.take(name) {
                    reader.run.section(section.insert(S::default()), format!("{}{name}.", self.path), node);
                }
            }
            (Mode::Write(table), Some(section)) => drop(table.insert(name.to_owned(), write(section).into())),
            (Mode::Write(_), None) => {}
        }
    }

    /// A list of tables. Elements with problems are in it too: every element is checked.
    pub fn sections<S: Section + Default>(&mut self, name: &'static str, sections: &mut Vec<S>) {
        let reader = match &mut self.mode {
            Mode::Read(reader) => reader,
            Mode::Write(table) => {
                table.insert(name.to_owned(), sections.iter_mut().map(write).collect::<Vec<_>>().into());
                return;
            }
        };
        let Some(node) = reader.take(name) else { return };
        let path = format!("{}{name}", self.path);
        let Value::List(nodes) = node.value else {
            let what = format!("must be a list of tables, not {}", node.value.kind());
            return reader.run.problems.add(node.origin, &path, what, None);
        };
        for (number, node) in nodes.into_iter().enumerate() {
            let mut section = S::default();
            reader.run.section(&mut section, format!("{path}[{number}]."), node);
            sections.push(section);
        }
    }

    /// A table of tables whose names are the operator's. A name that does not read is a problem.
    pub fn named<N, S>(&mut self, name: &'static str, wanted: &str, sections: &mut BTreeMap<N, S>)
    where
        N: Ord + FromStr + Display,
        S: Section + Default,
    {
        let reader = match &mut self.mode {
            Mode::Read(reader) => reader,
            Mode::Write(table) => {
                let named = |(name, section): (&N, &mut S)| (name.to_string(), toml::Value::from(write(section)));
                let named: toml::Table = sections.iter_mut().map(named).collect();
                if !named.is_empty() {
                    table.insert(name.to_owned(), named.into());
                }
                return;
            }
        };
        let Some(node) = reader.take(name) else { return };
        let path = format!("{}{name}", self.path);
        let Value::Table(table) = node.value else {
            let what = format!("must be a table of tables, not {}", node.value.kind());
            return reader.run.problems.add(node.origin, &path, what, None);
        };
        for (name, node) in table {
            let path = format!("{path}.{name}");
            let Ok(name) = name.parse() else {
                reader.run.problems.add(node.origin, &path, format!("its name must be {wanted}"), None);
                continue;
            };
            let mut section = S::default();
            reader.run.section(&mut section, format!("{path}."), node);
            sections.insert(name, section);
        }
    }

    /// A key whose value has a form of its own. `read` reports what is wrong with it.
    pub fn written<T>(
        &mut self,
        name: &'static str,
        into: &mut Written<T>,
        read: impl FnOnce(&Node, &mut Place<'_>) -> Option<T>,
    ) {
        match &mut self.mode {
            Mode::Read(reader) => {
                let Some(node) = reader.take(name) else { return };
                let path = format!("{}{name}", self.path);
                into.value = read(&node, &mut Place { path, problems: &mut reader.run.problems });
                into.node = Some(node);
            }
            Mode::Write(table) => {
                if let Some(node) = &into.node {
                    table.insert(name.to_owned(), node.to_toml());
                }
            }
        }
    }

    /// Says what is wrong inside of `name`: `below` leads there, by keys and numbers of list elements. Only when reading.
    pub fn refuse_written<T>(
        &mut self,
        (name, written): (&'static str, &Written<T>),
        below: &[String],
        what: impl Into<String>,
        hint: Option<String>,
    ) {
        if let Mode::Read(reader) = &mut self.mode {
            let nearest = written.node.as_ref().map(|node| node.nearest(below));
            let origin = nearest.map_or(&reader.origin, |node| &node.origin).clone();
            let path = below.iter().fold(format!("{}{name}", self.path), |path, step| match step.parse::<usize>() {
                Ok(number) => format!("{path}[{number}]"),
                Err(_) => format!("{path}.{step}"),
            });
            reader.run.problems.add(origin, &path, what, hint);
        }
    }

    /// A secret: `{name}_file`, `{name}_env`, or, where a secret may stand in the open, `{name}` itself.
    pub fn secret(&mut self, keys: &'static secret::KeyNames, secret: &mut Secret) {
        let reader = match &mut self.mode {
            Mode::Read(reader) => reader,
            Mode::Write(table) => {
                if let Some((name, value)) = secret.written(keys) {
                    table.insert(name.to_owned(), value.into());
                }
                return;
            }
        };
        let mut given: Vec<(&'static str, Node)> =
            keys.all().into_iter().filter_map(|name| reader.take(name).map(|node| (name, node))).collect();
        // The environment goes over the file, also where it names another of the keys.
        if given.iter().any(|(_, node)| matches!(node.origin, Origin::Variable(_))) {
            given.retain(|(_, node)| matches!(node.origin, Origin::Variable(_)));
        }
        let (path, names) = (&self.path, keys.offered().join(", "));
        match given.as_slice() {
            [] => {}
            [(name, node)] => match secret::read(keys, name, node, &reader.run.environment) {
                Ok(read) => *secret = read,
                Err((what, hint)) => {
                    reader.run.problems.add(node.origin.clone(), &format!("{path}{name}"), what, hint);
                    *secret = Secret::unreadable();
                }
            },
            [.., (name, node)] => {
                let what = format!("give only one of {names}");
                reader.run.problems.add(node.origin.clone(), &format!("{path}{name}"), what, None);
                *secret = Secret::unreadable();
            }
        }
    }

    /// A secret that may be absent.
    pub fn optional_secret(&mut self, keys: &'static secret::KeyNames, secret: &mut Option<Secret>) {
        let mut found = secret.take().unwrap_or_else(Secret::unreadable);
        self.secret(keys, &mut found);
        let is_given = match &self.mode {
            Mode::Read(reader) => keys.all().iter().any(|name| reader.seen.contains_key(name)),
            Mode::Write(_) => found.is_readable(),
        };
        *secret = is_given.then_some(found);
    }

    /// Says that the value of `name` cannot be. Only when reading.
    pub fn refuse(&mut self, name: &'static str, what: impl Into<String>, hint: Option<String>) {
        self.refuse_inside(name, "", what, hint);
    }

    /// The same of what lies `inner` in `name`, as `[2].key`, where that can only be judged from here.
    pub fn refuse_inside(&mut self, name: &'static str, inner: &str, what: impl Into<String>, hint: Option<String>) {
        if let Mode::Read(reader) = &mut self.mode {
            let origin = reader.seen.get(name).unwrap_or(&reader.origin).clone();
            reader.run.problems.add(origin, &format!("{}{name}{inner}", self.path), what, hint);
        }
    }

    /// Says that `name` is missing if it is.
    pub fn require(&mut self, name: &'static str, hint: Option<String>) {
        if let Mode::Read(reader) = &self.mode
            && !reader.seen.contains_key(name)
        {
            self.refuse(name, "is missing", hint);
        }
    }

    /// Says that a secret is missing if none of its keys is there.
    pub fn require_one(&mut self, keys: &'static secret::KeyNames, hint: &str) {
        if let Mode::Read(reader) = &self.mode
            && !keys.all().iter().any(|name| reader.seen.contains_key(name))
        {
            self.refuse(keys.file, "is missing", Some(hint.into()));
        }
    }

    /// Says what is wrong with a secret, at the key that gave it.
    pub fn refuse_secret(&mut self, keys: &'static secret::KeyNames, what: &str, hint: &str) {
        if let Mode::Read(reader) = &self.mode {
            let given = keys.all().into_iter().find(|name| reader.seen.contains_key(name));
            self.refuse(given.unwrap_or(keys.file), what, Some(hint.into()));
        }
    }

    /// What the configuration is read for; `None` when it is written.
    pub fn purpose(&self) -> Option<Purpose> {
        match &self.mode {
            Mode::Read(reader) => Some(reader.run.purpose),
            Mode::Write(_) => None,
        }
    }
}

/// The elements of a list, or of a text with commas from the environment.
fn elements(node: Node) -> Option<Vec<Node>> {
    match (node.value, &node.origin) {
        (Value::List(nodes), _) => Some(nodes),
        (Value::Text(text), Origin::Variable(_)) => {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            Some(parts.map(|part| Node { value: Value::Text(part.into()), origin: node.origin.clone() }).collect())
        }
        _ => None,
    }
}

/// A value as a problem's text shows it. Texts are cut, and left out where they may hold a secret.
fn found(node: &Node, shown: bool) -> String {
    match &node.value {
        Value::Text(text) if shown && text.chars().count() <= 60 => format!("{text:?}"),
        Value::Text(_) => "this text".into(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Bool(yes) => yes.to_string(),
        other => other.kind().into(),
    }
}
