//! Kafka: each receiver is a topic of its own, of a real broker or of a cluster whose faults are asked for.
//!
//! `KEYHERALD_TEST_KAFKA` is `ADDRESS BROKER_PORT`: where `xtask/src/services/kafka.py` is asked, and where the broker listens.
//! What was written is read by librdkafka.
//!
//! A cluster tells its clients where its servers are. In front of them is one of ours ([`Front`]), which tells the wire's end in
//! their place, so that clients stay on the wire; it also speaks TLS and signs clients in, as the broker that can be had does
//! neither.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use keyherald::destination::{Delivery, Destination, Policy};
use keyherald::outbound::guard::{Guard, NotPublic};
use keyherald_core::customer::Customer;
use keyherald_core::delivery::{Cause, Outcome};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::kafka_front::{Announced, Behind, Front, PASSWORD, PRODUCE, USER, tls};
use crate::receiver::{Got, Receiver, place, service};
use crate::scene::{self, IMPATIENT, PATIENT, Scene, delivery};

/// Partitions of every topic here: several, so that order by key shows.
const PARTITIONS: u16 = 3;

/// Asks the service.
async fn ask(question: Value) -> Value {
    let [address, _] = service("KEYHERALD_TEST_KAFKA");
    let mut stream = BufReader::new(TcpStream::connect(address).await.unwrap());
    stream.write_all(format!("{question}\n").as_bytes()).await.unwrap();
    let mut line = String::new();
    stream.read_line(&mut line).await.unwrap();
    let answer: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(answer["error"], Value::Null, "{question}");
    answer["answer"].clone()
}

/// A record as librdkafka reads it.
struct Read {
    key: String,
    headers: Vec<(String, String)>,
    timestamp: i64,
    value: Vec<u8>,
}

impl Read {
    fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(each, _)| each == name).map(|(_, value)| value.as_str()).unwrap()
    }
}

async fn read(servers: &str, topic: &str) -> Vec<Read> {
    let answer = ask(json!({"ask": "read", "servers": servers, "name": topic})).await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let read = |record: &Value| Read {
        key: text(&record["key"]),
        headers: serde_json::from_value(record["headers"].clone()).unwrap(),
        timestamp: record["timestamp"].as_i64().unwrap(),
        value: BASE64_STANDARD.decode(text(&record["value"])).unwrap(),
    };
    answer.as_array().unwrap().iter().map(read).collect()
}

/// What both receivers have.
struct Topic {
    name: String,
    server: SocketAddr,
    front: Front,
    announced: Announced,
}

impl Topic {
    async fn new(server: &str, behind: Behind, name: String) -> Self {
        let (server, announced) = (server.parse().unwrap(), Announced::default());
        let front = Front::to(server, behind, None, &announced).await;
        Self { name, server, front, announced }
    }

    fn draft(&self, host: &str, port: u16) -> Value {
        self.announced.set(self.server.port(), port);
        draft(&format!("{host}:{port}"), &self.name)
    }

    async fn got(&self) -> Vec<Got> {
        let read = read(&self.server.to_string(), &self.name).await;
        read.into_iter().map(|read| Got { id: read.header("ce_id").to_owned(), body: read.value }).collect()
    }
}

/// A topic of a real broker.
pub struct Real(Topic);

/// A topic of a cluster that librdkafka plays.
pub struct Played(Topic);

macro_rules! receiver {
    ($receiver:ident, $start:expr) => {
        impl Receiver for $receiver {
            const KIND: &'static str = "Kafka";
            const DROPS_COPIES: bool = false;
            const ENDLESS: &'static [u8] = b"\x7f\xff\xff\xff";

            async fn start() -> Self {
                Self($start(place()).await)
            }

            fn address(&self) -> SocketAddr {
                self.0.front.address
            }

            fn draft(&self, host: &str, port: u16) -> Value {
                self.0.draft(host, port)
            }

            fn secrets(&self) -> Vec<String> {
                vec![PASSWORD.to_owned()]
            }

            async fn got(&self) -> Vec<Got> {
                self.0.got().await
            }

            fn poison(&self) -> Result<Vec<u8>, &'static str> {
                Ok(vec![b' '; 9 * 1024 * 1024]) // larger than what is sent anywhere
            }

            fn ask_for_rest(&self, _: u32) -> Result<(), &'static str> {
                Err("a broker that wants rest answers later")
            }
        }
    };
}

