//! `projects[].throttle`: how often a password can be tried at an account. Absent: without end, but for a brand of Paysafe's
//! contract, which has the defaults.

use std::time::Duration;

use keyherald_core::throttle;

use super::keys::{Keys, Section};

/// `projects[].throttle`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Throttle {
    /// Whether tries are counted.
    pub enabled: bool,
    /// After so many wrong ones in a row none is looked at until another password was set.
    pub failures_max: u32,
    /// So many may follow at once.
    pub free: u32,
    /// How long the next one waits; doubled with each.
    pub wait: Duration,
    /// No longer than this.
    pub wait_max: Duration,
}

impl Default for Throttle {
    fn default() -> Self {
        let throttle::Throttle { failures_max, free, .. } = throttle::Throttle::default();
        let (wait, wait_max) = (Duration::from_secs(30), Duration::from_hours(1));
        Self { enabled: true, failures_max, free, wait, wait_max }
    }
}

impl Throttle {
    /// As the rule has it. `None`: tries are not counted.
    pub fn rule(&self) -> Option<throttle::Throttle> {
        let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        let Self { failures_max, free, wait, wait_max, .. } = *self;
        let rule = throttle::Throttle { failures_max, free, wait: micros(wait), wait_max: micros(wait_max) };
        self.enabled.then_some(rule)
    }
}

impl Section for Throttle {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.value("enabled", &mut self.enabled);
        // No more than NIST SP 800-63B allows.
        keys.within("failures_max", &mut self.failures_max, 3..=100);
        keys.within("free", &mut self.free, 0..=100);
        let (second, day) = (Duration::from_secs(1), Duration::from_hours(24));
        keys.within("wait", &mut self.wait, second..=day);
        keys.within("wait_max", &mut self.wait_max, second..=day);
        if self.wait > self.wait_max {
            keys.refuse("wait", "is longer than wait_max", None);
        }
    }
}
