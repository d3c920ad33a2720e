//! Which page, in which order.

use keyherald_core::filter::SortKey;

use super::fields::{Field, Shape};
use super::malformed::Malformed;

/// Largest `limit`.
pub const LIMIT_MAX: u32 = 500;
/// `limit` if none is given.
pub const LIMIT_DEFAULT: u32 = 20;
/// Largest `offset`.
pub const OFFSET_MAX: u32 = 10_000;

/// The page that a query asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paging {
    /// Results at most; 0 is allowed.
    pub limit: u32,
    /// Results to pass over.
    pub offset: u32,
    /// The order; empty means by creation. Ends without a tie-breaker: the store adds one.
    pub sort: Vec<SortKey>,
    /// Whether to count all matches.
    pub with_total: bool,
}

impl Paging {
    /// Reads `limit`, `offset`, `sort` and `withTotal`; of all but `sort`, the last one given counts.
    pub fn read(pairs: &[(String, String)], fields: &'static [Field]) -> Result<Self, Malformed> {
        let last = |wanted: &str| pairs.iter().rev().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
        let sorts = pairs.iter().filter(|(name, _)| name == "sort").map(|(_, value)| value.as_str());
        Ok(Self {
            limit: number("limit", last("limit"), LIMIT_DEFAULT, LIMIT_MAX)?,
            offset: number("offset", last("offset"), 0, OFFSET_MAX)?,
            sort: sort(sorts, fields)?,
            with_total: flag("withTotal", last("withTotal"), true)?,
        })
    }
}

/// Reads sort expressions, each `path [asc|desc]`. A path that was already sorted by changes nothing and is dropped,
/// so that the order has no more keys than there are fields.
pub fn sort<'q>(
    expressions: impl IntoIterator<Item = &'q str>,
    fields: &'static [Field],
) -> Result<Vec<SortKey>, Malformed> {
    let mut keys: Vec<SortKey> = Vec::new();
    for expression in expressions {
        let key = sort_key(expression, fields)?;
        if !keys.iter().any(|earlier| earlier.path == key.path) {
            keys.push(key);
        }
    }
    Ok(keys)
}

fn sort_key(expression: &str, fields: &'static [Field]) -> Result<SortKey, Malformed> {
    let mut words = expression.split_ascii_whitespace();
    let (path, direction, rest) = (words.next().unwrap_or_default(), words.next().unwrap_or("asc"), words.next());
    let descending = direction.eq_ignore_ascii_case("desc");
    if rest.is_some() || !(descending || direction.eq_ignore_ascii_case("asc")) {
        let text = "Expected a field path, then optionally asc or desc.".to_owned();
        return Err(Malformed::value("sort", text));
    }
    let mut within = fields;
    let mut names = path.split('.');
    while let Some(name) = names.next() {
        let field = Field::named(within, name).ok_or_else(|| Malformed::unknown_field("sort", name))?;
        match field.shape {
            Shape::One(_) if names.next().is_none() => return Ok(SortKey { path: path.into(), descending }),
            Shape::Object(inner) => within = inner,
            Shape::One(_) | Shape::Many(_) | Shape::Objects(_) => break,
        }
    }
    Err(Malformed::of_type("sort", "The path does not lead to a single value.".to_owned()))
}

fn number(name: &'static str, value: Option<&str>, default: u32, max: u32) -> Result<u32, Malformed> {
    let Some(value) = value else { return Ok(default) };
    let read = value.parse().ok().filter(|number| *number <= max);
    let out_of_range = || format!("The {name} parameter must be in the range of [0..{max}]");
    read.ok_or_else(|| Malformed::value(name, out_of_range()))
}

fn flag(name: &'static str, value: Option<&str>, default: bool) -> Result<bool, Malformed> {
    match value {
        None => Ok(default),
        Some(value) if value.eq_ignore_ascii_case("true") => Ok(true),
        Some(value) if value.eq_ignore_ascii_case("false") => Ok(false),
        Some(_) => Err(Malformed::value(name, format!("The {name} parameter must be true or false"))),
    }
}
