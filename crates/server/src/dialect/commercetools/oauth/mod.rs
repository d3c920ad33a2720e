//! Access tokens (commercetools.md chapter 1).
//!
//! Parameters are read from the body, then from the query string.

pub mod anonymous_token;
pub mod client_token;
pub mod customer_token;
pub mod introspect;
pub mod revoke;

use keyherald_core::client::{ApiClient, Scopes};
use keyherald_core::session::Issued;

use super::parameters::Parameters;
use super::reply::{Problem, Reply};
use super::request::Request;
use crate::format::commercetools::Object;

/// Longest `scope` that is looked at, in bytes: it is stored with the token.
const SCOPE_BYTES_MAX: usize = 4096;

/// A parameter that must be there.
fn required<'f>(form: &'f Parameters, name: &str) -> Result<&'f str, Problem> {
    form.first(name).ok_or_else(|| Problem::missing_parameter(name))
}

/// A client signs in customers and visitors of its own project.
fn of_own_project(request: &Request, client: &ApiClient) -> Result<(), Problem> {
    if request.project.as_ref() == Some(&client.project) { Ok(()) } else { Err(Problem::invalid_client()) }
}

/// Whether a customer's or a visitor's client wants a refresh token; absent: it does.
fn wants_refresh_token(form: &Parameters) -> bool {
    !form.first("refresh_token").is_some_and(|value| value.eq_ignore_ascii_case("false"))
}

/// The scopes that are asked for, in the order in which they are; all of the client's if none are.
fn scopes(form: &Parameters, client: &ApiClient) -> Result<Scopes, Problem> {
    let asked = Scopes::parse(form.first("scope").unwrap_or_default());
    if asked.is_empty() {
        return Ok(client.scopes.clone());
    }
    let length: usize = asked.iter().map(|scope| scope.len() + 1).sum();
    if length <= SCOPE_BYTES_MAX && client.scopes.cover(&asked) { Ok(asked) } else { Err(Problem::invalid_scope()) }
}

/// The body that hands tokens out (commercetools.md 1.2).
fn issued(issued: &Issued) -> Reply {
    let refresh = issued.refresh.as_ref().map(|(value, _)| value.reveal_with(str::to_owned));
    let body = Object::default()
        .with("access_token", issued.access.reveal_with(str::to_owned))
        .with("token_type", "Bearer")
        .with("expires_in", issued.expires_in_s)
        .with("scope", issued.session.scopes.to_string())
        .with_some("refresh_token", refresh);
    Reply::ok(body).secret()
}
