//! The journey of the official TypeScript SDK (`sdk/typescript`) through a development server of its own.
//!
//! It needs Node.js, npm, and once the npm registry: what it depends on is pinned by its lock file and installed into
//! its own `node_modules`. The server runs on a free port of 127.0.0.1 with its data in a temporary folder.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tempfile::TempDir;

use crate::process::{Keep, Kept};
use crate::test::cargo;
use crate::tool::{Packages, Tool};
use crate::{Result, root};

/// Its name among the tests.
pub(crate) const TEST: &str = "sdk_journey";

/// What the journey prints last.
const CLOSING: &str = "SDK journey: ";
/// The registry may be slow; one that is not there says so at once.
const INSTALL_WAIT: Duration = Duration::from_mins(5);
/// The tests have built the server before; if not, building it is part of the wait.
const START_WAIT: Duration = Duration::from_mins(15);
/// Hashes that may wait for a thread: few, so that the journey's crowd meets a busy server.
const HASHES_WAITING_MAX: &str = "4";

static NODE: Tool = Tool {
    name: "Node.js",
    packages: Packages::Debian(&["nodejs", "npm"]),
    programs: &["node", "npm"],
    folders: Vec::new,
};

/// The SDK, ready to walk.
pub(crate) struct Sdk {
    /// Where `node` and `npm` are.
    programs: PathBuf,
    /// Where the journey is.
    journey: PathBuf,
}

impl Sdk {
    /// Finds what it needs, and installs it when `install` says so.
    pub(crate) fn ready(install: bool) -> Result<Self> {
        let sdk = Self { programs: NODE.folder(install)?, journey: root().join("sdk/typescript") };
        if !sdk.is_installed()? {
            if !install {
                return Err("its packages are not in sdk/typescript/node_modules (`--install` installs them)".into());
            }
            sdk.install()?;
        }
        Ok(sdk)
    }

    /// What the lock file said when all was installed.
    fn stamp(&self) -> PathBuf {
        self.journey.join("node_modules/.installed")
    }

    fn lock(&self) -> Result<Vec<u8>> {
        Ok(fs::read(self.journey.join("package-lock.json"))?)
    }

    fn is_installed(&self) -> Result<bool> {
        let lock = self.lock()?;
        Ok(fs::read(self.stamp()).is_ok_and(|installed| installed == lock))
    }

    fn install(&self) -> Result<()> {
        println!("installing the SDK's packages, as sdk/typescript/package-lock.json pins them");
        // Scripts of packages are not run: these need none.
        let keep = Keep::new(self.programs.join("npm")).args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
        let npm = Kept::start(&keep, |command| {
            command.current_dir(&self.journey);
        })?;
        match npm.wait(INSTALL_WAIT)? {
            Some(status) if status.success() => Ok(fs::write(self.stamp(), self.lock()?)?),
            Some(status) => Err(format!("npm ci failed ({status})").into()),
            None => Err("npm ci did not finish in time".into()),
        }
    }

    /// Walks, and returns the closing line. An error if anything differs from the contract; the journey has said what.
    pub(crate) fn walk(&self) -> Result<String> {
        let server = Server::start()?;
        println!("keyherald dev at {}", server.url);
        let keep = Keep::new(self.programs.join("node")).arg("journey.js").arg(&server.url);
        let journey = Kept::start(&keep, |command| {
            command.current_dir(&self.journey).stdout(Stdio::piped());
        })?;
        let mut closing = None;
        let status = journey.lines(|line| {
            println!("{line}");
            closing = line.starts_with(CLOSING).then(|| line.to_owned()).or(closing.take());
        })?;
        match (status.success(), closing) {
            (true, Some(line)) => Ok(line),
            (true, None) => Err("the journey ended without its closing line".into()),
            (false, _) => Err(format!("the journey found differences ({status}){}", server.troubles()).into()),
        }
    }
}

/// A development server. Dropping it stops it and removes its folder.
struct Server {
    url: String,
    // Dropped in this order: the process first.
    _process: Kept,
    folder: TempDir,
}

impl Server {
    fn start() -> Result<Self> {
        /// What the server says when it is ready.
        #[derive(Deserialize)]
        struct Ready {
            url: String,
        }
        let folder = tempfile::Builder::new().prefix("keyherald-sdk-").tempdir()?;
        let log = File::create(log_in(folder.path()))?;
        let keep = Keep::new(cargo())
            .args(["run", "--quiet", "--bin", "keyherald", "--", "dev", "--listen", "127.0.0.1:0", "--data"])
            .arg(folder.path().join("data"))
            .remove(folder.path());
        let mut process = Kept::start(&keep, |command| {
            command.env("KEYHERALD__HASHING__QUEUE_MAX", HASHES_WAITING_MAX).env("KEYHERALD__LOG__LEVEL", "warn");
            command.env_remove("KEYHERALD_DEV_STORE").current_dir(root()).stdout(Stdio::piped()).stderr(log);
        })?;
        let said = process.first_line(START_WAIT)?;
        match said.as_deref().map(serde_json::from_str::<Ready>) {
            Some(Ok(Ready { url })) => Ok(Self { url, _process: process, folder }),
            Some(Err(error)) => Err(format!("keyherald dev did not say where it is: {error}").into()),
            None => Err(format!("keyherald dev did not start{}", log_end(folder.path())).into()),
        }
    }

    /// The end of its log, if there is any.
    fn troubles(&self) -> String {
        log_end(self.folder.path())
    }
}

fn log_in(folder: &Path) -> PathBuf {
    folder.join("log")
}

fn log_end(folder: &Path) -> String {
    let log = fs::read_to_string(log_in(folder)).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    match lines.split_at(lines.len().saturating_sub(20)).1 {
        [] => String::new(),
        last => format!("; the server's log ends:\n    {}", last.join("\n    ")),
    }
}
