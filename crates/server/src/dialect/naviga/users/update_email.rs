//! `PATCH /v4/Users/{CustomerRegistrationId}/Email`: another e-mail address, set by a trusted caller (naviga.md 3.1).

use axum::http::Method;

use super::super::reply::{Answer, Reply, S200_12};
use super::super::request::Request;
use super::super::route::{Era, Route};
use super::set_email;

pub const ROUTE: Route = Route {
    method: Method::PATCH,
    path: "/v4/Users/{crid}/Email",
    era: Era::V4,
    handle: |request| Box::pin(handle(request)),
};

async fn handle(request: Request) -> Answer {
    let (received, mut fields) = request.received().await?;
    let Some(email) = fields.email("Email") else { return Err(fields.problem()) };
    set_email(&received, email).await?;
    Ok(Reply::ok(S200_12))
}
