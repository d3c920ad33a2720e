//! Compiles a [`Filter`] and an order to SQL: the only place that builds SQL text at run time.
//!
//! Values are always bound; pasted are only texts of a [`Column`], which are part of the program. One text serves
//! both engines. What the SQL answers is what [`Filter::matches`] answers; a property test holds them together.
//!
//! * SQL has a third truth value, the filter has not. Negations are therefore pushed down to the tests, and a negated
//!   test of a nullable column is written `(c IS NULL OR ..)`. What is left has no NOT above a NULL, so that a `WHERE`
//!   takes NULL for false as it should. The result may be joined by AND and OR, but must not be put under a NOT.
//! * Texts are compared by bytes. SQLite does so by itself; on PostgreSQL text columns that are named here must be
//!   declared `COLLATE "C"`, which is also what lets their indexes serve `<`, `>` and ORDER BY.
//! * PostgreSQL connections run with `jit = off`: it would compile a long filter for seconds to run it for a moment.
//! * Long AND and OR lists are written as balanced trees: SQLite refuses expressions deeper than 1000.
//!
//! A list that lies in rows of its own, or in a view over a JSON column (the view hides how each engine takes JSON
//! apart), is a [`Column::rows`].

use std::collections::BTreeMap;

use keyherald_core::filter::{Comparison, Filter, Kind, Path, Scalar, SortKey, Test, VALUES_MAX};

use crate::{Fault, FaultKind, Value};

/// How a field of a filter is found in the database.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// The field's path as filters name it; in the columns of an element, from the element.
    pub path: &'static str,
    source: Source,
    nullable: bool,
    unique: bool,
}

#[derive(Clone, Copy, Debug)]
enum Source {
    /// An expression of this type.
    Value { sql: &'static str, kind: Kind },
    /// An object: an expression that is NULL if there is none.
    Object { sql: &'static str },
    /// An array: the rows of `from` for which `on` holds.
    Rows { from: &'static str, on: &'static str, element: &'static [Column] },
}

impl Column {
    /// A plain value that is never NULL. `sql` is a column or an expression of type TEXT for [`Kind::Text`], else
    /// BIGINT (booleans as 0 and 1, instants as microseconds).
    pub const fn new(path: &'static str, kind: Kind, sql: &'static str) -> Self {
        Self { path, source: Source::Value { sql, kind }, nullable: false, unique: false }
    }

    /// An object, of which can be asked whether it is defined: `sql` is NULL if it is not. Its fields are columns of
    /// their own.
    pub const fn object(path: &'static str, sql: &'static str) -> Self {
        Self { path, source: Source::Object { sql }, nullable: true, unique: false }
    }

    /// An array that is always there, be it empty: the rows of the table or view `from` (with its alias) for which
    /// `on` holds (tests joined by AND). `element` are the fields of an element; for an array of plain values, one column of path `""`.
    pub const fn rows(path: &'static str, from: &'static str, on: &'static str, element: &'static [Self]) -> Self {
        Self { path, source: Source::Rows { from, on, element }, nullable: false, unique: false }
    }

    /// The same column, NULL where the field is absent.
    pub const fn nullable(self) -> Self {
        Self { nullable: true, ..self }
    }

    /// The same column, its value never the same in two rows of a result.
    pub const fn unique(self) -> Self {
        Self { unique: true, ..self }
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
    pub sql: String,
    /// The values for the placeholders, in order.
    pub args: Vec<Value>,
}

/// Compiles `filter` over `columns`, its placeholders numbered from `first_placeholder`.
///
/// # Errors
/// A fault, for it is a bug: the filter names a field that has no column, compares it with another type, or holds
/// more than [`VALUES_MAX`].
pub fn compile(filter: &Filter, columns: &[Column], first_placeholder: usize) -> Result<Condition, Fault> {
    let mut writer = Writer { sql: String::new(), args: Vec::new(), first_placeholder };
    writer.filter(filter, columns, true)?;
    if writer.args.len() > VALUES_MAX {
        return Err(Fault::new(FaultKind::Internal, "a filter holds more values than a statement may have"));
    }
    Ok(Condition { sql: writer.sql, args: writer.args })
}

/// Compiles the list of an ORDER BY. `creation` is the expression that orders the rows by their creation, without
/// ties (`m.position`): it decides last, and alone when `keys` are empty. Absent values sort as the smallest.
///
/// # Errors
/// A fault if a key is no plain value with a column: the dialect should have refused it.
pub fn order_by(keys: &[SortKey], columns: &[Column], creation: &'static str) -> Result<String, Fault> {
    let mut sql = String::new();
    for key in keys {
        let column = lookup(columns, &key.path)?;
        let Source::Value { sql: expression, .. } = column.source else { return Err(mismatch(&key.path)) };
        sql.push_str(expression);
        sql.push_str(match (key.descending, column.nullable) {
            (false, false) => " ASC",
            (true, false) => " DESC",
            // The engines disagree on where NULL sorts. Only here: it keeps PostgreSQL from using a plain index.
            (false, true) => " ASC NULLS FIRST",
            (true, true) => " DESC NULLS LAST",
        });
        if column.unique && !column.nullable {
            return Ok(sql);
        }
        sql.push_str(", ");
    }
    sql.push_str(creation);
    sql.push_str(" ASC");
    Ok(sql)
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
    sql: String,
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
                    writer.push(sql);
                    writer.push(operator(*comparison, wanted));
                    writer.bind(value(scalar));
                })
            }
            (Test::EqualIgnoringCase(text), _) => {
                self.values(path, Kind::Text, column, wanted, |writer, sql, wanted| {
                    // Both engines' lower() folds A to Z; PostgreSQL's folds no more only under COLLATE "C".
                    writer.push("lower(");
                    writer.push(sql);
                    writer.push(")");
                    writer.push(operator(Comparison::Equal, wanted));
                    writer.bind(text.to_ascii_lowercase().into());
                })
            }
            (Test::Defined, Source::Value { sql, .. } | Source::Object { sql }) => {
                self.push(sql);
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
            writer.push(sql);
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
        write: impl FnOnce(&mut Self, &str, bool),
    ) -> Result<(), Fault> {
        match column.source {
            Source::Value { sql, kind } if kind == of => {
                let or_null = column.nullable && !wanted;
                if or_null {
                    self.push("(");
                    self.push(sql);
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
        (from, on): (&str, &str),
        wanted: bool,
        condition: impl FnOnce(&mut Self) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.push(if wanted { "EXISTS (SELECT 1 FROM " } else { "NOT EXISTS (SELECT 1 FROM " });
        self.push(from);
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
        self.sql.push_str(sql);
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
