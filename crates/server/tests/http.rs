//! The listening server and the frame, over real sockets.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may end here")]

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use keyherald::clock::Moments;
use keyherald::config::{self, PageOrigin};
use keyherald::http::{About, BodyError, Failure, Frame, Limits, Route, Server, framed, health, read_body};
use keyherald::life::{Ending, Grace, Life, Readiness, Signal, Signals, Task};
use keyherald::telemetry::{Look, subscriber};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Long enough that only a hang reaches it.
const PATIENCE: Duration = Duration::from_secs(20);

struct Running {
    address: SocketAddr,
    life: Life,
    signal: mpsc::Sender<Signal>,
    ended: JoinHandle<Ending>,
    /// A request to `/held` has begun.
    begun: Arc<Notify>,
    /// Lets `/held` answer.
    release: Arc<Notify>,
}

fn reply(failure: Failure, path: &str) -> Response {
    (failure.status(), format!("{failure:?} for {}", path.split('/').nth(1).unwrap_or_default())).into_response()
}

async fn echo(request: Request) -> Response {
    match read_body(request, 1000).await {
        Ok(bytes) => bytes.into_response(),
        Err(BodyError::TooLarge { .. }) => (axum::http::StatusCode::PAYLOAD_TOO_LARGE, "too large").into_response(),
        Err(error) => (axum::http::StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}

async fn panics() -> &'static str {
    panic!("with jane@example.com in it")
}

async fn running(change: impl FnOnce(&mut config::Server)) -> Running {
    let mut settings = config::Server { listen: ([127, 0, 0, 1], 0).into(), ..config::Server::default() };
    change(&mut settings);
    let life = Life::new(Readiness::starting());
    let (begun, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (told, gate) = (Arc::clone(&begun), Arc::clone(&release));
    let held = move || {
        let (told, gate) = (Arc::clone(&told), Arc::clone(&gate));
        async move {
            told.notify_one();
            gate.notified().await;
            "released"
        }
    };
    let router = Router::new()
        .route("/{project}/customers/{id}", get(|| async { "a customer" }))
        .route("/{project}/echo", post(echo))
        .route("/long", get(|| async { "compresses well ".repeat(100) }))
        .route("/secret", get(|| async { ([("cache-control", "no-store")], "compresses well ".repeat(100)) }))
        .route("/held", get(held))
        .route("/panics", get(panics))
        .route(
            "/shaped/{*rest}",
            get(|| async { ([("x-a", "b")], axum::Extension(Route("/shaped/key={key}".into())), "") }),
        )
        .merge(health(life.readiness().clone(), About { role: "all", partitions: Arc::new(|| 64) }));
    let frame = Frame::new(&settings, Moments::of_system(), Arc::new(reply));
    let server = Server::bind(settings.listen, framed(router, frame), Limits::from(&settings)).await.unwrap();
    let address = server.address().unwrap();
    life.spawn_once(Task::Http, |stop| server.serve(stop));
    life.readiness().started();
    let (signal, signals) = mpsc::channel(2);
    let grace = Grace { delay: settings.shutdown_delay, work: settings.shutdown_grace, close: PATIENCE };
    let living = life.clone();
    #[expect(clippy::disallowed_methods, reason = "the test's own task")]
    let ended = tokio::spawn(async move { living.run(Signals::Channel(signals), grace, async {}).await });
    Running { address, life, signal, ended, begun, release }
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends `text` on a connection of its own and reads until the server closes it.
    async fn exchange(&self, text: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(text.as_bytes()).await.unwrap();
        until_closed(&mut stream).await
    }
}

async fn until_closed(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    match timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap() {
        Err(error) if error.kind() != io::ErrorKind::ConnectionReset => panic!("{error}"),
        _ => String::from_utf8(answer).unwrap(),
    }
}

fn request(line: &str, more: &str) -> String {
    format!("{line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{more}\r\n")
}

fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let head = answer.split("\r\n\r\n").next()?;
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[tokio::test]
async fn every_answer_has_a_correlation_id() {
    let server = running(|_| {}).await;
    let sent = server.exchange(&request("GET /demo/customers/1", "x-correlation-id: mine-1\r\n")).await;
    assert_eq!(header(&sent, "x-correlation-id"), Some("mine-1"));
    for (line, prefix, status) in [
        ("GET /demo/customers/1", "demo-", "200"),
        ("GET /demo/nothing/here", "demo-", "404"),
        ("DELETE /demo/customers/1", "demo-", "405"),
        ("GET /panics", "panics-", "500"),
        ("GET /health/live", "keyherald-", "200"),
    ] {
        let answer = server.exchange(&request(line, "")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{line}: {answer}");
        let id = header(&answer, "x-correlation-id").unwrap();
        assert!(id.starts_with(prefix) && id.len() == prefix.len() + 36, "{line}: {id}");
    }
}

#[tokio::test]
async fn a_panic_is_one_answer_and_the_server_lives() {
    let server = running(|_| {}).await;
    assert!(server.exchange(&request("GET /panics", "")).await.ends_with("Panic for panics"));
    assert!(server.exchange(&request("GET /demo/customers/1", "")).await.ends_with("a customer"));
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_given_up() {
    let server = running(|settings| settings.request_timeout = Duration::from_millis(20)).await;
    let answer = server.exchange(&request("GET /held", "")).await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("Timeout for held"), "{answer}");
}

#[tokio::test]
async fn head_is_get_without_a_body() {
    let server = running(|_| {}).await;
    let answer = server.exchange(&request("HEAD /demo/customers/1", "")).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n"), "{answer}");
    assert_eq!(header(&answer, "content-length"), Some("10"));
}

#[tokio::test]
async fn slow_heads_and_silent_connections_are_closed() {
    let limit = Duration::from_millis(50);
    let server = running(|settings| (settings.header_timeout, settings.idle_timeout) = (limit, limit)).await;
    for beginning in ["", "G", "GET / HTTP/1.1\r\nhost: loc", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut stream = server.connect().await;
        stream.write_all(beginning.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // Closed by the server, perhaps with frames of HTTP/2 before.
        let _reset = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap();
    }
    // The next request on a connection that is kept open.
    let mut stream = server.connect().await;
    stream.write_all(b"GET /demo/customers/1 HTTP/1.1\r\nhost: l\r\n\r\nGET /demo").await.unwrap();
    assert!(until_closed(&mut stream).await.contains("a customer"));
}

#[tokio::test]
async fn an_answer_in_progress_is_not_idling() {
    let limit = Duration::from_millis(30);
    let server = running(|settings| (settings.header_timeout, settings.idle_timeout) = (limit, limit)).await;
    let mut stream = server.connect().await;
    stream.write_all(request("GET /held", "").as_bytes()).await.unwrap();
    server.begun.notified().await;
    // Two connections that idle to their end, one after the other, while the first one waits for its answer.
    for _ in 0..2 {
        assert_eq!(until_closed(&mut server.connect().await).await, "");
    }
    server.release.notify_one();
    assert!(until_closed(&mut stream).await.ends_with("released"));
}

#[tokio::test]
async fn heads_over_the_limit_are_refused_with_an_answer() {
    let server = running(|settings| settings.header_bytes_max = 2048).await;
    let long = |length: usize| format!("x-long: {}\r\n", "a".repeat(length));
    let fits = server.exchange(&request("GET /demo/customers/1", &long(1500))).await;
    assert!(fits.ends_with("a customer"), "{fits}");
    let ours = server.exchange(&request("GET /demo/customers/1", &long(3000))).await;
    assert!(ours.starts_with("HTTP/1.1 431 ") && ours.ends_with("HeadTooLarge for demo"), "{ours}");
    assert!(header(&ours, "x-correlation-id").is_some());
    let query = format!("GET /demo/customers/1?{}", "q".repeat(3000));
    assert!(server.exchange(&request(&query, "")).await.starts_with("HTTP/1.1 431 "));
    let hypers = server.exchange(&request("GET /demo/customers/1", &long(100_000))).await;
    assert!(hypers.is_empty() || hypers.starts_with("HTTP/1.1 431 "), "{hypers}");
    let many = server.exchange(&request("GET /demo/customers/1", &"x-a: b\r\n".repeat(150))).await;
    assert!(many.starts_with("HTTP/1.1 431 "), "{many}");
}

#[tokio::test]
async fn bodies_have_a_limit_and_a_deadline() {
    let server = running(|settings| settings.body_timeout = Duration::from_millis(50)).await;
    let post = |more: &str, body: &str| request("POST /demo/echo", more) + body;
    assert!(server.exchange(&post("content-length: 4\r\n", "body")).await.ends_with("\r\n\r\nbody"));
    let full = "x".repeat(1000);
    assert!(server.exchange(&post("content-length: 1000\r\n", &full)).await.ends_with(&full));
    let over = server.exchange(&post("content-length: 1001\r\n", &"x".repeat(1001))).await;
    assert!(over.starts_with("HTTP/1.1 413 ") && over.ends_with("too large"), "{over}");
    let chunked = format!("{:x}\r\n{}\r\n0\r\n\r\n", 1001, "x".repeat(1001));
    let over = server.exchange(&post("transfer-encoding: chunked\r\n", &chunked)).await;
    assert!(over.starts_with("HTTP/1.1 413 "), "{over}");
    let asks_first = server.exchange(&post("content-length: 999999999\r\nexpect: 100-continue\r\n", "")).await;
    assert!(asks_first.starts_with("HTTP/1.1 413 "), "{asks_first}");
    let late = server.exchange(&post("content-length: 4\r\n", "bo")).await;
    assert!(late.ends_with("did not arrive in time"), "{late}");
    let broken = server.exchange(&post("transfer-encoding: chunked\r\n", "zz\r\n")).await;
    assert!(broken.ends_with("badly framed"), "{broken}");
}

#[tokio::test]
async fn garbage_ends_its_own_connection_only() {
    let server = running(|_| {}).await;
    let piped = server.exchange("GET /demo/customers/1 HTTP/1.1\r\nhost: l\r\n\r\n\x00\x01garbage\r\n\r\n").await;
    assert!(piped.contains("a customer") && piped.contains("HTTP/1.1 400 "), "{piped}");
    let smuggled = "POST /demo/echo HTTP/1.1\r\nhost: l\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n\
        GET /demo/customers/1 HTTP/1.1\r\nhost: l\r\nconnection: close\r\n\r\n";
    let answer = server.exchange(smuggled).await;
    // Two framings in one request: it must never be read as two requests.
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    assert!(server.exchange(&request("GET /demo/customers/1", "")).await.ends_with("a customer"));
}

#[tokio::test]
async fn connections_over_the_limit_wait_for_a_slot() {
    let server = running(|settings| settings.connections_max = 1).await;
    let mut first = server.connect().await;
    first.write_all(b"GET /held HTTP/1.1\r\nhost: l\r\nconnection: close\r\n\r\n").await.unwrap();
    server.begun.notified().await;
    let mut second = server.connect().await;
    second.write_all(request("GET /demo/customers/1", "").as_bytes()).await.unwrap();
    // Nothing is read of the second while the first holds the slot.
    assert!(timeout(Duration::from_millis(50), second.readable()).await.is_err());
    server.release.notify_one();
    assert!(until_closed(&mut first).await.ends_with("released"));
    assert!(until_closed(&mut second).await.ends_with("a customer"));
}

#[tokio::test]
async fn http_2_without_tls_is_served() {
    let server = running(|_| {}).await;
    keyherald_tls_provider();
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let answer = client.get(format!("http://{}/demo/customers/1", server.address)).send().await.unwrap();
    assert_eq!(answer.version(), axum::http::Version::HTTP_2);
    assert!(answer.headers().contains_key("x-correlation-id"));
    assert_eq!(answer.text().await.unwrap(), "a customer");
}

#[tokio::test]
async fn long_answers_are_compressed_if_the_client_takes_it() {
    let server = running(|_| {}).await;
    let takes = "accept-encoding: br;q=1.0, gzip;q=0.8\r\n";
    for (line, more, compressed) in [
        ("GET /long", takes, true),
        ("GET /long", "", false),
        ("GET /long", "accept-encoding: gzip;q=0\r\n", false),
        ("GET /long", "accept-encoding: br\r\n", false),
        ("HEAD /long", "", false),
        // Too short to be worth it, and secret: see compression.rs.
        ("GET /demo/customers/1", takes, false),
        ("GET /secret", takes, false),
    ] {
        let mut stream = server.connect().await;
        stream.write_all(request(line, more).as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{line} {more}: {answer}");
        assert_eq!(header(&answer, "content-encoding") == Some("gzip"), compressed, "{line} {more}: {answer}");
        assert_eq!(answer.len() < 1000, compressed || line != "GET /long" && line != "GET /secret", "{line} {more}");
        if line == "GET /long" {
            assert_eq!(header(&answer, "vary"), Some("accept-encoding"), "{line} {more}");
        }
    }
}

const PREFLIGHT: &str = "access-control-request-method: POST\r\n\
    access-control-request-headers: authorization,content-type,x-correlation-id\r\n";

#[tokio::test]
async fn pages_of_listed_origins_may_call() {
    let listed = ["https://shop.example.com", "http://localhost:3000"];
    let origins: Vec<_> = listed.iter().map(|origin| PageOrigin::One((*origin).to_owned())).collect();
    let server = running(|settings| settings.cors.origins = origins).await;
    for origin in listed {
        // The preflight request comes without a token, and is answered here whatever the path.
        let from = format!("origin: {origin}\r\n");
        let asked = server.exchange(&request("OPTIONS /demo/customers/1", &format!("{from}{PREFLIGHT}"))).await;
        assert!(asked.starts_with("HTTP/1.1 200 "), "{asked}");
        assert_eq!(header(&asked, "access-control-allow-origin"), Some(origin));
        let headers = header(&asked, "access-control-allow-headers").unwrap();
        for needed in ["authorization", "content-type", "x-correlation-id", "x-external-user-id"] {
            assert!(headers.split(',').any(|allowed| allowed == needed), "{headers}");
        }
        assert_eq!(header(&asked, "access-control-allow-methods"), Some("GET,HEAD,POST,DELETE"));
        assert_eq!(header(&asked, "access-control-max-age"), Some("3600"));
        assert!(header(&asked, "x-correlation-id").unwrap().starts_with("demo-"));
        // Every answer can be read, also the frame's own, and one that there is no route for.
        for (line, status) in [("GET /demo/customers/1", 200), ("GET /panics", 500), ("GET /demo/nothing/here", 404)] {
            let answer = server.exchange(&request(line, &from)).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
            assert_eq!(header(&answer, "access-control-allow-origin"), Some(origin), "{line}");
            assert_eq!(header(&answer, "access-control-expose-headers"), Some("x-correlation-id,retry-after"));
            assert!(header(&answer, "access-control-allow-credentials").is_none());
        }
    }
    for other in ["https://shop.example.com.evil.example", "https://shop.example.com:8443", "null"] {
        let from = format!("origin: {other}\r\n");
        let asked = server.exchange(&request("OPTIONS /demo/customers/1", &format!("{from}{PREFLIGHT}"))).await;
        assert_eq!(header(&asked, "access-control-allow-origin"), None, "{asked}");
        let answer = server.exchange(&request("GET /demo/customers/1", &from)).await;
        assert_eq!(header(&answer, "access-control-allow-origin"), None, "{answer}");
        // What is kept of an answer for one origin must not be shown to another.
        assert!(header(&answer, "vary").is_some_and(|vary| vary.contains("origin")), "{answer}");
    }
}

#[tokio::test]
async fn without_origins_there_is_no_cors_and_with_a_star_every_page_may() {
    let from = "origin: https://shop.example.com\r\n";
    let server = running(|_| {}).await;
    let answer = server.exchange(&request("OPTIONS /demo/customers/1", &format!("{from}{PREFLIGHT}"))).await;
    assert!(
        answer.starts_with("HTTP/1.1 405 ") && header(&answer, "access-control-allow-origin").is_none(),
        "{answer}"
    );
    let server = running(|settings| settings.cors.origins = vec![PageOrigin::Any]).await;
    for line in ["OPTIONS /demo/customers/1", "GET /demo/customers/1"] {
        let answer = server.exchange(&request(line, &format!("{from}{PREFLIGHT}"))).await;
        assert_eq!(header(&answer, "access-control-allow-origin"), Some("*"), "{answer}");
    }
}

#[tokio::test]
async fn http_1_and_2_are_served_on_one_socket_and_no_answer_has_an_etag() {
    let server = running(|_| {}).await;
    keyherald_tls_provider();
    for client in [reqwest::Client::builder().http1_only(), reqwest::Client::builder().http2_prior_knowledge()] {
        let client = client.build().unwrap();
        let url = |path: &str| format!("http://{}{path}", server.address);
        let many = (0..50).map(|_| client.post(url("/demo/echo")).body("x".repeat(900)).send());
        for answer in futures_util::future::join_all(many).await {
            let answer = answer.unwrap();
            assert!(!answer.headers().contains_key("etag"));
            assert_eq!(answer.text().await.unwrap().len(), 900);
        }
        let compressed = client.get(url("/long")).header("accept-encoding", "gzip").send().await.unwrap();
        assert_eq!(compressed.headers()["content-encoding"], "gzip");
        let head = client.head(url("/demo/customers/1")).send().await.unwrap();
        assert_eq!((head.status().as_u16(), head.text().await.unwrap().len()), (200, 0));
    }
}

/// reqwest wants a provider of cryptography, also for plain HTTP.
fn keyherald_tls_provider() {
    let _already = rustls::crypto::ring::default_provider().install_default();
}

#[tokio::test]
async fn shutdown_finishes_what_is_in_progress_and_refuses_the_rest() {
    let server = running(|_| {}).await;
    let mut held = server.connect().await;
    held.write_all(b"GET /held HTTP/1.1\r\nhost: l\r\n\r\n").await.unwrap();
    server.begun.notified().await;
    let mut idle = server.connect().await;
    server.signal.send(Signal::Terminate).await.unwrap();
    assert_eq!(until_closed(&mut idle).await, "");
    // The socket is closed as soon as the server has seen the signal.
    let refused = async {
        while TcpStream::connect(server.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, refused).await.unwrap();
    assert!(!server.ended.is_finished());
    server.release.notify_one();
    assert!(until_closed(&mut held).await.ends_with("released"));
    assert_eq!(server.ended.await.unwrap(), Ending::Orderly);
}

#[tokio::test]
async fn a_second_signal_does_not_wait_for_requests() {
    let server = running(|_| {}).await;
    let mut held = server.connect().await;
    held.write_all(b"GET /held HTTP/1.1\r\nhost: l\r\n\r\n").await.unwrap();
    server.begun.notified().await;
    server.signal.send(Signal::Terminate).await.unwrap();
    server.signal.send(Signal::Terminate).await.unwrap();
    assert_eq!(server.ended.await.unwrap().exit_code(), 143);
}

#[tokio::test]
async fn health_tells_reasons() {
    let server = running(|settings| settings.shutdown_delay = Duration::from_hours(1)).await;
    let ready = || async { server.exchange(&request("GET /health/ready", "")).await };
    assert!(ready().await.ends_with(r#"{"status":"ready","role":"all","partitions":64}"#));
    server.life.readiness().fail("store", "the database cannot be reached");
    let answer = ready().await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    let body = r#"{"status":"not_ready","reasons":[{"name":"store","text":"the database cannot be reached"}]}"#;
    assert!(answer.ends_with(body), "{answer}");
    server.life.readiness().clear("store");
    assert!(ready().await.ends_with(r#"{"status":"ready","role":"all","partitions":64}"#));
    // Still served in the delay of a shutdown, and live.
    server.signal.send(Signal::Terminate).await.unwrap();
    let told = async { while !ready().await.contains("shutting_down") {} };
    timeout(PATIENCE, told).await.unwrap();
    assert!(server.exchange(&request("GET /health/live", "")).await.starts_with("HTTP/1.1 200 "));
}

/// Log lines, kept for a look.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn one_line_per_request_with_nothing_personal_in_it() {
    let lines = Lines::default();
    let writer = lines.clone();
    // The test's runtime has one thread, so this covers the server's tasks.
    let _logging = tracing::dispatcher::set_default(&subscriber(Look::Json, "trace", move || writer.clone()));
    let server = running(|_| {}).await;
    let secrets = "x-correlation-id: jane@example.com\r\nauthorization: Bearer s3cr3t\r\ncontent-length: 6\r\n";
    for line in [
        "POST /demo/echo?email=jane%40example.com",
        "GET /demo/customers/jane@example.com",
        "GET /jane@example.com/s3cr3t",
        "JANE /demo/echo",
    ] {
        server.exchange(&(request(line, secrets) + "s3cr3t")).await;
    }
    server.exchange(&request("GET /shaped/key=jane", "x-correlation-id: trace-1\r\n")).await;
    server.exchange(&request("GET /panics", "")).await;
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    for secret in ["jane", "JANE", "s3cr3t"] {
        assert!(!text.contains(secret), "{text}");
    }
    let logged: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let access: Vec<_> = logged.iter().filter(|line| line.get("duration_ms").is_some()).collect();
    let seen: Vec<_> =
        access.iter().map(|line| (line["span"]["route"].as_str().unwrap(), line["status"].as_u64().unwrap())).collect();
    assert_eq!(
        seen,
        [
            ("/{project}/echo", 200),
            ("/{project}/customers/{id}", 200),
            ("unmatched", 404),
            ("/{project}/echo", 405),
            ("/shaped/key={key}", 200),
            ("/panics", 500)
        ]
    );
    assert_eq!((&access[0]["bytes"], &access[0]["complete"]), (&6.into(), &true.into()));
    assert_eq!(access[0]["span"]["method"], "POST");
    assert_eq!(access[0]["span"]["correlation_id"], "(withheld)");
    assert_eq!(access[4]["span"]["correlation_id"], "trace-1");
    assert_eq!(access[4]["complete"], true);
}

#[tokio::test]
async fn a_client_that_goes_away_is_logged_too() {
    let lines = Lines::default();
    let writer = lines.clone();
    let _logging = tracing::dispatcher::set_default(&subscriber(Look::Json, "info", move || writer.clone()));
    let server = running(|_| {}).await;
    let mut stream = server.connect().await;
    stream.write_all(request("GET /held", "").as_bytes()).await.unwrap();
    server.begun.notified().await;
    drop(stream);
    let logged = async {
        while !String::from_utf8_lossy(&lines.0.lock().unwrap()).contains("the client went away") {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, logged).await.unwrap();
}
