//! Programs in JavaScript that walk through a development server: their packages, as their lock files pin them, and the
//! server of their own that they walk through.
//!
//! They need Node.js, npm, and once the npm registry. The server runs on a free port of 127.0.0.1 with its data in a
//! temporary folder.

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

/// The registry may be slow; one that is not there says so at once.
const INSTALL_WAIT: Duration = Duration::from_mins(5);
/// The tests have built the server before; if not, building it is part of the wait.
const START_WAIT: Duration = Duration::from_mins(15);

static NODE: Tool = Tool {
    name: "Node.js",
    packages: Packages::Debian(&["nodejs", "npm"]),
    programs: &["node", "npm"],
    folders: Vec::new,
};

/// A program, ready to walk.
pub(crate) struct Walker {
    /// Where `node` and `npm` are.
    programs: PathBuf,
    /// Where it is.
    folder: PathBuf,
}

impl Walker {
    /// Finds what the program in this folder of the repository needs, and installs it when `install` says so.
    pub(crate) fn ready(folder: &str, install: bool) -> Result<Self> {
        let walker = Self { programs: NODE.folder(install)?, folder: root().join(folder) };
        if !walker.is_installed()? {
            if !install {
                return Err(format!("its packages are not in {folder}/node_modules (`--install` installs them)").into());
            }
            println!("installing packages, as {folder}/package-lock.json pins them");
            walker.install()?;
        }
        Ok(walker)
    }

    /// What the lock file said when all was installed.
    fn stamp(&self) -> PathBuf {
        self.folder.join("node_modules/.installed")
    }

    fn lock(&self) -> Result<Vec<u8>> {
        Ok(fs::read(self.folder.join("package-lock.json"))?)
    }

    fn is_installed(&self) -> Result<bool> {
        let lock = self.lock()?;
        Ok(fs::read(self.stamp()).is_ok_and(|installed| installed == lock))
    }

    fn install(&self) -> Result<()> {
        // Scripts of packages are not run: these need none.
        let keep = Keep::new(self.programs.join("npm")).args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
        let npm = Kept::start(&keep, |command| {
            command.current_dir(&self.folder);
        })?;
        match npm.wait(INSTALL_WAIT)? {
            Some(status) if status.success() => Ok(fs::write(self.stamp(), self.lock()?)?),
            Some(status) => Err(format!("npm ci failed ({status})").into()),
            None => Err("npm ci did not finish in time".into()),
        }
    }

    /// Runs `node {script} {server's address} {args}`, and returns the last line that begins with `closing`. An error if
    /// the program finds differences; it has said which.
    pub(crate) fn walk(&self, script: &str, args: &[String], server: &Server, closing: &str) -> Result<String> {
        println!("keyherald dev at {}", server.url);
        let keep = Keep::new(self.programs.join("node")).arg(script).arg(&server.url).args(args);
        let program = Kept::start(&keep, |command| {
            command.current_dir(&self.folder).stdout(Stdio::piped());
        })?;
        let mut last = None;
        let status = program.lines(|line| {
            println!("{line}");
            last = line.starts_with(closing).then(|| line.to_owned()).or(last.take());
        })?;
        match (status.success(), last) {
            (true, Some(line)) => Ok(line),
            (true, None) => Err(format!("{script} ended without its closing line").into()),
            (false, _) => Err(format!("{script} found differences ({status}){}", server.troubles()).into()),
        }
    }
}

/// A development server. Dropping it stops it and removes its folder.
pub(crate) struct Server {
    url: String,
    // Dropped in this order: the process first.
    _process: Kept,
    folder: TempDir,
}

impl Server {
    /// Starts one with these variables of the environment.
    pub(crate) fn start(variables: &[(&str, &str)]) -> Result<Self> {
        /// What the server says when it is ready.
        #[derive(Deserialize)]
        struct Ready {
            url: String,
        }
        let folder = tempfile::Builder::new().prefix("keyherald-walk-").tempdir()?;
        let log = File::create(log_in(folder.path()))?;
        let keep = Keep::new(cargo())
            .args(["run", "--quiet", "--bin", "keyherald", "--", "dev", "--listen", &free_address()?, "--data"])
            .arg(folder.path().join("data"))
            .remove(folder.path());
        let mut process = Kept::start(&keep, |command| {
            command.envs(variables.iter().copied()).env("KEYHERALD__LOG__LEVEL", "warn");
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

/// An address that nobody listens on: told to the server beforehand, it stands in the links of its mail.
fn free_address() -> Result<String> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
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
