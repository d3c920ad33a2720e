//! One request to a provider and its answer, with every limit that such a call has.
//!
//! What matters about a call that failed is whether the provider may have got it: [`Fault::was_sent`]. A connector reads
//! status, headers and body; this is where the wire ends.

use std::error::Error;
use std::time::Duration;

use keyherald_core::provider::ProviderError;
use keyherald_core::trace::TraceContext;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Response};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};
use url::Url;
use zeroize::Zeroizing;

use super::limited::count_request;
use super::{ADMISSION, HAND_OVER};
use crate::outbound::client::{ClientSettings, NoClient, NoTls, http_client};
use crate::outbound::guard::{Guard, NotPublic, addresses_in};
use crate::trace;

/// How a provider is reached.
#[derive(Clone)]
pub struct Net {
    /// Time to resolve and connect.
    pub connect_timeout: Duration,
    /// Time for one request, until its answer is complete. Includes connecting.
    pub total_timeout: Duration,
    /// Longest answer in bytes; a longer one counts as none.
    pub response_bytes_max: usize,
    /// Hosts that may be called besides those of the provider's own URLs. Every other one is refused.
    pub allowed_hosts: Vec<String>,
    /// Whether names may lead to private addresses. An address that stands in the configuration itself always may.
    pub allow_private: bool,
    /// Whether the provider may be spoken to without TLS.
    pub allow_insecure_http: bool,
    /// Whom to trust and who to be; `None`: the system's roots, and nobody.
    pub tls: Option<rustls::ClientConfig>,
    /// Idle connections kept.
    pub idle_max: usize,
}

impl Default for Net {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(2),
            total_timeout: Duration::from_secs(10),
            response_bytes_max: 256 * 1024,
            allowed_hosts: Vec::new(),
            allow_private: false,
            allow_insecure_http: false,
            tls: None,
            idle_max: 16,
        }
    }
}

/// Why a provider cannot be called as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum CannotCall {
    /// A URL is not `https`.
    #[error("its URL must begin with https://; plain HTTP needs allow_insecure_http = true")]
    Insecure,
    /// A URL without a host.
    #[error("its URL names no host")]
    NoHost,
    /// A search filter that is none.
    #[error("its filter is no LDAP filter, such as (objectClass=inetOrgPerson)")]
    Filter,
    /// What should be a key is none, for this reason.
    #[error("{0}")]
    Key(&'static str),
    /// The HTTP client cannot be built.
    #[error(transparent)]
    Client(#[from] NoClient),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] NoTls),
    /// What it knows us by cannot be used.
    #[error(transparent)]
    Access(#[from] super::NoAccess),
}

/// What makes the calls to one provider.
pub(super) struct Caller {
    http: reqwest::Client,
    guard: Guard,
    hosts: Vec<String>,
    net: Net,
}

/// A request, as far as it differs from others.
pub(super) struct Request {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Zeroizing<Vec<u8>>,
}

impl Request {
    pub fn new(method: Method, url: Url) -> Self {
        Self { method, url, headers: HeaderMap::new(), body: Zeroizing::default() }
    }

    /// With a header whose value is kept out of logs. One that cannot be a header's value is left out.
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(mut value) = HeaderValue::from_str(value) {
            value.set_sensitive(true);
            self.headers.insert(name, value);
        }
        self
    }

    pub fn body(mut self, media_type: &'static str, body: String) -> Self {
        self.headers.insert(reqwest::header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        self.body = Zeroizing::new(body.into_bytes());
        self
    }

    pub fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }
}

/// A complete answer. No `Debug`: it holds personal data.
pub(super) struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Zeroizing<Vec<u8>>,
}

impl Answer {
    /// The body as JSON; `Null` when it is something else.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A header's text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Why there is no complete answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The address is not one that we call.
    Forbidden,
    /// The name does not resolve.
    Dns,
    /// No connection.
    Connect,
    /// No TLS on the connection.
    Tls,
    /// No connection in time.
    TimeoutBeforeSend,
    /// Sent, and no complete answer in time.
    TimeoutAfterSend,
    /// The connection broke after it was made.
    Reset,
    /// The answer is longer than allowed.
    TooLarge,
    /// The answer is not the JSON that it should be.
    BadJson,
}

impl Fault {
    /// Whether the provider may have got the request.
    pub fn was_sent(self) -> bool {
        matches!(self, Self::TimeoutAfterSend | Self::Reset | Self::TooLarge | Self::BadJson)
    }

    /// What it means for a call that may change something.
    pub(super) fn of_write(self) -> ProviderError {
        if self.was_sent() { ProviderError::Ambiguous } else { self.of_read() }
    }

    /// What it means for a call that changes nothing.
    pub(super) fn of_read(self) -> ProviderError {
        if self == Self::Forbidden { ProviderError::Misconfigured } else { ProviderError::Transient }
    }
}

/// Until when the requests of one call may be started.
#[derive(Clone, Copy)]
pub(super) struct Deadline(Instant);

