//! What operators do about deliveries, through the calls that they make, with a relay at work. On both engines.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "deliveries/filters.rs"]
mod filters;
#[path = "relay/scripted.rs"]
#[expect(dead_code, reason = "parts of it are for other tests")]
mod scripted;
#[path = "support/mod.rs"]
#[expect(dead_code, reason = "parts of it are for other tests")]
mod support;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::Method;
use keyherald::deliver::{Attempts, NodeSettings, Relay, Settings};
use keyherald_core::delivery::{BreakerSettings, OnExhausted, Outcome, RetrySchedule};
use keyherald_core::id::{CustomerId, MessageId};
use keyherald_store::testing::block_on;
use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use filters::{
    stores_and_flows_are_those_of_the_message, what_is_filtered_out_is_not_owed_and_holds_up_nothing,
    what_no_template_fits_is_put_aside_and_can_be_sent_again,
};
use scripted::{Scripted, temporary, to};
use support::TestServer;

const PATIENCE: Duration = Duration::from_secs(30);

macro_rules! on_both {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            #[test]
            fn sqlite() {
                super::block_on(async { super::$name(&super::TestServer::sqlite().await).await });
            }

            #[test]
            #[ignore = "needs PostgreSQL: cargo xtask test starts one"]
            fn postgres() {
                super::block_on(async { super::$name(&super::TestServer::postgres().await).await });
            }
        }
    )*};
}

on_both! {
    what_is_held_is_retried_or_skipped_and_comes_again,
    nothing_is_sent_while_it_is_paused_and_nothing_is_lost,
    everything_is_sent_once_more_in_order_and_marked,
    what_is_sent_once_more_keeps_its_pace,
    what_is_above_the_cursor_is_never_passed_over,
    every_attempt_is_noted,
    what_is_not_there_is_not_found,
    what_is_filtered_out_is_not_owed_and_holds_up_nothing,
    stores_and_flows_are_those_of_the_message,
    what_no_template_fits_is_put_aside_and_can_be_sent_again,
}

/// A subscription whose receiver refuses the messages of some customers.
struct Stage<'s> {
    server: &'s TestServer,
    token: String,
    id: String,
    receiver: Arc<Scripted>,
    failing: Arc<Mutex<BTreeSet<CustomerId>>>,
    /// Messages that came as a replay.
    replayed: Arc<Mutex<Vec<MessageId>>>,
    attempts: Attempts,
    relays: Vec<Arc<Relay>>,
    task: JoinSet<()>,
    _stops: Vec<oneshot::Sender<()>>,
}

impl<'s> Stage<'s> {
    async fn new(server: &'s TestServer) -> Self {
        Self::among(server, None).await
    }

    /// With a relay that the server tells of what is done, or with as many that are other nodes': those look for themselves.
    async fn among(server: &'s TestServer, nodes: Option<usize>) -> Self {
        let draft = json!({
            "destination": {"type": "Webhook", "url": "https://example.com/hook"},
            "messages": [{"resourceTypeId": "customer"}, {"resourceTypeId": "customer-password-token"}],
        });
        Self::subscribed(server, nodes, &draft).await
    }

