//! A database, a provider and a clock; processes that use them and die; and what must be true in the end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use keyherald::app::{Answer, App, Call};
use keyherald::clock::{Clock, ManualClock, Moments, Seeded};
use keyherald::connector::{Connector, Registry};
use keyherald::destination::CannotOpen;
use keyherald::hash::{HashOptions, HashPool, Lane};
use keyherald::operate::{Operations, Providers, Settings};
use keyherald_core::Micros;
use keyherald_core::activity::{Recorded, Source};
use keyherald_core::create::{self, AddressUse};
use keyherald_core::credential::AuthenticationMode;
use keyherald_core::customer::{Customer, Profile};
use keyherald_core::id::{CustomerId, ProjectKey};
use keyherald_core::initiator::Initiator;
use keyherald_core::operation::{Operation, State};
use keyherald_core::project::Configured;
use keyherald_core::provider::{ProviderLink, ProviderName};
use keyherald_core::seal::{KeyRing, SealingKey};
use keyherald_store::log::activity::Asked;
use keyherald_store::testing::{TestStore, options};
use keyherald_store::tx::{query_all, query_one};
use keyherald_store::{Fault, Sql, Tx, credential, log, operation};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::provider::{Scripted, secret};

pub const OLD: &str = "old-password";
pub const NEW: &str = "new-password";
const PATIENCE: Duration = Duration::from_mins(1);

pub fn demo() -> ProjectKey {
    "demo".parse().unwrap()
}

pub fn provider_name() -> ProviderName {
    "double".parse().unwrap()
}

pub fn call() -> Call {
    let source = Source { system: "ExternalSystem".parse().ok(), ..Source::default() };
    Call { by: Initiator { client_id: Some("c".into()), ..Initiator::default() }, source, ..Call::on(demo()) }
}

/// What outlives a process.
pub struct Stage<'a> {
    pub store: &'a TestStore,
    pub provider: Arc<Scripted>,
    pub clock: Arc<ManualClock>,
    pub settings: Settings,
}

/// A server without HTTP, on threads of its own, so that it can die.
pub struct Process {
    pub app: App,
    runtime: Option<Runtime>,
    stop: watch::Sender<bool>,
    running: Option<JoinHandle<()>>,
}

impl<'a> Stage<'a> {
    pub fn new(store: &'a TestStore, provider: Arc<Scripted>) -> Self {
        // The clock moves with the machine's and ahead of it; looks come often.
        let settings = Settings {
            answer_within: Duration::from_secs(20),
            wait: Duration::from_millis(100),
            call_max: Duration::from_millis(100),
            poll: Duration::from_millis(5),
            ..Settings::default()
        };
        Self { store, provider, clock: Arc::new(ManualClock::running()), settings }
    }

    pub async fn process(&self, seed: u64) -> Process {
        self.process_with(seed, self.providers()).await
    }

    /// One whose configuration has lost its providers.
    pub async fn process_without_providers(&self, seed: u64) -> Process {
        self.process_with(seed, Providers::default()).await
    }

    async fn process_with(&self, seed: u64, providers: Providers) -> Process {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let app = self.app(seed, providers);
        app.ensure_project(demo(), Configured { name: "Demo".into(), ..Configured::default() }).await.unwrap();
        let (stop, mut stopped) = watch::channel(false);
        let operations = app.operations.clone();
        let running = runtime.spawn(async move {
            let stop = async move {
                let _ended = stopped.wait_for(|stop| *stop).await;
            };
            operations.run(stop).await.unwrap();
        });
        Process { app, runtime: Some(runtime), stop, running: Some(running) }
    }

    fn app(&self, seed: u64, providers: Providers) -> App {
        let moments = Moments::new(self.clock.clone(), Arc::new(Seeded::new(seed)));
        let hashing = HashOptions { memory_kib: 8, passes: 1, workers: Some(1), ..HashOptions::default() };
        let ring = Arc::new(KeyRing::new(vec![SealingKey::new("test", [7; 32]).unwrap()]).unwrap());
        let store = self.store.again(&options());
        let operations = Operations::new(
            store.clone(),
            ring.clone(),
            moments.clone(),
            (providers, <_>::default()),
            self.settings.clone(),
        );
        App {
            store,
            hash: Arc::new(HashPool::start(&hashing).unwrap()),
            moments,
            ring,
            destinations: Arc::default(),
            opener: Arc::new(|_| Err(CannotOpen("nothing is sent here"))),
            test_timeout: Duration::from_secs(20),
            outbox: Arc::default(),
            operations,
            passwords: <_>::default(),
            recorder: <_>::default(),
            feed: <_>::default(),
            subscriptions_changed: Arc::new(watch::Sender::new(0)),
        }
    }

