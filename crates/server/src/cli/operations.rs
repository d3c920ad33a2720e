//! `keyherald operations`: its words and helps.

use clap::{Args, Subcommand, ValueEnum};
use keyherald_core::id::{CustomerId, DoubtId, OperationId, ProjectKey};

use super::ConfigFile;

/// `keyherald operations`
#[derive(Debug, Subcommand)]
pub enum Operations {
    /// List a project's operations that are in one state, oldest first.
    #[command(after_help = "\
Examples:
  keyherald operations list --config keyherald.toml --project my-shop                   what needs an operator
  keyherald operations list --config keyherald.toml --project my-shop --state open      what is at work")]
    List(OperationsList),
    /// List a project's records in doubt: what was about to be written to a user's record at an identity provider, and is
    /// not known to be the same here.
    ///
    /// Each is looked after by the server itself, from a minute after it began, and goes as soon as the provider tells. One
    /// that stays for an hour has an alert in the server's log (`record_in_doubt`): the provider cannot be asked, or somebody
    /// else has the address here.
    #[command(after_help = "\
Examples:
  keyherald operations doubts --config keyherald.toml --project my-shop")]
    Doubts(Doubts),
    /// Show an operation: what was to be done, and all that happened, in order.
    Show(OperationOf),
    /// Say that a diverged operation was looked after.
    ///
    /// Diverged means: nobody knows which password the provider has. The customer cannot sign in until it has reset its
    /// password, which resolves the operation by itself. Use this when you have made sure that the password here is the
    /// provider's as well: from then on it counts again.
    Resolve(OperationOf),
}

/// `keyherald operations list`
#[derive(Debug, Args)]
pub struct OperationsList {
    #[command(flatten)]
    pub file: ConfigFile,
    /// The project whose operations are listed.
    #[arg(long, value_name = "KEY")]
    pub project: ProjectKey,
    /// In which state.
    #[arg(long, value_enum, default_value_t)]
    pub state: OperationState,
    /// Only those after this one.
    #[arg(long, value_name = "ID")]
    pub after: Option<OperationId>,
    /// How many at most.
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=10_000))]
    pub limit: i64,
}

/// `keyherald operations doubts`
#[derive(Debug, Args)]
pub struct Doubts {
    #[command(flatten)]
    pub file: ConfigFile,
    /// The project whose records are listed.
    #[arg(long, value_name = "KEY")]
    pub project: ProjectKey,
    /// Only those of this customer.
    #[arg(long, value_name = "ID")]
    pub customer: Option<CustomerId>,
    /// Only those after this one.
    #[arg(long, value_name = "ID")]
    pub after: Option<DoubtId>,
    /// How many at most.
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=10_000))]
    pub limit: i64,
}

/// How an operation stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OperationState {
    /// At work, or waiting.
    Open,
    /// Done, except that sessions at the provider are still to be ended.
    Closing,
    /// Done.
    Committed,
    /// Nothing was changed.
    Released,
    /// The customer was deleted meanwhile.
    Gone,
    /// Nobody knows: for an operator.
    #[default]
    Diverged,
    /// Was diverged.
    Resolved,
}

/// `keyherald operations show | resolve`
#[derive(Debug, Args)]
pub struct OperationOf {
    #[command(flatten)]
    pub file: ConfigFile,
    /// The operation's project.
    #[arg(long, value_name = "KEY")]
    pub project: ProjectKey,
    /// The operation.
    #[arg(value_name = "ID")]
    pub id: OperationId,
}
