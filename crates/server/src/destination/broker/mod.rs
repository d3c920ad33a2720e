//! What the kinds of brokers share: how a draft names one and signs in ([`access`]), and the connection ([`mod@line`]).
//!
//! A kind speaks its protocol by a client library, which gets a connection that is made already: to an address that the guard
//! has checked, and secured for the name that the draft has. A library resolves no name, follows no address that a server
//! announces, and does not connect again when it suits it.
//!
//! No kind makes anything at a broker: streams, exchanges and queues are its operators'.

pub(super) mod access;
pub(super) mod line;

use keyherald_core::delivery::{Cause, Outcome};

use super::Delivery;
use super::answer::failed;

/// Most that a broker may say before it confirms a message, in bytes, and before the next.
pub(super) const HEARD_BYTES_MAX: u64 = 1024 * 1024;

/// The last part of where a message goes, in brokers where places have names of several parts: its project and the lane's
/// customer, so that whatever keeps the order of a place keeps that of each customer.
pub(super) fn lane(delivery: &Delivery, separator: char) -> String {
    format!("{}{separator}{}", delivery.project, delivery.customer)
}

/// The broker fails, or is too busy.
pub(super) fn temporary(reason: &str) -> Outcome {
    failed(Cause::Temporary, reason.to_owned())
}

/// The broker has no room.
pub(super) fn throttled(reason: &str) -> Outcome {
    failed(Cause::Throttled, reason.to_owned())
}

/// Somebody must change a setting.
pub(super) fn refused(reason: &str) -> Outcome {
    failed(Cause::Refused, reason.to_owned())
}

/// This message is never taken.
pub(super) fn rejected(reason: &str) -> Outcome {
    Outcome::Rejected { reason: reason.to_owned() }
}

/// The broker says what its protocol does not have.
pub(super) fn garbled() -> Outcome {
    temporary("the broker does not speak the protocol")
}

/// The connection ended, and nobody knows what became of the message.
pub(super) fn broke() -> Outcome {
    temporary("the connection broke")
}
