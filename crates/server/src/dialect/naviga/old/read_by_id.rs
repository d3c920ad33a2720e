//! `GET /User/{customerRegistrationId}/{type}`: a user by its id. The type says whether the provider is asked.

use axum::http::Method;

use super::super::query::Query;
use super::super::reply::{Answer, Problem, Reply};
use super::super::request::Request;
use super::super::route::{Era, Route};
use super::super::user;
use super::super::users::{read_by_encrypted_id, read_by_id};
use super::{ignores_provider, last_segment};

pub const ROUTE: Route = Route {
    method: Method::GET,
    path: "/api/User/{crid}/{type}",
    era: Era::Old,
    handle: |request| Box::pin(handle(request)),
};

async fn handle(request: Request) -> Answer {
    let request = request.asked();
    let ignores = ignores_provider(&last_segment(&request)).ok_or(Problem::bad_request())?;
    let query = Query::of(&request.uri);
    let found = match query.text("encryptedCustomerRegistrationId") {
        Some(encrypted) if request.crid.eq_ignore_ascii_case("Encrypted") => {
            read_by_encrypted_id::of(&request, encrypted, ignores).await?
        }
        _ => read_by_id::read(&request, &request.crid, ignores).await?,
    };
    Ok(Reply::old(user::shown_before(&request.app, &request.caller, &found)))
}
