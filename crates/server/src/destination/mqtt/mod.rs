//! `MQTT`: a message published with quality of service 1 by MQTT 5, and acknowledged by the broker.
//!
//! Draft: `{"type": "MQTT", "url": "mqtts://mqtt.example.com:8883", "topic": "customers", "clientId": .., "user": ..,
//! "password": ..}`; TLS files as [`super::broker::access`] has them. The topic of a message is `TOPIC/PROJECT/CUSTOMER`, and its
//! `message-id` a user property. A broker that says that nobody has subscribed to the topic has not taken the message: it
//! would be lost. MQTT does not recognise copies: consumers do.

mod client;

use std::sync::Arc;

use keyherald_core::Ctx;
use keyherald_core::delivery::Outcome;
use serde_json::{Map, Value};

use self::client::MqttClient;
use super::broker::access::{Access, Draft, Schemes, invalid};
use super::broker::line::{Broker, Line};
use super::{CannotOpen, Context, Destination, Invalid, Kind, Policy, Rules, Validated};
use crate::outbound::tether::Tether;

const SCHEMES: Schemes = Schemes { plain: ("mqtt", 1883), secure: ("mqtts", 8883) };

/// The kind.
#[derive(Clone, Copy, Debug)]
pub struct Mqtt;

impl Kind for Mqtt {
    fn name(&self) -> &'static str {
        "MQTT"
    }

    fn rules(&self, _: &Map<String, Value>) -> Rules {
        Rules { gone_disables: false, persistence: None }
    }

    fn validate(&self, fields: &Map<String, Value>, policy: &Policy, _: &mut Ctx) -> Result<Validated, Invalid> {
        let mut draft = Draft::new(fields, &SCHEMES, policy)?;
        draft.name("topic", |char| !"+#".contains(char), "must not contain + or #")?;
        draft.keep("clientId")?;
        let (settings, secret) = draft.finish();
        // Those are the broker's own, and no subscription to everything has them.
        if settings.get("topic").and_then(Value::as_str).is_some_and(|topic| topic.starts_with('$')) {
            return Err(invalid("topic", "must not begin with $"));
        }
        Ok(Validated { settings, secret, shown_once: Map::new() })
    }

    fn open(
        &self,
        settings: &Map<String, Value>,
        secret: Option<&[u8]>,
        context: &Context,
    ) -> Result<Arc<dyn Destination>, CannotOpen> {
        let access = Access::open(settings, secret, &SCHEMES, context)?;
        let text = |field: &str| settings.get(field).and_then(Value::as_str).map(str::to_owned);
        let topic = text("topic").ok_or(CannotOpen("it has no topic"))?;
        // Without one the broker makes one for each connection.
        let client_id = text("clientId").unwrap_or_default();
        Ok(Arc::new(Line::new(Topics { access, topic, client_id }, context.attempt_timeout)))
    }
}

/// Topics below one, and who we are there.
struct Topics {
    access: Access,
    topic: String,
    client_id: String,
}

impl Broker for Topics {
    type Client = MqttClient;

    async fn connect(&self) -> Result<(MqttClient, Tether), Outcome> {
        MqttClient::connect(&self.access, &self.topic, &self.client_id).await
    }
}
