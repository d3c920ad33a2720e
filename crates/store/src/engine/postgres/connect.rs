//! Connections and their settings.

use std::sync::{Arc, Once};
use std::time::Duration;

use postgres::config::{Config, SslMode, TargetSessionAttrs};
use postgres::{Client, NoTls};
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error;
use crate::StoreOptions;
use crate::fault::{self, Fault, FaultKind};

/// Unless the URL says otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A silent connection is asked whether the other side still lives.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;

/// Makes connections that are all alike.
///
/// `sslmode` of the URL: `disable` speaks in clear; `prefer` (the default) encrypts if the server offers it with a
/// certificate that holds, else speaks in clear, as it protects from onlookers only; `require` encrypts and checks
/// certificate and name against the system's roots (`SSL_CERT_FILE` names others).
pub(super) struct Connector {
    config: Config,
    tls: Option<MakeRustlsConnect>,
    settings: String,
    warn_once: Once,
}

impl Connector {
    pub(super) fn new(url: &str, options: &StoreOptions) -> Result<Self, Fault> {
        // After a failover the address, or one of several, may for a while be that of a server that only reads. A connection to
        // it would be kept for good, and be of no use.
        Self::to(url, options, TargetSessionAttrs::ReadWrite)
    }

    /// To a server that only reads.
    pub(super) fn of_standby(url: &str, options: &StoreOptions) -> Result<Self, Fault> {
        Self::to(url, options, TargetSessionAttrs::ReadOnly)
    }

    fn to(url: &str, options: &StoreOptions, attributes: TargetSessionAttrs) -> Result<Self, Fault> {
        let unusable = |_| Fault::new(FaultKind::Unavailable, "the PostgreSQL URL does not parse");
        let mut config: Config = url.parse().map_err(unusable)?;
        if config.get_application_name().is_none() {
            config.application_name("keyherald");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_keepalives_interval().is_none() && config.get_keepalives_retries().is_none() {
            config.keepalives_idle(KEEPALIVE_IDLE);
            config.keepalives_interval(KEEPALIVE_INTERVAL).keepalives_retries(KEEPALIVE_RETRIES);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(KEEPALIVE_IDLE + KEEPALIVE_INTERVAL * KEEPALIVE_RETRIES);
        }
        config.target_session_attrs(attributes);
        let tls = if config.get_ssl_mode() == SslMode::Disable { None } else { Some(tls()?) };
        Ok(Self { config, tls, settings: settings(options), warn_once: Once::new() })
    }

    /// A new connection. Blocks; not on a thread of the async runtime.
    pub(super) fn connect(&self) -> Result<Client, Fault> {
        let mut client = self.connect_as_asked().map_err(|cause| error::fault_at_connect(&cause))?;
        client.batch_execute(&self.settings).map_err(|cause| error::fault_at_connect(&cause))?;
        Ok(client)
    }

    fn connect_as_asked(&self) -> Result<Client, postgres::Error> {
        let Some(tls) = &self.tls else { return self.config.connect(NoTls) };
        match self.config.connect(tls.clone()) {
            // The server itself said no: it would say the same in clear.
            Err(cause) if cause.as_db_error().is_some() => Err(cause),
            Err(cause) if self.config.get_ssl_mode() == SslMode::Prefer => {
                let Ok(client) = self.config.clone().ssl_mode(SslMode::Disable).connect(NoTls) else {
                    return Err(cause);
                };
                self.warn_once.call_once(|| {
                    let error = fault::chain(&cause);
                    tracing::warn!(error, "PostgreSQL is spoken to in clear, as TLS failed; see sslmode=require");
                });
                Ok(client)
            }
            connected => connected,
        }
    }
}

/// The limits of a session. A lock gives up before its statement does, so that contention is told from slowness.
fn settings(options: &StoreOptions) -> String {
    let statement_ms = options.statement_timeout.as_millis().max(2);
    // Our statements are short; a long filter would be compiled for seconds to run for a moment.
    format!(
        "SET jit = off; SET statement_timeout = {statement_ms}; SET lock_timeout = {}; SET idle_in_transaction_session_timeout = {}",
        statement_ms / 2,
        statement_ms * 4
    )
}

fn tls() -> Result<MakeRustlsConnect, Fault> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Fault::caused(FaultKind::Internal, "cannot set up TLS", error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}
