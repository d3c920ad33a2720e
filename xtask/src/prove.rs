//! `cargo xtask prove`: the proofs that take too long for every change.
//!
//! They are ignored tests with `prove` in their name: the kill test, of one server and of several nodes, the model test and
//! the operations, on each engine; and the simulation of the relay, whose world is made up.
//! The test itself judges, and closes with one line that starts with its words and the engine. That line goes to
//! docs/proof.md with the date and the commit; a proof that fails writes nothing.

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
    /// How often something happens to the nodes of a cluster.
    #[arg(long, default_value_t = 200, value_name = "N")]
    disturbances: u32,
    /// How many sequences the model is held against, per engine.
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    sequences: u32,
    /// How many seeds the relay is simulated with.
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    seeds: u32,
    /// How many cells of operations are played, per engine; there are fewer: all.
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    cells: u32,
    /// Only this proof: `cluster`, `kill`, `model`, `orchestrate` or `simulation`.
    #[arg(long, value_name = "TEST")]
    only: Option<String>,
    /// Which engine, or `slapd`: operations with a directory, or `virtual`: the simulation, which has none.
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
    Slapd,
    Virtual,
    All,
}

/// The engines, the one provider that is a service, and what needs neither, by the word in their tests' names.
const ENGINES: &[(Choice, &str)] = &[
    (Choice::Sqlite, "sqlite"),
    (Choice::Postgres, "postgres"),
    (Choice::Slapd, "slapd"),
    (Choice::Virtual, "virtual"),
];

/// A test with long variants.
struct Proof {
    /// Whose test it is.
    package: &'static str,
    /// The test target.
    test: &'static str,
    /// What its closing line begins with, before the engine.
    words: &'static str,
    /// What it runs on.
    engines: &'static [Choice],
    /// The environment variable that says how much, and how much that is.
    amount: (&'static str, fn(&Options) -> u32),
}

const PROOFS: &[Proof] = &[
    Proof {
        package: "keyherald",
        test: "cluster",
        words: "cluster",
        engines: &[Choice::Postgres],
        amount: ("KEYHERALD_DISTURBANCES", |options| options.disturbances),
    },
    Proof {
        package: "keyherald",
        test: "kill",
        words: "kill test",
        engines: &[Choice::Sqlite, Choice::Postgres],
        amount: ("KEYHERALD_KILLS", |options| options.kills),
    },
    Proof {
        package: "keyherald",
        test: "model",
        words: "model",
        engines: &[Choice::Sqlite, Choice::Postgres],
        amount: ("KEYHERALD_MODEL_SEQUENCES", |options| options.sequences),
    },
    Proof {
        package: "keyherald",
        test: "orchestrate",
        words: "operations",
        engines: &[Choice::Sqlite, Choice::Postgres, Choice::Slapd],
        amount: ("KEYHERALD_OPERATION_CELLS", |options| options.cells),
    },
    Proof {
        package: "keyherald-core",
        test: "simulation",
        words: "simulation",
        engines: &[Choice::Virtual],
        amount: ("KEYHERALD_SIMULATION_SEEDS", |options| options.seeds),
    },
];

/// Runs the chore.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let progress = Progress::start();
    // Taken once, before our own writing makes the commit look changed.
    let origin = format!("{}, commit {}", said("date", &["-u", "+%Y-%m-%d"])?, commit());
    let wanted = |proof: &&Proof| options.only.as_ref().is_none_or(|only| only == proof.test);
    let wanted: Vec<&Proof> = PROOFS.iter().filter(wanted).collect();
    if wanted.is_empty() {
        let known: Vec<&str> = PROOFS.iter().map(|proof| proof.test).collect();
        return Err(format!("no such proof; there are: {}", known.join(", ")).into());
    }
    for proof in wanted {
        progress.heading(&format!("build the {} test", proof.test));
        let names = proof.names()?;
        for (choice, engine) in ENGINES {
            let is_wanted = options.engine == Choice::All || options.engine == *choice;
            if !is_wanted || !proof.engines.contains(choice) {
                continue;
            }
            let (_, amount) = proof.amount;
            progress.heading(&format!("{} {engine}: {}", proof.words, amount(options)));
            let tests: Vec<&String> = names.iter().filter(|name| name.contains(engine)).collect();
            if tests.is_empty() {
                return Err(format!("no ignored test of `{}` is named `prove_{engine}` or alike", proof.test).into());
            }
            let line = proof.run(engine, &tests, options)?;
            record(&proof.mark(engine), &format!("- {origin}: `{line}`"))?;
        }
    }
    progress.heading("docs/proof.md");
    println!("{}", block_of(&root().join("docs/proof.md"), "proof").trim());
    Ok(ExitCode::SUCCESS)
}