    async fn subscribed(server: &'s TestServer, nodes: Option<usize>, draft: &Value) -> Self {
        let token = server.token("demo-client").await;
        let made = server.json(&token, Method::POST, "/demo/subscriptions", draft).await.json();
        let (failing, replayed) = (Arc::<Mutex<BTreeSet<CustomerId>>>::default(), Arc::<Mutex<Vec<_>>>::default());
        let (refused, again) = (failing.clone(), replayed.clone());
        let receiver = Scripted::new(move |delivery| {
            if delivery.is_replay {
                again.lock().unwrap().push(delivery.message_id);
            }
            if refused.lock().unwrap().contains(&delivery.customer) { temporary() } else { Outcome::Delivered }
        });
        let attempts = Attempts::default();
        let settings = Settings {
            schedule: RetrySchedule { waits: vec![0], ..RetrySchedule::default() },
            on_exhausted: OnExhausted::Hold,
            breaker: BreakerSettings { failures: 1_000_000, ..BreakerSettings::default() },
            tick: Duration::from_millis(5),
            poll: Duration::from_millis(50),
            reread: Duration::from_millis(50),
            save_every: Duration::from_millis(10),
            attempts: Some(attempts.clone()),
            ..Settings::default()
        };
        let app = &server.app;
        let (mut task, mut relays, mut stops) = (JoinSet::new(), Vec::new(), Vec::new());
        for _ in 0..nodes.unwrap_or(1) {
            let every = Duration::from_millis(20);
            let node = nodes.map(|_| NodeSettings { every, ..NodeSettings::new(None, Duration::from_hours(1)) });
            let settings = Settings { node, ..settings.clone() };
            let changed = nodes.map_or_else(|| app.subscriptions_changed.subscribe(), |_| watch::channel(0).1);
            let (store, ring, moments) = (app.store.clone(), app.ring.clone(), app.moments.clone());
            let relay = Arc::new(Relay::new(store, ring, moments, to(&receiver), settings, changed));
            let ((stop, stopped), running) = (oneshot::channel::<()>(), relay.clone());
            task.spawn(async move { running.run(async { drop(stopped.await) }).await });
            relays.push(relay);
            stops.push(stop);
        }
        let id = made["id"].as_str().unwrap().to_owned();
        Self { server, token, id, receiver, failing, replayed, attempts, relays, task, _stops: stops }
    }

    async fn call(&self, method: Method, path: &str) -> (u16, Value) {
        let answered = self.server.json(&self.token, method, &format!("/admin/demo/{path}"), &Value::Null).await;
        (answered.status.as_u16(), answered.json())
    }

    async fn get(&self, path: &str) -> Value {
        let (status, body) = self.call(Method::GET, path).await;
        assert_eq!(status, 200, "{path} {body}");
        body
    }

    /// Does something to the subscription.
    async fn act(&self, verb: &str) -> Value {
        let (status, body) = self.call(Method::POST, &format!("deliveries/{}/{verb}", self.id)).await;
        assert_eq!(status, 200, "{verb} {body}");
        body
    }

    async fn standing(&self) -> Value {
        self.get("deliveries").await["results"][0].clone()
    }

    async fn letters(&self) -> Vec<Value> {
        self.get(&format!("deliveries/{}/letters", self.id)).await["results"].as_array().unwrap().clone()
    }

    async fn until(&self, what: &str, mut is_so: impl AsyncFnMut(&Self) -> bool) {
        let waited = timeout(PATIENCE, async {
            while !is_so(self).await {
                sleep(Duration::from_millis(5)).await;
            }
        });
        assert!(waited.await.is_ok(), "waited for too long until {what}: {}", self.standing().await);
    }

    async fn until_owed_nothing(&self) {
        let is_quiet = async |stage: &Self| {
            let standing = stage.standing().await;
            standing["lagMessages"] == 0 && standing["waitingCustomers"] == 0
        };
        self.until("nothing is owed", is_quiet).await;
    }

    async fn customer(&self, name: &str) -> CustomerId {
        self.server.customer(&format!("{name}@example.com"), "secret").await.id
    }

    async fn token_of(&self, name: &str) {
        let body = json!({"email": format!("{name}@example.com")});
        let path = "/demo/customers/password-token";
        assert_eq!(self.server.json(&self.token, Method::POST, path, &body).await.status.as_u16(), 200);
    }

    /// The ids of all messages, or of a customer's, in the order of the log.
    async fn told(&self, customer: Option<CustomerId>) -> Vec<Value> {
        let of = customer.map_or_else(String::new, |customer| format!("?customerId={customer}"));
        let path = format!("/feed/demo/messages{of}");
        let page = self.server.json(&self.token, Method::GET, &path, &Value::Null).await.json();
        page["results"].as_array().unwrap().iter().map(|message| message["id"].clone()).collect()
    }

    fn partitions(&self) -> Vec<u32> {
        self.relays.iter().map(|relay| relay.counters().figures().partitions).collect()
    }

