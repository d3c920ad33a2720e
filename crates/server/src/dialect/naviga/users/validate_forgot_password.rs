//! `POST /v4/Users/ForgotPassword/Validate`: whether what was mailed can still be redeemed (naviga.md 3.11). It consumes
//! nothing, and leaves no activity: it has no event.

use axum::http::Method;
use serde_json::json;

use super::super::encrypted::{Label, decrypted};
use super::super::fields::INDEXED_CHARS_MAX;
use super::super::reply::{Answer, Problem, Reply, S200_09, failed};
use super::super::request::{Received, Request};
use super::super::route::{Era, Route};

pub const ROUTE: Route = Route {
    method: Method::POST,
    path: "/v4/Users/ForgotPassword/Validate",
    era: Era::V4,
    handle: |request| Box::pin(handle(request)),
};

async fn handle(request: Request) -> Answer {
    let (received, mut fields) = request.received().await?;
    let Some(event) = fields.required_text("EncryptedEventId", INDEXED_CHARS_MAX) else { return Err(fields.problem()) };
    let tenant = &received.caller.tenant;
    if !is_event(&received, &event) {
        return Err(Problem::bad_request());
    }
    let token = received.app.find_recovery(received.call(), &event).await.map_err(|failure| failed(failure, tenant))?;
    Ok(Reply::with_data(S200_09, json!({"eventId": token.id.to_string()})))
}

/// Whether it can be an event of this tenant: other password tokens are none.
pub fn is_event(received: &Received, event: &str) -> bool {
    decrypted(&received.app.ring, &received.caller.tenant.project, Label::Event, event).is_some()
}
