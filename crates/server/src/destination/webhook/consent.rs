//! The handshake against abuse of the CloudEvents webhook specification (standards.md 3.5): a receiver is asked, by `OPTIONS`,
//! whether it wants to hear from this server, and how often. What was agreed is kept in memory: another process asks again.

use std::sync::atomic::{AtomicU32, Ordering};

use keyherald_core::Micros;
use keyherald_core::delivery::{Cause, Outcome};
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use url::Url;

use crate::destination::answer::{drain, failed, unanswered};

/// How long a consent holds before it is asked for again, in microseconds.
const CONSENT_LIFE: i64 = Micros::DAY;
/// How long a refusal is remembered, in microseconds: many messages may wait for one answer.
const REFUSAL_LIFE: i64 = Micros::MINUTE;

/// Whether a receiver is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Handshake {
    /// It is not.
    #[default]
    Off,
    /// It is, and gets its messages whatever it says.
    Optional,
    /// It is, and gets nothing until it consents.
    Required,
}

impl Handshake {
    /// The spellings of a draft.
    pub(super) const WORDS: [(&'static str, Self); 3] =
        [("off", Self::Off), ("optional", Self::Optional), ("required", Self::Required)];

    pub(super) fn is_off(self) -> bool {
        self == Self::Off
    }
}

/// What a receiver has been asked, and has answered.
pub(super) struct Consent {
    is_required: bool,
    /// Who asks: the name of this server.
    origin: String,
    /// How many requests a minute it is asked for.
    rate: Option<u32>,
    answer: Mutex<Option<Answer>>,
    /// How many requests a minute it allows; 0: it has set no limit.
    allowed: AtomicU32,
}

#[derive(Clone, Copy)]
struct Answer {
    at: Micros,
    is_consent: bool,
}

impl Consent {
    pub(super) fn new(is_required: bool, origin: String, rate: Option<u32>) -> Self {
        Self { is_required, origin, rate, answer: Mutex::default(), allowed: AtomicU32::new(0) }
    }

    /// The value of `WebHook-Request-Origin`.
    pub(super) fn origin(&self) -> &str {
        &self.origin
    }

    /// How many requests a minute the receiver allows.
    pub(super) fn allowed(&self) -> Option<u32> {
        Some(self.allowed.load(Ordering::Relaxed)).filter(|allowed| *allowed > 0)
    }

    /// Asks, unless it is known. An error if nothing may be sent now.
    pub(super) async fn obtain(&self, http: &reqwest::Client, url: &Url, now: Micros) -> Result<(), Outcome> {
        let mut answer = self.answer.lock().await; // the others wait for the answer to this one
        if !answer.is_some_and(|answer| answer.holds(now)) {
            match self.ask(http, url).await {
                Ok(headers) => *answer = Some(Answer { at: now, is_consent: self.read(&headers) }),
                Err(error) if self.is_required => return Err(unanswered(&error)),
                Err(_) => *answer = Some(Answer { at: now, is_consent: false }),
            }
        }
        match *answer {
            Some(Answer { is_consent: false, .. }) if self.is_required => {
                Err(failed(Cause::Refused, "it has not consented".to_owned()))
            }
            _ => Ok(()),
        }
    }

    async fn ask(&self, http: &reqwest::Client, url: &Url) -> Result<HeaderMap, reqwest::Error> {
        let mut request = http.request(Method::OPTIONS, url.clone()).header("webhook-request-origin", &self.origin);
        if let Some(rate) = self.rate {
            request = request.header("webhook-request-rate", rate);
        }
        let answer = request.send().await?;
        let headers = answer.headers().clone();
        drain(answer).await;
        Ok(headers)
    }

    /// Whether it consents, and how often it may be called. The status says nothing.
    fn read(&self, headers: &HeaderMap) -> bool {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        let is_consent = text("webhook-allowed-origin")
            .is_some_and(|origin| origin == "*" || origin.eq_ignore_ascii_case(&self.origin));
        // `*`, or no number: no limit besides the subscription's own.
        let allowed = text("webhook-allowed-rate").and_then(|rate| rate.parse().ok()).filter(|_| is_consent);
        self.allowed.store(allowed.unwrap_or(0), Ordering::Relaxed);
        is_consent
    }
}

impl Answer {
    fn holds(self, now: Micros) -> bool {
        let life = if self.is_consent { CONSENT_LIFE } else { REFUSAL_LIFE };
        now < self.at.plus(life)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(headers: &[(&'static str, &str)]) -> (bool, Option<u32>) {
        let consent = Consent::new(true, "id.example.com".to_owned(), None);
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        (consent.read(&headers), consent.allowed())
    }

    #[test]
    fn consent_is_a_header_and_nothing_else() {
        assert_eq!(read(&[]), (false, None));
        assert_eq!(read(&[("webhook-allowed-rate", "100")]), (false, None));
        assert_eq!(read(&[("webhook-allowed-origin", "other.example.com")]), (false, None));
        assert_eq!(read(&[("webhook-allowed-origin", "*")]), (true, None));
        assert_eq!(read(&[("webhook-allowed-origin", "ID.example.com")]), (true, None));
        for (rate, allowed) in [("120", Some(120)), ("*", None), ("0", None), ("-1", None), ("many", None)] {
            let headers = [("webhook-allowed-origin", "id.example.com"), ("webhook-allowed-rate", rate)];
            assert_eq!(read(&headers), (true, allowed), "{rate}");
        }
    }

    #[test]
    fn a_consent_holds_for_a_day_and_a_refusal_for_a_minute() {
        for (is_consent, life) in [(true, Micros::DAY), (false, Micros::MINUTE)] {
            let answer = Answer { at: Micros(5), is_consent };
            assert!(answer.holds(Micros(5 + life - 1)) && !answer.holds(Micros(5 + life)));
        }
    }
}
