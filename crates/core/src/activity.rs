//! Activity: one entry per password verb that was tried, failed ones too, so that support can say who changed what,
//! when, and by which way. Entries of the same log as messages, without a sequence number, never in `/messages`.

use serde::{Deserialize, Serialize};

use crate::ctx::Micros;
use crate::id::{CustomerId, MessageId};
use crate::initiator::Initiator;
use crate::message::Flow;
use crate::{Ctx, Refusal};

/// One call and how it ended.
pub struct Activity {
    /// Id of the entry.
    pub id: MessageId,
    /// When.
    pub at: Micros,
    /// The customer, if the call came to know it.
    pub customer: Option<CustomerId>,
    /// What is written.
    pub facts: ActivityFacts,
}

/// What an activity entry says besides its columns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivityFacts {
    /// What was tried.
    pub flow: Flow,
    /// `done`, or the refusal's code.
    pub outcome: String,
    /// Who called.
    pub by: Initiator,
}

impl Activity {
    /// The entry for `flow` that ended with `refusal` (or well).
    pub fn new(
        flow: Flow,
        customer: Option<CustomerId>,
        refusal: Option<&Refusal>,
        by: &Initiator,
        ctx: &mut Ctx,
    ) -> Self {
        let outcome = refusal.map_or("done", Refusal::code).to_owned();
        Self {
            id: MessageId::new(ctx),
            at: ctx.now,
            customer,
            facts: ActivityFacts { flow, outcome, by: by.impersonal() },
        }
    }
}
