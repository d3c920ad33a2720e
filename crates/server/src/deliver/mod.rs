//! The relay: how committed messages reach their subscribers.
//!
//! One [`tail`] follows the log and keeps its newest entries in a [`window`]; one [`mod@dispatch`]er per subscription takes
//! them from there, in the order of the log, and sends them through its lanes: one message of a customer at a time,
//! many customers at once. This file starts and stops the dispatchers as subscriptions come and go.
//!
//! **Guarantee**: at least once, in order per customer by first arrival, under the same message id. What is kept for it
//! is a cursor per partition, a row per customer that waits, and dead letters; not a row per delivery.
//!
//! Where several nodes share a database, each delivers the partitions that it has leased ([`node`]); what a dispatcher may
//! do is its [`tenure`].
//!
//! Time and chance come from [`Moments`]; what is decided by them is decided in
//! [`keyherald_core::relay`], which has no I/O.

mod attempts;
mod compiled;
mod counters;
mod dispatch;
mod horizon;
mod ledger;
mod node;
mod pace;
mod shown;
mod tail;
mod tenure;
mod try_out;
mod window;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use keyherald_core::delivery::{BreakerSettings, OnExhausted, RetrySchedule};
use keyherald_core::id::SubscriptionId;
use keyherald_core::lease::{Fate, PartitionSet};
use keyherald_core::relay::lanes::Policy;
use keyherald_core::relay::ledger::Ended;
use keyherald_core::seal::KeyRing;
use keyherald_core::subscription::{Subscription, SubscriptionStatus};
use keyherald_store::subscription::{self, Stored};
use keyherald_store::{Fault, Store};
use tokio::sync::{Mutex, watch};
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};

pub use attempts::Attempts;
pub use compiled::{Compiled, read_predicate, try_template};
pub use counters::{Counters, Figures, Gauge};
pub use horizon::Horizon;
pub use node::NodeSettings;
pub use try_out::{CannotTryOut, TriedOut, try_out};

use self::dispatch::Dispatcher;
use self::ledger::Claims;
use self::node::Node;
use self::tenure::Tenure;
use self::window::Window;
use crate::clock::Moments;
use crate::destination::{self, CannotOpen, Destination, Endurance, Rules};
use crate::format::EventIds;
use crate::trace::Tracer;

/// How the relay works, with its limits.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The waits between attempts.
    pub schedule: RetrySchedule,
    /// What follows the last one, where a destination gives up at all.
    pub on_exhausted: OnExhausted,
    /// When a whole subscription rests.
    pub breaker: BreakerSettings,
    /// Messages of one subscription on their way at the same time.
    pub in_flight_max: usize,
    /// Messages of one subscription in memory.
    pub buffer_max: usize,
    /// Customers of one subscription that wait for a retry or for an operator.
    pub parked_max: usize,
    /// The log's newest entries in memory, for all subscriptions together.
    pub window_max: usize,
    /// Entries read from the log at once.
    pub page_size: i64,
    /// Entries of one waiting customer read at once.
    pub lane_page_size: i64,
    /// How long an attempt may take, whatever its destination thinks: less than half a lease.
    pub attempt_max: Duration,
    /// Progress is written this long after it was made ...
    pub save_every: Duration,
    /// ... or after this many messages.
    pub save_after: usize,
    /// How often the log is looked at without a commit.
    pub poll: Duration,
    /// How often subscriptions are read without a word of a change.
    pub reread: Duration,
    /// How long a wait for a moment lasts before the clock is looked at again.
    pub tick: Duration,
    /// How long messages on their way are waited for at the end.
    pub drain: Duration,
    /// What event records are rendered with.
    pub event_ids: EventIds,
    /// How the work is shared with other processes on the same database. `None`: there are none.
    pub node: Option<NodeSettings>,
    /// Where attempts are noted. `None`: nowhere.
    pub attempts: Option<Attempts>,
    /// What makes the spans of attempts.
    pub tracer: Tracer,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            schedule: RetrySchedule::default(),
            on_exhausted: OnExhausted::default(),
            breaker: BreakerSettings::default(),
            in_flight_max: 64,
            buffer_max: 1024,
            parked_max: 100_000,
            window_max: 64,
            page_size: 512,
            lane_page_size: 64,
            attempt_max: Duration::from_mins(1),
            save_every: Duration::from_millis(250),
            save_after: 1024,
            poll: Duration::from_secs(1),
            reread: Duration::from_secs(5),
            tick: Duration::from_secs(1),
            drain: Duration::from_secs(20),
            event_ids: EventIds::default(),
            node: None,
            attempts: None,
            tracer: Tracer::default(),
        }
    }
}

