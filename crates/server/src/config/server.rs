//! `[server]`: where it listens, and the limits of a connection and a request.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use url::Url;

use super::cors::Cors;
use super::keys::{Keys, Section};

/// `[server]`
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// Address to listen on. Port 0: any free one.
    pub listen: SocketAddr,
    /// The URL under which clients reach the server, for links and event sources. Absent: made from `listen`.
    pub public_url: Option<Url>,
    /// The first word of the paths of recovery pages: `/{recovery_prefix}/{projectKey}`.
    pub recovery_prefix: String,
    /// Where the paths of Paysafe's contract begin.
    pub paysafe_prefix: String,
    /// Proxies that are believed whom they speak for, in `X-Forwarded-For`.
    pub trusted_proxies: Vec<IpNet>,
    /// Which web pages may call from a browser.
    pub cors: Cors,
    /// Longest request body.
    pub body_bytes_max: usize,
    /// Longest request head: request line and headers.
    pub header_bytes_max: usize,
    /// Most header lines of a request.
    pub headers_max: usize,
    /// Time for the first request's head on a new connection.
    pub header_timeout: Duration,
    /// Time for a request's body.
    pub body_timeout: Duration,
    /// Time for the whole request, until the answer begins.
    pub request_timeout: Duration,
    /// How long a connection may wait for its next request. Longer than a load balancer's own limit (often 60 s), so
    /// that it is the load balancer that closes.
    pub idle_timeout: Duration,
    /// Most open connections; further ones wait to be accepted.
    pub connections_max: usize,
    /// Most requests that wait for messages at the same time, and streams of them.
    pub feed_readers_max: usize,
    /// At shutdown, how long `/health/ready` says no before the server stops accepting: what the load balancer needs
    /// to notice.
    pub shutdown_delay: Duration,
    /// At shutdown, how long requests and deliveries in progress may take.
    pub shutdown_grace: Duration,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            public_url: None,
            recovery_prefix: "recover".to_owned(),
            paysafe_prefix: "/digitalwallets/v1".to_owned(),
            trusted_proxies: Vec::new(),
            cors: Cors::default(),
            body_bytes_max: 1024 * 1024,
            header_bytes_max: 16 * 1024,
            headers_max: 100,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(15),
            request_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            connections_max: 10_000,
            feed_readers_max: 500,
            shutdown_delay: Duration::ZERO,
            shutdown_grace: Duration::from_secs(25),
        }
    }
}

impl Section for Server {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        let (shortest, hour) = (Duration::from_millis(10), Duration::from_hours(1));
        keys.value("listen", &mut self.listen);
        keys.optional("public_url", &mut self.public_url);
        keys.value("recovery_prefix", &mut self.recovery_prefix);
        keys.value("paysafe_prefix", &mut self.paysafe_prefix);
        keys.list("trusted_proxies", &mut self.trusted_proxies, 0..=100);
        keys.section("cors", &mut self.cors);
        keys.within("body_bytes_max", &mut self.body_bytes_max, 1024..=64 * 1024 * 1024);
        keys.within("header_bytes_max", &mut self.header_bytes_max, 1024..=256 * 1024);
        keys.within("headers_max", &mut self.headers_max, 20..=1000);
        keys.within("header_timeout", &mut self.header_timeout, shortest..=hour);
        keys.within("body_timeout", &mut self.body_timeout, shortest..=hour);
        keys.within("request_timeout", &mut self.request_timeout, shortest..=hour);
        keys.within("idle_timeout", &mut self.idle_timeout, shortest..=hour);
        keys.within("connections_max", &mut self.connections_max, 1..=1_000_000);
        keys.within("feed_readers_max", &mut self.feed_readers_max, 0..=100_000);
        keys.within("shutdown_delay", &mut self.shutdown_delay, Duration::ZERO..=hour);
        keys.within("shutdown_grace", &mut self.shutdown_grace, Duration::ZERO..=hour);
        let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !is_path(&self.paysafe_prefix) {
            keys.refuse(
                "paysafe_prefix",
                "must be a path such as \"/digitalwallets/v1\", of a-z, A-Z, 0-9, - and _",
                None,
            );
        }
        if !(2..=36).contains(&self.recovery_prefix.len()) || !self.recovery_prefix.bytes().all(is_word) {
            keys.refuse("recovery_prefix", "must be 2 to 36 of a-z, 0-9 and -", None);
        }
        if self.body_timeout > self.request_timeout {
            keys.refuse("body_timeout", "is longer than request_timeout, which would end the request first", None);
        }
    }
}

/// `/word` or `/word/word`.., at most 100 bytes. Below `/v1` alone there would be nothing that is not the contract's.
fn is_path(text: &str) -> bool {
    let is_word =
        |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    text.len() <= 100 && text != "/v1" && text.strip_prefix('/').is_some_and(|words| words.split('/').all(is_word))
}
