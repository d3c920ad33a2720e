//! Where messages go. One folder per kind of destination, and [`KINDS`] is the list.
//!
//! A destination carries bytes and says how that ended in the relay's words. What the bytes are is decided by `format`,
//! when they are sent by `deliver`.

mod answer;
pub mod aws;
pub mod azure_service_bus;
mod broker;
pub mod cloud;
pub mod console;
mod described;
pub mod event_bridge;
pub mod event_grid;
#[cfg(feature = "kafka")]
pub mod kafka;
#[cfg(feature = "mqtt")]
pub mod mqtt;
pub mod nats;
#[cfg(not(all(feature = "kafka", feature = "mqtt", feature = "rabbitmq", feature = "redis")))]
mod not_built;
pub mod paysafe;
mod posted;
pub mod pubsub;
#[cfg(feature = "rabbitmq")]
pub mod rabbitmq;
#[cfg(feature = "redis")]
pub mod redis;
mod shortened;
pub mod sms;
pub mod smtp;
pub mod sns;
pub mod sqs;
pub mod wallet;
pub mod webhook;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use keyherald_core::delivery::{Outcome, Persistence};
use keyherald_core::event::EventType;
use keyherald_core::id::{CustomerId, MessageId, ProjectKey};
use keyherald_core::subscription::FormatKind;
use keyherald_core::trace::TraceContext;
use keyherald_core::{Ctx, Micros};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::outbound::guard::Guard;

/// Every kind of destination.
pub static KINDS: &[&dyn Kind] = &[
    &webhook::Webhook,
    &azure_service_bus::AzureServiceBus,
    #[cfg(feature = "kafka")]
    &kafka::ConfluentCloud,
    #[cfg(not(feature = "kafka"))]
    &not_built::NotBuilt { name: "ConfluentCloud", feature: "kafka" },
    &console::Console,
    &event_bridge::EventBridge,
    &event_grid::EventGrid,
    &pubsub::GoogleCloudPubSub,
    #[cfg(feature = "kafka")]
    &kafka::Kafka,
    #[cfg(not(feature = "kafka"))]
    &not_built::NotBuilt { name: "Kafka", feature: "kafka" },
    #[cfg(feature = "mqtt")]
    &mqtt::Mqtt,
    #[cfg(not(feature = "mqtt"))]
    &not_built::NotBuilt { name: "MQTT", feature: "mqtt" },
    &nats::Nats,
    &paysafe::PaysafeWebhook,
    #[cfg(feature = "rabbitmq")]
    &rabbitmq::RabbitMq,
    #[cfg(not(feature = "rabbitmq"))]
    &not_built::NotBuilt { name: "RabbitMQ", feature: "rabbitmq" },
    #[cfg(feature = "redis")]
    &redis::RedisStreams,
    #[cfg(not(feature = "redis"))]
    &not_built::NotBuilt { name: "RedisStreams", feature: "redis" },
    &sms::Sms,
    &smtp::Mail,
    &sns::Sns,
    &sqs::Sqs,
    &wallet::Wallet,
];

/// The kind with this name.
pub fn kind(name: &str) -> Option<&'static dyn Kind> {
    KINDS.iter().copied().find(|kind| kind.name() == name)
}

/// A kind of destination.
pub trait Kind: Send + Sync {
    /// The discriminator in a draft, and in the store.
    fn name(&self) -> &'static str;

    /// Whether it can be used here.
    fn is_available(&self, _: &Policy) -> bool {
        true
    }

    /// How its deliveries end, with these settings.
    fn rules(&self, settings: &Map<String, Value>) -> Rules;

    /// Checks a draft of this kind. Connects to nothing.
    fn validate(&self, draft: &Map<String, Value>, policy: &Policy, ctx: &mut Ctx) -> Result<Validated, Invalid>;

    /// Whether checked settings can go with a format.
    fn suits(&self, _settings: &Map<String, Value>, _format: FormatKind) -> Result<(), Invalid> {
        Ok(())
    }

    /// Whether its messages can have a body of any text, and not of JSON alone.
    fn takes_text(&self) -> bool {
        true
    }

    /// What is sealed when a checked destination takes the place of another one of this kind: its own `secret`, and what it
    /// wants to keep of the `former` one's. May complete what is shown.
    fn succeed(
        &self,
        _settings: &mut Map<String, Value>,
        (secret, _former): (Zeroizing<Vec<u8>>, &[u8]),
        _now: Micros,
    ) -> Zeroizing<Vec<u8>> {
        secret
    }

    /// Completes checked settings by what the subscription is called in its project: its key, or its id.
    fn complete(&self, _settings: &mut Map<String, Value>, _named: (&ProjectKey, &str)) {}

    /// How long deliveries to it go on in vain, where that is not the operator's to say.
    fn endurance(&self) -> Option<Endurance> {
        cloud::kind(self.name()).map(|_| cloud::ENDURANCE)
    }

    /// How the contract names this destination when a test message does not reach it (commercetools.md 8.1). `Some`: one must
    /// arrive before it is stored. `None`: none is sent.
    fn tested_as(&self, _settings: &Map<String, Value>) -> Option<String> {
        None
    }

    /// Makes a sender of stored settings and their secret.
    fn open(
        &self,
        settings: &Map<String, Value>,
        secret: Option<&[u8]>,
        context: &Context,
    ) -> Result<Arc<dyn Destination>, CannotOpen>;
}

/// What ends a delivery, and a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The receiver can end the subscription by saying that it is gone.
    pub gone_disables: bool,
    /// How it is tried on without end. `None`: by the relay's schedule, and given up after that.
    pub persistence: Option<Persistence>,
}

