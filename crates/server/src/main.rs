//! The command line of Keyherald. What the commands do is in the library.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match keyherald::commands::run(keyherald::cli::Cli::parse()) {
        Ok(code) => code,
        Err(complaint) => {
            eprint!("{complaint}");
            ExitCode::FAILURE
        }
    }
}
