//! Headings with the time since the start, so that a log tells where the minutes went.

use std::io::Write;
use std::time::Instant;

/// Counts from its making.
pub(crate) struct Progress(Instant);

impl Progress {
    /// Starts to count.
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Prints `== text (12 s)` after an empty line.
    pub(crate) fn heading(&self, text: &str) {
        println!("\n== {text} ({} s)", self.0.elapsed().as_secs());
        // What children write to standard error must not overtake the heading; a closed output is their problem too.
        drop(std::io::stdout().flush());
    }
}
