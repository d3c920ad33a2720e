//! The command line: what can be said, and its help. Only parsing; what the commands do is elsewhere.

mod customers;
pub mod deliveries;
mod operations;
mod provider;
mod subscriptions;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use keyherald_core::id::{CustomerId, MessageId, ProjectKey};

pub use self::customers::{Customers, CustomersExport, CustomersImport, FileFormat};
pub use self::operations::{Doubts, OperationOf, OperationState, Operations, OperationsList};
pub use self::provider::{Provider, ProviderCheck};
pub use self::subscriptions::{Subscriptions, SubscriptionsTest};

/// Changes, resets and recovers a customer's password, and heralds the fact.
///
/// One server: it speaks commercetools' HTTP API for customers and passwords, and delivers every change as a message,
/// signed, in order per customer, to everybody who subscribed.
#[derive(Debug, Parser)]
#[command(name = "keyherald", version, max_term_width = 100, arg_required_else_help = true, after_help = FIRST_STEPS)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const FIRST_STEPS: &str = "\
First steps:
  keyherald demo                              see it work, nothing to set up
  keyherald dev                               a server to try out, with credentials printed
  keyherald check --config keyherald.toml     what is wrong with a configuration, or what it means
  keyherald serve --config keyherald.toml     the real thing

Exit codes: 0 done, 1 failed, 2 wrong usage, 128 + n ended by signal n.";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the whole story on an embedded store, in under 20 seconds.
    ///
    /// Starts a server in a temporary folder and a small receiver, changes and resets passwords over real HTTP, and
    /// shows each request, each answer and each message as the receiver got it.
    ///
    /// With `--cluster` it starts three nodes on a throw-away PostgreSQL, made from the programs that the machine has, kills
    /// one of them under load, and shows that nobody missed a message.
    Demo(Demo),
    /// Run a server for trying out, with known credentials.
    ///
    /// Project `demo`, API client `demo-client` with the secret `demo-secret`: for development only. Receivers on
    /// private addresses and without TLS are allowed. The users of its Naviga tenant are at an identity provider in memory,
    /// too: those whom that API makes, and customers whom it calls by our id or number. When the server is ready, one line of JSON on stdout says where it
    /// is; everything else goes to stderr.
    #[command(after_help = "\
Examples:
  keyherald dev
  keyherald dev --listen 127.0.0.1:0 --data /tmp/kh     on any free port
  keyherald dev --store postgres://postgres@localhost/keyherald")]
    Dev(Dev),
    /// Run the server.
    ///
    /// SIGTERM and SIGINT end it in order: not ready, requests finished, deliveries stopped between messages, store
    /// closed. A second signal ends it at once.
    #[command(after_help = "\
Examples:
  keyherald serve --config /etc/keyherald.toml
  KEYHERALD__SERVER__LISTEN=0.0.0.0:8080 keyherald serve --config keyherald.toml
  keyherald serve --config keyherald.toml --role relay      delivers for servers with --role api, on PostgreSQL")]
    Serve(Serve),
    /// Check a configuration: all its problems at once, or what is in effect.
    ///
    /// Reads the file, the environment and the secrets that they name, as `serve` would; opens no database and no
    /// socket. Prints the effective configuration with its defaults, secrets masked. Exit code 1 if there is a problem.
    Check(ConfigFile),
    /// Bring the database's schema to this version.
    ///
    /// Safe to run from several nodes at once. `serve` does the same when it starts; a database that a newer program has
    /// migrated is refused by both.
    Migrate(Migrate),
    /// Rewrite the database file, so that nothing is left in it of customers that were erased.
    ///
    /// Erasing a customer (`dataErasure=true`) removes all that is personal at once. In unused parts of a SQLite file old
    /// copies may remain until it is rewritten: that is what this does, if anybody was erased since the last time. The
    /// server may be running; its writes wait meanwhile, so choose a quiet hour. Needs room for the file once more.
    ///
    /// On PostgreSQL it says which commands to run there. Backups keep what they have.
    #[command(after_help = "\
Examples:
  keyherald scrub --config keyherald.toml
  0 4 * * *  keyherald scrub --config /etc/keyherald.toml     every night, in a crontab")]
    Scrub(ConfigFile),
    /// API clients: who may call the server, and for what.
    #[command(subcommand)]
    Client(Client),
    /// Customers: take them over from another system, or hand them on.
    #[command(subcommand)]
    Customers(Customers),
    /// Deliveries: how they stand, what waits and what was put aside, pause, retry, replay.
    #[command(subcommand)]
    Deliveries(deliveries::Deliveries),
    /// Messages, as subscribers get them.
    #[command(subcommand)]
    Messages(Messages),
    /// Show a project's activity: who tried what, when, by which way, and how it ended.
    #[command(after_help = "\
