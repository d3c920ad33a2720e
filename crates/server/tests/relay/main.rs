//! The relay on real stores: with a destination in memory that answers by a script, and with a webhook receiver over
//! HTTP. Every test runs on both engines.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "test support")]

mod changes;
mod cloud;
mod delivery;
mod disabled;
mod horizon;
mod lifetime;
mod nodes;
mod peer;
mod restart;
mod scripted;
mod stage;
mod update;
mod webhook;
mod webhook_settings;
