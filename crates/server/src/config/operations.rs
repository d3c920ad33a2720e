//! `[operations]`: how passwords are set at identity providers.

use std::time::Duration;

use keyherald_core::operation::Limits;

use super::keys::{Keys, Section};

/// A quarter of it is for handing the request over: `connector::HAND_OVER`.
const ATTEMPT_LIFE_MIN: Duration = Duration::from_secs(20);

/// `[operations]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operations {
    /// How long a caller is kept waiting for an outcome. Half of `[server] request_timeout` if that is less.
    pub answer_within: Duration,
    /// How long another write to the same credential waits before it is answered 503.
    pub wait: Duration,
    /// After this time nothing of a request to a provider can take effect any more, proxies on the way included.
    pub attempt_life: Duration,
    /// How long a new password is kept, sealed, so that it can be sent again. Then the outcome counts as diverged.
    pub seal_life: Duration,
    /// Longest call to a provider, whatever its own time-outs are.
    pub call_timeout: Duration,
    /// How long an operation belongs to the process that works on it, counted from its last write. After the death of a
    /// process its operations wait that long for another one, except on SQLite, where there is no other.
    pub lease: Duration,
    /// Operations at work at the same time; who comes when there are as many is answered 503.
    pub in_flight_max: usize,
}

impl Default for Operations {
    fn default() -> Self {
        Self {
            answer_within: Duration::from_secs(10),
            wait: Duration::from_secs(5),
            attempt_life: Duration::from_mins(1),
            seal_life: Duration::from_mins(10),
            call_timeout: Duration::from_secs(20),
            lease: Duration::from_secs(30),
            in_flight_max: 256,
        }
    }
}

impl Operations {
    /// The lives of attempts and sealed passwords. `None`: they do not fit together.
    pub fn limits(&self) -> Option<Limits> {
        let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        Limits::new(micros(self.attempt_life), micros(self.seal_life))
    }
}

impl Section for Operations {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        let (short, minute, hour) = (Duration::from_millis(100), Duration::from_mins(1), Duration::from_hours(1));
        keys.within("answer_within", &mut self.answer_within, short..=minute);
        keys.within("wait", &mut self.wait, Duration::ZERO..=minute);
        keys.within("attempt_life", &mut self.attempt_life, ATTEMPT_LIFE_MIN..=hour / 2);
        keys.within("seal_life", &mut self.seal_life, ATTEMPT_LIFE_MIN..=hour);
        keys.within("call_timeout", &mut self.call_timeout, short..=minute);
        keys.within("lease", &mut self.lease, short..=2 * minute);
        keys.within("in_flight_max", &mut self.in_flight_max, 1..=10_000);
        if self.limits().is_none() {
            let hint = "so that there is time for a repeat, and for looking what became of it";
            keys.refuse("seal_life", "must be at least twice attempt_life", Some(hint.into()));
        }
        // A quarter of an attempt's life may pass until it is sent.
        if self.call_timeout > self.attempt_life * 3 / 4 {
            keys.refuse("call_timeout", "must be at most three quarters of attempt_life", None);
        }
        if self.lease < self.call_timeout * 3 / 2 {
            keys.refuse("lease", "must be at least one and a half times call_timeout", None);
        }
    }
}
