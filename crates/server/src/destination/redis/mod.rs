//! `RedisStreams`: an entry of a stream of Redis (or Valkey).
//!
//! Draft: `{"type": "RedisStreams", "url": "rediss://redis.example.com:6379", "database": 0, "stream": "customers",
//! "lengthMax": 1000000, "user": .., "password": ..}`; TLS files as [`super::broker::access`] has them. There is one stream, so
//! the order of all is kept; each entry has the fields `id`, `project`, `customer`, `contentType` and
//! `body`, and `traceparent` where there is a trace. Redis does not
//! recognise copies: consumers do, by `id`. It answers from memory: how much a crash may lose is its `appendfsync`'s to say.

mod client;

use std::sync::Arc;

use keyherald_core::Ctx;
use keyherald_core::delivery::Outcome;
use serde_json::{Map, Value};

use self::client::RedisClient;
use super::broker::access::{Access, Draft, Schemes};
use super::broker::line::{Broker, Line};
use super::{CannotOpen, Context, Destination, Invalid, Kind, Policy, Rules, Validated};
use crate::outbound::tether::Tether;

const SCHEMES: Schemes = Schemes { plain: ("redis", 6379), secure: ("rediss", 6379) };

/// The kind.
#[derive(Clone, Copy, Debug)]
pub struct RedisStreams;

impl Kind for RedisStreams {
    fn name(&self) -> &'static str {
        "RedisStreams"
    }

    fn rules(&self, _: &Map<String, Value>) -> Rules {
        Rules { gone_disables: false, persistence: None }
    }

    fn validate(&self, fields: &Map<String, Value>, policy: &Policy, _: &mut Ctx) -> Result<Validated, Invalid> {
        let mut draft = Draft::new(fields, &SCHEMES, policy)?;
        draft.name("stream", |_| true, "")?;
        draft.number("database", 0)?;
        draft.number("lengthMax", 1)?;
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
        let stream = settings.get("stream").and_then(Value::as_str).ok_or(CannotOpen("it has no stream"))?.to_owned();
        let database = settings.get("database").and_then(Value::as_i64).unwrap_or(0);
        let way = Way { stream, database, length_max: settings.get("lengthMax").and_then(Value::as_u64) };
        Ok(Arc::new(Line::new(Stream { access, way }, context.attempt_timeout)))
    }
}

/// Where entries go within the server.
#[derive(Clone)]
struct Way {
    stream: String,
    database: i64,
    /// The stream is kept about as long.
    length_max: Option<u64>,
}

/// A stream, and who we are there.
struct Stream {
    access: Access,
    way: Way,
}

impl Broker for Stream {
    type Client = RedisClient;

    async fn connect(&self) -> Result<(RedisClient, Tether), Outcome> {
        RedisClient::connect(&self.access, &self.way).await
    }
}