impl Settings {
    fn lanes(&self, opened: &Opened) -> Policy {
        let rules = opened.rules;
        Policy {
            schedule: match opened.endurance {
                Some(endurance) => self.schedule.within(endurance.tries_for),
                None => self.schedule.clone(),
            },
            on_exhausted: self.on_exhausted,
            persistence: rules.persistence,
            gone_disables: rules.gone_disables,
            breaker: self.breaker,
            in_flight_max: self.in_flight_max.min(opened.destination.in_flight_max()).max(1),
            buffer_max: self.buffer_max.max(1),
            parked_max: self.parked_max,
        }
    }
}

/// A destination and its rules.
#[derive(Clone)]
pub struct Opened {
    /// Where messages go.
    pub destination: Arc<dyn Destination>,
    /// How its deliveries end.
    pub rules: Rules,
    /// How long they go on in vain, where that is not the operator's to say.
    pub endurance: Option<Endurance>,
}

/// Makes destinations of stored subscriptions.
pub type Opener = Arc<dyn Fn(&Stored) -> Result<Opened, CannotOpen> + Send + Sync>;

/// The opener of all kinds in the list.
pub fn opener(context: destination::Context) -> Opener {
    Arc::new(move |stored| {
        let to = &stored.subscription.destination;
        let kind = destination::kind(&to.kind).ok_or(CannotOpen("its kind is not known"))?;
        let secret = stored.secret.as_ref().map(|secret| secret.as_slice());
        let (rules, endurance) = (kind.rules(&to.settings), kind.endurance());
        Ok(Opened { destination: kind.open(&to.settings, secret, &context)?, rules, endurance })
    })
}

/// What all parts of the relay use.
struct Shared {
    store: Store,
    ring: Arc<KeyRing>,
    moments: Moments,
    settings: Settings,
    window: Window,
    counters: Arc<Counters>,
    claims: Claims,
}

/// The relay. [`Relay::run`] can be started again after it ended: it goes on from what is stored.
pub struct Relay {
    shared: Arc<Shared>,
    opener: Opener,
    changed: watch::Receiver<u64>,
    /// Outlives a run: one that is started again is still a member.
    node: Mutex<Node>,
}

/// A dispatcher that is running.
struct Running {
    stored: Arc<Stored>,
    tenure: Tenure,
    task: AbortHandle,
    stop: watch::Sender<bool>,
}

/// The dispatchers and the tail.
struct Crew {
    tail: JoinSet<()>,
    tasks: JoinSet<Ended>,
    running: BTreeMap<SubscriptionId, Running>,
    /// What new dispatchers are born with.
    tenure: Tenure,
    /// Subscriptions that could not be opened, so that it is said once.
    unusable: BTreeSet<SubscriptionId>,
}

impl Crew {
    fn new(tenure: Tenure) -> Self {
        let (tail, tasks) = (JoinSet::new(), JoinSet::new());
        Self { tail, tasks, running: BTreeMap::new(), tenure, unusable: BTreeSet::new() }
    }

    /// What is being delivered, or still is although it should not.
    fn at_work(&self) -> PartitionSet {
        self.running.values().fold(PartitionSet::EMPTY, |all, running| all.with(running.tenure.partitions()))
    }
}

impl Relay {
    /// A relay over an open store. `changed` moves when this process makes or deletes a subscription.
    pub fn new(
        store: Store,
        ring: Arc<KeyRing>,
        moments: Moments,
        opener: Opener,
        settings: Settings,
        changed: watch::Receiver<u64>,
    ) -> Self {
        let window = Window::new(settings.window_max);
        let (counters, claims) = (Arc::default(), Claims::default());
        let node = Mutex::new(Node::new(settings.node.clone()));
        let shared = Arc::new(Shared { store, ring, moments, settings, window, counters, claims });
        Self { shared, opener, changed, node }
    }

    /// What it has done.
    pub fn counters(&self) -> Arc<Counters> {
        self.shared.counters.clone()
    }

