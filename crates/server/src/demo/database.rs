//! A PostgreSQL of one's own: made in a temporary folder from the programs that this machine has, reached by a socket in
//! that folder, and gone with the value that stands for it, or with the process, however that ends.
//!
//! For `demo --cluster`, and for tests that stop their database. It trusts whoever may enter its folder: nothing for data
//! that matters.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::time::sleep;

use crate::complaint::Complaint;

/// `initdb` takes a second or two; a loaded machine may take much longer.
const INIT_WAIT: Duration = Duration::from_mins(2);
/// Longest wait for a server that starts; after a crash it reads its log first.
const START_WAIT: Duration = Duration::from_mins(1);
/// Longest wait for one that ends.
const STOP_WAIT: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// So many lines of its log are shown when it does not start.
const LOG_LINES: usize = 10;

/// Where packages put programs that are not in `PATH`: folders with a folder per version in them.
const PLACES: [(&str, &str); 4] = [
    ("/usr/lib/postgresql", ""), // Debian, Ubuntu
    ("/usr", "pgsql-"),          // the packages of postgresql.org for Red Hat's systems
    ("/opt/homebrew/opt", "postgresql@"),
    ("/usr/local/opt", "postgresql@"),
];

/// Runs the server, and ends it with the signal that is written on standard input. If that is closed instead, whoever
/// started it is gone: then the folder goes too.
const KEEPER: &str = r#"
"$@" & server=$!
if read -r signal; then
    kill -s "$signal" "$server"; wait "$server"
else
    kill -s INT "$server"; wait "$server"; rm -rf -- "$0"
fi"#;

/// How a server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// In order; whoever is connected is sent away, and what has not committed is undone.
    Fast,
    /// At once, as if its machine had lost power: at its next start it reads its log.
    Immediate,
}

/// A running server.
pub struct Database {
    programs: PathBuf,
    folder: TempDir,
    user: Option<User>,
    keeper: Option<Child>,
}

#[derive(Clone, Copy)]
struct User {
    uid: u32,
    gid: u32,
}

impl Database {
    /// Makes one and starts it.
    pub async fn start() -> Result<Self, Complaint> {
        let mut database = Self::empty()?;
        database.init().await?;
        database.serve().await?;
        Ok(database)
    }

    /// Makes a standby of it, which follows what is done here, and starts that. It can be read, in its own folder.
    pub async fn standby(&self) -> Result<Self, Complaint> {
        let mut standby = Self::empty()?;
        // What is in `PATH` may be links to some of the programs.
        let postgres = self.programs.join("postgres").canonicalize().map_err(|error| unusable(&error))?;
        let mut command = standby.command(postgres.with_file_name("pg_basebackup"));
        command.args(["--username=postgres", "--write-recovery-conf", "--checkpoint=fast", "--host"]);
        command.arg(self.folder.path()).arg("--pgdata").arg(standby.data());
        standby.make(&mut command, "pg_basebackup failed").await?;
        standby.serve().await?;
        Ok(standby)
    }

    /// A folder for one.
    fn empty() -> Result<Self, Complaint> {
        let programs = programs().ok_or_else(absent)?;
        let user = unprivileged()?;
        let folder = tempfile::Builder::new().prefix("keyherald-postgres-").tempdir().map_err(|e| unusable(&e))?;
        if let Some(User { uid, gid }) = user {
            chown(folder.path(), Some(uid), Some(gid)).map_err(|e| unusable(&e))?;
        }
        Ok(Self { programs, folder, user, keeper: None })
    }

    /// Its URL, for its superuser.
    pub fn url(&self) -> String {
        let folder = self.folder.path().as_os_str().as_encoded_bytes();
        let place: String = url::form_urlencoded::byte_serialize(folder).collect();
        format!("postgres://postgres@{}/postgres", place.replace('+', "%20"))
    }

    /// Ends it. What was committed is kept.
    pub async fn stop(&mut self, how: Stop) -> Result<(), Complaint> {
        let Some(mut keeper) = self.keeper.take() else { return Ok(()) };
        let signal = match how {
            Stop::Fast => "INT",
            Stop::Immediate => "QUIT",
        };
        if let Some(mut ask) = keeper.stdin.take() {
            writeln!(ask, "{signal}").map_err(|error| unusable(&error))?;
        }
        match ended(&mut keeper, STOP_WAIT).await? {
            Some(_) => Ok(()),
            None => Err(self.told("PostgreSQL did not end in time")),
        }
    }

