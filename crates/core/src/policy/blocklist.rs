//! Passwords that are tried first, as a list: ours, or the operator's.
//!
//! A password is compared as a whole, without regard to letter case, and once more by its letters and digits alone. What
//! merely contains an entry is taken: a long sentence is none the worse for the word `password` in it.
//!
//! The list that comes with the server is made by `cargo xtask blocklist` of what everybody knows: words, names, rows of
//! keyboards, and what people put behind them. It holds nobody's leaked passwords; for those there is the breach check.

use std::borrow::Cow;

use super::{bare, fold};

const SHIPPED: &str = include_str!("common.txt");

/// The list.
// No `Debug`: thousands of lines help nobody.
#[derive(Clone, Default)]
pub struct Blocklist {
    /// Folded, sorted, each once.
    entries: Vec<Cow<'static, str>>,
}

/// A text that is no list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAList {
    /// A line is longer than any password.
    #[error("line {0} is longer than {max} characters", max = super::INPUT_CHARACTERS_MAX)]
    LongLine(usize),
    /// More lines than are of use: guessing is throttled long before.
    #[error("has more than {max} lines", max = Blocklist::ENTRIES_MAX)]
    TooMany,
    /// No line at all.
    #[error("is empty")]
    Empty,
}

impl Blocklist {
    /// Most entries of one list.
    pub const ENTRIES_MAX: usize = 1_000_000;
    /// Largest list in bytes.
    pub const BYTES_MAX: u64 = 32 * 1024 * 1024;

    /// The one that comes with the server. Its lines are folded and sorted as they are written; a test says so.
    pub fn shipped() -> Self {
        Self { entries: SHIPPED.lines().map(Cow::Borrowed).collect() }
    }

    /// One password a line, in any order; empty lines do not count.
    pub fn parse(text: &str) -> Result<Self, NotAList> {
        let too_long = |line: &str| line.chars().count() > super::INPUT_CHARACTERS_MAX;
        if let Some(number) = text.lines().position(too_long) {
            return Err(NotAList::LongLine(number + 1));
        }
        if text.lines().nth(Self::ENTRIES_MAX).is_some() {
            return Err(NotAList::TooMany);
        }
        let lines = text.lines().filter(|line| !line.is_empty());
        let mut entries: Vec<Cow<'static, str>> = lines.map(|line| Cow::Owned(fold(line).to_string())).collect();
        entries.sort_unstable();
        entries.dedup();
        if entries.is_empty() { Err(NotAList::Empty) } else { Ok(Self { entries }) }
    }

    /// How many entries it has.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether the folded password is on it.
    pub(super) fn has(&self, folded: &str) -> bool {
        let is_on_it = |text: &str| self.entries.binary_search_by(|entry| (**entry).cmp(text)).is_ok();
        is_on_it(folded) || is_on_it(&bare(folded))
    }
}
