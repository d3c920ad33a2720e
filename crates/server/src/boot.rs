//! From a configuration to a running server: the only place that wires the rooms together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use keyherald_core::Micros;
use keyherald_core::delivery::{BreakerSettings, OnExhausted, RetrySchedule};
use keyherald_core::id::ProjectKey;
use keyherald_core::project::{Configured, MessagesSetting};
use keyherald_core::provider::ProviderName;
use keyherald_store::{Store, StoreOptions, StoreUrl};
use tokio::sync::watch;

use crate::app::App;
use crate::app::activity::Recorder;
use crate::clock::Moments;
use crate::complaint::Complaint;
use crate::config::{self, Config};
use crate::deliver::{self, Relay};
use crate::destination::smtp::Office;
use crate::destination::{self, Policy};
use crate::dialect;
use crate::format::EventIds;
use crate::outbound::client::{ClientSettings, http_client};
use crate::outbound::guard::Guard;

use crate::hash::{HashOptions, HashPool};
use crate::http::{self, Frame, Limits, Server};
use crate::life::{Ending, Grace, Life, Readiness, Signals, Task};
use crate::mail::Mailbox;
use crate::operate::{self, Operations, Providers};

mod mail;
mod naviga;
mod provider_kinds;
mod providers;

pub use self::naviga::{algorithm, tenants};
pub use self::providers::{kind as provider_kind, providers};

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

/// Where the database is that the configuration names.
pub fn store_url(config: &Config) -> Result<StoreUrl, Complaint> {
    config.store.url.reveal().parse().map_err(|error| Complaint::because("[store] url cannot be used", &error))
}

/// Opens the database that the configuration names. Does not migrate it.
pub fn open_store(config: &Config) -> Result<Store, Complaint> {
    let url = store_url(config)?;
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
    let ring = Arc::new(ring);
    let providers = Providers {
        registry: providers(config)?,
        of_projects: providers_of_projects(config),
        unsealed: unsealed(&config.projects),
    };
    let operations =
        Operations::new(store.clone(), ring.clone(), moments.clone(), providers, operate_settings(config)?);
    Ok(App {
        store,
        hash: Arc::new(hash),
        moments,
        ring,
        destinations: Arc::new(policy(&config.delivery)),
        operations,
        recorder: Recorder::default(),
        subscriptions_changed: Arc::new(watch::Sender::new(0)),
    })
}

/// What only a server for development has.
#[derive(Default)]
pub struct Extras {
    /// Where its mail goes.
    pub mailbox: Option<Mailbox>,
    /// Routes besides the contract's.
    pub routes: axum::Router,
}

/// Starts a server: opens and migrates the database, makes sure that the projects are there, listens, relays.
pub async fn start(config: &Config, moments: Moments) -> Result<Running, Complaint> {
    start_with(config, moments, Extras::default()).await
}

/// The same, with something besides.
pub async fn start_with(config: &Config, moments: Moments, extras: Extras) -> Result<Running, Complaint> {
    let signals = Signals::of_system().map_err(|error| Complaint::because("signals cannot be caught", &error))?;
    let store = open_store(config)?;
    let is_alone =
        store.lock_for_serving().map_err(|fault| Complaint::because("the database cannot be served", &fault))?;
    let applied = store
        .migrate(moments.now())
        .await
        .map_err(|fault| Complaint::because("the database cannot be brought to this version", &fault))?;
    if !applied.is_empty() {
        tracing::info!(migrations = applied.len(), "database: applied {} migrations", applied.len());
    }
    let app = assemble(config, store, moments.clone())?;
    if is_alone {
        let taken_over = app.operations.take_over().await;
        taken_over.map_err(|fault| Complaint::because("open operations cannot be taken over", &fault))?;
    }
    let office = mail::office(config, extras.mailbox)?.map(Arc::new);
    set_up_projects(&app, config, office.as_deref()).await?;

    let life = Life::new(Readiness::starting());
    let tenants = tenants(config)?;
    let frame = Frame::new(&config.server, moments, dialect::frame_reply(&tenants));
    let contract = dialect::router(app.clone(), config.server.body_bytes_max, tenants);
    let router = http::framed(http::health(life.readiness().clone()).merge(extras.routes).merge(contract), frame);
    let server = Server::bind(config.server.listen, router, Limits::from(&config.server)).await;
    let server =
        server.map_err(|error| Complaint::because(&format!("cannot listen on {}", config.server.listen), &error))?;
    let address = server.address().map_err(|error| Complaint::because("the address is not known", &error))?;

    life.spawn_once(Task::Http, move |stop| server.serve(stop));
    let relay = Arc::new(relay(config, &app, office)?);
    life.spawn(Task::Relay, move |stop| {
        let relay = relay.clone();
        async move {
            relay.run(async move { stop.requested().await }).await;
            Ok(())
        }
    });
    let operations = app.operations.clone();
    life.spawn(Task::Operations, move |stop| {
        let operations = operations.clone();
        async move { Ok(operations.run(async move { stop.requested().await }).await?) }
    });
    spawn_activity(&life, &app);
    spawn_sweep(&life, &app);
    spawn_probe(&life, &app);
    life.readiness().started();
    let grace = Grace { delay: config.server.shutdown_delay, work: config.server.shutdown_grace, close: CLOSE };
    Ok(Running { app, life, url: format!("http://{address}"), grace, signals })
}

/// Projects, and what they mail, as the configuration has them.
async fn set_up_projects(app: &App, config: &Config, office: Option<&Office>) -> Result<(), Complaint> {
    for project in &config.projects {
        let cannot = |failure| Complaint::because(&format!("project {} cannot be set up", project.key), &failure);
        app.ensure_project(project.key.clone(), configured(project)).await.map_err(cannot)?;
        let (kinds, destination) = (mail::kinds(project).to_vec(), mail::destination(office));
        app.ensure_letters(project.key.clone(), kinds, destination).await.map_err(cannot)?;
    }
    Ok(())
}

