//! What is wrong with a configuration: every problem at once, each with its place, key and a hint.
//!
//! Texts name keys and places. They repeat a value only where it cannot be a secret.

use std::fmt;

/// Where a value was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In the file, on this line (from 1).
    Line(usize),
    /// By this environment variable.
    Variable(String),
    /// Nowhere: a default, or a key that is missing.
    Nowhere,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it was set.
    pub origin: Origin,
    /// The key's path, as `secrets.sealing_keys[0].id`. Empty when the file as a whole is meant.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// All problems of one configuration, in the order of the file, then of the environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    file: Option<String>,
    list: Vec<Problem>,
}

impl Problems {
    /// No problems yet. `file` is the name that line numbers are shown with.
    pub(super) fn of(file: Option<String>) -> Self {
        Self { file, list: Vec::new() }
    }

    pub(super) fn add(&mut self, origin: Origin, key: &str, what: impl Into<String>, hint: Option<String>) {
        self.list.push(Problem { origin, key: key.to_owned(), what: what.into(), hint });
    }

    /// `value` when there are no problems, otherwise all of them, sorted by place.
    pub(super) fn or<T>(mut self, value: T) -> Result<T, Self> {
        if self.list.is_empty() {
            return Ok(value);
        }
        self.list.sort_by_key(|problem| match &problem.origin {
            Origin::Line(line) => (0, *line, String::new()),
            Origin::Variable(name) => (1, 0, name.clone()),
            Origin::Nowhere => (2, 0, String::new()),
        });
        Err(self)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The problems.
    pub fn list(&self) -> &[Problem] {
        &self.list
    }

    /// Each problem as one line, place first, with its hint.
    pub fn told(&self) -> impl Iterator<Item = (String, Option<&str>)> {
        let file = self.file.as_deref().unwrap_or("configuration");
        self.list.iter().map(move |problem| {
            let place = match &problem.origin {
                Origin::Line(line) => format!("{file}:{line}"),
                Origin::Variable(name) => name.clone(),
                Origin::Nowhere => file.to_owned(),
            };
            let key = if problem.key.is_empty() { String::new() } else { format!("{}: ", problem.key) };
            (format!("{place}: {key}{}", problem.what), problem.hint.as_deref())
        })
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (text, hint)) in self.told().enumerate() {
            let between = if number > 0 { "\n" } else { "" };
            write!(f, "{between}{text}")?;
            if let Some(hint) = hint {
                write!(f, "\n  hint: {hint}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// The name among `known` that was probably meant by `typed`.
pub(super) fn did_you_mean<'k>(typed: &str, known: &[&'k str]) -> Option<&'k str> {
    let typed = typed.to_lowercase().replace('-', "_");
    let (distance, nearest) = known.iter().map(|name| (edits(&typed, name), *name)).min()?;
    if distance <= 1.max(nearest.len() / 3) {
        return Some(nearest);
    }
    known
        .iter()
        .find(|name| name.len() >= 3 && typed.len() >= 3 && (name.contains(&typed) || typed.contains(**name)))
        .copied()
}

/// Levenshtein distance.
fn edits(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (above, a) in one.chars().enumerate() {
        let mut next = Vec::with_capacity(row.len());
        next.push(above + 1);
        for (pair, b) in row.windows(2).zip(&other) {
            if let ([diagonal, up], Some(left)) = (pair, next.last()) {
                next.push((diagonal + usize::from(a != *b)).min(up + 1).min(left + 1));
            }
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_was_probably_meant() {
        let known = ["listen", "public_url", "request_timeout"];
        assert_eq!(did_you_mean("lisen", &known), Some("listen"));
        assert_eq!(did_you_mean("Public-URL", &known), Some("public_url"));
        assert_eq!(did_you_mean("timeout", &known), Some("request_timeout"));
        assert_eq!(did_you_mean("colour", &known), None);
    }

    #[test]
    fn counts_edits() {
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(edits("same", "same"), 0);
    }
}
