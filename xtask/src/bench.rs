//! `cargo xtask bench`: all measurements in one run, to a table, a JSON file, a chart and docs/benchmarks.md.
//!
//! A benchmark is a `[[bench]]` without harness that prints one JSON object per line for each section as it is done;
//! other lines are shown and otherwise ignored:
//!
//! ```json
//! {"section":"hash","rows":[{"name":"password changes at saturation","value":88.1,"unit":"changes/s","limit":93.0,"ratio":0.947,"aim":0.90,"aim_kind":"at least"}]}
//! ```
//!
//! `limit` is what the bare loop reaches on the same machine in the same run, `ratio` is value / limit. `aim` is held
//! against `ratio` where there is one, else against `value`; `aim_kind` is `at least` or `at most`. All but `name`,
//! `value` and `unit` may be left out. With `--quick` a benchmark gets the argument `--quick`, and measures briefly;
//! PostgreSQL's address is in `KEYHERALD_TEST_POSTGRES`, when it could be started.
//!
//! A missed aim is marked, and never fails the run: the machine is not ours to judge.

use std::fmt::Write;
use std::path::Path;
use std::process::{ExitCode, Stdio};

use serde::{Deserialize, Serialize};

use crate::docs::replace_block;
use crate::process::{Keep, Kept, commit, said};
use crate::progress::Progress;
use crate::services::{Running, SERVICES};
use crate::test::cargo;
use crate::{Result, chart, root};

/// Every benchmark, as package and target.
const BENCHES: &[(&str, &str)] = &[
    ("keyherald-store", "writes"),
    ("keyherald-store", "queries"),
    ("keyherald", "journey"),
    ("keyherald", "deliveries"),
    ("keyherald", "equaliser"),
];

/// Arguments of `cargo xtask bench`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Measure briefly, to see that it works: results go to target/bench/, the docs stay as they are.
    #[arg(long)]
    quick: bool,
    /// Only this benchmark; sections of others stay as they were measured before.
    #[arg(long, value_name = "NAME", value_parser = BENCHES.iter().map(|(_, target)| *target).collect::<Vec<_>>())]
    only: Option<String>,
}

/// What one run found: the content of docs/bench/latest.json.
#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) sections: Vec<Section>,
}

/// Where and when.
#[derive(Serialize)]
pub(crate) struct Machine {
    pub(crate) date: String,
    pub(crate) cores: usize,
    pub(crate) cpu: String,
    pub(crate) kernel: String,
    pub(crate) rustc: String,
    pub(crate) commit: String,
}

/// The rows of one benchmark.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Section {
    #[serde(rename = "section")]
    pub(crate) name: String,
    pub(crate) rows: Vec<Row>,
}

/// One measured number.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) unit: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ratio: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) aim: Option<f64>,
    #[serde(default)]
    pub(crate) aim_kind: AimKind,
}

/// Which side of the aim is the good one.
#[derive(Serialize, Deserialize, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum AimKind {
    #[default]
    #[serde(rename = "at least")]
    AtLeast,
    #[serde(rename = "at most")]
    AtMost,
}

impl Row {
    /// The measured share of the aim, and whether that meets it. `None`: there is no aim.
    pub(crate) fn share_of_aim(&self) -> Option<(f64, bool)> {
        let aim = self.aim?;
        let measured = self.ratio.unwrap_or(self.value);
        let met = if self.aim_kind == AimKind::AtLeast { measured >= aim } else { measured <= aim };
        // "No time-outs" is an aim of 0, of which there is no share.
        let share = match () {
            () if aim > 0.0 => measured / aim,
            () if measured > 0.0 => f64::INFINITY,
            () => 0.0,
        };
        Some((share, met))
    }

    /// The aim in words: `at least 0.9`.
    pub(crate) fn aim_text(&self) -> Option<String> {
        let kind = if self.aim_kind == AimKind::AtLeast { "at least" } else { "at most" };
        let unit = if self.ratio.is_none() { format!(" {}", self.unit) } else { String::new() };
        self.aim.map(|aim| format!("{kind} {}{unit}", number(aim)))
    }
}

