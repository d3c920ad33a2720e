//! What may be read and written of a subscription's delivery, and by whom.
//!
//! Whoever goes on with a subscription claims it first: it waits for writes that are under way, and voids those that have
//! not begun. So a write looks at all of this while it holds the subscription, in the transaction that it writes in.

use super::lanes::ParkedLane;
use crate::lease::PartitionSet;

/// Why a dispatcher ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was asked to.
    Stopped,
    /// The receiver said that it is gone.
    Disabled,
    /// The subscription was updated: nothing more is written of what it was.
    Outdated,
    /// The subscription was deleted, or another dispatcher has taken it over, or the lease has run out.
    Lost,
}

/// What a writer finds when it holds the subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<V> {
    /// Whether nobody in the same process has claimed it since.
    pub is_claim_current: bool,
    /// Whether no partition of the writer's has changed hands since it read them.
    pub is_fence_intact: bool,
    /// The subscription's version; `None`: it is deleted.
    pub version: Option<V>,
}

impl<V: PartialEq> Found<V> {
    /// Whether somebody who has read the subscription at `known` may write.
    pub fn permits(&self, known: &V) -> Result<(), Ended> {
        match &self.version {
            _ if !self.is_claim_current || !self.is_fence_intact => Err(Ended::Lost),
            None => Err(Ended::Lost),
            // What was dropped by an old filter, or failed at an old destination, is not done.
            Some(version) if version != known => Err(Ended::Outdated),
            Some(_) => Ok(()),
        }
    }
}

/// Leaves what is in these partitions. Answers with the position above which dead letters are to be known: all that the cursors
/// have not passed, or a lane's row keeps, may be sent. `None`: there is nothing to deliver.
pub fn keep_held(cursors: &mut Vec<(u16, i64)>, parked: &mut Vec<ParkedLane>, held: PartitionSet) -> Option<i64> {
    cursors.retain(|(partition, _)| held.has(*partition));
    parked.retain(|lane| held.has(lane.partition));
    let lowest = cursors.iter().map(|(_, position)| *position).min()?;
    let kept = parked.iter().map(|lane| lane.from_position - 1).min();
    Some(kept.map_or(lowest, |kept| kept.min(lowest)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::CustomerId;
    use crate::{Ctx, Micros};

    #[test]
    fn letters_are_known_from_where_anything_may_be_sent() {
        let row = |partition, from_position| ParkedLane {
            customer: CustomerId::new(&mut Ctx::new(Micros(0), [1; 32])),
            partition,
            from_position,
            failed_attempts: 1,
            next_at: None,
            last_error: String::new(),
            parked_at: Micros(0),
        };
        let held: PartitionSet = [1, 2].into_iter().collect();
        let known = |cursors: &[(u16, i64)], rows: &[ParkedLane]| {
            let (mut cursors, mut rows) = (cursors.to_vec(), rows.to_vec());
            (keep_held(&mut cursors, &mut rows, held), cursors.len(), rows.len())
        };
        assert_eq!(known(&[(1, 20), (2, 30), (3, 5)], &[row(3, 2)]), (Some(20), 2, 0));
        assert_eq!(known(&[(1, 20), (2, 30)], &[row(2, 25), row(2, 8)]), (Some(7), 2, 2));
        assert_eq!(known(&[(3, 5)], &[]), (None, 0, 0));
    }

    #[test]
    fn only_who_still_has_it_as_it_was_may_write() {
        let well = Found { is_claim_current: true, is_fence_intact: true, version: Some(3) };
        assert_eq!(well.permits(&3), Ok(()));
        assert_eq!(well.permits(&2), Err(Ended::Outdated));
        assert_eq!(Found { is_claim_current: false, ..well }.permits(&3), Err(Ended::Lost));
        assert_eq!(Found { is_fence_intact: false, ..well }.permits(&2), Err(Ended::Lost));
        assert_eq!(Found { version: None, ..well }.permits(&3), Err(Ended::Lost));
    }
}
