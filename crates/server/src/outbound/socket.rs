//! Connections to other systems that do not speak HTTP: through the same guard, with the same TLS.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Host;

use super::client::{NoTls, own_tls};
use super::guard::{Guard, Lookup, NotPublic, SystemLookup};

/// A connection, secured or not.
pub trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for S {}

/// Why there is no connection. Names neither host nor address.
#[derive(Debug, thiserror::Error)]
pub enum NoConnection {
    /// The guard does not permit it.
    #[error(transparent)]
    NotPublic(#[from] NotPublic),
    /// The name is not known, or nobody answers.
    #[error("no connection")]
    Io(#[from] io::Error),
}

/// Connects to `host` if each of its addresses is permitted: to the very addresses that were checked, one after the other.
pub async fn connect(guard: &Guard, host: &Host<String>, port: u16) -> Result<TcpStream, NoConnection> {
    let found = match host {
        Host::Domain(name) => SystemLookup.lookup(name.clone()).await?,
        Host::Ipv4(address) => vec![SocketAddr::new(IpAddr::V4(*address), 0)],
        Host::Ipv6(address) => vec![SocketAddr::new(IpAddr::V6(*address), 0)],
    };
    let addresses: Vec<_> = guard.check(found)?.iter().map(|address| SocketAddr::new(address.ip(), port)).collect();
    let stream = TcpStream::connect(&*addresses).await?;
    // Small requests that each wait for an answer.
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// TLS for such connections; see [`own_tls`].
pub fn tls(roots: Option<&[u8]>, identity: Option<(&[u8], &[u8])>) -> Result<TlsConnector, NoTls> {
    let mut config = own_tls(roots, identity)?;
    config.alpn_protocols.clear(); // those of HTTP
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Secures a connection to `host`, whose name its certificate must have.
pub async fn secure(stream: TcpStream, host: &Host<String>, tls: &TlsConnector) -> io::Result<Box<dyn Stream>> {
    let name = match host {
        Host::Domain(name) => ServerName::try_from(name.clone()).map_err(io::Error::other)?,
        Host::Ipv4(address) => ServerName::from(IpAddr::V4(*address)),
        Host::Ipv6(address) => ServerName::from(IpAddr::V6(*address)),
    };
    Ok(Box::new(tls.connect(name, stream).await?))
}
