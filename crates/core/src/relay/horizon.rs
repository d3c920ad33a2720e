//! How far a log is final whose positions become visible out of order: which questions to ask of it, and when.
//!
//! A writer has its transaction id before it takes a position. So: ask for the last position that was taken; *then* take a
//! transaction id, the bound; as soon as every transaction before the bound has ended, nobody can fill anything up to that
//! position any more. A bound is taken only when the last position has moved.

/// The reader's knowledge of the log's end.
#[derive(Clone, Debug, Default)]
pub struct Horizon {
    /// The last position that was found to be final.
    settled: Option<i64>,
    /// The last position that was seen, which is not final yet.
    last: Option<i64>,
    bound: Option<i64>,
}

/// What is to be asked next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// The last position that was taken, visible or not: answer with [`Horizon::last`].
    Last,
    /// A transaction id that is taken now: answer with [`Horizon::bound`].
    Bound,
    /// Whether every transaction before this one has ended: answer with [`Horizon::passed`].
    Passed(i64),
}

impl Horizon {
    /// What is to be asked. A question that could not be answered is asked again.
    pub fn question(&self) -> Question {
        match (self.last, self.bound) {
            (None, _) => Question::Last,
            (Some(_), None) => Question::Bound,
            (Some(_), Some(bound)) => Question::Passed(bound),
        }
    }

    /// The last position. Answers with it if it is known to be final already; otherwise there is another question.
    pub fn last(&mut self, last: i64) -> Option<i64> {
        if self.settled == Some(last) {
            return self.settled;
        }
        self.last = Some(last);
        None
    }

    /// The bound, which was taken after the last position was told.
    pub fn bound(&mut self, bound: i64) {
        self.bound = Some(bound);
    }

    /// Whether all before the bound have ended. Answers with the final position, which may have successors already. `None`:
    /// positions may still be filled; ask again soon.
    pub fn passed(&mut self, passed: bool) -> Option<i64> {
        let last = self.last.filter(|_| passed)?;
        *self = Self { settled: Some(last), last: None, bound: None };
        self.settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_taken_after_the_position_and_once() {
        let mut horizon = Horizon::default();
        assert_eq!(horizon.question(), Question::Last);
        assert_eq!(horizon.last(7), None);
        assert_eq!(horizon.question(), Question::Bound);
        horizon.bound(100);
        for _ in 0..3 {
            assert_eq!(horizon.question(), Question::Passed(100));
            assert_eq!(horizon.passed(false), None);
        }
        assert_eq!(horizon.passed(true), Some(7));
        assert_eq!(horizon.question(), Question::Last);
        assert_eq!(horizon.last(7), Some(7), "nothing has moved: no bound is needed");
        assert_eq!(horizon.last(9), None);
        assert_eq!(horizon.question(), Question::Bound);
    }
}
