//! The relay: how committed messages reach their subscribers.

mod lanes;
mod progress;
