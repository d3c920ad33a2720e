//! One signed request, and its answer.

use std::time::Duration;

use keyherald_core::Micros;
use keyherald_core::delivery::{Cause, Outcome};
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use url::Url;

use super::access::Keys;
use super::fault;
use crate::connector::sigv4::{Signer, Unsigned};
use crate::destination::Context;
use crate::destination::answer::{asked_for_s, failed, unanswered};
use crate::outbound::guard::{Guard, NotPublic};

/// Most of an answer that is read, in bytes. What AWS says is shorter.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// A service of AWS's at one place.
pub(in crate::destination) struct Service {
    /// Its name in signatures.
    name: &'static str,
    region: String,
    /// Where requests go.
    at: Url,
    keys: Keys,
    http: reqwest::Client,
    guard: Guard,
    timeout: Duration,
}

/// What it has answered.
pub(in crate::destination) struct Answered {
    pub(in crate::destination) status: StatusCode,
    headers: HeaderMap,
    pub(in crate::destination) body: String,
    now: Micros,
}

impl Service {
    pub(in crate::destination) fn new(
        (name, region): (&'static str, &str),
        (at, keys): (Url, Keys),
        context: &Context,
    ) -> Self {
        let (http, guard) = (context.http.clone(), context.policy.guard.clone());
        Self { name, region: region.to_owned(), at, keys, http, guard, timeout: context.attempt_timeout }
    }

    /// Sends `body` with these headers, which are signed too. Without a whole answer nobody knows what became of it.
    pub(in crate::destination) async fn post(
        &self,
        headers: &[(&str, &str)],
        body: String,
        now: Micros,
    ) -> Result<Answered, Outcome> {
        // A host that is an address never sees the client's resolver.
        if self.guard.check_host(&self.at).is_err() {
            return Err(failed(Cause::Refused, NotPublic.to_string()));
        }
        let headers: Vec<(String, String)> =
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let request = self.http.post(self.at.clone()).timeout(self.timeout);
        let request = self
            .signing(&headers, &body, now)
            .into_iter()
            .fold(request, |request, (name, value)| request.header(name, value));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(name, value));
        let mut answer = request.body(body).send().await.map_err(|error| unanswered(&error))?;
        let (status, headers, mut read) = (answer.status(), answer.headers().clone(), Vec::new());
        while let Some(chunk) = answer.chunk().await.map_err(|error| unanswered(&error))? {
            if read.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(failed(Cause::Temporary, "the answer has no end".to_owned()));
            }
            read.extend_from_slice(&chunk);
        }
        Ok(Answered { status, headers, body: String::from_utf8_lossy(&read).into_owned(), now })
    }

    fn signing(&self, headers: &[(String, String)], body: &str, now: Micros) -> Vec<(&'static str, String)> {
        let signer = Signer {
            access_key_id: &self.keys.access_key_id,
            secret_access_key: &self.keys.secret_access_key,
            session_token: self.keys.session_token.as_ref().map(|token| token.as_str()),
            region: &self.region,
            service: self.name,
            now,
        };
        let host = self.at.host_str().unwrap_or_default();
        let host = self.at.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let (path, body) = (self.at.path(), body.as_bytes());
        signer.sign(&Unsigned { method: "POST", host: &host, path, query: "", headers, body })
    }
}

impl Answered {
    /// What an answer means that does not say that the message was taken.
    pub(in crate::destination) fn failure(&self) -> Outcome {
        if self.status.is_success() {
            return failed(Cause::Temporary, "what answered is not the service".to_owned());
        }
        let (code, text) = fault::read(&self.headers, &self.body);
        fault::outcome(Some(self.status), &code, &text, self.asked_for_s())
    }

    /// What the code means that one entry of a request was refused with.
    pub(in crate::destination) fn refused_entry(&self, code: &str, text: &str) -> Outcome {
        fault::outcome(None, code, text, self.asked_for_s())
    }

    fn asked_for_s(&self) -> Option<u32> {
        asked_for_s(&self.headers, self.now)
    }
}
