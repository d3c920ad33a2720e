//! `POST /{projectKey}/customers/password/reset` and `/{projectKey}/me/password/reset`: a new password for a token (commercetools.md 3.3).

use axum::http::Method;
use keyherald_core::client::Permission;

use super::super::fields::INDEXED_CHARS_MAX;
use super::super::reply::{Answer, Named, Reply, failed};
use super::super::request::Request;
use super::super::route::{Access, Route};
use crate::app::Call;
use crate::format::commercetools;

pub const ROUTE: Route = Route {
    method: Method::POST,
    path: "/{project}/customers/password/reset",
    access: Access::Token(Permission::ManageCustomers, |request, call| Box::pin(handle(request, call, true))),
};

pub const ME: Route = Route {
    method: Method::POST,
    path: "/{project}/me/password/reset",
    access: Access::Token(Permission::ManageMyProfile, |request, call| Box::pin(handle(request, call, false))),
};

async fn handle(request: Request, mut call: Call, is_versioned: bool) -> Answer {
    let app = request.app.clone();
    let mut body = request.repeatable_json(&mut call).await?;
    let named = Named::token(body.required_text("tokenValue", INDEXED_CHARS_MAX)?);
    let new = body.new_password("newPassword")?;
    let version = if is_versioned { body.integer("version")? } else { None };

    let reset = app.reset_password(call, &named.token, version, new).await;
    let customer = reset.map_err(|failure| failed(failure, &named))?;
    Ok(Reply::ok(commercetools::customer(&customer)))
}