    async fn until_nobody_delivers(&self) {
        let is_quiet = |relay: &Arc<Relay>| relay.counters().figures().subscriptions.is_empty();
        self.until("nothing is dispatched", async |stage| stage.relays.iter().all(is_quiet)).await;
    }

    fn replays(&self) -> usize {
        self.replayed.lock().unwrap().len()
    }

    fn arrived(&self, customer: CustomerId) -> Vec<MessageId> {
        let accepted = self.receiver.of(customer).into_iter().filter(|arrival| arrival.outcome == Outcome::Delivered);
        accepted.map(|arrival| arrival.message).collect()
    }

    fn refuse(&self, customer: Option<CustomerId>) {
        *self.failing.lock().unwrap() = customer.into_iter().collect();
    }
}

/// The first message of a customer is held; the second waits behind it.
async fn with_one_held(stage: &Stage<'_>) -> CustomerId {
    // Nobody knows the id of the customer before its message is there: the receiver holds its answers meanwhile.
    stage.receiver.hold(true);
    let customer = stage.customer("held").await;
    stage.refuse(Some(customer));
    stage.receiver.hold(false);
    stage.until("it is held", async |stage| stage.standing().await["heldCustomers"] == 1).await;
    stage.token_of("held").await;
    customer
}

async fn what_is_held_is_retried_or_skipped_and_comes_again(server: &TestServer) {
    let stage = Stage::new(server).await;
    let customer = with_one_held(&stage).await;
    let waiting = stage.get(&format!("deliveries/{}/waiting?customerId={customer}", stage.id)).await;
    assert_eq!((&waiting["results"][0]["attempts"], waiting["results"][0].get("nextAt")), (&json!(1), None));

    // Tried again, in vain.
    assert_eq!(stage.act("retry").await["lanes"], 1);
    stage.until("it was tried again", async |stage| stage.receiver.of(customer).len() == 2).await;
    stage.until("it is held", async |stage| stage.standing().await["heldCustomers"] == 1).await;

    stage.refuse(None);
    let skipped = stage.act(&format!("skip?customerId={customer}")).await["messageId"].clone();
    stage.until("the second arrives", async |stage| stage.arrived(customer).len() == 1).await;
    stage.until_owed_nothing().await;
    let letters = stage.letters().await;
    assert_eq!((letters.len(), &letters[0]["reason"], &letters[0]["messageId"]), (1, &json!("skipped"), &skipped));
    assert_eq!(stage.standing().await["deadLetters"], 1);

    // Sent after all, and what came after it again, so that the order is kept.
    let letter = letters[0]["id"].as_str().unwrap();
    stage.act(&format!("replay?letterId={letter}")).await;
    stage.until("both arrive", async |stage| stage.arrived(customer).len() == 3).await;
    stage.until_owed_nothing().await;
    let arrived = stage.arrived(customer);
    assert_eq!((json!(arrived[1].to_string()), arrived[2]), (skipped, arrived[0]));
    assert_eq!(*stage.replayed.lock().unwrap(), arrived[1..]);
    assert!(stage.letters().await.is_empty());

    // One that nobody wants any more.
    let other = stage.customer("other").await;
    stage.until("it arrives", async |stage| stage.arrived(other).len() == 1).await;
    stage.refuse(Some(other));
    stage.token_of("other").await;
    stage.until("it is held", async |stage| stage.standing().await["heldCustomers"] == 1).await;
    stage.act(&format!("skip?customerId={other}")).await;
    let letter = stage.letters().await[0]["id"].as_str().unwrap().to_owned();
    stage.act(&format!("drop?letterId={letter}")).await;
    assert!(stage.letters().await.is_empty());
    let (status, _) = stage.call(Method::POST, &format!("deliveries/{}/drop?letterId={letter}", stage.id)).await;
    assert_eq!(status, 404);
    stage.refuse(None);
    stage.until_owed_nothing().await;
    assert_eq!(stage.arrived(other).len(), 1, "what was dropped does not come");
}

