//! `POST /oauth/{projectKey}/customers/token`: tokens of a customer, for e-mail address and password.

use axum::http::Method;
use keyherald_core::client::ApiClient;
use keyherald_core::initiator::Initiator;
use keyherald_core::secret::Password;

use super::super::fields::EMAIL_CHARS_MAX;
use super::super::reply::{Answer, Problem, failed_at_oauth};
use super::super::request::Request;
use super::super::route::{Access, Route};
use super::{issued, required, scopes};
use crate::app::Call;

pub const ROUTE: Route = Route {
    method: Method::POST,
    path: "/oauth/{project}/customers/token",
    access: Access::Client(|request, client| Box::pin(handle(request, client))),
};

async fn handle(request: Request, client: ApiClient) -> Answer {
    // A client signs in customers of its own project.
    if request.project.as_ref() != Some(&client.project) {
        return Err(Problem::invalid_client());
    }
    let app = request.app.clone();
    let form = request.form().await?;
    match required(&form, "grant_type")? {
        "password" => {}
        other => return Err(Problem::unsupported_grant_type(other)),
    }
    let email = required(&form, "username")?.to_owned();
    let password = Password::new(required(&form, "password")?.to_owned());
    let scopes = scopes(&form, &client)?;
    let refresh = !form.first("refresh_token").is_some_and(|value| value.eq_ignore_ascii_case("false"));
    let (Ok(password), None) = (password, email.chars().nth(EMAIL_CHARS_MAX)) else {
        return Err(Problem::invalid_customer_credentials()); // longer than any that can have been set
    };

    let by = Initiator { client_id: Some(client.id.clone()), ..Initiator::default() };
    let call = Call { project: client.project.clone(), store: None, by };
    let customer = app.sign_in(call, email, password).await.map_err(failed_at_oauth)?;
    let scopes = scopes.with(format!("customer_id:{}", customer.id));
    let signed_in = Some((customer.id, customer.version));
    let tokens = app.issue_tokens(client, scopes, signed_in, refresh).await.map_err(failed_at_oauth)?;
    // None: the password was changed, or the customer deleted, since it was checked.
    tokens.as_ref().map(issued).ok_or_else(Problem::invalid_customer_credentials)
}
