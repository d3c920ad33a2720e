//! `PATCH /v4/Users/{CustomerRegistrationId}/Password`: a new password, set by a trusted caller (naviga.md 1).

use axum::http::Method;

use super::super::reply::{Answer, Reply, S200_11};
use super::super::request::Request;
use super::super::route::{Era, Route};
use super::set_password;

pub const ROUTE: Route = Route {
    method: Method::PATCH,
    path: "/v4/Users/{crid}/Password",
    era: Era::V4,
    handle: |request| Box::pin(handle(request)),
};

async fn handle(request: Request) -> Answer {
    let (received, mut fields) = request.received().await?;
    let Some(password) = fields.new_password("Password", &received.caller.tenant.password_rules) else {
        return Err(fields.problem());
    };
    set_password(&received, password).await?;
    Ok(Reply::ok(S200_11))
}
