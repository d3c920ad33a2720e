//! From a configuration to a running server: the only place that wires the rooms together.

use std::sync::Arc;
use std::time::Duration;

use keyherald_store::{Store, StoreOptions, StoreUrl};
use tokio::sync::watch;

use crate::app::App;
use crate::clock::Moments;
use crate::complaint::Complaint;
use crate::config::Config;
use crate::dialect;
use crate::hash::{HashOptions, HashPool};
use crate::http::{self, Frame, Limits, Server};
use crate::life::{Ending, Grace, Life, Readiness, Signals, Task};

/// How long closing the database may take at the end.
const CLOSE: Duration = Duration::from_secs(10);

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
    let hash =
        HashPool::start(&options).map_err(|error| Complaint::because("the hashing pool does not start", &error))?;
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
    let contract = dialect::router(app.clone(), config.server.body_bytes_max);
    let frame = Frame::new(&config.server, moments, dialect::frame_reply());
    let router = http::framed(http::health(life.readiness().clone()).merge(contract), frame);
    let server = Server::bind(config.server.listen, router, Limits::from(&config.server)).await;
    let server =
        server.map_err(|error| Complaint::because(&format!("cannot listen on {}", config.server.listen), &error))?;
    let address = server.address().map_err(|error| Complaint::because("the address is not known", &error))?;

    life.spawn_once(Task::Http, move |stop| server.serve(stop));
    spawn_sweep(&life, &app);
    spawn_probe(&life, &app);
    life.readiness().started();
    let grace = Grace { delay: config.server.shutdown_delay, work: config.server.shutdown_grace, close: CLOSE };
    Ok(Running { app, life, url: format!("http://{address}"), grace, signals })
}

/// Removes what has expired, every minute.
fn spawn_sweep(life: &Life, app: &App) {
    let app = app.clone();
    life.spawn(Task::Retention, move |_| {
        let app = app.clone();
        async move {
            loop {
                tokio::time::sleep(Duration::from_mins(1)).await;
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