async fn nothing_is_sent_while_it_is_paused_and_nothing_is_lost(server: &TestServer) {
    let mut stage = Stage::new(server).await;
    let before = stage.customer("before").await;
    stage.until("it arrives", async |stage| stage.arrived(before).len() == 1).await;
    stage.act("pause").await;
    stage.until_nobody_delivers().await;
    let meanwhile = stage.customer("meanwhile").await;
    server.clock.advance(90_000_000);
    let standing = stage.standing().await;
    assert!(standing["pausedAt"].is_string());
    assert_eq!((&standing["lagMessages"], &standing["lagSeconds"]), (&json!(1), &json!(90)));
    assert!(stage.arrived(meanwhile).is_empty());
    stage.act("resume").await;
    stage.until("it arrives", async |stage| stage.arrived(meanwhile).len() == 1).await;
    stage.until_owed_nothing().await;
    assert_eq!(stage.standing().await.get("pausedAt"), None);
    stage.task.abort_all();
}

async fn everything_is_sent_once_more_in_order_and_marked(server: &TestServer) {
    let stage = Stage::new(server).await;
    let mut customers = Vec::new();
    for number in 0..4 {
        customers.push(stage.customer(&format!("c{number}")).await);
        stage.token_of(&format!("c{number}")).await;
    }
    stage.until("everything has arrived", async |stage| stage.receiver.accepted() == 8).await;
    stage.until_owed_nothing().await;
    assert!(stage.replayed.lock().unwrap().is_empty());

    stage.act("replay?after=0&perSecond=1000").await;
    stage.until("all comes again", async |stage| stage.replayed.lock().unwrap().len() == 8).await;
    stage.until_owed_nothing().await;
    for customer in &customers {
        let arrived = stage.arrived(*customer);
        assert_eq!((arrived.len(), &arrived[..2]), (4, &arrived[2..]), "the same, in the same order");
    }
    // What is new is not marked.
    stage.token_of("c0").await;
    stage.until("it arrives", async |stage| stage.arrived(customers[0]).len() == 5).await;
    assert_eq!(stage.replayed.lock().unwrap().len(), 8);

    // Of one customer, after a position; then since a time.
    let position = stage.get("attempts?limit=1").await["results"].as_array().unwrap().len();
    assert_eq!(position, 0, "nothing is written before somebody writes it");
    stage.act(&format!("replay?customerId={}&after=0", customers[1])).await;
    stage.until("its own come again", async |stage| stage.arrived(customers[1]).len() == 6).await;
    stage.until_owed_nothing().await;
    assert_eq!(stage.replayed.lock().unwrap().len(), 10);
    stage.act("replay?since=2000-01-01T00:00:00Z").await;
    stage.until("all comes again", async |stage| stage.replayed.lock().unwrap().len() == 19).await;
    stage.until_owed_nothing().await;
}

async fn what_is_sent_once_more_keeps_its_pace(server: &TestServer) {
    let stage = Stage::new(server).await;
    let customer = stage.customer("often").await;
    for _ in 0..9 {
        stage.token_of("often").await;
    }
    stage.until("everything has arrived", async |stage| stage.receiver.accepted() == 10).await;
    stage.until_owed_nothing().await;
    for what in [format!("customerId={customer}&after=0"), "after=0".to_owned()] {
        stage.replayed.lock().unwrap().clear();
        stage.act(&format!("replay?{what}&perSecond=10")).await;
        stage.until("it begins", async |stage| stage.replays() > 0).await;
        // The clock stands still. What is new meanwhile comes all the same, or behind what is sent once more to all.
        let other = stage.customer(if what.len() > 10 { "one" } else { "other" }).await;
        if what.len() > 10 {
            stage.until("another's arrives", async |stage| stage.arrived(other).len() == 1).await;
        }
        stage.until("it waits", async |stage| stage.standing().await["lagMessages"] != 0).await;
        assert!(stage.replays() <= 2, "{}", stage.replays());
        let mut seconds = 0;
        while stage.replays() < 10 || stage.arrived(other).is_empty() {
            server.clock.advance(1_000_000 / 10);
            seconds += 1;
            let (before, until) = (stage.replays(), tokio::time::Instant::now() + Duration::from_millis(200));
            while stage.replays() == before && tokio::time::Instant::now() < until {
                sleep(Duration::from_millis(2)).await;
            }
            assert!(stage.replays() <= 2 + seconds, "{} after {seconds} tenths", stage.replays());
            assert!(seconds < 1000, "it goes on");
        }
        stage.until_owed_nothing().await;
    }
    let arrived = stage.arrived(customer);
    assert_eq!((arrived.len(), &arrived[..10]), (30, &arrived[10..20]));
    assert_eq!(arrived[..10], arrived[20..]);
}

