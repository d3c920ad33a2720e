//! MQTT: each receiver is a subscriber of topics of its own.
//!
//! `KEYHERALD_TEST_MOSQUITTO` is `ADDRESS TLS_PORT MUTUAL_TLS_PORT USER PASSWORD`. Packets of more than a mebibyte are refused
//! there; by the second TLS port only who has the client's certificate comes in.

use std::net::SocketAddr;
use std::sync::Arc;

use keyherald_core::delivery::{Cause, Outcome};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;

use crate::receiver::{Got, Receiver, place, service};
use crate::scene::{self, PATIENT};

const CERTIFICATE: &str = include_str!("certificates/client.pem");
const KEY: &str = include_str!("certificates/client.key");

/// A subscriber.
pub struct Subscriber {
    address: SocketAddr,
    tls_ports: [String; 2],
    user: String,
    password: String,
    name: String,
    way: Arc<Mutex<OwnedWriteHalf>>,
    /// What came, the marks of [`Receiver::got`] included.
    came: watch::Receiver<Vec<Got>>,
    _task: JoinSet<()>,
}

impl Receiver for Subscriber {
    const KIND: &'static str = "MQTT";
    const DROPS_COPIES: bool = false;
    const ENDLESS: &'static [u8] = b"\x20\xFF\xFF\xFF\x7F";

    async fn start() -> Self {
        let [address, tls, mutual, user, password] = service("KEYHERALD_TEST_MOSQUITTO");
        let (address, name): (SocketAddr, _) = (address.parse().unwrap(), place());
        let (mut from, mut way) = TcpStream::connect(address).await.unwrap().into_split();
        let connect = [&text("MQTT")[..], &[5, 0xC2, 0, 0, 0], &text(""), &text(&user), &text(&password)].concat();
        way.write_all(&packet(0x10, &connect)).await.unwrap();
        let subscribe = [&[0, 1, 0][..], &text(&format!("{name}/#")), &[1]].concat();
        way.write_all(&packet(0x82, &subscribe)).await.unwrap();
        for kind in [0x20, 0x90] {
            assert_eq!(heard(&mut from).await.unwrap().0, kind);
        }
        let (come, came) = watch::channel(Vec::new());
        let (way, mut task) = (Arc::new(Mutex::new(way)), JoinSet::new());
        let answers = way.clone();
        task.spawn(async move {
            while let Some((first, rest)) = heard(&mut from).await {
                if first & 0xF0 == 0x30 {
                    come.send_modify(|came: &mut Vec<Got>| came.push(published(first, &rest)));
                }
                if first & 0xF6 == 0x32 {
                    let at = 2 + usize::from(u16::from_be_bytes([rest[0], rest[1]]));
                    answers.lock().await.write_all(&packet(0x40, &rest[at..at + 2])).await.unwrap();
                }
            }
        });
        Self { address, tls_ports: [tls, mutual], user, password, name, way, came, _task: task }
    }

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn draft(&self, host: &str, port: u16) -> Value {
        let Self { name, user, password, .. } = self;
        json!({"type": "MQTT", "url": format!("mqtt://{host}:{port}"), "topic": name, "user": user, "password": password})
    }

    fn secrets(&self) -> Vec<String> {
        vec![self.password.clone()]
    }

    async fn got(&self) -> Vec<Got> {
        // What is published now comes after all that was acknowledged before.
        let mark = place();
        let publish = [&text(&format!("{}/mark", self.name))[..], &[0], mark.as_bytes()].concat();
        self.way.lock().await.write_all(&packet(0x30, &publish)).await.unwrap();
        let mut came = self.came.clone();
        let is_marked = |came: &Vec<Got>| came.iter().any(|got| got.body == mark.as_bytes());
        let all = tokio::time::timeout(PATIENT, came.wait_for(is_marked)).await.unwrap().unwrap();
        all.iter().filter(|got| !got.id.is_empty()).cloned().collect()
    }

    fn poison(&self) -> Result<Vec<u8>, &'static str> {
        Ok(vec![b'x'; 2 * 1024 * 1024]) // twice what the broker allows
    }

    fn ask_for_rest(&self, _: u32) -> Result<(), &'static str> {
        Err("an acknowledgement has no time to wait for")
    }
}

