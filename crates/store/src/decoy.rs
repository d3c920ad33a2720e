//! Decoys: rows that cost what others cost, and that nobody reads.
//!
//! What concerns a customer whom nobody knows must not be told by the time that it takes to write it. So the same rows are
//! written as for a customer, in the same tables, by the same statements, beside those of whoever stands in
//! ([`keyherald_core::sought`]); only that they are of a kind that no reader and no relay asks for, and that what would be
//! personal or secret is zeros. They go as all others do: with their time, and with whom they stand beside.

use std::borrow::Cow;

/// Whether rows tell something.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nature {
    /// They do.
    Fact,
    /// They do not.
    Decoy,
}

impl Nature {
    /// The kind of a log row.
    pub(crate) fn kind(self, fact: &'static str) -> &'static str {
        match self {
            Self::Fact => fact,
            Self::Decoy => "decoy",
        }
    }

    /// The type of an event.
    pub(crate) fn event_type(self, fact: &'static str) -> &'static str {
        match self {
            Self::Fact => fact,
            Self::Decoy => "DECOY",
        }
    }

    /// What is sealed where this would be.
    pub(crate) fn content(self, plain: &[u8]) -> Cow<'_, [u8]> {
        match self {
            Self::Fact => plain.into(),
            Self::Decoy => vec![0; plain.len()].into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decoy_says_nothing_and_is_as_long() {
        assert_eq!(*Nature::Fact.content(b"123456"), *b"123456");
        assert_eq!(*Nature::Decoy.content(b"123456"), [0; 6]);
        assert_eq!((Nature::Fact.kind("message"), Nature::Decoy.kind("message")), ("message", "decoy"));
    }
}
