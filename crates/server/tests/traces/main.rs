//! Traces of the running program: from a request's `traceparent` to the deliveries that it leads to, over a kill between the
//! commit and the delivery, and to a collector; on both engines.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../black_box/mod.rs"]
#[expect(dead_code, reason = "parts of it are for other tests")]
mod black_box;
mod double;
#[path = "../kill/engine.rs"]
#[expect(dead_code, reason = "parts of it are for other tests")]
mod engine;

use std::time::{Duration, Instant};

use black_box::api::{Api, http_client};
use black_box::server::{Launch, Server};
use double::{Double, Got, hex, ids, said};
use engine::Engine;
use opentelemetry_proto::tonic::trace::v1::Span;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_mins(1);
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";
const EMAIL: &str = "ada.lovelace@example.com";
const PASSWORD: &str = "first-Pa55word";
const NEW_PASSWORD: &str = "second-Pa55word";
const WEBHOOK_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const HEADER_SECRET: &str = "a-tenant-s3cret";

/// Two tests of each: one on SQLite, one on PostgreSQL.
macro_rules! each_engine {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            #[tokio::test(flavor = "multi_thread")]
            async fn sqlite() {
                super::$name(super::Engine::Sqlite).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            #[ignore = "needs PostgreSQL: cargo xtask test starts one"]
            async fn postgres() {
                let name = format!("traces_{}_{}", stringify!($name).len(), std::process::id());
                super::$name(super::Engine::postgres(&name)).await;
            }
        }
    )*};
}

each_engine! {
    a_delivery_after_a_kill_is_in_the_trace_of_its_request,
    a_collector_sees_the_request_and_its_deliveries_as_one_trace,
}

/// A folder, and how to start a server on it.
struct Stage {
    launch: Launch,
    _engine: Engine,
    folder: TempDir,
}

