//! A child process of `keyherald dev`, which does not outlive the value that stands for it.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longest wait for the line that says that the server is ready. Generous: a debug build on a busy machine migrates a
/// database in it.
const START_WAIT: Duration = Duration::from_mins(1);
/// So many lines of the server's log are shown when it does not start.
const LOG_LINES: usize = 40;

/// How to start a server, again and again on the same data.
pub struct Launch {
    /// The program.
    pub program: PathBuf,
    /// The folder of its data.
    pub data: PathBuf,
    /// Another database than the SQLite file in that folder.
    pub store: Option<String>,
    /// Where its log goes; appended to.
    pub log: PathBuf,
    /// `KEYHERALD__...` settings. The server sees no other variable of ours.
    pub settings: Vec<(&'static str, String)>,
}

impl Launch {
    /// Starts it and waits until it is ready.
    pub fn start(&self) -> Result<Server, String> {
        let log = OpenOptions::new().append(true).create(true).open(&self.log).map_err(|error| error.to_string())?;
        let mut command = Command::new(&self.program);
        command.args(["dev", "--listen", "127.0.0.1:0", "--data"]).arg(&self.data);
        if let Some(store) = &self.store {
            command.args(["--store", store]);
        }
        command.env_clear().envs(self.settings.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().map_err(|error| format!("{}: {error}", self.program.display()))?;
        let stdout = child.stdout.take();
        let printed = stdout.map(lines).ok_or("the server has no standard output")?;
        // From here on the child has an owner: whatever fails now ends it.
        let (url, client_id, client_secret, metrics_url, naviga, paysafe) = Default::default();
        let printed = Mutex::new(printed);
        let mut server = Server { child, url, client_id, client_secret, metrics_url, naviga, paysafe, printed };
        let line = server.printed(START_WAIT);
        let ready: Option<Value> = line.and_then(|line| serde_json::from_str(&line).ok());
        let of = |name: &str| ready.as_ref().and_then(|ready| ready.get(name).cloned()).unwrap_or_default();
        (server.naviga, server.paysafe) = (of("naviga"), of("paysafe"));
        let text = |name: &str| ready.as_ref()?.get(name)?.as_str().map(str::to_owned);
        server.metrics_url = text("metrics").unwrap_or_default();
        match (text("url"), text("clientId"), text("clientSecret")) {
            (Some(url), Some(client_id), Some(client_secret)) => {
                (server.url, server.client_id, server.client_secret) = (url, client_id, client_secret);
                Ok(server)
            }
            _ => Err(format!("the server did not say that it is ready; its log ends with:\n{}", self.log_tail())),
        }
    }

    /// The last lines of the log.
    pub fn log_tail(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        lines.iter().skip(lines.len().saturating_sub(LOG_LINES)).copied().collect::<Vec<_>>().join("\n")
    }
}

/// Reads on whether anybody takes the lines or not, so that the server can never block on a full pipe.
fn lines(stdout: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            // Nobody takes them any more: they are only read.
            let _ = sender.send(line);
        }
    });
    receiver
}

/// A running server. Dropping it kills it.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub url: String,
    /// The API client's id.
    pub client_id: String,
    /// The API client's secret.
    pub client_secret: String,
    /// Where Prometheus reads.
    pub metrics_url: String,
    /// What a caller of the Naviga API sends.
    pub naviga: Value,
    /// What a partner of the brand has.
    pub paysafe: Value,
    printed: Mutex<Receiver<String>>,
}

impl Server {
    /// The next line that it has printed on its standard output, after the one that says that it is ready.
    pub fn printed(&self, longest: Duration) -> Option<String> {
        self.printed.lock().ok()?.recv_timeout(longest).ok()
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the process to end by itself: its exit code; `None` if it was ended by a signal, or has not ended in time.
    pub fn wait(&mut self, longest: Duration) -> Option<i32> {
        let until = Instant::now() + longest;
        while Instant::now() < until {
            if let Ok(Some(status)) = self.child.try_wait() {
                return status.code();
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
        None
    }

    /// SIGKILL: no handler runs, nothing is flushed. Returns when the process is gone.
    pub fn kill(self) {
        drop(self);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if the process has ended and was waited for already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
