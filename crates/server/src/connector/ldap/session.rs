//! Connections to a directory: made, secured, kept for the next call, and given up when anything went wrong on them.
//!
//! `ldap3` speaks the protocol. What it would do by itself is done here instead, where it matters: names are resolved and
//! checked by the guard before anything is connected to, certificates are checked as everywhere else, a connection is
//! driven by the call that uses it rather than by a task of its own, and an answer that does not parse ends the
//! connection, not the caller.

use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use ldap3::{LdapConnAsync, LdapConnSettings, StdStream};
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use url::Url;

use crate::connector::call::{CannotCall, Fault, Net};
use crate::outbound::client::own_tls;
use crate::outbound::guard::{Guard, Lookup, SystemLookup};

/// How long a connection is kept for the next call. Directories close idle ones after some minutes.
const IDLE_MAX: Duration = Duration::from_mins(1);

/// The connection broke, or what came over it made no sense. What was asked on it may have been done.
#[derive(Debug)]
pub(super) struct Lost;

/// A connection to the directory.
pub(super) struct Session {
    ldap: ldap3::Ldap,
    /// What moves the bytes. `None`: the connection has ended.
    driver: Option<BoxFuture<'static, ()>>,
}

impl Session {
    /// Does one operation and waits for its answer. Time is the caller's to limit: an operation that is dropped may
    /// have been done, and the session is of no use any more.
    pub async fn run<T>(
        &mut self,
        operation: impl AsyncFnOnce(&mut ldap3::Ldap) -> ldap3::result::Result<T>,
    ) -> Result<T, Lost> {
        let Self { ldap, driver } = self;
        let mut driving = driver.take().ok_or(Lost)?;
        // `ldap3` panics where an answer is not what it should be. Nothing outlives that here but the error.
        let work = AssertUnwindSafe(async {
            let mut operation = std::pin::pin!(operation(ldap));
            tokio::select! {
                biased;
                done = &mut operation => (done, Some(driving)),
                // The last answer may have come together with the end: then it is there already.
                () = &mut driving => (operation.await, None),
            }
        });
        let (done, driving) = work.catch_unwind().await.map_err(|_| Lost)?;
        let value = done.map_err(|_| Lost)?;
        *driver = driving;
        Ok(value)
    }

    /// Whether the other side has not hung up.
    fn lives(&mut self) -> bool {
        self.driver.as_mut().is_some_and(|driving| driving.now_or_never().is_none())
    }
}

struct Idle {
    session: Session,
    since: Instant,
}

/// The way to one directory.
pub(super) struct Directory {
    url: Url,
    guard: Guard,
    starttls: bool,
    tls: Option<Arc<ClientConfig>>,
    connect_timeout: Duration,
    idle: Mutex<Vec<Idle>>,
    idle_max: usize,
}

impl Directory {
    /// At `ldaps://host`, `ldap://host` (with StartTLS, or in the open), or `ldapi://%2Fpath%2Fof%2Fsocket`.
    pub fn new(url: &Url, starttls: bool, net: &Net) -> Result<Self, CannotCall> {
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(CannotCall::NoHost)?;
        let guard = if net.allow_private { Guard::open() } else { Guard::new(own_address(host)) };
        let tls = match url.scheme() {
            "ldapi" => None,
            "ldap" if !starttls => None,
            _ => {
                let mut tls = net.tls.clone().map_or_else(|| own_tls(None, None), Ok)?;
                tls.alpn_protocols.clear();
                Some(Arc::new(tls))
            }
        };
        Ok(Self {
            url: url.clone(),
            guard,
            starttls,
            tls,
            connect_timeout: net.connect_timeout,
            idle: Mutex::new(Vec::new()),
            idle_max: net.idle_max,
        })
    }

    /// A connection from before that still lives.
    pub fn kept(&self) -> Option<Session> {
        loop {
            let Idle { mut session, since } = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
            if since.elapsed() < IDLE_MAX && session.lives() {
                return Some(session);
            }
        }
    }

    /// Keeps a connection for the next call.
    pub fn keep(&self, session: Session) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.idle_max && session.driver.is_some() {
            idle.push(Idle { session, since: Instant::now() });
        }
    }

    /// A new connection, secured, on which nobody has signed in yet. Nothing was asked of the directory before.
    pub async fn connect(&self) -> Result<Session, Fault> {
        let connecting = AssertUnwindSafe(timeout(self.connect_timeout, Box::pin(self.connected()))).catch_unwind();
        connecting.await.unwrap_or(Ok(Err(Fault::Reset))).unwrap_or(Err(Fault::TimeoutBeforeSend))
    }

    async fn connected(&self) -> Result<Session, Fault> {
        let mut settings = LdapConnSettings::new().set_starttls(self.starttls);
        if let Some(tls) = &self.tls {
            settings = settings.set_config(tls.clone());
        }
        if self.url.scheme() != "ldapi" {
            let stream = TcpStream::connect(self.addresses().await?.as_slice()).await.map_err(|_| Fault::Connect)?;
            settings = settings.set_std_stream(StdStream::Tcp(stream.into_std().map_err(|_| Fault::Connect)?));
        }
        let opening = LdapConnAsync::from_url_with_settings(settings, &self.url).await;
        let (connection, ldap) = opening.map_err(|_| if self.tls.is_some() { Fault::Tls } else { Fault::Connect })?;
        let driver = AssertUnwindSafe(connection.drive()).catch_unwind().map(drop).boxed();
        Ok(Session { ldap, driver: Some(driver) })
    }

    /// The checked addresses of the host.
    async fn addresses(&self) -> Result<Vec<SocketAddr>, Fault> {
        let host = self.url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let port = self.url.port().unwrap_or(if self.url.scheme() == "ldaps" { 636 } else { 389 });
        let mut addresses = SystemLookup.lookup(host.to_owned()).await.map_err(|_| Fault::Dns)?;
        for address in &mut addresses {
            address.set_port(port);
        }
        self.guard.check(addresses).map_err(|_| Fault::Forbidden)
    }
}

/// An address that an operator wrote down may always be connected to. In URLs of LDAP it is read as a mere name.
fn own_address(host: &str) -> Vec<ipnet::IpNet> {
    let loopback = || ["127.0.0.0/8", "::1/128"].iter().filter_map(|net| net.parse().ok()).collect();
    match host.trim_matches(['[', ']']) {
        "localhost" => loopback(),
        host => host.parse::<IpAddr>().map(Into::into).into_iter().collect(),
    }
}
