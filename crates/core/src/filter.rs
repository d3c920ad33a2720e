//! A condition on a document: what a `where` means, not how it is spelled.
//!
//! A dialect parses its own spelling into a [`Filter`]; the store compiles one to SQL, and [`Filter::matches`] answers
//! for a document at hand (a subscription's filter; the oracle that the compiled SQL is tested against).
//!
//! The logic has two values. A test of a field that is absent or `null` is false, so its negation is true: `!=`,
//! `not in` and `is not defined` are [`Filter::Not`] over the positive test and nothing else. On an array of plain
//! values a test holds if it holds for any element; "contains any" is therefore [`Test::In`], and "contains all" is
//! [`Filter::And`] over equalities.
//!
//! Not here: which fields exist and what type they have (the dialect's field list and the store's columns say so).
//! Whoever builds a tree from foreign text keeps it within the limits below: evaluation recurses as deep as the tree
//! is nested, and the engines of the store take no more than that.

use std::cmp::Ordering;
use std::fmt;
use std::ops::Not;

use serde_json::Value as Json;

use crate::Micros;

/// Levels that parts may be nested in each other.
pub const DEPTH_MAX: usize = 64;
/// Tests in a tree. Lists are flat and may be as long.
pub const TERMS_MAX: usize = 10_000;
/// Values in a tree, in comparisons and lists together. SQLite binds at most 32 766 in a statement.
pub const VALUES_MAX: usize = 30_000;
/// Tests of arrays in a tree. Each can become a subquery, and PostgreSQL plans thousands of them for minutes.
pub const ARRAY_TERMS_MAX: usize = 200;

/// Where a field lies: the names of nested objects, joined by dots (`resource.typeId`), from the document or, inside
/// [`Filter::AnyElement`], from the element. Names hold no dots themselves.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(String);

impl Path {
    /// The path as dotted text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The value at the path; `None` if it, or an object on the way, is absent or `null`.
    fn find<'d>(&self, document: &'d Json) -> Option<&'d Json> {
        let found = self.0.split('.').try_fold(document, |value, name| value.get(name))?;
        if found.is_null() { None } else { Some(found) }
    }
}

impl<T: Into<String>> From<T> for Path {
    fn from(dotted: T) -> Self {
        Self(dotted.into())
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The type of a plain value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Compared by code points, letter case included. Calendar dates are texts too: `YYYY-MM-DD` sorts by time.
    Text,
    /// 64 bits, signed.
    Integer,
    /// `false` is less than `true`.
    Boolean,
    /// A point in time: a date-time text in documents, microseconds in the store.
    Instant,
}

/// A value that a field is compared with.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scalar {
    /// See [`Kind::Text`].
    Text(String),
    /// See [`Kind::Integer`].
    Integer(i64),
    /// See [`Kind::Boolean`].
    Boolean(bool),
    /// See [`Kind::Instant`].
    Instant(Micros),
}

impl Scalar {
    /// The value's type.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Text(_) => Kind::Text,
            Self::Integer(_) => Kind::Integer,
            Self::Boolean(_) => Kind::Boolean,
            Self::Instant(_) => Kind::Instant,
        }
    }

    /// How a document's value stands to this one; `None` if it is of another type.
    fn order_of(&self, value: &Json) -> Option<Ordering> {
        match self {
            Self::Text(own) => value.as_str().map(|text| text.cmp(own.as_str())),
            Self::Integer(own) => value.as_i64().map(|number| number.cmp(own)),
            Self::Boolean(own) => value.as_bool().map(|flag| flag.cmp(own)),
            Self::Instant(own) => value.as_str().and_then(Micros::parse_iso).map(|at| at.cmp(own)),
        }
    }
}

/// Texts are customers' data (people filter by e-mail address), so only their length is shown.
impl fmt::Debug for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::Integer(number) => write!(f, "Integer({number})"),
            Self::Boolean(flag) => write!(f, "Boolean({flag})"),
            Self::Instant(at) => write!(f, "Instant({})", at.iso()),
        }
    }
}

/// How a field is compared. "Not equal" is the negation of `Equal`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl Comparison {
    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}

/// What is asked of one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// The value, or any element of the array, compares so.
    Compare(Comparison, Scalar),
    /// The value, or any element of the array, is one of these.
    In(Vec<Scalar>),
    /// The value, or any element of the array, is this text but for the case of ASCII letters. Other letters are not
    /// folded, because the two SQL engines do not agree on them.
    EqualIgnoringCase(String),
    /// Present and not `null`.
    Defined,
    /// An array without elements. An absent array is empty, so that "is not empty" promises an element.
    Empty,
}