impl Subscriber {
    fn secure(&self, port: &str) -> Value {
        let mut draft = self.draft("localhost", 1);
        draft["url"] = format!("mqtts://localhost:{port}").into();
        draft["caCertificate"] = scene::AUTHORITY.into();
        draft
    }
}

fn text(text: &str) -> Vec<u8> {
    [&u16::try_from(text.len()).unwrap().to_be_bytes()[..], text.as_bytes()].concat()
}

fn packet(first: u8, rest: &[u8]) -> Vec<u8> {
    [&[first, u8::try_from(rest.len()).unwrap()], rest].concat()
}

/// The next packet: its first byte, and what follows its length.
async fn heard(from: &mut OwnedReadHalf) -> Option<(u8, Vec<u8>)> {
    let first = from.read_u8().await.ok()?;
    let (mut length, mut shift) = (0, 0);
    loop {
        let byte = from.read_u8().await.ok()?;
        length |= usize::from(byte & 0x7F) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let mut rest = vec![0; length];
    from.read_exact(&mut rest).await.ok()?;
    Some((first, rest))
}

/// A message, with the user property `message-id` if it has it.
fn published(first: u8, rest: &[u8]) -> Got {
    let take = |at: usize| usize::from(u16::from_be_bytes([rest[at], rest[at + 1]]));
    let mut at = 2 + take(0) + if first & 0x06 == 0 { 0 } else { 2 };
    // All properties that we set fit in a length of two bytes.
    let (mut length, low) = (usize::from(rest[at] & 0x7F), rest[at]);
    at += 1;
    if low & 0x80 != 0 {
        length |= usize::from(rest[at]) << 7;
        at += 1;
    }
    let (properties, body) = rest[at..].split_at(length);
    let named = properties.windows(10).position(|ten| ten == b"message-id");
    let id = named.map(|at| String::from_utf8(properties[at + 12..at + 48].to_vec()).unwrap());
    Got { id: id.unwrap_or_default(), body: body.to_vec() }
}

async fn attempt(draft: &Value) -> Outcome {
    scene::attempt("MQTT", draft, PATIENT).await
}

fn failed(cause: Cause, reason: &str) -> Outcome {
    Outcome::Failed { reason: reason.to_owned(), retry_after_s: None, cause }
}

#[tokio::test]
#[ignore = "needs Mosquitto: cargo xtask test starts one"]
async fn mosquitto_over_tls_is_who_it_says_and_so_are_we() {
    let subscriber = Subscriber::start().await;
    let [tls, mutual] = &subscriber.tls_ports;
    let mut draft = subscriber.secure(tls);
    assert_eq!(attempt(&draft).await, Outcome::Delivered);
    draft["caCertificate"] = CERTIFICATE.into(); // of somebody else
    assert_eq!(attempt(&draft).await, failed(Cause::Temporary, "no TLS connection"));
    let mut draft = subscriber.secure(mutual);
    assert!(matches!(attempt(&draft).await, Outcome::Failed { cause: Cause::Temporary, .. }));
    (draft["clientCertificate"], draft["clientKey"]) = (CERTIFICATE.into(), KEY.into());
    assert_eq!(attempt(&draft).await, Outcome::Delivered);
    assert_eq!(subscriber.got().await.len(), 2);
}

#[tokio::test]
#[ignore = "needs Mosquitto: cargo xtask test starts one"]
async fn mosquitto_refuses_strangers_and_topics_without_subscribers() {
    let subscriber = Subscriber::start().await;
    let mut draft = subscriber.draft("127.0.0.1", subscriber.address.port());
    draft["password"] = "wrong".into();
    assert_eq!(attempt(&draft).await, failed(Cause::Refused, "the broker refuses our access"));
    let mut draft = subscriber.draft("127.0.0.1", subscriber.address.port());
    draft["topic"] = format!("{}-other", subscriber.name).into();
    assert_eq!(attempt(&draft).await, failed(Cause::Refused, "nobody has subscribed to the topic"));
}
