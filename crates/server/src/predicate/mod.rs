//! What a query asks for: `where` with its variables, `sort`, `limit`, `offset`, `withTotal` (commercetools.md chapter 6);
//! and the predicate of a subscription's filter, which is one of the same language.
//!
//! The path of a predicate: [`query_string`] decodes the pairs, `lexer` and `parser` read the spelling into a tree
//! with positions, `typing` holds it against a list of [`fields`] and makes a [`Filter`] of it. From there on nothing
//! knows how it was spelled.
//!
//! All of it is linear in the input and bounded: texts by [`WHERE_BYTES_MAX`], trees by the limits in
//! [`keyherald_core::filter`], pairs by [`query_string::PAIRS_MAX`]. Foreign text cannot panic or overflow a stack.
//!
//! Our choices, where the contract is silent:
//! * strings may hold JSON's escapes, since many callers quote with a JSON printer;
//! * a date-time field may be compared with a calendar date, which is its midnight in UTC;
//! * `field in (:a, "b")` takes all values of a repeated `var.a`; a comparison takes only a single one;
//! * an absent object has only absent fields: `customerGroup(id != "x")` holds without a customer group.

mod fields;
mod lexer;
mod malformed;
pub mod paging;
mod parser;
pub mod query_string;
mod typing;

#[cfg(test)]
mod tests;

use keyherald_core::filter::Filter;

pub use fields::{CUSTOMERS, Field, MESSAGES, NOTICES, Shape, Type};
pub use malformed::{Malformed, Position, Problem};
pub use paging::Paging;
pub use typing::Variables;

/// Bytes of all predicates of a query together.
pub const WHERE_BYTES_MAX: usize = 1 << 20;

/// Which resources, and which page of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// All `where` parameters, joined by AND.
    pub filter: Filter,
    /// The rest.
    pub paging: Paging,
}

impl Query {
    /// Reads a query's parameters; others (`expand`) are left to the caller.
    pub fn read(pairs: &[(String, String)], fields: &'static [Field]) -> Result<Self, Malformed> {
        let predicates = pairs.iter().filter(|(name, _)| name == "where").map(|(_, value)| value.as_str());
        let filter = parse(predicates, &Variables::of(pairs), fields)?;
        Ok(Self { filter, paging: Paging::read(pairs, fields)? })
    }
}

/// Parses predicates over `fields` and joins them by AND. With none, every document matches.
pub fn parse<'p>(
    predicates: impl IntoIterator<Item = &'p str>,
    variables: &Variables<'_>,
    fields: &'static [Field],
) -> Result<Filter, Malformed> {
    let mut bytes_left = WHERE_BYTES_MAX;
    let mut typing = typing::Typing::new(variables);
    let mut parts = Vec::new();
    for predicate in predicates {
        let too_long = || Malformed::limit("where", format!("The predicate is longer than {WHERE_BYTES_MAX} bytes."));
        bytes_left = bytes_left.checked_sub(predicate.len()).ok_or_else(too_long)?;
        parts.push(typing.filter(&parser::parse(predicate)?, fields)?);
    }
    Ok(Filter::all_of(parts))
}
