//! `cargo xtask test`: every test, with the services that some of them need.
//!
//! First all tests that need nothing but the machine; then, per service, the ignored tests that have its word in their
//! name; then the journey of the official SDK, the libraries that read our webhooks, and a browser's walk through the recovery
//! pages, which count as one test each. What could not be run is named at the end, and the last line is `N passed, N failed, N skipped`. With
//! `REQUIRE_SERVICES=1` a skipped test is a failure: that is how `.ci/run` calls it.

use std::process::{ExitCode, Stdio};

use crate::pages::{self, Browser};
use crate::process::{Keep, Kept};
use crate::progress::Progress;
use crate::readers;
use crate::sdk;
use crate::services::{SERVICES, Service};
use crate::{Result, root};

/// How a test begins the line that tells how much it looked at: written past the harness, which keeps the output of tests
/// that pass to itself, and repeated in the summary.
const CLOSING: &str = "proof: ";

/// Every cargo feature of the server, so that nothing is left out of the tests.
const FEATURES: &str = "keyherald/brokers";

/// Whether a test is a long proof, one for `cargo xtask prove`: `prove` is a word of its name.
pub(crate) fn is_proof(name: &str) -> bool {
    name.split(['_', ':']).any(|word| word == "prove")
}

/// Arguments of `cargo xtask test`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Install missing services (Debian, as root).
    #[arg(long)]
    install: bool,
    /// Run only tests whose name contains this text.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
}

/// Runs the chore.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let progress = Progress::start();
    let mut tally = Tally::default();

    progress.heading("tests without services");
    let filter = options.filter.as_slice();
    tally.run("the tests without services", &cargo_test(&[], filter), None)?;

    let mut ignored = Vec::new();
    if tally.complete {
        progress.heading("ignored tests");
        ignored = ignored_tests(options.filter.as_deref().unwrap_or_default())?;
        println!("found: {}", ignored.len());
    }
    let proofs = ignored.extract_if(.., |name| is_proof(name)).count();
    for service in SERVICES {
        let tests: Vec<String> = ignored.extract_if(.., |name| name.contains(service.word)).collect();
        if !tests.is_empty() {
            progress.heading(&format!("tests that need {}: {}", service.name, tests.len()));
            with_service(service, options.install, &tests, &mut tally)?;
        }
    }
    if !ignored.is_empty() {
        tally.skip("ignored, and no service of xtask/src/services.rs is in their name", ignored);
    }

    if tally.complete && sdk::TEST.contains(options.filter.as_deref().unwrap_or_default()) {
        progress.heading("journey of the official TypeScript SDK");
        let outcome = sdk::ready(options.install).map(|journey| sdk::walk(&journey));
        tally.walked(sdk::TEST, "the TypeScript SDK could not be started", outcome);
    }
    if tally.complete && readers::TEST.contains(options.filter.as_deref().unwrap_or_default()) {
        progress.heading("the libraries of Standard Webhooks and CloudEvents read deliveries");
        let outcome = readers::ready(options.install).map(|found| readers::read(&found));
        tally.walked(readers::TEST, "the libraries could not be started", outcome);
    }
    if tally.complete && pages::TEST.contains(options.filter.as_deref().unwrap_or_default()) {
        progress.heading("a browser's walk through the recovery pages");
        let outcome = Browser::ready(options.install).map(|browser| browser.walk(Vec::new()));
        tally.walked(pages::TEST, "the browser could not be started", outcome);
    }

    progress.heading("summary");
    if proofs > 0 {
        println!("left to `cargo xtask prove`: {proofs} long proofs");
    }
    Ok(tally.close(std::env::var("REQUIRE_SERVICES").is_ok_and(|value| value == "1")))
}

/// Runs the tests of one service, or marks them as skipped.
fn with_service(service: &Service, install: bool, tests: &[String], tally: &mut Tally) -> Result<()> {
    let running = match service.start(install) {
        Ok(running) => running,
        Err(fault) => {
            println!("{} could not be started: {fault}", service.name);
            tally.skip(&format!("{} could not be started", service.name), tests.to_vec());
            return Ok(());
        }
    };
    println!("{} at {}", running.version, running.address);
    let ran = tally.passed + tally.failed;
    let args = cargo_test(&["--tests"], &[&["--ignored".into(), "--exact".into()], tests].concat());
    tally.run(&format!("the tests that need {}", service.name), &args, Some((service.variable, &running.address)))?;
    // A listed test that did not run must not pass as silence.
    if tally.passed + tally.failed < ran + tests.len() {
        tally.fail(&format!("fewer than the {} listed tests that need {} were run", tests.len(), service.name));
    }
    Ok(())
}

/// The names of all ignored tests that contain `filter`.
fn ignored_tests(filter: &str) -> Result<Vec<String>> {
    let list = ["--ignored", "--list", "--format=terse"].map(String::from);
    let mut names = Vec::new();
    let keep = Keep::new(cargo()).args(cargo_test(&["--quiet", "--tests"], &list));
    let listing = Kept::start(&keep, |command| {
        command.current_dir(root()).stdout(Stdio::piped());
    })?;
    let status = listing.lines(|line| names.extend(line.strip_suffix(": test").map(str::to_owned)))?;
    if !status.success() {
        return Err("the ignored tests could not be listed".into());
    }
    names.retain(|name| name.contains(filter));
    Ok(names)
}