impl Proof {
    /// The arguments up to the test harness' own.
    fn cargo(&self) -> Keep {
        let keep = Keep::new(cargo()).args(["test", "--release", "--package", self.package, "--test", self.test]);
        keep.args(["--", "--ignored"])
    }

    /// The names of its tests.
    fn names(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        let listing = Kept::start(&self.cargo().args(["--list", "--format=terse"]), |command| {
            command.current_dir(root()).stdout(Stdio::piped());
        })?;
        let status = listing.lines(|line| names.extend(line.strip_suffix(": test").map(str::to_owned)))?;
        names.retain(|name| is_proof(name));
        if status.success() { Ok(names) } else { Err(format!("the {} test does not build", self.test).into()) }
    }

    /// Runs it on one engine and returns the closing line.
    fn run(&self, engine: &str, tests: &[&String], options: &Options) -> Result<String> {
        // SQLite needs no service, nor does what is made up; any other engine is the service of its name.
        let service = SERVICES.iter().find(|service| service.word == engine);
        let running = match service {
            Some(service) => Some((service.variable, service.start(options.install)?)),
            None => None,
        };

        let keep = self.cargo().args(["--nocapture", "--test-threads=1", "--exact"]).args(tests);
        let proof = Kept::start(&keep, |command| {
            let (variable, amount) = self.amount;
            command.env(variable, amount(options).to_string());
            command.envs(running.iter().map(|(variable, running)| (variable, &running.address)));
            command.current_dir(root()).stdout(Stdio::piped());
        })?;
        let mark = self.mark(engine);
        let mut closing = None;
        let status = proof.lines(|line| {
            println!("{line}");
            closing = closing_line(line, &mark).or(closing.take());
        })?;
        if !status.success() {
            return Err(format!("the {} test on {engine} failed; docs/proof.md is as it was", self.test).into());
        }
        closing.ok_or_else(|| format!("the {} test on {engine} printed no closing line", self.test).into())
    }

    fn mark(&self, engine: &str) -> String {
        format!("{} {engine}: ", self.words)
    }
}

/// The closing line within a line of output: the harness writes `test NAME ... ` before it without a line break.
fn closing_line(line: &str, mark: &str) -> Option<String> {
    line.find(mark).and_then(|at| line.get(at..)).map(|line| line.trim().to_owned())
}

/// Writes an entry into docs/proof.md in the place of the last one with this mark.
fn record(mark: &str, entry: &str) -> Result<()> {
    let path = root().join("docs/proof.md");
    replace_block(&path, "proof", &with_entry(&block_of(&path, "proof"), mark, entry))
}

fn with_entry(block: &str, mark: &str, entry: &str) -> String {
    let others = block.lines().filter(|line| line.starts_with("- ") && !line.contains(mark));
    let mut entries: Vec<&str> = others.chain([entry]).collect();
    // By proof and engine, whatever the order of the runs.
    entries.sort_by_key(|entry| entry.split_once(": ").map(|(_, line)| line));
    entries.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closing_line_is_found_behind_the_harness_own_words() {
        let [_, kill, model, ..] = PROOFS else { panic!("there are more") };
        let line = "test prove_sqlite ... kill test sqlite: kills 50, lost 0";
        assert_eq!(closing_line(line, &kill.mark("sqlite")).as_deref(), Some("kill test sqlite: kills 50, lost 0"));
        assert_eq!(closing_line(line, &kill.mark("postgres")), None);
        assert_eq!(closing_line(line, &model.mark("sqlite")), None);
    }

    #[test]
    fn an_entry_replaces_the_last_one_of_its_proof_and_engine() {
        let entry = |words: &str, lost: u32| format!("- 2026-01-31, commit abc: `{words}: lost {lost}`");
        let mut block = "\nno run yet\n".to_owned();
        for (words, lost) in
            [("kill test sqlite", 1), ("model sqlite", 0), ("kill test postgres", 0), ("kill test sqlite", 0)]
        {
            block = with_entry(&block, &format!("{words}: "), &entry(words, lost));
        }
        let left = [entry("kill test postgres", 0), entry("kill test sqlite", 0), entry("model sqlite", 0)];
        assert_eq!(block, left.join("\n"));
    }
}
