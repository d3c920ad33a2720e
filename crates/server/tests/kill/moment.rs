//! When to kill: after some hundred milliseconds of work, and often in the middle of something.

use std::time::Duration;

use keyherald_core::Ctx;
use tokio::time::{sleep, timeout};

use crate::load::Shared;
use crate::receiver::Mood;

/// What the server is in the middle of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Anything.
    Any,
    /// Commits: an answer has just been given, and the requests behind it are in the next group.
    Commit,
    /// Deliveries: the receiver has read some and answered none of them.
    Delivery,
    /// Catching up: the receiver was down, lanes are parked, and now it accepts again.
    CatchUp,
}

/// Longest wait for an event that the moment depends on.
const EVENT_WAIT: Duration = Duration::from_secs(10);

impl Moment {
    pub fn draw(chance: &mut Ctx) -> Self {
        match chance.number() % 10 {
            0 | 1 => Self::Any,
            2..5 => Self::Commit,
            5..8 => Self::Delivery,
            _ => Self::CatchUp,
        }
    }

    /// Returns when it is time.
    pub async fn come(self, shared: &Shared, chance: &mut Ctx) {
        sleep(Duration::from_millis(200 + chance.number() % 600)).await;
        let mut some = |millis: u64| sleep(Duration::from_millis(chance.number() % millis));
        let receiver = &shared.receiver;
        match self {
            Self::Any => {}
            Self::Commit => {
                // If no answer comes any more, the next requests will tell why.
                let _ = timeout(EVENT_WAIT, shared.answered.notified()).await;
                some(4).await;
            }
            Self::Delivery => {
                receiver.set_mood(Mood::Silent);
                let _ = timeout(EVENT_WAIT, receiver.arrival()).await;
                some(60).await;
            }
            Self::CatchUp => {
                receiver.set_mood(Mood::Down);
                some(500).await;
                receiver.set_mood(Mood::Flaky);
                let _ = timeout(EVENT_WAIT, receiver.arrival()).await;
                some(30).await;
            }
        }
    }
}