receiver!(Real, real);
receiver!(Played, played);

async fn real(name: String) -> Topic {
    ask(json!({"ask": "broker_topic", "name": name, "partitions": PARTITIONS})).await;
    Topic::new(&broker(), Behind::Tansu, name).await
}

fn broker() -> String {
    let [_, port] = service("KEYHERALD_TEST_KAFKA");
    format!("127.0.0.1:{port}")
}

async fn played(name: String) -> Topic {
    let cluster = Cluster::new(1).await;
    cluster.make(&name).await;
    Topic::new(&cluster.servers, Behind::Librdkafka, name).await
}

/// A cluster of librdkafka's, with a front before each broker.
struct Cluster {
    number: Value,
    servers: String,
    fronts: Vec<Front>,
}

impl Cluster {
    async fn new(brokers: u16) -> Self {
        let made = ask(json!({"ask": "cluster", "brokers": brokers})).await;
        let servers = made["servers"].as_str().unwrap().to_owned();
        let (number, announced, mut fronts) = (made["cluster"].clone(), Announced::default(), Vec::new());
        for server in servers.split(',') {
            fronts.push(Front::to(server.parse().unwrap(), Behind::Librdkafka, None, &announced).await);
        }
        Self { number, servers, fronts }
    }

    async fn make(&self, topic: &str) {
        self.ask("topic", json!({"name": topic, "partitions": PARTITIONS})).await;
    }

    async fn ask(&self, what: &str, mut question: Value) {
        (question["ask"], question["cluster"]) = (what.into(), self.number.clone());
        ask(question).await;
    }

    /// The next answers to requests to write.
    async fn fail_writes(&self, codes: &[i16]) {
        self.ask("errors", json!({"api": PRODUCE, "codes": codes})).await;
    }

    fn draft(&self, topic: &str) -> Value {
        draft(&self.fronts[0].address.to_string(), topic)
    }

    /// A destination at a topic of its own.
    async fn destination(&self, attempt_timeout: Duration) -> (String, Arc<dyn Destination>) {
        let topic = place();
        self.make(&topic).await;
        (topic.clone(), scene::opened("Kafka", &self.draft(&topic), &scene::open(), attempt_timeout))
    }
}

fn draft(server: &str, topic: &str) -> Value {
    json!({"type": "Kafka", "url": format!("kafka://{server}"), "topic": topic,
        "user": USER, "password": PASSWORD, "saslMechanism": "SCRAM-SHA-512"})
}

const UNKNOWN_TOPIC: i16 = 3;
const NOT_LEADER: i16 = 6;
const TIMED_OUT: i16 = 7;
const TOO_LARGE: i16 = 10;
const NOT_ENOUGH_REPLICAS: i16 = 19;
const NOT_ALLOWED: i16 = 29;
const INVALID_REQUEST: i16 = 42;
const INVALID_RECORD: i16 = 87;

fn refused(reason: &str) -> Outcome {
    Outcome::Failed { reason: reason.into(), retry_after_s: None, cause: Cause::Refused }
}

fn temporary(reason: &str) -> Outcome {
    Outcome::Failed { reason: reason.into(), retry_after_s: None, cause: Cause::Temporary }
}

