//! krafka, behind a gate of ours: it finds the cluster's servers by what they say of each other, and connects to each of them
//! where the guard permits.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use keyherald_core::Micros;
use keyherald_core::delivery::Outcome;
use krafka::error::ErrorCode;
use krafka::producer::Producer;
use krafka::{CloseOptions, Kafka, KrafkaError, ProxyConfig, Record};

use super::Cluster;
use crate::destination::Delivery;
use crate::destination::broker::line::Client;
use crate::destination::broker::{broke, garbled, refused, rejected, temporary, throttled};
use crate::destination::shortened::shortened;
use crate::outbound::gate::{self, Gate};
use crate::outbound::guard::NotPublic;
use crate::outbound::tether::Tether;

/// Most that all servers together may say between two confirmations, in bytes: what is in a cluster is told in one answer.
const HEARD_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// The same of one answer.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Largest request. Topics allow 1 MiB unless their operators say otherwise, and not more than this in most clouds.
const REQUEST_BYTES_MAX: usize = 8 * 1024 * 1024;
/// What goes into one batch of a partition, unless one record alone is larger.
const BATCH_BYTES_MAX: usize = 16 * 1024;
/// What waits to be sent, in bytes.
const WAITING_BYTES_MAX: usize = 4 * REQUEST_BYTES_MAX;
/// Connections in a row that lead to nobody: then the cluster is not there, and whoever waits need not wait any longer.
const FRUITLESS_MAX: u32 = 3;
/// Longest wait for a server to accept a connection, and for one to know the topic: it may have been made just now.
const PATIENCE: Duration = Duration::from_secs(3);
/// Longest farewell.
const CLOSE_MAX: Duration = Duration::from_millis(500);

/// An idempotent producer.
pub(super) struct KafkaClient {
    producer: Producer,
    gate: Gate,
    topic: String,
    key: Option<String>,
    shortens: bool,
    has_ended: AtomicBool,
}

impl KafkaClient {
    /// Connects, signs in, and looks whether there is such a topic.
    pub(super) async fn connect(cluster: &Cluster) -> Result<(Self, Tether), Outcome> {
        let opened = Gate::open(cluster.guard.clone(), HEARD_BYTES_MAX).await;
        let (gate, tether) = opened.map_err(|_| temporary("there is no port for the way to it"))?;
        let made = tokio::select! {
            made = producer(cluster, &gate) => made,
            () = gate.until_fruitless(FRUITLESS_MAX) => return Err(nobody(&gate)),
        };
        let producer = made.map_err(|error| if gate.has_refused() { nobody(&gate) } else { meaning(&error) })?;
        let Cluster { topic, key, shortens, .. } = cluster;
        let (topic, key, has_ended) = (topic.clone(), key.clone(), AtomicBool::new(false));
        Ok((Self { producer, gate, topic, key, shortens: *shortens, has_ended }, tether))
    }

    async fn write(&self, delivery: &Delivery, body: Vec<u8>) -> Outcome {
        let (is_alone, record) = (body.len() >= BATCH_BYTES_MAX, self.record(delivery, body));
        let written = async { self.producer.enqueue(record).await?.await };
        let error = tokio::select! {
            biased;
            written = written => match written {
                Ok(_) => return Outcome::Delivered,
                Err(error) => error,
            },
            () = self.gate.until_fruitless(FRUITLESS_MAX) => {
                self.has_ended.store(true, Ordering::Relaxed);
                return nobody(&self.gate);
            }
        };
        if error.is_fatal() {
            self.has_ended.store(true, Ordering::Relaxed);
        }
        match meaning(&error) {
            // The batch that it was in was too large, and whose fault that is nobody knows: tried again it is alone.
            Outcome::Rejected { .. } if !is_alone && is_too_large(&error) => {
                temporary("the topic takes smaller batches only")
            }
            outcome => outcome,
        }
    }

    fn record(&self, delivery: &Delivery, body: Vec<u8>) -> Record {
        let key = self.key.clone().unwrap_or_else(|| delivery.customer.to_string());
        let record = Record::new(self.topic.clone(), body)
            .key(key)
            .timestamp(delivery.created_at.0.div_euclid(Micros::SECOND / 1000))
            .header("content-type", delivery.content_type)
            .header("ce_id", delivery.message_id.to_string())
            .header("project", delivery.project.to_string())
            .header("customer", delivery.customer.to_string());
        let record = if delivery.is_replay { record.header("replay", "true") } else { record };
        delivery.trace_fields().fold(record, |record, (name, value)| record.header(name, value))
    }
}

