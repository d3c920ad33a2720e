//! A project with customers who change their passwords, and relays that can be stopped and dropped.

use std::sync::Arc;
use std::time::Duration;

use keyherald::clock::{Clock, ManualClock, Moments, Seeded};
use keyherald::deliver::{Counters, Opener, Relay, Settings};
use keyherald_core::create::{self, AddressUse};
use keyherald_core::credential::{AuthenticationMode, PasswordHash};
use keyherald_core::customer::{Customer, Profile};
use keyherald_core::delivery::BreakerSettings;
use keyherald_core::id::{CustomerId, ProjectKey, SubscriptionId};
use keyherald_core::initiator::Initiator;
use keyherald_core::project::Configured;
use keyherald_core::seal::{KeyRing, SealingKey};
use keyherald_core::shop::Known;
use keyherald_core::subscription::{
    self, Action, Command, DestinationSettings, FormatKind, MessageSelection, Selections, Subscription,
    SubscriptionStatus, Update,
};
use keyherald_core::{Ctx, Micros, change, update};
use keyherald_store::delivery::{DeadLetter, ParkedLane};
use keyherald_store::testing::TestStore;
use keyherald_store::{Store, Tx, customer, delivery, log, project, subscription as subscriptions};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

pub const NOW: Micros = Micros(1_760_000_000_000_000);
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Stage {
    pub store: Store,
    pub ring: Arc<KeyRing>,
    pub clock: Arc<ManualClock>,
    pub moments: Moments,
    pub project: ProjectKey,
    changed: watch::Sender<u64>,
}

impl Stage {
    pub async fn new(store: &TestStore) -> Self {
        let clock = Arc::new(ManualClock::at(NOW));
        let moments = Moments::new(clock.clone(), Arc::new(Seeded::new(7)));
        let stage = Self {
            store: (**store).clone(),
            ring: Arc::new(KeyRing::new(vec![SealingKey::new("test", [7; 32]).unwrap()]).unwrap()),
            clock,
            moments,
            project: "demo".parse().unwrap(),
            changed: watch::Sender::new(0),
        };
        stage.ensure(&stage.project).await;
        stage
    }

    pub async fn ensure(&self, project: &ProjectKey) {
        let project = project.clone();
        let configured = Configured { name: "Demo".into(), ..Configured::default() };
        let work = move |tx: &mut dyn Tx, ctx: &mut _| project::ensure(tx, &project, &configured, ctx);
        self.store.write(&self.moments.ctx(), work).await.unwrap();
    }

    /// A new customer: its message has the sequence number 1.
    pub async fn customer(&self) -> Customer {
        self.customer_of(&self.project).await
    }

    pub async fn customer_of(&self, project: &ProjectKey) -> Customer {
        let ctx = self.moments.ctx();
        let mut created = self.created();
        let customer = created.customer.clone();
        let (ring, project) = (self.ring.clone(), project.clone());
        self.store.write(&ctx, move |tx, ctx| customer::create(tx, &ring, &project, &mut created, ctx)).await.unwrap();
        customer
    }

