//! From a configuration to a running server: the only place that wires the rooms together.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use keyherald_core::client::Scopes;
use keyherald_core::id::ProjectKey;
use keyherald_core::secret::TokenDigest;
use keyherald_store::{Store, StoreOptions, StoreUrl};
use tokio::sync::watch;

use crate::app::App;
use crate::clock::Moments;
use crate::complaint::Complaint;
use crate::config::{Config, Environment, Purpose};
use crate::hash::{HashOptions, HashPool};
use crate::http::{self, Frame, Limits, Server};
use crate::life::{Ending, Grace, Life, Readiness, Signals, Task};
use crate::{deliver, destination, dialect};

/// A server that accepts requests.
pub struct Running {
    /// Its use cases.
    pub app: App,
    /// Its background work.
    pub life: Life,
    /// Where it listens: `http://address:port`.
    pub url: String,
    grace: Grace,
    signals: Signals,
}

impl Running {
    /// Lives until a signal, a failed task or `life.end()`, then shuts down in order.
    pub async fn run(self) -> Ending {
        let (store, hash) = (self.app.store.clone(), self.app.hash.clone());
        let close = async move {
            hash.stop().await;
            store.close().await;
        };
        self.life.run(self.signals, self.grace, close).await
    }
}

/// Opens the database that the configuration names. Does not migrate it.
pub fn open_store(config: &Config) -> Result<Store, Complaint> {
    let url: StoreUrl =
        config.store.url.reveal().parse().map_err(|error| Complaint::because("[store] url cannot be used", &error))?;
    let options = StoreOptions {
        connections: config.store.connections,
        readers: config.store.readers,
        ..StoreOptions::default()
    };
    Store::open(&url, &options).map_err(|fault| Complaint::because("the database cannot be opened", &fault))
}

/// The use cases over an open store, without anything that runs: for commands that look and change, and end.
pub fn assemble(config: &Config, store: Store, moments: Moments) -> Result<App, Complaint> {
    let hashing = &config.hashing;
    let options = HashOptions {
        memory_kib: hashing.memory_kib,
        passes: hashing.passes,
        lanes: hashing.lanes,
        workers: Some(hashing.workers),
        queue_max: hashing.queue_max,
        nice: i32::from(hashing.nice),
        deadline: hashing.deadline,
        ..HashOptions::default()
    };
    let hash = HashPool::start(&options).map_err(|error| Complaint::because("the hashing pool does not start", &error))?;
    let ring = config.secrets.key_ring().map_err(|error| Complaint::because("[secrets] sealing_keys", &error))?;
    Ok(App {
        store,
        hash: Arc::new(hash),
        moments,
        ring: Arc::new(ring),
        subscriptions_changed: Arc::new(watch::Sender::new(0)),
    })
}

/// Starts a server: opens and migrates the database, makes sure that the projects are there, listens, relays.
pub async fn start(config: &Config, moments: Moments) -> Result<Running, Complaint> {
    let signals = Signals::of_system().map_err(|error| Complaint::because("signals cannot be caught", &error))?;
    let store = open_store(config)?;
    store.lock_for_serving().map_err(|fault| Complaint::because("the database cannot be served", &fault))?;
    let applied = store
        .migrate(moments.now())
        .await
        .map_err(|fault| Complaint::because("the database cannot be brought to this version", &fault))?;
    if !applied.is_empty() {
        tracing::info!(migrations = applied.len(), "database: applied {} migrations", applied.len());
    }
    let app = assemble(config, store, moments.clone())?;
    for project in &config.projects {
        let name = project.name.clone().unwrap_or_else(|| project.key.to_string());
        let messages = project.messages.as_ref().map(|m| (m.enabled, i64::from(m.delete_days_after_creation)));
        app.ensure_project(project.key.clone(), name, messages)
            .await
            .map_err(|failure| Complaint::because(&format!("project {} cannot be set up", project.key), &failure))?;
    }

    let life = Life::new(Readiness::starting());
    let policy = destination::Policy::from(&config.delivery);
    let relay = deliver::Relay::new(&app, deliver::Settings::from(&config.delivery), &policy)
        .map_err(|error| Complaint::because("the relay does not start", &error))?;
    let contract = dialect::router(app.clone(), policy, config.server.body_bytes_max);
    let frame = Frame::new(&config.server, moments, dialect::frame_reply());
    let router = http::framed(http::health(life.readiness().clone()).merge(contract), frame);
    let server = Server::bind(config.server.listen, router, Limits::from(&config.server)).await;
    let server = server.map_err(|error| Complaint::because(&format!("cannot listen on {}", config.server.listen), &error))?;
    let address = server.address().map_err(|error| Complaint::because("the address is not known", &error))?;

    let mut server = Some(server);
    life.spawn(Task::Http, move |stop| {
        let server = server.take();
        async move {
            match server {
                Some(server) => server.serve(stop).await,
                None => Ok(()), // its failure takes the process down: it is never started twice
            }
        }
    });
    let relay = Arc::new(relay);
    life.spawn(Task::Relay, move |stop| {
        let relay = relay.clone();
        async move { relay.run(stop).await.map_err(Into::into) }
    });
    spawn_sweep(&life, &app);
    spawn_probe(&life, &app);
    life.readiness().started();
    let grace = Grace { unready: config.server.shutdown_delay, finish: config.server.shutdown_grace, ..Grace::default() };
    Ok(Running { app, life, url: format!("http://{address}"), grace, signals })
}

