//! `POST /{projectKey}/customers/password` and `/{projectKey}/me/password`: a new password for the current one (commercetools.md 3.1).

use axum::http::Method;
use keyherald_core::Refusal;
use keyherald_core::client::Permission;
use keyherald_core::id::CustomerId;
use keyherald_core::refusal::Lookup;

use super::super::fields::INDEXED_CHARS_MAX;
use super::super::reply::{Answer, Named, Reply, failed, refused};
use super::super::request::Request;
use super::super::route::{Access, Route};
use crate::app::Call;
use crate::format::commercetools;

pub const ROUTE: Route = Route {
    method: Method::POST,
    path: "/{project}/customers/password",
    access: Access::Token(Permission::ManageCustomers, |request, call| Box::pin(handle(request, call, None))),
};

pub const ME: Route = Route {
    method: Method::POST,
    path: "/{project}/me/password",
    access: Access::Me(|request, call, me| Box::pin(handle(request, call, Some(me)))),
};

async fn handle(request: Request, mut call: Call, me: Option<CustomerId>) -> Answer {
    let app = request.app.clone();
    let mut body = request.repeatable_json(&mut call).await?;
    let id = match me {
        Some(me) => me.to_string(),
        None => body.required_text("id", INDEXED_CHARS_MAX)?,
    };
    let version = body.required_integer("version")?;
    let current = body.password("currentPassword")?;
    let new = body.new_password("newPassword")?;

    let named = Named::id(id);
    let Ok(id) = named.id.parse() else { return Err(refused(&Refusal::CustomerNotFound(Lookup::Id), &named)) };
    let changed = app.change_password(call, id, version, current, new).await;
    let customer = changed.map_err(|failure| failed(failure, &named))?;
    Ok(Reply::ok(commercetools::customer(&customer)))
}