    /// Delivers until `stop` is ready; then finishes what is on its way, writes its progress, leaves what it held to other
    /// nodes and returns. Dropping the future instead loses no message: what was not written is sent again.
    pub async fn run(&self, stop: impl Future<Output = ()>) {
        let (mut stop, mut changed) = (std::pin::pin!(stop), self.changed.clone());
        let mut node = self.node.lock().await;
        let mut crew = Crew::new(node.tenure().clone());
        let settings = &self.shared.settings;
        self.shared.counters.forget_all(); // of an earlier run that was dropped
        self.shared.counters.set_partitions(crew.tenure.partitions().len());
        let (mut look_again, mut reread_at, mut turn_at) = (true, Instant::now(), Instant::now());
        loop {
            if crew.tail.is_empty() {
                let shared = self.shared.clone();
                crew.tail.spawn(async move { tail::follow(&shared).await });
            }
            changed.mark_unchanged(); // before the look, so that no change after it is missed
            if look_again {
                reread_at = Instant::now() + settings.reread;
                if let Err(fault) = self.match_subscriptions(&mut crew).await {
                    tracing::warn!(fault = ?fault, "subscriptions cannot be read; trying again");
                }
            }
            look_again = tokio::select! {
                () = &mut stop => break,
                () = sleep_until(turn_at), if node.every().is_some() => {
                    turn_at = Instant::now() + node.every().unwrap_or_default();
                    self.turn(&mut node, &mut crew).await
                }
                Ok(()) = changed.changed() => true,
                () = sleep_until(reread_at) => true,
                Some(ended) = crew.tasks.join_next_with_id() => {
                    let again = self.ended(&mut crew, ended);
                    if crew.tenure.partitions().contains(crew.at_work()) {
                        turn_at = turn_at.min(Instant::now()); // nobody is at work any more on what is to be let go
                    }
                    again
                }
                // It has no end of its own: it panicked, and the next round starts it again.
                Some(_) = crew.tail.join_next() => {
                    sleep(settings.poll).await;
                    false
                }
            };
        }
        self.stop(&mut node, crew).await;
    }

    /// This node's turn among the others. Answers whether it is to deliver something else from now on.
    async fn turn(&self, node: &mut Node, crew: &mut Crew) -> bool {
        if let Err(fault) = node.turn(&self.shared, crew.at_work()).await {
            tracing::warn!(fault = ?fault, "this node's lease cannot be renewed; trying again");
        }
        match crew.tenure.fate(node.tenure()) {
            Fate::GoesOn => return false,
            Fate::Finishes => {}
            Fate::EndsAtOnce => crew.running.values().for_each(|running| running.task.abort()),
        }
        crew.tenure = node.tenure().clone();
        self.shared.counters.set_partitions(crew.tenure.partitions().len());
        true
    }

    /// Starts dispatchers of new subscriptions and stops those of subscriptions that are deleted or have changed, or of
    /// another tenure than this node has now.
    async fn match_subscriptions(&self, crew: &mut Crew) -> Result<(), Fault> {
        let ring = self.shared.ring.clone();
        let stored = self.shared.store.read(move |tx| subscription::all(tx, &ring)).await?;
        let existing: BTreeSet<SubscriptionId> = stored.iter().map(|stored| stored.subscription.id).collect();
        crew.unusable.retain(|id| existing.contains(id));
        for (id, running) in &crew.running {
            if !existing.contains(id) {
                running.task.abort();
            }
        }
        for stored in stored {
            let id = stored.subscription.id;
            match crew.running.get(&id) {
                // It finishes what is on its way; when it has ended, another is started.
                Some(running)
                    if is_paused(&stored)
                        || has_stopped(&stored)
                        || running.tenure.fate(&crew.tenure) != Fate::GoesOn
                        || !is_same(&running.stored, &stored) =>
                {
                    running.stop.send_replace(true);
                }
                Some(_) => {}
                None if is_paused(&stored) || has_stopped(&stored) || crew.tenure.partitions().is_empty() => {}
                None => self.begin(crew, stored).await?,
            }
        }
        Ok(())
    }

    async fn begin(&self, crew: &mut Crew, stored: Stored) -> Result<(), Fault> {
        let (id, shared) = (stored.subscription.id, self.shared.clone());
        let opened = match self.open(&stored) {
            Ok(opened) => opened,
            Err(error) => {
                if crew.unusable.insert(id) {
                    tracing::error!(subscription = %id, %error, "nothing is delivered to it");
                    let (version, status) = (stored.subscription.version, SubscriptionStatus::ConfigurationError);
                    let note = move |tx: &mut dyn keyherald_store::Tx, _: &mut _| {
                        subscription::set_status(tx, id, version, status)
                    };
                    shared.store.write(&shared.moments.ctx(), note).await?;
                }
                return Ok(());
            }
        };
        crew.unusable.remove(&id);
        let (stop, stopped) = watch::channel(false);
        let (stored, tenure) = (Arc::new(stored), crew.tenure.clone());
        let task = crew.tasks.spawn(dispatch(shared, stored.clone(), opened, (tenure.clone(), stopped)));
        crew.running.insert(id, Running { stored, tenure, task, stop });
        Ok(())
    }

