//! `keyherald check`: all problems of a configuration, or what is in effect.

use std::io::Write;
use std::path::Path;

use crate::complaint::Complaint;
use crate::config::{Config, Environment, Purpose};

/// Reads the configuration as `serve` would, and prints what is in effect to `out`.
pub fn check(file: &Path, environment: Environment, out: &mut dyn Write) -> Result<(), Complaint> {
    let config = Config::load(Some(file), environment, Purpose::Serve)?;
    let listing = config.listing();
    write!(out, "# What is in effect; secrets are masked.\n\n{listing}\n# ok\n")
        .map_err(|error| Complaint::because("cannot print", &error))
}
