//! NATS: each receiver is a stream of its own.
//!
//! `KEYHERALD_TEST_NATS` is `ADDRESS USER PASSWORD`.

use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use keyherald_core::delivery::{Cause, Outcome};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::receiver::{Got, Receiver, place, service};
use crate::scene::{self, PATIENT};

/// A stream.
pub struct Stream {
    address: SocketAddr,
    user: String,
    password: String,
    name: String,
}

impl Receiver for Stream {
    const KIND: &'static str = "NATS";
    const DROPS_COPIES: bool = true;
    const ENDLESS: &'static [u8] = b"INFO ";

    async fn start() -> Self {
        let [address, user, password] = service("KEYHERALD_TEST_NATS");
        let stream = Self { address: address.parse().unwrap(), user, password, name: place() };
        let made = json!({"name": stream.name, "subjects": [format!("{}.>", stream.name)], "storage": "memory"});
        let answer = stream.ask(&format!("$JS.API.STREAM.CREATE.{}", stream.name), &made).await;
        assert!(answer["error"].is_null(), "{answer}");
        stream
    }

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn draft(&self, host: &str, port: u16) -> Value {
        let Self { name, user, password, .. } = self;
        json!({"type": "NATS", "url": format!("nats://{host}:{port}"), "subject": name, "user": user, "password": password})
    }

    fn secrets(&self) -> Vec<String> {
        vec![self.password.clone()]
    }

    async fn got(&self) -> Vec<Got> {
        let info = self.ask(&format!("$JS.API.STREAM.INFO.{}", self.name), &json!({})).await;
        let mut got = Vec::new();
        for seq in 1..=info["state"]["last_seq"].as_u64().unwrap() {
            let stored = self.ask(&format!("$JS.API.STREAM.MSG.GET.{}", self.name), &json!({"seq": seq})).await;
            let part = |name: &str| STANDARD.decode(stored["message"][name].as_str().unwrap()).unwrap();
            let headers = String::from_utf8(part("hdrs")).unwrap();
            let id = headers.lines().find_map(|line| line.strip_prefix("Nats-Msg-Id: ")).unwrap().to_owned();
            got.push(Got { id, body: part("data") });
        }
        got
    }

    fn poison(&self) -> Result<Vec<u8>, &'static str> {
        Ok(vec![b'x'; 2 * 1024 * 1024]) // twice what the server allows
    }

    fn ask_for_rest(&self, _: u32) -> Result<(), &'static str> {
        Err("an answer of a stream has no time to wait for")
    }
}

impl Stream {
    /// A request of its own connection, and its answer.
    async fn ask(&self, subject: &str, body: &Value) -> Value {
        let mut stream = BufReader::new(TcpStream::connect(self.address).await.unwrap());
        let connect = json!({"user": self.user, "pass": self.password, "verbose": false, "headers": true});
        let (body, inbox) = (body.to_string(), "_INBOX.tests");
        let (length, said) = (body.len(), format!("CONNECT {connect}\r\nSUB {inbox}.{} 1\r\n", self.name));
        let said = format!("{said}PUB {subject} {inbox}.{} {length}\r\n{body}\r\n", self.name);
        stream.write_all(said.as_bytes()).await.unwrap();
        let mut line = String::new();
        while !line.starts_with("MSG ") {
            line.clear();
            assert_ne!(stream.read_line(&mut line).await.unwrap(), 0);
            assert!(!line.starts_with("-ERR"), "{line}");
        }
        let mut answer = vec![0; line.trim_end().rsplit(' ').next().unwrap().parse().unwrap()];
        stream.read_exact(&mut answer).await.unwrap();
        serde_json::from_slice(&answer).unwrap()
    }
}

/// Sends one message to where this draft leads.
async fn attempt(draft: &Value) -> Outcome {
    scene::attempt("NATS", draft, PATIENT).await
}

#[tokio::test]
#[ignore = "needs NATS: cargo xtask test starts one"]
async fn nats_over_tls_is_who_it_says() {
    let stream = Stream::start().await;
    let mut draft = stream.draft("localhost", 1);
    draft["url"] = format!("tls://localhost:{}", stream.address.port()).into();
    let failed = |reason: &str| Outcome::Failed { reason: reason.into(), retry_after_s: None, cause: Cause::Temporary };
    assert_eq!(attempt(&draft).await, failed("no TLS connection")); // signed by nobody whom we know
    draft["caCertificate"] = scene::AUTHORITY.into();
    assert_eq!(attempt(&draft).await, Outcome::Delivered);
    assert_eq!(stream.got().await.len(), 1);
}

#[tokio::test]
#[ignore = "needs NATS: cargo xtask test starts one"]
async fn nats_refuses_strangers_and_subjects_without_a_stream() {
    let stream = Stream::start().await;
    let refused = |reason: &str| Outcome::Failed { reason: reason.into(), retry_after_s: None, cause: Cause::Refused };
    let mut draft = stream.draft("127.0.0.1", stream.address.port());
    draft["password"] = "wrong".into();
    assert_eq!(attempt(&draft).await, refused("the broker refuses our access"));
    let mut draft = stream.draft("127.0.0.1", stream.address.port());
    draft["subject"] = format!("{}-other", stream.name).into();
    assert_eq!(attempt(&draft).await, refused("no stream takes this subject"));
    assert!(stream.got().await.is_empty());
}