    /// A decision to create a customer, not written.
    pub fn created(&self) -> create::Created {
        let mut ctx = self.moments.ctx();
        let command = create::Command {
            email: format!("{}@example.com", ctx.number()),
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
        create::decide(&command, &Known::default(), None, Some(hash()), &mut ctx).ok().unwrap()
    }

    pub async fn customers(&self, count: usize) -> Vec<Customer> {
        let mut customers = Vec::new();
        for _ in 0..count {
            customers.push(self.customer().await);
        }
        customers
    }

    /// Changes a password: one more message.
    pub async fn change(&self, customer: &mut Customer) {
        let command = change::Command { version: customer.version, by: Initiator::default() };
        let set = change::decide(customer, &command, true, Some(hash()), &mut self.moments.ctx()).ok().unwrap();
        *customer = set.customer.clone();
        let (ring, project) = (self.ring.clone(), self.project.clone());
        let work = move |tx: &mut dyn Tx, ctx: &mut _| customer::set_password(tx, &ring, &project, &set, ctx);
        self.store.write(&self.moments.ctx(), work).await.unwrap();
    }

    /// Sets the key: one more version, and no message.
    pub async fn rename(&self, customer: &mut Customer) {
        let key = format!("{}-{}", customer.id, customer.version).parse().unwrap();
        let actions = vec![update::Action::SetKey(Some(key))];
        let command = update::Command { version: customer.version, actions, by: Initiator::default() };
        let found = update::Found::default();
        let updated = update::decide(customer, &command, &found, None, &mut self.moments.ctx()).ok().unwrap();
        assert!(updated.messages.is_empty());
        *customer = updated.customer.clone();
        let (ring, project) = (self.ring.clone(), self.project.clone());
        let work = move |tx: &mut dyn Tx, ctx: &mut _| customer::update(tx, &ring, &project, &updated, ctx);
        self.store.write(&self.moments.ctx(), work).await.unwrap();
    }

    /// Changes the password of each of them, `rounds` times.
    pub async fn change_all(&self, customers: &mut [Customer], rounds: usize) {
        for _ in 0..rounds {
            for customer in &mut *customers {
                self.change(customer).await;
            }
        }
    }

    /// A subscription to all messages about customers, or to some types of them.
    pub async fn subscribe(&self, types: &[&str]) -> Subscription {
        self.subscribe_to(destination("https://receiver.example"), None, types).await
    }

    pub async fn subscribe_to(
        &self,
        destination: DestinationSettings,
        secret: Option<&[u8]>,
        types: &[&str],
    ) -> Subscription {
        self.subscribe_for(destination, secret, Selections { messages: of_customers(types), ..Selections::default() })
            .await
    }

    /// A subscription to all messages about customers, and to their changes.
    pub async fn subscribe_with_changes(&self) -> Subscription {
        let changes = vec!["customer".to_owned()];
        let selections = Selections { messages: of_customers(&[]), changes, ..Selections::default() };
        self.subscribe_for(destination("https://receiver.example"), None, selections).await
    }

    async fn subscribe_for(
        &self,
        destination: DestinationSettings,
        secret: Option<&[u8]>,
        selections: Selections,
    ) -> Subscription {
        let format = FormatKind::Platform;
        let (transformation, by) = (None, Initiator::default());
        let command = Command { key: None, destination, selections, format, transformation, by };
        let made = subscription::decide(&command, (0, 1), false, &mut self.moments.ctx()).unwrap();
        let (ring, project, written, secret) =
            (self.ring.clone(), self.project.clone(), made.clone(), secret.map(<[u8]>::to_vec));
        let work = move |tx: &mut dyn Tx, ctx: &mut _| {
            subscriptions::insert(tx, &ring, &project, &written, secret.as_deref(), ctx)
        };
        self.store.write(&self.moments.ctx(), work).await.unwrap();
        self.tell();
        made
    }

    /// Updates a subscription from whatever version it has.
    pub async fn update(&self, id: SubscriptionId, actions: Vec<Action>) -> Subscription {
        let (ring, project) = (self.ring.clone(), self.project.clone());
        let work = move |tx: &mut dyn Tx, ctx: &mut _| {
            assert!(subscriptions::claim(tx, &project, id)?);
            let before = subscriptions::by_id(tx, &project, id)?.unwrap();
            let update = Update { version: before.version, actions: actions.clone(), by: Initiator::default() };
            let updated = subscription::update(&before, &update, false, ctx).unwrap();
            subscriptions::update(tx, &ring, &project, &updated, None, ctx)?;
            Ok(updated.subscription)
        };
        let updated = self.store.write(&self.moments.ctx(), work).await.unwrap();
        self.tell();
        updated
    }

    pub async fn unsubscribe(&self, id: SubscriptionId) {
        let project = self.project.clone();
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            assert!(subscriptions::claim(tx, &project, id)?);
            let last = subscriptions::by_id(tx, &project, id)?.unwrap();
            subscriptions::delete(tx, &project, &last, ctx)
        };
        self.store.write(&self.moments.ctx(), work).await.unwrap();
        self.tell();
    }

    fn tell(&self) {
        self.changed.send_modify(|generation| *generation += 1);
    }

    pub fn relay(&self, opener: Opener, settings: Settings) -> Relay {
        self.relay_on(self.store.clone(), self.moments.clone(), opener, settings)
    }

    /// The relay of another process on the same database.
    pub fn relay_on(&self, store: Store, moments: Moments, opener: Opener, settings: Settings) -> Relay {
        Relay::new(store, self.ring.clone(), moments, opener, settings, self.changed.subscribe())
    }

    /// Starts a new relay.
    pub fn start(&self, opener: Opener, settings: Settings) -> RunningRelay {
        RunningRelay::of(&Arc::new(self.relay(opener, settings)))
    }

