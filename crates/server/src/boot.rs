//! From a configuration to a running server: the only place that wires the rooms together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use keyherald_core::Micros;
use keyherald_core::delivery::{BreakerSettings, OnExhausted, RetrySchedule};
use keyherald_core::id::ProjectKey;
use keyherald_core::project::{Configured, MessagesSetting};
use keyherald_core::provider::ProviderName;
use keyherald_store::{ReplicaOptions, Store, StoreOptions, StoreUrl};
use tokio::sync::watch;

use crate::app::App;
use crate::app::activity::Recorder;
use crate::app::feed::Feed;
use crate::clock::Moments;
use crate::complaint::Complaint;
use crate::config::{self, Config, Role};
use crate::deliver::{self, Attempts, NodeSettings, Relay};
use crate::destination::aws::{self, Aws};
use crate::destination::sms::Switchboard;
use crate::destination::smtp::Office;
use crate::destination::wallet::Wallets;
use crate::destination::{self, Policy};
use crate::dialect::{self, naviga::Tenants, paysafe::Brands};
use crate::format::EventIds;
use crate::outbound::client::{ClientSettings, http_client};
use crate::outbound::guard::Guard;

use crate::hash::{HashOptions, HashPool};
use crate::http::{self, About, Frame, Limits, Server};
use crate::life::{Ending, Grace, Life, Readiness, Signals, Task};
use crate::mail::Mailbox;
use crate::operate::{self, Operations, Providers};
use crate::pages;
use crate::trace::Tracer;

mod events;
mod google;
mod mail;
mod metrics;
mod naviga;
mod passwords;
mod paysafe;
mod provider_kinds;
mod providers;
mod rates;
mod recovery;
mod sms;
mod traces;
mod wallets;

pub use self::naviga::{algorithm, tenants};
pub use self::paysafe::brands;
pub use self::providers::{kind as provider_kind, providers};
pub use self::sms::switchboard;
pub use self::wallets::wallets;

/// How often it is looked for records in doubt that are due.
const DOUBTS_EVERY: Duration = Duration::from_secs(5);
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
    /// Where Prometheus reads, if anywhere.
    pub metrics_url: Option<String>,
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
    let replica = config
        .store
        .replica_url
        .as_ref()
        .map(|url| ReplicaOptions { url: url.reveal().to_owned(), staleness_max: config.store.replica_staleness_max });
    let options = StoreOptions {
        replica,
        connections: config.store.connections,
        readers: config.store.readers,
        ..StoreOptions::default()
    };
    Store::open(&url, &options).map_err(|fault| Complaint::because("the database cannot be opened", &fault))
}

/// The use cases over an open store, without anything that runs: for commands that look and change, and end.
pub fn assemble(config: &Config, store: Store, moments: Moments) -> Result<App, Complaint> {
    assemble_traced(config, store, moments, Tracer::default())
}

fn assemble_traced(config: &Config, store: Store, moments: Moments, tracer: Tracer) -> Result<App, Complaint> {
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
    // On SQLite there is nobody to share with.
    let shared = (store.engine_name() == "postgres").then(|| rates::Shared {
        store: store.clone(),
        ring: ring.clone(),
        moments: moments.clone(),
    });
    let providers = Providers {
        registry: providers::providers_sharing(config, shared.as_ref())?,
        of_projects: providers_of_projects(config),
        unsealed: unsealed(&config.projects),
    };
    let outbox = Arc::new(events::outbox(config));
    let destinations = policy(config);
    let context = destination_context(config, &destinations)?;
    let settings = operate::Settings { tracer, ..operate_settings(config)? };
    let operations =
        Operations::new(store.clone(), ring.clone(), moments.clone(), (providers, outbox.clone()), settings);
    Ok(App {
        store,
        hash: Arc::new(hash),
        moments,
        ring,
        destinations: Arc::new(destinations),
        opener: deliver::opener(context),
        test_timeout: config.delivery.attempt_timeout.min(config.server.request_timeout * 2 / 3),
        outbox,
        operations,
        passwords: Arc::new(passwords::passwords(config)?),
        recorder: Recorder::default(),
        feed: Feed::open_to(config.server.feed_readers_max, config.server.request_timeout * 2 / 3),
        subscriptions_changed: Arc::new(watch::Sender::new(0)),
    })
}

/// Puts something around routes.
pub type Around = fn(axum::Router, &App) -> axum::Router;

