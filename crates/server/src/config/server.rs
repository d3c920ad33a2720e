//! `[server]`: where it listens, and the limits of a connection and a request.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

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
            cors: Cors::default(),
            body_bytes_max: 1024 * 1024,
            header_bytes_max: 16 * 1024,
            headers_max: 100,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(15),
            request_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            connections_max: 10_000,
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
        keys.section("cors", &mut self.cors);
        keys.within("body_bytes_max", &mut self.body_bytes_max, 1024..=64 * 1024 * 1024);
        keys.within("header_bytes_max", &mut self.header_bytes_max, 1024..=256 * 1024);
        keys.within("headers_max", &mut self.headers_max, 20..=1000);
        keys.within("header_timeout", &mut self.header_timeout, shortest..=hour);
        keys.within("body_timeout", &mut self.body_timeout, shortest..=hour);
        keys.within("request_timeout", &mut self.request_timeout, shortest..=hour);
        keys.within("idle_timeout", &mut self.idle_timeout, shortest..=hour);
        keys.within("connections_max", &mut self.connections_max, 1..=1_000_000);
        keys.within("shutdown_delay", &mut self.shutdown_delay, Duration::ZERO..=hour);
        keys.within("shutdown_grace", &mut self.shutdown_grace, Duration::ZERO..=hour);
        if self.body_timeout > self.request_timeout {
            keys.refuse("body_timeout", "is longer than request_timeout, which would end the request first", None);
        }
    }
}
