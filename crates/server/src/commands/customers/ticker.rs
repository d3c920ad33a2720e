//! How far a long command is: one line that is written over on a terminal, a line every ten seconds elsewhere.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use super::import::Counts;

/// Tells the progress of an import on stderr.
pub(super) struct Ticker {
    begun: Instant,
    told: Instant,
    /// Records of an earlier run, which say nothing about the speed of this one.
    before: u64,
    on_terminal: bool,
}

impl Ticker {
    /// Begins now.
    pub(super) fn new(counts: Counts) -> Self {
        let now = Instant::now();
        Self { begun: now, told: now, before: counts.records(), on_terminal: std::io::stderr().is_terminal() }
    }

    /// Tells it if it is time to.
    pub(super) fn tick(&mut self, counts: Counts, percent: u64) {
        let every = if self.on_terminal { Duration::from_millis(200) } else { Duration::from_secs(10) };
        if self.told.elapsed() < every {
            return;
        }
        self.told = Instant::now();
        let line = line(counts, percent, counts.records().saturating_sub(self.before), self.begun.elapsed());
        let (begin, end) = if self.on_terminal { ("\r", "\u{1b}[K") } else { ("", "\n") };
        // Nobody may be reading: that is no reason to stop.
        let _unread = write!(std::io::stderr(), "{begin}{line}{end}");
    }

    /// Leaves the line free for what follows.
    pub(super) fn end(self) {
        if self.on_terminal {
            let _unread = write!(std::io::stderr(), "\r\u{1b}[K");
        }
    }
}

fn line(counts: Counts, percent: u64, records: u64, took: Duration) -> String {
    let rate = u128::from(records) * 1000 / took.as_millis().max(1);
    let Counts { already_there, rejected, .. } = counts;
    format!(
        "{percent:>3} %  {} records, {rate}/s, {already_there} there already, {rejected} rejected",
        counts.records()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_count_rate_and_errors() {
        let counts = Counts { imported: 1400, already_there: 95, rejected: 5, without_password: 0 };
        let told = line(counts, 62, 1500, Duration::from_millis(500));
        assert_eq!(told, " 62 %  1500 records, 3000/s, 95 there already, 5 rejected");
    }
}
