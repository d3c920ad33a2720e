//! The identity provider that operations are measured with: as much of Auth0 as setting a password needs (providers.md
//! 1), which takes its time for every call, and notes how much that was.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::Result;

/// A running provider. Ends when it is dropped.
pub struct Provider {
    pub url: String,
    noted: Arc<Noted>,
    _serving: JoinSet<()>,
}

#[derive(Default)]
struct Noted {
    /// How often each user's password was set.
    resets: Mutex<HashMap<String, u64>>,
    /// Time that calls took here for which an answer waits, in microseconds.
    busy_us: AtomicU64,
}

impl Provider {
    /// Every call but that for an access token takes this long.
    pub async fn start(takes: Duration) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let noted = Arc::new(Noted::default());
        let mut serving = JoinSet::new();
        let shared = noted.clone();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let noted = shared.clone();
                connections.spawn(async move {
                    let answer = service_fn(move |request: Request<Incoming>| answer(noted.clone(), takes, request));
                    // The end of a connection is its client's business.
                    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await);
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { url, noted, _serving: serving })
    }

    /// Milliseconds that calls have taken here so far.
    pub fn busy_ms(&self) -> f64 {
        Duration::from_micros(self.noted.busy_us.load(Ordering::Relaxed)).as_secs_f64() * 1e3
    }
}

async fn answer(
    noted: Arc<Noted>,
    takes: Duration,
    request: Request<Incoming>,
) -> std::result::Result<Response<http_body_util::Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    if path == "/oauth/token" {
        return Ok(said(&json!({"access_token": "bench", "token_type": "Bearer", "expires_in": 86_400})));
    }
    let begun = Instant::now();
    sleep(takes).await;
    let user = path.trim_start_matches("/api/v2/users/").trim_end_matches("/revoke-access").replace("%7C", "|");
    let mut resets = noted.resets.lock().unwrap_or_else(PoisonError::into_inner);
    let count = resets.entry(user.clone()).or_default();
    *count += u64::from(request.method() == Method::PATCH);
    let said = said(&json!({
        "user_id": user, "last_password_reset": count.to_string(),
        "identities": [{"connection": "bench", "provider": "auth0", "user_id": user, "isSocial": false}],
    }));
    // Sessions are ended after the answer.
    if !path.ends_with("/revoke-access") {
        let took = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        noted.busy_us.fetch_add(took, Ordering::Relaxed);
    }
    Ok(said)
}

fn said(body: &Value) -> Response<http_body_util::Full<Bytes>> {
    let mut response = Response::new(http_body_util::Full::new(Bytes::from(body.to_string())));
    response.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static("application/json"));
    response
}
