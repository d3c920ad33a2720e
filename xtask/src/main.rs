//! The project's chores, as `cargo xtask ...`: plain Rust instead of shell, on the standard library and four crates.
//!
//! It depends on none of the project's own crates, so it builds in seconds and works while they do not. It needs
//! Linux or macOS, cargo, and for `--install` a Debian with apt.

mod bench;
mod blocklist;
mod chart;
mod docs;
mod node;
mod pages;
mod process;
mod progress;
mod prove;
mod readers;
mod sdk;
mod services;
mod test;
mod tool;

use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Any error, told to a person at the end.
pub(crate) type Fault = Box<dyn std::error::Error + Send + Sync>;
/// What a chore returns.
pub(crate) type Result<T> = std::result::Result<T, Fault>;

/// The project's chores.
#[derive(Parser)]
#[command(bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Run every test, starting the services (PostgreSQL, ...) that some of them need, the SDK's journey and the
    /// browser's walk.
    Test(test::Options),
    /// Measure, and write docs/benchmarks.md and docs/bench/.
    Bench(bench::Options),
    /// Write the list of common passwords that comes with the server.
    Blocklist,
    /// Run the long proofs (the kill test on each engine), and write docs/proof.md.
    Prove(prove::Options),
    /// Walk the recovery pages in a browser, and take the documentation's pictures of them.
    Pages(pages::Options),
    /// Run a command and end it when standard input closes. What xtask starts its children through.
    #[command(hide = true)]
    Keep(process::Keep),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().chore {
        Chore::Test(options) => test::run(&options),
        Chore::Bench(options) => bench::run(&options),
        Chore::Blocklist => blocklist::run(),
        Chore::Prove(options) => prove::run(&options),
        Chore::Pages(options) => pages::run(&options),
        Chore::Keep(keep) => keep.run(),
    };
    outcome.unwrap_or_else(|fault| {
        eprintln!("xtask: {fault}");
        ExitCode::FAILURE
    })
}

/// The workspace's root folder.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}
