//! Child processes that do not outlive xtask.
//!
//! Every child runs under a *keeper*: this program again, as `xtask keep`, in a process group of its own. The keeper's
//! standard input is a pipe whose other end only xtask holds. However xtask ends (done, an error, a panic, Ctrl-C,
//! `kill -9`), the pipe closes; the keeper then stops its child and the child's group within a bounded time, and
//! removes the child's folder. A signal handler would cover fewer of these cases, and needs a crate.
//!
//! What it cannot do: a keeper that is itself killed with SIGKILL leaves its child running.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, ErrorKind};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use crate::{Result, root};

/// After SIGKILL a process is gone as soon as the kernel gets to it; this is how long we look.
const KILL_WAIT: Duration = Duration::from_secs(5);

/// How a child is asked to stop before it is killed.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum Stop {
    /// SIGINT: PostgreSQL's fast shutdown.
    Int,
    /// SIGTERM: what everything else understands.
    Term,
}

/// A command and how it is kept: both the description that xtask makes and the arguments of `xtask keep`.
#[derive(clap::Args)]
pub(crate) struct Keep {
    /// The signal that asks the child to stop.
    #[arg(long)]
    stop: Stop,
    /// Seconds between asking and killing.
    #[arg(long)]
    grace_s: u64,
    /// The user and group to run as (root only), as `uid:gid`.
    #[arg(long, value_parser = user_from)]
    user: Option<User>,
    /// A folder to remove after the child was stopped. One that ends by itself leaves it alone.
    #[arg(long)]
    remove: Option<PathBuf>,
    /// The command and its arguments.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// A user and group id.
#[derive(Clone, Copy)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

fn user_from(text: &str) -> std::result::Result<User, String> {
    let ids = text.split_once(':').and_then(|(uid, gid)| Some((uid.parse().ok()?, gid.parse().ok()?)));
    ids.map(|(uid, gid)| User { uid, gid }).ok_or_else(|| format!("`{text}` is not uid:gid"))
}

impl Keep {
    /// Keeps `program`: SIGTERM, and five seconds until SIGKILL.
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        let command = vec![program.as_ref().to_owned()];
        Self { stop: Stop::Term, grace_s: 5, user: None, remove: None, command }
    }

    /// Adds arguments.
    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Adds an argument.
    pub(crate) fn arg(self, arg: impl AsRef<OsStr>) -> Self {
        self.args([arg])
    }

    /// Asks with `stop`, and waits `grace_s` seconds before killing.
    pub(crate) fn stop(self, stop: Stop, grace_s: u64) -> Self {
        Self { stop, grace_s, ..self }
    }

    /// Runs as `user`, when there is one.
    pub(crate) fn user(self, user: Option<User>) -> Self {
        Self { user, ..self }
    }

    /// Removes `folder` after the child was stopped.
    pub(crate) fn remove(self, folder: &Path) -> Self {
        Self { remove: Some(folder.to_owned()), ..self }
    }

    /// The keeper as a command.
    fn keeper(&self) -> Result<Command> {
        // On Linux the running program may have been replaced on disk by a build in the meantime; this link still
        // leads to it.
        let own = Path::new("/proc/self/exe");
        let mut keeper = Command::new(if own.exists() { own.to_owned() } else { std::env::current_exe()? });
        keeper.arg0("xtask").arg("keep"); // what `ps` shows
        keeper.args(["--stop", if matches!(self.stop, Stop::Int) { "int" } else { "term" }]);
        keeper.args(["--grace-s", &self.grace_s.to_string()]);
        if let Some(User { uid, gid }) = self.user {
            keeper.args(["--user", &format!("{uid}:{gid}")]);
        }
        if let Some(folder) = &self.remove {
            keeper.arg("--remove").arg(folder);
        }
        keeper.arg("--").args(&self.command);
        Ok(keeper)
    }