    /// Starts it again after a stop. Does nothing while it runs.
    pub async fn serve(&mut self) -> Result<(), Complaint> {
        if self.keeper.is_some() {
            return Ok(());
        }
        let (data, place) = (self.data(), self.folder.path());
        let mut command = self.command("sh");
        command.args(["-c", KEEPER]).arg(place).arg(self.programs.join("postgres")).arg("-D").arg(&data);
        command.args(["-c", "listen_addresses=", "-c", "max_connections=200", "-c"]);
        command.arg(format!("unix_socket_directories={}", place.display()));
        let keeper = command.stdin(Stdio::piped()).spawn().map_err(|error| unusable(&error))?;
        self.keeper = Some(keeper);
        let begun = Instant::now();
        // Its last line is the server's state; a server that crashed has left one behind, which the next one replaces.
        let state = data.join("postmaster.pid");
        let was = std::fs::read(&state).unwrap_or_default();
        let serves = |now: &[u8]| [&b"ready"[..], b"standby"].iter().any(|state| now.trim_ascii_end().ends_with(state));
        while !std::fs::read(&state).is_ok_and(|now| now != was && serves(&now)) {
            if begun.elapsed() > START_WAIT {
                return Err(self.told("PostgreSQL did not start in time"));
            }
            sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    async fn init(&self) -> Result<(), Complaint> {
        let mut command = self.command(self.programs.join("initdb"));
        command.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--pgdata"]);
        self.make(command.arg(self.data()), "initdb failed").await
    }

    /// Has a program make the files, and waits for its end.
    async fn make(&self, command: &mut Command, failed: &str) -> Result<(), Complaint> {
        let mut maker = command.stdin(Stdio::null()).spawn().map_err(|error| unusable(&error))?;
        match ended(&mut maker, INIT_WAIT).await? {
            Some(status) if status.success() => Ok(()),
            _ => {
                // Ended already, or of no more use.
                let _ = maker.kill();
                let _ = maker.wait();
                Err(self.told(failed))
            }
        }
    }

    /// A program, run as who may run it, whose words go to the log.
    fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("LC_ALL", "C").env("PATH", std::env::var_os("PATH").unwrap_or_default());
        // A group of its own: Ctrl-C is for whoever started it, and reaches this by the keeper.
        command.current_dir(self.folder.path()).process_group(0);
        if let Some(User { uid, gid }) = self.user {
            command.uid(uid).gid(gid);
        }
        let log =
            || File::options().create(true).append(true).open(self.log()).map_or_else(|_| Stdio::null(), Stdio::from);
        command.stdout(log()).stderr(log());
        command
    }

    /// Where its files are.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// What went wrong, and what PostgreSQL said last.
    fn told(&self, text: &str) -> Complaint {
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines.split_at(lines.len().saturating_sub(LOG_LINES)).1.join("\n    ");
        Complaint::new(format!("{text}; its log ends with:\n    {last}"))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            // Its end of the pipe tells the keeper. It ends in its own time, bounded by a fast shutdown.
            drop(keeper.stdin.take());
            let _ = keeper.wait();
        }
    }
}

async fn ended(child: &mut Child, longest: Duration) -> Result<Option<ExitStatus>, Complaint> {
    let begun = Instant::now();
    while begun.elapsed() < longest {
        if let Some(status) = child.try_wait().map_err(|error| unusable(&error))? {
            return Ok(Some(status));
        }
        sleep(LOOK_EVERY).await;
    }
    Ok(None)
}

fn unusable(error: &std::io::Error) -> Complaint {
    Complaint::because("a PostgreSQL of our own cannot be run", error)
}

fn absent() -> Complaint {
    Complaint::new("PostgreSQL is not on this machine: neither PATH nor the usual places have `initdb` and `postgres`").hint(
        "install it (`apt install postgresql`, `dnf install postgresql-server`, `brew install postgresql`) or add the \
         folder of its programs to PATH; nothing needs to be set up or started",
    )
}

/// The folder of PostgreSQL's programs: in `PATH`, or the newest version in the usual places.
fn programs() -> Option<PathBuf> {
    let has_all = |folder: &PathBuf| ["initdb", "postgres"].iter().all(|program| folder.join(program).is_file());
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).find(has_all).or_else(|| {
        let mut versions: Vec<(u32, PathBuf)> =
            PLACES.iter().flat_map(|(place, prefix)| within(place, prefix)).collect();
        versions.sort_by(|one, other| other.cmp(one));
        versions.into_iter().map(|(_, folder)| folder).find(has_all)
    })
}

fn within(place: &str, prefix: &str) -> Vec<(u32, PathBuf)> {
    let entries = std::fs::read_dir(Path::new(place)).into_iter().flatten().flatten();
    let version = |name: &OsStr| name.to_str()?.strip_prefix(prefix)?.parse().ok();
    entries.filter_map(|entry| Some((version(&entry.file_name())?, entry.path().join("bin")))).collect()
}

/// PostgreSQL refuses to run as root: for root it runs as `postgres`, or as `nobody` where that user does not exist.
fn unprivileged() -> Result<Option<User>, Complaint> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd").map_err(|error| unusable(&error))?;
    let user = ["postgres", "nobody"].iter().find_map(|name| user_named(&users, name));
    let why = "PostgreSQL refuses to be run by root, and there is neither a user `postgres` nor `nobody` to run it as";
    user.map(Some).ok_or_else(|| Complaint::new(why).hint("run this as another user"))
}

fn user_named(users: &str, name: &str) -> Option<User> {
    let line = users.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let mut fields = line.split(':').skip(1);
    Some(User { uid: fields.next()?.parse().ok()?, gid: fields.next()?.parse().ok()? })
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

    #[test]
    fn the_text_for_a_machine_without_says_how_to_get_it() {
        let text = absent().to_string();
        assert!(text.contains("apt install postgresql") && text.contains("PATH"), "{text}");
    }
}
