//! `[hashing]`: the cost of a password hash, and the pool that pays it.

use std::time::Duration;

use super::Purpose;
use super::keys::{Keys, Section};

/// `[hashing]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hashing {
    /// Argon2id memory, in KiB.
    pub memory_kib: u32,
    /// Argon2id passes over the memory.
    pub passes: u32,
    /// Argon2id lanes.
    pub lanes: u32,
    /// Threads that hash, each with its own memory. Default: as many as cores.
    pub workers: usize,
    /// Most hashes that wait; beyond them the answer is 503.
    pub queue_max: usize,
    /// Longest wait; a request that would wait longer is answered 503 at once.
    pub deadline: Duration,
    /// Nice value of the hashing threads, so that requests and commits never wait for a hash.
    pub nice: u8,
}

impl Default for Hashing {
    fn default() -> Self {
        let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            memory_kib: 19_456,
            passes: 2,
            lanes: 1,
            workers,
            queue_max: 256,
            deadline: Duration::from_secs(1),
            nice: 10,
        }
    }
}

/// The cheapest of OWASP's parameter sets, as memory times passes.
const WORK_MIN: u64 = 7168 * 5;

impl Section for Hashing {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.within("memory_kib", &mut self.memory_kib, 8..=4 * 1024 * 1024);
        keys.within("passes", &mut self.passes, 1..=100);
        keys.within("lanes", &mut self.lanes, 1..=64);
        keys.within("workers", &mut self.workers, 1..=1024);
        keys.within("queue_max", &mut self.queue_max, 1..=100_000);
        keys.within("deadline", &mut self.deadline, Duration::from_millis(10)..=Duration::from_mins(1));
        keys.within("nice", &mut self.nice, 0..=19);
        if self.memory_kib < self.lanes.saturating_mul(8) {
            keys.refuse("memory_kib", "must be at least 8 for each lane", None);
        }
        let work = u64::from(self.memory_kib) * u64::from(self.passes);
        if keys.purpose() != Some(Purpose::Develop) && (work < WORK_MIN || self.memory_kib < 7168) {
            let hint = "OWASP's choices for memory_kib and passes: 47104 and 1, 19456 and 2, 12288 and 3, 9216 and 4, 7168 and 5";
            keys.refuse("memory_kib", "with these passes, guessing passwords would be too cheap", Some(hint.into()));
        }
    }
}
