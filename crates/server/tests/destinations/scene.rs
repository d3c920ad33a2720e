//! A project, a relay and a receiver with a wire between them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use keyherald::deliver::{Settings, opener};
use keyherald::destination::{Context, Delivery, Destination, Policy, Validated, kind};
use keyherald::outbound::client::{ClientSettings, http_client};
use keyherald::outbound::guard::Guard;
use keyherald_core::customer::Customer;
use keyherald_core::delivery::Outcome;
use keyherald_core::id::{CustomerId, MessageId, SubscriptionId};
use keyherald_core::subscription::DestinationSettings;
use keyherald_core::{Ctx, Micros};
use keyherald_store::testing::TestStore;
use serde_json::{Map, Value};

use crate::receiver::{Got, Receiver};
use crate::stage::{RunningRelay, Stage, settings};
use crate::tap::Tap;

/// Far longer than any answer takes.
pub const PATIENT: Duration = Duration::from_secs(30);
/// Not longer than a test likes to wait for an answer that does not come.
pub const IMPATIENT: Duration = Duration::from_secs(2);

/// One kind's receiver, at the end of a wire.
pub struct Scene<R> {
    pub receiver: R,
    pub tap: Tap,
    policy: Policy,
    settings: Map<String, Value>,
    secret: Option<Vec<u8>>,
}

impl<R: Receiver> Scene<R> {
    pub async fn new() -> Self {
        let receiver = R::start().await;
        let tap = Tap::to(receiver.address()).await;
        let draft = receiver.draft("127.0.0.1", tap.port);
        let policy = receiver.policy(open(), "127.0.0.1", tap.port);
        let checked = kind(R::KIND).unwrap().validate(draft.as_object().unwrap(), &policy, &mut ctx());
        let checked = checked.unwrap_or_else(|invalid| panic!("{invalid}"));
        let secret = checked.secret.map(|secret| secret.to_vec());
        Self { receiver, tap, policy, settings: checked.settings, secret }
    }

    /// The destination, with so much time for an attempt.
    pub fn destination(&self, attempt_timeout: Duration) -> Arc<dyn Destination> {
        let secret = self.secret.as_deref();
        kind(R::KIND).unwrap().open(&self.settings, secret, &self.context(attempt_timeout)).unwrap()
    }

    /// What senders to it are made with.
    pub fn context(&self, attempt_timeout: Duration) -> Context {
        self.receiver.prepared(context(self.policy.clone(), attempt_timeout), self.tap.port)
    }

    /// A subscription of the project to it, and a relay that delivers to it.
    pub async fn relay(&self, stage: &Stage, in_flight_max: usize) -> (RunningRelay, SubscriptionId) {
        let to = DestinationSettings { kind: R::KIND.to_owned(), settings: self.settings.clone() };
        relay(stage, to, self.secret.as_deref(), (self.context(PATIENT), in_flight_max)).await
    }

    /// Everything has arrived, in order; answers how many copies came.
    pub async fn check(&self, customers: &[Customer]) -> usize {
        check::<R>(&self.receiver.got().await, customers)
    }
}

async fn relay(
    stage: &Stage,
    to: DestinationSettings,
    secret: Option<&[u8]>,
    (context, in_flight_max): (Context, usize),
) -> (RunningRelay, SubscriptionId) {
    let id = stage.subscribe_to(to, secret, &[]).await.id;
    let settings = Settings { in_flight_max, attempt_max: PATIENT * 2, ..settings() };
    (stage.start(opener(context), settings), id)
}

/// A subscription of the project to where a draft leads, and a relay that delivers there.
#[cfg(feature = "kafka")]
pub async fn relay_to(stage: &Stage, draft: &Value, in_flight_max: usize) -> (RunningRelay, SubscriptionId) {
    let name = draft["type"].as_str().unwrap();
    let made = made(name, draft, &open());
    let to = DestinationSettings { kind: name.to_owned(), settings: made.settings };
    relay(stage, to, made.secret.as_ref().map(|secret| secret.as_slice()), (context(open(), PATIENT), in_flight_max))
        .await
}

/// What arrived of each customer: the sequence numbers by their first arrival, and how many copies came later.
fn arrived<R: Receiver>(got: &[Got]) -> (BTreeMap<String, Vec<i64>>, usize) {
    let (mut sequences, mut seen) = (BTreeMap::<String, Vec<i64>>::new(), Vec::new());
    for Got { id, body } in got {
        let body: Value = serde_json::from_slice(body).unwrap();
        assert_eq!(*id, R::spelled(body["id"].as_str().unwrap().parse().unwrap()));
        if !seen.contains(id) {
            seen.push(id.clone());
            let customer = body["resource"]["id"].as_str().unwrap().to_owned();
            sequences.entry(customer).or_default().push(body["sequenceNumber"].as_i64().unwrap());
        }
    }
    (sequences, got.len() - seen.len())
}

