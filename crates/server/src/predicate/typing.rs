//! Holds a parsed predicate against a list of fields: names become paths, literals and variables become values of the
//! field's type.

use std::borrow::Cow;
use std::collections::BTreeMap;

use keyherald_core::Micros;
use keyherald_core::filter::{ARRAY_TERMS_MAX, Comparison, Filter, Path, Scalar, TERMS_MAX, Test, VALUES_MAX};

use super::fields::{Field, Shape, Type};
use super::malformed::Malformed;
use super::parser::{Literal, Node, Operation};

/// Bytes of all texts in a filter together. More than predicates may have, because a variable can be named often.
const TEXT_BYTES_MAX: usize = 2 << 20;

/// Values for the `:name` of a predicate, from the `var.name` parameters of a query.
#[derive(Clone, Default)]
pub struct Variables<'q>(BTreeMap<&'q str, Vec<&'q str>>);

impl<'q> Variables<'q> {
    /// The variables among a query's parameters. A repeated one is a list.
    pub fn of(pairs: &'q [(String, String)]) -> Self {
        let mut variables: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, value) in pairs {
            if let Some(name) = name.strip_prefix("var.") {
                variables.entry(name).or_default().push(value);
            }
        }
        Self(variables)
    }
}

/// Types the predicates of one query, within one set of limits.
pub(super) struct Typing<'q> {
    variables: &'q Variables<'q>,
    terms_left: usize,
    array_terms_left: usize,
    values_left: usize,
    text_bytes_left: usize,
}

impl<'q> Typing<'q> {
    pub(super) fn new(variables: &'q Variables<'q>) -> Self {
        Self {
            variables,
            terms_left: TERMS_MAX,
            array_terms_left: ARRAY_TERMS_MAX,
            values_left: VALUES_MAX,
            text_bytes_left: TEXT_BYTES_MAX,
        }
    }

    /// The meaning of `node` over documents with these fields.
    pub(super) fn filter(&mut self, node: &Node<'_>, fields: &'static [Field]) -> Result<Filter, Malformed> {
        self.node(node, fields, "")
    }

    /// `prefix` leads from the document, or from the array element, to the object that `fields` belong to.
    fn node(&mut self, node: &Node<'_>, fields: &'static [Field], prefix: &str) -> Result<Filter, Malformed> {
        match node {
            Node::And(parts) => Ok(Filter::all_of(self.nodes(parts, fields, prefix)?)),
            Node::Or(parts) => Ok(Filter::any_of(self.nodes(parts, fields, prefix)?)),
            Node::Not(part) => Ok(!self.node(part, fields, prefix)?),
            Node::Nested(name, part) => match named(fields, name)?.shape {
                Shape::Object(inner) => self.node(part, inner, &format!("{prefix}{name}.")),
                Shape::Objects(inner) => {
                    self.count_array_terms(1)?;
                    let path = Path::from(format!("{prefix}{name}"));
                    Ok(Filter::AnyElement(path, Box::new(self.node(part, inner, "")?)))
                }
                Shape::One(_) | Shape::Many(_) => {
                    Err(Malformed::of_type("where", format!("The field '{name}' has no fields of its own.")))
                }
            },
            Node::Test(name, operation) => {
                spend(&mut self.terms_left, 1, || format!("The predicate has more than {TERMS_MAX} conditions."))?;
                self.test(named(fields, name)?, Path::from(format!("{prefix}{name}")), operation)
            }
        }
    }