#[tokio::test]
#[ignore = "needs Kafka: cargo xtask test starts one"]
async fn kafka_has_key_headers_and_time_of_each_message() {
    let scene = Scene::<Real>::new().await;
    let message = Delivery { is_replay: true, ..delivery(1, b"{}") };
    let destination = scene.destination(PATIENT);
    assert_eq!(destination.send(delivery(1, b"{}")).await, Outcome::Delivered);
    assert_eq!(destination.send(message.clone()).await, Outcome::Delivered);
    let records = read(&broker(), &scene.receiver.0.name).await;
    assert_eq!(records.len(), 2);
    for (record, is_replay) in records.iter().zip([false, true]) {
        let customer = message.customer.to_string();
        assert_eq!((&record.key, record.timestamp, &*record.value), (&customer, 1_760_000_000_000, &b"{}"[..]));
        let mut expected = vec![
            ("content-type", message.content_type.to_owned()),
            ("ce_id", message.message_id.to_string()),
            ("project", "demo".to_owned()),
            ("customer", customer.clone()),
        ];
        expected.extend(is_replay.then(|| ("replay", "true".to_owned())));
        let headers: Vec<_> = record.headers.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        assert_eq!(headers, expected);
    }
}

#[tokio::test]
#[ignore = "needs Kafka: cargo xtask test starts one"]
async fn kafka_over_tls_is_who_it_says() {
    let topic = real(place()).await;
    let front = Front::to(topic.server, Behind::Tansu, Some(tls()), &Announced::default()).await;
    let mut draft = json!({"type": "Kafka", "url": format!("kafka+ssl://localhost:{}", front.address.port()),
        "topic": topic.name, "user": USER, "password": PASSWORD});
    assert_eq!(attempt(&draft).await, temporary("no TLS connection")); // signed by nobody whom we know
    let mut cloud = json!({"type": "ConfluentCloud", "bootstrapServer": format!("localhost:{}", front.address.port()),
        "topic": topic.name, "apiKey": USER, "apiSecret": PASSWORD, "acks": "0"});
    assert_eq!(scene::attempt("ConfluentCloud", &cloud, PATIENT).await, temporary("no TLS connection"));
    cloud["bootstrapServer"] = format!("127.0.0.1:{}", topic.front.address.port()).into();
    assert_eq!(scene::attempt("ConfluentCloud", &cloud, PATIENT).await, temporary("no connection")); // never in the open
    draft["caCertificate"] = scene::AUTHORITY.into();
    assert_eq!(attempt(&draft).await, Outcome::Delivered);
    assert_eq!(topic.got().await.len(), 1);
}

#[tokio::test]
#[ignore = "needs Kafka: cargo xtask test starts one"]
async fn kafka_lets_in_who_knows_the_password() {
    let topic = real(place()).await;
    for mechanism in [json!(null), json!("PLAIN"), json!("SCRAM-SHA-256"), json!("SCRAM-SHA-512")] {
        let mut draft = topic.draft("127.0.0.1", topic.front.address.port());
        draft["saslMechanism"] = mechanism.clone();
        assert_eq!(attempt(&draft).await, Outcome::Delivered, "{mechanism}");
        draft["password"] = "wrong".into();
        assert_eq!(attempt(&draft).await, refused("the broker refuses our access"), "{mechanism}");
    }
    assert_eq!(topic.got().await.len(), 4);
}

#[tokio::test]
#[ignore = "needs Kafka: cargo xtask test starts one"]
async fn kafka_says_what_is_wrong() {
    let cluster = Cluster::new(1).await;
    let (topic, destination) = cluster.destination(PATIENT).await;
    let too_large = Outcome::Rejected { reason: "the message is larger than the topic allows".into() };
    let large = vec![b' '; 100_000];
    for (code, body, expected) in [
        (TOO_LARGE, &*large, too_large),
        (TOO_LARGE, b"{}", temporary("the topic takes smaller batches only")),
        (INVALID_RECORD, b"{}", Outcome::Rejected { reason: "the topic does not take this message".into() }),
        (NOT_ALLOWED, b"{}", refused("the broker refuses our access")),
        (INVALID_REQUEST, b"{}", refused("the broker answers with an error")),
    ] {
        cluster.fail_writes(&[code]).await;
        assert_eq!(destination.send(delivery(1, body)).await, expected, "{code}");
    }
    assert_eq!(destination.send(delivery(1, b"{}")).await, Outcome::Delivered);
    assert_eq!(read(&cluster.servers, &topic).await.len(), 1);
}

