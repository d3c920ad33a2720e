//! A webhook receiver: reads each delivery to its end, and answers what the handler says.

use std::future::Future;
use std::io;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use keyherald_core::signature::WebhookSecret;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Longest body that is read.
const BODY_MAX: usize = 256 * 1024;

/// A delivery, as it came in.
#[derive(Default)]
pub struct Delivery {
    /// Where it was sent.
    pub path: String,
    /// `webhook-id`.
    pub id: String,
    /// `signature`.
    pub body_signature: String,
    pub timestamp: i64,
    pub signature: String,
    /// The very bytes.
    pub body: Bytes,
}

impl Delivery {
    /// Whether the signature fits, checked as any receiver would: over the bytes that came.
    pub fn is_signed_with(&self, secret: &WebhookSecret) -> bool {
        secret.verify(&self.id, self.timestamp, &self.body, &self.signature)
    }
}

/// What the sender gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// This status.
    Status(u16),
    /// This status, with `Retry-After` in seconds.
    RetryAfter(u16, u32),
    /// Nothing: the connection is closed.
    Hangup,
}

/// Serves until it is dropped. If the sender goes away, the handler is dropped where it waits.
pub async fn serve<F>(listener: TcpListener, handler: impl Fn(Delivery) -> F + Clone + Send + Sync + 'static)
where
    F: Future<Output = Reply> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let _gone = stream.set_nodelay(true);
        let handler = handler.clone();
        let service = service_fn(move |request| {
            let handler = handler.clone();
            async move {
                let delivery = read(request).await?;
                answer(handler(delivery).await)
            }
        });
        connections.spawn(async move {
            // An error is a hang-up: the sender's, or ours.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn read(request: Request<Incoming>) -> io::Result<Delivery> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, BODY_MAX).collect().await.map_err(io::Error::other)?.to_bytes();
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let timestamp = header("webhook-timestamp").parse().unwrap_or_default();
    Ok(Delivery {
        path: head.uri.path().to_owned(),
        id: header("webhook-id").into(),
        body_signature: header("signature").into(),
        timestamp,
        signature: header("webhook-signature").into(),
        body,
    })
}

fn answer(reply: Reply) -> io::Result<Response<Empty<Bytes>>> {
    let response = match reply {
        Reply::Status(status) => Response::builder().status(status),
        Reply::RetryAfter(status, seconds) => Response::builder().status(status).header("retry-after", seconds),
        Reply::Hangup => return Err(io::ErrorKind::ConnectionAborted.into()),
    };
    response.body(Empty::new()).map_err(io::Error::other)
}
