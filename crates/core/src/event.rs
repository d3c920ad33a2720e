//! Events: what a partner is sent in a body that was rendered once, in the transaction of what it tells.
//!
//! Messages are rendered when they are sent; an event is not, because its contract promises the same bytes for ever: over
//! retries, resends, upgrades and changed settings. So its body is kept, sealed, and the log has an entry for each time
//! that it is to be sent: one when it happens, and one for each resend. For the relay that entry is like any other. It is
//! for the subscriptions that the configuration makes, and no query shows it.

use zeroize::Zeroizing;

use crate::ctx::{Ctx, Micros};
use crate::id::{CustomerId, MessageId};
use crate::trace::TraceContext;

/// What kind of event: each has a path of its own at the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventType {
    /// A customer's credentials were replaced (paysafe.md 2.4).
    CustomerCredentials,
    /// A verification process was begun; has its code, if the partner delivers it (paysafe.md 2.6).
    CustomerDataVerification,
}

/// Text that is no type of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no type of event")]
pub struct NotAnEventType;

impl EventType {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::CustomerCredentials, Self::CustomerDataVerification];

    /// Its name in calls, in headers and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CustomerCredentials => "CUSTOMER_CREDENTIALS",
            Self::CustomerDataVerification => "CUSTOMER_DATA_VERIFICATION",
        }
    }

    /// What follows the receiver's base URL.
    pub fn path(self) -> &'static str {
        match self {
            Self::CustomerCredentials => "/credentials/events",
            Self::CustomerDataVerification => "/customers/data-verifications/events",
        }
    }

    /// Whether it can be sent again after it was delivered. What carries a code is gone by then.
    pub fn can_be_resent(self) -> bool {
        self == Self::CustomerCredentials
    }
}

impl std::str::FromStr for EventType {
    type Err = NotAnEventType;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|event| event.as_str() == text).ok_or(NotAnEventType)
    }
}

/// An event that has just happened, rendered. No `Debug`: its body is personal, and may have a code.
pub struct NewEvent {
    /// Its id at the receiver.
    pub id: MessageId,
    /// Which path it goes to.
    pub event_type: EventType,
    /// The customer whom it is about, if there is one yet: whose erasure ends it.
    pub customer: Option<CustomerId>,
    /// The lane: the customer, or what stands for one.
    pub lane: CustomerId,
    /// When it happened.
    pub at: Micros,
    /// The very bytes to sign and send.
    pub body: Zeroizing<Vec<u8>>,
}

/// A new event's id: a UUID of version 4, for its receiver may see none of our order.
pub fn new_id(ctx: &mut Ctx) -> MessageId {
    uuid::Builder::from_random_bytes(ctx.bytes()).into_uuid().into()
}

/// `2021-07-15T17:54:12Z`: UTC, whole seconds, as events tell the time.
pub fn timestamp(at: Micros) -> String {
    let seconds = Micros(at.0.div_euclid(Micros::SECOND).saturating_mul(Micros::SECOND)).iso();
    seconds.strip_suffix(".000Z").or_else(|| seconds.strip_suffix(".999Z")).unwrap_or(&seconds).to_owned() + "Z"
}

/// That an event is to be sent, as it was read back from the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sending {
    /// Order in the log.
    pub position: i64,
    /// The event: the same id however often it is sent.
    pub event: MessageId,
    /// Its type.
    pub event_type: EventType,
    /// When this was asked for: when it happened, or when it was to be resent.
    pub at: Micros,
    /// The lane.
    pub lane: CustomerId,
    /// The trace of the request that asked for it.
    pub trace: Option<TraceContext>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_lower_case_uuid_of_version_four() {
        let id = new_id(&mut Ctx::new(Micros(0), [1; 32]));
        assert_eq!((id.uuid().get_version_num(), id.to_string().to_lowercase()), (4, id.to_string()));
    }

    #[test]
    fn the_time_has_whole_seconds() {
        let at = Micros::parse_iso("2021-07-15T17:54:12.999Z").unwrap();
        assert_eq!(timestamp(at), "2021-07-15T17:54:12Z");
        assert_eq!(timestamp(Micros(i64::MAX)), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn types_have_the_names_that_are_stored() {
        for event in EventType::ALL {
            assert_eq!(event.as_str().parse(), Ok(event));
        }
        assert!("CREDENTIALS".parse::<EventType>().is_err());
    }
}
