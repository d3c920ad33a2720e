//! The log's newest entries in memory, read once for all subscriptions.
//!
//! The window holds every entry of a range of positions that ends at the log's final end. A subscription asks for what
//! comes after the position that it has seen: if that lies in the window, it gets the very next entries; if not, it is
//! told to read its own page. Either way the answer names the position up to which it is complete, and the next question
//! starts there, so nothing is left out or doubled when a subscription falls behind or catches up.

use std::collections::VecDeque;

use super::Positioned;

/// Entries handed out at once.
pub const TAKE_MAX: usize = 256;

/// What comes after a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next<E> {
    /// Nothing yet.
    Nothing,
    /// These entries, complete up to the position.
    Entries(Vec<E>, i64),
    /// More than the window holds: a page must be read, up to this position at most.
    Behind(i64),
}

/// The newest entries.
#[derive(Clone, Debug)]
pub struct Window<E> {
    /// Every entry after this position is here.
    start: i64,
    /// Up to here.
    end: i64,
    entries: VecDeque<E>,
    entries_max: usize,
}

impl<E: Positioned + Clone> Window<E> {
    /// An empty window of at most this many entries. It tells nothing before [`Window::begin`].
    pub fn new(entries_max: usize) -> Self {
        Self { start: 0, end: 0, entries: VecDeque::new(), entries_max }
    }

    /// Starts at this position, which is final.
    pub fn begin(&mut self, at: i64) {
        *self = Self { start: at, end: at, entries: VecDeque::new(), entries_max: self.entries_max };
    }

    /// Adds the entries up to `end`, which is final.
    pub fn push(&mut self, entries: Vec<E>, end: i64) {
        self.entries.extend(entries);
        self.end = end;
        while self.entries.len() > self.entries_max {
            if let Some(oldest) = self.entries.pop_front() {
                self.start = oldest.position();
            }
        }
    }

    /// The position up to which the window is complete.
    pub fn end(&self) -> i64 {
        self.end
    }

    /// Entries in memory.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What comes after `seen`.
    pub fn after(&self, seen: i64) -> Next<E> {
        if seen >= self.end {
            return Next::Nothing;
        }
        if seen < self.start {
            return Next::Behind(self.end);
        }
        let first = self.entries.partition_point(|entry| entry.position() <= seen);
        let taken: Vec<E> = self.entries.range(first..).take(TAKE_MAX).cloned().collect();
        let up_to = taken.last().filter(|_| taken.len() == TAKE_MAX).map_or(self.end, Positioned::position);
        Next::Entries(taken, up_to)
    }
}

/// Who fills the window: how far it has come.
#[derive(Clone, Debug, Default)]
pub struct Tail {
    /// Everything up to here is in the window, or was before it began.
    read_to: Option<i64>,
}

/// What the tail does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advance {
    /// The window begins here: subscriptions that are further back read their own pages.
    Begin(i64),
    /// The window ends where the log does.
    Nothing,
    /// What lies between these is read and pushed; then [`Tail::was_read`] is told how far.
    Read {
        /// Exclusive.
        after: i64,
        /// Inclusive.
        up_to: i64,
    },
}

impl Tail {
    /// The log is final up to `end`.
    pub fn advance(&mut self, end: i64) -> Advance {
        match self.read_to {
            None => {
                self.read_to = Some(end);
                Advance::Begin(end)
            }
            Some(read_to) if end <= read_to => Advance::Nothing,
            Some(after) => Advance::Read { after, up_to: end },
        }
    }

    /// A page was pushed that is complete up to here.
    pub fn was_read(&mut self, up_to: i64) {
        self.read_to = Some(up_to);
    }
}

/// The position up to which a page of at most `limit` entries is complete: all that was asked for, or its last entry if it is
/// full.
pub fn complete_to<E: Positioned>(page: &[E], limit: i64, up_to: i64) -> i64 {
    let is_full = i64::try_from(page.len()).is_ok_and(|length| length >= limit);
    page.last().filter(|_| is_full).map_or(up_to, Positioned::position)
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Positioned for i64 {
        fn position(&self) -> i64 {
            *self
        }
    }

    fn after(window: &Window<i64>, seen: i64) -> (Vec<i64>, i64) {
        match window.after(seen) {
            Next::Nothing => (vec![], seen),
            Next::Entries(entries, up_to) => (entries, up_to),
            Next::Behind(end) => (vec![-1], end),
        }
    }

    #[test]
    fn a_follower_gets_what_comes_next() {
        let mut window = Window::new(10);
        window.begin(7);
        assert_eq!(after(&window, 7), (vec![], 7));
        window.push(vec![9, 12], 15);
        assert_eq!(after(&window, 7), (vec![9, 12], 15));
        assert_eq!(after(&window, 9), (vec![12], 15));
        assert_eq!(after(&window, 12), (vec![], 15), "the end moves over what is nobody's");
        assert_eq!(after(&window, 15), (vec![], 15));
    }

    #[test]
    fn who_is_behind_is_told_so() {
        let mut window = Window::new(2);
        window.begin(7);
        assert_eq!(after(&window, 5), (vec![-1], 7));
        window.push(vec![8, 9, 10], 10);
        assert_eq!(after(&window, 7), (vec![-1], 10), "8 was dropped");
        assert_eq!(after(&window, 8), (vec![9, 10], 10));
        assert_eq!(window.len(), 2);
    }

    #[test]
    fn much_is_handed_out_in_parts() {
        let mut window = Window::new(1000);
        window.begin(0);
        window.push((1..=600).collect(), 600);
        let (mut seen, mut got) = (0, Vec::new());
        while seen < 600 {
            let (part, up_to) = after(&window, seen);
            assert!(part.len() <= TAKE_MAX && up_to > seen);
            got.extend(part);
            seen = up_to;
        }
        assert_eq!(got, (1..=600).collect::<Vec<_>>());
    }

    #[test]
    fn the_tail_begins_at_the_end_and_reads_on_from_there() {
        let mut tail = Tail::default();
        assert_eq!(tail.advance(5), Advance::Begin(5));
        assert_eq!(tail.advance(5), Advance::Nothing);
        assert_eq!(tail.advance(9), Advance::Read { after: 5, up_to: 9 });
        assert_eq!(tail.advance(9), Advance::Read { after: 5, up_to: 9 }, "it was not read");
        tail.was_read(7);
        assert_eq!(tail.advance(9), Advance::Read { after: 7, up_to: 9 });
        tail.was_read(9);
        assert_eq!(tail.advance(9), Advance::Nothing);
    }

    #[test]
    fn a_full_page_is_complete_to_its_last_entry_and_another_one_to_the_end() {
        assert_eq!(complete_to(&[3, 5], 2, 9), 5);
        assert_eq!(complete_to(&[3], 2, 9), 9);
        assert_eq!(complete_to::<i64>(&[], 2, 9), 9);
    }
}