impl Test {
    fn holds(&self, value: Option<&Json>) -> bool {
        match self {
            Self::Compare(comparison, scalar) => {
                any_value(value, |value| scalar.order_of(value).is_some_and(|order| comparison.holds(order)))
            }
            Self::In(scalars) => any_value(value, |value| {
                scalars.iter().any(|scalar| scalar.order_of(value).is_some_and(Ordering::is_eq))
            }),
            Self::EqualIgnoringCase(own) => {
                any_value(value, |value| value.as_str().is_some_and(|text| text.eq_ignore_ascii_case(own)))
            }
            Self::Defined => value.is_some(),
            Self::Empty => value.is_none_or(|value| value.as_array().is_some_and(Vec::is_empty)),
        }
    }
}

/// Whether `test` holds for the value, or for any element if it is an array.
fn any_value(value: Option<&Json>, test: impl Fn(&Json) -> bool) -> bool {
    match value {
        Some(Json::Array(elements)) => elements.iter().any(test),
        Some(value) => test(value),
        None => false,
    }
}

/// A condition. Built by [`Filter::all_of`], [`Filter::any_of`] and `!`, a tree is in its shortest form: no list of
/// fewer than two, no `And` directly in an `And` (nor `Or` in `Or`), no double negation, `All` only at the top or
/// under a `Not`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Holds for every document.
    All,
    /// All of these hold.
    And(Vec<Filter>),
    /// At least one of these holds.
    Or(Vec<Filter>),
    /// This does not hold.
    Not(Box<Filter>),
    /// A field passes a test.
    Test(Path, Test),
    /// An element of an array of objects holds; paths inside start at the element.
    AnyElement(Path, Box<Filter>),
}

impl Filter {
    /// Holds if every part holds; with no parts, always.
    pub fn all_of(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut flat = Vec::new();
        for part in parts {
            match part {
                Self::All => {}
                Self::And(inner) => flat.extend(inner),
                part if part.is_never() => return part,
                part => flat.push(part),
            }
        }
        if flat.len() > 1 { Self::And(flat) } else { flat.pop().unwrap_or(Self::All) }
    }

    /// Holds if any part holds; with no parts, never.
    pub fn any_of(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut flat = Vec::new();
        for part in parts {
            match part {
                Self::All => return Self::All,
                Self::Or(inner) => flat.extend(inner),
                part if part.is_never() => {}
                part => flat.push(part),
            }
        }
        if flat.len() > 1 { Self::Or(flat) } else { flat.pop().unwrap_or_else(|| !Self::All) }
    }

    /// Whether the filter holds for a document.
    pub fn matches(&self, document: &Json) -> bool {
        match self {
            Self::All => true,
            Self::And(parts) => parts.iter().all(|part| part.matches(document)),
            Self::Or(parts) => parts.iter().any(|part| part.matches(document)),
            Self::Not(part) => !part.matches(document),
            Self::Test(path, test) => test.holds(path.find(document)),
            Self::AnyElement(path, part) => {
                let elements = path.find(document).and_then(Json::as_array);
                elements.is_some_and(|elements| elements.iter().any(|element| part.matches(element)))
            }
        }
    }

    fn is_never(&self) -> bool {
        matches!(self, Self::Not(part) if **part == Self::All)
    }
}

impl Not for Filter {
    type Output = Self;

    fn not(self) -> Self {
        match self {
            Self::Not(part) => *part,
            part => Self::Not(Box::new(part)),
        }
    }
}