impl Stage {
    fn new(engine: Engine, settings: &[(&'static str, String)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cheap = [("KEYHERALD__HASHING__MEMORY_KIB", "64".into()), ("KEYHERALD__HASHING__PASSES", "1".into())];
        let launch = Launch {
            program: env!("CARGO_BIN_EXE_keyherald").into(),
            data: folder.path().join("data"),
            store: engine.store(),
            log: folder.path().join("log"),
            settings: cheap.into_iter().chain(settings.iter().cloned()).collect(),
        };
        Self { launch, _engine: engine, folder }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
}

/// Calls of the API with a context of the caller's own.
struct Caller {
    http: reqwest::Client,
    url: String,
    api: Api,
}

impl Caller {
    async fn of(server: &Server) -> Self {
        let http = http_client(Duration::from_secs(30)).unwrap();
        let api = Api::sign_in(&http, server).await.unwrap();
        Self { http, url: server.url.clone(), api }
    }

    async fn post(&self, path: &str, body: &Value, headers: &[(&str, &str)]) -> Value {
        let request = self.http.post(format!("{}/demo{path}", self.url)).bearer_auth(self.api.token()).json(body);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }

    async fn subscribe(&self, url: &str, format: &str) {
        let version = (format == "CloudEvents").then_some("1.0");
        let draft = json!({
            "changes": [{"resourceTypeId": "customer"}],
            "destination": {"type": "Webhook", "url": url, "secret": WEBHOOK_SECRET},
            "messages": [{"resourceTypeId": "customer"}, {"resourceTypeId": "customer-password-token"}],
            "format": {"type": format, "cloudEventsVersion": version},
        });
        self.post("/subscriptions", &draft, &[]).await;
    }

    /// Makes a customer in the trace of the tests.
    async fn create(&self, headers: &[(&str, &str)]) -> String {
        let draft = json!({"email": EMAIL, "password": PASSWORD});
        self.post("/customers", &draft, headers).await["customer"]["id"].as_str().unwrap().to_owned()
    }
}

fn parent(flags: &str) -> String {
    format!("00-{TRACE}-{CALLER}-{flags}")
}

async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "{what} never came");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What has come to a receiver with this in its body.
fn with(receiver: &Double, text: &str) -> Option<Got> {
    receiver.got().into_iter().find(|got| String::from_utf8_lossy(&got.body).contains(text))
}

fn terminate(server: &mut Server) {
    kill_process(Pid::from_raw(i32::try_from(server.pid()).unwrap()).unwrap(), Signal::TERM).unwrap();
    assert_eq!(server.wait(PATIENCE), Some(0), "it ends in order");
}

async fn a_delivery_after_a_kill_is_in_the_trace_of_its_request(engine: Engine) {
    let stage = Stage::new(engine, &[("KEYHERALD__TRACES__TRACESTATE", "true".into())]);
    let (platform, events) = (Double::start(None).await, Double::start(None).await);
    let server = stage.launch.start().unwrap();
    let caller = Caller::of(&server).await;
    caller.subscribe(&format!("{}/hook", platform.url), "Platform").await;
    caller.subscribe(&format!("{}/hook", events.url), "CloudEvents").await;
    let headers = [("traceparent", &*parent("01")), ("tracestate", "rojo=00f067aa0ba902b7, congo=t61rcWkgMzE")];
    caller.create(&headers).await;
    let nobody = ("traceparent", "00-00000000000000000000000000000000-00f067aa0ba902b7-01");
    let draft = json!({"email": "grace@example.com", "password": PASSWORD});
    caller.post("/customers", &draft, &[nobody, ("tracestate", "rojo=1")]).await;
    server.kill();

    for receiver in [&platform, &events] {
        receiver.answers(204);
    }
    let before = platform.got().len();
    let server = stage.launch.start().unwrap();
    let state = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE";
    for what in [r#""type":"CustomerCreated""#, "ResourceCreated"] {
        let got = until(what, || {
            platform.got().into_iter().skip(before).find(|got| {
                let body = String::from_utf8_lossy(&got.body).into_owned();
                body.contains(what) && got.headers.contains_key("traceparent")
            })
        })
        .await;
        // Nobody records here, so the caller's own span is what it follows from.
        assert_eq!(got.trace(), (TRACE.to_owned(), CALLER.to_owned()));
        assert_eq!(got.header("tracestate").as_deref(), Some(state));
        assert!(got.header("webhook-signature").is_some());
    }
    let event = until("an event", || with(&events, EMAIL)).await;
    let body: Value = serde_json::from_slice(&event.body).unwrap();
    assert_eq!((body["traceparent"].as_str(), body["tracestate"].as_str()), (Some(&*parent("01")), Some(state)));
    let stranger = until("the other customer", || with(&platform, "grace@example.com")).await;
    assert_eq!((stranger.header("traceparent"), stranger.header("tracestate")), (None, None), "none is made up");
    drop(server);
}

/// The spans of the trace, once there are so many deliveries among them.
async fn whole_trace(collector: &Double, deliveries: usize) -> Vec<Span> {
    until("the whole trace", || {
        let spans: Vec<Span> = collector.spans().into_iter().filter(|span| hex(&span.trace_id) == TRACE).collect();
        let sent = spans.iter().filter(|span| span.name == "send Webhook").count();
        let requests = spans.iter().filter(|span| span.kind == 2).count();
        (sent >= deliveries && requests >= 2).then_some(spans)
    })
    .await
}

async fn a_collector_sees_the_request_and_its_deliveries_as_one_trace(engine: Engine) {
    let (collector, receiver, events) =
        (Double::start(Some(200)).await, Double::start(Some(204)).await, Double::start(Some(500)).await);
    let secrets = tempfile::tempdir().unwrap();
    let headers = secrets.path().join("headers");
    std::fs::write(&headers, format!("authorization=Bearer%20{HEADER_SECRET}\n")).unwrap();
    let settings = [
        ("KEYHERALD__TRACES__OTLP_ENDPOINT", collector.url.clone()),
        ("KEYHERALD__TRACES__OTLP_HEADERS_FILE", headers.display().to_string()),
        ("KEYHERALD__TRACES__SERVICE_NAME", "shop-passwords".into()),
        ("KEYHERALD__TRACES__SAMPLE_RATIO", "0".into()),
    ];
    let engine_name = if engine.store().is_some() { "postgresql" } else { "sqlite" };
    let stage = Stage::new(engine, &settings);
    let mut server = stage.launch.start().unwrap();
    let caller = Caller::of(&server).await;
    caller.subscribe(&format!("{}/hook?key=a-query-s3cret", receiver.url), "Platform").await;
    caller.subscribe(&format!("{}/hook", events.url), "CloudEvents").await;
    let sampled = parent("01");
    let id = caller.create(&[("traceparent", &sampled), ("tracestate", "rojo=1")]).await;
    let change = json!({"id": id, "version": 1, "currentPassword": PASSWORD, "newPassword": NEW_PASSWORD});
    caller.post("/customers/password", &change, &[("traceparent", &sampled)]).await;
    // What a caller has not recorded is not recorded here, and goes on all the same; nor is what begins here, at this ratio.
    let other = "00-11111111111111111111111111111111-2222222222222222-00";
    let token = caller.post("/customers/password-token", &json!({"email": EMAIL}), &[("traceparent", other)]).await;
    let token = token["value"].as_str().unwrap().to_owned();
    let unsampled = until("the token's message", || with(&receiver, "CustomerPasswordTokenCreated")).await;
    assert_eq!(unsampled.header("traceparent").as_deref(), Some(other));

    // Two messages and two changes for the one, at least as many tries for the other.
    let spans = whole_trace(&collector, 6).await;
    let find = |name: &str| spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no {name}"));
    let request = find("POST /{project}/customers/password");
    assert_eq!(hex(&request.parent_span_id), CALLER);
    assert_eq!(said(request, "http.request.method").as_deref(), Some("POST"));
    assert_eq!(said(request, "http.response.status_code").as_deref(), Some("200"));
    assert_eq!((request.kind, request.status.is_none(), &*request.trace_state), (2, true, ""));
    let parts: Vec<&Span> =
        spans.iter().filter(|span| span.parent_span_id == request.span_id && span.kind != 4).collect();
    assert!(parts.iter().any(|part| part.name == "verify and hash passwords" && part.kind == 1));
    let commit = parts.iter().find(|part| part.name == "COMMIT").expect("a commit");
    assert_eq!(said(commit, "db.system.name").as_deref(), Some(engine_name));
    assert!(commit.start_time_unix_nano >= request.start_time_unix_nano && commit.end_time_unix_nano > 0);

    // Each delivery is a child of its request's span, linked to it, and what its receiver was told to follow from.
    let updated = until("the password's message", || with(&receiver, "CustomerPasswordUpdated")).await;
    assert_eq!(updated.header("tracestate"), None, "not kept unless it is asked for");
    let (trace, span) = updated.trace();
    let delivery = spans.iter().find(|found| hex(&found.span_id) == span).expect("its span");
    assert_eq!((trace.as_str(), delivery.kind, &*delivery.name), (TRACE, 4, "send Webhook"));
    assert_eq!(delivery.parent_span_id, request.span_id);
    assert_eq!((&delivery.links[0].trace_id, &delivery.links[0].span_id), (&request.trace_id, &request.span_id));
    assert_eq!(said(delivery, "keyherald.outcome").as_deref(), Some("delivered"));
    assert_eq!(said(delivery, "messaging.message.id").map(|id| id.len()), Some(36));
    let event = until("an event", || with(&events, "CustomerCreated")).await;
    let (body, (_, span)) = (serde_json::from_slice::<Value>(&event.body).unwrap(), event.trace());
    let created = find("POST /{project}/customers");
    let arose = ids(body["traceparent"].as_str().unwrap());
    assert_eq!(arose, (TRACE.to_owned(), hex(&created.span_id)), "where it arose, whoever sends it");
    let failed = spans.iter().find(|found| hex(&found.span_id) == span).expect("its span");
    assert_eq!(failed.status.as_ref().map(|status| status.code), Some(2));
    assert_eq!(said(failed, "error.type").as_deref(), Some("temporary"));
    assert!(collector.spans().iter().all(|span| hex(&span.trace_id) == TRACE), "only what callers have sampled");

    // What is left is sent at a clean stop, and nothing of anybody is in any of it.
    caller
        .post(
            "/customers/password",
            &json!({"id": id, "version": 2, "currentPassword": NEW_PASSWORD, "newPassword": PASSWORD}),
            &[("traceparent", &sampled)],
        )
        .await;
    terminate(&mut server);
    let changes = |span: &Span| span.name == "POST /{project}/customers/password";
    assert_eq!(collector.spans().into_iter().filter(changes).count(), 2, "the last request is among them");
    for got in collector.got() {
        assert_eq!((&*got.path, got.header("content-type").as_deref()), ("/v1/traces", Some("application/x-protobuf")));
        assert_eq!(got.header("authorization"), Some(format!("Bearer {HEADER_SECRET}")));
        let text = String::from_utf8_lossy(&got.body).into_owned();
        assert!(text.contains("shop-passwords"));
        for secret in [
            EMAIL,
            "ada",
            "lovelace",
            PASSWORD,
            NEW_PASSWORD,
            &token,
            WEBHOOK_SECRET,
            "C2FVsBQ",
            "a-query-s3cret",
            HEADER_SECRET,
            caller.api.token(),
            &server.client_secret,
            "127.0.0.1",
            "/hook",
        ] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
    let log = stage.log();
    assert!(!log.contains(HEADER_SECRET) && log.contains(TRACE), "the log names the trace, and no secret");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_harms_nothing_and_its_spans_are_counted() {
    let (collector, receiver) = (Double::start(None).await, Double::start(Some(204)).await);
    let settings = [("KEYHERALD__TRACES__OTLP_ENDPOINT", collector.url.clone())];
    let stage = Stage::new(Engine::Sqlite, &settings);
    let mut server = stage.launch.start().unwrap();
    let caller = Caller::of(&server).await;
    caller.subscribe(&format!("{}/hook", receiver.url), "Platform").await;
    until("a batch on its way", || collector.got().into_iter().next()).await;
    caller.create(&[]).await;
    let got = until("the message", || with(&receiver, "CustomerCreated")).await;
    assert!(got.header("traceparent").unwrap().ends_with("-03"), "a trace of our own, drawn by chance and sampled");
    // Its patience has an end, and then it is told apart: refused is not dropped.
    collector.answers(400);
    let http = http_client(Duration::from_secs(30)).unwrap();
    let end = Instant::now() + PATIENCE;
    loop {
        let text = http.get(&server.metrics_url).send().await.unwrap().text().await.unwrap();
        let line = text.lines().find(|line| line.starts_with(r#"keyherald_trace_spans_total{end="refused"}"#));
        if line.is_some_and(|line| !line.ends_with(" 0")) {
            break;
        }
        assert!(Instant::now() < end, "{text}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(collector);
    caller.api.get("/customers", &[]).await.unwrap();
    terminate(&mut server);
    let log = stage.log();
    assert!(log.contains("the collector refuses traces") && log.contains("does not take traces now"), "{log}");
}
