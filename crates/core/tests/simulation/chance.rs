//! The source of everything that is drawn.

use keyherald_core::{Ctx, Micros};

/// One millisecond, in microseconds.
pub const MILLI: i64 = 1000;
/// One second, in microseconds.
pub const SECOND: i64 = Micros::SECOND;

/// A row of numbers that follows from a seed.
pub struct Chance(Ctx);

impl Chance {
    pub fn new(seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Self(Ctx::new(Micros(0), bytes))
    }

    /// From 0 to below `below`.
    pub fn below(&mut self, below: usize) -> usize {
        usize::try_from(self.0.number() % u64::try_from(below.max(1)).unwrap()).unwrap()
    }

    /// From `least` to `most`.
    pub fn between(&mut self, least: i64, most: i64) -> i64 {
        let span = u64::try_from(most - least + 1).unwrap();
        least + i64::try_from(self.0.number() % span).unwrap()
    }

    /// Once in so many times.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub fn bytes(&mut self) -> [u8; 32] {
        self.0.bytes()
    }

    /// What a decision gets at this time.
    pub fn at(&mut self, now: Micros) -> &mut Ctx {
        self.0.now = now;
        &mut self.0
    }
}

/// A number of things.
pub fn long(number: usize) -> i64 {
    i64::try_from(number).unwrap()
}
