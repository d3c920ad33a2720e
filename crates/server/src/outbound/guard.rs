//! Which addresses we connect to: none inside our own network, unless the operator says so.
//!
//! Subscribers name the hosts that we call, so a name may lead to a database, a metadata service or our own loopback
//! (server-side request forgery). The guard stands after name resolution, as the HTTP client's resolver: it refuses a
//! name if **any** of its addresses is not a public unicast one, and the client connects to the very addresses that were
//! checked, so a name that changes its answer between check and connection (DNS rebinding) gains nothing. Hosts that are
//! addresses already never see a resolver; [`Guard::check_host`] is asked about them before each request.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Addresses that a name may have at most; more is not a receiver but an attack.
const ADDRESSES_MAX: usize = 64;

/// A host that must not be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the host's address is not a public one")]
pub struct NotPublic;

/// What the operator allows beyond public addresses.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    allowed: Vec<IpNet>,
    allow_all: bool,
}

impl Guard {
    /// Public addresses, and those in `allowed`.
    pub fn new(allowed: Vec<IpNet>) -> Self {
        Self { allowed, allow_all: false }
    }

    /// Every address: for development.
    pub fn open() -> Self {
        Self { allowed: Vec::new(), allow_all: true }
    }

    /// Whether this address may be connected to.
    pub fn permits(&self, address: IpAddr) -> bool {
        // An IPv4 address in IPv6 clothes is looked at as what it is.
        let address = address.to_canonical();
        self.allow_all || self.allowed.iter().any(|net| net.contains(&address)) || is_public(address)
    }

    /// Checks the host of a URL, if it is an address. Names are checked when they are resolved.
    pub fn check_host(&self, url: &url::Url) -> Result<(), NotPublic> {
        let address = match url.host() {
            Some(url::Host::Ipv4(address)) => IpAddr::V4(address),
            Some(url::Host::Ipv6(address)) => IpAddr::V6(address),
            Some(url::Host::Domain(_)) | None => return Ok(()),
        };
        if self.permits(address) { Ok(()) } else { Err(NotPublic) }
    }

    /// Lets `addresses` through if each of them may be connected to.
    pub fn check(&self, addresses: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, NotPublic> {
        let all = addresses.len() <= ADDRESSES_MAX && addresses.iter().all(|address| self.permits(address.ip()));
        if all { Ok(addresses) } else { Err(NotPublic) }
    }
}

const fn v4(bytes: [u8; 4], length: u8) -> Ipv4Net {
    let [a, b, c, d] = bytes;
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}

const fn v6(first: u16, second: u16, length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(first, second, 0, 0, 0, 0, 0, 0), length)
}

/// IPv4 ranges that are not public unicast (IANA's special-purpose registry, and multicast).
static NOT_PUBLIC_V4: [Ipv4Net; 15] = [
    v4([0, 0, 0, 0], 8),
    v4([10, 0, 0, 0], 8),
    v4([100, 64, 0, 0], 10),
    v4([127, 0, 0, 0], 8),
    v4([169, 254, 0, 0], 16), // with the metadata services of the clouds
    v4([172, 16, 0, 0], 12),
    v4([192, 0, 0, 0], 24),
    v4([192, 0, 2, 0], 24),
    v4([192, 88, 99, 0], 24),
    v4([192, 168, 0, 0], 16),
    v4([198, 18, 0, 0], 15),
    v4([198, 51, 100, 0], 24),
    v4([203, 0, 113, 0], 24),
    v4([224, 0, 0, 0], 4),
    v4([240, 0, 0, 0], 4),
];

/// Global unicast IPv6. What lies outside (loopback, link-local, unique local, multicast, mapped) is not public.
static GLOBAL_V6: Ipv6Net = v6(0x2000, 0, 3);

/// Ranges within it that are not.
static NOT_PUBLIC_V6: [Ipv6Net; 3] = [
    // IETF protocol assignments, with Teredo, benchmarking and ORCHID. The few routable ones in it are no receivers.
    v6(0x2001, 0, 23),
    v6(0x2001, 0xdb8, 32),
    v6(0x3fff, 0, 20),
];

static NAT64: Ipv6Net = v6(0x64, 0xff9b, 96);
static SIX_TO_FOUR: Ipv6Net = v6(0x2002, 0, 16);

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !NOT_PUBLIC_V4.iter().any(|net| net.contains(&address))
}

/// Addresses that carry an IPv4 address lead there, through a translator or a tunnel: they are as public as it is.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [_, s1, s2, .., s6, s7] = address.segments();
    let embedded = |high: u16, low: u16| is_public_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    if NAT64.contains(&address) {
        return embedded(s6, s7);
    }
    if SIX_TO_FOUR.contains(&address) {
        return embedded(s1, s2);
    }
    GLOBAL_V6.contains(&address) && !NOT_PUBLIC_V6.iter().any(|net| net.contains(&address))
}

