//! `keyherald provider`: its words and helps.

use clap::{Args, Subcommand};
use keyherald_core::provider::ProviderName;

use super::ConfigFile;

/// `keyherald provider`
#[derive(Debug, Subcommand)]
pub enum Provider {
    /// Ask a provider what the server will ask of it, and show which class each answer fell in.
    ///
    /// Looks a user up, looks up one that does not exist, and tries a sign-in with a wrong password where the provider has
    /// one. With --set also: sets a generated password, twice, reads the probe before and after, signs in with it, and ends
    /// the user's sessions. With --records also: gives the user another address and other names and sets them back, and
    /// creates a user, where the provider can be told so. Meant for a sandbox and a user of its own. Exit code 1 if an answer is not such as the server
    /// can work with.
    #[command(after_help = "\
Examples:
  keyherald provider check --config keyherald.toml --provider publisher-x --user 4711
  keyherald provider check --config keyherald.toml --provider publisher-x --user 4711 --email a@example.com --set --records")]
    Check(ProviderCheck),
}

/// `keyherald provider check`
#[derive(Debug, Args)]
pub struct ProviderCheck {
    #[command(flatten)]
    pub file: ConfigFile,
    /// The provider's name in the configuration: [providers.NAME].
    #[arg(long, value_name = "NAME")]
    pub provider: ProviderName,
    /// The id of a user there.
    #[arg(long, value_name = "ID")]
    pub user: String,
    /// The user's e-mail address, to look it up by that as well.
    #[arg(long, value_name = "ADDRESS")]
    pub email: Option<String>,
    /// The id that the user has elsewhere, to look it up by that as well.
    #[arg(long, value_name = "ID")]
    pub external_id: Option<String>,
    /// REPLACE the user's password by a generated one, and try what comes after it.
    #[arg(long)]
    pub set: bool,
    /// CHANGE the user's address and names for a moment, and CREATE a user with an address that nobody can have.
    #[arg(long)]
    pub records: bool,
}
