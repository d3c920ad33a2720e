//! `POST /{projectKey}/customers/password-token`: a token that can reset a password (commercetools.md 3.2).
//!
//! It tells whether an address is known: the contract does, to trusted backends.

use axum::http::Method;
use keyherald_core::client::Permission;
use keyherald_core::token::{Command, Token};

use super::super::fields::EMAIL_CHARS_MAX;
use super::super::reply::{Answer, Named, Reply, failed};
use super::super::request::Request;
use super::super::route::{Access, Route};
use crate::app::Call;
use crate::format::commercetools;

pub const ROUTE: Route = Route {
    method: Method::POST,
    path: "/{project}/customers/password-token",
    access: Access::Token(Permission::ManageCustomers, |request, call| Box::pin(handle(request, call))),
};

async fn handle(request: Request, call: Call) -> Answer {
    let app = request.app.clone();
    let mut body = request.json().await?;
    let email = body.required_text("email", EMAIL_CHARS_MAX)?;
    let ttl_minutes = body.integer_within("ttlMinutes", &Token::TTL_MINUTES)?.unwrap_or(Token::TTL_MINUTES_DEFAULT);
    let invalidate_older_tokens = body.boolean("invalidateOlderTokens")?.unwrap_or(false);

    let named = Named::email(email.clone());
    let command = Command { ttl_minutes, invalidate_older_tokens, by: call.by.clone() };
    let created = app.create_password_token(call, email, command).await;
    let created = created.map_err(|failure| failed(failure, &named))?;
    Ok(Reply::ok(commercetools::customer_token(&created)).secret())
}
