//! `NATS`: a message into a JetStream stream, confirmed by it.
//!
//! Draft: `{"type": "NATS", "url": "tls://nats.example.com:4222", "subject": "customers", "user": .., "password": ..}` or with
//! `"token"`; TLS files as [`super::broker::access`] has them. The subject of a message is `SUBJECT.PROJECT.CUSTOMER`: a stream
//! that takes `SUBJECT.>` keeps the order of each customer, and drops copies by `Nats-Msg-Id` within its duplicate window.

mod connection;
mod dialogue;

use std::sync::Arc;

use keyherald_core::Ctx;
use keyherald_core::delivery::Outcome;
use serde_json::{Map, Value};

use self::connection::{Connection, greeting};
use self::dialogue::Dialogue;
use super::broker::HEARD_BYTES_MAX;
use super::broker::access::{Access, Draft, Schemes, invalid};
use super::broker::line::{Broker, Line};
use super::{CannotOpen, Context, Destination, Invalid, Kind, Policy, Rules, Validated};
use crate::outbound::tether::Tether;

const SCHEMES: Schemes = Schemes { plain: ("nats", 4222), secure: ("tls", 4222) };

/// The kind.
#[derive(Clone, Copy, Debug)]
pub struct Nats;

impl Kind for Nats {
    fn name(&self) -> &'static str {
        "NATS"
    }

    fn rules(&self, _: &Map<String, Value>) -> Rules {
        Rules { gone_disables: false, persistence: None }
    }

    fn validate(&self, fields: &Map<String, Value>, policy: &Policy, _: &mut Ctx) -> Result<Validated, Invalid> {
        let mut draft = Draft::new(fields, &SCHEMES, policy)?;
        draft.seal("token")?;
        if draft.has("token") && draft.has("user") {
            return Err(invalid("token", "is another way to sign in than user and password"));
        }
        let is_allowed = |char: char| char.is_ascii_alphanumeric() || "-_.".contains(char);
        draft.name("subject", is_allowed, "must be made of letters, digits, -, _ and .")?;
        let (settings, secret) = draft.finish();
        let subject = settings.get("subject").and_then(Value::as_str).unwrap_or_default();
        if subject.split('.').any(str::is_empty) {
            return Err(invalid("subject", "must not have empty parts"));
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
        let subject =
            settings.get("subject").and_then(Value::as_str).ok_or(CannotOpen("it has no subject"))?.to_owned();
        Ok(Arc::new(Line::new(Stream { access: Arc::new(access), subject }, context.attempt_timeout)))
    }
}

/// Streams behind a subject.
struct Stream {
    access: Arc<Access>,
    subject: String,
}

impl Broker for Stream {
    type Client = Connection;

    async fn connect(&self) -> Result<(Connection, Tether), Outcome> {
        let mut plain = self.access.dial().await?;
        // The server speaks first and in the open, also where TLS follows.
        let heard = if self.access.tls.is_some() { greeting(&mut plain).await? } else { Vec::new() };
        let (stream, tether) = self.access.lend(plain, HEARD_BYTES_MAX).await?;
        let dialogue = Dialogue::new(self.access.clone(), self.subject.clone());
        Ok((Connection::open(stream, dialogue, heard).await?, tether))
    }
}
