//! From where a call came: which system made it, for which tenant, and what it calls the request.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::NotAnId;

/// A caller's word that may stand in a log: 1 to 256 bytes without control characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Label(String);

impl Label {
    /// Longest one.
    pub const BYTES_MAX: usize = 256;

    /// The word as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Label {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let fits = (1..=Self::BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
        if fits { Ok(Self(text.to_owned())) } else { Err(NotAnId) }
    }
}

/// From where a call came, as far as it said so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The calling system (`X-SourceSystem`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<Label>,
    /// The tenant that it named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// What the request is followed by through all logs. Never one that looks like an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<Label>,
}

impl Source {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Naviga's name of a project (naviga.md 2.2): client group > client > paper.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tenant {
    /// The group, or media group, of the client.
    pub client_group: Label,
    /// The client.
    pub client: Label,
    /// One of its papers.
    pub paper: Label,
}

impl Tenant {
    /// The three codes. `None`: one of them cannot be one.
    pub fn new(client_group: &str, client: &str, paper: &str) -> Option<Self> {
        let code = |text: &str| text.parse().ok();
        Some(Self { client_group: code(client_group)?, client: code(client)?, paper: code(paper)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_short_and_printable() {
        assert!("ExternalSystem 2".parse::<Label>().is_ok());
        for unusable in ["", "a\nb", "a\0", &"x".repeat(257)] {
            assert!(unusable.parse::<Label>().is_err(), "{unusable:?}");
        }
        assert_eq!(Tenant::new("GCI", "WestPalmBeach", ""), None);
    }
}
