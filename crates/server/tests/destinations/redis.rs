//! Redis: each receiver is a stream of its own.
//!
//! `KEYHERALD_TEST_REDIS` is `ADDRESS TLS_PORT USER PASSWORD`.

use std::net::SocketAddr;

use keyherald_core::delivery::{Cause, Outcome};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::receiver::{Got, Receiver, place, service};
use crate::scene::{self, PATIENT};

/// A stream.
pub struct Stream {
    address: SocketAddr,
    tls_port: String,
    user: String,
    password: String,
    name: String,
}

impl Receiver for Stream {
    const KIND: &'static str = "RedisStreams";
    const DROPS_COPIES: bool = false;
    const ENDLESS: &'static [u8] = b"$99999999999\r\n";

    async fn start() -> Self {
        let [address, tls_port, user, password] = service("KEYHERALD_TEST_REDIS");
        Self { address: address.parse().unwrap(), tls_port, user, password, name: place() }
    }

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn draft(&self, host: &str, port: u16) -> Value {
        let Self { name, user, password, .. } = self;
        let url = format!("redis://{host}:{port}");
        json!({"type": "RedisStreams", "url": url, "stream": name, "database": 3, "user": user, "password": password})
    }

    fn secrets(&self) -> Vec<String> {
        vec![self.password.clone()]
    }

    async fn got(&self) -> Vec<Got> {
        let texts = self.ask(&format!("XRANGE {} - +", self.name)).await;
        // Its own id, and five fields with their values; before the last two those of its trace, if there is one.
        let mut got = Vec::new();
        let mut rest = &texts[..];
        while !rest.is_empty() {
            let fields = 1 + rest[1..].iter().step_by(2).position(|name| name == b"body").unwrap();
            let names: Vec<&[u8]> = rest[1..].iter().step_by(2).take(fields).map(Vec::as_slice).collect();
            let own = |name: &&&[u8]| !name.starts_with(b"trace");
            let owned: Vec<&[u8]> = names.iter().filter(own).copied().collect();
            assert_eq!(owned, [&b"id"[..], b"project", b"customer", b"contentType", b"body"]);
            let entry = &rest[..=2 * fields];
            got.push(Got { id: String::from_utf8(entry[2].clone()).unwrap(), body: entry[2 * fields].clone() });
            rest = &rest[entry.len()..];
        }
        got
    }

    fn poison(&self) -> Result<Vec<u8>, &'static str> {
        Err("a stream takes any bytes, more of them than a message has")
    }

    fn ask_for_rest(&self, _: u32) -> Result<(), &'static str> {
        Err("an answer has no time to wait for")
    }
}

impl Stream {
    /// All texts of a command's answer.
    async fn ask(&self, command: &str) -> Vec<Vec<u8>> {
        let mut stream = BufReader::new(TcpStream::connect(self.address).await.unwrap());
        let said = format!("AUTH {} {}\r\nSELECT 3\r\n{command}\r\n", self.user, self.password);
        stream.write_all(said.as_bytes()).await.unwrap();
        let (mut texts, mut answers) = (Vec::new(), 3);
        while answers > 0 {
            let mut line = String::new();
            assert_ne!(stream.read_line(&mut line).await.unwrap(), 0);
            answers -= 1;
            match line.trim_end().split_at(1) {
                ("*", count) => answers += count.parse::<usize>().unwrap(),
                ("$", bytes) => {
                    let mut text = vec![0; bytes.parse::<usize>().unwrap() + 2];
                    stream.read_exact(&mut text).await.unwrap();
                    text.truncate(text.len() - 2);
                    texts.push(text);
                }
                (kind, text) => assert_ne!(kind, "-", "{text}"),
            }
        }
        texts
    }

    fn here(&self) -> Value {
        self.draft("127.0.0.1", self.address.port())
    }
}

async fn attempt(draft: &Value) -> Outcome {
    scene::attempt("RedisStreams", draft, PATIENT).await
}

#[tokio::test]
#[ignore = "needs Redis: cargo xtask test starts one"]
async fn redis_over_tls_is_who_it_says() {
    let stream = Stream::start().await;
    let mut draft = stream.draft("localhost", 1);
    draft["url"] = format!("rediss://localhost:{}", stream.tls_port).into();
    let failed = |reason: &str| Outcome::Failed { reason: reason.into(), retry_after_s: None, cause: Cause::Temporary };
    assert_eq!(attempt(&draft).await, failed("no TLS connection")); // signed by nobody whom we know
    draft["caCertificate"] = scene::AUTHORITY.into();
    assert_eq!(attempt(&draft).await, Outcome::Delivered);
    assert_eq!(stream.got().await.len(), 1);
}

#[tokio::test]
#[ignore = "needs Redis: cargo xtask test starts one"]
async fn redis_says_what_is_wrong() {
    let stream = Stream::start().await;
    let refused = |reason: &str| Outcome::Failed { reason: reason.into(), retry_after_s: None, cause: Cause::Refused };
    let mut draft = stream.here();
    draft["password"] = "wrong".into();
    assert_eq!(attempt(&draft).await, refused("the server refuses our access"));
    let mut draft = stream.here();
    (draft["user"], draft["password"]) = (Value::Null, Value::Null);
    assert_eq!(attempt(&draft).await, refused("the server refuses our access"));
    stream.ask(&format!("SET {} text", stream.name)).await;
    assert_eq!(attempt(&stream.here()).await, refused("what has the stream's name is no stream"));
}

#[tokio::test]
#[ignore = "needs Redis: cargo xtask test starts one"]
async fn redis_drops_what_a_stream_has_no_room_for() {
    let stream = Stream::start().await;
    let (unlimited, mut draft) = (stream.here(), stream.here());
    draft["lengthMax"] = 1.into();
    // Whole blocks of a hundred entries are dropped, so one more than a hundred leaves fewer.
    for _ in 0..100 {
        assert_eq!(attempt(&unlimited).await, Outcome::Delivered);
    }
    assert_eq!(attempt(&draft).await, Outcome::Delivered);
    assert!(stream.got().await.len() < 100);
}