/// Removes what has expired, every minute.
fn spawn_sweep(life: &Life, app: &App) {
    let app = app.clone();
    life.spawn(Task::Retention, move |_| {
        let app = app.clone();
        async move {
            loop {
                tokio::time::sleep(Duration::from_secs(60)).await;
                while app.sweep_once().await? {}
            }
        }
    });
}

/// Readiness follows the database: without it, no request can be served.
fn spawn_probe(life: &Life, app: &App) {
    let (app, readiness) = (app.clone(), life.readiness().clone());
    life.spawn(Task::StoreProbe, move |_| {
        let (app, readiness) = (app.clone(), readiness.clone());
        async move {
            loop {
                match app.store_answers().await {
                    Ok(()) => readiness.clear("store"),
                    Err(_) => readiness.fail("store", "the database does not answer"),
                }
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
        }
    });
}

/// A server for trying out: known credentials, data in a folder, receivers on private addresses.
#[derive(Clone, Debug)]
pub struct Development {
    folder: PathBuf,
    listen: String,
    store: Option<String>,
}

impl Development {
    /// The API client's id.
    pub const CLIENT_ID: &'static str = "demo-client";
    /// The API client's secret: known to everybody, for development only.
    pub const CLIENT_SECRET: &'static str = "demo-secret";
    /// The project.
    pub const PROJECT: &'static str = "demo";

    /// On any free port of this machine.
    pub fn in_folder(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), listen: "127.0.0.1:0".to_owned(), store: None }
    }

    /// On this address and with this database instead of a SQLite file in the folder.
    #[must_use]
    pub fn with(self, listen: std::net::SocketAddr, store: Option<String>) -> Self {
        Self { listen: listen.to_string(), store, ..self }
    }

    /// Makes the folder and its sealing key if they are not there, and reads the configuration that they mean.
    /// `KEYHERALD__...` variables count here too.
    fn config(&self) -> Result<Config, Complaint> {
        let unusable = |error: &std::io::Error| {
            Complaint::because(&format!("the data folder {} cannot be used", self.folder.display()), error)
        };
        std::fs::create_dir_all(&self.folder).map_err(|error| unusable(&error))?;
        let key_file = self.folder.join("sealing.key");
        if !key_file.exists() {
            write_new_key(&key_file).map_err(|error| unusable(&error))?;
        }
        let quoted = |text: String| toml::Value::String(text).to_string();
        let database = format!("sqlite:{}", self.folder.join("keyherald.db").display());
        let text = format!(
            r#"
            [server]
            listen = {listen}
            [store]
            url = {store}
            [secrets]
            sealing_keys = [{{ id = "development", key_file = {key_file} }}]
            [delivery]
            allow_http = true
            allow_private_networks = ["0.0.0.0/0", "::/0"]
            # Faster than in production: whoever tries it out does not want to wait.
            retry_schedule = ["0s", "250ms", "1s", "2s", "5s", "10s", "30s", "1m", "5m", "1h", "6h", "1d"]
            breaker = {{ failures = 10, open = "1s", open_max = "30s" }}
            [[projects]]
            key = "demo"
            name = "Demo"
            messages = {{ enabled = true }}
            "#,
            listen = quoted(self.listen.clone()),
            store = quoted(self.store.clone().unwrap_or(database)),
            key_file = quoted(key_file.display().to_string()),
        );
        Ok(Config::read(&text, Some("development settings".into()), Environment::of_process(), Purpose::Develop)?)
    }
}

/// A new sealing key that only its owner can read. Written aside and renamed: half a key would be lost data.
fn write_new_key(path: &Path) -> std::io::Result<()> {
    use base64::Engine;
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut key = zeroize::Zeroizing::new([0_u8; 32]);
    getrandom::fill(key.as_mut_slice()).map_err(std::io::Error::other)?;
    let text = zeroize::Zeroizing::new(base64::engine::general_purpose::STANDARD.encode(*key));
    let aside = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&aside, path)
}

/// Starts a development server: [`start`], and the client that everybody knows.
pub async fn develop(development: &Development, moments: Moments) -> Result<Running, Complaint> {
    let running = start(&development.config()?, moments).await?;
    let project: ProjectKey =
        Development::PROJECT.parse().map_err(|why: String| Complaint::new(why))?;
    let scopes = Scopes::parse(&format!("manage_project:{project}"));
    let secret = TokenDigest::of(Development::CLIENT_SECRET);
    running
        .app
        .put_client(project, Development::CLIENT_ID.into(), "development client".into(), secret, scopes)
        .await
        .map_err(|failure| Complaint::because("the development client cannot be set up", &failure))?;
    Ok(running)
}
