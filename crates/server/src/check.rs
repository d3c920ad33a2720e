//! `keyherald check`: all problems of a configuration, or what is in effect.

use std::io::Write;
use std::path::Path;

use crate::complaint::Complaint;
use crate::config::{Config, Environment, Purpose};
use crate::mail::Templates;

/// Reads the configuration as `serve` would, writes every mail in every language once, and prints what is in effect to `out`.
pub fn check(file: &Path, environment: Environment, out: &mut dyn Write) -> Result<(), Complaint> {
    let config = Config::load(Some(file), environment, Purpose::Serve)?;
    Templates::load(config.mail.templates.as_deref()).map_err(Complaint::of_all)?;
    let listing = config.listing();
    write!(out, "# What is in effect; secrets are masked.\n\n{listing}\n# ok\n")
        .map_err(|error| Complaint::because("cannot print", &error))
}
