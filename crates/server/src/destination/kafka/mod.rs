//! `Kafka`: a record of a topic, written once all its replicas in step have it; and `ConfluentCloud` of the commercetools
//! contract, which is the same with other words.
//!
//! Draft: `{"type": "Kafka", "url": "kafka+ssl://kafka.example.com:9092", "topic": "customers", "user": .., "password": ..,
//! "saslMechanism": "SCRAM-SHA-512"}`; TLS files as [`super::broker::access`] has them. The key of a record is its customer's
//! id, so a partition keeps the order of each; header `ce_id` is the message's id, by which consumers recognise copies. The
//! producer is idempotent: what it tries again by itself is written once, and in order.

mod client;
mod confluent;

use std::sync::Arc;
use std::time::Duration;

use keyherald_core::Ctx;
use keyherald_core::delivery::Outcome;
use krafka::auth::{AuthConfig, TlsConfig};
use serde_json::{Map, Value};

use self::client::KafkaClient;
pub use self::confluent::ConfluentCloud;
use super::broker::access::{Access, CA, CERTIFICATE, Draft, KEY, Schemes, invalid};
use super::broker::line::{Broker, Line};
use super::{CannotOpen, Context, Destination, Invalid, Kind, Policy, Rules, Validated};
use crate::outbound::guard::Guard;
use crate::outbound::tether::Tether;

const SCHEMES: Schemes = Schemes { plain: ("kafka", 9092), secure: ("kafka+ssl", 9092) };

/// Longest name of a topic.
const TOPIC_BYTES_MAX: usize = 249;

const MECHANISM: &str = "saslMechanism";
const MECHANISMS: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];

/// The kind.
#[derive(Clone, Copy, Debug)]
pub struct Kafka;

impl Kind for Kafka {
    fn name(&self) -> &'static str {
        "Kafka"
    }

    fn rules(&self, _: &Map<String, Value>) -> Rules {
        Rules { gone_disables: false, persistence: None }
    }

    fn validate(&self, fields: &Map<String, Value>, policy: &Policy, _: &mut Ctx) -> Result<Validated, Invalid> {
        let mut draft = Draft::new(fields, &SCHEMES, policy)?;
        topic(&mut draft)?;
        if let Some(mechanism) = draft.keep(MECHANISM)? {
            if !MECHANISMS.contains(&mechanism.as_str()) {
                return Err(invalid(MECHANISM, &format!("must be one of {}", MECHANISMS.join(", "))));
            }
            if !draft.has("user") {
                return Err(invalid(MECHANISM, "is of no use without a user"));
            }
        }
        let (settings, secret) = draft.finish();
        Ok(Validated { settings, secret, shown_once: Map::new() })
    }

    fn open(
        &self,
        settings: &Map<String, Value>,
        secret: Option<&[u8]>,
        context: &Context,
    ) -> Result<Arc<dyn Destination>, CannotOpen> {
        let access = Access::open(settings, secret, &SCHEMES, context)?;
        let cluster = Cluster::new(&access, settings, context)?;
        Ok(Arc::new(Line::new(cluster, context.attempt_timeout)))
    }
}

/// The topic of a draft.
fn topic(draft: &mut Draft<'_>) -> Result<(), Invalid> {
    let is_allowed = |char: char| char.is_ascii_alphanumeric() || "-_.".contains(char);
    let topic = draft.name("topic", is_allowed, "must be made of letters, digits, -, _ and .")?;
    if topic.len() > TOPIC_BYTES_MAX || [".", ".."].contains(&topic.as_str()) {
        return Err(invalid(
            "topic",
            &format!("must have up to {TOPIC_BYTES_MAX} characters and not be made of dots alone"),
        ));
    }
    Ok(())
}

/// Where records go, and who we are there.
struct Cluster {
    /// The server that tells of the others.
    bootstrap: String,
    guard: Guard,
    security: AuthConfig,
    topic: String,
    /// The key of all records, if it is not their customer's id.
    key: Option<String>,
    /// A message that is too large goes without its payload.
    shortens: bool,
    attempt_timeout: Duration,
}

impl Cluster {
    fn new(access: &Access, settings: &Map<String, Value>, context: &Context) -> Result<Self, CannotOpen> {
        let text = |field: &str| settings.get(field).and_then(Value::as_str);
        let security = match access.sign_in() {
            None => AuthConfig::plaintext(),
            Some((user, password)) => match text(MECHANISM) {
                None | Some("PLAIN") => AuthConfig::sasl_plain(user, password),
                Some("SCRAM-SHA-256") => AuthConfig::sasl_scram_sha256(user, password),
                Some("SCRAM-SHA-512") => AuthConfig::sasl_scram_sha512(user, password),
                Some(_) => return Err(CannotOpen("its SASL mechanism is not known")),
            },
        };
        let tls = access.place.is_secure.then(|| {
            let tls = match text(CA) {
                Some(authorities) => TlsConfig::new().with_ca_cert_pem(authorities),
                None => TlsConfig::new().with_native_roots(),
            };
            match text(CERTIFICATE).zip(access.secrets.text(KEY)) {
                Some((certificate, key)) => tls.with_client_cert_pem(certificate, key.as_bytes().to_vec()),
                None => tls,
            }
        });
        Ok(Self {
            bootstrap: format!("{}:{}", access.place.host, access.place.port),
            guard: access.guard.clone(),
            security: match tls {
                Some(tls) => security.with_tls(tls),
                None => security,
            },
            topic: text("topic").ok_or(CannotOpen("it has no topic"))?.to_owned(),
            key: None,
            shortens: false,
            attempt_timeout: context.attempt_timeout,
        })
    }
}

impl Broker for Cluster {
    type Client = KafkaClient;

    async fn connect(&self) -> Result<(KafkaClient, Tether), Outcome> {
        KafkaClient::connect(self).await
    }
}