/// What only a server for development has.
#[derive(Default)]
pub struct Extras {
    /// Where its mail goes, and its SMS.
    pub mailbox: Option<Mailbox>,
    /// Routes besides the contract's.
    pub routes: axum::Router,
    /// What is put around the contract's.
    pub around: Option<Around>,
}

/// Starts a server: opens and migrates the database, makes sure that the projects are there, listens, relays.
pub async fn start(config: &Config, moments: Moments) -> Result<Running, Complaint> {
    start_with(config, moments, Extras::default()).await
}

/// Migrates, and makes sure that the statements of this program fit.
async fn bring_to_this_version(store: &Store, moments: &Moments) -> Result<(), Complaint> {
    let applied = store
        .migrate(moments.now())
        .await
        .map_err(|fault| Complaint::because("the database cannot be brought to this version", &fault))?;
    if !applied.is_empty() {
        tracing::info!(migrations = applied.len(), "database: applied {} migrations", applied.len());
    }
    let prepared = store.prepare(&moments.ctx()).await;
    prepared.map_err(|fault| Complaint::because("the tables of the database do not fit this program", &fault))?;
    Ok(())
}

/// The same, with something besides.
pub async fn start_with(config: &Config, moments: Moments, extras: Extras) -> Result<Running, Complaint> {
    let signals = Signals::of_system().map_err(|error| Complaint::because("signals cannot be caught", &error))?;
    let store = open_store(config)?;
    let is_alone =
        store.lock_for_serving().map_err(|fault| Complaint::because("the database cannot be served", &fault))?;
    let role = config.node.role;
    if is_alone && role != Role::All {
        let what = "on SQLite one process does everything: another [node] role than \"all\" needs PostgreSQL";
        return Err(Complaint::new(what));
    }
    bring_to_this_version(&store, &moments).await?;
    let (tracer, collector) = traces::tracer(config, &moments)?;
    let app = assemble_traced(config, store, moments.clone(), tracer.clone())?;
    if is_alone {
        let taken_over = app.operations.take_over().await;
        taken_over.map_err(|fault| Complaint::because("open operations cannot be taken over", &fault))?;
    }
    let ways = Ways::of(config, extras.mailbox)?;
    set_up_projects(&app, config, &ways).await?;

    let life = Life::new(Readiness::starting());
    traces::spawn(&life, &app.store, collector);
    let tenants = tenants(config)?;
    let brands = brands(config);
    let frame = frame(config, moments, (&tenants, &brands), tracer.clone());
    let requests = frame.requests.clone();
    let contract = dialect::router(app.clone(), config.server.body_bytes_max, tenants, brands);
    let contract = match extras.around {
        Some(around) => around(contract, &app),
        None => contract,
    };
    let pages = pages::router(app.clone(), recovery::settings(config), recovery::sites(config)?)
        .map_err(|what| Complaint::new(format!("the recovery pages cannot be written: {what}")))?;
    let attempts = if role.relays() { spawn_attempts(&life, &app, config) } else { None };
    let relay = Arc::new(relay(config, &app, (ways, tracer.clone()), is_alone, attempts)?);
    let counters = relay.counters();
    let shown = metrics::Shown { app: app.clone(), relay: counters.clone(), requests, tracer };
    let metrics_url = metrics::spawn(&life, config, shown).await?;
    let partitions = move || if role.relays() { counters.figures().partitions } else { 0 };
    let health =
        http::health(life.readiness().clone(), About { role: role.as_str(), partitions: Arc::new(partitions) });
    let served = if role.serves() { extras.routes.merge(pages).merge(contract) } else { axum::Router::new() };
    let router = http::framed(health.merge(served), frame);
    let server = Server::bind(config.server.listen, router, Limits::from(&config.server)).await;
    let server =
        server.map_err(|error| Complaint::because(&format!("cannot listen on {}", config.server.listen), &error))?;
    let address = server.address().map_err(|error| Complaint::because("the address is not known", &error))?;

    spawn_http(&life, &app, server);
    spawn_operations(&life, &app);
    spawn_activity(&life, &app);
    if role.relays() {
        spawn_relay(&life, relay);
        spawn_doubts(&life, &app);
        spawn_sweep(&life, &app, config.delivery.attempts_kept);
        paysafe::spawn_codes(&life, &app, config);
    }
    spawn_probe(&life, &app);
    life.readiness().started();
    let grace = Grace { delay: config.server.shutdown_delay, work: config.server.shutdown_grace, close: CLOSE };
    Ok(Running { app, life, url: format!("http://{address}"), metrics_url, grace, signals })
}

