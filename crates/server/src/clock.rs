//! Where time and chance come from: the one place that asks the machine.
//!
//! Everything else takes a [`Ctx`] for one decision, or [`Moments`] to make one from.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use keyherald_core::{Ctx, Micros, Uptime};
use rustix::time::{ClockId, clock_gettime};

use crate::trace;

/// Says when it is.
pub trait Clock: Send + Sync {
    /// The time, UTC.
    fn now(&self) -> Micros;

    /// The time since this machine began, whatever is done to the other clock.
    fn uptime(&self) -> Uptime;
}

/// Says what chance is seeded with.
pub trait Entropy: Send + Sync {
    /// 32 bytes that nobody else can guess.
    fn seed(&self) -> [u8; 32];
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn now(&self) -> Micros {
        // Before 1970, or after 294246: saturated, as all time here. Whole milliseconds, which is what the contracts
        // show: a time must be found by what was shown of it.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Micros(i64::try_from(since.as_millis()).unwrap_or(i64::MAX).saturating_mul(1000))
    }

    fn uptime(&self) -> Uptime {
        // On Linux the one that counts the time in which the machine was suspended, too: a lease ends meanwhile.
        #[cfg(target_os = "linux")]
        let clock = ClockId::Boottime;
        #[cfg(not(target_os = "linux"))]
        let clock = ClockId::Monotonic;
        let since = clock_gettime(clock);
        Uptime(since.tv_sec.saturating_mul(Micros::SECOND).saturating_add(since.tv_nsec / 1000))
    }
}

/// A clock that is moved by hand.
pub struct ManualClock {
    /// What runs on by itself below the offset; `None`: nothing does.
    base: Option<SystemClock>,
    offset: AtomicI64,
}

impl ManualClock {
    /// Stands still at `start`.
    pub fn at(start: Micros) -> Self {
        Self { base: None, offset: AtomicI64::new(start.0) }
    }

    /// Runs with the machine's clock, and can be moved ahead of it: how the demo lets a token expire.
    pub fn running() -> Self {
        Self { base: Some(SystemClock), offset: AtomicI64::new(0) }
    }

    /// Moves the time by `micros`.
    pub fn advance(&self, micros: i64) {
        self.offset.fetch_add(micros, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Micros {
        let base = self.base.map_or(Micros(0), |clock| clock.now());
        base.plus(self.offset.load(Ordering::SeqCst))
    }

    fn uptime(&self) -> Uptime {
        let base = self.base.map_or(Uptime(0), |clock| clock.uptime());
        base.plus(self.offset.load(Ordering::SeqCst))
    }
}

/// The operating system's source of chance.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    #[expect(
        clippy::expect_used,
        reason = "without chance no token is secret: the request must end, with nothing done"
    )]
    fn seed(&self) -> [u8; 32] {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).expect("the operating system gives random bytes");
        seed
    }
}

/// A row of seeds that is the same in every run. For tests only.
pub struct Seeded {
    seed: u64,
    drawn: AtomicU64,
}

impl Seeded {
    /// The row that `seed` stands for.
    pub fn new(seed: u64) -> Self {
        Self { seed, drawn: AtomicU64::new(0) }
    }
}

impl Entropy for Seeded {
    fn seed(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        let number = self.drawn.fetch_add(1, Ordering::SeqCst);
        let parts = [self.seed.to_le_bytes(), number.to_le_bytes()].concat();
        for (byte, part) in bytes.iter_mut().zip(parts) {
            *byte = part;
        }
        bytes
    }
}

/// A clock and a source of chance, from which every decision gets its [`Ctx`]. Cheap to clone.
#[derive(Clone)]
pub struct Moments {
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Moments {
    /// From these two.
    pub fn new(clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { clock, entropy }
    }

    /// The machine's.
    pub fn of_system() -> Self {
        Self::new(Arc::new(SystemClock), Arc::new(SystemEntropy))
    }

    /// The time.
    pub fn now(&self) -> Micros {
        self.clock.now()
    }

    /// The time since this machine began.
    pub fn uptime(&self) -> Uptime {
        self.clock.uptime()
    }

    /// What one decision gets: the time, chance of its own, and the trace that this task works in.
    pub fn ctx(&self) -> Ctx {
        Ctx::new(self.clock.now(), self.entropy.seed()).traced(trace::context())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standing_clock_moves_only_by_hand() {
        let clock = ManualClock::at(Micros(1000));
        assert_eq!(clock.now(), Micros(1000));
        clock.advance(Micros::HOUR);
        assert_eq!(clock.now(), Micros(1000 + Micros::HOUR));
        assert_eq!(clock.uptime(), Uptime(1000 + Micros::HOUR));
    }

    #[test]
    fn the_machines_uptime_goes_on() {
        let before = SystemClock.uptime();
        assert!(before > Uptime(0) && SystemClock.uptime() >= before);
    }

    #[test]
    fn a_running_clock_keeps_its_distance_to_the_machine() {
        let clock = ManualClock::running();
        clock.advance(Micros::DAY);
        let (before, moved) = (SystemClock.now(), clock.now());
        assert!(moved >= before.plus(Micros::DAY) && moved <= SystemClock.now().plus(Micros::DAY));
        assert!(before > Micros::parse_iso("2025-01-01T00:00:00Z").unwrap());
    }

    #[test]
    fn seeds_differ_within_a_row_and_not_between_runs() {
        let (one, other) = (Seeded::new(5), Seeded::new(5));
        let drawn = [one.seed(), one.seed(), one.seed()];
        assert_eq!(drawn, [other.seed(), other.seed(), other.seed()]);
        assert!(drawn[0] != drawn[1] && drawn[1] != drawn[2] && Seeded::new(6).seed() != drawn[0]);
        assert_ne!(SystemEntropy.seed(), SystemEntropy.seed());
    }
}