/// Everything has arrived, in order; answers how many copies came.
pub fn check<R: Receiver>(got: &[Got], customers: &[Customer]) -> usize {
    let (mut sequences, copies) = arrived::<R>(got);
    for customer in customers {
        let all: Vec<i64> = (1..=customer.version).collect();
        assert_eq!(sequences.remove(&customer.id.to_string()), Some(all));
    }
    assert!(sequences.is_empty());
    copies
}

/// The authority of the certificates with which services of the tests speak TLS.
pub const AUTHORITY: &str = include_str!("../mail/certificates/authority.pem");

/// Sends one message to where a draft leads.
pub async fn attempt(name: &str, draft: &Value, attempt_timeout: Duration) -> Outcome {
    attempt_by(open(), name, draft, attempt_timeout).await
}

/// The same, if this is what the operator allows.
pub async fn attempt_by(policy: Policy, name: &str, draft: &Value, attempt_timeout: Duration) -> Outcome {
    opened(name, draft, &policy, attempt_timeout).send(delivery(1, b"{}")).await
}

/// The destination where a draft leads.
pub fn opened(name: &str, draft: &Value, policy: &Policy, attempt_timeout: Duration) -> Arc<dyn Destination> {
    let made = made(name, draft, policy);
    let secret = made.secret.as_ref().map(|secret| secret.as_slice());
    kind(name).unwrap().open(&made.settings, secret, &context(policy.clone(), attempt_timeout)).unwrap()
}

fn made(name: &str, draft: &Value, policy: &Policy) -> Validated {
    let made = kind(name).unwrap().validate(draft.as_object().unwrap(), policy, &mut ctx());
    made.unwrap_or_else(|invalid| panic!("{invalid}"))
}

/// A project of its own.
pub async fn stage() -> (TestStore, Stage) {
    let store = TestStore::sqlite().await;
    let stage = Stage::new(&store).await;
    (store, stage)
}

/// Sends until it is taken: what was on its way when the wire changed may fail first.
pub async fn until_delivered(destination: &dyn Destination, delivery: &Delivery) {
    let tries = async { while destination.send(delivery.clone()).await != Outcome::Delivered {} };
    assert!(tokio::time::timeout(PATIENT, tries).await.is_ok(), "it is never taken");
}

/// Every address may be called, and nothing needs TLS.
pub fn open() -> Policy {
    Policy { allow_http: true, guard: Guard::open(), google: true, ..Policy::default() }
}

pub fn context(policy: Policy, attempt_timeout: Duration) -> Context {
    let guard = policy.guard.clone();
    let connect_timeout = Duration::from_secs(5);
    let client = ClientSettings { guard, connect_timeout, attempt_timeout, idle_max: 4, tls: None };
    Context {
        http: http_client(&client).unwrap(),
        policy,
        attempt_timeout,
        office: None,
        switchboard: None,
        wallets: None,
        google: None,
    }
}

/// A message; each number has another id.
pub fn delivery(number: u8, body: &[u8]) -> Delivery {
    let mut ctx = Ctx::new(Micros(1_760_000_000_000_000), [number; 32]);
    Delivery {
        message_id: MessageId::new(&mut ctx),
        sequence: Some(1),
        customer: CustomerId::new(&mut ctx),
        project: "demo".parse().unwrap(),
        created_at: ctx.now,
        attempt: 1,
        now: ctx.now,
        content_type: "application/json; charset=utf-8",
        body: body.to_vec(),
        event: None,
        is_replay: false,
        trace: None,
    }
}

pub fn ctx() -> Ctx {
    Ctx::new(Micros(1_760_000_000_000_000), [9; 32])
}

/// A message in the form `Platform` of so many bytes.
pub fn large(bytes: usize) -> Vec<u8> {
    let message = |last_name: &str| {
        let message = serde_json::json!({"notificationType": "Message", "projectKey": "demo", "id": "m", "version": 1,
            "sequenceNumber": 2, "resource": {"typeId": "customer", "id": "c"}, "resourceVersion": 2,
            "resourceUserProvidedIdentifiers": {}, "type": "CustomerLastNameSet", "lastName": last_name});
        message.to_string().into_bytes()
    };
    let frame = message("").len();
    message(&"x".repeat(bytes - frame))
}