/// What surrounds every request.
fn frame(config: &Config, moments: Moments, (tenants, brands): (&Tenants, &Brands), tracer: Tracer) -> Frame {
    let reply = dialect::frame_reply(tenants, brands);
    Frame::new(&config.server, moments, reply).traced(tracer, config.traces.tracestate)
}

fn spawn_operations(life: &Life, app: &App) {
    let operations = app.operations.clone();
    life.spawn(Task::Operations, move |stop| {
        let operations = operations.clone();
        async move { Ok(operations.run(async move { stop.requested().await }).await?) }
    });
}

/// What messages leave by that go to nobody who has subscribed: to customers, and to wallets elsewhere.
struct Ways {
    office: Option<Arc<Office>>,
    switchboard: Option<Arc<Switchboard>>,
    wallets: Option<Arc<Wallets>>,
}

impl Ways {
    fn of(config: &Config, mailbox: Option<Mailbox>) -> Result<Self, Complaint> {
        Ok(Self {
            office: mail::office(config, mailbox.clone())?.map(Arc::new),
            switchboard: switchboard(config, mailbox)?.map(Arc::new),
            wallets: wallets(config)?.map(Arc::new),
        })
    }
}

fn spawn_relay(life: &Life, relay: Arc<Relay>) {
    life.spawn(Task::Relay, move |stop| {
        let relay = relay.clone();
        async move {
            relay.run(async move { stop.requested().await }).await;
            Ok(())
        }
    });
}

