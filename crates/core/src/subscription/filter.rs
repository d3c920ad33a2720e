//! Which of what a subscription asks for it is really sent: by store, by flow, by a predicate on the fields.
//!
//! An extension of ours: the contract knows types only. Stores and flows are read off the facts of an entry, which never
//! change, so a filter answers the same today and at a replay. The predicate is kept as it was written; who delivers
//! parses it once, and holds it against the fields of what would be sent.

use serde::{Deserialize, Serialize};

use crate::id::Key;
use crate::message::Flow;
use crate::notice::Notice;

/// A filter. Whatever is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticeFilter {
    /// Keys of stores: what concerns somebody in one of them. Empty: whoever it concerns.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub stores: Vec<Key>,
    /// By which ways a message came about. Empty: by any.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub flows: Vec<Flow>,
    /// A predicate of the contract's language (commercetools.md chapter 6), as it was written.
    #[serde(rename = "where", skip_serializing_if = "Option::is_none", default)]
    pub predicate: Option<String>,
}

impl NoticeFilter {
    /// Most stores that it may name.
    pub const STORES_MAX: usize = 100;
    /// Longest predicate in bytes: it is held against every message of the types that are asked for.
    pub const PREDICATE_BYTES_MAX: usize = 4096;

    /// Whether it asks for anything.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether stores and flow are right. The predicate is not looked at. Activity and events have neither.
    pub fn admits(&self, notice: &Notice) -> bool {
        let (stores, flow) = match notice {
            Notice::Message(message) => (&message.facts.stores, Some(message.facts.flow)),
            Notice::Change(change) => (&change.facts.stores, None),
            Notice::Activity(_) | Notice::Event(_) => return self.stores.is_empty() && self.flows.is_empty(),
        };
        (self.stores.is_empty() || self.stores.iter().any(|wanted| stores.contains(wanted)))
            && (self.flows.is_empty() || flow.is_some_and(|flow| self.flows.contains(&flow)))
    }
}
