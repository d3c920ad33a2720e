//! What Prometheus reads from the running program, and that what operators are given for it (`ops/`) asks for nothing that is
//! not there.
#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "black_box/mod.rs"]
#[expect(dead_code, reason = "parts of it are for other tests")]
mod black_box;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use black_box::api::{Api, http_client};
use black_box::receiver::{Reply, serve};
use black_box::server::{Launch, Server};
use regex::Regex;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

const PATIENCE: Duration = Duration::from_secs(30);
const EMAIL: &str = "ada@example.com";

async fn scrape(http: &reqwest::Client, server: &Server) -> String {
    let answer = http.get(&server.metrics_url).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let media_type = answer.headers().get("content-type").unwrap().to_str().unwrap().to_owned();
    assert_eq!(media_type, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    answer.text().await.unwrap()
}

/// The value of the first line that begins so.
fn value(text: &str, line: &str) -> Option<f64> {
    text.lines().find_map(|shown| shown.strip_prefix(line)?.trim().parse().ok())
}

/// Scrapes until the line has a value that suits.
async fn until(http: &reqwest::Client, server: &Server, line: &str, suits: impl Fn(f64) -> bool) -> String {
    let end = Instant::now() + PATIENCE;
    loop {
        let text = scrape(http, server).await;
        if value(&text, line).is_some_and(&suits) {
            return text;
        }
        assert!(Instant::now() < end, "{line} never suited in\n{text}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Names of ours in a text.
fn names(text: &str) -> BTreeSet<String> {
    Regex::new(r"\bkeyherald_[a-z0-9_]+").unwrap().find_iter(text).map(|found| found.as_str().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_deliveries_and_queues_are_shown_and_no_person() {
    let folder = tempfile::tempdir().unwrap();
    let launch = Launch {
        program: env!("CARGO_BIN_EXE_keyherald").into(),
        data: folder.path().join("data"),
        store: None,
        log: folder.path().join("log"),
        settings: vec![("KEYHERALD__HASHING__MEMORY_KIB", "64".into()), ("KEYHERALD__HASHING__PASSES", "1".into())],
    };
    let server = launch.start().unwrap();
    let http = http_client(Duration::from_secs(20)).unwrap();
    let api = Api::sign_in(&http, &server).await.unwrap();

    // One receiver takes everything, the other nothing.
    let (mut receivers, mut urls) = (JoinSet::new(), Vec::new());
    for status in [204, 500] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        urls.push(format!("http://{}/hook", listener.local_addr().unwrap()));
        receivers.spawn(serve(listener, move |_| async move { Reply::Status(status) }));
    }
    for url in &urls {
        api.subscribe(url, "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", false).await.unwrap();
    }
    let made = api.post("/customers", &json!({"email": EMAIL, "password": "first-Pa55"})).await.unwrap();
    assert_eq!(made.status, 201, "{}", made.body);
    let id = made.text("/customer/id");

    let webhooks = r#"keyherald_delivery_latency_seconds_count{destination="Webhook"}"#;
    until(&http, &server, webhooks, |count| count >= 1.0).await;
    let text = until(&http, &server, "keyherald_dead_letters_total", |_| true).await;
    let created = r#"keyherald_http_requests_total{method="POST",route="/{project}/customers",status="201"}"#;
    assert_eq!(value(&text, created), Some(1.0), "{text}");
    assert_eq!(value(&text, r#"keyherald_hash_jobs_total{end="hashed"}"#), Some(1.0), "{text}");
    assert!(value(&text, "keyherald_store_commit_writes_count").unwrap() > 1.0, "{text}");
    assert_eq!(value(&text, "keyherald_partitions"), Some(64.0), "{text}");
    assert!(text.ends_with("# EOF\n"));

    // The other one's customer waits, and how long is shown.
    let attempts = Regex::new(
        r#"keyherald_delivery_attempts_total\{project="demo",subscription="([^"]+)",destination="Webhook",outcome="temporary"\}"#,
    );
    let end = Instant::now() + PATIENCE;
    let failing = loop {
        let text = scrape(&http, &server).await;
        if let Some(found) = attempts.as_ref().unwrap().captures(&text) {
            break found[1].to_owned();
        }
        assert!(Instant::now() < end, "{text}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let age = format!(r#"keyherald_subscription_lag_seconds{{subscription="{failing}"}}"#);
    let text = until(&http, &server, &age, |seconds| seconds > 1.0).await;
    let parked = format!(r#"keyherald_subscription_parked_customers{{subscription="{failing}"}}"#);
    assert_eq!(value(&text, &parked), Some(1.0), "{text}");

    for personal in [EMAIL, "ada", "first-Pa55", &id, &*urls[0]] {
        assert!(!text.contains(personal), "{personal} in\n{text}");
    }
    check_ops(&text);
}

/// Every name that a dashboard or an alert asks for is shown.
fn check_ops(shown: &str) {
    let ops = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ops");
    let shown = names(shown);
    for file in ["grafana-dashboard.json", "alerts.yml"] {
        let text = std::fs::read_to_string(ops.join(file)).unwrap();
        let asked = names(&text);
        assert!(asked.len() > 3, "{file} asks for little: {asked:?}");
        let unknown: Vec<_> = asked.difference(&shown).collect();
        assert!(unknown.is_empty(), "{file} asks for what is not shown: {unknown:?}");
    }
    serde_json::from_str::<serde_json::Value>(&std::fs::read_to_string(ops.join("grafana-dashboard.json")).unwrap())
        .unwrap();
}