    fn providers(&self) -> Providers {
        let connector: Arc<dyn Connector> = self.provider.clone();
        let of_projects = BTreeMap::from([(demo(), provider_name())]);
        Providers { registry: Registry::of([(provider_name(), connector)]), of_projects, ..Providers::default() }
    }

    /// Lets time pass until nothing is to be done any more: no operation is open, and none is due.
    pub async fn settle(&self) {
        self.pass_until("nothing is left to do", async || {
            self.count("SELECT count(*) FROM operation WHERE due_at IS NOT NULL").await == 0
        })
        .await;
    }

    /// Lets time pass, far quicker than it does, until something holds.
    pub async fn pass_until(&self, what: &str, holds: impl AsyncFn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds().await {
            assert!(Instant::now() < deadline, "never: {what}");
            // What is put off is waited for in one go; what somebody holds, or held when it died, bit by bit.
            let next = "SELECT COALESCE(min(due_at), 0) FROM operation WHERE due_at IS NOT NULL
                            AND NOT EXISTS (SELECT 1 FROM operation WHERE owner IS NOT NULL)";
            let until = self.count(next).await.saturating_sub(self.clock.now().0);
            self.clock.advance(until.max(Micros::SECOND));
            sleep(Duration::from_millis(3)).await;
        }
    }

    pub fn advance(&self, seconds: i64) {
        self.clock.advance(seconds * Micros::SECOND);
    }

    pub async fn count(&self, sql: &'static str) -> i64 {
        let sql = Sql::both("COUNT", sql);
        self.store.read(move |tx| query_one(tx, &sql, &[], |row| row.int(0))).await.unwrap().unwrap()
    }

    pub async fn operations(&self) -> Vec<Operation> {
        use State::{Closing, Committed, Diverged, Gone, Open, Released, Resolved};
        // One look: an operation that moves on between two would be seen twice.
        let look = |tx: &mut dyn Tx| {
            let mut all = Vec::new();
            for state in [Open, Closing, Committed, Released, Gone, Diverged, Resolved] {
                all.extend(operation::listed(tx, &demo(), state, None, 100)?);
            }
            Ok::<_, Fault>(all)
        };
        let mut all = self.store.read(look).await.unwrap();
        all.sort_by_key(|operation| operation.began_at);
        all
    }

    /// How many messages tell that this customer's password was set.
    pub async fn told(&self, customer: CustomerId) -> i64 {
        let text = "SELECT count(*) FROM log WHERE type = 'CustomerPasswordUpdated' AND customer_id = $1";
        let sql = Sql::both("TOLD", text);
        let told = move |tx: &mut dyn Tx| query_one(tx, &sql, &[customer.into()], |row| row.int(0));
        self.store.read(told).await.unwrap().unwrap()
    }

    /// The event ids of a customer's activity, in order; 0 for what is no call.
    pub async fn activity(&self, id: CustomerId) -> Vec<(u32, String)> {
        let read = |entry: Recorded| {
            let facts = entry.activity.facts;
            let code = facts.event_code().and_then(|code| code.id);
            (code.unwrap_or_default(), facts.outcome)
        };
        self.entries(Some(id)).await.into_iter().map(read).collect()
    }

    /// Activity entries of a customer, or all, in order.
    pub async fn entries(&self, customer: Option<CustomerId>) -> Vec<Recorded> {
        let asked = Asked { customer, after: None, limit: 100 };
        let look = move |tx: &mut dyn Tx| log::activity::read(tx, &demo(), &asked, Micros(0), i64::MAX);
        self.store.read(look).await.unwrap()
    }
}

