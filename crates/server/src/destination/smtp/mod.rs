//! `Mail`: writes the mail about a message and hands it to a mail server, or in development to a mailbox in memory.
//!
//! Its subscriptions are made by the configuration alone ([`Office`]); no draft can ask for it. What is delivered is a
//! letter: what the mail must say. The words are chosen here, at each attempt, from checked templates.
//!
//! **At least once**: an answer that is lost after the last byte leaves it open whether the server has the mail. It is
//! sent again, under the same `Message-ID`, by which mailboxes and people recognise a copy.

mod compose;
mod transport;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use keyherald_core::Ctx;
use keyherald_core::delivery::{Cause, Outcome};
use keyherald_core::id::ProjectKey;
use keyherald_core::mail::{Letter, MailKind};
use lettre::Address;
use lettre::message::Mailbox as Sender;
use serde_json::{Map, Value};

pub use self::transport::{Credentials, Security, ServerSettings, Unusable};

use self::transport::Transport;
use super::{CannotOpen, Context, Delivery, Destination, Invalid, Kind, Policy, Rules, Validated};
use crate::mail::{self, Mailbox, Received, Templates, Told};

/// The kind.
#[derive(Clone, Copy, Debug)]
pub struct Mail;

impl Mail {
    /// Its name in the store.
    pub const NAME: &'static str = "Mail";
}

/// All that mail of all projects is sent with.
pub struct Office {
    /// The words.
    pub templates: Templates,
    /// Who mails.
    pub accounts: BTreeMap<ProjectKey, Account>,
    /// Where to.
    pub carrier: Carrier,
}

/// In whose name a project mails.
#[derive(Clone, Debug)]
pub struct Account {
    /// What its mails say of it.
    pub sender: mail::Sender,
    /// `From`.
    pub from: Sender,
    /// `Reply-To`.
    pub reply_to: Option<Sender>,
    /// What it mails.
    pub kinds: Vec<MailKind>,
}

/// What takes the mail.
pub enum Carrier {
    /// A mail server.
    Server(ServerSettings),
    /// Memory: for development.
    Mailbox(Mailbox),
}

impl Carrier {
    /// What tells one from another, without secrets: when it changes, what failed before is tried again at once.
    pub fn settings(&self) -> Map<String, Value> {
        let mut settings = Map::new();
        match self {
            Self::Server(server) => {
                settings.insert("host".into(), server.host.clone().into());
                settings.insert("port".into(), server.port.into());
                settings.insert("security".into(), server.security.as_str().into());
                settings.insert("username".into(), server.credentials.as_ref().map(Credentials::username).into());
            }
            Self::Mailbox(_) => drop(settings.insert("mailbox".into(), true.into())),
        }
        settings
    }
}

impl Kind for Mail {
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
        Err(Invalid { field: "type", text: "mail is set up in the server's configuration".to_owned() })
    }

    fn open(
        &self,
        _: &Map<String, Value>,
        _: Option<&[u8]>,
        context: &Context,
    ) -> Result<Arc<dyn Destination>, CannotOpen> {
        let office = context.office.clone().ok_or(CannotOpen("mail is not configured"))?;
        let transport = match &office.carrier {
            Carrier::Server(server) => Some(Transport::new(server.clone(), context.attempt_timeout)),
            Carrier::Mailbox(_) => None,
        };
        Ok(Arc::new(Desk { office, transport }))
    }
}

/// Where one project's letters become mail.
struct Desk {
    office: Arc<Office>,
    transport: Option<Transport>,
}

impl Desk {
    async fn attempt(&self, delivery: Delivery) -> Outcome {
        let letter = match serde_json::from_slice::<Option<Letter>>(&delivery.body) {
            Ok(Some(letter)) => letter,
            Ok(None) => return Outcome::Moot, // no mail is about it
            Err(_) => return rejected("the letter cannot be read"),
        };
        let Some(account) = self.office.accounts.get(&delivery.project) else {
            return refused("the project does not mail");
        };
        let mut outcome = Outcome::Moot;
        for letter in letter.of_each_address().filter(|letter| account.kinds.contains(&letter.kind)) {
            outcome = match self.send_one(&letter, account, &delivery).await {
                // Of two mails, one that can never be sent is no reason to go without the other.
                Outcome::Moot | Outcome::Rejected { .. } if matches!(outcome, Outcome::Delivered) => outcome,
                failed @ Outcome::Failed { .. } => return failed, // what has been sent is sent again, as a copy
                other => other,
            };
        }
        outcome
    }

    async fn send_one(&self, letter: &Letter, account: &Account, delivery: &Delivery) -> Outcome {
        let kind = letter.kind.as_str();
        if letter.is_moot(delivery.now) {
            tracing::debug!(mail = kind, "not sent: its token has ended");
            return Outcome::Moot;
        }
        let mail = match self.office.templates.write(letter, &account.sender) {
            Ok(mail) => mail,
            Err(error) => {
                tracing::error!(mail = kind, %error, "a mail cannot be written");
                return refused("it cannot be written");
            }
        };
        match (&self.office.carrier, &self.transport) {
            (Carrier::Mailbox(mailbox), _) => {
                mailbox.put(Received { to: letter.to.email.clone(), told: Told::Mail(mail), at: delivery.now });
                Outcome::Delivered
            }
            (Carrier::Server(_), Some(transport)) => {
                // An address that no mail can be sent to is its owner's affair: no retry makes it one.
                let Ok(to) = letter.to.email.parse::<Address>() else {
                    return rejected("the address is none that mail can be sent to");
                };
                match compose::compose(&mail, account, (letter.kind, &to), delivery) {
                    Ok(bytes) => transport.send(&account.from.email, &to, &bytes).await,
                    Err(_) => rejected("the mail cannot be put together"),
                }
            }
            (Carrier::Server(_), None) => refused("mail has no server"),
        }
    }
}

impl Destination for Desk {
    fn send(&self, delivery: Delivery) -> BoxFuture<'_, Outcome> {
        Box::pin(self.attempt(delivery))
    }

    fn in_flight_max(&self) -> usize {
        match &self.office.carrier {
            Carrier::Server(server) => server.connections_max,
            Carrier::Mailbox(_) => usize::MAX,
        }
    }
}

/// This mail is never sent.
fn rejected(reason: &str) -> Outcome {
    Outcome::Rejected { reason: reason.to_owned() }
}

/// A setting must be changed first.
fn refused(reason: &str) -> Outcome {
    Outcome::Failed { reason: reason.to_owned(), retry_after_s: None, cause: Cause::Refused }
}
