//! Compiles a [`Filter`] and an order to SQL: the only place that builds SQL text at run time.
//!
//! Values are always bound; pasted are only texts of a [`Column`], which are part of the program. They are the same for
//! both engines, or for what lies in JSON in the words of each ([`Column::on_postgres`]). What the SQL answers is what
//! [`Filter::matches`] answers; a property test holds them together.
//!
//! * SQL has a third truth value, the filter has not. Negations are therefore pushed down to the tests, and a negated
//!   test of a nullable column is written `(c IS NULL OR ..)`. What is left has no NOT above a NULL, so that a `WHERE`
//!   takes NULL for false as it should. The result may be joined by AND and OR, but must not be put under a NOT.
//! * Texts are compared by bytes. SQLite does so by itself; on PostgreSQL text columns that are named here must be
//!   declared `COLLATE "C"`, which is also what lets their indexes serve `<`, `>` and ORDER BY. Expressions say it
//!   themselves.
//! * PostgreSQL connections run with `jit = off`: it would compile a long filter for seconds to run it for a moment.
//! * Long AND and OR lists are written as balanced trees: SQLite refuses expressions deeper than 1000.
//!
//! A list that lies in rows of its own, or in a JSON column that a function makes rows of, is a [`Column::rows`].

use std::collections::BTreeMap;

use keyherald_core::filter::{Comparison, Filter, Kind, Path, Scalar, SortKey, Test, VALUES_MAX};

use crate::sql::{Text, Words};
use crate::{Fault, FaultKind, Value};

/// How a field of a filter is found in the database.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// The field's path as filters name it; in the columns of an element, from the element.
    pub path: &'static str,
    source: Source,
    nullable: bool,
    unique: bool,
    one_by_one: bool,
}

#[derive(Clone, Copy, Debug)]
enum Source {
    /// An expression of this type.
    Value { sql: Words, kind: Kind },
    /// An object: an expression that is NULL if there is none.
    Object { sql: Words },
    /// An array: the rows of `from` for which `on` holds.
    Rows { from: Words, on: &'static str, element: &'static [Column] },
}

impl Column {
    /// A plain value that is never NULL. `sql` is a column or an expression of type TEXT for [`Kind::Text`], else
    /// BIGINT (booleans as 0 and 1, instants as microseconds).
    pub const fn new(path: &'static str, kind: Kind, sql: &'static str) -> Self {
        Self::of(path, Source::Value { sql: Words::both(sql), kind }, false)
    }

    /// An object, of which can be asked whether it is defined: `sql` is NULL if it is not. Its fields are columns of
    /// their own.
    pub const fn object(path: &'static str, sql: &'static str) -> Self {
        Self::of(path, Source::Object { sql: Words::both(sql) }, true)
    }

    /// An array that is always there, be it empty: the rows of the table or function `from` (with its alias) for which
    /// `on` holds (tests joined by AND). `element` are the fields of an element; for an array of plain values, one
    /// column of path `""`.
    pub const fn rows(path: &'static str, from: &'static str, on: &'static str, element: &'static [Self]) -> Self {
        Self::of(path, Source::Rows { from: Words::both(from), on, element }, false)
    }

    const fn of(path: &'static str, source: Source, nullable: bool) -> Self {
        Self { path, source, nullable, unique: false, one_by_one: false }
    }

    /// The same column, its expression (of [`Column::rows`]: `from`) in other words on PostgreSQL.
    pub const fn on_postgres(self, postgres: &'static str) -> Self {
        let source = match self.source {
            Source::Value { sql, kind } => Source::Value { sql: Words { postgres, ..sql }, kind },
            Source::Object { sql } => Source::Object { sql: Words { postgres, ..sql } },
            Source::Rows { from, on, element } => Source::Rows { from: Words { postgres, ..from }, on, element },
        };
        Self { source, ..self }
    }

    /// The same column, NULL where the field is absent.
    pub const fn nullable(self) -> Self {
        Self { nullable: true, ..self }
    }

    /// The same column, its value never the same in two rows of a result.
    pub const fn unique(self) -> Self {
        Self { unique: true, ..self }
    }

    /// The same column, leading an index that has the rows of one value in their order, which it has not for the rows
    /// of several: a list of values is asked for one by one.
    pub const fn one_by_one(self) -> Self {
        Self { one_by_one: true, ..self }
    }

    /// The type of a plain value; `None` for objects and arrays.
    pub fn kind(&self) -> Option<Kind> {
        match self.source {
            Source::Value { kind, .. } => Some(kind),
            Source::Object { .. } | Source::Rows { .. } => None,
        }
    }
}