/// Runs the chore.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let progress = Progress::start();
    progress.heading("services");
    let services: Vec<(&str, Running)> = SERVICES
        .iter()
        .filter_map(|service| match service.start(false) {
            Ok(running) => Some((service.variable, running)),
            Err(fault) => {
                println!("without {}: {fault}", service.name);
                None
            }
        })
        .collect();

    let mut sections = Vec::new();
    let mut broken = Vec::new();
    for (package, target) in
        BENCHES.iter().filter(|(_, target)| options.only.as_deref().is_none_or(|only| only == *target))
    {
        progress.heading(&format!("benchmark {target} of {package}"));
        if !measure(package, target, options.quick, &services, &mut sections)? {
            broken.push(*target);
        }
    }
    drop(services);

    progress.heading("results");
    print!("{}", table(&Report { machine: machine()?, sections: sections.clone() }));
    let folder = root().join(if options.quick { "target/bench" } else { "docs/bench" });
    let sections = if options.only.is_some() { beside_earlier(&folder, sections) } else { sections };
    let report = Report { machine: machine()?, sections };
    if !broken.is_empty() {
        return Err(format!("nothing written, for these benchmarks failed: {}", broken.join(", ")).into());
    }
    write(&report, &folder)?;
    if options.quick {
        println!("\na quick run: written to target/bench, the docs are as they were");
    } else {
        replace_block(&root().join("docs/benchmarks.md"), "bench", &table(&report))?;
        println!("\nwritten to docs/bench and docs/benchmarks.md");
    }
    Ok(ExitCode::SUCCESS)
}

/// The sections of an earlier report, those of the same names replaced. Each was measured within one run, with its limits.
fn beside_earlier(folder: &Path, measured: Vec<Section>) -> Vec<Section> {
    #[derive(Deserialize)]
    struct Earlier {
        sections: Vec<Section>,
    }
    let text = std::fs::read_to_string(folder.join("latest.json")).unwrap_or_default();
    let mut sections = serde_json::from_str::<Earlier>(&text).map_or_else(|_| Vec::new(), |earlier| earlier.sections);
    for section in measured {
        match sections.iter_mut().find(|earlier| earlier.name == section.name) {
            Some(earlier) => *earlier = section,
            None => sections.push(section),
        }
    }
    sections
}

/// Runs one benchmark and collects its sections. `false`: it failed.
fn measure(
    package: &str,
    target: &str,
    quick: bool,
    services: &[(&str, Running)],
    sections: &mut Vec<Section>,
) -> Result<bool> {
    let quick: &[&str] = if quick { &["--", "--quick"] } else { &[] };
    let keep = Keep::new(cargo()).args(["bench", "--package", package, "--bench", target]).args(quick);
    let bench = Kept::start(&keep, |command| {
        command.envs(services.iter().map(|(variable, running)| (variable, &running.address)));
        command.current_dir(root()).stdout(Stdio::piped());
    })?;
    let before = sections.len();
    let status = bench.lines(|line| match section_from(line) {
        Some(section) => {
            println!("measured: {}", section.name);
            sections.push(section);
        }
        None => println!("{line}"),
    })?;
    Ok(status.success() && sections.len() > before)
}

fn section_from(line: &str) -> Option<Section> {
    serde_json::from_str(line).ok()
}

/// Where this runs. Unknown facts are said as such.
fn machine() -> Result<Machine> {
    let processors = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    Ok(Machine {
        date: said("date", &["-u", "+%Y-%m-%d"])?,
        cores: std::thread::available_parallelism()?.get(),
        cpu: model.map_or("unknown processor", |(_, name)| name.trim()).to_owned(),
        kernel: said("uname", &["-sr"])?,
        rustc: said("rustc", &["--version"])?,
        commit: commit(),
    })
}

/// The report as a Markdown table, which reads well on a terminal too.
fn table(report: &Report) -> String {
    let head = ["", "measured", "limit", "ratio", "aim", ""].map(str::to_owned);
    let mut lines = vec![head];
    for section in &report.sections {
        for row in &section.rows {
            let optional = |value: Option<f64>| value.map(number).unwrap_or_default();
            let met = row.share_of_aim().map_or("", |(_, met)| if met { "met" } else { "**missed**" });
            lines.push([
                format!("{}: {}", section.name, row.name),
                format!("{} {}", number(row.value), row.unit),
                optional(row.limit),
                row.ratio.map(|ratio| format!("{ratio:.3}")).unwrap_or_default(),
                row.aim_text().unwrap_or_default(),
                met.to_owned(),
            ]);
        }
    }
    let Machine { date, cores, cpu, kernel, rustc, commit } = &report.machine;
    let mut text = aligned(&lines);
    let _ = writeln!(text, "\n{date}, {cores} cores of {cpu}, {kernel}, {rustc}, commit {commit}.");
    text
}

