//! `POST /oauth/introspect`: whether an access token is alive, and what it allows.

use axum::http::Method;
use keyherald_core::client::ApiClient;

use super::super::reply::{Answer, Reply, failed_at_oauth};
use super::super::request::Request;
use super::super::route::{Access, Route};
use super::required;
use crate::format::commercetools::Object;

pub const ROUTE: Route = Route {
    method: Method::POST,
    path: "/oauth/introspect",
    access: Access::Client(|request, client| Box::pin(handle(request, client))),
};

async fn handle(request: Request, client: ApiClient) -> Answer {
    let app = request.app.clone();
    let form = request.form().await?;
    let session = app.introspect_token(&client, required(&form, "token")?).await.map_err(failed_at_oauth)?;
    let body = match session {
        Some(session) => Object::default()
            .with("active", true)
            .with("scope", session.scopes.to_string())
            .with("exp", session.expires_at.0 / 1000), // in milliseconds (commercetools.md 1.2)
        None => Object::default().with("active", false),
    };
    Ok(Reply::ok(body).secret())
}