#[tokio::test]
#[ignore = "needs Kafka: cargo xtask test starts one"]
async fn kafka_without_the_topic_is_a_setting_to_change() {
    let topic = Topic::new(&broker(), Behind::Tansu, place()).await;
    let draft = topic.draft("127.0.0.1", topic.front.address.port());
    assert_eq!(attempt(&draft).await, refused("there is no such topic"));
    // And when it goes while we write.
    let cluster = Cluster::new(1).await;
    let (_, destination) = cluster.destination(IMPATIENT).await;
    assert_eq!(destination.send(delivery(1, b"{}")).await, Outcome::Delivered);
    cluster.fail_writes(&[UNKNOWN_TOPIC; 100]).await;
    assert_eq!(destination.send(delivery(2, b"{}")).await, refused("there is no such topic"));
}

#[tokio::test]
#[ignore = "needs Kafka: cargo xtask test starts one"]
async fn kafka_that_fails_for_a_moment_gets_each_message_once_and_in_order() {
    let (_store, stage) = scene::stage().await;
    let cluster = Cluster::new(3).await;
    let topic = place();
    cluster.make(&topic).await;
    let draft = cluster.draft(&topic);
    let (relay, id) = scene::relay_to(&stage, &draft, 8).await;
    let mut customers = stage.customers(6).await;
    // Some answers of one request are lost, others say that it must be repeated.
    for round in 0..4_u16 {
        cluster.fail_writes(&[NOT_LEADER, TIMED_OUT, NOT_ENOUGH_REPLICAS]).await;
        let broker = 1 + round % 3;
        for partition in 0..PARTITIONS {
            cluster.ask("leader", json!({"name": topic, "partition": partition, "broker": broker})).await;
        }
        stage.change_all(&mut customers, 1).await;
    }
    stage.until_quiet(&relay, id).await;
    relay.stop().await;
    assert!(stage.letters(id).await.is_empty());
    assert_eq!(check(&cluster, &topic, &customers).await, 0, "copies");
}

#[tokio::test]
#[ignore = "needs Kafka: cargo xtask test starts one"]
async fn kafka_writes_once_what_it_is_asked_about_twice() {
    let scene = Scene::<Real>::new().await;
    let destination = scene.destination(PATIENT);
    for number in 1..=5 {
        scene.receiver.0.front.lose_an_answer();
        assert_eq!(destination.send(delivery(number, b"{}")).await, Outcome::Delivered);
        assert!(scene.receiver.0.front.has_lost_it());
    }
    assert_eq!(scene.receiver.got().await.len(), 5);
}

/// Runs itself once more, in a process that trusts the tests' authority as if it were one of the system's.
#[tokio::test]
#[ignore = "needs Kafka: cargo xtask test starts one"]
async fn confluent_cloud_kafka_gets_what_is_too_large_without_its_payload() {
    let authority = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mail/certificates/authority.pem");
    if std::env::var("SSL_CERT_FILE").is_ok_and(|file| file == authority) {
        return confluent_cloud().await;
    }
    let name = "kafka::confluent_cloud_kafka_gets_what_is_too_large_without_its_payload";
    let mut itself = std::process::Command::new(std::env::current_exe().unwrap());
    let ran = itself.args(["--ignored", "--exact", name]).env("SSL_CERT_FILE", authority).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && said.contains("1 passed"), "{said}");
}

