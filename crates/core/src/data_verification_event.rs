//! The Customer Data Verification Event: that somebody is to prove an address or a number (paysafe.md 2.6).
//!
//! It goes out when a process has begun, and has the code in clear where the partner delivers it. So its body lives no
//! longer than it must: until it was accepted, or the process has ended.

use crate::Ctx;
use crate::credentials_event::Person;
use crate::ctx::Micros;
use crate::customer::Customer;
use crate::event;
use crate::id::{CustomerId, MessageId};
use crate::secret::TokenValue;
use crate::verification::{Attribute, Process};

/// Why a process came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessError {
    /// Too many wrong codes.
    AttemptsExhausted,
    /// Its time is over.
    Expired,
    /// A newer process took its place.
    Superseded,
}

impl ProcessError {
    /// As it is told.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AttemptsExhausted => "ATTEMPTS_EXHAUSTED",
            Self::Expired => "EXPIRED",
            Self::Superseded => "SUPERSEDED",
        }
    }
}

/// One event, complete. No `Debug`: it is personal, and has a code.
#[derive(Clone)]
pub struct DataVerificationEvent {
    /// Its id at the receiver.
    pub id: MessageId,
    /// When it happened.
    pub at: Micros,
    /// Whose address it is, if that is known: nobody's, while somebody becomes a customer.
    pub customer: Option<(CustomerId, Person)>,
    /// The process.
    pub process: Process,
    /// What is to be proved.
    pub attribute: Attribute,
    /// The code, if the partner delivers it.
    pub code: Option<TokenValue>,
    /// Why the process came to nothing. `None`: it has begun.
    pub error: Option<ProcessError>,
    /// Members that had to be cut.
    pub cut: Vec<&'static str>,
}

impl DataVerificationEvent {
    /// The event about a process that has just begun. With `code` if the partner is to deliver it.
    pub fn begun(
        (process, attribute): (&Process, &Attribute),
        customer: Option<&Customer>,
        code: Option<TokenValue>,
        ctx: &mut Ctx,
    ) -> Self {
        let told = customer.map(|customer| (customer.id, Person::of(customer)));
        let (customer, cut) = match told {
            Some((id, (person, cut))) => (Some((id, person)), cut),
            None => (None, Vec::new()),
        };
        let (id, process, attribute) = (event::new_id(ctx), process.clone(), attribute.clone());
        Self { id, at: ctx.now, customer, process, attribute, code, error: None, cut }
    }

    /// Its lane: the customer's, or of a process that is nobody's one of its own.
    pub fn lane(&self) -> CustomerId {
        self.customer.as_ref().map_or_else(|| self.process.id.uuid().into(), |(id, _)| *id)
    }
}