    fn nodes(&mut self, parts: &[Node<'_>], fields: &'static [Field], prefix: &str) -> Result<Vec<Filter>, Malformed> {
        parts.iter().map(|part| self.node(part, fields, prefix)).collect()
    }

    fn test(&mut self, field: &Field, path: Path, operation: &Operation<'_>) -> Result<Filter, Malformed> {
        let (of, is_array) = match field.shape {
            Shape::One(of) => (Some(of), false),
            Shape::Many(of) => (Some(of), true),
            Shape::Object(_) => (None, false),
            Shape::Objects(_) => (None, true),
        };
        if is_array {
            self.count_array_terms(1)?;
        }
        let test = match (operation, of) {
            (Operation::Compare(comparison, literal), Some(of)) => {
                Test::Compare(*comparison, self.single(field, of, literal)?)
            }
            (Operation::In(literals), Some(of)) => Test::In(self.list(field, of, literals)?),
            (Operation::ContainsAny(literals), Some(of)) if is_array => Test::In(self.list(field, of, literals)?),
            (Operation::ContainsAll(literals), Some(of)) if is_array => {
                let scalars = self.list(field, of, literals)?;
                self.count_array_terms(scalars.len())?;
                let equal = |scalar| Filter::Test(path.clone(), Test::Compare(Comparison::Equal, scalar));
                return Ok(Filter::all_of(scalars.into_iter().map(equal)));
            }
            (Operation::MatchesIgnoreCase(literal), Some(of @ Type::Text)) => match self.single(field, of, literal)? {
                Scalar::Text(text) => Test::EqualIgnoringCase(text),
                Scalar::Integer(_) | Scalar::Boolean(_) | Scalar::Instant(_) => return Err(wrong(field, of)),
            },
            (Operation::Defined, _) => Test::Defined,
            (Operation::Empty, _) if is_array => Test::Empty,
            (operation, _) => {
                let text = format!("The field '{}' does not support {}.", field.name, spelling(operation));
                return Err(Malformed::of_type("where", text));
            }
        };
        Ok(Filter::Test(path, test))
    }

    fn single(&mut self, field: &Field, of: Type, literal: &Literal<'_>) -> Result<Scalar, Malformed> {
        let mut scalars = self.list(field, of, std::slice::from_ref(literal))?;
        match (scalars.pop(), scalars.is_empty()) {
            (Some(scalar), true) => Ok(scalar),
            _ => Err(Malformed::variable(format!("The field '{}' is compared with a list of values.", field.name))),
        }
    }

    fn list(&mut self, field: &Field, of: Type, literals: &[Literal<'_>]) -> Result<Vec<Scalar>, Malformed> {
        let mut scalars = Vec::new();
        for literal in literals {
            match (literal, of) {
                (Literal::Text(text), Type::Text | Type::DateTime | Type::Date) => {
                    scalars.push(self.scalar(field, of, text)?);
                }
                (Literal::Number(text), Type::Integer) => scalars.push(self.scalar(field, of, text)?),
                (Literal::Boolean(flag), Type::Boolean) => {
                    scalars.push(self.scalar(field, of, if *flag { "true" } else { "false" })?);
                }
                (Literal::Variable(name), _) => {
                    let missing = || Malformed::variable(format!("Missing parameter value for {name}"));
                    for value in self.variables.0.get(name).ok_or_else(missing)? {
                        scalars.push(self.scalar(field, of, value)?);
                    }
                }
                (Literal::Text(_) | Literal::Number(_) | Literal::Boolean(_), _) => return Err(wrong(field, of)),
            }
        }
        Ok(scalars)
    }

    /// Reads the text of a value.
    fn scalar(&mut self, field: &Field, of: Type, text: &str) -> Result<Scalar, Malformed> {
        spend(&mut self.values_left, 1, || format!("The predicate has more than {VALUES_MAX} values."))?;
        let scalar = match of {
            Type::Text | Type::Date => {
                let too_long = || format!("The texts of the predicate are longer than {TEXT_BYTES_MAX} bytes.");
                spend(&mut self.text_bytes_left, text.len(), too_long)?;
                let fits = if of == Type::Date { is_date(text) } else { !text.contains('\0') }; // PostgreSQL takes no NUL
                fits.then(|| Scalar::Text(text.to_owned()))
            }
            Type::Integer => text.parse().ok().map(Scalar::Integer),
            Type::Boolean if text.eq_ignore_ascii_case("true") => Some(Scalar::Boolean(true)),
            Type::Boolean if text.eq_ignore_ascii_case("false") => Some(Scalar::Boolean(false)),
            Type::Boolean => None,
            Type::DateTime => instant(text).map(Scalar::Instant),
        };
        scalar.ok_or_else(|| wrong(field, of))
    }

    fn count_array_terms(&mut self, terms: usize) -> Result<(), Malformed> {
        let too_many = || format!("The predicate has more than {ARRAY_TERMS_MAX} conditions on arrays.");
        spend(&mut self.array_terms_left, terms, too_many)
    }
}

fn spend(left: &mut usize, amount: usize, error: impl FnOnce() -> String) -> Result<(), Malformed> {
    *left = left.checked_sub(amount).ok_or_else(|| Malformed::limit("where", error()))?;
    Ok(())
}

fn named(fields: &'static [Field], name: &str) -> Result<&'static Field, Malformed> {
    Field::named(fields, name).ok_or_else(|| Malformed::unknown_field("where", name))
}

fn is_date(text: &str) -> bool {
    text.len() == "2024-01-31".len() && instant(text).is_some()
}

/// A date-time with an offset, or a date: its midnight in UTC.
fn instant(text: &str) -> Option<Micros> {
    let is_date = text.len() == "2024-01-31".len();
    let text = if is_date { Cow::Owned(format!("{text}T00:00:00Z")) } else { Cow::Borrowed(text) };
    // The calendar library ends on 9999-12-30. Callers write the last day for "never".
    let last_days = [("9999-12-30", 1), ("9999-12-31", 2)];
    let after_29th = last_days.iter().find_map(|(date, days)| Some((text.strip_prefix(date)?, days)));
    match after_29th {
        None => Micros::parse_iso(&text),
        Some((time, days)) => Micros::parse_iso(&format!("9999-12-29{time}")).map(|at| at.plus(days * Micros::DAY)),
    }
}

fn wrong(field: &Field, of: Type) -> Malformed {
    let expected = match of {
        Type::Text => "a text in quotes",
        Type::Integer => "an integer",
        Type::Boolean => "true or false",
        Type::DateTime => "a date-time such as \"2024-01-31T12:00:00.000Z\"",
        Type::Date => "a date such as \"2024-01-31\"",
    };
    Malformed::of_type("where", format!("The value for the field '{}' must be {expected}.", field.name))
}

fn spelling(operation: &Operation<'_>) -> &'static str {
    match operation {
        Operation::Compare(..) => "comparisons",
        Operation::In(_) => "'in'",
        Operation::ContainsAll(_) | Operation::ContainsAny(_) => "'contains'",
        Operation::Defined => "'is defined'",
        Operation::Empty => "'is empty'",
        Operation::WithinCircle => "'within circle'",
        Operation::MatchesIgnoreCase(_) => "'matches ignore case'",
    }
}
