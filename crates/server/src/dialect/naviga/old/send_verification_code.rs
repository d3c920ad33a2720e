//! `POST /VerifyEmail/Resend`: another code.

use axum::http::Method;
use serde_json::json;

use super::super::reply::{Answer, Reply};
use super::super::request::Request;
use super::super::route::{Era, Route};
use super::super::users::send_verification_code::send;

pub const ROUTE: Route = Route {
    method: Method::POST,
    path: "/api/VerifyEmail/Resend",
    era: Era::Old,
    handle: |request| Box::pin(handle(request)),
};

async fn handle(request: Request) -> Answer {
    let (received, fields) = request.received().await?;
    send(&received, fields).await?;
    // A text: so it was.
    Ok(Reply::old(json!({"Done": "true"})))
}