/// A condition for a `WHERE`, in brackets where it needs them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The text; placeholders ascend from the first one given, each used once.
    pub sql: Text,
    /// The values for the placeholders, in order.
    pub args: Vec<Value>,
}

/// Compiles `filter` over `columns`, its placeholders numbered from `first_placeholder`.
///
/// # Errors
/// A fault, for it is a bug: the filter names a field that has no column, compares it with another type, or holds
/// more than [`VALUES_MAX`].
pub fn compile(filter: &Filter, columns: &[Column], first_placeholder: usize) -> Result<Condition, Fault> {
    let mut writer = Writer { sql: Text::default(), args: Vec::new(), first_placeholder };
    writer.filter(filter, columns, true)?;
    if writer.args.len() > VALUES_MAX {
        return Err(Fault::new(FaultKind::Internal, "a filter holds more values than a statement may have"));
    }
    Ok(Condition { sql: writer.sql, args: writer.args })
}

/// Alternatives that a filter is taken apart into at most.
const ALTERNATIVES_MAX: usize = 32;

/// The filter, or filters that together match the same rows, each row once: if all matches have one of a list of values
/// in a column that is to be asked [one by one](Column::one_by_one), one filter per value.
///
/// # Errors
/// A fault if the filter names a field that has no column.
pub fn alternatives(filter: &Filter, columns: &[Column]) -> Result<Vec<Filter>, Fault> {
    let conditions = if let Filter::And(parts) = filter { parts.as_slice() } else { std::slice::from_ref(filter) };
    for (place, condition) in conditions.iter().enumerate() {
        let Some((path, mut values)) = listed(condition) else { continue };
        values.sort();
        values.dedup();
        if !lookup(columns, path)?.one_by_one || !(2..=ALTERNATIVES_MAX).contains(&values.len()) {
            continue;
        }
        let others =
            || conditions.iter().enumerate().filter(|(other, _)| *other != place).map(|(_, part)| part.clone());
        let equal = |value: &Scalar| Filter::Test(path.clone(), Test::Compare(Comparison::Equal, value.clone()));
        return Ok(values.into_iter().map(|value| Filter::all_of(others().chain([equal(value)]))).collect());
    }
    Ok(vec![filter.clone()])
}

/// The field and the values of a condition that it has one of these.
fn listed(condition: &Filter) -> Option<(&Path, Vec<&Scalar>)> {
    let parts = if let Filter::Or(parts) = condition { parts.as_slice() } else { std::slice::from_ref(condition) };
    let mut equalities = parts.iter().map(|part| equality(part, true).filter(|(_, _, wanted)| *wanted));
    let (path, values, _) = equalities.next()??;
    let mut values: Vec<&Scalar> = values.iter().collect();
    for equality in equalities {
        let (other, more, _) = equality?;
        if other != path {
            return None;
        }
        values.extend(more);
    }
    Some((path, values))
}

/// Compiles the keys of an ORDER BY, each an expression and its direction. `creation` are the expressions that order
/// the rows by their creation, without ties (`m.position`): they decide last, in the direction of the last of `keys`, so
/// that an index can be read either way; and alone when `keys` are empty. Absent values sort as the smallest.
///
/// # Errors
/// A fault if a key is no plain value with a column: the dialect should have refused it.
pub fn order_by(keys: &[SortKey], columns: &[Column], creation: &[&'static str]) -> Result<Vec<Ordered>, Fault> {
    let mut order: Vec<Ordered> = Vec::new();
    let mut descending = false;
    for key in keys {
        let column = lookup(columns, &key.path)?;
        let Source::Value { sql, .. } = column.source else { return Err(mismatch(&key.path)) };
        descending = key.descending;
        order.push(Ordered { by: sql, direction: direction(descending, column.nullable) });
        if column.unique && !column.nullable {
            return Ok(order);
        }
    }
    for by in creation.iter().copied().map(Words::both) {
        if order.iter().all(|earlier| earlier.by != by) {
            order.push(Ordered { by, direction: direction(descending, false) });
        }
    }
    Ok(order)
}

/// One key of an ORDER BY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ordered {
    /// The expression.
    pub by: Words,
    /// ` ASC` or ` DESC`, and what to do with NULL if there can be any.
    pub direction: &'static str,
}

fn direction(descending: bool, nullable: bool) -> &'static str {
    match (descending, nullable) {
        (false, false) => " ASC",
        (true, false) => " DESC",
        // The engines disagree on where NULL sorts. Only here: it keeps PostgreSQL from using a plain index.
        (false, true) => " ASC NULLS FIRST",
        (true, true) => " DESC NULLS LAST",
    }
}

