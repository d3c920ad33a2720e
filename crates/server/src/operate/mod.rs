//! Performs operations: a password that is set at an identity provider and here, as one.
//!
//! What is to be done next is decided in `keyherald_core::operation`, what has happened is remembered in
//! `keyherald_store::operation`; here the provider is called and the answer is committed. [`set`](Wish) is a request's
//! side: it looks up, commits the intent and waits for the outcome as long as its caller does. [`Operations::run`] is the
//! work itself: it performs what requests begin, goes on with what was put off or what a dead process left, and lets
//! nothing depend on a caller who has gone away.
//!
//! No rule of a verb is known here: a use case hands in what must hold when the intent is committed ([`Admit`]).

mod counters;
mod perform;
mod resume;
mod set;
mod turn;
mod users;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use keyherald_core::Micros;
use keyherald_core::id::{CustomerId, ProjectKey};
use keyherald_core::operation::{Limits, State};
use keyherald_core::provider::{ProviderLink, ProviderName, TrialAnswer};
use keyherald_core::seal::KeyRing;
use keyherald_core::secret::Password;
use keyherald_store::{Fault, Store, Tx, operation, provider_link};
use tokio::sync::{Mutex, mpsc, watch};

use self::counters::Counters;
pub use self::counters::Figures;
pub use self::set::{Admit, Repeat, Told, Wish};
pub use self::users::{By, LookedUp, NewUser, TokenOwner, UserChanges};
use crate::clock::Moments;
use crate::connector::{Connector, Registry};
use crate::outbox::Outbox;
use crate::trace::Tracer;

/// How operations are performed, with their limits.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long a caller is kept waiting for an outcome. Nothing that is surely undone is tried after that.
    pub answer_within: Duration,
    /// How long another write to the credential waits for the operation that is underway.
    pub wait: Duration,
    /// The lives of attempts and of sealed passwords.
    pub limits: Limits,
    /// How long a call to a provider may take, whatever its connector thinks. With the quarter of an attempt's life that
    /// sending may take, below that life.
    pub call_max: Duration,
    /// How long an operation belongs to the process that performs it, counted from each of its writes: longer than a call.
    pub lease: Duration,
    /// Operations at work in this process at the same time. Who comes when there are as many is told to come back.
    pub in_flight_max: usize,
    /// How often it is looked for operations of dead processes, and for the outcome of those that others perform.
    pub poll: Duration,
    /// What makes the spans of operations.
    pub tracer: Tracer,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            answer_within: Duration::from_secs(10),
            wait: Duration::from_secs(5),
            limits: Limits::default(),
            call_max: Duration::from_secs(20),
            lease: Duration::from_secs(30),
            in_flight_max: 256,
            poll: Duration::from_secs(1),
            tracer: Tracer::default(),
        }
    }
}

/// Which provider has the passwords of which project's customers.
#[derive(Clone, Default)]
pub struct Providers {
    /// All of them.
    pub registry: Registry,
    /// The one of a project. Absent: its customers' passwords are here alone.
    pub of_projects: BTreeMap<ProjectKey, ProviderName>,
    /// Projects whose passwords are not kept while they are set, not even sealed: nobody can go on with an operation by
    /// repeating it, only by looking what became of it.
    pub unsealed: BTreeSet<ProjectKey>,
}

/// The operations of this process. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Operations(Arc<Inner>);

/// Work on one operation, to its end or until it waits: then it says until when.
type Job = BoxFuture<'static, Option<Micros>>;

struct Inner {
    store: Store,
    ring: Arc<KeyRing>,
    moments: Moments,
    providers: Providers,
    /// What partners are told when an operation is committed.
    outbox: Arc<Outbox>,
    settings: Settings,
    /// This process, as the owner of operations.
    node: String,
    new: mpsc::Sender<Job>,
    /// For [`Operations::run`], which may be started again.
    jobs: Mutex<mpsc::Receiver<Job>>,
    /// Moves when an operation has ended in this process.
    ended: watch::Sender<u64>,
    stopping: watch::Sender<bool>,
    /// Projects without a provider in the configuration that had operations when this process started.
    left_over: OnceLock<BTreeSet<ProjectKey>>,
    counters: Counters,
}

