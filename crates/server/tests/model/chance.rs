//! Chance that is the same in every run with the same seed (SplitMix64).

/// A row of numbers.
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of `0..many`; 0 if there are none.
    pub fn below(&mut self, many: usize) -> usize {
        let many = u64::try_from(many.max(1)).unwrap();
        usize::try_from(self.number() % many).unwrap()
    }

    /// True in so many of a hundred cases.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.number() % 100 < percent
    }

    /// One of some.
    pub fn of<'a, T>(&mut self, some: &'a [T]) -> Option<&'a T> {
        some.get(self.below(some.len()))
    }

    /// One of a list that is not empty.
    pub fn pick<T: Copy>(&mut self, some: &[T]) -> T {
        some[self.below(some.len())]
    }

    /// One of some, each as often as the number beside it says.
    pub fn weighted<T: Copy>(&mut self, some: &[(T, usize)]) -> T {
        let mut left = self.below(some.iter().map(|(_, weight)| weight).sum());
        let reached = |(_, weight): &&(T, usize)| {
            let found = left < *weight;
            left = left.saturating_sub(*weight);
            found
        };
        some.iter().find(reached).unwrap().0
    }
}
