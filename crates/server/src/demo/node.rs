//! A node of `demo --cluster`: this very program again, as `keyherald dev` on the database of all nodes.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::time::timeout;

use crate::complaint::Complaint;

/// Longest wait for a node that starts.
const START_WAIT: Duration = Duration::from_mins(1);
/// So many lines of its log are shown when it does not.
const LOG_LINES: usize = 5;
/// Short, so that nobody has to wait long for what a dead node had; what an attempt may take has to suit.
const SETTINGS: [(&str, &str); 8] = [
    ("KEYHERALD__NODE__LEASE", "5s"),
    ("KEYHERALD__STORE__CONNECTIONS", "6"),
    ("KEYHERALD__DELIVERY__ATTEMPT_TIMEOUT", "1s"),
    ("KEYHERALD__DELIVERY__CONNECT_TIMEOUT", "1s"),
    ("KEYHERALD__PROJECTS__0__PAYSAFE__WEBHOOK__TOTAL_TIMEOUT", "1s"),
    ("KEYHERALD__PROJECTS__0__PAYSAFE__WEBHOOK__CONNECT_TIMEOUT", "1s"),
    // Many passwords on one machine, and none of them anybody's.
    ("KEYHERALD__HASHING__MEMORY_KIB", "64"),
    ("KEYHERALD__LOG__LEVEL", "error"),
];

/// A running node. Dropping it kills it.
pub struct Node {
    child: Child,
    /// Its name.
    pub name: &'static str,
    /// Where it listens.
    pub url: String,
    /// Kept open: what it prints must go somewhere.
    _printed: BufReader<ChildStdout>,
}

impl Node {
    /// Starts one and waits until it is ready. All nodes have the same folder of keys.
    pub async fn start(name: &'static str, folder: &Path, store: &str) -> Result<Self, Complaint> {
        let cannot = |error: &std::io::Error| Complaint::because(&format!("node {name} cannot be started"), error);
        let log = folder.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log).map_err(|error| cannot(&error))?;
        let mut command = Command::new(program().map_err(|error| cannot(&error))?);
        command.args(["dev", "--listen", "127.0.0.1:0", "--no-mail", "--no-provider", "--store", store, "--data"]);
        command.arg(folder.join("keys")).env_clear().envs(SETTINGS).env("KEYHERALD__NODE__NAME", name);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(file);
        let mut child = command.spawn().map_err(|error| cannot(&error))?;
        let stdout = child.stdout.take();
        let first_line = tokio::task::spawn_blocking(move || {
            let mut printed = BufReader::new(stdout?);
            let mut line = String::new();
            printed.read_line(&mut line).ok()?;
            let url = serde_json::from_str::<Value>(&line).ok()?.get("url")?.as_str()?.to_owned();
            Some((url, printed))
        });
        if let Ok(Ok(Some((url, printed)))) = timeout(START_WAIT, first_line).await {
            return Ok(Self { child, name, url, _printed: printed });
        }
        // Ended already, or of no more use.
        let _ = child.kill();
        let _ = child.wait();
        Err(Complaint::new(format!("node {name} did not start{}", end_of(&log))))
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // SIGKILL: nothing of it has a chance to be tidy. Both fail only if it has ended and was waited for already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// This program. On Linux it may have been replaced on disk in the meantime; the link still leads to it.
fn program() -> std::io::Result<PathBuf> {
    let own = Path::new("/proc/self/exe");
    if own.exists() { Ok(own.to_owned()) } else { std::env::current_exe() }
}

fn end_of(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let last = lines.split_at(lines.len().saturating_sub(LOG_LINES)).1.join("\n    ");
    if last.is_empty() { " in time".to_owned() } else { format!("; it says:\n    {last}") }
}
