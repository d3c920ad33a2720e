//! How operations ended, for metrics and tests.

use std::sync::atomic::{AtomicU64, Ordering};

use keyherald_core::operation::State;

/// Counts since the start, of this process.
#[derive(Default)]
pub(super) struct Counters {
    begun: AtomicU64,
    resumed: AtomicU64,
    committed: AtomicU64,
    released: AtomicU64,
    diverged: AtomicU64,
}

/// All of it at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Intents committed.
    pub begun: u64,
    /// Operations taken up that had been put off or left by another process.
    pub resumed: u64,
    /// Done.
    pub committed: u64,
    /// Ended with nothing changed.
    pub released: u64,
    /// Of which nobody knows: each is one for an operator.
    pub diverged: u64,
}

impl Counters {
    pub(super) fn count_begun(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_resumed(&self) {
        self.resumed.fetch_add(1, Ordering::Relaxed);
    }

    /// An operation that was open has this state now.
    pub(super) fn count(&self, state: State) {
        let counter = match state {
            State::Closing | State::Committed => &self.committed,
            State::Released | State::Gone => &self.released,
            State::Diverged => &self.diverged,
            State::Open | State::Resolved => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn figures(&self) -> Figures {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Figures {
            begun: read(&self.begun),
            resumed: read(&self.resumed),
            committed: read(&self.committed),
            released: read(&self.released),
            diverged: read(&self.diverged),
        }
    }
}
