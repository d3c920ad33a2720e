//! `POST /v4/Users/ForgotPassword/Finish`: a new password for what was mailed (naviga.md 3.12).
//!
//! It is set as by Update Password; the event is consumed with it, and only with it.

use axum::http::Method;

use super::super::fields::INDEXED_CHARS_MAX;
use super::super::reply::{Answer, Problem, Reply, S200_10, failed};
use super::super::request::Request;
use super::super::route::{Era, Route};
use super::validate_forgot_password::is_event;

pub const ROUTE: Route = Route {
    method: Method::POST,
    path: "/v4/Users/ForgotPassword/Finish",
    era: Era::V4,
    handle: |request| Box::pin(handle(request)),
};

async fn handle(request: Request) -> Answer {
    let (received, mut fields) = request.received().await?;
    let event = fields.required_text("EncryptedEventId", INDEXED_CHARS_MAX);
    let password = fields.new_password("Password", &received.caller.tenant.password_rules);
    let (Some(event), Some(password)) = (event, password) else { return Err(fields.problem()) };
    if !is_event(&received, &event) {
        return Err(Problem::bad_request());
    }
    let (app, tenant) = (&received.app, &received.caller.tenant);
    let recovered = app.recover_password(received.call(), &event, password, tenant.keep_local_hash).await;
    recovered.map_err(|failure| failed(failure, tenant))?;
    Ok(Reply::ok(S200_10))
}