/// The addresses that an operator wrote down in a URL: no name has to be trusted for them.
pub fn addresses_in(url: &url::Url) -> Vec<IpNet> {
    match url.host() {
        Some(url::Host::Ipv4(address)) => vec![IpAddr::V4(address).into()],
        Some(url::Host::Ipv6(address)) => vec![IpAddr::V6(address).into()],
        Some(url::Host::Domain("localhost")) => {
            ["127.0.0.0/8", "::1/128"].iter().filter_map(|net| net.parse().ok()).collect()
        }
        Some(url::Host::Domain(_)) | None => Vec::new(),
    }
}

/// Where addresses of names come from: the system, or a script in tests.
pub trait Lookup: Send + Sync + 'static {
    /// All addresses of `host`.
    fn lookup(&self, host: String) -> BoxFuture<'static, std::io::Result<Vec<SocketAddr>>>;
}

/// The system's resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemLookup;

impl Lookup for SystemLookup {
    fn lookup(&self, host: String) -> BoxFuture<'static, std::io::Result<Vec<SocketAddr>>> {
        // The port is the connector's to fill in.
        Box::pin(async move { Ok(tokio::net::lookup_host((host, 0)).await?.take(ADDRESSES_MAX + 1).collect()) })
    }
}

/// The HTTP client's resolver: looks up, then asks the guard.
#[derive(Clone)]
pub struct GuardedResolver {
    guard: Guard,
    lookup: Arc<dyn Lookup>,
}

impl GuardedResolver {
    /// A resolver that lets through what `guard` permits.
    pub fn new(guard: Guard, lookup: Arc<dyn Lookup>) -> Self {
        Self { guard, lookup }
    }
}

impl fmt::Debug for GuardedResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedResolver").field("guard", &self.guard).finish_non_exhaustive()
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let Self { guard, lookup } = self.clone();
        Box::pin(async move {
            let addresses = guard.check(lookup.lookup(name.as_str().to_owned()).await?)?;
            Ok::<Addrs, _>(Box::new(addresses.into_iter()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: &[&str] = &[
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2606:4700:4700::1111",
        "2001:4860:4860::8888",
        "2a00:1450:4001:81b::200e",
        "2400:cb00::1",
        "64:ff9b::808:808",
        "2002:808:808::1",
        "::ffff:8.8.8.8",
    ];

    const NOT_PUBLIC: &[&str] = &[
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "10.255.255.255",
        "100.64.0.0",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.0.1",
        "192.168.255.255",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::2",
        "::127.0.0.1",
        "::8.8.8.8",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:0:127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::808:808",
        "100::1",
        "2001::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2001:2::1",
        "2001:10::1",
        "2001:20::1",
        "2001:db8::1",
        "2002:7f00:1::1",
        "2002:a00:1::1",
        "2002:a9fe:a9fe::",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fdff:ffff::1",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "ff00::1",
        "ff02::1",
        "ff0e::1",
        "4000::1",
    ];

    #[test]
    fn only_public_unicast_addresses_are_permitted() {
        let guard = Guard::default();
        for address in PUBLIC {
            assert!(guard.permits(address.parse().unwrap()), "{address}");
        }
        for address in NOT_PUBLIC {
            assert!(!guard.permits(address.parse().unwrap()), "{address}");
            assert!(Guard::open().permits(address.parse().unwrap()), "{address}");
        }
        assert!(PUBLIC.len() + NOT_PUBLIC.len() >= 60);
    }

    #[test]
    fn the_operator_can_allow_a_network() {
        let guard = Guard::new(vec!["10.1.0.0/16".parse().unwrap(), "fd00:1::/32".parse().unwrap()]);
        for address in ["10.1.2.3", "::ffff:10.1.2.3", "fd00:1::5", "8.8.8.8"] {
            assert!(guard.permits(address.parse().unwrap()), "{address}");
        }
        for address in ["10.2.0.1", "fd00:2::1", "127.0.0.1"] {
            assert!(!guard.permits(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn addresses_in_urls_are_recognised_in_every_spelling() {
        let guard = Guard::default();
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "0177.0.0.1",
            "017700000001",
            "127.0.0.1.",
            "%31%32%37.0.0.1",
            "１２７.0.0.1",
            "169.254.169.254",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[0:0:0:0:0:0:0:1]",
        ] {
            let url = url::Url::parse(&format!("https://{host}/hook")).unwrap();
            assert_eq!(guard.check_host(&url), Err(NotPublic), "{host}");
        }
        for host in ["example.com", "8.8.8.8", "[2606:4700:4700::1111]"] {
            let url = url::Url::parse(&format!("https://{host}/hook")).unwrap();
            assert_eq!(guard.check_host(&url), Ok(()), "{host}");
        }
    }

    #[test]
    fn one_private_address_refuses_the_name() {
        let address = |text: &str| SocketAddr::new(text.parse().unwrap(), 0);
        let guard = Guard::default();
        assert!(guard.check(vec![address("8.8.8.8"), address("1.1.1.1")]).is_ok());
        assert_eq!(guard.check(vec![address("8.8.8.8"), address("10.0.0.1")]), Err(NotPublic));
        assert_eq!(guard.check(vec![address("8.8.8.8"); ADDRESSES_MAX + 1]), Err(NotPublic));
    }
}