fn lookup<'c>(columns: &'c [Column], path: &Path) -> Result<&'c Column, Fault> {
    let found = columns.iter().find(|column| column.path == path.as_str());
    found.ok_or_else(|| Fault::new(FaultKind::Internal, format!("the field {path} has no column")))
}

fn mismatch(path: &Path) -> Fault {
    Fault::new(FaultKind::Internal, format!("the column of the field {path} cannot answer what is asked of it"))
}

fn value(scalar: &Scalar) -> Value {
    match scalar {
        Scalar::Text(text) => text.into(),
        Scalar::Integer(number) => (*number).into(),
        Scalar::Boolean(flag) => (*flag).into(),
        Scalar::Instant(at) => (*at).into(),
    }
}

/// Writes a filter as it is (`wanted`) or negated.
struct Writer {
    sql: Text,
    args: Vec<Value>,
    first_placeholder: usize,
}

/// A part of an AND or OR list as it is written.
enum Part<'f> {
    /// The field equals one of these; negated in an AND list.
    OneOf(&'f Path, Vec<&'f Scalar>),
    Other(&'f Filter),
}

impl Writer {
    fn filter(&mut self, filter: &Filter, columns: &[Column], wanted: bool) -> Result<(), Fault> {
        match filter {
            Filter::All => self.constant(wanted),
            Filter::And(parts) => self.list(parts, columns, wanted, wanted)?,
            Filter::Or(parts) => self.list(parts, columns, !wanted, wanted)?,
            Filter::Not(part) => self.filter(part, columns, !wanted)?,
            Filter::Test(path, test) => self.test(path, test, lookup(columns, path)?, wanted)?,
            Filter::AnyElement(path, part) => {
                let Source::Rows { from, on, element } = lookup(columns, path)?.source else {
                    return Err(mismatch(path));
                };
                self.exists((from, on), wanted, |writer| writer.filter(part, element, true))?;
            }
        }
        Ok(())
    }

    /// A list to be written with AND (or with OR), each part as `wanted`. Equalities with the same field become one IN:
    /// that is what long lists are made of, and SQLite takes time in the square of their number to prepare them singly.
    fn list(&mut self, parts: &[Filter], columns: &[Column], and: bool, wanted: bool) -> Result<(), Fault> {
        let mut lists: BTreeMap<&Path, Vec<&Scalar>> = BTreeMap::new();
        let mut written = Vec::new();
        for part in parts {
            match equality(part, wanted) {
                Some((path, scalars, found)) if found != and => lists.entry(path).or_default().extend(scalars),
                _ => written.push(Part::Other(part)),
            }
        }
        written.extend(lists.into_iter().map(|(path, scalars)| Part::OneOf(path, scalars)));
        if written.is_empty() {
            self.constant(and);
        }
        let operator = if and { " AND " } else { " OR " };
        self.joined(&written, operator, &mut |writer, part| match part {
            Part::OneOf(path, scalars) => writer.one_of(path, scalars, lookup(columns, path)?, !and),
            Part::Other(part) => writer.filter(part, columns, wanted),
        })
    }

