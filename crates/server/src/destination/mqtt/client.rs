//! rumqttc on a connection of ours: the MQTT 5 client of its maintained line, `rumqttc-next`.

use std::io;
use std::sync::{Mutex, PoisonError};

use keyherald_core::delivery::Outcome;
use rumqttc::{
    AsyncClient, Broker, ConnAckProperties, ConnectReturnCode, ConnectionError, DisconnectReasonCode, Event, EventLoop,
    Incoming, MqttOptions, PubAckReason, PublishOptions, PublishProperties, PublishResult, StateError,
};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use crate::destination::Delivery;
use crate::destination::broker::access::Access;
use crate::destination::broker::line::{Client, WAITING_MAX};
use crate::destination::broker::{HEARD_BYTES_MAX, broke, garbled, lane, refused, rejected, temporary, throttled};
use crate::outbound::tether::Tether;

/// Longest packet that the broker may send us, in bytes: acknowledgements.
const PACKET_BYTES_MAX: u32 = 64 * 1024;
/// What a packet has besides topic, texts and body, at most, in bytes.
const AROUND_BYTES: usize = 64;
/// What a user property has besides its two texts, in bytes.
const PROPERTY_BYTES: usize = 5;

/// A connection to an MQTT broker.
pub(super) struct MqttClient {
    client: AsyncClient,
    topic: String,
    /// Longest packet that the broker takes.
    packet_bytes_max: usize,
    /// How the connection ended.
    ended: watch::Receiver<Option<Outcome>>,
    driver: AbortHandle,
    _drivers: JoinSet<()>,
}

impl MqttClient {
    /// Connects and signs in.
    pub(super) async fn connect(access: &Access, topic: &str, client_id: &str) -> Result<(Self, Tether), Outcome> {
        let (stream, tether) = access.lend(access.dial().await?, HEARD_BYTES_MAX).await?;
        let mut options = MqttOptions::new(client_id, Broker::tcp(access.place.host.to_string(), access.place.port));
        options.set_request_channel_capacity(WAITING_MAX).set_max_packet_size(Some(PACKET_BYTES_MAX));
        match (access.user.clone(), access.secrets.text("password").map(|password| password.as_bytes().to_vec())) {
            (Some(user), Some(password)) => drop(options.set_credentials(user, password)),
            (Some(user), None) => drop(options.set_username(user)),
            (None, Some(password)) => drop(options.set_password(password)),
            (None, None) => {}
        }
        let stream = Mutex::new(Some(stream));
        options.set_socket_connector(move |_, _| {
            let stream = stream.lock().unwrap_or_else(PoisonError::into_inner).take();
            std::future::ready(stream.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)))
        });
        let made = AsyncClient::builder(options).try_build();
        let (client, mut events) = made.map_err(|_| refused("the settings cannot be used"))?;
        let said = connected(&mut events).await?;
        if said.as_ref().and_then(|said| said.max_qos) == Some(0) {
            return Err(refused("the broker acknowledges no messages"));
        }
        let packet_bytes_max = said.and_then(|said| said.max_packet_size).unwrap_or(u32::MAX);
        let packet_bytes_max = usize::try_from(packet_bytes_max).unwrap_or(usize::MAX);
        let (end, ended) = watch::channel(None);
        let mut drivers = JoinSet::new();
        let driver = drivers.spawn(async move {
            // Asked again after an error it would connect again.
            let error = loop {
                if let Err(error) = events.poll().await {
                    break error;
                }
            };
            end.send_replace(Some(meaning(&error)));
        });
        Ok((Self { client, topic: topic.to_owned(), packet_bytes_max, ended, driver, _drivers: drivers }, tether))
    }

    /// How the connection ended, which it does or did.
    async fn end(&self) -> Outcome {
        let mut ended = self.ended.clone();
        let end = ended.wait_for(Option::is_some).await;
        end.ok().and_then(|outcome| outcome.clone()).unwrap_or_else(broke)
    }
}

impl Client for MqttClient {
    async fn publish(&self, delivery: Delivery) -> Outcome {
        let (topic, id) = (format!("{}/{}", self.topic, lane(&delivery, '/')), delivery.message_id.to_string());
        let mut user_properties = vec![("message-id".to_owned(), id)];
        user_properties.extend(delivery.trace_fields().map(|(name, value)| (name.to_owned(), value)));
        let said: usize = user_properties.iter().map(|(name, value)| name.len() + value.len() + PROPERTY_BYTES).sum();
        let bytes = topic.len() + said + delivery.content_type.len() + delivery.body.len() + AROUND_BYTES;
        if bytes > self.packet_bytes_max {
            return rejected("the message is larger than the broker allows"); // it would end the connection
        }
        let properties = PublishProperties {
            content_type: Some(delivery.content_type.to_owned()),
            user_properties,
            ..PublishProperties::default()
        };
        let options = PublishOptions::at_least_once().properties(properties);
        let Ok(notice) = self.client.publish_tracked(topic, delivery.body, options).await else {
            return self.end().await;
        };
        match notice.wait_async().await {
            Ok(PublishResult::Qos1(acknowledged)) => acknowledgement(acknowledged.reason),
            Ok(_) => garbled(),
            Err(_) => self.end().await,
        }
    }

