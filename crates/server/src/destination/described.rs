//! What is common to destinations that are described in the language of HTTP providers: what an attempt's failure means.

use keyherald_core::delivery::{Cause, Outcome};
use keyherald_core::provider::ProviderError;
use keyherald_core::{Ctx, Micros};
use sha2::{Digest, Sha256};

use super::Delivery;

/// Nonces and boundaries are made of the attempt: they need not be secret, only never the same.
pub(super) fn chance(delivery: &Delivery) -> Ctx {
    let mut digest = Sha256::new();
    digest.update(delivery.message_id.uuid());
    digest.update(delivery.attempt.to_be_bytes());
    digest.update(delivery.now.0.to_be_bytes());
    Ctx::new(delivery.now, digest.finalize().into())
}

/// What a failure means for a message; `not_found`: that the service knows nobody there.
pub(super) fn outcome(error: &ProviderError, not_found: &str, now: Micros) -> Outcome {
    match error {
        ProviderError::UserNotFound => rejected(not_found),
        ProviderError::RateLimited { not_before } => {
            let wait = not_before.map(|at| at.0.saturating_sub(now.0).max(0));
            // Rounded up: a moment too late is polite, a moment too early is not.
            let seconds = wait.map(|us| u32::try_from(us.saturating_add(999_999) / Micros::SECOND).unwrap_or(u32::MAX));
            Outcome::Failed { reason: "too many at once".to_owned(), retry_after_s: seconds, cause: Cause::Throttled }
        }
        ProviderError::Transient => failed(Cause::Temporary, "the service does not answer"),
        // It may have been sent: a customer would rather get a code twice than never.
        ProviderError::Ambiguous => failed(Cause::Temporary, "whether it was sent is not known"),
        ProviderError::ClockSkew => failed(Cause::Temporary, "the clocks differ"),
        ProviderError::AdminAuth | ProviderError::InsufficientScope => {
            failed(Cause::Refused, "the service refuses our access")
        }
        _ => failed(Cause::Refused, "the service refuses the request"),
    }
}

/// This one is never sent.
pub(super) fn rejected(reason: &str) -> Outcome {
    Outcome::Rejected { reason: reason.to_owned() }
}

pub(super) fn failed(cause: Cause, reason: &str) -> Outcome {
    Outcome::Failed { reason: reason.to_owned(), retry_after_s: None, cause }
}
