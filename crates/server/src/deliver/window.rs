//! The log's newest entries in memory, read once for all subscriptions.
//!
//! The window holds every entry of a range of positions that ends at the log's final end. A subscription asks for what
//! comes after the position that it has seen: if that lies in the window, it gets the very next entries; if not, it is
//! told to read its own page. Either way the answer names the position up to which it is complete, and the next question
//! starts there, so nothing is left out or doubled when a subscription falls behind or catches up.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use keyherald_store::log::Entry;
use tokio::sync::watch;

/// Entries handed out at once.
const TAKE_MAX: usize = 256;

/// What comes after a position.
pub(super) enum Next {
    /// Nothing yet.
    Nothing,
    /// These entries, complete up to the position.
    Entries(Vec<Arc<Entry>>, i64),
    /// More than the window holds: a page must be read, up to this position at most.
    Behind(i64),
}

/// The newest entries.
pub(super) struct Window {
    inner: Mutex<Inner>,
    end: watch::Sender<i64>,
    entries_max: usize,
}

struct Inner {
    /// Every entry after this position is here.
    start: i64,
    entries: VecDeque<Arc<Entry>>,
}

impl Window {
    /// An empty window of at most this many entries. It tells nothing before [`Window::begin`].
    pub(super) fn new(entries_max: usize) -> Self {
        let inner = Inner { start: 0, entries: VecDeque::new() };
        Self { inner: Mutex::new(inner), end: watch::Sender::new(0), entries_max }
    }

    /// Starts at this position, which is final.
    pub(super) fn begin(&self, at: i64) {
        *self.locked() = Inner { start: at, entries: VecDeque::new() };
        self.end.send_replace(at);
    }

    /// Adds the entries up to `end`, which is final.
    pub(super) fn push(&self, entries: Vec<Entry>, end: i64) {
        let mut inner = self.locked();
        inner.entries.extend(entries.into_iter().map(Arc::new));
        while inner.entries.len() > self.entries_max {
            if let Some(oldest) = inner.entries.pop_front() {
                inner.start = oldest.notice.position();
            }
        }
        drop(inner);
        self.end.send_replace(end);
    }

    /// The position up to which the window is complete.
    pub(super) fn end(&self) -> i64 {
        *self.end.borrow()
    }

    /// Moves when there is something new.
    pub(super) fn moved(&self) -> watch::Receiver<i64> {
        self.end.subscribe()
    }

    /// What comes after `seen`.
    pub(super) fn after(&self, seen: i64) -> Next {
        // Before the entries: those up to this end are in the window already.
        let end = self.end();
        if seen >= end {
            return Next::Nothing;
        }
        let inner = self.locked();
        if seen < inner.start {
            return Next::Behind(end);
        }
        let first = inner.entries.partition_point(|entry| entry.notice.position() <= seen);
        let taken: Vec<Arc<Entry>> = inner
            .entries
            .range(first..)
            .take(TAKE_MAX)
            .filter(|entry| entry.notice.position() <= end)
            .cloned()
            .collect();
        let up_to = match taken.last() {
            Some(last) if taken.len() == TAKE_MAX => last.notice.position(),
            _ => end,
        };
        Next::Entries(taken, up_to)
    }

    fn locked(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use keyherald_core::id::{CustomerId, MessageId};
    use keyherald_core::initiator::Initiator;
    use keyherald_core::message::{Content, Facts, Flow, Message, Personal};
    use keyherald_core::notice::Notice;
    use keyherald_core::{Ctx, Micros};

    use super::*;

    fn entry(position: i64) -> Entry {
        let ctx = &mut Ctx::new(Micros(0), [0; 32]);
        let customer = CustomerId::new(ctx);
        let message = Message {
            position,
            id: MessageId::new(ctx),
            created_at: Micros(0),
            resource_id: customer.uuid(),
            resource_version: 1,
            sequence: 1,
            customer,
            visible: false,
            facts: Facts {
                content: Content::CustomerPasswordUpdated { reset: false },
                by: Initiator::default(),
                flow: Flow::Change,
            },
            personal: Some(Personal::default()),
            secret: None,
        };
        Entry { project: "demo".parse().unwrap(), notice: Notice::Message(Box::new(message)) }
    }

    fn after(window: &Window, seen: i64) -> (Vec<i64>, i64) {
        match window.after(seen) {
            Next::Nothing => (vec![], seen),
            Next::Entries(entries, up_to) => (entries.iter().map(|entry| entry.notice.position()).collect(), up_to),
            Next::Behind(end) => (vec![-1], end),
        }
    }

    #[test]
    fn a_follower_gets_what_comes_next() {
        let window = Window::new(10);
        window.begin(7);
        assert_eq!(after(&window, 7), (vec![], 7));
        window.push(vec![entry(9), entry(12)], 15);
        assert_eq!(after(&window, 7), (vec![9, 12], 15));
        assert_eq!(after(&window, 9), (vec![12], 15));
        assert_eq!(after(&window, 12), (vec![], 15), "the end moves over what is nobody's");
        assert_eq!(after(&window, 15), (vec![], 15));
    }

    #[test]
    fn who_is_behind_is_told_so() {
        let window = Window::new(2);
        window.begin(7);
        assert_eq!(after(&window, 5), (vec![-1], 7));
        window.push(vec![entry(8), entry(9), entry(10)], 10);
        assert_eq!(after(&window, 7), (vec![-1], 10), "8 was dropped");
        assert_eq!(after(&window, 8), (vec![9, 10], 10));
    }

    #[test]
    fn much_is_handed_out_in_parts() {
        let window = Window::new(1000);
        window.begin(0);
        window.push((1..=600).map(entry).collect(), 600);
        let (mut seen, mut got) = (0, Vec::new());
        while seen < 600 {
            let (part, up_to) = after(&window, seen);
            assert!(part.len() <= TAKE_MAX && up_to > seen);
            got.extend(part);
            seen = up_to;
        }
        assert_eq!(got, (1..=600).collect::<Vec<_>>());
    }
}
