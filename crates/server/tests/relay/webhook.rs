//! Webhooks over real HTTP on loopback, with a receiver that checks what it gets as a customer's would.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures_util::future::BoxFuture;
use keyherald::deliver::opener;
use keyherald::destination::{Context, Delivery, Policy, kind};
use keyherald::outbound::client::{ClientSettings, http_client, http_client_with};
use keyherald::outbound::guard::{Guard, Lookup};
use keyherald_core::delivery::{Cause, Outcome};
use keyherald_core::id::{CustomerId, MessageId};
use keyherald_core::signature::WebhookSecret;
use keyherald_core::subscription::DestinationSettings;
use keyherald_core::{Ctx, Micros};
use keyherald_store::each_engine;
use keyherald_store::testing::{TestStore, block_on};
use serde_json::{Map, Value};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::stage::{Stage, settings};

each_engine! {
    the_whole_way,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Got {
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Got {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap().to_str().unwrap()
    }
}

/// Answers by a script, then always with 204.
#[derive(Clone, Default)]
pub struct Receiver {
    got: Arc<Mutex<Vec<Got>>>,
    answers: Arc<Mutex<VecDeque<Answer>>>,
}

#[derive(Clone)]
pub enum Answer {
    Status(u16, &'static [(&'static str, &'static str)]),
    Never,
    Endless,
}

impl Receiver {
    pub fn answering(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self { answers: Arc::new(Mutex::new(answers.into_iter().collect())), ..Self::default() }
    }

    pub async fn listen(&self, address: &str, tasks: &mut JoinSet<()>) -> SocketAddr {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(receive).with_state(self.clone());
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        address
    }

    pub fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }
}

async fn receive(
    State(receiver): State<Receiver>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    receiver.got.lock().unwrap().push(Got { method, uri, headers, body });
    let answer = receiver.answers.lock().unwrap().pop_front();
    match answer.unwrap_or(Answer::Status(204, &[])) {
        Answer::Status(status, headers) => {
            let mut response = StatusCode::from_u16(status).unwrap().into_response();
            for (name, value) in headers {
                response.headers_mut().insert(*name, value.parse().unwrap());
            }
            response
        }
        Answer::Never => std::future::pending().await,
        Answer::Endless => {
            let chunk = || Ok::<_, io::Error>(Bytes::from_static(&[b'x'; 1024]));
            Body::from_stream(futures_util::stream::repeat_with(chunk)).into_response()
        }
    }
}

pub fn context(guard: Guard, attempt_timeout: Duration) -> Context {
    let settings = ClientSettings {
        guard: guard.clone(),
        connect_timeout: Duration::from_secs(5),
        attempt_timeout,
        idle_max: 4,
        tls: None,
    };
    let http = http_client(&settings).unwrap();
    Context {
        http,
        policy: Policy { allow_http: true, guard, ..Policy::default() },
        attempt_timeout,
        office: None,
        switchboard: None,
        wallets: None,
        google: None,
    }
}

pub fn delivery(attempt: u32, now: Micros) -> Delivery {
    let mut ctx = Ctx::new(Micros(1_760_000_000_000_000), [3; 32]);
    Delivery {
        message_id: MessageId::new(&mut ctx),
        sequence: Some(1),
        customer: CustomerId::new(&mut ctx),
        project: "demo".parse().unwrap(),
        created_at: ctx.now,
        attempt,
        now,
        content_type: "application/json; charset=utf-8",
        body: br#"{"a":1}"#.to_vec(),
        event: None,
        is_replay: false,
        trace: None,
    }
}

pub const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Sends to `url` as the subscription's destination would, once for each element of `times` (in seconds).
async fn send(url: &str, context: &Context, times: &[i64]) -> Vec<Outcome> {
    let settings = Map::from_iter([("url".to_owned(), Value::from(url))]);
    let endpoint = kind("Webhook").unwrap().open(&settings, Some(SECRET.as_bytes()), context).unwrap();
    let mut outcomes = Vec::new();
    for (attempt, seconds) in (1..).zip(times) {
        outcomes.push(endpoint.send(delivery(attempt, Micros(seconds * Micros::SECOND))).await);
    }
    outcomes
}

pub fn refused(reason: &str) -> Outcome {
    Outcome::Failed { reason: reason.to_owned(), retry_after_s: None, cause: Cause::Refused }
}

fn temporary(reason: &str) -> Outcome {
    Outcome::Failed { reason: reason.to_owned(), retry_after_s: None, cause: Cause::Temporary }
}

#[test]
fn attempts_share_an_id_and_are_signed_each() {
    block_on(async {
        let mut tasks = JoinSet::new();
        let receiver = Receiver::answering([Answer::Status(429, &[("retry-after", "7")])]);
        let address = receiver.listen("127.0.0.1:0", &mut tasks).await;
        let url = format!("http://{address}/hook?a=b");
        let outcomes = send(&url, &context(Guard::open(), PATIENCE), &[1_760_000_000, 1_760_000_009]).await;
        let throttled =
            Outcome::Failed { reason: "answered 429".to_owned(), retry_after_s: Some(7), cause: Cause::Throttled };
        assert_eq!(outcomes, [throttled, Outcome::Delivered]);
        let got = receiver.got();
        let secret = WebhookSecret::parse(SECRET).unwrap();
        for (request, timestamp) in got.iter().zip([1_760_000_000, 1_760_000_009]) {
            assert_eq!(request.uri, "/hook?a=b");
            assert_eq!(&request.body[..], br#"{"a":1}"#);
            assert_eq!(request.header("content-type"), "application/json; charset=utf-8");
            assert_eq!(request.header("user-agent"), concat!("Keyherald/", env!("CARGO_PKG_VERSION")));
            assert_eq!(request.header("webhook-timestamp"), timestamp.to_string());
            let (id, signature) = (request.header("webhook-id"), request.header("webhook-signature"));
            assert_eq!((id.len(), &id[..4]), (36, "msg_"));
            assert!(secret.verify(id, timestamp, &request.body, signature));
        }
        assert_eq!(got.len(), 2);
        assert_eq!(got[0].header("webhook-id"), got[1].header("webhook-id"));
    });
}

#[test]
fn what_is_sent_once_more_says_so() {
    block_on(async {
        let mut tasks = JoinSet::new();
        let receiver = Receiver::default();
        let address = receiver.listen("127.0.0.1:0", &mut tasks).await;
        let settings = Map::from_iter([("url".to_owned(), Value::from(format!("http://{address}/hook")))]);
        let context = context(Guard::open(), PATIENCE);
        let endpoint = kind("Webhook").unwrap().open(&settings, Some(SECRET.as_bytes()), &context).unwrap();
        for is_replay in [false, true] {
            let delivery = Delivery { is_replay, ..delivery(1, Micros(Micros::SECOND)) };
            assert_eq!(endpoint.send(delivery).await, Outcome::Delivered);
        }
        let got = receiver.got();
        assert!(got[0].headers.get("keyherald-replay").is_none());
        assert_eq!(got[1].header("keyherald-replay"), "true");
        assert_eq!((got[0].header("webhook-id"), &got[0].body), (got[1].header("webhook-id"), &got[1].body));
    });
}

#[test]
fn redirects_are_not_followed() {
    block_on(async {
        let mut tasks = JoinSet::new();
        let inside = Receiver::default();
        let address = inside.listen("127.0.0.2:0", &mut tasks).await;
        let location: &'static str = Box::leak(format!("http://{address}/inside").into_boxed_str());
        let headers: &'static [(&str, &str)] = Box::leak(Box::new([("location", location)]));
        let statuses = [301, 302, 303, 307, 308];
        let receiver = Receiver::answering(statuses.map(|status| Answer::Status(status, headers)));
        let outside = receiver.listen("127.0.0.1:0", &mut tasks).await;
        let url = format!("http://{outside}/hook");
        let outcomes = send(&url, &context(Guard::open(), PATIENCE), &[1, 2, 3, 4, 5]).await;
        assert_eq!(outcomes, statuses.map(|status| refused(&format!("answered {status}"))));
        assert!(inside.got().is_empty());
    });
}

#[test]
fn answers_that_do_not_end_are_cut() {
    block_on(async {
        let mut tasks = JoinSet::new();
        let receiver = Receiver::answering([Answer::Endless, Answer::Never]);
        let url = format!("http://{}/", receiver.listen("127.0.0.1:0", &mut tasks).await);
        assert_eq!(send(&url, &context(Guard::open(), PATIENCE), &[1]).await, [Outcome::Delivered]);
        let hasty = context(Guard::open(), Duration::from_millis(200));
        assert_eq!(send(&url, &hasty, &[1]).await, [temporary("no answer in time")]);
        tasks.shutdown().await;
        assert_eq!(send(&url, &hasty, &[1]).await, [temporary("no connection")]);
    });
}

#[test]
fn private_addresses_are_refused_as_hosts_and_behind_names() {
    block_on(async {
        let mut tasks = JoinSet::new();
        let receiver = Receiver::default();
        let port = receiver.listen("127.0.0.1:0", &mut tasks).await.port();
        let open = context(Guard::open(), PATIENCE);
        let settings = |host: &str| Map::from_iter([("url".to_owned(), format!("http://{host}:{port}/").into())]);
        // Allowed when it was made; the operator has changed his mind since.
        let guarded = context(Guard::default(), PATIENCE);
        for host in ["127.0.0.1", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"] {
            let webhook = kind("Webhook").unwrap();
            assert!(webhook.open(&settings(host), Some(SECRET.as_bytes()), &open).is_ok(), "{host}");
            assert!(webhook.open(&settings(host), Some(SECRET.as_bytes()), &guarded).is_err(), "{host}");
        }
        let url = format!("http://localhost:{port}/");
        assert_eq!(send(&url, &guarded, &[1]).await, [refused("the host's address is not a public one")]);
        assert!(receiver.got().is_empty());
        assert_eq!(send(&url, &open, &[1]).await, [Outcome::Delivered]);
    });
}

/// Answers by a script.
struct Scripted(Mutex<VecDeque<Vec<&'static str>>>);

impl Lookup for Scripted {
    fn lookup(&self, _host: String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        let answer = self.0.lock().unwrap().pop_front().unwrap();
        let addresses = answer.iter().map(|address| SocketAddr::new(address.parse().unwrap(), 0)).collect();
        Box::pin(async move { Ok(addresses) })
    }
}

#[test]
fn a_name_that_changes_its_address_gains_nothing() {
    block_on(async {
        let mut tasks = JoinSet::new();
        // 127.0.0.1 stands for a public address, 127.0.0.2 for one inside, on the same port.
        let close: &[(&str, &str)] = &[("connection", "close")];
        let outside = Receiver::answering(vec![Answer::Status(500, close); 3]);
        let inside = Receiver::default();
        let address = outside.listen("127.0.0.1:0", &mut tasks).await;
        inside.listen(&format!("127.0.0.2:{}", address.port()), &mut tasks).await;
        let guard = Guard::new(vec!["127.0.0.1/32".parse().unwrap()]);
        let client = ClientSettings {
            guard: guard.clone(),
            connect_timeout: PATIENCE,
            attempt_timeout: PATIENCE,
            idle_max: 4,
            tls: None,
        };
        let answers = [vec!["127.0.0.1"], vec!["127.0.0.2"], vec!["127.0.0.1", "127.0.0.2"], vec!["127.0.0.1"]];
        let lookup = Arc::new(Scripted(Mutex::new(answers.into_iter().collect())));
        let http = http_client_with(&client, lookup.clone()).unwrap();
        let context = Context {
            http,
            policy: Policy { allow_http: true, guard, ..Policy::default() },
            attempt_timeout: client.attempt_timeout,
            office: None,
            switchboard: None,
            wallets: None,
            google: None,
        };
        let url = format!("http://rebinding.example:{}/", address.port());
        let outcomes = send(&url, &context, &[1, 2, 3, 4]).await;
        let inside_refused = refused("the host's address is not a public one");
        let answered = temporary("answered 500");
        assert_eq!(outcomes, [answered.clone(), inside_refused.clone(), inside_refused, answered]);
        assert!(lookup.0.lock().unwrap().is_empty(), "every attempt looked up and checked");
        assert_eq!((outside.got().len(), inside.got().len()), (2, 0));
    });
}

async fn the_whole_way(store: &TestStore) {
    let stage = Stage::new(store).await;
    let mut tasks = JoinSet::new();
    let receiver = Receiver::answering([Answer::Status(500, &[]), Answer::Status(503, &[("retry-after", "2")])]);
    let url = format!("http://{}/hook", receiver.listen("127.0.0.1:0", &mut tasks).await);
    let settings_of = Map::from_iter([("url".to_owned(), Value::from(url))]);
    let destination = DestinationSettings { kind: "Webhook".to_owned(), settings: settings_of };
    stage.subscribe_to(destination, Some(SECRET.as_bytes()), &[]).await;
    let relay = stage.start(opener(context(Guard::open(), PATIENCE)), settings());
    let mut customers = stage.customers(3).await;
    stage.change_all(&mut customers, 3).await;
    let is_done = async || relay.counters.figures().delivered == 12;
    stage.until_moving(Micros::SECOND, "everything has arrived", is_done).await;
    relay.stop().await;
    let secret = WebhookSecret::parse(SECRET).unwrap();
    let mut bodies: Vec<Value> = Vec::new();
    for request in receiver.got() {
        let timestamp = request.header("webhook-timestamp").parse().unwrap();
        let id = request.header("webhook-id");
        assert!(secret.verify(id, timestamp, &request.body, request.header("webhook-signature")));
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let message = body["id"].as_str().unwrap().replace('-', "");
        assert_eq!(id, format!("msg_{message}"));
        if !bodies.contains(&body) {
            bodies.push(body);
        }
    }
    assert_eq!((receiver.got().len(), bodies.len()), (14, 12));
    for customer in &customers {
        let of_customer = bodies.iter().filter(|body| body["resource"]["id"] == customer.id.to_string().as_str());
        let sequences: Vec<i64> = of_customer.map(|body| body["sequenceNumber"].as_i64().unwrap()).collect();
        assert_eq!(sequences, [1, 2, 3, 4]);
    }
}
