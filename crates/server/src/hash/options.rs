//! What can be set about hashing, and what is wrong with a setting.

use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::argon2id::Cost;

/// How the pool hashes and how long it lets people wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashOptions {
    /// Argon2's m: memory of one hash, and of each worker, in KiB. 8 x `lanes` to 1 GiB.
    pub memory_kib: u32,
    /// Argon2's t: passes over the memory. 1 to 100.
    pub passes: u32,
    /// Argon2's p, 1 to 64. A worker computes its lanes one after the other, so that more of them gain nothing here.
    pub lanes: u32,
    /// Threads that hash, 1 to 1024. `None`: one per core that the process may use.
    pub workers: Option<usize>,
    /// Jobs that may wait in each of the three queue lanes, 2 to 65,536.
    pub queue_max: usize,
    /// Nice value of the workers, 10 to 19: a commit or a request never waits for a hash.
    pub nice: i32,
    /// Longest time that a job may wait before it is begun, 1 ms to 10 minutes. A job is let in if its predicted wait
    /// is at most three quarters of it.
    pub deadline: Duration,
    /// Leaves the fast Argon2id alone and uses RustCrypto's, at half the speed.
    pub force_reference: bool,
}

impl Default for HashOptions {
    /// OWASP's Argon2id m=19456, t=2, p=1 on every core; 256 places per lane, 5 s.
    fn default() -> Self {
        Self {
            memory_kib: 19456,
            passes: 2,
            lanes: 1,
            workers: None,
            queue_max: 256,
            nice: 10,
            deadline: Duration::from_secs(5),
            force_reference: false,
        }
    }
}

/// A setting that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {text}")]
pub struct OptionProblem {
    /// Name of the field.
    pub key: &'static str,
    /// What is wrong and what would be right.
    pub text: String,
}

impl HashOptions {
    /// Everything that is wrong, at once. Empty: the pool can start.
    pub fn problems(&self) -> Vec<OptionProblem> {
        let mut problems = Vec::new();
        let mut within = |key, value: u64, range: RangeInclusive<u64>, unit: &str| {
            if !range.contains(&value) {
                let text = format!("{value} is not within {} to {}{unit}", range.start(), range.end());
                problems.push(OptionProblem { key, text });
            }
        };
        let least = u64::from(self.lanes.clamp(1, 64)) * 8;
        within("memory_kib", self.memory_kib.into(), least..=1024 * 1024, " KiB (at least 8 for each of the lanes)");
        within("passes", self.passes.into(), 1..=100, "");
        within("lanes", self.lanes.into(), 1..=64, "");
        within("workers", wide(self.worker_count()), 1..=1024, "; leave it out for one per core");
        within("queue_max", wide(self.queue_max), 2..=65_536, " waiting jobs per lane");
        within("deadline", u64::try_from(self.deadline.as_millis()).unwrap_or(u64::MAX), 1..=600_000, " ms");
        if !(10..=19).contains(&self.nice) {
            let text = format!("{} is not within 10 to 19, where commits and requests go first", self.nice);
            problems.push(OptionProblem { key: "nice", text });
        }
        problems
    }

    /// Threads that will hash.
    pub fn worker_count(&self) -> usize {
        self.workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, NonZeroUsize::get))
    }

    pub(super) fn cost(&self) -> Cost {
        Cost { memory_kib: self.memory_kib, passes: self.passes, lanes: self.lanes }
    }
}

fn wide(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_problems_are_told_at_once() {
        assert_eq!(HashOptions::default().problems(), []);
        let options = HashOptions {
            memory_kib: 15,
            passes: 0,
            lanes: 2,
            workers: Some(0),
            queue_max: 1,
            nice: 0,
            deadline: Duration::ZERO,
            force_reference: false,
        };
        let keys: Vec<_> = options.problems().iter().map(|problem| problem.key).collect();
        assert_eq!(keys, ["memory_kib", "passes", "workers", "queue_max", "deadline", "nice"]);
        assert_eq!(
            options.problems()[0].to_string(),
            "memory_kib: 15 is not within 16 to 1048576 KiB (at least 8 for each of the lanes)"
        );
        let lanes = HashOptions { lanes: u32::MAX, ..HashOptions::default() }.problems();
        assert_eq!(lanes.iter().map(|problem| problem.key).collect::<Vec<_>>(), ["lanes"]);
    }
}