fn configured(project: &config::Project) -> Configured {
    let messages = project.messages.as_ref();
    Configured {
        name: project.name.clone().unwrap_or_else(|| project.key.to_string()),
        languages: project.languages.clone(),
        messages: messages.map(|messages| MessagesSetting {
            enabled: messages.enabled,
            days: messages.delete_days_after_creation.into(),
        }),
    }
}

/// The relay over the app's store.
fn relay(config: &Config, app: &App, office: Option<Arc<Office>>) -> Result<Relay, Complaint> {
    let delivery = &config.delivery;
    let client = ClientSettings {
        guard: app.destinations.guard.clone(),
        connect_timeout: delivery.connect_timeout,
        attempt_timeout: delivery.attempt_timeout,
        idle_max: delivery.in_flight_max,
        tls: None,
    };
    let http = http_client(&client).map_err(|error| Complaint::because("deliveries cannot be made", &error))?;
    let policy = (*app.destinations).clone();
    let context = destination::Context { http, policy, attempt_timeout: delivery.attempt_timeout, office };
    Ok(Relay::new(
        app.store.clone(),
        app.ring.clone(),
        app.moments.clone(),
        deliver::opener(context),
        deliver::Settings { event_ids: event_ids(&config.projects), ..relay_settings(delivery) },
        app.subscriptions_changed.subscribe(),
    ))
}

/// The projects that keep no password, not even sealed.
fn unsealed(projects: &[config::Project]) -> BTreeSet<ProjectKey> {
    let is_unsealed = |project: &&config::Project| project.naviga.as_ref().is_some_and(|naviga| !naviga.seal_password);
    projects.iter().filter(is_unsealed).map(|project| project.key.clone()).collect()
}

/// The ids of Naviga's events that are configured.
pub fn event_ids(projects: &[config::Project]) -> EventIds {
    let of = |project: &config::Project| Some((project.key.clone(), project.naviga.as_ref()?.event_ids.by_code()));
    EventIds(projects.iter().filter_map(of).collect())
}

fn policy(delivery: &config::Delivery) -> Policy {
    Policy {
        allow_http: delivery.allow_http,
        guard: Guard::new(delivery.allow_private_networks.clone()),
        allow_console: delivery.allow_console,
    }
}

/// A caller has its answer before its request is given up.
fn providers_of_projects(config: &Config) -> BTreeMap<ProjectKey, ProviderName> {
    let provider_of = |project: &config::Project| project.naviga.as_ref()?.user_provider.clone();
    config.projects.iter().filter_map(|project| Some((project.key.clone(), provider_of(project)?))).collect()
}

fn operate_settings(config: &Config) -> Result<operate::Settings, Complaint> {
    let operations = &config.operations;
    Ok(operate::Settings {
        answer_within: operations.answer_within.min(config.server.request_timeout / 2),
        wait: operations.wait,
        limits: operations.limits().ok_or_else(|| Complaint::new("[operations] seal_life is too short"))?,
        call_max: operations.call_timeout,
        lease: operations.lease,
        in_flight_max: operations.in_flight_max,
        ..operate::Settings::default()
    })
}

fn relay_settings(delivery: &config::Delivery) -> deliver::Settings {
    let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
    let percent = (0..=100).rev().find(|percent| f64::from(*percent) / 100.0 <= delivery.jitter).unwrap_or(0);
    deliver::Settings {
        schedule: RetrySchedule {
            waits: delivery.retry_schedule.iter().copied().map(micros).collect(),
            jitter_percent: percent,
            retry_after_max: Micros::DAY,
        },
        on_exhausted: match delivery.on_exhausted {
            config::OnExhausted::Skip => OnExhausted::Skip,
            config::OnExhausted::Hold => OnExhausted::Hold,
        },
        breaker: BreakerSettings {
            failures: delivery.breaker.failures,
            rest: micros(delivery.breaker.open),
            rest_max: micros(delivery.breaker.open_max),
        },
        in_flight_max: delivery.in_flight_max,
        attempt_max: delivery.attempt_timeout + Duration::from_secs(5), // a backstop: the client has its own limit
        ..deliver::Settings::default()
    }
}

/// Writes the activity of reads, after the last request too.
fn spawn_activity(life: &Life, app: &App) {
    let app = app.clone();
    life.spawn(Task::Activity, move |stop| {
        let app = app.clone();
        async move { Ok(app.write_activity(async move { stop.requested().await }).await?) }
    });
}

/// Removes what has expired, every minute, and what is old in the logs, every ten; ends between two batches.
///
/// What is old is hidden anyway, and what is owed to a subscription that has stopped is looked at in vain: that is not
/// worth doing every minute.
fn spawn_sweep(life: &Life, app: &App) {
    let app = app.clone();
    life.spawn(Task::Retention, move |stop| {
        let app = app.clone();
        async move {
            for minute in (0..10).cycle() {
                while !stop.is_requested() && app.sweep_once().await? {}
                if minute == 0 {
                    let mut round = app.begin_retention().await?;
                    while !stop.is_requested() && app.retain_once(&mut round).await? {}
                    if round.removed > 0 {
                        tracing::info!(entries = round.removed, "retention: removed {} old log entries", round.removed);
                    }
                }
                tokio::select! {
                    () = stop.requested() => break,
                    () = tokio::time::sleep(Duration::from_mins(1)) => {}
                }
            }
            Ok(())
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
