//! One attempt at a webhook, and what its answer means.

use std::error::Error;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::BoxFuture;
use keyherald_core::Micros;
use keyherald_core::delivery::{Cause, Outcome};
use keyherald_core::signature::WebhookSecret;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use url::Url;

use crate::destination::{Context, Delivery, Destination};
use crate::outbound::guard::{Guard, NotPublic};

/// How much of an answer is read, so that its connection can be used again. Nothing of it is kept.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// A webhook that is called.
pub(super) struct Endpoint {
    url: Url,
    secret: WebhookSecret,
    http: reqwest::Client,
    guard: Guard,
    timeout: Duration,
}

impl Endpoint {
    pub(super) fn new(url: Url, secret: WebhookSecret, context: &Context) -> Self {
        let (http, guard) = (context.http.clone(), context.policy.guard.clone());
        Self { url, secret, http, guard, timeout: context.attempt_timeout }
    }

    async fn attempt(&self, delivery: Delivery) -> Outcome {
        // An address as host never reaches the client's resolver.
        if self.guard.check_host(&self.url).is_err() {
            return failed(Cause::Refused, NotPublic.to_string());
        }
        let now = delivery.now;
        // The same id at every attempt; time and signature are this attempt's.
        let id = format!("msg_{}", delivery.message_id.uuid().simple());
        let timestamp = now.0.div_euclid(Micros::SECOND);
        let signature = self.secret.sign(&id, timestamp, &delivery.body);
        let request = self
            .http
            .post(self.url.clone())
            .timeout(self.timeout)
            .header(CONTENT_TYPE, delivery.content_type)
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature)
            .body(delivery.body);
        match request.send().await {
            Ok(answer) => {
                let outcome = meaning(answer.status(), answer.headers(), now);
                drain(answer).await;
                outcome
            }
            Err(error) => unanswered(&error),
        }
    }
}

impl Destination for Endpoint {
    fn send(&self, delivery: Delivery) -> BoxFuture<'_, Outcome> {
        Box::pin(self.attempt(delivery))
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
    let asked = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after_s = asked.and_then(|text| retry_after_s(text, now));
    Outcome::Failed { reason: format!("answered {}", status.as_u16()), retry_after_s, cause }
}

/// `Retry-After`: seconds, or a date. `None`: neither.
fn retry_after_s(text: &str, now: Micros) -> Option<u32> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(text.parse().unwrap_or(u32::MAX));
    }
    let at = httpdate::parse_http_date(text).ok()?;
    let now = UNIX_EPOCH.checked_add(Duration::from_micros(u64::try_from(now.0).ok()?))?;
    let wait = SystemTime::duration_since(&at, now).unwrap_or_default();
    // Rounded up: a moment too late is polite, a moment too early is not.
    Some(u32::try_from(wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).unwrap_or(u32::MAX))
}

async fn drain(mut answer: Response) {
    let mut left = ANSWER_BYTES_MAX;
    while let Ok(Some(chunk)) = answer.chunk().await {
        match left.checked_sub(chunk.len()) {
            Some(rest) => left = rest,
            None => return, // the connection is closed with the answer
        }
    }
}

/// No answer: the message may have arrived or not. The reason names no address.
fn unanswered(error: &reqwest::Error) -> Outcome {
    let mut source: Option<&dyn Error> = Some(error);
    while let Some(inner) = source {
        if inner.is::<NotPublic>() {
            return failed(Cause::Refused, NotPublic.to_string());
        }
        if inner.is::<rustls::Error>() {
            return failed(Cause::Temporary, "no TLS connection".to_owned());
        }
        source = inner.source();
    }
    let reason = if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "no connection"
    } else {
        "the connection broke"
    };
    failed(Cause::Temporary, reason.to_owned())
}

fn failed(cause: Cause, reason: String) -> Outcome {
    Outcome::Failed { reason, retry_after_s: None, cause }
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

    #[test]
    fn retry_after_has_two_forms() {
        let now = Micros::parse_iso("2026-11-22T10:00:00.500Z").unwrap();
        for (text, expected) in [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("99999999999999999999", Some(u32::MAX)),
            ("Sun, 22 Nov 2026 10:01:00 GMT", Some(60)),
            ("Sun, 22 Nov 2026 09:00:00 GMT", Some(0)),
            ("-5", None),
            ("soon", None),
            ("", None),
            ("1.5", None),
        ] {
            assert_eq!(retry_after_s(text, now), expected, "{text:?}");
        }
    }
}
