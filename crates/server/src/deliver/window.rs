//! The log's newest entries in memory, read once for all subscriptions, and who is woken when there are more. What is in it
//! and who gets what is decided in [`keyherald_core::relay::window`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use keyherald_core::relay::window::{self, Next};
use keyherald_store::log::Entry;
use tokio::sync::watch;

/// The newest entries.
pub(super) struct Window {
    inner: Mutex<window::Window<Arc<Entry>>>,
    end: watch::Sender<i64>,
}

impl Window {
    /// An empty window of at most this many entries. It tells nothing before [`Window::begin`].
    pub(super) fn new(entries_max: usize) -> Self {
        Self { inner: Mutex::new(window::Window::new(entries_max)), end: watch::Sender::new(0) }
    }

    /// Starts at this position, which is final.
    pub(super) fn begin(&self, at: i64) {
        self.locked().begin(at);
        self.end.send_replace(at);
    }

    /// Adds the entries up to `end`, which is final.
    pub(super) fn push(&self, entries: Vec<Entry>, end: i64) {
        self.locked().push(entries.into_iter().map(Arc::new).collect(), end);
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
    pub(super) fn after(&self, seen: i64) -> Next<Arc<Entry>> {
        self.locked().after(seen)
    }

    fn locked(&self) -> MutexGuard<'_, window::Window<Arc<Entry>>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