/// Projects, what they mail and send by SMS, which wallets they tell, and where their events go, as the configuration has it.
async fn set_up_projects(app: &App, config: &Config, ways: &Ways) -> Result<(), Complaint> {
    for project in &config.projects {
        let cannot = |failure| Complaint::because(&format!("project {} cannot be set up", project.key), &failure);
        app.ensure_project(project.key.clone(), configured(project)).await.map_err(cannot)?;
        let (kinds, destination) = (mail::kinds(project).to_vec(), mail::destination(ways.office.as_deref()));
        app.ensure_letters(project.key.clone(), kinds, destination).await.map_err(cannot)?;
        let (kinds, destination) = (sms::kinds(project).to_vec(), sms::destination(ways.switchboard.as_deref()));
        app.ensure_short_messages(project.key.clone(), kinds, destination).await.map_err(cannot)?;
        let destination = wallets::destination(project);
        app.ensure_wallet_notices(project.key.clone(), project.wallet.is_some(), destination).await.map_err(cannot)?;
        app.keep_passwords(project.key.clone(), passwords::kept(project)).await.map_err(cannot)?;
        let events = events::wanted(project, &app.destinations)?;
        app.ensure_events(project.key.clone(), events).await.map_err(cannot)?;
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

/// The relay over the app's store: the only one, or one among those of other processes.
fn relay(
    config: &Config,
    app: &App,
    (Ways { office, switchboard, wallets }, tracer): (Ways, Tracer),
    is_alone: bool,
    attempts: Option<Attempts>,
) -> Result<Relay, Complaint> {
    let context =
        destination::Context { office, switchboard, wallets, ..destination_context(config, &app.destinations)? };
    Ok(Relay::new(
        app.store.clone(),
        app.ring.clone(),
        app.moments.clone(),
        deliver::opener(context),
        deliver::Settings {
            event_ids: event_ids(&config.projects),
            attempts,
            tracer,
            attempt_max: config.attempt_max(),
            node: (!is_alone).then(|| NodeSettings::new(config.node.name.clone(), config.node.lease)),
            ..relay_settings(&config.delivery)
        },
        app.subscriptions_changed.subscribe(),
    ))
}

/// What senders are made with, those of mail and SMS aside.
fn destination_context(config: &Config, policy: &Policy) -> Result<destination::Context, Complaint> {
    let delivery = &config.delivery;
    let client = ClientSettings {
        guard: policy.guard.clone(),
        connect_timeout: delivery.connect_timeout,
        attempt_timeout: delivery.attempt_timeout,
        idle_max: delivery.in_flight_max,
        tls: None,
    };
    let http = http_client(&client).map_err(|error| Complaint::because("deliveries cannot be made", &error))?;
    let (policy, attempt_timeout) = (policy.clone(), delivery.attempt_timeout);
    let google = google::google(config)?.map(Arc::new);
    Ok(destination::Context { http, policy, attempt_timeout, office: None, switchboard: None, wallets: None, google })
}

/// The projects that keep no password, not even sealed.
fn unsealed(projects: &[config::Project]) -> BTreeSet<ProjectKey> {
    let is_unsealed = |project: &&config::Project| project.naviga.as_ref().is_some_and(|naviga| !naviga.seal_password);
    projects.iter().filter(is_unsealed).map(|project| project.key.clone()).collect()
}

/// What is configured of Naviga's events.
pub fn event_ids(projects: &[config::Project]) -> EventIds {
    let tenants = || projects.iter().filter_map(|project| Some((&project.key, project.naviga.as_ref()?)));
    EventIds {
        ids: tenants().map(|(key, naviga)| (key.clone(), naviga.event_ids.by_code())).collect(),
        with_old: tenants().filter(|(_, naviga)| naviga.old_event_codes).map(|(key, _)| key.clone()).collect(),
    }
}

fn policy(config: &Config) -> Policy {
    let delivery = &config.delivery;
    Policy {
        allow_http: delivery.allow_http,
        guard: Guard::new(delivery.allow_private_networks.clone()),
        allow_console: delivery.allow_console,
        google: delivery.google.is_set(),
        subscriptions_max: Some(delivery.subscriptions_max),
        aws: aws(&config.aws),
        origin: config.server.public_url.as_ref().and_then(|url| url.host_str()).map(str::to_owned),
    }
}

fn aws(config: &config::Aws) -> Aws {
    let own = config.access_key_id.as_ref().zip(config.secret_access_key.as_ref()).map(|(id, key)| {
        let token = config.session_token.as_ref().map(config::Secret::reveal);
        aws::Keys::new(id.reveal().to_owned(), key.reveal(), token)
    });
    Aws { endpoint: config.endpoint.clone(), own }
}

/// A caller has its answer before its request is given up.
fn providers_of_projects(config: &Config) -> BTreeMap<ProjectKey, ProviderName> {
    let provider_of = |project: &config::Project| project.naviga.as_ref()?.user_provider.clone();
    config.projects.iter().filter_map(|project| Some((project.key.clone(), provider_of(project)?))).collect()
}

fn operate_settings(config: &Config) -> Result<operate::Settings, Complaint> {
    let operations = &config.operations;
    Ok(operate::Settings {
        answer_within: operations.answer_within.min(config.server.request_timeout * 2 / 3),
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

/// Serves requests. Those that wait for messages are answered when the others are finished.
fn spawn_http(life: &Life, app: &App, server: Server) {
    let feed = app.feed.clone();
    life.spawn_once(Task::Http, move |stop| async move {
        let ended = stop.clone();
        let end = async {
            ended.requested().await;
            feed.end();
        };
        tokio::join!(server.serve(stop), end).0
    });
}

/// Writes which attempts were made, unless none are kept: the last ones after the relay has ended.
fn spawn_attempts(life: &Life, app: &App, config: &Config) -> Option<Attempts> {
    if config.delivery.attempts_kept.is_zero() {
        return None;
    }
    let (attempts, app) = (Attempts::default(), app.clone());
    let kept = attempts.clone();
    life.spawn(Task::Attempts, move |stop| {
        let (attempts, app) = (attempts.clone(), app.clone());
        async move { Ok(attempts.write(&app.store, &app.moments, async move { stop.requested().await }).await?) }
    });
    Some(kept)
}

/// Looks after records in doubt that are due, at the start and every few seconds; ends between two batches.
fn spawn_doubts(life: &Life, app: &App) {
    let app = app.clone();
    life.spawn(Task::Doubts, move |stop| {
        let app = app.clone();
        async move {
            while !stop.is_requested() {
                while !stop.is_requested() && app.settle_doubts().await? {}
                tokio::select! {
                    () = stop.requested() => break,
                    () = tokio::time::sleep(DOUBTS_EVERY) => {}
                }
            }
            Ok(())
        }
    });
}

/// Removes what has expired, every minute, and what is old in the logs, every ten; ends between two batches.
///
/// What is old is hidden anyway, and what is owed to a subscription that has stopped is looked at in vain: that is not
/// worth doing every minute.
fn spawn_sweep(life: &Life, app: &App, attempts_kept: Duration) {
    let app = app.clone();
    life.spawn(Task::Retention, move |stop| {
        let app = app.clone();
        async move {
            for minute in (0..10).cycle() {
                while !stop.is_requested() && app.sweep_once().await? {}
                while !stop.is_requested() && app.sweep_attempts(attempts_kept).await? {}
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
