//! The receiver: writes down when which message came, and accepts it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use keyherald_core::signature::WebhookSecret;
use serde_json::Value;
use tokio::time::sleep;

use crate::Result;
use crate::black_box::receiver::{Delivery, Reply};
use crate::load::Customer;

/// The key that deliveries are signed with.
pub const SECRET: &str = "whsec_a2V5aGVyYWxkIGJlbmNobWFyaywgbm90IGEgc2VjcmV0";
/// Longest wait for a message.
const PATIENCE: Duration = Duration::from_secs(20);

/// What came. Cheap to clone: all clones are one.
#[derive(Clone)]
pub struct Receipts {
    secret: WebhookSecret,
    first: Arc<Mutex<HashMap<(String, i64), Instant>>>,
}

impl Receipts {
    /// Nothing has come.
    pub fn new() -> Result<Self> {
        Ok(Self { secret: WebhookSecret::parse(SECRET)?, first: Arc::default() })
    }

    /// What the receiver does with a delivery.
    pub fn take(&self, delivery: &Delivery) -> Reply {
        let at = Instant::now();
        if !delivery.is_signed_with(&self.secret) {
            return Reply::Status(401);
        }
        let json: Value = serde_json::from_slice(&delivery.body).unwrap_or_default();
        let resource = json.pointer("/resource/id").and_then(Value::as_str).unwrap_or_default();
        let sequence = json.get("sequenceNumber").and_then(Value::as_i64).unwrap_or_default();
        self.first().entry((resource.to_owned(), sequence)).or_insert(at);
        Reply::Status(204)
    }

    /// When this message came.
    pub async fn wait_for(&self, resource: &str, sequence: i64) -> Result<Instant> {
        let begun = Instant::now();
        let key = (resource.to_owned(), sequence);
        loop {
            if let Some(at) = self.first().get(&key) {
                return Ok(*at);
            }
            if begun.elapsed() > PATIENCE {
                return Err(format!("message {sequence} about {resource} did not come").into());
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits for the last message about each of these.
    pub async fn wait_for_all(&self, customers: &[Customer]) -> Result<()> {
        for customer in customers {
            self.wait_for(&customer.id, customer.version).await?;
        }
        Ok(())
    }

    fn first(&self) -> MutexGuard<'_, HashMap<(String, i64), Instant>> {
        // A poisoned map is still a map.
        self.first.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
