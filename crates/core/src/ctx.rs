//! Time and chance, as arguments.

use jiff::Timestamp;
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use crate::trace::TraceContext;

/// Microseconds since the Unix epoch, UTC. The only representation of time in state and storage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Micros(pub i64);

impl Micros {
    /// One second.
    pub const SECOND: i64 = 1_000_000;
    /// One minute.
    pub const MINUTE: i64 = 60 * Self::SECOND;
    /// One hour.
    pub const HOUR: i64 = 60 * Self::MINUTE;
    /// One day of 24 hours.
    pub const DAY: i64 = 24 * Self::HOUR;

    /// This time moved by `micros` (negative: back), saturating.
    pub fn plus(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// Cut to whole milliseconds: what the wire formats can carry. State that is shown is made of such values, so
    /// that what is stored and what was answered are the same instant.
    pub fn whole_millis(self) -> Self {
        Self(self.0 - self.0.rem_euclid(1000))
    }

    /// `2022-09-19T14:34:35.843Z`: UTC, exactly three decimals (commercetools.md, notation).
    pub fn iso(self) -> String {
        match Timestamp::from_microsecond(self.0) {
            Ok(at) => at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string(),
            Err(_) => String::from("9999-12-31T23:59:59.999Z"), // outside the calendar: only a saturated sum gets here
        }
    }

    /// Reads an ISO 8601 date-time with `Z` or an offset, any number of decimals. `None`: not one.
    pub fn parse_iso(text: &str) -> Option<Self> {
        text.parse::<Timestamp>().ok().map(|at| Self(at.as_microsecond()))
    }
}

/// Microseconds on this machine's monotonic clock, from a beginning of its own: for deadlines that must hold whatever is
/// done to the clock of days. Means nothing to another machine, nor after a restart of this one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uptime(pub i64);

impl Uptime {
    /// Later by `micros`, saturating.
    pub fn plus(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros))
    }
}

/// What a decision may know besides its state: when it is, a source of chance, and by whose request it is made.
///
/// Cloned for every run of a transaction, so that a run that is repeated decides the same.
#[derive(Clone)]
pub struct Ctx {
    /// The time at which the request is decided, in whole milliseconds.
    pub now: Micros,
    /// The trace of the request that it is made for. Decides nothing: what is told of the decision carries it.
    pub trace: Option<TraceContext>,
    rng: ChaCha12Rng,
}

impl Ctx {
    /// A context at `now`, its chance fixed by `seed`.
    pub fn new(now: Micros, seed: [u8; 32]) -> Self {
        Self { now: now.whole_millis(), trace: None, rng: ChaCha12Rng::from_seed(seed) }
    }

    /// The same in a trace.
    #[must_use]
    pub fn traced(self, trace: Option<TraceContext>) -> Self {
        Self { trace, ..self }
    }

    /// The next `N` random bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }

    /// The next random number.
    pub fn number(&mut self) -> u64 {
        self.rng.next_u64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iso_has_three_decimals_and_z() {
        assert_eq!(Micros(1_663_598_075_843_999).iso(), "2022-09-19T14:34:35.843Z");
        assert_eq!(Micros(0).iso(), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn iso_is_read_with_or_without_decimals_and_with_an_offset() {
        let second = Micros::parse_iso("2024-01-01T00:00:00Z").unwrap();
        assert_eq!(Micros::parse_iso("2024-01-01T00:00:00.000Z"), Some(second));
        assert_eq!(Micros::parse_iso("2024-01-01T02:00:00+02:00"), Some(second));
        assert_eq!(Micros::parse_iso("yesterday"), None);
    }

    #[test]
    fn a_clone_of_a_context_draws_the_same() {
        let mut one = Ctx::new(Micros(5), [7; 32]);
        let mut other = one.clone();
        assert_eq!(one.bytes::<16>(), other.bytes::<16>());
    }
}