impl Operations {
    /// Over an open store. Nothing is performed before [`Operations::run`].
    pub fn new(
        store: Store,
        ring: Arc<KeyRing>,
        moments: Moments,
        (providers, outbox): (Providers, Arc<Outbox>),
        settings: Settings,
    ) -> Self {
        let (new, jobs) = mpsc::channel(settings.in_flight_max.max(1));
        let node = moments.ctx().bytes::<8>().iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        Self(Arc::new(Inner {
            store,
            ring,
            moments,
            providers,
            outbox,
            settings,
            node,
            new,
            jobs: Mutex::new(jobs),
            ended: watch::Sender::new(0),
            stopping: watch::Sender::new(false),
            left_over: OnceLock::new(),
            counters: Counters::default(),
        }))
    }

    /// What was done since the start.
    pub fn figures(&self) -> Figures {
        self.0.counters.figures()
    }

    /// Whether a project's customers may be users of a provider.
    pub fn has_provider(&self, project: &ProjectKey) -> bool {
        self.0.providers.of_projects.contains_key(project)
    }

    /// Who a customer is at its project's provider. Asks the database only where the project has one.
    pub fn link_of(
        &self,
        tx: &mut dyn Tx,
        project: &ProjectKey,
        customer: CustomerId,
    ) -> Result<Option<ProviderLink>, Fault> {
        match self.0.providers.of_projects.get(project) {
            Some(provider) => provider_link::of_customer(tx, project, customer, provider),
            None => Ok(None),
        }
    }

    /// Whether an operation holds the customer's slot. To be asked under the customer's lock, before its credential is
    /// written or removed. Asks the database only where there can be one.
    pub fn is_underway(&self, tx: &mut dyn Tx, project: &ProjectKey, customer: CustomerId) -> Result<bool, Fault> {
        Ok(self.has_operations(project) && operation::open_of(tx, project, customer)?.is_some())
    }

    /// Whether nobody knows the customer's password: the one here counts for nothing until it was recovered.
    pub fn must_recover(&self, tx: &mut dyn Tx, project: &ProjectKey, customer: CustomerId) -> Result<bool, Fault> {
        Ok(self.has_operations(project) && !operation::diverged_of(tx, project, customer)?.is_empty())
    }

    /// How long an attempt at a provider may have an effect.
    pub fn limits(&self) -> Limits {
        self.0.settings.limits
    }

    /// Whether the provider takes a password of this length as it is.
    pub fn takes(&self, link: &ProviderLink, password: &Password) -> bool {
        let Some(provider) = self.0.provider(link) else { return true };
        let bytes = password.hash_with(<[u8]>::len);
        provider.capabilities().password_bytes_max.is_none_or(|max| usize::try_from(max).is_ok_and(|max| bytes <= max))
    }

    /// Whether the provider can tell that a password is the user's.
    pub fn can_sign_in(&self, link: &ProviderLink) -> bool {
        self.0.provider(link).is_some_and(|provider| provider.capabilities().trial_sign_in)
    }

    /// Tries to sign in at the provider.
    pub async fn sign_in(&self, link: &ProviderLink, password: &Password) -> TrialAnswer {
        self.0.try_sign_in(link, password).await
    }

    fn has_operations(&self, project: &ProjectKey) -> bool {
        let left_over = || self.0.left_over.get().is_some_and(|projects| projects.contains(project));
        self.0.providers.of_projects.contains_key(project) || left_over()
    }
}

impl Inner {
    fn provider(&self, link: &ProviderLink) -> Option<&Arc<dyn Connector>> {
        self.providers.registry.provider(&link.provider)
    }

    /// An operation has ended: whoever waits for one looks again.
    fn has_ended(&self, state: State) {
        self.counters.count(state);
        self.ended.send_modify(|count| *count = count.wrapping_add(1));
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}
