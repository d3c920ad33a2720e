//! `Sms`: writes the SMS about a message and hands it to a service, or in development to a mailbox in memory.
//!
//! Its subscriptions are made by the configuration alone ([`Switchboard`]); no draft can ask for it. What is delivered is what
//! the SMS must say; the words are chosen here, at each attempt.
//!
//! **At least once**: an answer that is lost leaves it open whether the service has the message. It is handed over again with
//! the same `op.id`, by which those services that know repeats recognise it; of the others a customer may get a copy.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use keyherald_core::Ctx;
use keyherald_core::delivery::{Cause, Outcome};
use keyherald_core::id::ProjectKey;
use keyherald_core::sms::{ShortMessage, SmsKind, segments};
use serde_json::{Map, Value};

use super::described::{chance, failed, outcome, rejected};
use super::{CannotOpen, Context, Delivery, Destination, Invalid, Kind, Policy, Rules, Validated};
use crate::connector::{self, Messenger};
use crate::mail::{Mailbox, Received, Told};
use crate::words::{ShortMessages, SmsSender};

/// The kind.
#[derive(Clone, Copy, Debug)]
pub struct Sms;

impl Sms {
    /// Its name in the store.
    pub const NAME: &'static str = "Sms";
}

/// All that SMS of all projects is sent with.
pub struct Switchboard {
    /// The words.
    pub texts: ShortMessages,
    /// Who sends.
    pub accounts: BTreeMap<ProjectKey, Account>,
    /// Where to.
    pub carrier: Carrier,
}

/// In whose name a project sends.
#[derive(Clone, Debug)]
pub struct Account {
    /// What its messages say of it.
    pub sender: SmsSender,
    /// Whom the service is told that they are from.
    pub from: Option<String>,
    /// What it sends.
    pub kinds: Vec<SmsKind>,
}

/// What takes the messages.
pub enum Carrier {
    /// A service.
    Service {
        /// Its address without anything secret: when it changes, what failed before is tried again at once.
        base_url: String,
        /// The service.
        messenger: Box<Messenger>,
        /// Messages that are handed over at the same time.
        in_flight_max: usize,
    },
    /// Memory: for development.
    Mailbox(Mailbox),
}

impl Carrier {
    /// What tells one from another, without secrets.
    pub fn settings(&self) -> Map<String, Value> {
        let (name, value) = match self {
            Self::Service { base_url, .. } => ("baseUrl", base_url.clone().into()),
            Self::Mailbox(_) => ("mailbox", true.into()),
        };
        Map::from_iter([(name.to_owned(), value)])
    }
}

impl Kind for Sms {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn is_available(&self, _: &Policy) -> bool {
        false
    }

    fn rules(&self, _: &Map<String, Value>) -> Rules {
        Rules { gone_disables: false, persistence: None }
    }

    fn validate(&self, _: &Map<String, Value>, _: &Policy, _: &mut Ctx) -> Result<Validated, Invalid> {
        Err(Invalid { field: "type", text: "SMS is set up in the server's configuration".to_owned() })
    }

    fn open(
        &self,
        _: &Map<String, Value>,
        _: Option<&[u8]>,
        context: &Context,
    ) -> Result<Arc<dyn Destination>, CannotOpen> {
        let switchboard = context.switchboard.clone().ok_or(CannotOpen("SMS is not configured"))?;
        Ok(Arc::new(Desk { switchboard }))
    }
}

/// Where short messages become SMS.
struct Desk {
    switchboard: Arc<Switchboard>,
}

impl Desk {
    async fn attempt(&self, delivery: Delivery) -> Outcome {
        let message = match serde_json::from_slice::<Option<ShortMessage>>(&delivery.body) {
            Ok(Some(message)) => message,
            Ok(None) => return Outcome::Moot, // there is none about it, or no number to send it to
            Err(_) => return rejected("the short message cannot be read"),
        };
        let Some(account) = self.switchboard.accounts.get(&delivery.project) else {
            return failed(Cause::Refused, "the project does not send SMS");
        };
        let kind = message.kind.as_str();
        if !account.kinds.contains(&message.kind) {
            return Outcome::Moot;
        }
        if message.is_moot(delivery.now) {
            tracing::debug!(sms = kind, "not sent: its code has ended");
            return Outcome::Moot;
        }
        let Ok(text) = self.switchboard.texts.write(&message, &account.sender) else {
            tracing::error!(sms = kind, "a short message cannot be written");
            return failed(Cause::Refused, "it cannot be written");
        };
        tracing::debug!(sms = kind, segments = segments(&text), "an SMS is handed over");
        match &self.switchboard.carrier {
            Carrier::Mailbox(mailbox) => {
                mailbox.put(Received { to: message.to, told: Told::Sms(text), at: delivery.now });
                Outcome::Delivered
            }
            Carrier::Service { messenger, .. } => {
                let (id, from) = (delivery.message_id, account.from.as_deref());
                let sms = connector::Sms { id, to: &message.to, from, text: &text };
                match messenger.send(sms, chance(&delivery)).await {
                    Ok(()) => Outcome::Delivered,
                    Err(error) => outcome(&error, "the service refuses the number", delivery.now),
                }
            }
        }
    }
}

impl Destination for Desk {
    fn send(&self, delivery: Delivery) -> BoxFuture<'_, Outcome> {
        Box::pin(self.attempt(delivery))
    }

    fn in_flight_max(&self) -> usize {
        match &self.switchboard.carrier {
            Carrier::Service { in_flight_max, .. } => *in_flight_max,
            Carrier::Mailbox(_) => usize::MAX,
        }
    }
}