impl Process {
    /// A customer with the old password, here and at the provider.
    pub async fn linked(&self, stage: &Stage<'_>, name: &str) -> Customer {
        let customer = self.unlinked(name).await;
        stage.provider.add(name, OLD);
        let link = ProviderLink { provider: provider_name(), user: name.parse().ok().unwrap() };
        assert!(self.app.link_customer(call(), customer.id, link).await.unwrap());
        customer
    }

    pub async fn unlinked(&self, name: &str) -> Customer {
        let command = create::Command {
            email: format!("{name}@example.com"),
            key: None,
            external_id: None,
            customer_number: None,
            mobile: None,
            stores: Vec::new(),
            authentication_mode: AuthenticationMode::Password,
            is_email_verified: false,
            profile: Profile::default(),
            addresses: AddressUse::default(),
            by: Initiator::default(),
        };
        self.app.create_customer(call(), command, Some(secret(OLD))).await.unwrap()
    }

    /// Changes the password from the old one.
    pub async fn change(&self, customer: &Customer, new: &str) -> Answer<Customer> {
        self.app.change_password(call(), customer.id, customer.version, secret(OLD), secret(new)).await
    }

    /// The same without waiting for the answer, in the process's own threads.
    pub fn begin_change(&self, customer: &Customer, new: &str) -> JoinHandle<Answer<Customer>> {
        let (app, id, version, new) = (self.app.clone(), customer.id, customer.version, new.to_owned());
        self.runtime
            .as_ref()
            .unwrap()
            .spawn(async move { app.change_password(call(), id, version, secret(OLD), secret(&new)).await })
    }

    /// Whether the password is the one that is stored here.
    pub async fn has(&self, customer: &Customer, password: &str) -> bool {
        let id = customer.id;
        let look = move |tx: &mut dyn Tx| credential::by_customer(tx, &demo(), id);
        let stored = self.app.store.read(look).await.unwrap();
        self.app.hash.verify(Lane::SignIn, secret(password), stored).await.unwrap().matches
    }

    /// Ends at once, wherever it is.
    pub fn kill(mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }

    /// Ends in order.
    pub async fn end(mut self) {
        self.stop.send_replace(true);
        self.running.take().unwrap().await.unwrap();
        self.runtime.take().unwrap().shutdown_background();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// What must be true of a customer whenever no step is at work: provider and database have the same password, or an
/// operation says that this is not known; each change that happened was told once; no secret is left.
pub async fn check(stage: &Stage<'_>, process: &Process, customer: &Customer, user: &str) {
    let operations: Vec<_> =
        stage.operations().await.into_iter().filter(|operation| operation.customer == customer.id).collect();
    let unsure = operations.iter().any(|operation| matches!(operation.state(), State::Open | State::Diverged));
    let log: Vec<_> = operations.iter().map(|operation| &operation.log).collect();
    if let Some(there) = stage.provider.password(user) {
        assert!(unsure || process.has(customer, &there).await, "provider and database differ: {log:?}");
    }
    let committed =
        operations.iter().filter(|operation| matches!(operation.state(), State::Closing | State::Committed));
    let told = stage.told(customer.id).await;
    assert_eq!(told, i64::try_from(committed.count()).unwrap(), "messages: {log:?}");
    // The entry that says that the password was set here, and the message by which the customer is mailed: both or none.
    let entries = stage.activity(customer.id).await;
    let set = entries.iter().filter(|(id, outcome)| (*id, outcome.as_str()) == (4010, "done")).count();
    assert_eq!(told, i64::try_from(set).unwrap(), "entries of {log:?}");
    let secrets = "SELECT count(sealed) + count(hash) FROM operation WHERE state <> 'open'";
    assert_eq!(stage.count(secrets).await, 0, "a secret is left: {log:?}");
    let reserved = "SELECT count(*) FROM token WHERE reserved_by IS NOT NULL AND reserved_by NOT IN
                        (SELECT id FROM operation WHERE state = 'open')";
    assert_eq!(stage.count(reserved).await, 0, "a token stays reserved: {log:?}");
    let entries = Sql::both("ENTRIES", "SELECT facts FROM log");
    let texts = stage.store.read(move |tx| query_all(tx, &entries, &[], |row| row.text(0))).await.unwrap();
    assert!(!texts.iter().any(|text| text.contains(NEW) || text.contains(OLD)), "a password in the log");
}
