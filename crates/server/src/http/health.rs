//! `/health/live` and `/health/ready`, for whoever runs the server.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::IntoResponse;
use axum::routing::get;
use serde_json::json;

use crate::life::Readiness;

/// What this process does: shown where it is asked whether it is ready.
#[derive(Clone)]
pub struct About {
    /// `all`, `api` or `relay`.
    pub role: &'static str,
    /// How many of the 64 partitions it delivers at the moment.
    pub partitions: Arc<dyn Fn() -> u32 + Send + Sync>,
}

/// Live: the process answers. Ready: it wants requests; otherwise 503 with its reasons.
pub fn health(readiness: Readiness, about: About) -> Router {
    Router::new()
        .route("/health/live", get(|| async { answer(StatusCode::OK, &json!({ "status": "live" })) }))
        .route("/health/ready", get(|| async move { ready(&readiness, &about) }))
}

fn ready(readiness: &Readiness, about: &About) -> impl IntoResponse + use<> {
    let reasons = readiness.reasons();
    if reasons.is_empty() {
        let body = json!({ "status": "ready", "role": about.role, "partitions": (about.partitions)() });
        return answer(StatusCode::OK, &body);
    }
    let reasons: Vec<_> = reasons.into_iter().map(|(name, text)| json!({ "name": name, "text": text })).collect();
    answer(StatusCode::SERVICE_UNAVAILABLE, &json!({ "status": "not_ready", "reasons": reasons }))
}

fn answer(status: StatusCode, body: &serde_json::Value) -> impl IntoResponse + use<> {
    let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")];
    (status, headers, body.to_string())
}
