//! `GET /{projectKey}/customers/password-token={value}`: whose token it is; consumes nothing (commercetools.md 3.4).

use axum::http::Method;
use keyherald_core::client::Permission;

use super::super::reply::{Answer, Named, Reply, failed};
use super::super::request::Request;
use super::super::route::{Access, Route};
use crate::app::Call;
use crate::format::commercetools;

pub const ROUTE: Route = Route {
    method: Method::GET,
    path: "/{project}/customers/password-token={value}",
    access: Access::Token(Permission::ViewCustomers, |request, call| Box::pin(handle(request, call))),
};

async fn handle(request: Request, call: Call) -> Answer {
    let named = Named::token(request.captured);
    let found = request.app.customer_by_password_token(call, &named.token).await;
    let customer = found.map_err(|failure| failed(failure, &named))?;
    Ok(Reply::ok(commercetools::customer(&customer)))
}