    /// Halves the list again and again: the expression is as deep as the logarithm of its length.
    fn joined(
        &mut self,
        parts: &[Part<'_>],
        operator: &str,
        write: &mut dyn FnMut(&mut Self, &Part<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        match parts {
            [] => Ok(()),
            [part] => write(self, part),
            parts => {
                let (left, right) = parts.split_at(parts.len() / 2);
                self.push("(");
                self.joined(left, operator, write)?;
                self.push(operator);
                self.joined(right, operator, write)?;
                self.push(")");
                Ok(())
            }
        }
    }

    fn test(&mut self, path: &Path, test: &Test, column: &Column, wanted: bool) -> Result<(), Fault> {
        match (test, column.source) {
            (Test::Compare(Comparison::Equal, scalar), _) => self.one_of(path, &[scalar], column, wanted),
            (Test::In(scalars), _) => self.one_of(path, &scalars.iter().collect::<Vec<_>>(), column, wanted),
            (Test::Compare(comparison, scalar), _) => {
                self.values(path, scalar.kind(), column, wanted, |writer, sql, wanted| {
                    writer.push_words(sql);
                    writer.push(operator(*comparison, wanted));
                    writer.bind(value(scalar));
                })
            }
            (Test::EqualIgnoringCase(text), _) => {
                self.values(path, Kind::Text, column, wanted, |writer, sql, wanted| {
                    // Both engines' lower() folds A to Z; PostgreSQL's folds no more only under COLLATE "C".
                    writer.push("lower(");
                    writer.push_words(sql);
                    writer.push(")");
                    writer.push(operator(Comparison::Equal, wanted));
                    writer.bind(text.to_ascii_lowercase().into());
                })
            }
            (Test::Defined, Source::Value { sql, .. } | Source::Object { sql }) => {
                self.push_words(sql);
                self.push(if wanted { " IS NOT NULL" } else { " IS NULL" });
                Ok(())
            }
            (Test::Defined, Source::Rows { .. }) => {
                self.constant(wanted);
                Ok(())
            }
            (Test::Empty, Source::Rows { from, on, .. }) => self.exists((from, on), !wanted, |writer| {
                writer.constant(true);
                Ok(())
            }),
            (Test::Empty, Source::Value { .. } | Source::Object { .. }) => Err(mismatch(path)),
        }
    }

    fn one_of(&mut self, path: &Path, scalars: &[&Scalar], column: &Column, wanted: bool) -> Result<(), Fault> {
        let Some((first, rest)) = scalars.split_first() else {
            self.constant(!wanted);
            return Ok(());
        };
        if rest.iter().any(|scalar| scalar.kind() != first.kind()) {
            return Err(mismatch(path));
        }
        self.values(path, first.kind(), column, wanted, |writer, sql, wanted| {
            writer.push_words(sql);
            if rest.is_empty() {
                writer.push(operator(Comparison::Equal, wanted));
                writer.bind(value(first));
                return;
            }
            writer.push(if wanted { " IN (" } else { " NOT IN (" });
            writer.bind(value(first));
            for scalar in rest {
                writer.push(", ");
                writer.bind(value(scalar));
            }
            writer.push(")");
        })
    }

    /// A test of the column's value, or of any element's, that is NULL where the value is. `write` gets the value's
    /// expression and whether to write the test or its negation.
    fn values(
        &mut self,
        path: &Path,
        of: Kind,
        column: &Column,
        wanted: bool,
        write: impl FnOnce(&mut Self, Words, bool),
    ) -> Result<(), Fault> {
        match column.source {
            Source::Value { sql, kind } if kind == of => {
                let or_null = column.nullable && !wanted;
                if or_null {
                    self.push("(");
                    self.push_words(sql);
                    self.push(" IS NULL OR ");
                }
                write(self, sql, wanted);
                if or_null {
                    self.push(")");
                }
                Ok(())
            }
            Source::Rows { from, on, element } => match lookup(element, &Path::from(""))?.source {
                Source::Value { sql, kind } if kind == of => self.exists((from, on), wanted, |writer| {
                    write(writer, sql, true);
                    Ok(())
                }),
                _ => Err(mismatch(path)),
            },
            Source::Value { .. } | Source::Object { .. } => Err(mismatch(path)),
        }
    }

    /// Whether there is an element for which the condition holds that `condition` writes.
    fn exists(
        &mut self,
        (from, on): (Words, &str),
        wanted: bool,
        condition: impl FnOnce(&mut Self) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.push(if wanted { "EXISTS (SELECT 1 FROM " } else { "NOT EXISTS (SELECT 1 FROM " });
        self.push_words(from);
        self.push(" WHERE ");
        self.push(on);
        self.push(" AND ");
        condition(self)?;
        self.push(")");
        Ok(())
    }

    fn constant(&mut self, truth: bool) {
        self.push(if truth { "1 = 1" } else { "1 = 0" });
    }

    fn push(&mut self, sql: &str) {
        self.sql.push(sql);
    }

    fn push_words(&mut self, sql: Words) {
        self.sql.push_words(sql);
    }

    fn bind(&mut self, value: Value) {
        self.push("$");
        self.push(&(self.first_placeholder + self.args.len()).to_string());
        self.args.push(value);
    }
}

/// The part as an equality with one of these values, or the negation of one.
fn equality(part: &Filter, wanted: bool) -> Option<(&Path, &[Scalar], bool)> {
    match part {
        Filter::Not(part) => equality(part, !wanted),
        Filter::Test(path, Test::Compare(Comparison::Equal, scalar)) => {
            Some((path, std::slice::from_ref(scalar), wanted))
        }
        Filter::Test(path, Test::In(scalars)) => Some((path, scalars, wanted)),
        _ => None,
    }
}

fn operator(comparison: Comparison, wanted: bool) -> &'static str {
    match (comparison, wanted) {
        (Comparison::Equal, true) => " = ",
        (Comparison::Equal, false) => " <> ",
        (Comparison::Less, true) | (Comparison::GreaterOrEqual, false) => " < ",
        (Comparison::LessOrEqual, true) | (Comparison::Greater, false) => " <= ",
        (Comparison::Greater, true) | (Comparison::LessOrEqual, false) => " > ",
        (Comparison::GreaterOrEqual, true) | (Comparison::Less, false) => " >= ",
    }
}