    pub async fn status(&self, id: SubscriptionId) -> SubscriptionStatus {
        let project = self.project.clone();
        let found = self.store.read(move |tx| subscriptions::by_id(tx, &project, id)).await.unwrap();
        found.unwrap().status
    }

    pub async fn parked(&self, id: SubscriptionId) -> Vec<ParkedLane> {
        self.store.read(move |tx| delivery::parked(tx, id)).await.unwrap()
    }

    pub async fn letters(&self, id: SubscriptionId) -> Vec<DeadLetter> {
        self.store.read(move |tx| delivery::dead_letters(tx, id, 100)).await.unwrap()
    }

    /// Where a customer's messages lie in the log.
    pub async fn positions(&self, customer: CustomerId) -> Vec<i64> {
        let (ring, project, now) = (self.ring.clone(), self.project.clone(), self.clock.now());
        let look = move |tx: &mut dyn Tx| log::of_customer(tx, &ring, (&project, customer), (0, i64::MAX), 100, now);
        self.store.read(look).await.unwrap().iter().map(|entry| entry.notice.position()).collect()
    }

    pub async fn cursors(&self, id: SubscriptionId) -> Vec<(u16, i64)> {
        self.store.read(move |tx| delivery::cursors(tx, id)).await.unwrap()
    }

    /// Waits for it, moving the clock on by `step` each time it is not yet so.
    pub async fn until_moving(&self, step: i64, what: &str, mut is_so: impl AsyncFnMut() -> bool) {
        let waited = tokio::time::timeout(PATIENCE, async {
            while !is_so().await {
                self.clock.advance(step);
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        });
        assert!(waited.await.is_ok(), "waited for too long until {what}; now {:?}", self.clock.now());
    }

    /// Waits until the subscription has nothing left to do, in memory and in the store, moving the clock on.
    pub async fn until_quiet(&self, relay: &RunningRelay, id: SubscriptionId) {
        let is_quiet = async || {
            let end = self.store.read(log::last_position).await.unwrap();
            let gauge = relay.counters.figures().subscriptions.get(&id).copied().unwrap_or_default();
            gauge.seen == end && gauge.buffered == 0 && gauge.parked == 0 && self.parked(id).await.is_empty()
        };
        self.until_moving(Micros::SECOND, "it is quiet", is_quiet).await;
    }

    pub async fn until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        self.until_moving(0, what, async || is_so()).await;
    }
}

pub struct RunningRelay {
    task: JoinSet<()>,
    stop: oneshot::Sender<()>,
    pub counters: Arc<Counters>,
}

impl RunningRelay {
    /// Runs a relay, perhaps not for the first time.
    pub fn of(relay: &Arc<Relay>) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let (counters, relay) = (relay.counters(), relay.clone());
        let mut task = JoinSet::new();
        task.spawn(async move { relay.run(async { drop(stopped.await) }).await });
        Self { task, stop, counters }
    }

    /// An orderly stop.
    pub async fn stop(mut self) {
        self.stop.send(()).unwrap();
        self.task.join_next().await.unwrap().unwrap();
    }

    /// Drops it at once: the store may still have writes of it.
    pub async fn drop_where_it_is(mut self) {
        self.task.abort_all();
        assert!(self.task.join_next().await.unwrap().is_err());
    }
}

/// A webhook at this URL.
pub fn destination(url: &str) -> DestinationSettings {
    let settings = serde_json::Map::from_iter([("url".to_owned(), url.into())]);
    DestinationSettings { kind: "Webhook".to_owned(), settings }
}

/// Messages about customers: all, or some types.
pub fn of_customers(types: &[&str]) -> Vec<MessageSelection> {
    let types = types.iter().map(|name| (*name).to_owned()).collect();
    vec![MessageSelection { resource_type: "customer".to_owned(), types }]
}

fn hash() -> PasswordHash {
    PasswordHash::parse("$argon2id$v=19$m=8,t=1,p=1$AAAA$aGg").unwrap()
}

/// Settings for tests: short pauses; the clock is moved by hand; the breaker keeps out of the way.
pub fn settings() -> Settings {
    Settings {
        tick: Duration::from_millis(5),
        poll: Duration::from_millis(50),
        reread: Duration::from_millis(200),
        save_every: Duration::from_millis(10),
        breaker: BreakerSettings { failures: 1_000_000, ..BreakerSettings::default() },
        ..Settings::default()
    }
}