/// The cargo to run: the one that runs us.
pub(crate) fn cargo() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn cargo_test(targets: &[&str], harness: &[String]) -> Vec<String> {
    let cargo = ["test", "--workspace", "--features", FEATURES, "--no-fail-fast"].iter().chain(targets).chain(&["--"]);
    cargo.map(|&arg| arg.to_owned()).chain(harness.iter().cloned()).collect()
}

/// What ran, counted from the test harness' own closing lines.
struct Tally {
    passed: usize,
    failed: usize,
    failures: Vec<String>,
    skipped: Vec<(String, Vec<String>)>,
    /// What tests said at their end about how much they looked at.
    closings: Vec<String>,
    /// False once a run ended without counting: then nothing that builds on it makes sense.
    complete: bool,
}

impl Default for Tally {
    fn default() -> Self {
        Self { passed: 0, failed: 0, failures: Vec::new(), skipped: Vec::new(), closings: Vec::new(), complete: true }
    }
}

impl Tally {
    /// Runs cargo, shows its output as it comes, and counts.
    fn run(&mut self, what: &str, args: &[String], variable: Option<(&str, &str)>) -> Result<()> {
        let failed = self.failed;
        let tests = Kept::start(&Keep::new(cargo()).args(args), |command| {
            // Only the service that was started for this run may be found.
            for service in SERVICES {
                command.env_remove(service.variable);
            }
            command.envs(variable).current_dir(root()).stdout(Stdio::piped());
        })?;
        let status = tests.lines(|line| {
            println!("{line}");
            self.line(line);
        })?;
        if !status.success() && self.failed == failed {
            self.complete = false;
            self.fail(&format!("{what} did not build or did not run to their end ({status})"));
        }
        Ok(())
    }

    /// Counts one line of output.
    fn line(&mut self, line: &str) {
        if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED")) {
            self.failures.push(name.to_owned());
        }
        if let Some((_, closing)) = line.split_once(CLOSING) {
            self.closings.push(closing.to_owned());
        }
        let Some(result) = line.strip_prefix("test result: ") else { return };
        for part in result.split([';', '.']) {
            match part.trim().split_once(' ') {
                Some((count, "passed")) => self.passed += count.parse().unwrap_or(0),
                Some((count, "failed")) => self.failed += count.parse().unwrap_or(0),
                _ => {}
            }
        }
    }

    /// Counts a walk through a server as one test; one that could not begin is skipped.
    fn walked(&mut self, test: &str, why: &str, outcome: Result<Result<String>>) {
        match outcome {
            Ok(Ok(closing)) => {
                self.passed += 1;
                self.closings.push(closing);
            }
            Ok(Err(fault)) => {
                println!("{fault}");
                self.fail(test);
            }
            Err(fault) => {
                println!("{why}: {fault}");
                self.skip(why, vec![test.to_owned()]);
            }
        }
    }

    fn fail(&mut self, why: &str) {
        self.failed += 1;
        self.failures.push(why.to_owned());
    }

    fn skip(&mut self, why: &str, tests: Vec<String>) {
        self.skipped.push((why.to_owned(), tests));
    }

    /// Names what failed and what was skipped, and prints the closing line.
    fn close(mut self, require_services: bool) -> ExitCode {
        let skipped: usize = self.skipped.iter().map(|(_, tests)| tests.len()).sum();
        if self.passed + self.failed + skipped == 0 {
            self.fail("no test has such a name");
        }
        for closing in &self.closings {
            println!("{closing}");
        }
        for failure in &self.failures {
            println!("failed: {failure}");
        }
        for (why, tests) in &self.skipped {
            println!("skipped, {why}:");
            for test in tests {
                println!("    {test}");
            }
        }
        let unmet = require_services && skipped > 0;
        if unmet {
            println!("REQUIRE_SERVICES=1: skipped tests are a failure");
        }
        println!("{} passed, {} failed, {skipped} skipped", self.passed, self.failed);
        if self.failed > 0 || unmet { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_are_kept_wherever_they_stand() {
        let mut tally = Tally::default();
        for line in ["proof: a: 1, 0 differences", "test x ... proof: b: 2", "no such line"] {
            tally.line(line);
        }
        assert_eq!(tally.closings, ["a: 1, 0 differences", "b: 2"]);
    }

    #[test]
    fn closing_lines_are_summed_and_failures_named() {
        let mut tally = Tally::default();
        for line in [
            "running 3 tests",
            "test change::tests::a_wrong_password_is_refused ... ok",
            "test change::tests::the_version_is_checked ... FAILED",
            "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "test result: ok. 7 passed; 0 failed; 4 ignored; 0 measured; 1 filtered out; finished in 12.34s",
        ] {
            tally.line(line);
        }
        assert_eq!((tally.passed, tally.failed), (9, 1));
        assert_eq!(tally.failures, ["change::tests::the_version_is_checked"]);
    }

    #[test]
    fn a_skipped_test_fails_only_when_services_are_required() {
        let skipped = || {
            let mut tally = Tally { passed: 1, ..Tally::default() };
            tally.skip("no server", vec!["writes_postgres".to_owned()]);
            tally
        };
        assert_eq!(skipped().close(false), ExitCode::SUCCESS);
        assert_eq!(skipped().close(true), ExitCode::FAILURE);
    }

    #[test]
    fn a_proof_has_the_whole_word() {
        assert!(is_proof("prove_postgres") && is_proof("kill::prove::on_sqlite"));
        assert!(!is_proof("group_commit_improves_postgres"));
    }

    #[test]
    fn nothing_run_is_a_failure() {
        assert_eq!(Tally::default().close(false), ExitCode::FAILURE);
    }
}
