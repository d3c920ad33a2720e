//! What is wrong with a query, in the contract's words.

use std::fmt;

/// Characters of the predicate that an error repeats on each side of the place it points at.
const ECHO_MAX: usize = 200;

/// Line and column in a predicate, both from 1, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// The kinds of error. All are answered alike (400 InvalidInput).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The text is no predicate.
    Syntax(Position),
    /// There is no such field.
    UnknownField,
    /// A field and an operator or value that do not go together.
    Type,
    /// A variable without a value, or with more than one where one is needed.
    Variable,
    /// More than we take.
    Limit,
    /// A paging parameter that does not read or is out of range.
    Value,
}

/// A query parameter that cannot be understood. `Display` is the text for the caller; it repeats what they sent, so it
/// belongs into the answer and not into a log.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("Malformed parameter: {parameter}: {text}")]
pub struct Malformed {
    /// The parameter's name.
    pub parameter: &'static str,
    /// What is wrong.
    pub problem: Problem,
    text: String,
}

impl Malformed {
    /// An error at byte `at` of `predicate`.
    pub(super) fn syntax(predicate: &str, at: usize, what: &str) -> Self {
        let (before, after) = predicate.split_at_checked(at).unwrap_or((predicate, ""));
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let before_in_line = before.get(line_start..).unwrap_or_default();
        let position = Position { line: before.matches('\n').count() + 1, column: before_in_line.chars().count() + 1 };
        let skipped = (position.column - 1).saturating_sub(ECHO_MAX);
        let before_shown = before_in_line.chars().skip(skipped);
        let after_shown = after.chars().take_while(|c| *c != '\n').take(ECHO_MAX);
        let echo: String = before_shown.chain(after_shown).collect();
        let caret = " ".repeat(position.column - 1 - skipped);
        let Position { line, column } = position;
        let text =
            format!("Syntax error while parsing 'where'. {what} (line {line}, column {column}):\n{echo}\n{caret}^");
        Self { parameter: "where", problem: Problem::Syntax(position), text }
    }

    /// What is wrong, without the name of the parameter.
    pub fn what(&self) -> &str {
        &self.text
    }

    pub(super) fn unknown_field(parameter: &'static str, name: &str) -> Self {
        let shown: String = name.chars().take(ECHO_MAX).collect();
        Self { parameter, problem: Problem::UnknownField, text: format!("The field '{shown}' does not exist.") }
    }

    pub(super) fn of_type(parameter: &'static str, text: String) -> Self {
        Self { parameter, problem: Problem::Type, text }
    }

    pub(super) fn variable(text: String) -> Self {
        Self { parameter: "where", problem: Problem::Variable, text }
    }

    pub(super) fn limit(parameter: &'static str, text: String) -> Self {
        Self { parameter, problem: Problem::Limit, text }
    }

    pub(super) fn value(parameter: &'static str, text: String) -> Self {
        Self { parameter, problem: Problem::Value, text }
    }
}

/// Without the text: it holds what the caller sent.
impl fmt::Debug for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Malformed")
            .field("parameter", &self.parameter)
            .field("problem", &self.problem)
            .finish_non_exhaustive()
    }
}
