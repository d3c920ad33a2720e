//! Where a request comes from.
//!
//! Behind a proxy every connection is the proxy's. A proxy that is trusted is believed what it says of who is behind it, and
//! nobody else: else whoever is limited by address could make one up.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;
use ipnet::IpNet;

const FORWARDED_FOR: &str = "X-Forwarded-For";

/// The address that a request comes from; an extension of every request that came by a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

impl Peer {
    /// Who is behind the trusted proxies: the last address of `X-Forwarded-For` that is none of them. What stands before
    /// that, anybody can have written.
    #[must_use]
    pub fn behind(self, trusted: &[IpNet], headers: &HeaderMap) -> Self {
        let is_trusted = |address: IpAddr| trusted.iter().any(|net| net.contains(&address.to_canonical()));
        let mut peer = self.0.to_canonical();
        let lines: Vec<&str> = headers.get_all(FORWARDED_FOR).iter().map(|line| line.to_str().unwrap_or("")).collect();
        for told in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
            let Some(address) = address(told).filter(|_| is_trusted(peer)) else { break };
            peer = address;
        }
        Self(peer)
    }
}

/// An address, as some proxies write it with a port.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let with_port = || text.parse::<SocketAddr>().map(|address| address.ip());
    bare.parse::<IpAddr>().or_else(|_| with_port()).ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn behind(peer: &str, lines: &[&str]) -> String {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, line.parse().unwrap());
        }
        Peer(peer.parse().unwrap()).behind(&trusted, &headers).0.to_string()
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        assert_eq!(behind("198.51.100.7", &["203.0.113.9"]), "198.51.100.7");
        assert_eq!(behind("10.0.0.1", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(behind("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(behind("::ffff:10.0.0.1", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(behind("fd00::1", &["[2001:db8::7]:4711"]), "2001:db8::7");
    }

    #[test]
    fn what_a_client_has_written_is_not_believed() {
        // The client wrote the first, our outer proxy added the client's own, our inner one the outer one's.
        assert_eq!(behind("10.0.0.1", &["192.0.2.1, 203.0.113.9, 10.0.0.2"]), "203.0.113.9");
        assert_eq!(behind("10.0.0.1", &["192.0.2.1", "203.0.113.9:4711", "10.0.0.2"]), "203.0.113.9");
        assert_eq!(behind("10.0.0.1", &["10.0.0.3, 203.0.113.9"]), "203.0.113.9");
    }

    #[test]
    fn what_is_no_address_ends_the_search() {
        for line in ["unknown", "", "203.0.113.9, _hidden", "203.0.113.9,"] {
            assert_eq!(behind("10.0.0.1", &[line]), "10.0.0.1", "{line}");
        }
        assert_eq!(behind("10.0.0.1", &["x, 10.0.0.2"]), "10.0.0.2");
    }
}
