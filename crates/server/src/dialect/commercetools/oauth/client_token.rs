//! `POST /oauth/token`: an access token for the client itself, or for a refresh token.

use axum::http::Method;
use keyherald_core::client::ApiClient;

use super::super::parameters::Parameters;
use super::super::reply::{Answer, Problem, failed_at_oauth};
use super::super::request::Request;
use super::super::route::{Access, Route};
use super::{issued, required, scopes};
use crate::app::App;

pub const ROUTE: Route = Route {
    method: Method::POST,
    path: "/oauth/token",
    access: Access::Client(|request, client| Box::pin(handle(request, client))),
};

async fn handle(request: Request, client: ApiClient) -> Answer {
    let app = request.app.clone();
    let form = request.form().await?;
    match required(&form, "grant_type")? {
        "client_credentials" => client_credentials(&app, &form, client).await,
        "refresh_token" => refresh(&app, &form, client).await,
        other => Err(Problem::unsupported_grant_type(other)),
    }
}

async fn client_credentials(app: &App, form: &Parameters, client: ApiClient) -> Answer {
    let scopes = scopes(form, &client)?;
    Ok(issued(&app.issue_tokens(client, scopes, false).await.map_err(failed_at_oauth)?))
}

/// The refresh token stays valid and is not repeated.
async fn refresh(app: &App, form: &Parameters, client: ApiClient) -> Answer {
    let token = required(form, "refresh_token")?;
    let tokens = app.refresh_tokens(client, token).await.map_err(failed_at_oauth)?;
    tokens.as_ref().map(issued).ok_or_else(Problem::invalid_grant)
}