impl Client for KafkaClient {
    async fn publish(&self, mut delivery: Delivery) -> Outcome {
        let body = std::mem::take(&mut delivery.body);
        let short = if self.shortens { shortened(&body) } else { None };
        let outcome = self.write(&delivery, body).await;
        match (&outcome, short) {
            (Outcome::Rejected { .. }, Some(short)) => self.write(&delivery, short).await,
            _ => outcome,
        }
    }

    fn is_open(&self) -> bool {
        !self.has_ended.load(Ordering::Relaxed)
    }

    async fn close(&self) {
        let _in_time = self.producer.close_with(CloseOptions::new().timeout(CLOSE_MAX)).await;
    }
}

/// All its times fit into one attempt, in which it may ask twice.
async fn producer(cluster: &Cluster, gate: &Gate) -> Result<Producer, KrafkaError> {
    let answer_max = cluster.attempt_timeout * 2 / 5;
    let connect_max = PATIENCE.min(answer_max);
    let way = ProxyConfig::with_credentials(gate.address.to_string(), gate::USER, gate.password.as_str());
    let kafka = Kafka::builder(cluster.bootstrap.clone())
        .client_id("keyherald")
        .security(cluster.security.clone())
        .proxy(way)
        .request_timeout(answer_max)
        .connect_timeout(connect_max)
        .max_response_size(ANSWER_BYTES_MAX)
        .allow_auto_create_topics(false)
        .connect()
        .await?;
    let producer = kafka
        .producer()
        .idempotent(true)
        .linger(Duration::ZERO) // what comes while a batch is on its way makes the next one
        .batch_size(BATCH_BYTES_MAX)
        .max_request_size(REQUEST_BYTES_MAX)
        .buffer_memory(WAITING_BYTES_MAX)
        .delivery_timeout(answer_max * 2)
        .max_block(connect_max)
        .metrics_push(false) // how we are is nobody's business there
        .build()
        .await?;
    producer.partitions_for(&cluster.topic).await?;
    Ok(producer)
}

/// Connections lead to nobody, or to where the guard says no.
fn nobody(gate: &Gate) -> Outcome {
    if gate.has_refused() { refused(&NotPublic.to_string()) } else { temporary("no connection") }
}

fn is_too_large(error: &KrafkaError) -> bool {
    matches!(error, KrafkaError::Broker { code: ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge, .. })
}

/// What an error means.
fn meaning(error: &KrafkaError) -> Outcome {
    match error {
        // The reason is a TLS error; of a sign-in that failed there is none.
        KrafkaError::Auth { source: Some(_), .. } => temporary("no TLS connection"),
        KrafkaError::Auth { .. } => refused("the broker refuses our access"),
        KrafkaError::Broker { code, .. } => answer(*code),
        // It was tried again until its time was up; the last reason is told in words alone.
        KrafkaError::DeliveryTimeout { message, .. } => {
            let last = [
                ("UnknownTopicOrPartition", ErrorCode::UnknownTopicOrPartition),
                ("NotEnoughReplicas", ErrorCode::NotEnoughReplicas),
            ];
            let last = last.iter().find(|(name, _)| message.contains(name));
            last.map_or_else(|| temporary("no answer in time"), |(_, code)| answer(*code))
        }
        KrafkaError::UnknownTopic { .. } => answer(ErrorCode::UnknownTopicOrPartition),
        KrafkaError::Timeout { .. } => temporary("no answer in time"),
        KrafkaError::Network(_) => temporary("no connection"),
        KrafkaError::Protocol { .. } => garbled(),
        KrafkaError::Config { .. } => refused("these settings do not make a client"),
        _ => broke(),
    }
}

/// What the answer of a broker means.
fn answer(code: ErrorCode) -> Outcome {
    match code {
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge => {
            rejected("the message is larger than the topic allows")
        }
        ErrorCode::InvalidRecord => rejected("the topic does not take this message"),
        ErrorCode::UnknownTopicOrPartition | ErrorCode::InvalidTopic => refused("there is no such topic"),
        ErrorCode::TopicAuthorizationFailed
        | ErrorCode::ClusterAuthorizationFailed
        | ErrorCode::SaslAuthenticationFailed => refused("the broker refuses our access"),
        ErrorCode::UnsupportedSaslMechanism | ErrorCode::IllegalSaslState => {
            refused("the broker does not know this way to sign in")
        }
        ErrorCode::ThrottlingQuotaExceeded => throttled("the broker asks for rest"),
        ErrorCode::NotEnoughReplicas | ErrorCode::NotEnoughReplicasAfterAppend => {
            temporary("too few replicas of the topic are in step")
        }
        code if code.is_retriable() => temporary("the broker does not take messages now"),
        ErrorCode::UnknownServerError => temporary("the broker fails"),
        _ => refused("the broker answers with an error"),
    }
}