impl Deadline {
    /// Of a call whose turn has come.
    pub fn of_call() -> Self {
        Self(Instant::now() + HAND_OVER.saturating_sub(ADMISSION))
    }

    /// Waits for what comes before the request proper. [`ProviderError::Transient`] when it takes too long.
    pub async fn before<T>(self, work: impl Future<Output = Result<T, ProviderError>>) -> Result<T, ProviderError> {
        timeout_at(self.0, work).await.unwrap_or(Err(ProviderError::Transient))
    }

    /// Whether it has passed.
    pub fn has_passed(self) -> bool {
        Instant::now() >= self.0
    }
}

impl Caller {
    /// Calls the hosts of `urls`, and those that `net` allows.
    pub fn new(urls: &[&Url], net: &Net) -> Result<Self, CannotCall> {
        let mut hosts: Vec<String> = net.allowed_hosts.iter().map(|host| host.to_lowercase()).collect();
        let mut named = Vec::new();
        for url in urls {
            if url.scheme() != "https" && !net.allow_insecure_http {
                return Err(CannotCall::Insecure);
            }
            named.extend(addresses_in(url));
            hosts.push(url.host_str().ok_or(CannotCall::NoHost)?.to_owned());
        }
        let guard = if net.allow_private { Guard::open() } else { Guard::new(named) };
        let http = http_client(&ClientSettings {
            guard: guard.clone(),
            connect_timeout: net.connect_timeout,
            attempt_timeout: net.total_timeout,
            idle_max: net.idle_max,
            tls: net.tls.clone(),
        })?;
        Ok(Self { http, guard, hosts, net: net.clone() })
    }

    /// Sends one request and reads its whole answer. Never repeats it, follows no redirect.
    pub async fn send(&self, request: Request, deadline: Deadline) -> Result<Answer, Fault> {
        let host_is_known = request.url.host_str().is_some_and(|host| self.hosts.iter().any(|known| known == host));
        let scheme_is_allowed = request.url.scheme() == "https" || self.net.allow_insecure_http;
        if !host_is_known || !scheme_is_allowed || self.guard.check_host(&request.url).is_err() {
            return Err(Fault::Forbidden);
        }
        if deadline.has_passed() {
            return Err(Fault::TimeoutBeforeSend);
        }
        count_request();
        let Request { method, url, mut headers, body } = request;
        in_trace(&mut headers);
        let sent = self.http.request(method, url).headers(headers).body(body.to_vec()).send().await;
        let answer = sent.map_err(|error| fault_of(&error))?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = read(answer, self.net.response_bytes_max).await?;
        Ok(Answer { status, headers, body })
    }
}

/// Tells the provider in which trace it is called, unless the call says so itself. Comes after signatures, which must not cover
/// it: proxies put a place of their own there.
fn in_trace(headers: &mut HeaderMap) {
    for (name, value) in trace::context().iter().flat_map(TraceContext::fields) {
        if let (false, Ok(value)) = (headers.contains_key(name), HeaderValue::try_from(value)) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}

async fn read(mut answer: Response, bytes_max: usize) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let mut body = Zeroizing::new(Vec::new());
    loop {
        match answer.chunk().await {
            Ok(Some(chunk)) if body.len().saturating_add(chunk.len()) > bytes_max => return Err(Fault::TooLarge),
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(body),
            Err(error) if error.is_timeout() => return Err(Fault::TimeoutAfterSend),
            Err(_) => return Err(Fault::Reset),
        }
    }
}

fn fault_of(error: &reqwest::Error) -> Fault {
    if error.is_builder() {
        return Fault::Forbidden;
    }
    if !error.is_connect() {
        return if error.is_timeout() { Fault::TimeoutAfterSend } else { Fault::Reset };
    }
    let mut source: Option<&dyn Error> = Some(error);
    while let Some(inner) = source {
        if inner.is::<NotPublic>() {
            return Fault::Forbidden;
        }
        if inner.is::<rustls::Error>() {
            return Fault::Tls;
        }
        if inner.to_string().contains("dns error") {
            return Fault::Dns;
        }
        source = inner.source();
    }
    if error.is_timeout() { Fault::TimeoutBeforeSend } else { Fault::Connect }
}

#[cfg(test)]
mod tests {
    use crate::trace::{Kind, Tracer};

    use super::*;

    #[tokio::test]
    async fn a_call_is_in_the_trace_of_who_makes_it_unless_it_says_otherwise() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let span = Tracer::default().begin(Kind::Server, "request", parent.parse().ok().as_ref());
        let own = HeaderMap::from_iter([(HeaderName::from_static("traceparent"), HeaderValue::from_static("own"))]);
        for (mut headers, expected) in [(HeaderMap::new(), parent), (own, "own")] {
            span.here().within(async { in_trace(&mut headers) }).await;
            assert_eq!(headers.get("traceparent").unwrap(), expected);
        }
        let mut headers = HeaderMap::new();
        in_trace(&mut headers);
        assert!(headers.is_empty(), "without a trace there is none to tell of");
    }
}
