//! One attempt at a webhook, and what its answer means.

use std::time::Duration;

use futures_util::future::BoxFuture;
use keyherald_core::Micros;
use keyherald_core::delivery::{Cause, Outcome};
use reqwest::header::HeaderMap;
use reqwest::{RequestBuilder, StatusCode};
use sha2::{Digest, Sha256};
use url::Url;

use super::batch::{Gathering, Post};
use super::cloudevents::{BATCH, Binary, Mode, batch, binary, is_event};
use super::consent::{Consent, Handshake};
use super::http_signature::{self, Components};
use super::keys::Keys;
use super::settings::Settings;
use crate::destination::answer::{asked_for_s, drain, excerpt, failed, unanswered};
use crate::destination::{Context, Delivery, Destination, Probed};
use crate::outbound::guard::{Guard, NotPublic};

/// A webhook that is called.
pub(super) struct Endpoint {
    url: Url,
    keys: Keys,
    mode: Mode,
    /// Where events wait for each other, if they are sent in batches.
    gathering: Gathering,
    /// What the receiver has agreed to, if it is asked.
    consent: Option<Consent>,
    rate_max: Option<u32>,
    concurrency_max: Option<u32>,
    disabled_after: Option<i64>,
    /// Whether the whole request is signed.
    http_signature: bool,
    http: reqwest::Client,
    guard: Guard,
    timeout: Duration,
}

/// Headers, their names in lower case, in the order in which they are signed.
type Headers = Components;

impl Endpoint {
    /// `None`: the receiver is to be asked, and there is no name to ask in.
    pub(super) fn new(url: Url, keys: Keys, settings: &Settings, context: &Context) -> Option<Self> {
        let per_minute = settings.rate_max.map(|rate| rate.saturating_mul(60));
        let consent = match settings.handshake {
            Handshake::Off => None,
            asked => Some(Consent::new(asked == Handshake::Required, context.policy.origin.clone()?, per_minute)),
        };
        Some(Self {
            url,
            keys,
            mode: settings.mode,
            gathering: Gathering::new(settings.batch_size()),
            consent,
            rate_max: settings.rate_max,
            concurrency_max: settings.concurrency_max,
            disabled_after: settings.disabled_after(),
            http_signature: settings.http_signature,
            http: context.http.clone(),
            guard: context.policy.guard.clone(),
            timeout: context.attempt_timeout,
        })
    }

    async fn attempt(&self, delivery: Delivery) -> Outcome {
        if let Err(outcome) = self.admit(delivery.now).await {
            return outcome;
        }
        if self.mode == Mode::Batched && is_event(delivery.content_type) {
            return self.gathering.join(delivery, self).await;
        }
        self.deliver(&[delivery]).await
    }

    /// Whether anything may be sent there now.
    async fn admit(&self, now: Micros) -> Result<(), Outcome> {
        // An address as host never reaches the client's resolver.
        if self.guard.check_host(&self.url).is_err() {
            return Err(failed(Cause::Refused, NotPublic.to_string()));
        }
        match &self.consent {
            Some(consent) => consent.obtain(&self.http, &self.url, now).await,
            None => Ok(()),
        }
    }

    /// One request with all of them.
    async fn deliver(&self, deliveries: &[Delivery]) -> Outcome {
        let (mut headers, body, now) = self.content(deliveries);
        if deliveries.iter().any(|delivery| delivery.is_replay) {
            headers.push(("keyherald-replay".into(), "true".to_owned()));
        }
        match in_trace(self.signed(headers, body, now), deliveries).send().await {
            Ok(answer) => {
                let outcome = meaning(answer.status(), answer.headers(), now);
                drain(answer).await;
                outcome
            }
            Err(error) => unanswered(&error),
        }
    }

    async fn try_out(&self, delivery: Delivery) -> Probed {
        if let Err(outcome) = self.admit(delivery.now).await {
            return Probed { outcome, status: None, excerpt: None };
        }
        let deliveries = [delivery];
        let (headers, body, now) = self.content(&deliveries);
        let request = in_trace(self.signed(headers, body, now), &deliveries);
        match request.header("keyherald-test", "true").send().await {
            Ok(answer) => {
                let outcome = meaning(answer.status(), answer.headers(), now);
                let status = Some(answer.status().as_u16());
                Probed { outcome, status, excerpt: Some(excerpt(answer).await) }
            }
            Err(error) => Probed { outcome: unanswered(&error), status: None, excerpt: None },
        }
    }

    /// What a request says of them by the endpoint's mode: headers with the `webhook-id`, the body, and the time of the attempt.
    fn content(&self, deliveries: &[Delivery]) -> (Headers, Vec<u8>, Micros) {
        let Some(first) = deliveries.first() else { return (Headers::new(), Vec::new(), Micros(0)) };
        let now = deliveries.iter().map(|delivery| delivery.now).fold(first.now, Micros::max);
        let id = ("webhook-id".into(), id_of(deliveries));
        let whole = |content_type: &str| ("content-type".into(), content_type.to_owned());
        if self.mode == Mode::Batched && is_event(first.content_type) {
            return (vec![whole(BATCH), id], batch(deliveries.iter().map(|delivery| &*delivery.body)), now);
        }
        if self.mode == Mode::Binary
            && is_event(first.content_type)
            && let Some(Binary { content_type, attributes, body }) = binary(&first.body)
        {
            let attributes = attributes.into_iter().map(|(name, value)| (name.into(), value));
            return ([whole(&content_type), id].into_iter().chain(attributes).collect(), body, now);
        }
        (vec![whole(first.content_type), id], first.body.clone(), now)
    }

