//! Providers' rates that all nodes share: a bucket of the store for each provider.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use keyherald_core::Micros;
use keyherald_core::limit::Rate;
use keyherald_core::seal::KeyRing;
use keyherald_store::{Store, limit};

use crate::clock::Moments;
use crate::config;
use crate::connector::SharedRate;

/// What other nodes share.
pub struct Shared {
    pub store: Store,
    pub ring: Arc<KeyRing>,
    pub moments: Moments,
}

impl Shared {
    /// The rate of a provider.
    pub fn rate(&self, provider: &str, limits: &config::ProviderLimits) -> Arc<dyn SharedRate> {
        let one = Micros::SECOND / i64::from(limits.rps.max(1));
        Arc::new(ProviderRate {
            store: self.store.clone(),
            ring: self.ring.clone(),
            moments: self.moments.clone(),
            bucket: format!("provider {provider}"),
            rate: Rate { count: limits.burst, per: one.saturating_mul(i64::from(limits.burst.max(1))) },
        })
    }
}

struct ProviderRate {
    store: Store,
    ring: Arc<KeyRing>,
    moments: Moments,
    bucket: String,
    rate: Rate,
}

impl SharedRate for ProviderRate {
    fn book(&self, requests: u32, wait_max: i64) -> BoxFuture<'_, Option<Result<i64, Micros>>> {
        let (ring, bucket, rate, ctx) = (self.ring.clone(), self.bucket.clone(), self.rate, self.moments.ctx());
        Box::pin(async move {
            // A transaction of its own: what is limited must not wait for what is done.
            let booked = self
                .store
                .write(&ctx, move |tx, ctx| limit::book(tx, (&ring, &bucket), rate, ctx.now, (requests, wait_max)))
                .await;
            match booked {
                Ok(booked) => Some(booked.map_err(|exceeded| exceeded.free_at)),
                Err(fault) => {
                    tracing::debug!(
                        ?fault,
                        "a provider's rate among all nodes cannot be told: this node keeps its own"
                    );
                    None
                }
            }
        })
    }
}
