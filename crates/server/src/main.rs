//! The command line of Keyherald. What the commands do is in the library.

use std::process::ExitCode;

use clap::Parser;
use keyherald::check::check;
use keyherald::cli::{Cli, Command};
use keyherald::complaint::Complaint;
use keyherald::config::Environment;

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(complaint) => {
            eprint!("{complaint}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode, Complaint> {
    match command {
        Command::Check(file) => check(&file.config, Environment::of_process(), &mut std::io::stdout().lock())?,
        _ => return Err(Complaint::new("this command is not built yet")),
    }
    Ok(ExitCode::SUCCESS)
}
