//! Query strings: names in whatever letter case, blank values as good as none.

use axum::http::Uri;

/// The parameters of a query string.
pub struct Query(Vec<(String, String)>);

/// A parameter whose value cannot be meant.
pub struct NotValid;

impl Query {
    /// Of a request's address.
    pub fn of(uri: &Uri) -> Self {
        let pairs = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        Self(pairs.map(|(name, value)| (name.to_ascii_lowercase(), value.into_owned())).collect())
    }

    /// The first value of a parameter, if it is not blank.
    pub fn text(&self, name: &str) -> Option<&str> {
        let named = self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    }

    /// A parameter that is `true` or `false`; absent, it is false.
    pub fn flag(&self, name: &str) -> Result<bool, NotValid> {
        match self.text(name) {
            None => Ok(false),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            Some(_) => Err(NotValid),
        }
    }

    /// A number within a range; absent, it is `default`.
    pub fn number(&self, name: &str, range: std::ops::RangeInclusive<i64>, default: i64) -> Result<i64, NotValid> {
        match self.text(name) {
            None => Ok(default),
            Some(text) => text.parse().ok().filter(|number| range.contains(number)).ok_or(NotValid),
        }
    }
}
