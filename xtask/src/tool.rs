//! Programs that tests need and the machine may not have: found, or installed when asked.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::Result;

/// Programs, and where they come from.
pub(crate) struct Tool {
    /// For people.
    pub(crate) name: &'static str,
    /// The Debian packages that bring them.
    pub(crate) packages: &'static [&'static str],
    /// The programs, which must lie in one folder.
    pub(crate) programs: &'static [&'static str],
    /// Where else than on PATH they may be, best first.
    pub(crate) folders: fn() -> Vec<PathBuf>,
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
        let missing = || format!("{} was installed but is not found: {}", self.packages.join(" "), self.wanted());
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

    /// Installs its Debian packages.
    fn install(&self) -> Result<()> {
        let packages = self.packages.join(" ");
        if !rustix::process::geteuid().is_root() {
            return Err(format!("only root can install {}: `apt-get install {packages}`", self.name).into());
        }
        println!("{} is missing and tests need it: installing from Debian: {packages}", self.name);
        apt_get(&["update"])?;
        apt_get(&[&["install", "--yes", "--no-install-recommends"], self.packages].concat())
    }
}

fn find_in(mut folders: impl Iterator<Item = PathBuf>, programs: &[&str]) -> Option<PathBuf> {
    folders.find(|folder| programs.iter().all(|program| folder.join(program).is_file()))
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
