//! `PUT /digitalwallets/v1/customer-credentials`: another password or PIN for a customer who is signed in
//! (paysafe.md 5.1).

use axum::http::Method;
use keyherald_core::policy::Surface;

use super::super::reply::{Answer, Problem, failed};
use super::super::request::{Request, TokenKind};
use super::super::route::Route;
use super::replaced;
use crate::app::change_credentials::Change;
use crate::app::limits::Limited;

pub const ROUTE: Route = Route {
    method: Method::PUT,
    path: "/digitalwallets/v1/customer-credentials",
    handle: |request| Box::pin(handle(request)),
};

async fn handle(request: Request) -> Answer {
    let (received, mut fields) = request.received(&[TokenKind::Customer]).await?;
    let brand = received.brand.clone();
    let customer = received.customer.ok_or_else(Problem::insufficient_scope)?;
    let current = fields.password("currentPassword");
    let new = fields.password("newPassword");
    fields.device(false, brand.requires_app_type);
    let (Some(current), Some(new), false) = (current, new, fields.is_wrong()) else { return Err(fields.problem()) };
    let change = Change { customer, current, new, surface: Surface::Paysafe(brand.rule), token: received.token };
    let changed = received.app.change_credentials(received.call, &brand.verifying, received.source, change).await;
    match changed.map_err(failed)? {
        Limited::Done(()) => Ok(replaced(&brand)),
        Limited::TooMany { retry_after_s } => Err(Problem::too_many(retry_after_s)),
    }
}
