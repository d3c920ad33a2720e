//! One attempt at a partner's endpoint, and what its answer means (paysafe.md 2.1, 2.3).

use futures_util::future::BoxFuture;
use keyherald_core::Micros;
use keyherald_core::delivery::{Cause, Outcome};
use keyherald_core::event::EventType;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{RequestBuilder, StatusCode};
use sha2::{Digest, Sha256};
use url::Url;

use super::{Secrets, Settings, of_type};
use crate::destination::answer::{asked_for_s, drain, failed, unanswered};
use crate::destination::{Delivery, Destination};
use crate::outbound::guard::{Guard, NotPublic};

/// A partner that is called.
pub(super) struct Endpoint {
    pub(super) urls: Vec<(EventType, Url)>,
    pub(super) secrets: Option<Secrets>,
    pub(super) settings: Settings,
    pub(super) http: reqwest::Client,
    pub(super) guard: Guard,
}

impl Endpoint {
    async fn attempt(&self, delivery: Delivery) -> Outcome {
        let Some((event, url)) = delivery.event.and_then(|event| Some((event, of_type(&self.urls, event)?))) else {
            return failed(Cause::Temporary, "it has no URL for such events".to_owned());
        };
        // An address as host never reaches the client's resolver.
        if self.guard.check_host(url).is_err() {
            return failed(Cause::Temporary, NotPublic.to_string());
        }
        let mut request = self.http.post(url.clone()).header(CONTENT_TYPE, "application/json");
        if let Some(secrets) = &self.secrets {
            request = request.header("Signature", secrets.active.sign(&delivery.body));
        }
        if self.settings.extra_headers {
            request = self.with_extra_headers(request, &delivery, event, url);
        }
        match request.body(delivery.body).send().await {
            Ok(answer) => {
                let outcome = meaning(answer.status(), answer.headers(), &self.settings.retry_statuses, delivery.now);
                drain(answer).await;
                outcome
            }
            // It was not refused by its receiver: nothing is put aside for that.
            Err(error) => match unanswered(&error) {
                Outcome::Failed { reason, .. } => failed(Cause::Temporary, reason),
                other => other,
            },
        }
    }

    /// Facts about the delivery, which no receiver by the contract is disturbed by (paysafe.md 8.1).
    fn with_extra_headers(
        &self,
        request: RequestBuilder,
        delivery: &Delivery,
        event: EventType,
        url: &Url,
    ) -> RequestBuilder {
        let id = delivery.message_id.to_string();
        let timestamp = delivery.now.0.div_euclid(Micros::SECOND);
        let mut request = request
            .header("X-Event-Id", &id)
            .header("X-Event-Type", event.as_str())
            .header("X-Delivery-Id", delivery_id(url, &id))
            .header("X-Delivery-Attempt", delivery.attempt);
        request = delivery.trace_fields().fold(request, |request, (name, value)| request.header(name, value));
        if let Some(secrets) = &self.secrets {
            let all = [Some(&secrets.active), secrets.next.as_ref()].into_iter().flatten();
            let signatures: Vec<String> =
                all.map(|secret| secret.sign_with_time(&id, timestamp, &delivery.body)).collect();
            request = request
                .header("webhook-id", &id)
                .header("webhook-timestamp", timestamp)
                .header("webhook-signature", signatures.join(" "));
        }
        request
    }
}

impl Destination for Endpoint {
    fn send(&self, delivery: Delivery) -> BoxFuture<'_, Outcome> {
        Box::pin(self.attempt(delivery))
    }
}

/// The same for every attempt to deliver one event to one endpoint.
fn delivery_id(url: &Url, event: &str) -> String {
    let mut digest = Sha256::new();
    digest.update(url.as_str());
    digest.update(b"\0");
    digest.update(event);
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(digest.finalize()).for_each(|(byte, drawn)| *byte = drawn);
    uuid::Builder::from_custom_bytes(bytes).into_uuid().hyphenated().to_string()
}

/// What a status means (paysafe.md 2.3). Nobody says that it is gone, and nothing but a 4xx is a refusal.
fn meaning(status: StatusCode, headers: &HeaderMap, retry_statuses: &[u16], now: Micros) -> Outcome {
    let cause = match status.as_u16() {
        200..=299 => return Outcome::Delivered,
        429 | 503 => Cause::Throttled,
        408 | 425 => Cause::Temporary,
        other @ 400..=499 if !retry_statuses.contains(&other) => Cause::Refused,
        _ => Cause::Temporary, // redirects too: they are not followed
    };
    let retry_after_s = asked_for_s(headers, now);
    Outcome::Failed { reason: format!("answered {}", status.as_u16()), retry_after_s, cause }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_mean_what_the_table_says() {
        let meaning = |status: u16, listed: &[u16]| {
            meaning(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), listed, Micros(0))
        };
        for status in [200, 201, 202, 204, 299] {
            assert_eq!(meaning(status, &[]), Outcome::Delivered, "{status}");
        }
        for (cause, statuses) in [
            (Cause::Throttled, &[429, 503][..]),
            (Cause::Temporary, &[301, 302, 307, 308, 408, 425, 500, 501, 502, 504, 599]),
            (Cause::Refused, &[400, 401, 403, 404, 405, 409, 410, 413, 415, 422]),
        ] {
            for status in statuses {
                let expected = Outcome::Failed { reason: format!("answered {status}"), retry_after_s: None, cause };
                assert_eq!(meaning(*status, &[]), expected, "{status}");
            }
        }
        let listed = Outcome::Failed { reason: "answered 409".into(), retry_after_s: None, cause: Cause::Temporary };
        assert_eq!(meaning(409, &[409]), listed);
    }

    #[test]
    fn a_delivery_is_of_one_event_to_one_endpoint() {
        let (one, other) = ("https://a.example/".parse().unwrap(), "https://b.example/".parse().unwrap());
        assert_eq!(delivery_id(&one, "e"), delivery_id(&one, "e"));
        assert_ne!(delivery_id(&one, "e"), delivery_id(&other, "e"));
        assert_ne!(delivery_id(&one, "e"), delivery_id(&one, "f"));
    }
}