/// How long deliveries go on in vain, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endurance {
    /// A message is tried for so long at most, by the relay's schedule.
    pub tries_for: i64,
    /// After so long without any success, delivery that is refused stops until the subscription is changed.
    pub refused_for: i64,
}

/// What a checked draft is stored as.
pub struct Validated {
    /// What readers of the subscription see.
    pub settings: Map<String, Value>,
    /// What they do not see; stored sealed.
    pub secret: Option<Zeroizing<Vec<u8>>>,
    /// Fields that the answer to the creation has besides the settings, and no later one: a secret that was made here.
    pub shown_once: Map<String, Value>,
}

/// A draft that is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {text}")]
pub struct Invalid {
    /// The field of the draft.
    pub field: &'static str,
    /// What is wrong with it, for its author.
    pub text: String,
}

/// Stored settings that this version cannot use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the destination cannot be opened: {0}")]
pub struct CannotOpen(pub &'static str);

/// What the operator allows.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Plain HTTP.
    pub allow_http: bool,
    /// Which addresses.
    pub guard: Guard,
    /// Printing on the server's own terminal.
    pub allow_console: bool,
    /// Publishing to topics of Google Cloud, where this server has an account.
    pub google: bool,
    /// Subscriptions of a project. `None`: as many as the contract has.
    pub subscriptions_max: Option<u32>,
    /// Where AWS is, and who we are there.
    pub aws: aws::Aws,
    /// The DNS name by which receivers know this server, if it knows it itself.
    pub origin: Option<String>,
}

/// What senders are made with.
#[derive(Clone)]
pub struct Context {
    /// The HTTP client of all destinations: guarded, without redirects.
    pub http: reqwest::Client,
    /// What the operator allows.
    pub policy: Policy,
    /// Time for one attempt, until the answer is complete.
    pub attempt_timeout: Duration,
    /// What mail is sent with, if any is.
    pub office: Option<Arc<smtp::Office>>,
    /// What SMS is sent with, if any is.
    pub switchboard: Option<Arc<sms::Switchboard>>,
    /// The wallets that are told of passwords, if there are any.
    pub wallets: Option<Arc<wallet::Wallets>>,
    /// The account at Google Cloud, if there is one.
    pub google: Option<Arc<pubsub::Google>>,
}

/// One attempt to deliver one message.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The id of the message or change: the same at every attempt and every receiver.
    pub message_id: MessageId,
    /// A message's place among those of its resource.
    pub sequence: Option<i64>,
    /// The lane's customer.
    pub customer: CustomerId,
    /// The project.
    pub project: ProjectKey,
    /// When it came about.
    pub created_at: Micros,
    /// From 1.
    pub attempt: u32,
    /// When this attempt is made.
    pub now: Micros,
    /// Media type of the body.
    pub content_type: &'static str,
    /// The very bytes to sign and send.
    pub body: Vec<u8>,
    /// Which event it is, if its receiver has a path for each type of them.
    pub event: Option<EventType>,
    /// Whether an operator has it sent once more: the receiver has had it, or may have.
    pub is_replay: bool,
    /// The trace that this attempt belongs to. A receiver gets it by [`Delivery::trace_fields`].
    pub trace: Option<TraceContext>,
}

impl Delivery {
    /// Name and value of each header, property, attribute or field of the message by which its receiver goes on in the trace:
    /// `traceparent`, and perhaps `tracestate`; none where there is no trace. Text of printable ASCII, of 55 and at most 512
    /// bytes. Not to be signed: whoever passes a message on may put a place of its own there.
    pub fn trace_fields(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.trace.iter().flat_map(TraceContext::fields)
    }
}

/// How a test message ended, and what its receiver said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    /// How it ended.
    pub outcome: Outcome,
    /// The status of an HTTP answer.
    pub status: Option<u16>,
    /// The beginning of the answer, escaped: at most 256 characters.
    pub excerpt: Option<String>,
}

/// A place that messages are sent to.
pub trait Destination: Send + Sync {
    /// Makes one attempt, within the attempt's time. Dropping the future may leave the message sent: then it is sent again.
    fn send(&self, delivery: Delivery) -> BoxFuture<'_, Outcome>;

    /// The same for a test message, marked as one where the destination has a way to, with more of the answer.
    fn probe(&self, delivery: Delivery) -> BoxFuture<'_, Probed> {
        Box::pin(async { Probed { outcome: self.send(delivery).await, status: None, excerpt: None } })
    }

    /// How many attempts it can have under way at the same time, if that is fewer than the operator allows.
    fn in_flight_max(&self) -> usize {
        usize::MAX
    }

    /// After how long without any success delivery stops until the subscription is changed, in microseconds. `None`: never.
    fn disabled_after(&self) -> Option<i64> {
        None
    }

    /// The largest body that it takes, in bytes: a message that is larger goes without its own fields. `None`: any.
    fn body_bytes_max(&self) -> Option<usize> {
        None
    }

    /// How many messages a minute it may be sent at most, as far as is known now.
    fn per_minute_max(&self) -> Option<u32> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_there_in_every_build_and_available_if_built() {
        for (name, is_built) in [
            ("NATS", true),
            ("EventBridge", true),
            ("SNS", true),
            ("SQS", true),
            ("ConfluentCloud", cfg!(feature = "kafka")),
            ("Kafka", cfg!(feature = "kafka")),
            ("MQTT", cfg!(feature = "mqtt")),
            ("RabbitMQ", cfg!(feature = "rabbitmq")),
            ("RedisStreams", cfg!(feature = "redis")),
        ] {
            assert_eq!(kind(name).unwrap().is_available(&Policy::default()), is_built, "{name}");
            assert_eq!(KINDS.iter().filter(|kind| kind.name() == name).count(), 1, "{name}");
        }
    }
}
