//! `POST /oauth/{projectKey}/anonymous/token`: tokens of a visitor who has not signed in.

use axum::http::Method;
use keyherald_core::client::{ApiClient, Permission};
use keyherald_core::session::Owner;

use super::super::reply::{Answer, Problem, failed_at_oauth};
use super::super::request::Request;
use super::super::route::{Access, Route};
use super::{issued, of_own_project, required, scopes, wants_refresh_token};

pub const ROUTE: Route = Route {
    method: Method::POST,
    path: "/oauth/{project}/anonymous/token",
    access: Access::Client(|request, client| Box::pin(handle(request, client))),
};

async fn handle(request: Request, client: ApiClient) -> Answer {
    of_own_project(&request, &client)?;
    let app = request.app.clone();
    let form = request.form().await?;
    match required(&form, "grant_type")? {
        "client_credentials" => {}
        other => return Err(Problem::unsupported_grant_type(other)),
    }
    let needed = Permission::CreateAnonymousToken;
    if !client.scopes.permit(&client.project, needed) {
        return Err(Problem::insufficient_scope(needed.name()));
    }
    let scopes = scopes(&form, &client)?;
    let anonymous_id = form.first("anonymous_id").map(str::to_owned);
    if anonymous_id.as_deref().is_some_and(|id| !Owner::is_anonymous_id(id)) {
        let most = Owner::ANONYMOUS_ID_CHARS_MAX;
        let text =
            format!("Malformed parameter: anonymous_id: Expected at most {most} characters without white space.");
        return Err(Problem::invalid_request(text));
    }
    let tokens = app.issue_visitor_tokens(client, scopes, anonymous_id, wants_refresh_token(&form)).await;
    let tokens = tokens.map_err(failed_at_oauth)?;
    tokens.as_ref().map(issued).ok_or_else(|| Problem::invalid_request("The anonymousId is already in use."))
}