    fn is_open(&self) -> bool {
        !self.driver.is_finished()
    }

    async fn close(&self) {
        if self.client.disconnect().await.is_ok() {
            drop(self.end().await);
        }
    }
}

/// Waits until the broker lets us in; what it says that it can.
async fn connected(events: &mut EventLoop) -> Result<Option<ConnAckProperties>, Outcome> {
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Incoming::ConnAck(said))) => return Ok(said.properties),
            Ok(_) => {}
            Err(error) => return Err(meaning(&error)),
        }
    }
}

/// What the broker says of a message.
fn acknowledgement(reason: PubAckReason) -> Outcome {
    match reason {
        PubAckReason::Success => Outcome::Delivered,
        PubAckReason::NoMatchingSubscribers => refused("nobody has subscribed to the topic"),
        PubAckReason::NotAuthorized => refused("the broker refuses our access"),
        PubAckReason::TopicNameInvalid => refused("the broker refuses the topic"),
        PubAckReason::PayloadFormatInvalid => rejected("the broker refuses the message's form"),
        PubAckReason::QuotaExceeded => throttled("the broker has no room"),
        reason => temporary(&format!("the broker answers {reason:?}")),
    }
}

/// What it means that a connection is refused, or ends.
fn meaning(error: &ConnectionError) -> Outcome {
    match error {
        ConnectionError::ConnectionRefused(code) => refusal(*code),
        ConnectionError::MqttState(error) => match error {
            StateError::ConnFail { reason } => refusal(*reason),
            StateError::ServerDisconnect { reason_code, .. } => disconnect(*reason_code),
            StateError::Deserialization(_) | StateError::ProtocolViolation(_) | StateError::Unsolicited(_) => garbled(),
            _ => broke(),
        },
        ConnectionError::NotConnAck(_) => garbled(),
        _ => broke(),
    }
}

fn refusal(code: ConnectReturnCode) -> Outcome {
    match code {
        ConnectReturnCode::RefusedProtocolVersion | ConnectReturnCode::UnsupportedProtocolVersion => {
            refused("the broker does not speak MQTT 5")
        }
        ConnectReturnCode::BadClientId
        | ConnectReturnCode::ClientIdentifierNotValid
        | ConnectReturnCode::BadUserNamePassword
        | ConnectReturnCode::NotAuthorized
        | ConnectReturnCode::Banned
        | ConnectReturnCode::BadAuthenticationMethod => refused("the broker refuses our access"),
        ConnectReturnCode::ServerBusy
        | ConnectReturnCode::QuotaExceeded
        | ConnectReturnCode::ConnectionRateExceeded => throttled("the broker has no room"),
        code => temporary(&format!("the broker answers {code:?}")),
    }
}

fn disconnect(code: DisconnectReasonCode) -> Outcome {
    match code {
        DisconnectReasonCode::NotAuthorized => refused("the broker refuses our access"),
        DisconnectReasonCode::TopicNameInvalid => refused("the broker refuses the topic"),
        DisconnectReasonCode::ServerBusy
        | DisconnectReasonCode::ReceiveMaximumExceeded
        | DisconnectReasonCode::MessageRateTooHigh
        | DisconnectReasonCode::QuotaExceeded
        | DisconnectReasonCode::ConnectionRateExceeded => throttled("the broker has no room"),
        code => temporary(&format!("the broker closes: {code:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_mean_what_the_protocol_says() {
        assert_eq!(acknowledgement(PubAckReason::Success), Outcome::Delivered);
        let unheard = refused("nobody has subscribed to the topic");
        assert_eq!(acknowledgement(PubAckReason::NoMatchingSubscribers), unheard);
        assert_eq!(acknowledgement(PubAckReason::QuotaExceeded), throttled("the broker has no room"));
        let unspecified = temporary("the broker answers UnspecifiedError");
        assert_eq!(acknowledgement(PubAckReason::UnspecifiedError), unspecified);
        let wrong = ConnectionError::ConnectionRefused(ConnectReturnCode::BadUserNamePassword);
        assert_eq!(meaning(&wrong), refused("the broker refuses our access"));
        let old = ConnectionError::ConnectionRefused(ConnectReturnCode::RefusedProtocolVersion);
        assert_eq!(meaning(&old), refused("the broker does not speak MQTT 5"));
        let reason_code = DisconnectReasonCode::ServerShuttingDown;
        let shut = ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, reason_string: None });
        assert_eq!(meaning(&shut), temporary("the broker closes: ServerShuttingDown"));
    }
}