    /// What delivers to a subscription, or why nothing can.
    fn open(&self, stored: &Stored) -> Result<(Opened, Arc<Compiled>), String> {
        let compiled = Compiled::of(&stored.subscription).map_err(|error| error.to_string())?;
        let opened = (self.opener)(stored).map_err(|error| error.to_string())?;
        Ok((opened, Arc::new(compiled)))
    }

    /// Whether subscriptions should be looked at again at once: only if one has ended because it has changed. What
    /// ended for another reason would end again.
    fn ended(&self, crew: &mut Crew, ended: Result<(Id, Ended), JoinError>) -> bool {
        let task = match &ended {
            Ok((task, _)) => *task,
            Err(error) => error.id(),
        };
        let found = crew.running.iter().find(|(_, running)| running.task.id() == task).map(|(id, _)| *id);
        let Some(id) = found else { return false };
        crew.running.remove(&id);
        self.shared.counters.forget(id);
        match ended {
            Ok((_, Ended::Stopped | Ended::Outdated)) => return true,
            Ok((_, Ended::Disabled)) => {
                tracing::warn!(subscription = %id, "delivery has stopped until the subscription is changed");
            }
            Ok((_, Ended::Lost)) => {}
            Err(error) if error.is_cancelled() => {}
            Err(_) => tracing::error!(subscription = %id, "a dispatcher panicked; it is started again"),
        }
        false
    }

    async fn stop(&self, node: &mut Node, mut crew: Crew) {
        for running in crew.running.values() {
            running.stop.send_replace(true);
        }
        // Twice the time for messages: the rest is for the store.
        let until = Instant::now() + self.shared.settings.drain * 2;
        loop {
            let renewal = node.every().map(|every| Instant::now() + every);
            tokio::select! {
                ended = crew.tasks.join_next() => if ended.is_none() { break },
                () = sleep_until(renewal.unwrap_or(until)), if renewal.is_some() => {
                    if let Err(fault) = node.renew(&self.shared).await {
                        tracing::warn!(fault = ?fault, "this node's lease cannot be renewed; trying again");
                    }
                }
                () = sleep_until(until) => break,
            }
        }
        crew.tasks.shutdown().await; // nobody is at work on what another node takes
        node.leave(&self.shared).await;
        self.shared.counters.set_partitions(node.tenure().partitions().len());
    }
}

/// One subscription, from what is stored to its end.
async fn dispatch(
    shared: Arc<Shared>,
    stored: Arc<Stored>,
    (opened, compiled): (Opened, Arc<Compiled>),
    (tenure, mut stop): (Tenure, watch::Receiver<bool>),
) -> Ended {
    let ledger = loop {
        match ledger::load(&shared, &stored, &tenure).await {
            Ok(Some(ledger)) => break ledger,
            Ok(None) => return Ended::Lost,
            Err(fault) => tracing::warn!(fault = ?fault, "delivery state cannot be read; trying again"),
        }
        tokio::select! {
            _ = stop.changed() => return Ended::Stopped,
            () = sleep(shared.settings.poll) => {}
        }
    };
    Dispatcher::new(shared, stored, (&opened, compiled), (tenure, ledger)).run(stop).await
}

/// Whether its receiver has ended it, here or on another node.
fn has_stopped(stored: &Stored) -> bool {
    stored.subscription.status == SubscriptionStatus::ConfigurationErrorDeliveryStopped
}

/// Whether nothing that delivery depends on has changed. The status is the relay's own word.
fn is_same(one: &Stored, other: &Stored) -> bool {
    let other_subscription = Subscription { status: one.subscription.status, ..other.subscription.clone() };
    let interventions = |stored: &Stored| stored.attended.interventions;
    one.subscription == other_subscription && one.secret == other.secret && interventions(one) == interventions(other)
}

/// Whether an operator wants nothing to be sent for now.
fn is_paused(stored: &Stored) -> bool {
    stored.attended.paused_at.is_some()
}
