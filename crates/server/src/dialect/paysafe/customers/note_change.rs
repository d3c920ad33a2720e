//! `POST /digitalwallets/v2/customer-persons/{customerId}/change-notifications`, and without the version: a partner who
//! keeps the passwords tells that one was changed (paysafe.md 5.3).

use axum::http::Method;
use keyherald_core::Micros;

use super::super::reply::{Answer, Problem, Reply, failed};
use super::super::request::{Request, TokenKind};
use super::super::route::Route;

/// As it is now.
pub const ROUTE: Route = at("/digitalwallets/v2/customer-persons/{customerId}/change-notifications");
/// As it was in the first version.
pub const WITHOUT_VERSION: Route = at("/digitalwallets/customer-persons/{customerId}/change-notifications");
/// The same under the other paths' prefix.
pub const FIRST: Route = at("/digitalwallets/v1/customer-persons/{customerId}/change-notifications");

/// How far the partner's clock may be ahead.
const AHEAD_MAX: i64 = 5 * Micros::MINUTE;

const fn at(path: &'static str) -> Route {
    Route { method: Method::POST, path, handle: |request| Box::pin(handle(request)) }
}

async fn handle(request: Request) -> Answer {
    let (received, mut fields) = request.received(&[TokenKind::Admin]).await?;
    let number = received.captured.parse().map_err(|_| Problem::customer_id_invalid())?;
    let change = fields.text("changeType");
    if change.is_some_and(|change| change != "PASSWORD_CHANGED") {
        fields.refuse("changeType", "must be PASSWORD_CHANGED");
    }
    let now = received.app.moments.now();
    let changed_at = fields.time("changeTime");
    if changed_at.is_some_and(|at| at > now.plus(AHEAD_MAX)) {
        fields.refuse("changeTime", "must not be in the future");
    }
    let Some(changed_at) = changed_at.filter(|_| !fields.is_wrong()) else { return Err(fields.problem()) };
    received.app.note_change(received.call, number, changed_at).await.map_err(failed)?;
    Ok(Reply::empty(202))
}
