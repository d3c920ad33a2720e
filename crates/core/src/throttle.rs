//! Passwords that are tried: after so many wrong ones in a row each waits longer for the next, and in the end none is looked
//! at until another password was set (standards.md 5.1, N20).
//!
//! What is counted are tries, before anything is compared; one that is right begins the count anew. Whose account it is, and
//! whether there is one, is nobody's business here.

use crate::ctx::Micros;

/// How many, and how long it waits. Times are in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throttle {
    /// After so many in a row none is looked at any more.
    pub failures_max: u32,
    /// So many may follow at once.
    pub free: u32,
    /// How long the next one waits; doubled with each.
    pub wait: i64,
    /// No longer than this.
    pub wait_max: i64,
}

impl Default for Throttle {
    fn default() -> Self {
        Self { failures_max: 100, free: 10, wait: 30 * Micros::SECOND, wait_max: Micros::HOUR }
    }
}

/// What is remembered of an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tries {
    /// In a row, the last of them perhaps being looked at right now.
    pub count: u32,
    /// When the last one was made.
    pub last_at: Micros,
}

impl Throttle {
    /// Counts another try at `now`, unless it must not be looked at. `set_at`: when the password was set that it is about;
    /// what was tried before that says nothing of it.
    pub fn count(&self, tries: Tries, set_at: Option<Micros>, now: Micros) -> Option<Tries> {
        let count = if set_at.is_some_and(|set_at| set_at > tries.last_at) { 0 } else { tries.count };
        let is_open = count < self.failures_max && now >= tries.last_at.plus(self.wait_after(count));
        is_open.then_some(Tries { count: count + 1, last_at: now })
    }

    /// How long the next try waits after so many.
    fn wait_after(&self, count: u32) -> i64 {
        match count.checked_sub(self.free) {
            None => 0,
            Some(more) => self.wait.saturating_mul(1 << more.min(32)).min(self.wait_max),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Throttle =
        Throttle { failures_max: 20, ..Throttle { failures_max: 0, free: 10, wait: 30, wait_max: 200 } };

    #[test]
    fn some_follow_at_once_then_each_waits_longer_and_in_the_end_none_is_looked_at() {
        let (mut tries, mut now, mut waits) = (Tries::default(), Micros(1000), Vec::new());
        while let Some(at) = (0..=200).find(|wait| T.count(tries, None, now.plus(*wait)).is_some()) {
            waits.push(at);
            now = now.plus(at);
            tries = T.count(tries, None, now).unwrap();
        }
        assert_eq!(waits, [&[0; 10][..], &[30, 60, 120, 200, 200, 200, 200, 200, 200, 200]].concat());
        assert_eq!(tries.count, 20);
        assert_eq!(T.count(tries, None, Micros(i64::MAX)), None);
    }

    #[test]
    fn another_password_begins_the_count_anew() {
        let tries = Tries { count: 20, last_at: Micros(500) };
        assert_eq!(T.count(tries, Some(Micros(500)), Micros(600)), None);
        assert_eq!(T.count(tries, Some(Micros(501)), Micros(600)), Some(Tries { count: 1, last_at: Micros(600) }));
    }
}
