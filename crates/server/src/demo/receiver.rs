//! The story's receiver: takes what is sent to it, as it came.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use keyherald_core::signature::WebhookSecret;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::life::TaskResult;

/// A delivery, as it came in.
pub struct Receipt {
    /// When.
    pub at: Instant,
    /// `webhook-id`.
    id: String,
    /// `webhook-timestamp`.
    timestamp: i64,
    /// `webhook-signature`.
    signature: String,
    /// `signature`.
    body_signature: String,
    /// The very bytes.
    body: Bytes,
}

impl Receipt {
    /// Whether the signature fits, checked as any receiver would: over the bytes that came.
    pub fn is_signed_with(&self, secret: &WebhookSecret) -> bool {
        secret.verify(&self.id, self.timestamp, &self.body, &self.signature)
    }

    /// The header `Signature`.
    pub fn body_signature(&self) -> &str {
        &self.body_signature
    }

    /// The body's bytes.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// Serves the receiver until it is dropped.
pub async fn serve(listener: Arc<TcpListener>, arrived: mpsc::Sender<Receipt>) -> TaskResult {
    let take = move |headers: HeaderMap, body: Bytes| {
        let arrived = arrived.clone();
        async move {
            let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
            let receipt = Receipt {
                at: Instant::now(),
                id: header("webhook-id"),
                timestamp: header("webhook-timestamp").parse().unwrap_or_default(),
                signature: header("webhook-signature"),
                body_signature: header("signature"),
                body,
            };
            if arrived.send(receipt).await.is_ok() { StatusCode::NO_CONTENT } else { StatusCode::SERVICE_UNAVAILABLE }
        }
    };
    let router = Router::new().fallback(post(take));
    Ok(axum::serve(Shared(listener), router).await?)
}

/// A listener that a restarted task can take up again.
struct Shared(Arc<TcpListener>);

impl axum::serve::Listener for Shared {
    type Io = tokio::net::TcpStream;
    type Addr = std::net::SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            if let Ok(accepted) = self.0.accept().await {
                return accepted;
            }
            tokio::task::yield_now().await;
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

/// The receiver as the story sees it.
pub struct Receiver {
    /// Where messages are to be sent.
    pub url: String,
    receipts: mpsc::Receiver<Receipt>,
}

impl Receiver {
    /// Reads from `receipts`.
    pub fn new(url: String, receipts: mpsc::Receiver<Receipt>) -> Self {
        Self { url, receipts }
    }

    /// The next delivery, if one comes in time.
    pub async fn next(&mut self) -> Option<Receipt> {
        tokio::time::timeout(super::PATIENCE, self.receipts.recv()).await.ok().flatten()
    }

    /// A delivery that has come and was not looked at.
    pub fn left_over(&mut self) -> Option<Receipt> {
        self.receipts.try_recv().ok()
    }
}
