//! What the kinds share that hand a message to a cloud's HTTP API: one POST that is answered, and what its answer means.
//!
//! A message that is too large for the contract, or for the place, goes without its payload (commercetools.md 8.3). An answer
//! that is lost is a repeat with the same id. The whole attempt, with access that has to be renewed and a second, shorter body,
//! takes no longer than one.

use std::time::Duration;

use futures_util::future::BoxFuture;
use keyherald_core::Micros;
use keyherald_core::delivery::{Cause, Outcome};
use reqwest::header::HeaderMap;
use tokio::time::timeout;
use url::Url;

use super::answer::{asked_for_s, escaped, failed, unanswered};
use super::shortened::shortened;
use super::{Context, Delivery, Destination, Probed};
use crate::outbound::guard::{Guard, NotPublic};

/// The contract's limit of a payload, in bytes (commercetools.md 8.5).
pub(super) const PAYLOAD_BYTES_MAX: usize = 256 * 1024;
/// How much of an answer is read, in bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Sends requests where the guard permits.
pub(super) struct Poster {
    pub(super) http: reqwest::Client,
    pub(super) guard: Guard,
    pub(super) timeout: Duration,
}

/// An answer.
pub(super) struct Said {
    pub(super) status: u16,
    pub(super) retry_after_s: Option<u32>,
    /// Its beginning.
    pub(super) body: Vec<u8>,
}

impl Poster {
    /// To where a draft leads.
    pub(super) fn new(context: &Context) -> Self {
        let Context { http, policy, attempt_timeout, .. } = context;
        Self { http: http.clone(), guard: policy.guard.clone(), timeout: *attempt_timeout }
    }

    /// One request. Never repeats it.
    pub(super) async fn post(
        &self,
        url: &Url,
        headers: HeaderMap,
        body: Vec<u8>,
        now: Micros,
    ) -> Result<Said, Outcome> {
        // An address as host never reaches the client's resolver.
        if self.guard.check_host(url).is_err() {
            return Err(failed(Cause::Refused, NotPublic.to_string()));
        }
        let request = self.http.post(url.clone()).timeout(self.timeout).headers(headers).body(body);
        let mut answer = request.send().await.map_err(|error| unanswered(&error))?;
        let (status, retry_after_s) = (answer.status().as_u16(), asked_for_s(answer.headers(), now));
        let mut body = Vec::new();
        while body.len() < ANSWER_BYTES_MAX
            && let Ok(Some(chunk)) = answer.chunk().await
        {
            body.extend_from_slice(&chunk);
        }
        body.truncate(ANSWER_BYTES_MAX);
        Ok(Said { status, retry_after_s, body })
    }
}

/// A place that takes messages by POST.
pub(super) trait Place: Send + Sync {
    /// Posts a message whose size is right.
    fn post<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Result<Said, Outcome>>;

    /// Whether an answer that sounds like success is one of this service.
    fn is_receipt(&self, _: &Said) -> bool {
        true
    }
}

/// A destination that is such a place.
pub(super) struct Posted<P> {
    pub(super) place: P,
    /// Longest body in bytes.
    pub(super) body_bytes_max: usize,
    pub(super) timeout: Duration,
}

impl<P: Place> Posted<P> {
    async fn attempt(&self, delivery: Delivery) -> Probed {
        let limited = timeout(self.timeout, self.deliver(delivery)).await;
        limited.unwrap_or_else(|_| unheard(failed(Cause::Temporary, "no answer in time".to_owned())))
    }

    async fn deliver(&self, mut delivery: Delivery) -> Probed {
        if delivery.body.len() > self.body_bytes_max {
            match shortened(&delivery.body).filter(|short| short.len() <= self.body_bytes_max) {
                Some(short) => delivery.body = short,
                None => return unheard(too_large()),
            }
        }
        let probed = self.once(&delivery).await;
        if probed.status != Some(413) {
            return probed;
        }
        match shortened(&delivery.body) {
            Some(body) => self.once(&Delivery { body, ..delivery }).await,
            None => probed,
        }
    }

    async fn once(&self, delivery: &Delivery) -> Probed {
        let said = match self.place.post(delivery).await {
            Ok(said) => said,
            Err(outcome) => return unheard(outcome),
        };
        let outcome = match meaning(&said) {
            Outcome::Delivered if !self.place.is_receipt(&said) => {
                failed(Cause::Temporary, "what answers is not the service".to_owned())
            }
            outcome => outcome,
        };
        let excerpt = Some(escaped(&String::from_utf8_lossy(&said.body)));
        Probed { outcome, status: Some(said.status), excerpt }
    }
}

impl<P: Place> Destination for Posted<P> {
    fn send(&self, delivery: Delivery) -> BoxFuture<'_, Outcome> {
        Box::pin(async move { self.attempt(delivery).await.outcome })
    }

    fn probe(&self, delivery: Delivery) -> BoxFuture<'_, Probed> {
        Box::pin(self.attempt(delivery))
    }
}

fn unheard(outcome: Outcome) -> Probed {
    Probed { outcome, status: None, excerpt: None }
}

fn too_large() -> Outcome {
    Outcome::Rejected { reason: "larger than the destination takes, without its payload too".to_owned() }
}

/// What a status means. What all three vendors document: 401 and 403 for access, 404 and 410 for places that there are not, 413
/// for size, 429 and 503 for too much at once. Redirects are not followed.
fn meaning(said: &Said) -> Outcome {
    let (cause, why) = match said.status {
        200..=299 => return Outcome::Delivered,
        413 => return too_large(),
        429 => (Cause::Throttled, ": too much at once"),
        502..=504 => (Cause::Throttled, ""),
        408 | 409 | 425 | 499 | 500.. => (Cause::Temporary, ""),
        401 | 403 => (Cause::Refused, ": our access is refused"),
        404 | 410 => (Cause::Refused, ": there is no such place"),
        _ => (Cause::Refused, ""),
    };
    Outcome::Failed { reason: format!("answered {}{why}", said.status), retry_after_s: said.retry_after_s, cause }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(status: u16) -> Option<Cause> {
        match meaning(&Said { status, retry_after_s: Some(7), body: Vec::new() }) {
            Outcome::Failed { cause, retry_after_s: Some(7), .. } => Some(cause),
            _ => None,
        }
    }

    #[test]
    fn statuses_mean_what_the_vendors_say() {
        for (expected, statuses) in [
            (Cause::Throttled, &[429, 502, 503, 504][..]),
            (Cause::Temporary, &[408, 409, 425, 499, 500, 501, 599]),
            (Cause::Refused, &[301, 302, 307, 400, 401, 403, 404, 405, 410, 415, 422]),
        ] {
            for status in statuses {
                assert_eq!(cause(*status), Some(expected), "{status}");
            }
        }
        let meaning = |status: u16| meaning(&Said { status, retry_after_s: None, body: Vec::new() });
        assert_eq!([200, 201, 202].map(meaning), [Outcome::Delivered, Outcome::Delivered, Outcome::Delivered]);
        assert!(matches!(meaning(413), Outcome::Rejected { .. }));
    }
}
