//! What a source, a customer or everybody together may do in a while. The buckets are rows, so that all nodes share them.

use std::net::IpAddr;

use ipnet::IpNet;
use keyherald_core::Ctx;
use keyherald_core::id::CustomerId;
use keyherald_core::limit::Rate;
use keyherald_store::{Fault, Tx, limit};

use super::{Answer, App};

/// What became of a call that has a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limited<T = ()> {
    /// It was done.
    Done(T),
    /// Whoever calls has called too often. Nothing was looked at.
    TooMany {
        /// Seconds after which it is worth another try.
        retry_after_s: u32,
    },
}

impl App {
    /// Seconds after which there is one again in the first bucket that is empty; `None`: one was taken out of each. In a
    /// transaction of its own, before anybody is looked for.
    pub(super) async fn over_rate(&self, buckets: Vec<(String, Rate)>, ctx: &Ctx) -> Answer<Option<u32>> {
        let ring = self.ring.clone();
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            for (name, rate) in &buckets {
                if let Err(exceeded) = limit::take(tx, &ring, name, *rate, ctx.now)? {
                    return Ok(Some(exceeded.retry_after_s(ctx.now)));
                }
            }
            Ok::<_, Fault>(None)
        };
        Ok(self.store.write(ctx, work).await?)
    }
}

/// The bucket of a source address. Whoever has none shares one.
pub(super) fn of_source(what: &str, project: &str, source: Option<IpAddr>) -> String {
    let source = source.and_then(network).map_or_else(|| "unknown".to_owned(), |network| network.addr().to_string());
    format!("{what} {project} {source}")
}

/// What one subscriber has: an address, or in IPv6 the 64 bits behind which there are more addresses than can be counted.
fn network(address: IpAddr) -> Option<IpNet> {
    let address = address.to_canonical();
    let length = if address.is_ipv4() { 32 } else { 64 };
    IpNet::new(address, length).ok().map(|network| network.trunc())
}

/// The bucket of a customer.
pub(super) fn of_customer(what: &str, project: &str, customer: CustomerId) -> String {
    format!("{what} {project} {customer}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_what_one_subscriber_has() {
        let bucket = |address: &str| of_source("begin", "demo", address.parse().ok());
        assert_eq!(bucket("203.0.113.7"), "begin demo 203.0.113.7");
        assert_ne!(bucket("203.0.113.7"), bucket("203.0.113.8"));
        assert_eq!(bucket("::ffff:203.0.113.7"), bucket("203.0.113.7"));
        assert_eq!(bucket("2001:db8:1:2::3"), bucket("2001:db8:1:2:ffff::4"));
        assert_ne!(bucket("2001:db8:1:2::3"), bucket("2001:db8:1:3::3"));
        assert_eq!(bucket("none"), "begin demo unknown");
    }
}