/// One step of an order: by this field, then by the next key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortKey {
    /// The field; one plain value per document. Documents without it sort as if it were smaller than any value.
    pub path: Path,
    /// Largest first.
    pub descending: bool,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn text(value: &str) -> Scalar {
        Scalar::Text(value.into())
    }

    fn compare(path: &str, comparison: Comparison, scalar: Scalar) -> Filter {
        Filter::Test(path.into(), Test::Compare(comparison, scalar))
    }

    fn equal(path: &str, scalar: Scalar) -> Filter {
        compare(path, Comparison::Equal, scalar)
    }

    #[test]
    fn values_are_compared_by_type() {
        let document = json!({
            "key": "b", "version": 3, "on": true, "at": "2024-01-01T00:00:00Z",
            "resource": {"typeId": "customer"},
        });
        let instant = |iso| Scalar::Instant(Micros::parse_iso(iso).unwrap());
        for (filter, holds) in [
            (equal("key", text("b")), true),
            (equal("key", text("B")), false),
            (compare("key", Comparison::Greater, text("a")), true),
            (compare("version", Comparison::LessOrEqual, Scalar::Integer(3)), true),
            (compare("version", Comparison::Less, Scalar::Integer(3)), false),
            (compare("on", Comparison::GreaterOrEqual, Scalar::Boolean(false)), true),
            (equal("at", instant("2024-01-01T01:00:00.000+01:00")), true),
            (equal("version", text("3")), false),
            (equal("resource.typeId", text("customer")), true),
            (equal("resource", text("customer")), false),
            (Filter::Test("key".into(), Test::In(vec![text("a"), text("b")])), true),
            (Filter::Test("key".into(), Test::EqualIgnoringCase("B".into())), true),
            (Filter::Test("resource".into(), Test::Defined), true),
        ] {
            assert_eq!(filter.matches(&document), holds, "{filter:?}");
        }
    }

    #[test]
    fn absent_and_null_fields_fail_every_test_and_pass_its_negation() {
        for document in [json!({}), json!({"key": null}), json!({"key": {}, "a": null})] {
            for test in [
                Test::Compare(Comparison::Equal, text("x")),
                Test::Compare(Comparison::Less, text("x")),
                Test::In(vec![text("x")]),
                Test::EqualIgnoringCase("x".into()),
            ] {
                let filter = Filter::Test("key".into(), test);
                assert!(!filter.matches(&document));
                assert!((!filter).matches(&document));
            }
            assert!(!Filter::Test("a.b".into(), Test::Defined).matches(&document));
            assert!(Filter::Test("a".into(), Test::Empty).matches(&document));
        }
    }

    #[test]
    fn arrays_match_by_any_element() {
        let document = json!({
            "ids": ["a", "b"], "none": [],
            "stores": [{"key": "x", "n": 1}, {"key": "y", "n": 2}],
        });
        let store = |key, n| {
            let both = Filter::all_of([equal("key", text(key)), equal("n", Scalar::Integer(n))]);
            Filter::AnyElement("stores".into(), Box::new(both))
        };
        assert!(equal("ids", text("b")).matches(&document));
        assert!(!equal("none", text("b")).matches(&document));
        assert!(Filter::Test("none".into(), Test::Empty).matches(&document));
        assert!(!Filter::Test("ids".into(), Test::Empty).matches(&document));
        assert!(store("x", 1).matches(&document));
        assert!(!store("x", 2).matches(&document), "one element must pass both tests");
    }

    #[test]
    fn trees_are_built_in_their_shortest_form() {
        let (a, b, c) = (equal("a", text("")), equal("b", text("")), equal("c", text("")));
        let flat = Filter::And(vec![a.clone(), b.clone(), c.clone()]);
        assert_eq!(Filter::all_of([Filter::all_of([a.clone(), b.clone()]), Filter::All, c]), flat);
        assert_eq!(Filter::all_of([]), Filter::All);
        assert_eq!(Filter::any_of([]), !Filter::All);
        assert_eq!(Filter::any_of([!Filter::All, a.clone()]), a);
        assert_eq!(Filter::any_of([a.clone(), Filter::All]), Filter::All);
        assert_eq!(Filter::all_of([a.clone(), !Filter::All, b]), !Filter::All);
        assert_eq!(!!a.clone(), a);
    }

    #[test]
    fn debug_shows_no_text() {
        let shown = format!("{:?}", equal("email", text("jane@example.com")));
        assert!(!shown.contains("jane"), "{shown}");
    }

    /// Any tree over the fields a, b and c, in whatever form.
    fn raw_tree() -> impl Strategy<Value = Vec<(u8, u8)>> {
        prop::collection::vec((0u8..6, 0u8..3), 1..40)
    }

    proptest! {
        /// The shortest form means the same: a program for a stack machine is run twice, once building with the
        /// constructors and once with plain variants.
        #[test]
        fn the_shortest_form_means_the_same(program in raw_tree(), present in prop::array::uniform3(any::<bool>())) {
            let (mut short, mut plain) = (Vec::new(), Vec::new());
            for (step, field) in program {
                let leaf = Filter::Test(["a", "b", "c"][usize::from(field)].into(), Test::Defined);
                let pair = |stack: &mut Vec<Filter>| (stack.pop(), stack.pop());
                match step {
                    0 => {
                        short.push(Filter::All);
                        plain.push(Filter::All);
                    }
                    1 if short.len() > 1 => {
                        if let (Some(one), Some(other)) = pair(&mut short) { short.push(Filter::all_of([one, other])); }
                        if let (Some(one), Some(other)) = pair(&mut plain) { plain.push(Filter::And(vec![one, other])); }
                    }
                    2 if short.len() > 1 => {
                        if let (Some(one), Some(other)) = pair(&mut short) { short.push(Filter::any_of([one, other])); }
                        if let (Some(one), Some(other)) = pair(&mut plain) { plain.push(Filter::Or(vec![one, other])); }
                    }
                    3 if !short.is_empty() => {
                        if let Some(one) = short.pop() { short.push(!one); }
                        if let Some(one) = plain.pop() { plain.push(Filter::Not(Box::new(one))); }
                    }
                    _ => {
                        short.push(leaf.clone());
                        plain.push(leaf);
                    }
                }
            }
            let mut document = json!({});
            for (name, present) in ["a", "b", "c"].into_iter().zip(present) {
                if present { document[name] = json!(1); }
            }
            for (short, plain) in short.iter().zip(&plain) {
                prop_assert_eq!(short.matches(&document), plain.matches(&document));
            }
        }
    }
}
