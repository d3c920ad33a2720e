//! `cargo xtask prove`: the proofs that take too long for every change.
//!
//! Now: the kill test on each engine. A child server under load is killed again and again; the test itself judges what
//! must hold afterwards and closes with one line that starts with `kill test ENGINE:`. That line goes to docs/proof.md
//! with the date and the commit; a proof that fails writes nothing.

use std::process::{ExitCode, Stdio};

use clap::ValueEnum;

use crate::docs::{block_of, replace_block};
use crate::process::{Keep, Kept, commit, said};
use crate::progress::Progress;
use crate::services::SERVICES;
use crate::test::{cargo, is_proof};
use crate::{Result, root};

/// Arguments of `cargo xtask prove`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How often the server is killed, per engine.
    #[arg(long, default_value_t = 50, value_name = "N")]
    kills: u32,
    /// Which engine.
    #[arg(long, value_enum, default_value = "all")]
    engine: Choice,
    /// Install missing services (Debian, as root).
    #[arg(long)]
    install: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Choice {
    Sqlite,
    Postgres,
    All,
}

/// The engines by the word in their tests' names.
const ENGINES: &[(Choice, &str)] = &[(Choice::Sqlite, "sqlite"), (Choice::Postgres, "postgres")];

/// Runs the chore.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let progress = Progress::start();
    // Taken once, before our own writing makes the commit look changed.
    let origin = format!("{}, commit {}", said("date", &["-u", "+%Y-%m-%d"])?, commit());
    progress.heading("build");
    let names = proofs()?;
    for (choice, engine) in ENGINES {
        if options.engine != Choice::All && options.engine != *choice {
            continue;
        }
        progress.heading(&format!("{} kills on {engine}", options.kills));
        let tests: Vec<&String> = names.iter().filter(|name| name.contains(engine)).collect();
        if tests.is_empty() {
            return Err(format!("no ignored test of tests/kill.rs is named `prove_{engine}` or alike").into());
        }
        let line = prove(engine, &tests, options)?;
        record(engine, &format!("- {origin}: `{line}`"))?;
    }
    progress.heading("docs/proof.md");
    println!("{}", block_of(&root().join("docs/proof.md"), "proof").trim());
    Ok(ExitCode::SUCCESS)
}

/// The arguments up to the test harness' own.
fn kill_test() -> Keep {
    Keep::new(cargo()).args(["test", "--release", "--package", "keyherald", "--test", "kill", "--", "--ignored"])
}

/// The names of the proofs in tests/kill.rs.
fn proofs() -> Result<Vec<String>> {
    let mut names = Vec::new();
    let listing = Kept::start(&kill_test().args(["--list", "--format=terse"]), |command| {
        command.current_dir(root()).stdout(Stdio::piped());
    })?;
    let status = listing.lines(|line| names.extend(line.strip_suffix(": test").map(str::to_owned)))?;
    names.retain(|name| is_proof(name));
    if status.success() { Ok(names) } else { Err("tests/kill.rs does not build".into()) }
}

/// Runs one engine's proofs and returns their closing line.
fn prove(engine: &str, tests: &[&String], options: &Options) -> Result<String> {
    // SQLite needs no service; any other engine is the service of its name.
    let service = SERVICES.iter().find(|service| service.word == engine);
    let running = match service {
        Some(service) => Some((service.variable, service.start(options.install)?)),
        None => None,
    };

    let keep = kill_test().args(["--nocapture", "--test-threads=1", "--exact"]).args(tests);
    let proof = Kept::start(&keep, |command| {
        command.env("KEYHERALD_KILLS", options.kills.to_string());
        command.envs(running.iter().map(|(variable, running)| (variable, &running.address)));
        command.current_dir(root()).stdout(Stdio::piped());
    })?;
    let mut closing = None;
    let status = proof.lines(|line| {
        println!("{line}");
        closing = closing_line(line, engine).or(closing.take());
    })?;
    if !status.success() {
        return Err(format!("the kill test on {engine} failed; docs/proof.md is as it was").into());
    }
    closing.ok_or_else(|| format!("the kill test on {engine} printed no closing line").into())
}

/// The closing line within a line of output: the harness writes `test NAME ... ` before it without a line break.
fn closing_line(line: &str, engine: &str) -> Option<String> {
    line.find(&mark(engine)).and_then(|at| line.get(at..)).map(|line| line.trim().to_owned())
}

fn mark(engine: &str) -> String {
    format!("kill test {engine}: ")
}

/// Writes an entry into docs/proof.md in the place of the engine's last one.
fn record(engine: &str, entry: &str) -> Result<()> {
    let path = root().join("docs/proof.md");
    replace_block(&path, "proof", &with_entry(&block_of(&path, "proof"), &mark(engine), entry))
}

fn with_entry(block: &str, mark: &str, entry: &str) -> String {
    let others = block.lines().filter(|line| line.starts_with("- ") && !line.contains(mark));
    let mut entries: Vec<&str> = others.chain([entry]).collect();
    // By engine, whatever the order of the runs.
    entries.sort_by_key(|entry| entry.split_once(": ").map(|(_, line)| line));
    entries.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closing_line_is_found_behind_the_harness_own_words() {
        let line = "test prove_sqlite ... kill test sqlite: kills 50, lost 0";
        assert_eq!(closing_line(line, "sqlite").as_deref(), Some("kill test sqlite: kills 50, lost 0"));
        assert_eq!(closing_line(line, "postgres"), None);
    }

    #[test]
    fn an_engines_entry_replaces_its_last_one() {
        let entry = |engine: &str, lost: u32| format!("- 2026-01-31, commit abc: `kill test {engine}: lost {lost}`");
        let block = with_entry("\nno run yet\n", &mark("sqlite"), &entry("sqlite", 1));
        let block = with_entry(&block, &mark("postgres"), &entry("postgres", 0));
        let block = with_entry(&block, &mark("sqlite"), &entry("sqlite", 0));
        assert_eq!(block, format!("{}\n{}", entry("postgres", 0), entry("sqlite", 0)));
    }
}
