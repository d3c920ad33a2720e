//! The one HTTP client for calls to addresses that subscribers name.

use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect;
use rustls::{ClientConfig, RootCertStore};

use super::guard::{Guard, GuardedResolver, Lookup, SystemLookup};

/// How the client connects.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// Which addresses it may connect to.
    pub guard: Guard,
    /// Time to resolve and connect.
    pub connect_timeout: Duration,
    /// Time for one request, until the answer is complete.
    pub attempt_timeout: Duration,
    /// Idle connections kept per host.
    pub idle_max: usize,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum NoClient {
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
    /// The client cannot be built.
    #[error("the HTTP client cannot be built")]
    Http(#[from] reqwest::Error),
}

/// A client that connects only where the guard permits, follows no redirect and knows no proxy.
pub fn http_client(settings: &ClientSettings) -> Result<reqwest::Client, NoClient> {
    http_client_with(settings, Arc::new(SystemLookup))
}

/// The same with another source of addresses.
pub fn http_client_with(settings: &ClientSettings, lookup: Arc<dyn Lookup>) -> Result<reqwest::Client, NoClient> {
    let client = reqwest::Client::builder()
        .user_agent(concat!("Keyherald/", env!("CARGO_PKG_VERSION")))
        .dns_resolver(GuardedResolver::new(settings.guard.clone(), lookup))
        .redirect(redirect::Policy::none())
        .referer(false)
        .no_proxy() // a proxy from the environment would connect for us, past the guard
        .connect_timeout(settings.connect_timeout)
        .timeout(settings.attempt_timeout)
        .pool_max_idle_per_host(settings.idle_max)
        // Shorter than the five seconds after which common servers close: a request on a connection that is just being
        // closed fails, and waits for its retry.
        .pool_idle_timeout(Duration::from_secs(4))
        .tls_backend_preconfigured(tls()?)
        .build()?;
    Ok(client)
}

/// TLS with ring and the system's roots. A system without roots is no reason not to start: plain HTTP on a developer's
/// machine needs none, and every `https` attempt says what is missing.
fn tls() -> Result<ClientConfig, rustls::Error> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        tracing::warn!("no root certificates found on this system: deliveries to https URLs will fail");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
