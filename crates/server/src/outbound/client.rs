//! The one way to make an HTTP client for calls to other systems.

use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect;
use rustls::client::WantsClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};

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
    /// Whom it trusts and who it says it is; `None`: the system's roots, and nobody.
    pub tls: Option<ClientConfig>,
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
        .tls_backend_preconfigured(settings.tls.clone().map_or_else(system_tls, Ok)?)
        .build()?;
    Ok(client)
}

/// TLS with ring and the system's roots. A system without roots is no reason not to start: plain HTTP on a developer's
/// machine needs none, and every `https` attempt says what is missing.
fn system_tls() -> Result<ClientConfig, rustls::Error> {
    Ok(with_protocols(trusting(system_roots())?.with_no_client_auth()))
}

/// TLS with files of the operator's, in PEM.
///
/// `roots`: trust these alone; `None`: the system's. `identity`: a certificate chain and its key, shown to servers that
/// ask for one.
pub fn own_tls(roots: Option<&[u8]>, identity: Option<(&[u8], &[u8])>) -> Result<ClientConfig, NoTls> {
    let roots = match roots {
        None => system_roots(),
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(pem)? {
                roots.add(certificate)?;
            }
            roots
        }
    };
    let config = trusting(roots)?;
    let config = match identity {
        None => config.with_no_client_auth(),
        Some((chain, key)) => {
            let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| NoTls::Pem)?;
            config.with_client_auth_cert(certificates(chain)?, key)?
        }
    };
    Ok(with_protocols(config))
}

/// Why files of the operator's cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NoTls {
    /// A file holds no certificate or no key.
    #[error("a file does not hold what it should in PEM form")]
    Pem,
    /// What it holds cannot be used.
    #[error("a certificate or key cannot be used")]
    Tls(#[from] rustls::Error),
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, NoTls> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|_| NoTls::Pem)?;
    if found.is_empty() { Err(NoTls::Pem) } else { Ok(found) }
}

fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        tracing::warn!("no root certificates found on this system: calls to https URLs will fail");
    }
    roots
}

fn trusting(roots: RootCertStore) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots))
}

fn with_protocols(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}
