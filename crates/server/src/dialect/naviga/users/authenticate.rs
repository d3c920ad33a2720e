//! `POST /v4/Users/Authentication`: whose login name and password these are, or whose token (naviga.md 3.9).
//!
//! Whoever does not get in is told the same: there is no such user, the password is wrong, the address is not verified.

use axum::http::Method;
use keyherald_core::Refusal;
use serde_json::json;

use super::super::fields::{EMAIL_CHARS_MAX, Fields, TOKEN_CHARS_MAX};
use super::super::reply::{AUTHENTICATED, Answer, Problem, Reply, failed};
use super::super::request::{Received, Request};
use super::super::route::{Era, Route};
use super::super::user::{State, crid, encrypted_crid};
use crate::app::{Failure, FoundUser, SigningIn};

pub const ROUTE: Route = Route {
    method: Method::POST,
    path: "/v4/Users/Authentication",
    era: Era::V4,
    handle: |request| Box::pin(handle(request)),
};

async fn handle(request: Request) -> Answer {
    let (received, fields) = request.received().await?;
    let user = authenticate(&received, fields).await?;
    let (tenant, crid) = (&received.caller.tenant, crid(&user));
    let data = json!({
        "customerRegistrationId": crid,
        "encryptedCustomerRegistrationId": encrypted_crid(&received.app, tenant, &crid),
        "state": State::of(tenant, user.customer.as_ref()).as_str(),
        "metadata": user.record.metadata,
    });
    Ok(Reply::with_data(AUTHENTICATED, data))
}

/// Signs in by a token, if there is one; else by login name and password.
pub async fn authenticate(received: &Received, mut fields: Fields) -> Result<FoundUser, Problem> {
    let (tenant, app) = (&received.caller.tenant, &received.app);
    let provider = tenant.provider_name();
    let signed_in = if fields.has("Token") {
        let Some(token) = fields.required_text("Token", TOKEN_CHARS_MAX) else { return Err(fields.problem()) };
        app.sign_in_user_by_token(received.call(), &token, provider).await
    } else {
        let login_name = fields.required_text("LoginName", EMAIL_CHARS_MAX);
        let password = fields.password("Password");
        let (Some(login_name), Some(password)) = (login_name, password) else { return Err(fields.problem()) };
        let how = SigningIn { provider, password_life: tenant.password_rules.life };
        app.sign_in_user(received.call(), login_name, password, how).await
    };
    signed_in.map_err(|failure| match failure {
        // What the provider has to say about the user would reveal that there is one.
        Failure::Refused(Refusal::CredentialsWrong | Refusal::ProviderRefused(_)) => Problem::bad_request(),
        failure => failed(failure, tenant),
    })
}
