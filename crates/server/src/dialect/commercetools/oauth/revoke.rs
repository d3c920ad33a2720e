//! `POST /oauth/token/revoke`: ends a token (RFC 7009).
//!
//! The answer is the same whether there was such a token or not. `token_type_hint` would only say where to look first,
//! and one look finds both kinds.

use axum::http::Method;
use keyherald_core::client::ApiClient;
use serde_json::json;

use super::super::reply::{Answer, Reply, failed_at_oauth};
use super::super::request::Request;
use super::super::route::{Access, Route};
use super::required;

pub const ROUTE: Route = Route {
    method: Method::POST,
    path: "/oauth/token/revoke",
    access: Access::Client(|request, client| Box::pin(handle(request, client))),
};

async fn handle(request: Request, client: ApiClient) -> Answer {
    let app = request.app.clone();
    let form = request.form().await?;
    app.revoke_token(client, required(&form, "token")?).await.map_err(failed_at_oauth)?;
    Ok(Reply::ok(json!({})).secret())
}
