//! The services that some tests need: found on the machine, installed when asked, started privately, stopped.
//!
//! A test that needs one is `#[ignore]`d, has the service's word in its name, and finds the service by an environment
//! variable. Each run gets a service of its own, in a temporary folder, on a free port of 127.0.0.1; nothing that
//! already runs on the machine is used or touched.

mod postgres;

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::Result;
use crate::process::Kept;

/// Every service that tests may need. To add one: a file with its `start`, and an entry here.
pub(crate) static SERVICES: &[Service] = &[Service {
    name: "PostgreSQL",
    word: "postgres",
    variable: "KEYHERALD_TEST_POSTGRES",
    package: "postgresql",
    programs: &["initdb", "postgres", "pg_isready"],
    folders: postgres::folders,
    start: postgres::start,
}];

/// One kind of service.
pub(crate) struct Service {
    /// For people.
    pub(crate) name: &'static str,
    /// What the names of its tests contain.
    pub(crate) word: &'static str,
    /// The environment variable that tells its tests the address.
    pub(crate) variable: &'static str,
    /// The Debian package that brings its programs.
    package: &'static str,
    /// The programs that must lie in one folder.
    programs: &'static [&'static str],
    /// Where else than on PATH they may be, best first.
    folders: fn() -> Vec<PathBuf>,
    /// Starts one, given the folder of its programs.
    start: fn(&Path) -> Result<Running>,
}

/// A started service. Dropping it stops it and removes its folder.
pub(crate) struct Running {
    /// What its tests connect to.
    pub(crate) address: String,
    /// Which one it is, for people.
    pub(crate) version: String,
    // Dropped in this order: the process first.
    _process: Kept,
    _folder: TempDir,
}

impl Service {
    /// Finds it (installs it when `install` says so) and starts one.
    pub(crate) fn start(&self, install: bool) -> Result<Running> {
        let folder = match self.find() {
            Some(folder) => folder,
            None if install => {
                self.install()?;
                self.find()
                    .ok_or_else(|| format!("{} was installed but is not found: {}", self.package, self.wanted()))?
            }
            None => return Err(format!("not found: {} (`--install` installs it)", self.wanted()).into()),
        };
        (self.start)(&folder)
    }

    fn wanted(&self) -> String {
        format!("{} in one folder", self.programs.join(", "))
    }

    /// The first folder that has all programs, PATH first: whoever put one there wants that one.
    fn find(&self) -> Option<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        find_in(std::env::split_paths(&path).chain((self.folders)()), self.programs)
    }

    /// Installs its Debian package.
    fn install(&self) -> Result<()> {
        if !rustix::process::geteuid().is_root() {
            return Err(format!("only root can install {}: `apt-get install {}`", self.name, self.package).into());
        }
        println!("{} is missing and tests need it: installing the Debian package `{}`", self.name, self.package);
        apt_get(&["update"])?;
        apt_get(&["install", "--yes", "--no-install-recommends", self.package])
    }
}

fn find_in(mut folders: impl Iterator<Item = PathBuf>, programs: &[&str]) -> Option<PathBuf> {
    folders.find(|folder| programs.iter().all(|program| folder.join(program).is_file()))
}

fn apt_get(args: &[&str]) -> Result<()> {
    // Not kept: a package manager that is killed half way leaves a broken machine.
    let mut command = Command::new("apt-get");
    command.args(["-qq", "-o", "DPkg::Lock::Timeout=120"]).args(args);
    command.env("DEBIAN_FRONTEND", "noninteractive").stdin(std::process::Stdio::null());
    let status = command.status().map_err(|error| format!("apt-get does not run: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("apt-get {} failed: {status}", args.join(" ")).into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_counts_only_with_all_programs() {
        let place = tempfile::tempdir().unwrap();
        let (half, whole) = (place.path().join("half"), place.path().join("whole"));
        for (folder, programs) in [(&half, &["a"][..]), (&whole, &["a", "b"][..])] {
            std::fs::create_dir(folder).unwrap();
            for program in programs {
                std::fs::write(folder.join(program), "").unwrap();
            }
        }
        assert_eq!(find_in([half.clone(), whole.clone()].into_iter(), &["a", "b"]), Some(whole));
        assert_eq!(find_in([half].into_iter(), &["a", "b"]), None);
    }

    #[test]
    fn each_service_is_told_apart() {
        for (place, service) in SERVICES.iter().enumerate() {
            assert!(!service.word.is_empty() && service.variable.starts_with("KEYHERALD_TEST_"));
            assert!(SERVICES.iter().skip(place + 1).all(|other| !other.word.contains(service.word)));
        }
    }
}
