//! What the demo prints: for people, on a terminal of 80 columns or more.

use std::io::{IsTerminal, Write};
use std::path::Path;

use anstyle::{AnsiColor, Style};
use serde_json::Value;

use crate::dev::Development;

/// Whether to write in colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Colors {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Colors {
    fn wanted(self) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        }
    }
}

/// A line of the closing table.
pub struct Line {
    /// What was done.
    pub flow: &'static str,
    /// What arrived.
    pub message: String,
    /// Its sequence number.
    pub sequence: i64,
    /// Whether its signature fits.
    pub verified: bool,
    /// Milliseconds from the commit to the receipt.
    pub way_ms: f64,
}

/// The terminal.
pub struct Screen {
    strong: Style,
    faint: Style,
    good: Style,
    bad: Style,
    name: Style,
}

impl Screen {
    /// A screen with or without colours.
    pub fn new(colors: Colors) -> Self {
        let style = |style: Style| if colors.wanted() { style } else { Style::new() };
        Self {
            strong: style(Style::new().bold()),
            faint: style(Style::new().dimmed()),
            good: style(AnsiColor::Green.on_default()),
            bad: style(AnsiColor::Red.on_default().bold()),
            name: style(AnsiColor::Cyan.on_default()),
        }
    }

    fn line(text: &str) {
        // A closed pipe (`keyherald demo | head`) is no reason to fail.
        let _closed = writeln!(std::io::stdout(), "{text}");
    }

    fn paint(style: Style, text: &str) -> String {
        format!("{style}{text}{style:#}")
    }

    /// The head.
    pub fn title(&self, server: &str, folder: &Path, receiver: &str, provider: &str) {
        self.head(
            "Keyherald: a customer's password changes, and the message arrives",
            &[
                ("server", format!("{server}  (embedded store in {})", folder.display())),
                ("receiver", format!("{receiver}  (checks every signature)")),
                ("provider", format!("{provider}  (has some customers' passwords too, as Auth0 would)")),
            ],
        );
    }

    /// What it is about, and who takes part.
    pub fn head(&self, text: &str, parts: &[(&str, String)]) {
        Self::line("");
        Self::line(&Self::paint(self.strong, text));
        Self::line("");
        for (what, text) in parts {
            Self::line(&format!("  {}  {text}", Self::paint(self.faint, &format!("{what:<8}"))));
        }
    }

    /// A chapter of the story.
    pub fn chapter(&self, text: &str) {
        Self::line("");
        Self::line(&format!("{} {}", Self::paint(self.name, "●"), Self::paint(self.strong, text)));
    }

    /// An aside.
    pub fn aside(&self, text: &str) {
        Self::line(&format!("    {}", Self::paint(self.faint, text)));
    }

    /// A call and its answer in short.
    pub fn call(&self, method: &str, path: &str, status: u16, answer: &str) {
        let style = if status < 400 { self.good } else { self.name };
        let status = Self::paint(style, &status.to_string());
        Self::line(&format!("  → {method:<5} {path:<42} {status}  {}", Self::paint(self.faint, answer)));
    }

    /// A message as the receiver got it.
    pub fn message(&self, line: &Line, body: &Value) {
        let signature =
            if line.verified { Self::paint(self.good, "✓ signed") } else { Self::paint(self.bad, "✗ NOT SIGNED") };
        Self::line(&format!(
            "  ← {:<28} #{}  {signature}  {}",
            Self::paint(self.name, &line.message),
            line.sequence,
            Self::paint(self.faint, &format!("{:.1} ms after the commit", line.way_ms)),
        ));
        let lines = wrapped(&body.to_string());
        for line in lines.iter().take(LINES_MAX) {
            Self::line(&format!("      {}", Self::paint(self.faint, line)));
        }
        if lines.len() > LINES_MAX {
            Self::line(&format!("      {}", Self::paint(self.faint, "…")));
        }
    }

    /// What happened at a third place.
    pub fn seen(&self, text: &str) {
        Self::line(&format!("  {} {}", Self::paint(self.faint, "·"), Self::paint(self.faint, text)));
    }

    /// Something was not as expected.
    pub fn wrong(&self, text: &str) {
        Self::line(&format!("    {} {text}", Self::paint(self.bad, "✗ not as expected:")));
    }

    /// The closing table.
    pub fn table(&self, lines: &[Line], wrong: &[String]) {
        Self::line("");
        let head =
            format!("  {:<28} {:<30} {:>3}  {:<10} {:>16}", "flow", "message", "seq", "signature", "commit → receipt");
        Self::line(&Self::paint(self.strong, &head));
        for line in lines {
            let (style, word) = if line.verified { (self.good, "verified") } else { (self.bad, "WRONG") };
            Self::line(&format!(
                "  {:<28} {:<30} {:>3}  {} {:>13.1} ms",
                line.flow,
                line.message,
                line.sequence,
                Self::paint(style, &format!("{word:<10}")),
                line.way_ms
            ));
        }
        Self::line("");
        if wrong.is_empty() {
            let text = format!(
                "✓ {} messages, each once, in order, every signature verified; all answers as documented",
                lines.len()
            );
            Self::line(&format!("  {}", Self::paint(self.good, &text)));
        } else {
            Self::line(&format!(
                "  {}",
                Self::paint(self.bad, &format!("✗ {} things were not as expected:", wrong.len()))
            ));
            for text in wrong {
                Self::line(&format!("    - {text}"));
            }
        }
        Self::line("");
    }

    /// Figures, one a line.
    pub fn figures(&self, figures: &[(&str, usize)]) {
        Self::line("");
        for (what, figure) in figures {
            Self::line(&format!("  {} {figure:>6}", Self::paint(self.faint, &format!("{what:<28}"))));
        }
    }

    /// Whether it went well.
    pub fn verdict(&self, is_well: bool, text: &str) {
        let (style, mark) = if is_well { (self.good, "✓") } else { (self.bad, "✗") };
        Self::line("");
        Self::line(&format!("  {}", Self::paint(style, &format!("{mark} {text}"))));
        Self::line("");
    }

    /// The server stays: how to reach it.
    pub fn kept(&self, url: &str) {
        Self::line(&Self::paint(
            self.strong,
            "  The server stays until you press Ctrl-C. Its credentials are for development only:",
        ));
        Self::line(&format!("    url            {url}"));
        Self::line(&format!("    projectKey     {}", Development::PROJECT));
        Self::line(&format!("    clientId       {}", Development::CLIENT_ID));
        Self::line(&format!("    clientSecret   {}", Development::CLIENT_SECRET));
        Self::line("");
    }
}

/// Lines of a message that are shown.
const LINES_MAX: usize = 6;
/// Longest line of a message, where a field is not longer.
const WIDTH: usize = 96;

/// JSON in lines that break before a field.
fn wrapped(json: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for field in json.split_inclusive(',') {
        match lines.last_mut() {
            Some(line) if line.len() + field.len() <= WIDTH => line.push_str(field),
            _ => lines.push(field.to_owned()),
        }
    }
    lines
}
