//! `GET /{projectKey}/customers/password-token={value}` and `/email-token={value}`: whose token it is; consumes nothing
//! (commercetools.md 3.4, 3.5).

use axum::http::Method;
use keyherald_core::client::Permission;
use keyherald_core::token::TokenKind;

use super::super::reply::{Answer, Named, Reply, failed};
use super::super::request::Request;
use super::super::route::{Access, Route};
use crate::app::Call;
use crate::format::commercetools;

pub const PASSWORD: Route = Route {
    method: Method::GET,
    path: "/{project}/customers/password-token={value}",
    access: Access::Token(Permission::ViewCustomers, |request, call| {
        Box::pin(handle(request, call, TokenKind::Password))
    }),
};

pub const EMAIL: Route = Route {
    method: Method::GET,
    path: "/{project}/customers/email-token={value}",
    access: Access::Token(Permission::ViewCustomers, |request, call| Box::pin(handle(request, call, TokenKind::Email))),
};

async fn handle(request: Request, call: Call, kind: TokenKind) -> Answer {
    let named = Named::token(request.captured);
    let found = request.app.customer_by_token(call, kind, &named.token).await;
    let customer = found.map_err(|failure| failed(failure, &named))?;
    Ok(Reply::ok(commercetools::customer(&customer)))
}