    /// What `xtask keep` does: runs the command until it ends or standard input closes. Ends with the command's code.
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let (program, args) = self.command.split_first().ok_or("no command to keep")?;
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).process_group(0);
        if let Some(User { uid, gid }) = self.user {
            command.uid(uid).gid(gid); // as root this drops the supplementary groups too
        }
        let mut child = command.spawn().map_err(|error| format!("{}: {error}", program.display()))?;
        let group = Pid::from_child(&child);

        let (events, inbox) = channel();
        let input_closed = events.clone();
        thread::spawn(move || {
            drop(std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
            input_closed.send(Event::InputClosed)
        });
        thread::spawn(move || events.send(Event::Exited(child.wait())));

        let ended = inbox.recv()?;
        if matches!(ended, Event::InputClosed) {
            self.end(group, &inbox);
        }
        signal(group, Signal::KILL); // whatever the child left behind in its group
        match ended {
            Event::Exited(status) => Ok(code_of(status?)),
            Event::InputClosed => {
                self.remove_folder();
                Ok(ExitCode::FAILURE)
            }
        }
    }

    /// Asks the group to stop, and kills it when it has not after the grace time.
    fn end(&self, group: Pid, inbox: &Receiver<Event>) {
        signal(group, if matches!(self.stop, Stop::Int) { Signal::INT } else { Signal::TERM });
        if inbox.recv_timeout(Duration::from_secs(self.grace_s)).is_err() {
            signal(group, Signal::KILL);
            drop(inbox.recv_timeout(KILL_WAIT));
        }
    }

    fn remove_folder(&self) {
        if let Some(folder) = &self.remove
            && let Err(error) = std::fs::remove_dir_all(folder)
            && error.kind() != ErrorKind::NotFound
        {
            eprintln!("xtask: {} could not be removed: {error}", folder.display());
        }
    }
}

/// What a keeper waits for.
enum Event {
    Exited(std::io::Result<ExitStatus>),
    InputClosed,
}

/// Signals a process group. One that is already gone is what we want.
fn signal(group: Pid, signal: Signal) {
    let _ = kill_process_group(group, signal);
}

/// The exit code, or 128 and the signal's number as shells have it.
fn code_of(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// A child under its keeper. Dropping it stops the child and waits until the keeper is done.
pub(crate) struct Kept {
    input: Option<ChildStdin>,
    output: Option<ChildStdout>,
    exited: Receiver<std::io::Result<ExitStatus>>,
    end_wait: Duration,
}

impl Kept {
    /// Starts `keep`; `set_up` sets environment, folder and output of the command.
    pub(crate) fn start(keep: &Keep, set_up: impl FnOnce(&mut Command)) -> Result<Self> {
        let mut keeper = keep.keeper()?;
        keeper.stdin(Stdio::piped()).process_group(0);
        // What `cargo run` told us about this package is not meant for a cargo that we start: some build scripts
        // watch these variables and would build again.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CARGO_PKG_") || name.to_string_lossy().starts_with("CARGO_MANIFEST_")
            {
                keeper.env_remove(name);
            }
        }
        set_up(&mut keeper);
        let mut child = keeper.spawn()?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let (sender, exited) = channel();
        thread::spawn(move || sender.send(child.wait()));
        let end_wait = Duration::from_secs(keep.grace_s) + KILL_WAIT + KILL_WAIT;
        Ok(Self { input, output, exited, end_wait })
    }

    /// Waits until it ends by itself, handing over each line of its output (when that was piped).
    pub(crate) fn lines(mut self, mut line: impl FnMut(&str)) -> Result<ExitStatus> {
        if let Some(output) = self.output.take() {
            let mut reader = BufReader::new(output);
            let mut bytes = Vec::new();
            while reader.read_until(b'\n', &mut bytes)? > 0 {
                line(String::from_utf8_lossy(&bytes).trim_end_matches('\n'));
                bytes.clear();
            }
        }
        Ok(self.exited.recv()??)
    }

    /// Waits at most `limit` for the first line of its output (which was piped). `None`: it ended, or said nothing in
    /// time. What follows is read and dropped, so that it can go on speaking.
    pub(crate) fn first_line(&mut self, limit: Duration) -> Result<Option<String>> {
        let output = self.output.take().ok_or("the output is not piped")?;
        let (sender, first) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(std::io::Result::ok) {
                drop(sender.send(line)); // after the first one nobody listens
            }
        });
        Ok(first.recv_timeout(limit).ok())
    }

    /// Waits at most `limit`. `None`: it still runs.
    pub(crate) fn wait(&self, limit: Duration) -> Result<Option<ExitStatus>> {
        match self.exited.recv_timeout(limit) {
            Ok(status) => Ok(Some(status?)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(gone @ RecvTimeoutError::Disconnected) => Err(gone.into()),
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        drop(self.input.take());
        // An error means that it had ended before, or that even SIGKILL did not help: nothing is left to try.
        drop(self.exited.recv_timeout(self.end_wait));
    }
}

/// The first line that a command says.
pub(crate) fn said(program: &str, args: &[&str]) -> Result<String> {
    let output = Command::new(program).args(args).current_dir(root()).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{program} {}: {}", args.join(" "), output.status).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned())
}

/// The commit that was measured, with a mark when the files differ from it.
pub(crate) fn commit() -> String {
    said("git", &["describe", "--always", "--dirty", "--abbrev=10", "--exclude=*"]).unwrap_or_else(|_| "unknown".into())
}