/// What is asked to come again may not have come at all: paused before it was sent.
async fn what_is_above_the_cursor_is_never_passed_over(server: &TestServer) {
    let stage = Stage::new(server).await;
    let customer = stage.customer("jo").await;
    stage.until("it arrives", async |stage| stage.arrived(customer).len() == 1).await;
    stage.until_owed_nothing().await;
    stage.act("pause").await;
    stage.until_nobody_delivers().await;
    for _ in 0..3 {
        stage.token_of("jo").await;
    }
    let feed = stage.server.json(&stage.token, Method::GET, "/feed/demo/messages", &Value::Null).await.json();
    let last = feed["results"].as_array().unwrap().last().unwrap();
    stage.act(&format!("replay?messageId={}", last["id"].as_str().unwrap())).await;
    stage.act(&format!("replay?customerId={customer}&after={}", last["position"])).await;
    stage.act("resume").await;
    stage.until("all arrive", async |stage| stage.arrived(customer).len() == 4).await;
    stage.until_owed_nothing().await;
    let arrived: Vec<_> = stage.arrived(customer).iter().map(|message| json!(message.to_string())).collect();
    assert_eq!(arrived, stage.told(None).await, "each once and in order");
    assert_eq!(stage.replays(), 0);
}

/// Nobody tells those who deliver: what an operator does at one node is in the database, and whoever holds a partition reads
/// it there, and writes nothing any more of what it knew before.
async fn reaches_whoever_delivers(server: &TestServer) {
    let stage = Stage::among(server, Some(2)).await;
    stage.until("both deliver", async |stage| stage.partitions() == [32, 32]).await;
    let mut customers = Vec::new();
    for number in 0..12 {
        customers.push(stage.customer(&format!("c{number}")).await);
    }
    stage.until("all have arrived", async |stage| stage.receiver.accepted() == 12).await;
    stage.until_owed_nothing().await;

    stage.act("pause").await;
    stage.until_nobody_delivers().await;
    for number in 0..12 {
        stage.token_of(&format!("c{number}")).await;
    }
    assert_eq!(stage.standing().await["lagMessages"], 12);
    stage.act("resume").await;
    stage.until("the rest has arrived", async |stage| stage.receiver.accepted() == 24).await;
    stage.until_owed_nothing().await;

    // While a message of each customer is on its way from a node that will not have heard of it.
    stage.receiver.hold(true);
    for number in 0..12 {
        stage.token_of(&format!("c{number}")).await;
    }
    stage.until("all are on their way", async |stage| stage.receiver.sending().len() == 12).await;
    stage.act("replay?after=0&perSecond=1000").await;
    stage.receiver.hold(false);
    server.clock.advance(1_000_000);
    stage.until("all comes again", async |stage| stage.replays() >= 24 && stage.receiver.accepted() == 36).await;
    stage.until_owed_nothing().await;
    for customer in &customers {
        let (arrived, mut first) = (stage.arrived(*customer), Vec::new());
        for message in arrived.iter().map(|message| json!(message.to_string())) {
            if !first.contains(&message) {
                first.push(message);
            }
        }
        assert_eq!(first, stage.told(Some(*customer)).await, "by first arrival the order of the log");
        assert_eq!(arrived[..2], arrived[arrived.len() - 3..arrived.len() - 1], "again, in its order");
    }
    for relay in &stage.relays {
        assert!(relay.counters().figures().delivered > 0, "both have their share");
    }

    // One customer is held at whichever node has it; an operator lets it go on.
    let held = customers[5];
    stage.refuse(Some(held));
    stage.token_of("c5").await;
    stage.until("it is held", async |stage| stage.standing().await["heldCustomers"] == 1).await;
    stage.token_of("c5").await;
    let skipped = stage.act(&format!("skip?customerId={held}")).await["messageId"].clone();
    stage.until("the next is held", async |stage| stage.standing().await["heldCustomers"] == 1).await;
    stage.refuse(None);
    stage.act("retry").await;
    stage.until_owed_nothing().await;
    let letter = stage.letters().await[0].clone();
    assert_eq!(letter["messageId"], skipped);
    stage.act(&format!("replay?letterId={}", letter["id"].as_str().unwrap())).await;
    stage.until("it has come", async |stage| stage.receiver.accepted() == 38).await;
    stage.until_owed_nothing().await;
    assert!(stage.letters().await.is_empty());
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test starts one"]
fn postgres_what_is_done_at_one_node_reaches_whoever_delivers() {
    block_on(async { reaches_whoever_delivers(&TestServer::postgres().await).await });
}

async fn every_attempt_is_noted(server: &TestServer) {
    let stage = Stage::new(server).await;
    let customer = with_one_held(&stage).await;
    stage.refuse(None);
    server.clock.advance(1_000_000);
    stage.act("retry").await;
    stage.until("both arrive", async |stage| stage.arrived(customer).len() == 2).await;
    stage.until_owed_nothing().await;
    let before = server.store().counters().writes;
    let (store, moments) = (&server.app.store, &server.app.moments);
    stage.attempts.write(store, moments, std::future::ready(())).await.unwrap();
    assert_eq!(server.store().counters().writes - before, 1, "all in one write");

    let found = stage.get(&format!("attempts?customerId={customer}")).await;
    let results = found["results"].as_array().unwrap();
    let outcomes: Vec<_> = results.iter().map(|attempt| attempt["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["delivered", "delivered", "temporary"], "the newest first");
    assert_eq!((&results[2]["reason"], &results[2]["attempt"]), (&json!("answered 500"), &json!(1)));
    let message = results[2]["messageId"].as_str().unwrap();
    assert_eq!(stage.get(&format!("attempts?messageId={message}")).await["count"], 2);
    let newest = results[0]["id"].as_str().unwrap();
    assert_eq!(stage.get(&format!("attempts?before={newest}&subscriptionId={}", stage.id)).await["count"], 2);

    server.clock.advance(15 * 86_400 * 1_000_000);
    server.app.sweep_attempts(Duration::from_hours(14 * 24)).await.unwrap();
    let token = server.token("demo-client").await;
    let left = server.json(&token, Method::GET, "/admin/demo/attempts", &Value::Null).await.json();
    assert_eq!(left["count"], 0);
}

async fn what_is_not_there_is_not_found(server: &TestServer) {
    let stage = Stage::new(server).await;
    let nobody = "00000000-0000-7000-8000-000000000000";
    for (verb, status) in [
        (format!("deliveries/{nobody}/pause"), 404),
        (format!("deliveries/{nobody}/replay?after=0"), 404),
        (format!("deliveries/{}/skip?customerId={nobody}", stage.id), 404),
        (format!("deliveries/{}/skip", stage.id), 400),
        (format!("deliveries/{}/replay", stage.id), 400),
        (format!("deliveries/{}/replay?after=1&since=2000-01-01T00:00:00Z", stage.id), 400),
        (format!("deliveries/{}/replay?messageId={nobody}", stage.id), 404),
        (format!("deliveries/{}/replay?after=0&perSecond=0", stage.id), 400),
        ("deliveries/x/pause".to_owned(), 400),
        (format!("deliveries/{}/waiting", stage.id), 405),
    ] {
        assert_eq!(stage.call(Method::POST, &verb).await.0, status, "{verb}");
    }
    server.client("demo", "messages-client", "view_messages:demo manage_subscriptions:demo").await;
    let token = server.token("messages-client").await;
    for path in ["/admin/demo/deliveries", "/admin/demo/attempts"] {
        assert_eq!(server.json(&token, Method::GET, path, &Value::Null).await.status.as_u16(), 403);
    }
}
