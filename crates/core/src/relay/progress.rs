//! How far one subscription is: a low-water mark per partition.
//!
//! Lanes finish in any order, so a partition's cursor is the position just below its oldest entry that is still to be
//! sent from memory. An entry leaves that account when it is delivered or put aside, or when its lane is parked: then
//! the lane's row keeps it. Entries that nobody wants never enter it, so they move the mark by being seen.

use std::collections::{BTreeMap, BTreeSet};

use crate::lease::PartitionSet;

/// A cursor that says nothing new but is this many positions behind is written all the same, so that a restart does not
/// read the log from far back.
const LAG_MAX: i64 = 10_000;

/// The partitions of one subscription that this node holds.
pub(super) struct Progress {
    /// Everything up to here was offered.
    seen: i64,
    partitions: BTreeMap<u16, Partition>,
}

struct Partition {
    /// Everything up to here was done before this run.
    start: i64,
    /// What the store was last told.
    saved: i64,
    /// The highest entry that was delivered or put aside in this run.
    finished: i64,
    /// Entries that are to be sent from memory.
    outstanding: BTreeSet<i64>,
}

impl Partition {
    fn mark(&self, seen: i64) -> i64 {
        self.outstanding.first().map_or(seen.max(self.start), |oldest| oldest - 1)
    }
}

impl Progress {
    /// From the stored cursors of what this node holds: `(partition, position)`.
    pub(super) fn new(cursors: &[(u16, i64)]) -> Self {
        let seen = cursors.iter().map(|(_, position)| *position).min().unwrap_or(0);
        let partition = |start| Partition { start, saved: start, finished: start, outstanding: BTreeSet::new() };
        Self { seen, partitions: cursors.iter().map(|(number, position)| (*number, partition(*position))).collect() }
    }

    /// Everything up to here was offered.
    pub(super) fn seen(&self) -> i64 {
        self.seen
    }

    /// Everything of this partition up to here was offered, or done before this run.
    pub(super) fn known(&self, partition: u16) -> i64 {
        self.partitions.get(&partition).map_or(self.seen, |partition| partition.start.max(self.seen))
    }

    /// Whether this position was done before this run.
    pub(super) fn was_done(&self, partition: u16, position: i64) -> bool {
        self.partitions.get(&partition).is_some_and(|partition| position <= partition.start)
    }

    /// Everything up to `position` was offered.
    pub(super) fn see(&mut self, position: i64) {
        self.seen = self.seen.max(position);
    }

    /// This entry is to be sent from memory.
    pub(super) fn take_on(&mut self, partition: u16, position: i64) {
        if let Some(partition) = self.partitions.get_mut(&partition) {
            partition.outstanding.insert(position);
        }
    }

    /// This entry was delivered or put aside.
    pub(super) fn finish(&mut self, partition: u16, position: i64) {
        if let Some(partition) = self.partitions.get_mut(&partition) {
            partition.outstanding.remove(&position);
            partition.finished = partition.finished.max(position);
        }
    }

    /// This entry is kept by its lane's row from now on.
    pub(super) fn hand_over(&mut self, partition: u16, position: i64) {
        if let Some(partition) = self.partitions.get_mut(&partition) {
            partition.outstanding.remove(&position);
        }
    }

    /// The cursors that are to be written: those that pass something finished, those that are far behind, or all.
    /// They count as written afterwards.
    pub(super) fn take(&mut self, all: bool) -> Vec<(i64, PartitionSet)> {
        let seen = self.seen;
        let mut moved: Vec<(i64, PartitionSet)> = Vec::new();
        for (&number, partition) in &mut self.partitions {
            let mark = partition.mark(seen);
            let due = all || partition.saved < partition.finished.min(mark) || mark - partition.saved > LAG_MAX;
            if due && mark > partition.saved {
                partition.saved = mark;
                match moved.iter_mut().find(|(position, _)| *position == mark) {
                    Some((_, set)) => set.add(number),
                    None => moved.push((mark, PartitionSet::of(number))),
                }
            }
        }
        moved
    }

    /// Whether a cursor is so far behind that it should be written.
    pub(super) fn lags(&self) -> bool {
        self.partitions.values().any(|partition| partition.mark(self.seen) - partition.saved > LAG_MAX)
    }
}

#[cfg(test)]
mod tests {
    use crate::message::PARTITIONS;

    use super::*;

    fn progress(start: i64) -> Progress {
        Progress::new(&(0..PARTITIONS).map(|number| (number, start)).collect::<Vec<_>>())
    }

    fn of(partitions: &[u16]) -> PartitionSet {
        let mut set = PartitionSet::default();
        for number in partitions {
            set.add(*number);
        }
        set
    }

    #[test]
    fn a_cursor_stays_below_the_oldest_entry_that_is_left() {
        let mut progress = progress(10);
        for position in [11, 12, 13] {
            progress.see(position);
            progress.take_on(3, position);
        }
        progress.see(20);
        progress.finish(3, 12);
        progress.finish(3, 13);
        assert_eq!(progress.take(false), [], "11 is still to be sent");
        progress.finish(3, 11);
        assert_eq!(progress.take(false), [(20, of(&[3]))]);
        assert_eq!(progress.take(false), []);
    }

    #[test]
    fn what_was_finished_above_an_older_entry_is_written_later() {
        let mut progress = progress(0);
        for position in [1, 2, 3] {
            progress.see(position);
            progress.take_on(0, position);
        }
        progress.finish(0, 1);
        progress.finish(0, 3);
        assert_eq!(progress.take(false), [(1, of(&[0]))]);
        progress.finish(0, 2);
        assert_eq!(progress.take(false), [(3, of(&[0]))]);
    }

    #[test]
    fn partitions_where_nothing_happened_are_written_together_and_rarely() {
        let mut progress = progress(0);
        progress.see(LAG_MAX);
        assert!(!progress.lags());
        assert_eq!(progress.take(false), []);
        progress.see(LAG_MAX + 1);
        assert!(progress.lags());
        let all: Vec<u16> = (0..PARTITIONS).collect();
        assert_eq!(progress.take(false), [(LAG_MAX + 1, of(&all))]);
        progress.see(LAG_MAX + 2);
        assert_eq!(progress.take(true), [(LAG_MAX + 2, of(&all))]);
    }

    #[test]
    fn partitions_of_other_nodes_are_left_alone() {
        let mut progress = Progress::new(&[(3, 10), (5, 20)]);
        progress.take_on(4, 11);
        progress.see(LAG_MAX * 3);
        assert_eq!(progress.take(true), [(LAG_MAX * 3, of(&[3, 5]))]);
    }

    #[test]
    fn a_partition_that_is_ahead_ignores_what_it_has_done() {
        let mut cursors: Vec<(u16, i64)> = (0..PARTITIONS).map(|number| (number, 50)).collect();
        cursors[7].1 = 20;
        let progress = Progress::new(&cursors);
        assert_eq!(progress.seen(), 20);
        assert!(progress.was_done(6, 50) && !progress.was_done(6, 51) && !progress.was_done(7, 21));
        assert_eq!((progress.known(6), progress.known(7)), (50, 20));
    }
}
