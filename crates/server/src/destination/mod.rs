//! Where messages go. One folder per kind of destination, and [`KINDS`] is the list.
//!
//! A destination carries bytes and says how that ended in the relay's words. What the bytes are is decided by `format`,
//! when they are sent by `deliver`.

pub mod cloud;
pub mod console;
pub mod smtp;
pub mod webhook;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use keyherald_core::delivery::Outcome;
use keyherald_core::id::{CustomerId, MessageId, ProjectKey};
use keyherald_core::{Ctx, Micros};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::outbound::guard::Guard;

/// Every kind of destination.
pub static KINDS: &[&dyn Kind] = &[&webhook::Webhook, &console::Console, &smtp::Mail];

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

    /// How its deliveries end.
    fn rules(&self) -> Rules;

    /// Checks a draft of this kind. Connects to nothing.
    fn validate(&self, draft: &Map<String, Value>, policy: &Policy, ctx: &mut Ctx) -> Result<Validated, Invalid>;

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
    /// A message is given up when its schedule has ended.
    pub gives_up: bool,
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
}

/// A place that messages are sent to.
pub trait Destination: Send + Sync {
    /// Makes one attempt, within the attempt's time. Dropping the future may leave the message sent: then it is sent again.
    fn send(&self, delivery: Delivery) -> BoxFuture<'_, Outcome>;

    /// How many attempts it can have under way at the same time, if that is fewer than the operator allows.
    fn in_flight_max(&self) -> usize {
        usize::MAX
    }
}