    /// A request with these headers, `webhook-id` among them, and its signatures, which are of this attempt alone.
    fn signed(&self, mut headers: Headers, body: Vec<u8>, now: Micros) -> RequestBuilder {
        let id = headers.iter().find(|(name, _)| name == "webhook-id").map_or("", |(_, id)| id.as_str());
        let signature = self.keys.signatures(id, now, &body);
        if self.http_signature {
            headers.push(("content-digest".into(), http_signature::content_digest(&body)));
            let components = [http_signature::of_url(&self.url), headers.clone()].concat();
            let (input, signature) = http_signature::sign(&components, self.keys.pairs(now), now);
            headers.extend([("signature-input".into(), input), ("signature".into(), signature)]);
        }
        headers.push(("webhook-timestamp".into(), now.0.div_euclid(Micros::SECOND).to_string()));
        headers.push(("webhook-signature".into(), signature));
        if let Some(consent) = &self.consent {
            headers.push(("webhook-request-origin".into(), consent.origin().to_owned()));
        }
        let request = self.http.post(self.url.clone()).timeout(self.timeout).body(body);
        headers.into_iter().fold(request, |request, (name, value)| request.header(&*name, value))
    }
}

/// The request with the trace of its message. Several messages have several traces, and each event of a batch says its own. Not
/// signed: proxies put a place of their own there.
fn in_trace(request: RequestBuilder, deliveries: &[Delivery]) -> RequestBuilder {
    let [delivery] = deliveries else { return request };
    delivery.trace_fields().fold(request, |request, (name, value)| request.header(name, value))
}

/// A message's own id, the same at every attempt; of several in one request a digest of theirs.
fn id_of(deliveries: &[Delivery]) -> String {
    if let [one] = deliveries {
        return format!("msg_{}", one.message_id.uuid().simple());
    }
    let mut digest = Sha256::new();
    for delivery in deliveries {
        digest.update(delivery.message_id.uuid());
    }
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(digest.finalize()).for_each(|(byte, drawn)| *byte = drawn);
    format!("msg_{}", uuid::Builder::from_custom_bytes(bytes).into_uuid().simple())
}

impl Post for Endpoint {
    fn post<'a>(&'a self, batch: &'a [Delivery]) -> BoxFuture<'a, Outcome> {
        Box::pin(self.deliver(batch))
    }
}

impl Destination for Endpoint {
    fn send(&self, delivery: Delivery) -> BoxFuture<'_, Outcome> {
        Box::pin(self.attempt(delivery))
    }

    fn probe(&self, delivery: Delivery) -> BoxFuture<'_, Probed> {
        Box::pin(self.try_out(delivery))
    }

    fn in_flight_max(&self) -> usize {
        self.concurrency_max.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX)
    }

    fn disabled_after(&self) -> Option<i64> {
        self.disabled_after
    }

    fn per_minute_max(&self) -> Option<u32> {
        let own = self.rate_max.map(|rate| rate.saturating_mul(60));
        let allowed = self.consent.as_ref().and_then(Consent::allowed);
        own.into_iter().chain(allowed).min()
    }
}

/// What a status means (standards.md 4.1). The status is the receiver's word: what follows it does not change it.
fn meaning(status: StatusCode, headers: &HeaderMap, now: Micros) -> Outcome {
    let cause = match status.as_u16() {
        200..=299 => return Outcome::Delivered,
        410 => return Outcome::Gone,
        429 | 502..=504 => Cause::Throttled,
        408 | 425 | 500.. => Cause::Temporary,
        _ => Cause::Refused, // redirects too: they are not followed
    };
    let retry_after_s = asked_for_s(headers, now);
    Outcome::Failed { reason: format!("answered {}", status.as_u16()), retry_after_s, cause }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_mean_what_the_table_says() {
        let meaning = |status: u16| meaning(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), Micros(0));
        for status in [200, 201, 202, 204, 299] {
            assert_eq!(meaning(status), Outcome::Delivered, "{status}");
        }
        assert_eq!(meaning(410), Outcome::Gone);
        for (cause, statuses) in [
            (Cause::Throttled, &[429, 502, 503, 504][..]),
            (Cause::Temporary, &[408, 425, 500, 501, 505, 599]),
            (Cause::Refused, &[301, 302, 307, 308, 400, 401, 403, 404, 405, 409, 413, 415, 422]),
        ] {
            for status in statuses {
                let expected = Outcome::Failed { reason: format!("answered {status}"), retry_after_s: None, cause };
                assert_eq!(meaning(*status), expected, "{status}");
            }
        }
    }
}
