//! How fast what is sent once more may go: so many in a second, on average.
//!
//! Entries of the log are taken one by one, those of waiting lanes a page at a time: a page that was larger than its share is
//! a debt, and what comes next waits until it is paid.

use keyherald_core::Micros;
use keyherald_core::lease::PartitionSet;
use keyherald_core::message::PARTITIONS;

/// So much of what was not used may be made up for, in microseconds: what looks every now and then is no slower for it.
const SLACK: i64 = Micros::SECOND / 10;

/// The pace of what one dispatcher sends once more.
pub(super) struct Pace {
    /// Microseconds for each.
    each: i64,
    next: Micros,
}

impl Pace {
    /// Of whoever has these partitions: as much of it as they are of all, so that all nodes together keep it.
    pub(super) fn of(per_second: u32, held: PartitionSet) -> Self {
        let all = i64::from(PARTITIONS) * Micros::SECOND;
        let each = all / (i64::from(per_second.max(1)) * i64::from(held.len().max(1)));
        Self { each: each.max(1), next: Micros(i64::MIN) }
    }

    /// When the next one may go. `None`: now.
    pub(super) fn wait(&self, now: Micros) -> Option<Micros> {
        (self.next > now).then_some(self.next)
    }

    /// So many have gone.
    pub(super) fn take(&mut self, count: usize, now: Micros) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.next = self.next.max(now.plus(-SLACK)).plus(self.each.saturating_mul(count));
    }

    /// How many are best taken at once: a tenth of a second's.
    pub(super) fn portion(&self) -> i64 {
        (SLACK / self.each).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(pace: &mut Pace, now: Micros) -> usize {
        let mut may_go = || {
            let may_go = pace.wait(now).is_none();
            pace.take(usize::from(may_go), now);
            may_go
        };
        (0..1000).take_while(|_| may_go()).count()
    }

    #[test]
    fn so_many_in_a_second() {
        let (mut pace, start) = (Pace::of(100, PartitionSet::ALL), Micros(0));
        let second: usize = (0..=100).map(|tick| taken(&mut pace, start.plus(tick * SLACK / 10))).sum();
        assert!((100..=111).contains(&second), "{second}");
        assert_eq!(pace.portion(), 10);
        let half: PartitionSet = (0..32).collect();
        let second: usize = {
            let mut pace = Pace::of(100, half);
            (0..=100).map(|tick| taken(&mut pace, start.plus(tick * SLACK / 10))).sum()
        };
        assert!((50..=56).contains(&second), "{second}");
    }

    #[test]
    fn a_page_that_was_too_large_is_paid_for() {
        let mut pace = Pace::of(10, PartitionSet::ALL);
        pace.take(20, Micros(0));
        let paid = Micros(0).plus(2 * Micros::SECOND - SLACK);
        assert_eq!(pace.wait(Micros(1)), Some(paid));
        assert_eq!(pace.wait(paid), None);
        assert_eq!(pace.portion(), 1);
    }
}