async fn confluent_cloud() {
    let cluster = Cluster::new(1).await;
    let (topic, announced) = (place(), Announced::default());
    cluster.make(&topic).await;
    let front = Front::to(cluster.servers.parse().unwrap(), Behind::Librdkafka, Some(tls()), &announced).await;
    let draft = json!({"type": "ConfluentCloud", "bootstrapServer": format!("localhost:{}", front.address.port()),
        "apiKey": USER, "apiSecret": PASSWORD, "acks": "0", "topic": topic, "key": "all of them"});
    let destination = scene::opened("ConfluentCloud", &draft, &scene::open(), PATIENT);
    let message = |value: String| {
        let message =
            json!({"notificationType": "Message", "id": "m", "type": "CustomerLastNameSet", "lastName": value});
        message.to_string().into_bytes()
    };
    let (whole, large) = (message("Doe".to_owned()), message("Doe".repeat(10_000)));
    assert_eq!(destination.send(delivery(1, &whole)).await, Outcome::Delivered);
    cluster.fail_writes(&[TOO_LARGE]).await;
    assert_eq!(destination.send(delivery(2, &large)).await, Outcome::Delivered);
    let records = read(&cluster.servers, &topic).await;
    assert!(records.iter().all(|record| record.key == "all of them"));
    let short = json!({"notificationType": "Message", "id": "m", "type": "CustomerLastNameSet",
        "payloadNotIncluded": {"reason": "Payload too large.", "payloadType": "CustomerLastNameSet"}});
    let values: Vec<&[u8]> = records.iter().map(|record| &*record.value).collect();
    assert_eq!(values, [&*whole, short.to_string().as_bytes()]);
}

#[tokio::test]
#[ignore = "needs Kafka: cargo xtask test starts one"]
async fn kafka_goes_on_with_the_brokers_that_are_left() {
    let (_store, stage) = scene::stage().await;
    let cluster = Cluster::new(3).await;
    let topic = place();
    cluster.make(&topic).await;
    let (relay, id) = scene::relay_to(&stage, &cluster.draft(&topic), 8).await;
    let mut customers = stage.customers(6).await;
    stage.change_all(&mut customers, 1).await;
    stage.until("something has arrived", || relay.counters.figures().delivered >= 3).await;
    cluster.ask("down", json!({"broker": 2})).await;
    stage.change_all(&mut customers, 1).await;
    for partition in 0..PARTITIONS {
        cluster.ask("leader", json!({"name": topic, "partition": partition, "broker": 1 + 2 * (partition % 2)})).await;
    }
    stage.change_all(&mut customers, 1).await;
    stage.until_quiet(&relay, id).await;
    relay.stop().await;
    assert!(stage.letters(id).await.is_empty());
    check(&cluster, &topic, &customers).await; // copies are allowed: answers were lost
}

#[tokio::test]
#[ignore = "needs Kafka: cargo xtask test starts one"]
async fn kafka_leads_nobody_into_a_private_network() {
    let cluster = Cluster::new(1).await;
    let topic = place();
    cluster.make(&topic).await;
    // The server that the draft names may be called; what it says of itself leads elsewhere.
    cluster.ask("announce", json!({"broker": 1, "host": "169.254.169.254", "port": 8080})).await;
    let guard = Guard::new(vec!["127.0.0.1/32".parse().unwrap()]);
    let policy = Policy { allow_http: true, guard, ..Policy::default() };
    let destination = scene::opened("Kafka", &cluster.draft(&topic), &policy, PATIENT);
    assert_eq!(destination.send(delivery(1, b"{}")).await, refused(&NotPublic.to_string()));
}

/// Everything has arrived, in order; answers how many copies came.
async fn check(cluster: &Cluster, topic: &str, customers: &[Customer]) -> usize {
    let records = read(&cluster.servers, topic).await;
    let got: Vec<Got> =
        records.into_iter().map(|read| Got { id: read.header("ce_id").to_owned(), body: read.value }).collect();
    scene::check::<Played>(&got, customers)
}

async fn attempt(draft: &Value) -> Outcome {
    scene::attempt("Kafka", draft, PATIENT).await
}
