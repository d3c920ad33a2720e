//! The binary with a configuration of its own: started, killed, started again on the same data.

use std::fmt::Write;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::provider::Provider;

const PROGRAM: &str = env!("CARGO_BIN_EXE_keyherald");
/// Longest wait until a server is ready: a debug build on a busy machine.
const START_WAIT: Duration = Duration::from_mins(1);
/// Time for one request to a provider.
const CALL_TIMEOUT: Duration = Duration::from_millis(1500);
/// A request that is applied so late is given up before.
pub const LATE: Duration = Duration::from_millis(2500);
/// The sealing key: readable, so that it would be found wherever it does not belong.
pub const SEALING_KEY: &[u8; 32] = b"sealing-key-of-the-orchestration";
/// For callers' tokens; a project with a provider has one.
pub const JWT_SECRET: &str = "no-caller-has-a-token-made-with-this-one";

/// A server's folder: configuration, secrets, data and logs.
pub struct Site {
    folder: tempfile::TempDir,
    /// The database.
    pub store: String,
    starts: usize,
}

impl Site {
    /// `store`: another database than a file in the folder.
    pub fn new(store: Option<String>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = store.unwrap_or_else(|| format!("sqlite:{}", folder.path().join("data.db").display()));
        let site = Self { folder, store, starts: 0 };
        site.write("sealing.key", &STANDARD.encode(SEALING_KEY));
        site.write("jwt", JWT_SECRET);
        site
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.file(name), text).unwrap();
    }

    /// The configuration of projects `c0`, `c1` and so on, each with the provider in its place; without providers as long
    /// as there are none.
    pub fn config(&self, projects: usize, providers: &[Box<dyn Provider>]) -> String {
        let timeout = CALL_TIMEOUT.as_millis();
        let path = |name: &str| self.file(name).display().to_string();
        let (store, key) = (&self.store, path("sealing.key"));
        let mut text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n[store]\nurl_file = \"{}\"\nconnections = 8\n\
             [node]\nname = \"alone\"\n\
             [secrets]\nsealing_keys = [{{ id = \"a\", key_file = \"{key}\" }}]\n\
             [hashing]\nmemory_kib = 7168\npasses = 5\ndeadline = \"20s\"\n\
             [delivery]\nallow_http = true\nallow_private_networks = [\"127.0.0.0/8\"]\n\
             retry_schedule = [\"0s\", \"100ms\", \"1s\", \"5s\"]\n\
             [operations]\nanswer_within = \"8s\"\nwait = \"2s\"\nattempt_life = \"20s\"\nseal_life = \"40s\"\n\
             call_timeout = \"4s\"\nlease = \"6s\"\n[log]\nformat = \"json\"\n",
            path("store")
        );
        self.write("store", store);
        for number in 0..projects {
            write!(text, "[[projects]]\nkey = \"c{number}\"\nmessages = {{ enabled = true }}\n").unwrap();
            if number >= providers.len() {
                continue;
            }
            write!(
                text,
                "[projects.naviga]\nclient_group = \"G\"\nclient = \"C\"\npaper = \"P{number}\"\nuser_provider = \"p{number}\"\n\
                 jwt = {{ algorithm = \"HS256\", secret_file = \"{}\" }}\n",
                path("jwt")
            )
            .unwrap();
        }
        for (number, provider) in providers.iter().enumerate() {
            let secret = format!("secret-{number}");
            self.write(&secret, provider.secret());
            write!(
                text,
                "[providers.p{number}]\n{}allow_insecure_http = true\n\
                 net = {{ allow_private = true, total_timeout = \"{timeout}ms\", connect_timeout = \"1s\" }}\n\
                 limits = {{ rps = 1000, burst = 1000, breaker_failures = 1000 }}\n",
                provider.config(&path(&secret))
            )
            .unwrap();
        }
        text
    }

    /// From now on servers start with this configuration.
    pub fn configure(&self, config: &str) {
        self.write("keyherald.toml", config);
    }

    /// Starts a server and waits until it is ready.
    pub fn start(&mut self) -> Running {
        self.starts += 1;
        let log = self.file(&format!("log-{}", self.starts));
        let output = File::create(&log).unwrap();
        let mut command = Command::new(PROGRAM);
        command.args(["serve", "--config"]).arg(self.file("keyherald.toml")).env_clear();
        // No provider here speaks TLS: the system's certificates would only be read, once for each.
        command.env("SSL_CERT_FILE", "/dev/null");
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        let mut running = Running { child: command.spawn().unwrap(), url: String::new() };
        let until = Instant::now() + START_WAIT;
        while running.url.is_empty() {
            let said = fs::read_to_string(&log).unwrap_or_default();
            let ended = running.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < until, "the server does not start ({ended:?}):\n{said}");
            let ready = said.split_once("ready on ").and_then(|(_, rest)| rest.split_once('"'));
            match ready {
                Some((url, _)) => url.clone_into(&mut running.url),
                None => std::thread::park_timeout(Duration::from_millis(10)),
            }
        }
        running
    }

    /// Everything that all servers here have said so far.
    pub fn logs(&self) -> String {
        let log = |number| fs::read(self.file(&format!("log-{number}"))).unwrap();
        (1..=self.starts).map(|number| String::from_utf8_lossy(&log(number)).into_owned()).collect()
    }

    /// The bytes of the database's files, as far as they lie here.
    pub fn data(&self) -> Vec<(String, Vec<u8>)> {
        let files = fs::read_dir(self.folder.path()).unwrap().map(|file| file.unwrap());
        let name = |file: &fs::DirEntry| file.file_name().to_string_lossy().into_owned();
        let of_data = files.filter(|file| name(file).starts_with("data.db"));
        of_data.map(|file| (name(&file), fs::read(file.path()).unwrap())).collect()
    }
}

/// A running server. Dropping it kills it with SIGKILL.
pub struct Running {
    child: Child,
    /// Where it listens.
    pub url: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only if the process has ended and was waited for already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
