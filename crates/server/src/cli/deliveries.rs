//! `keyherald deliveries`: words and helps.

use clap::{Args, Subcommand};
use keyherald_core::id::{CustomerId, DeadLetterId, MessageId, ProjectKey, SubscriptionId};

use super::ConfigFile;

/// `keyherald deliveries`
#[derive(Debug, Subcommand)]
pub enum Deliveries {
    /// List a project's subscriptions and how they stand: lag in messages and seconds, customers that wait, dead letters.
    List(OfProject),
    /// List the customers whose messages wait for a retry, or for an operator, and why.
    Waiting(OfSubscription),
    /// List the messages that were put aside, and why.
    Letters(OfSubscription),
    /// List the attempts that were made, the newest first: was somebody told of it, when, with which answer?
    #[command(after_help = "\
Examples:
  keyherald deliveries attempts --config keyherald.toml --project my-shop --customer ID
  keyherald deliveries attempts --config keyherald.toml --project my-shop --message ID --json")]
    Attempts(Attempts),
    /// Send nothing more to a subscription until it is resumed. Nothing is lost or removed meanwhile.
    Pause(OfSubscription),
    /// Go on sending to a subscription that was paused, or that its receiver has ended (410).
    Resume(OfSubscription),
    /// Try what waits at once, held customers too: of one customer, or of all.
    Retry(OfSubscription),
    /// Put the message aside that a customer waits with, and go on behind it.
    Skip(OfSubscription),
    /// Drop a message that was put aside: it is shown no more, and what was sent is erased.
    Drop(LetterOf),
    /// Send something once more: the same bytes and ids, in each customer's order, marked by `Keyherald-Replay: true`.
    ///
    /// A message does not come alone: what came after it for its customer follows, or the order would not be kept. Relays in
    /// other processes notice within seconds.
    #[command(after_help = "\
Examples:
  keyherald deliveries replay --config keyherald.toml --project my-shop SUBSCRIPTION --message ID
  keyherald deliveries replay --config keyherald.toml --project my-shop SUBSCRIPTION --letter ID
  keyherald deliveries replay --config keyherald.toml --project my-shop SUBSCRIPTION --customer ID --after 4711
  keyherald deliveries replay --config keyherald.toml --project my-shop SUBSCRIPTION --since 2026-01-31T12:00:00Z")]
    Replay(ReplayOf),
}

/// `--config` and `--project`
#[derive(Debug, Args)]
pub struct OfProject {
    #[command(flatten)]
    pub file: ConfigFile,
    /// The project.
    #[arg(long, value_name = "KEY")]
    pub project: ProjectKey,
    /// One JSON object a line.
    #[arg(long)]
    pub json: bool,
}

/// One subscription, and perhaps one customer.
#[derive(Debug, Args)]
pub struct OfSubscription {
    #[command(flatten)]
    pub of: OfProject,
    /// The subscription, as `deliveries list` shows it.
    #[arg(value_name = "SUBSCRIPTION")]
    pub id: SubscriptionId,
    /// Only this customer.
    #[arg(long, value_name = "ID")]
    pub customer: Option<CustomerId>,
    /// How many at most.
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=10_000))]
    pub limit: i64,
}

/// `keyherald deliveries attempts`
#[derive(Debug, Args)]
pub struct Attempts {
    #[command(flatten)]
    pub of: OfProject,
    /// Only for this subscription.
    #[arg(long, value_name = "ID")]
    pub subscription: Option<SubscriptionId>,
    /// Only of this customer.
    #[arg(long, value_name = "ID")]
    pub customer: Option<CustomerId>,
    /// Only of this message.
    #[arg(long, value_name = "ID")]
    pub message: Option<MessageId>,
    /// Only those before this one.
    #[arg(long, value_name = "ID")]
    pub before: Option<MessageId>,
    /// How many at most.
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(i64).range(1..=10_000))]
    pub limit: i64,
}

/// `keyherald deliveries drop`
#[derive(Debug, Args)]
pub struct LetterOf {
    #[command(flatten)]
    pub of: OfProject,
    /// The subscription.
    #[arg(value_name = "SUBSCRIPTION")]
    pub id: SubscriptionId,
    /// What to drop, as `deliveries letters` shows it; may be given several times.
    #[arg(long = "letter", value_name = "ID", required = true)]
    pub letters: Vec<DeadLetterId>,
}

/// `keyherald deliveries replay`
#[derive(Debug, Args)]
pub struct ReplayOf {
    #[command(flatten)]
    pub of: OfProject,
    /// The subscription.
    #[arg(value_name = "SUBSCRIPTION")]
    pub id: SubscriptionId,
    /// This message, and what came after it for its customer.
    #[arg(long, value_name = "ID", conflicts_with_all = ["letter", "customer", "after", "since"])]
    pub message: Option<MessageId>,
    /// This message that was put aside, and what came after it for its customer.
    #[arg(long, value_name = "ID", conflicts_with_all = ["customer", "after", "since"])]
    pub letter: Option<DeadLetterId>,
    /// Only this customer's messages.
    #[arg(long, value_name = "ID", requires = "after")]
    pub customer: Option<CustomerId>,
    /// Everything after this position of the log.
    #[arg(long, value_name = "POSITION", conflicts_with = "since", value_parser = clap::value_parser!(i64).range(0..i64::MAX))]
    pub after: Option<i64>,
    /// Everything that happened at this time or later.
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// How many messages in a second, at most, where all customers are meant.
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub per_second: u32,
}