/// Pads the columns; the first is left-aligned, the others right.
fn aligned<const N: usize>(lines: &[[String; N]]) -> String {
    let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max();
    let widths: [usize; N] = std::array::from_fn(|column| width(column).unwrap_or(0).max(2));
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        for (column, (cell, width)) in line.iter().zip(widths).enumerate() {
            let cell = if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") };
            let _ = write!(text, "| {cell} ");
        }
        text.push_str("|\n");
        if number == 0 {
            for (column, width) in widths.iter().enumerate() {
                let _ = write!(text, "| {}{} ", "-".repeat(width - 1), if column == 0 { "-" } else { ":" });
            }
            text.push_str("|\n");
        }
    }
    text
}

/// A number with as many decimals as its size makes worth reading.
pub(crate) fn number(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.decimals$}");
    let short = if decimals > 0 { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    short.to_owned()
}

fn write(report: &Report, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("latest.json"), serde_json::to_string_pretty(report)? + "\n")?;
    std::fs::write(folder.join("latest.svg"), chart::svg(report))?;
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A report with every kind of row.
    pub(crate) fn sample() -> Report {
        let lines = [
            r#"{"section":"hash","rows":[
                {"name":"password changes at saturation","value":88.1,"unit":"changes/s","limit":93.0,"ratio":0.947,"aim":0.90,"aim_kind":"at least"},
                {"name":"goodput at 3x overload","value":74.2,"unit":"changes/s","limit":88.1,"ratio":0.842,"aim":0.90,"aim_kind":"at least"},
                {"name":"time-outs at 3x overload","value":0,"unit":"requests","aim":0,"aim_kind":"at most"},
                {"name":"refused with 503 at 3x overload","value":1932,"unit":"requests"}]}"#,
            r#"{"section":"latency","rows":[
                {"name":"commit to receipt, p50","value":3.2,"unit":"ms","aim":10,"aim_kind":"at most"},
                {"name":"commit to receipt, p99 & <worst>","value":71.5,"unit":"ms","aim":50,"aim_kind":"at most"}]}"#,
            r#"{"section":"store","note":"unknown keys are ignored","rows":[
                {"name":"durable writes, SQLite","value":16240.7,"unit":"writes/s","limit":18100,"ratio":0.897,"aim":0.7,"aim_kind":"at least"},
                {"name":"durable writes, PostgreSQL","value":29000,"unit":"writes/s","limit":21000,"ratio":1.38,"aim":0.7,"aim_kind":"at least"}]}"#,
        ];
        let machine = Machine {
            date: "2026-01-31".into(),
            cores: 2,
            cpu: "A processor".into(),
            kernel: "Linux 6.1".into(),
            rustc: "rustc 1.95.0".into(),
            commit: "0123456789".into(),
        };
        Report { machine, sections: lines.iter().map(|line| section_from(line).unwrap()).collect() }
    }

    #[test]
    fn only_sections_are_taken() {
        for line in ["", "warming up", "{\"section\":\"x\"}", "{\"rows\":[]}", "[1]", "{broken"] {
            assert!(section_from(line).is_none(), "{line}");
        }
        assert_eq!(sample().sections.len(), 3);
    }

    #[test]
    fn aims_are_held_against_the_ratio_or_else_the_value() {
        let met: Vec<_> =
            sample().sections.iter().flat_map(|s| &s.rows).map(|row| row.share_of_aim().map(|(_, met)| met)).collect();
        assert_eq!(met, [Some(true), Some(false), Some(true), None, Some(true), Some(false), Some(true), Some(true)]);
    }

    #[test]
    fn what_is_measured_alone_stands_beside_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        write(&sample(), folder.path()).unwrap();
        let alone = r#"{"section":"latency","rows":[{"name":"commit to receipt, p50","value":1,"unit":"ms"}]}"#;
        let new = r#"{"section":"nodes","rows":[{"name":"2","value":1,"unit":"deliveries/s"}]}"#;
        let sections = beside_earlier(folder.path(), [alone, new].map(|line| section_from(line).unwrap()).to_vec());
        let rows: Vec<_> = sections.iter().map(|section| (section.name.as_str(), section.rows.len())).collect();
        assert_eq!(rows, [("hash", 4), ("latency", 1), ("store", 2), ("nodes", 1)]);
    }

    #[test]
    fn a_missed_aim_is_marked_in_the_table() {
        let table = table(&sample());
        assert_eq!(table.matches("**missed**").count(), 2);
        assert!(table.contains(" at most 10 ms |"), "{table}");
        assert!(table.contains(" 16241 writes/s "), "{table}");
    }

    #[test]
    fn numbers_are_short() {
        let shown = [0.0, 0.9, 0.947, 3.2, 50.0, 71.46, 16240.7].map(number);
        assert_eq!(shown, ["0", "0.9", "0.947", "3.2", "50", "71.5", "16241"]);
    }
}
