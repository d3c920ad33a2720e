//! A test message: made now, sent past the lanes, and nothing remembered of it.

use std::time::Duration;

use keyherald_core::id::MessageId;
use keyherald_core::notice::{Change, ChangeKind, NewChange, Notice};
use keyherald_store::subscription::Stored;
use tokio::time::Instant;

use super::Opener;
use crate::clock::Moments;
use crate::destination::{CannotOpen, Delivery, Probed};
use crate::format::{self, EventIds};
use crate::trace;

/// What became of a test message.
pub struct TriedOut {
    /// How it ended, and what the receiver said.
    pub probed: Probed,
    /// Its id.
    pub message: MessageId,
    /// From the attempt's begin to its end.
    pub latency: Duration,
}

/// Why there was no test message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotTryOut {
    /// Its destination cannot be used.
    #[error(transparent)]
    Destination(#[from] CannotOpen),
    /// Nothing that happens to the subscription itself can be told in its form.
    #[error("its format has no test message")]
    Format,
}

/// Sends what the contract sends to try a destination out: that the subscription was made, under an id of its own. The
/// destination marks it.
pub async fn try_out(stored: &Stored, opener: &Opener, moments: &Moments) -> Result<TriedOut, CannotTryOut> {
    let (subscription, mut ctx) = (&stored.subscription, moments.ctx());
    let made = NewChange::of_subscription(subscription, ChangeKind::Created, subscription.created_at);
    let message = MessageId::new(&mut ctx);
    let notice = Notice::Change(Change {
        position: 0,
        id: message,
        at: made.at,
        resource_id: made.resource_id,
        version: made.version,
        lane: made.lane,
        facts: made.facts,
        identifiers: made.identifiers,
        trace: trace::context(),
    });
    let rendered = format::render(&stored.project, &notice, subscription.format, &EventIds::default());
    let rendered = rendered.map_err(|format::Erased| CannotTryOut::Format)?;
    let destination = opener(stored)?.destination;
    let delivery = Delivery {
        message_id: message,
        sequence: None,
        customer: made.lane,
        project: stored.project.clone(),
        created_at: made.at,
        attempt: 1,
        now: ctx.now,
        content_type: rendered.content_type,
        body: rendered.body,
        event: None,
        is_replay: false,
        trace: trace::context(),
    };
    let begun = Instant::now();
    let probed = destination.probe(delivery).await;
    Ok(TriedOut { probed, message, latency: begun.elapsed() })
}
