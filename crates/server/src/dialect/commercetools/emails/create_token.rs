//! `POST /{projectKey}/customers/email-token`: a token that can verify an e-mail address (commercetools.md 3.5).

use axum::http::Method;
use keyherald_core::Refusal;
use keyherald_core::client::Permission;
use keyherald_core::email_token::Command;
use keyherald_core::refusal::Lookup;
use keyherald_core::token::{self, Token};

use super::super::fields::INDEXED_CHARS_MAX;
use super::super::reply::{Answer, Named, Reply, failed, refused};
use super::super::request::Request;
use super::super::route::{Access, Route};
use crate::app::Call;
use crate::format::commercetools;

pub const ROUTE: Route = Route {
    method: Method::POST,
    path: "/{project}/customers/email-token",
    access: Access::Token(Permission::ManageCustomers, |request, call| Box::pin(handle(request, call))),
};

async fn handle(request: Request, call: Call) -> Answer {
    let app = request.app.clone();
    let mut body = request.json().await?;
    let named = Named::id(body.required_text("id", INDEXED_CHARS_MAX)?);
    let ttl_minutes = body.integer_within("ttlMinutes", &Token::TTL_MINUTES)?;
    let ttl_minutes = ttl_minutes.ok_or_else(|| body.missing("ttlMinutes"))?;
    let version = body.integer("version")?;
    let invalidate_older_tokens = body.boolean("invalidateOlderTokens")?.unwrap_or(false);

    let Ok(id) = named.id.parse() else { return Err(refused(&Refusal::CustomerNotFound(Lookup::Id), &named)) };
    let token = token::Command { ttl_minutes, invalidate_older_tokens, by: call.by.clone() };
    let created = app.create_email_token(call, id, Command { version, token }).await;
    let created = created.map_err(|failure| failed(failure, &named))?;
    Ok(Reply::ok(commercetools::customer_token(&created)).secret())
}