Examples:
  keyherald activity --config keyherald.toml --project my-shop                          the last calls
  keyherald activity --config keyherald.toml --project my-shop --customer ID --limit 100
  keyherald activity --config keyherald.toml --project my-shop --follow --json          all that comes, for programs")]
    Activity(Activity),
    /// Events for partners: what was sent, sending it again, and what it is signed with.
    #[command(subcommand)]
    Events(Events),
    /// Operations: passwords that are set at an identity provider and here as one.
    #[command(subcommand)]
    Operations(Operations),
    /// Identity providers: try one out.
    #[command(subcommand)]
    Provider(Provider),
    /// Subscriptions: try one out.
    #[command(subcommand)]
    Subscriptions(Subscriptions),
    /// Tokens of those who call the Naviga API of a tenant.
    #[command(subcommand)]
    Token(Token),
}

/// `--config`
#[derive(Debug, Args)]
pub struct ConfigFile {
    /// The configuration file. Each key can also be set by KEYHERALD__SECTION__KEY.
    #[arg(long, value_name = "FILE", env = "KEYHERALD_CONFIG", hide_env_values = true)]
    pub config: PathBuf,
}

/// `keyherald serve`
#[derive(Debug, Args)]
pub struct Serve {
    /// `--config`
    #[command(flatten)]
    pub file: ConfigFile,
    /// What this process does, whatever `[node] role` says: where several share a PostgreSQL database, some may serve
    /// requests and others deliver.
    #[arg(long, value_enum, value_name = "ROLE")]
    pub role: Option<Role>,
}

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Everything.
    All,
    /// Serves requests.
    Api,
    /// Delivers messages, and removes what has had its time.
    Relay,
}

