//! `RabbitMQ`: a persistent message into an exchange, confirmed by the broker and taken by at least one queue.
//!
//! Draft: `{"type": "RabbitMQ", "url": "amqps://rabbit.example.com:5671", "vhost": "/", "exchange": "customers",
//! "routingKey": .., "user": .., "password": ..}`; TLS files as [`super::broker::access`] has them, and with a client certificate
//! and no user we sign in by the certificate. The routing key is the customer's id unless the draft has one: a consistent-hash
//! exchange keeps the order of each customer over many queues. Without an exchange the routing key names a queue. RabbitMQ
//! does not recognise copies: consumers do, by `message_id`.

mod client;

use std::sync::Arc;

use keyherald_core::Ctx;
use keyherald_core::delivery::Outcome;
use lapin::types::ShortString;
use serde_json::{Map, Value};

use self::client::RabbitMqClient;
use super::broker::access::{Access, Draft, Schemes, invalid};
use super::broker::line::{Broker, Line};
use super::{CannotOpen, Context, Destination, Invalid, Kind, Policy, Rules, Validated};
use crate::outbound::tether::Tether;

const SCHEMES: Schemes = Schemes { plain: ("amqp", 5672), secure: ("amqps", 5671) };

/// The protocol's limit for names, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// The kind.
#[derive(Clone, Copy, Debug)]
pub struct RabbitMq;

impl Kind for RabbitMq {
    fn name(&self) -> &'static str {
        "RabbitMQ"
    }

    fn rules(&self, _: &Map<String, Value>) -> Rules {
        Rules { gone_disables: false, persistence: None }
    }

    fn validate(&self, fields: &Map<String, Value>, policy: &Policy, _: &mut Ctx) -> Result<Validated, Invalid> {
        let mut draft = Draft::new(fields, &SCHEMES, policy)?;
        if !draft.has("user") && !draft.has("clientCertificate") {
            return Err(invalid("user", "is required, unless there is a client certificate"));
        }
        for field in ["vhost", "exchange", "routingKey"] {
            if draft.keep(field)?.is_some_and(|name| name.len() > NAME_BYTES_MAX) {
                return Err(invalid(field, &format!("must have 1 to {NAME_BYTES_MAX} bytes")));
            }
        }
        if !draft.has("exchange") && !draft.has("routingKey") {
            return Err(invalid("routingKey", "is required without an exchange: it names the queue"));
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
        let text = |field: &str| settings.get(field).and_then(Value::as_str);
        let short = |field: &str| text(field).map(ShortString::try_new).transpose();
        let too_long = |_| CannotOpen("one of its names is too long");
        let way = Way {
            vhost: text("vhost").unwrap_or("/").to_owned(),
            exchange: short("exchange").map_err(too_long)?.unwrap_or_default(),
            routing_key: short("routingKey").map_err(too_long)?,
        };
        Ok(Arc::new(Line::new(Exchange { access, way }, context.attempt_timeout)))
    }
}

/// Where messages go within the broker.
#[derive(Clone)]
struct Way {
    vhost: String,
    exchange: ShortString,
    /// `None`: the customer's id.
    routing_key: Option<ShortString>,
}

/// An exchange, and who we are there.
struct Exchange {
    access: Access,
    way: Way,
}

impl Broker for Exchange {
    type Client = RabbitMqClient;

    async fn connect(&self) -> Result<(RabbitMqClient, Tether), Outcome> {
        RabbitMqClient::connect(&self.access, &self.way).await
    }
}
