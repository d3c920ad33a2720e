//! What an answer is recognised by.
//!
//! Only the conditions; whether an answer meets them, the connector finds out.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use regex::{Regex, RegexBuilder};
use serde_json::Value;

use super::source::Pointer;

/// Conditions that an answer must all meet. Without any it is met by every answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Predicate {
    /// The status is one of these.
    pub status: Option<Statuses>,
    /// There is no answer, for one of these reasons.
    pub transport: Vec<Transport>,
    /// A header, named in lower case, and how it must be.
    pub header: Option<(String, Vec<Test>)>,
    /// A value of the body, and how it must be.
    pub pointer: Option<(Pointer, Vec<Test>)>,
    /// Found in the body as text.
    pub body_regex: Option<Pattern>,
    /// All of these are met.
    pub all: Vec<Predicate>,
    /// If there are any, one of these is met.
    pub any: Vec<Predicate>,
    /// This is not met.
    pub not: Option<Box<Predicate>>,
}

/// How a value must be. An absent value passes only [`Test::Exists`] with `false`.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// Equal; numbers as numbers.
    Equals(Value),
    /// Equal to one of these.
    In(Vec<Value>),
    /// A text, or a number as text, in which this is found.
    Matches(Pattern),
    /// There, or not there. `null` is there.
    Exists(bool),
    /// A number above this one.
    Gt(f64),
    /// A number below this one.
    Lt(f64),
}

/// Ranges of HTTP statuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statuses(Vec<RangeInclusive<u16>>);

/// Not a status or a range of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a status from 100 to 599, or a range such as \"5xx\"")]
pub struct NotAStatus;

impl Statuses {
    /// Of the single ones.
    pub fn of(ranges: Vec<RangeInclusive<u16>>) -> Self {
        Self(ranges)
    }

    /// One status, or a range as text: `404`, `5xx`.
    pub fn range(text: &str) -> Result<RangeInclusive<u16>, NotAStatus> {
        let class = text.strip_suffix("xx").and_then(|digit| digit.parse::<u16>().ok());
        if let Some(class @ 1..=5) = class {
            return Ok(class * 100..=class * 100 + 99);
        }
        let status = text.parse().map_err(|_| NotAStatus)?;
        if (100..=599).contains(&status) { Ok(status..=status) } else { Err(NotAStatus) }
    }

    /// Whether this one is among them.
    pub fn has(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }

    /// Whether all of `others` are among them.
    pub fn cover(&self, others: &Self) -> bool {
        others.0.iter().cloned().all(|mut range| range.all(|status| self.has(status)))
    }
}

/// Why there is no answer, in the words of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// The name does not resolve.
    Dns,
    /// No connection.
    Connect,
    /// No TLS on it.
    Tls,
    /// Time was up before the request was sent.
    TimeoutBeforeSend,
    /// Time was up after the request was sent.
    TimeoutAfterSend,
    /// The connection broke.
    Reset,
    /// The answer is too long.
    TooLarge,
    /// The answer is not JSON where it should be.
    BadJson,
}

impl Transport {
    /// Each, by its name in the configuration.
    pub const NAMES: [(&'static str, Self); 8] = [
        ("dns", Self::Dns),
        ("connect", Self::Connect),
        ("tls", Self::Tls),
        ("timeout_before_send", Self::TimeoutBeforeSend),
        ("timeout_after_send", Self::TimeoutAfterSend),
        ("reset", Self::Reset),
        ("too_large", Self::TooLarge),
        ("bad_json", Self::BadJson),
    ];
}

/// A regular expression of limited size.
#[derive(Clone)]
pub struct Pattern(Regex);

/// Largest compiled expression in bytes; each program that is made of it has the same limit.
const PATTERN_BYTES_MAX: usize = 256 * 1024;

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let built = RegexBuilder::new(text).size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX).build();
        built.map(Self).map_err(|error| match error {
            regex::Error::CompiledTooBig(limit) => format!("is too large a regular expression (over {limit} bytes)"),
            // Its own text spans lines and points with arrows; the last line says it.
            error => format!("is no regular expression: {}", error.to_string().lines().last().unwrap_or_default()),
        })
    }
}

impl Pattern {
    /// Whether it is found in the text.
    pub fn is_in(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.as_str())
    }
}

impl Predicate {
    /// Whether it only looks at the status.
    fn is_status_alone(&self) -> bool {
        *self == Self { status: self.status.clone(), ..Self::default() }
    }

    /// Whether every answer that meets `other` certainly meets this one.
    pub fn covers(&self, other: &Self) -> bool {
        if self == other {
            return true;
        }
        match (&self.status, &other.status) {
            (Some(these), Some(those)) => self.is_status_alone() && these.cover(those),
            _ => false,
        }
    }

    /// The statuses without which it is not met, if it says so at once.
    pub fn statuses(&self) -> Option<&Statuses> {
        self.status.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_status(ranges: &[&str]) -> Predicate {
        let ranges = ranges.iter().map(|text| Statuses::range(text).unwrap()).collect();
        Predicate { status: Some(Statuses::of(ranges)), ..Predicate::default() }
    }

    #[test]
    fn statuses_are_read() {
        assert_eq!(Statuses::range("5xx"), Ok(500..=599));
        assert_eq!(Statuses::range("404"), Ok(404..=404));
        for wrong in ["6xx", "0xx", "99", "600", "", "xx", "-1"] {
            assert_eq!(Statuses::range(wrong), Err(NotAStatus), "{wrong}");
        }
    }

    #[test]
    fn a_wider_predicate_covers_a_narrower_one_and_not_the_other_way() {
        let narrow = Predicate { body_regex: Some("x".parse().unwrap()), ..of_status(&["400"]) };
        assert!(of_status(&["4xx"]).covers(&narrow));
        assert!(!narrow.covers(&of_status(&["400"])));
        assert!(!of_status(&["400"]).covers(&of_status(&["400", "401"])));
        assert!(narrow.covers(&narrow.clone()));
    }

    #[test]
    fn a_regular_expression_has_a_size() {
        assert!("a{1000}{1000}".parse::<Pattern>().unwrap_err().contains("too large"));
        assert!("(".parse::<Pattern>().unwrap_err().contains("unclosed group"));
        assert!("already exists".parse::<Pattern>().unwrap().is_in("it already exists."));
    }
}