/// `keyherald demo`
#[derive(Debug, Args)]
pub struct Demo {
    /// Three nodes on a throw-away PostgreSQL instead, of which one is killed. Needs PostgreSQL's programs, not a server.
    #[arg(long, conflicts_with = "keep")]
    pub cluster: bool,
    /// Leave the server running at the end, and print its URL and credentials.
    #[arg(long)]
    pub keep: bool,
    /// Use colours.
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    pub color: Color,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// `keyherald dev`
#[derive(Debug, Args)]
pub struct Dev {
    /// The address to listen on; port 0 takes any free one.
    #[arg(long, value_name = "ADDR", default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)))]
    pub listen: SocketAddr,
    /// The folder that keeps the data over restarts.
    #[arg(long, value_name = "DIR", default_value = "./keyherald-data")]
    pub data: PathBuf,
    /// Another database than the SQLite file in the data folder: `sqlite:PATH` or `postgres://...`.
    #[arg(long, value_name = "URL", env = "KEYHERALD_DEV_STORE", hide_env_values = true)]
    pub store: Option<String>,
    /// Send no mail and no SMS to the mailbox of `/dev/mailbox`.
    #[arg(long, env = "KEYHERALD_DEV_NO_MAIL")]
    pub no_mail: bool,
    /// Tell this endpoint of credentials that change, as a partner of Paysafe's contract: events go to URL/credentials/events.
    #[arg(long, value_name = "URL", env = "KEYHERALD_DEV_CREDENTIALS_WEBHOOK")]
    pub credentials_webhook: Option<String>,
    /// Have no identity provider for the users of the Naviga tenant: their passwords are here alone.
    #[arg(long, env = "KEYHERALD_DEV_NO_PROVIDER")]
    pub no_provider: bool,
}

/// `keyherald migrate`
#[derive(Debug, Args)]
pub struct Migrate {
    #[command(flatten)]
    pub file: ConfigFile,
    /// Only say which migrations are done and which are not.
    #[arg(long)]
    pub status: bool,
}

/// `keyherald client`
#[derive(Debug, Subcommand)]
pub enum Client {
    /// Make a client. Its secret is printed once, and stored only as a digest.
    #[command(after_help = "\
Examples:
  keyherald client create --config keyherald.toml --project my-shop --name storefront \\
      --scope manage_customers:my-shop --scope view_messages:my-shop")]
    Create(ClientCreate),
    /// List a project's clients, without their secrets.
    List(ClientList),
    /// Revoke a client: it gets no more tokens, and those that it has end.
    Revoke(ClientRevoke),
}

/// `keyherald client create`
#[derive(Debug, Args)]
pub struct ClientCreate {
    #[command(flatten)]
    pub file: ConfigFile,
    /// The project that the client belongs to.
    #[arg(long, value_name = "KEY")]
    pub project: ProjectKey,
    /// A name for people, to know the client by.
    #[arg(long)]
    pub name: String,
    /// What the client may do, as `manage_customers:my-shop`. Repeat it for more.
    #[arg(long = "scope", value_name = "SCOPE", required = true)]
    pub scopes: Vec<String>,
}

/// `keyherald client list`
#[derive(Debug, Args)]
pub struct ClientList {
    #[command(flatten)]
    pub file: ConfigFile,
    /// Only this project's clients.
    #[arg(long, value_name = "KEY")]
    pub project: Option<ProjectKey>,
}

/// `keyherald client revoke`
#[derive(Debug, Args)]
pub struct ClientRevoke {
    #[command(flatten)]
    pub file: ConfigFile,
    /// The project that the client belongs to.
    #[arg(long, value_name = "KEY")]
    pub project: ProjectKey,
    /// The client's id, as `client list` shows it.
    #[arg(value_name = "CLIENT-ID")]
    pub id: String,
}

/// `keyherald messages`
#[derive(Debug, Subcommand)]
pub enum Messages {
    /// Print messages as they are committed, oldest first; goes on until Ctrl-C.
    #[command(after_help = "\
Examples:
  keyherald messages tail --config keyherald.toml
  keyherald messages tail --config keyherald.toml --from 0 --json | jq .type")]
    Tail(MessagesTail),
}

/// `keyherald messages tail`
#[derive(Debug, Args)]
pub struct MessagesTail {
    #[command(flatten)]
    pub file: ConfigFile,
    /// Only this project's messages.
    #[arg(long, value_name = "KEY")]
    pub project: Option<ProjectKey>,
    /// Only messages about this customer.
    #[arg(long, value_name = "ID")]
    pub customer: Option<CustomerId>,
    /// Begin after this position of the log; 0 is its beginning. Default: only what is new.
    #[arg(long, value_name = "POSITION", value_parser = clap::value_parser!(i64).range(0..))]
    pub from: Option<i64>,
    /// One JSON object a line.
    #[arg(long)]
    pub json: bool,
}

/// `keyherald activity`
#[derive(Debug, Args)]
pub struct Activity {
    #[command(flatten)]
    pub file: ConfigFile,
    /// The project whose activity is shown.
    #[arg(long, value_name = "KEY")]
    pub project: ProjectKey,
    /// Only that about this customer.
    #[arg(long, value_name = "ID")]
    pub customer: Option<CustomerId>,
    /// How many entries at once.
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(i64).range(1..=500))]
    pub limit: i64,
    /// The first entries after this position, instead of the last ones.
    #[arg(long, value_name = "POSITION", value_parser = clap::value_parser!(i64).range(0..))]
    pub after: Option<i64>,
    /// Go on with whatever comes, until Ctrl-C.
    #[arg(long)]
    pub follow: bool,
    /// One JSON object a line, with all that is known of an entry.
    #[arg(long)]
    pub json: bool,
}

/// `keyherald events`
#[derive(Debug, Subcommand)]
pub enum Events {
    /// List a project's Customer Credentials Events in the order in which they happened.
    #[command(after_help = "\
Examples:
  keyherald events list --config keyherald.toml --project my-shop
  keyherald events list --config keyherald.toml --project my-shop --from 2026-01-01T00:00:00Z --to 2026-01-02T00:00:00Z")]
    List(EventsList),
    /// Send events again: the same bytes, under the same ids.
    #[command(after_help = "\
Examples:
  keyherald events resend --config keyherald.toml --project my-shop --id ID --id ID
  keyherald events resend --config keyherald.toml --project my-shop --from 2026-01-01T00:00:00Z --to 2026-01-02T00:00:00Z")]
    Resend(EventsResend),
    /// Print what a project's events are signed with: to be given to its partner, and kept secret.
    Secret(EventsSecret),
}

/// `--from` and `--to`
#[derive(Debug, Args)]
pub struct EventsSpan {
    /// Those that happened at this time or later.
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Those that happened at this time or earlier. Default: now.
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
}

/// `keyherald events list`
#[derive(Debug, Args)]
pub struct EventsList {
    #[command(flatten)]
    pub file: ConfigFile,
    /// The project whose events are listed.
    #[arg(long, value_name = "KEY")]
    pub project: ProjectKey,
    /// Only those about this customer.
    #[arg(long, value_name = "ID")]
    pub customer: Option<CustomerId>,
    #[command(flatten)]
    pub span: EventsSpan,
    /// How many at most.
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=10_000))]
    pub limit: i64,
    /// How many are left out before.
    #[arg(long, value_name = "COUNT", default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    pub offset: i64,
}

