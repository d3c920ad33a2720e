//! `POST /oauth/{projectKey}/customers/token` and `/oauth/{projectKey}/in-store/key={storeKey}/customers/token`: tokens of a
//! customer, for e-mail address and password.
//!
//! A global customer signs in at the first only, a store's at the second of one of its stores only. An unknown store has
//! no customers, and costs as much as a known one.

use axum::http::Method;
use keyherald_core::client::ApiClient;
use keyherald_core::id::Key;
use keyherald_core::initiator::Initiator;
use keyherald_core::secret::Password;

use super::super::fields::EMAIL_CHARS_MAX;
use super::super::reply::{Answer, Problem, failed_at_oauth};
use super::super::request::Request;
use super::super::route::{Access, Route};
use super::{issued, of_own_project, required, scopes, wants_refresh_token};
use crate::app::{Call, InStore};

pub const ROUTE: Route = Route {
    method: Method::POST,
    path: "/oauth/{project}/customers/token",
    access: Access::Client(|request, client| Box::pin(handle(request, client, None))),
};

pub const IN_STORE: Route = Route {
    method: Method::POST,
    path: "/oauth/{project}/in-store/key={store}/customers/token",
    access: Access::Client(|request, client| {
        let store = request.captured.clone();
        Box::pin(handle(request, client, Some(store)))
    }),
};

async fn handle(request: Request, client: ApiClient, store: Option<String>) -> Answer {
    of_own_project(&request, &client)?;
    let (app, source) = (request.app.clone(), request.source());
    let form = request.form().await?;
    match required(&form, "grant_type")? {
        "password" => {}
        other => return Err(Problem::unsupported_grant_type(other)),
    }
    let email = required(&form, "username")?.to_owned();
    let password = Password::new(required(&form, "password")?.to_owned());
    let scopes = scopes(&form, &client)?;
    let refresh = wants_refresh_token(&form);
    let store: Option<Result<Key, _>> = store.map(|key| key.parse());
    let (Ok(password), None, Ok(store)) = (password, email.chars().nth(EMAIL_CHARS_MAX), store.transpose()) else {
        return Err(Problem::invalid_customer_credentials()); // longer than any that can have been set, or no key
    };

    let by = Initiator { client_id: Some(client.id.clone()), ..Initiator::default() };
    // Whether there is such a store is not looked up: it would tell known from unknown ones by the time it takes.
    let store = store.map(|key| InStore { key, sees_others: false });
    let call = Call { project: client.project.clone(), store, by, source, repeatable: None, surface: None };
    let tokens = app.issue_customer_tokens(call, (client, scopes), (email, password), refresh).await;
    Ok(issued(&tokens.map_err(failed_at_oauth)?))
}
