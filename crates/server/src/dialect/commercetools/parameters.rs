//! Parameters: of a query string, and of a token request's body. And what a query asks for with them.

use axum::http::Uri;
use serde_json::Value;

use super::reply::{Problem, Reply};
use crate::app::{Listing, Page};
use crate::format::commercetools::Object;
use crate::predicate::query_string::{NotFormEncoded, decode};
use crate::predicate::{Field, Query};

/// Decoded names and values in the order in which they were sent. None holds U+0000, which not every store can keep.
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Those of a query string.
    pub fn of_query(uri: &Uri) -> Result<Self, Problem> {
        Self::decode(uri.query().unwrap_or_default().as_bytes()).map_err(Problem::invalid_input)
    }

    /// Those of a body.
    pub fn of_form(body: &[u8]) -> Result<Self, Problem> {
        Self::decode(body).map_err(Problem::invalid_request)
    }

    fn decode(encoded: &[u8]) -> Result<Self, String> {
        let pairs = decode(encoded).map_err(|error: NotFormEncoded| error.to_string())?;
        if pairs.iter().any(|(name, value)| name.contains('\0') || value.contains('\0')) {
            return Err("Malformed parameter: a name or value holds the character U+0000.".to_owned());
        }
        Ok(Self(pairs))
    }

    /// These, then others.
    pub fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// The first value of a name, if it is not empty.
    pub fn first(&self, name: &str) -> Option<&str> {
        self.all(name).next().filter(|value| !value.is_empty())
    }

    /// All values of a name.
    pub fn all<'p>(&'p self, name: &str) -> impl Iterator<Item = &'p str> {
        self.0.iter().filter(move |(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// `version`, which a `DELETE` must have (commercetools.md 2.6).
    pub fn version(&self) -> Result<i64, Problem> {
        let text =
            self.first("version").ok_or_else(|| Problem::invalid_input("Missing required parameter: version."))?;
        text.parse().map_err(|_| Problem::malformed_parameter("version", "Expected an integer."))
    }

    /// `true` or `false`, in any letter case; absent: false.
    pub fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.first(name).map(str::to_ascii_lowercase).as_deref() {
            Some("true") => Ok(true),
            None | Some("false") => Ok(false),
            Some(_) => Err(Problem::malformed_parameter(name, "Expected true or false.")),
        }
    }

    /// Which resources a query wants, and which page of them.
    pub fn listing(&self, fields: &'static [Field]) -> Result<Listing, Problem> {
        let Query { filter, paging } =
            Query::read(&self.0, fields).map_err(|malformed| Problem::invalid_input(malformed.to_string()))?;
        Ok(Listing {
            filter,
            sort: paging.sort,
            limit: paging.limit.into(),
            offset: paging.offset.into(),
            with_total: paging.with_total,
        })
    }

    /// The same for `HEAD`, which only wants to know whether there is any.
    pub fn any(&self, fields: &'static [Field]) -> Result<Listing, Problem> {
        Ok(Listing { limit: 1, offset: 0, with_total: false, sort: Vec::new(), ..self.listing(fields)? })
    }
}

/// A page as it is answered (commercetools.md 5.2).
pub fn paged<T>(listing: &Listing, page: &Page<T>, show: impl Fn(&T) -> Value) -> Reply {
    let results: Vec<Value> = page.results.iter().map(show).collect();
    let body = Object::default()
        .with("limit", listing.limit)
        .with("offset", listing.offset)
        .with("count", results.len())
        .with_some("total", page.total)
        .with("results", results);
    Reply::ok(body)
}

/// The answer to `HEAD`: whether there is any.
pub fn any<T>(page: &Page<T>) -> Result<Reply, Problem> {
    if page.results.is_empty() { Err(Problem::no_match()) } else { Ok(Reply::ok(Value::Null)) }
}
