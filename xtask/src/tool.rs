//! Programs that tests need and the machine may not have: found, or installed when asked.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{Result, root};

/// Programs, and where they come from.
pub(crate) struct Tool {
    /// For people.
    pub(crate) name: &'static str,
    /// The packages that bring them.
    pub(crate) packages: Packages,
    /// The programs, which must lie in one folder.
    pub(crate) programs: &'static [&'static str],
    /// Where else than on PATH they may be, best first.
    pub(crate) folders: fn() -> Vec<PathBuf>,
}

/// Where packages come from.
#[derive(Clone, Copy)]
pub(crate) enum Packages {
    /// Debian, for the whole machine.
    Debian(&'static [&'static str]),
    /// PyPI, into an environment of their own in this folder of the repository.
    Python(&'static str, &'static [&'static str]),
}

impl Packages {
    fn names(self) -> String {
        let (Self::Debian(names) | Self::Python(_, names)) = self;
        names.join(" ")
    }
}

impl Tool {
    /// The folder of its programs. Missing ones are installed when `install` says so.
    pub(crate) fn folder(&self, install: bool) -> Result<PathBuf> {
        if let Some(folder) = self.find() {
            return Ok(folder);
        }
        if !install {
            return Err(format!("not found: {} (`--install` installs it)", self.wanted()).into());
        }
        self.install()?;
        let missing = || format!("{} was installed but is not found: {}", self.packages.names(), self.wanted());
        Ok(self.find().ok_or_else(missing)?)
    }

    fn wanted(&self) -> String {
        format!("{} in one folder", self.programs.join(", "))
    }

    /// The first folder that has all programs, PATH first: whoever put one there wants that one.
    fn find(&self) -> Option<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        find_in(std::env::split_paths(&path).chain((self.folders)()), self.programs)
    }

    /// Installs its packages.
    fn install(&self) -> Result<()> {
        let packages = self.packages.names();
        let names = match self.packages {
            Packages::Debian(names) => names,
            Packages::Python(folder, names) => {
                println!("{} is missing and tests need it: installing from PyPI into {folder}: {packages}", self.name);
                return python(&root().join(folder), names);
            }
        };
        if !rustix::process::geteuid().is_root() {
            return Err(format!("only root can install {}: `apt-get install {packages}`", self.name).into());
        }
        println!("{} is missing and tests need it: installing from Debian: {packages}", self.name);
        apt_get(&["update"])?;
        apt_get(&[&["install", "--yes", "--no-install-recommends"], names].concat())
    }
}

fn find_in(mut folders: impl Iterator<Item = PathBuf>, programs: &[&str]) -> Option<PathBuf> {
    folders.find(|folder| programs.iter().all(|program| folder.join(program).is_file()))
}

/// Installs Python packages into an environment of their own.
fn python(folder: &Path, names: &[&str]) -> Result<()> {
    run(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
    run(Command::new(folder.join("bin/python")).args(["-m", "pip", "install", "--quiet"]).args(names))
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).status().map_err(|error| format!("{command:?} does not run: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} failed: {status}").into()) }
}

fn apt_get(args: &[&str]) -> Result<()> {
    // Not kept: a package manager that is killed half way leaves a broken machine.
    let mut command = Command::new("apt-get");
    command.args(["-qq", "-o", "DPkg::Lock::Timeout=120"]).args(args);
    command.env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
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
}