/// `keyherald events resend`
#[derive(Debug, Args)]
pub struct EventsResend {
    #[command(flatten)]
    pub file: ConfigFile,
    /// The project whose events are sent again.
    #[arg(long, value_name = "KEY")]
    pub project: ProjectKey,
    /// This event; may be given several times.
    #[arg(long, value_name = "ID", conflicts_with_all = ["from", "to", "customer"])]
    pub id: Vec<MessageId>,
    /// Only those about this customer.
    #[arg(long, value_name = "ID")]
    pub customer: Option<CustomerId>,
    #[command(flatten)]
    pub span: EventsSpan,
}

/// `keyherald events secret`
#[derive(Debug, Args)]
pub struct EventsSecret {
    #[command(flatten)]
    pub file: ConfigFile,
    /// The project whose events they are.
    #[arg(long, value_name = "KEY")]
    pub project: ProjectKey,
}

/// `keyherald token`
#[derive(Debug, Subcommand)]
pub enum Token {
    /// Make a token for a caller, and print it.
    ///
    /// It is signed as the tenant's `jwt` says: for HS256 with its secret; for RS256 and ES256 with the private key that
    /// belongs to its public one. It is stored nowhere and cannot be taken back one by one: without --expires it is good
    /// for as long as the key is.
    #[command(after_help = "\
Examples:
  keyherald token mint --config keyherald.toml --project my-shop --source-system SubscriptionPanel --expires 365d
  keyherald token mint --config keyherald.toml --project my-shop --key-file issuer.pem --key-id 2026-01")]
    Mint(TokenMint),
}

/// `keyherald token mint`
#[derive(Debug, Args)]
pub struct TokenMint {
    #[command(flatten)]
    pub file: ConfigFile,
    /// The project that is the tenant.
    #[arg(long, value_name = "KEY")]
    pub project: ProjectKey,
    /// What the caller calls itself (X-SourceSystem): the token's subject.
    #[arg(long, value_name = "NAME")]
    pub source_system: Option<String>,
    /// How long it is good, as 30d, 12h, 15m or 90s. Default: for ever.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub expires: Option<Duration>,
    /// The private key in PEM, for RS256 and ES256.
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// The key's name in the published key set.
    #[arg(long, value_name = "ID", requires = "key_file")]
    pub key_id: Option<String>,
}

/// A whole number and its unit.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "a whole number with its unit: 30d, 12h, 15m or 90s".to_owned();
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let seconds = match unit {
        "d" => 86_400,
        "h" => 3600,
        "m" => 60,
        "s" => 1,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(seconds).filter(|seconds| *seconds > 0).map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Cli::try_parse_from(line.split(' ')).map(|cli| cli.command)
    }

    #[test]
    fn the_tree_is_sound_and_every_part_has_a_help_text() {
        fn every(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{} {}", command.get_name(), argument.get_id());
            }
            command.get_subcommands().for_each(every);
        }
        Cli::command().debug_assert();
        every(&Cli::command());
    }

    #[test]
    fn defaults_make_sense() {
        let Command::Dev(dev) = parse("keyherald dev").unwrap() else { panic!("dev") };
        assert_eq!((dev.listen.to_string(), dev.data.to_str()), ("127.0.0.1:8080".into(), Some("./keyherald-data")));
        let Command::Demo(demo) = parse("keyherald demo").unwrap() else { panic!("demo") };
        assert_eq!((demo.keep, demo.cluster, demo.color), (false, false, Color::Auto));
    }

    #[test]
    fn values_are_checked_as_they_are_read() {
        let create = "keyherald client create --config k.toml --name n --project";
        let Command::Client(Client::Create(made)) = parse(&format!("{create} shop --scope a --scope b")).unwrap()
        else {
            panic!("client create")
        };
        assert_eq!((made.project.as_str(), made.scopes.as_slice()), ("shop", ["a".into(), "b".into()].as_slice()));
        for wrong in [
            format!("{create} Not-A-Key --scope a"),
            format!("{create} shop"),
            "keyherald messages tail --config k.toml --customer jane".into(),
            "keyherald messages tail --config k.toml --from -1".into(),
            "keyherald dev --listen localhost".into(),
            "keyherald token mint --config k.toml --project shop --expires 30".into(),
            "keyherald token mint --config k.toml --project shop --expires 0d".into(),
            "keyherald token mint --config k.toml --project shop --key-id a".into(),
        ] {
            assert!(parse(&wrong).is_err(), "{wrong}");
        }
    }
}
