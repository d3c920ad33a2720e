//! `POST /ForgotPassword`: the older form of starting a recovery (naviga.md 4.7).

use axum::http::Method;
use serde_json::json;

use super::super::reply::{Answer, Reply};
use super::super::request::Request;
use super::super::route::{Era, Route};
use super::super::users::start_forgot_password::start;

pub const ROUTE: Route = Route {
    method: Method::POST,
    path: "/api/ForgotPassword",
    era: Era::Old,
    handle: |request| Box::pin(handle(request)),
};

async fn handle(request: Request) -> Answer {
    let (received, fields) = request.received().await?;
    let event = start(&received, fields).await?;
    Ok(Reply::old(json!({"EncryptedEventId": event, "PasswordResetLinkSent": true})))
}
