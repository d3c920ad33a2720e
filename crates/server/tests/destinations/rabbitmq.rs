//! RabbitMQ: each receiver is a queue of its own, behind an exchange of its own. It is looked into over HTTP, by the
//! management plugin.
//!
//! `KEYHERALD_TEST_RABBITMQ` is `ADDRESS TLS_PORT MANAGEMENT_URL USER PASSWORD`. Messages of more than a mebibyte are refused there.

use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use keyherald_core::delivery::{Cause, Outcome};
use reqwest::Method;
use serde_json::{Value, json};

use crate::receiver::{Got, Receiver, place, service};
use crate::scene::{self, PATIENT};

/// A queue.
pub struct Queue {
    address: SocketAddr,
    tls_port: String,
    management: String,
    user: String,
    password: String,
    /// Also that of its exchange.
    name: String,
}

impl Receiver for Queue {
    const KIND: &'static str = "RabbitMQ";
    const DROPS_COPIES: bool = false;
    const ENDLESS: &'static [u8] = b"\x01\0\0\xFF\xFF\xFF\xFF";

    async fn start() -> Self {
        let [address, tls_port, management, user, password] = service("KEYHERALD_TEST_RABBITMQ");
        let (address, name) = (address.parse().unwrap(), place());
        let queue = Self { address, tls_port, management, user, password, name: name.clone() };
        queue.ask(Method::PUT, &format!("exchanges/%2F/{name}"), json!({"type": "fanout", "durable": false})).await;
        queue.ask(Method::PUT, &format!("queues/%2F/{name}"), json!({"durable": true})).await;
        queue.ask(Method::POST, &format!("bindings/%2F/e/{name}/q/{name}"), json!({})).await;
        queue
    }

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn draft(&self, host: &str, port: u16) -> Value {
        let Self { name, user, password, .. } = self;
        json!({"type": "RabbitMQ", "url": format!("amqp://{host}:{port}"), "exchange": name, "user": user, "password": password})
    }

    fn secrets(&self) -> Vec<String> {
        vec![self.password.clone()]
    }

    async fn got(&self) -> Vec<Got> {
        // Taken and put back, in their order.
        let look = json!({"count": 10_000, "ackmode": "ack_requeue_true", "encoding": "base64"});
        let found = self.ask(Method::POST, &format!("queues/%2F/{}/get", self.name), look).await;
        let got = |message: &Value| {
            let id = message["properties"]["message_id"].as_str().unwrap().to_owned();
            let body = message["payload"].as_str().unwrap();
            assert_eq!(message["properties"]["delivery_mode"], 2);
            Got { id, body: STANDARD.decode(body).unwrap_or_else(|_| panic!("{message}")) }
        };
        found.as_array().unwrap().iter().map(got).collect()
    }

    fn poison(&self) -> Result<Vec<u8>, &'static str> {
        Ok(vec![b'x'; 2 * 1024 * 1024]) // twice what the server allows
    }

    fn ask_for_rest(&self, _: u32) -> Result<(), &'static str> {
        Err("a confirmation has no time to wait for")
    }
}

impl Queue {
    async fn ask(&self, method: Method, path: &str, body: Value) -> Value {
        let http = scene::context(scene::open(), PATIENT).http;
        let url = format!("{}/api/{path}", self.management);
        let request = http.request(method, url).basic_auth(&self.user, Some(&self.password)).json(&body);
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default()
    }

    fn here(&self) -> Value {
        self.draft("127.0.0.1", self.address.port())
    }
}

async fn attempt(draft: &Value) -> Outcome {
    scene::attempt("RabbitMQ", draft, PATIENT).await
}

fn refused(reason: &str) -> Outcome {
    Outcome::Failed { reason: reason.to_owned(), retry_after_s: None, cause: Cause::Refused }
}

#[tokio::test]
#[ignore = "needs RabbitMQ: cargo xtask test starts one"]
async fn rabbitmq_over_tls_is_who_it_says() {
    let queue = Queue::start().await;
    let mut draft = queue.draft("localhost", 1);
    draft["url"] = format!("amqps://localhost:{}", queue.tls_port).into();
    let failed = |reason: &str| Outcome::Failed { reason: reason.into(), retry_after_s: None, cause: Cause::Temporary };
    assert_eq!(attempt(&draft).await, failed("no TLS connection")); // signed by nobody whom we know
    draft["caCertificate"] = scene::AUTHORITY.into();
    assert_eq!(attempt(&draft).await, Outcome::Delivered);
    assert_eq!(queue.got().await.len(), 1);
}

#[tokio::test]
#[ignore = "needs RabbitMQ: cargo xtask test starts one"]
async fn rabbitmq_takes_nothing_that_no_queue_takes() {
    let queue = Queue::start().await;
    let name = &queue.name;
    // By the default exchange the routing key is a queue.
    let mut draft = queue.here();
    draft["exchange"] = Value::Null;
    draft["routingKey"] = name.as_str().into();
    assert_eq!(attempt(&draft).await, Outcome::Delivered);
    draft["routingKey"] = format!("{name}-other").into();
    assert_eq!(attempt(&draft).await, refused("no queue takes this message"));
    assert_eq!(queue.got().await.len(), 1);
}

#[tokio::test]
#[ignore = "needs RabbitMQ: cargo xtask test starts one"]
async fn rabbitmq_says_what_is_wrong() {
    let queue = Queue::start().await;
    for (field, value, reason) in [
        ("password", "wrong", "the broker refuses our access"),
        ("exchange", "no-such-exchange", "there is no such exchange"),
        ("vhost", "no-such-host", "the broker does not allow this virtual host"),
    ] {
        let mut draft = queue.here();
        draft[field] = value.into();
        assert_eq!(attempt(&draft).await, refused(reason), "{field}");
    }
}

#[tokio::test]
#[ignore = "needs RabbitMQ: cargo xtask test starts one"]
async fn rabbitmq_that_is_full_is_a_failure() {
    let queue = Queue::start().await;
    let name = format!("{}-small", queue.name);
    let small = json!({"durable": true, "arguments": {"x-max-length": 1, "x-overflow": "reject-publish"}});
    queue.ask(Method::PUT, &format!("queues/%2F/{name}"), small).await;
    let mut draft = queue.here();
    draft["exchange"] = Value::Null;
    draft["routingKey"] = name.as_str().into();
    let full = "the broker could not take the message".to_owned();
    let full = Outcome::Failed { reason: full, retry_after_s: None, cause: Cause::Throttled };
    assert_eq!(attempt(&draft).await, Outcome::Delivered);
    assert_eq!(attempt(&draft).await, full);
}
