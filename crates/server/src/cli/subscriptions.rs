//! `keyherald subscriptions`: its words and helps.

use clap::{Args, Subcommand};
use keyherald_core::id::ProjectKey;

use super::ConfigFile;

/// `keyherald subscriptions`
#[derive(Debug, Subcommand)]
pub enum Subscriptions {
    /// Send a test message to a subscription's destination, now, and show what its receiver answers.
    ///
    /// Sent from here, by the settings and secrets of the subscription, also when delivery has stopped; nothing is
    /// remembered of it. Exit code 1 if it was not accepted.
    #[command(after_help = "\
Examples:
  keyherald subscriptions test --config keyherald.toml --project my-shop --subscription 019aa4b2-5b7c-7d3e-9f10-0123456789ab
  keyherald subscriptions test --config keyherald.toml --project my-shop --subscription key=crm")]
    Test(SubscriptionsTest),
}

/// `keyherald subscriptions test`
#[derive(Debug, Args)]
pub struct SubscriptionsTest {
    #[command(flatten)]
    pub file: ConfigFile,
    /// The project that the subscription belongs to.
    #[arg(long, value_name = "KEY")]
    pub project: ProjectKey,
    /// Its id, or key=KEY.
    #[arg(long, value_name = "ID")]
    pub subscription: String,
}
