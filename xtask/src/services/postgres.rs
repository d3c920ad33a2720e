//! A private PostgreSQL: durable as in production (fsync on), open to 127.0.0.1 only, trusting whoever connects.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::Running;
use crate::Result;
use crate::process::{Keep, Kept, Stop, User};

/// `initdb` takes about a second; a loaded machine may take much longer.
const INITDB_WAIT: Duration = Duration::from_mins(2);
/// The same for the first answer.
const START_WAIT: Duration = Duration::from_mins(1);
/// Somebody else may take the free port between our look and PostgreSQL's bind.
const PORT_TRIES: u32 = 3;
/// Seconds for the fast shutdown, which writes a checkpoint.
const STOP_GRACE_S: u64 = 30;

/// Where Debian keeps the versions, newest first.
pub(super) fn folders() -> Vec<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    versions.sort_by(|one, other| other.cmp(one));
    versions.into_iter().map(|(_, folder)| folder).collect()
}

/// Makes a cluster in a temporary folder and starts its server.
pub(super) fn start(programs: &Path) -> Result<Running> {
    let place = tempfile::Builder::new().prefix("keyherald-postgres-").tempdir()?;
    let user = unprivileged()?;
    if let Some(User { uid, gid }) = user {
        chown(place.path(), Some(uid), Some(gid))?;
    }
    let cluster = Cluster { programs, place, user };
    cluster.init()?;
    for _ in 0..PORT_TRIES {
        if let Some((port, process)) = cluster.serve()? {
            let address = format!("postgres://postgres@127.0.0.1:{port}/postgres");
            return Ok(Running { address, version: cluster.version()?, _process: process, _folder: cluster.place });
        }
    }
    Err(cluster.told("the server ended before it answered"))
}

struct Cluster<'a> {
    programs: &'a Path,
    place: TempDir,
    user: Option<User>,
}

impl Cluster<'_> {
    fn init(&self) -> Result<()> {
        let data = self.place.path().join("data");
        let keep = Keep::new(self.programs.join("initdb"))
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"])
            .args(["--no-instructions", "--pgdata"])
            .args([data]);
        let initdb = self.launch(keep)?;
        match initdb.wait(INITDB_WAIT)? {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(self.told(&format!("initdb failed ({status})"))),
            None => Err(self.told("initdb did not finish in time")),
        }
    }

    /// Starts the server on a free port and waits until it answers. `None`: it ended before, maybe for the port.
    fn serve(&self) -> Result<Option<(u16, Kept)>> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let keep = Keep::new(self.programs.join("postgres"))
            .args(["-D".into(), self.place.path().join("data")])
            .args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="])
            .args(["-c", &format!("port={port}"), "-c", "max_connections=400", "-c", "fsync=on"])
            .stop(Stop::Int, STOP_GRACE_S);
        let process = self.launch(keep)?;
        let begin = Instant::now();
        while !self.answers(port)? {
            if process.wait(Duration::from_millis(100))?.is_some() {
                return Ok(None);
            }
            if begin.elapsed() > START_WAIT {
                return Err(self.told("the server did not answer in time"));
            }
        }
        Ok(Some((port, process)))
    }

    /// Starts a program of this cluster; what it says goes to the log.
    fn launch(&self, keep: Keep) -> Result<Kept> {
        let log = File::options().create(true).append(true).open(self.log())?;
        let errors = log.try_clone()?;
        Kept::start(&keep.user(self.user).remove(self.place.path()), |command| {
            // The folder is one that the other user may enter; the locale fixes the language of the log.
            command.current_dir(self.place.path()).env("LC_ALL", "C.UTF-8").stdout(log).stderr(errors);
        })
    }

    fn answers(&self, port: u16) -> Result<bool> {
        let mut ready = Command::new(self.programs.join("pg_isready"));
        ready.args(["--host=127.0.0.1", "--username=postgres", "--timeout=3", &format!("--port={port}")]);
        Ok(ready.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?.success())
    }

    fn version(&self) -> Result<String> {
        let said = Command::new(self.programs.join("postgres")).arg("--version").output()?.stdout;
        Ok(String::from_utf8_lossy(&said).trim().to_owned())
    }

    fn log(&self) -> PathBuf {
        self.place.path().join("log")
    }

    /// An error that ends with what PostgreSQL said last.
    fn told(&self, text: &str) -> crate::Fault {
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines.split_at(lines.len().saturating_sub(20)).1.join("\n    ");
        format!("{text}; its log ends:\n    {last}").into()
    }
}

/// PostgreSQL refuses to run as root: root runs it as `postgres`, or as `nobody` where that user does not exist.
fn unprivileged() -> Result<Option<User>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd")?;
    let user = user_named(&users, "postgres").or_else(|| user_named(&users, "nobody"));
    user.map(Some).ok_or_else(|| "PostgreSQL refuses root, and there is neither a user `postgres` nor `nobody`".into())
}

fn user_named(users: &str, name: &str) -> Option<User> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then_some(())?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(User { uid, gid })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let users = "postgresql:x:1:2::/:/bin/sh\npostgres:x:103:111:PostgreSQL:/var/lib/postgresql:/bin/bash\n";
        let user = user_named(users, "postgres").unwrap();
        assert_eq!((user.uid, user.gid), (103, 111));
        assert!(user_named(users, "nobody").is_none());
    }
}
