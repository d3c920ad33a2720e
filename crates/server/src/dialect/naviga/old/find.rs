//! `GET /User?..`, `GET /User/{type}?email=` and `GET /User/Encrypted?encryptedEmail=`: users by something else than their
//! id. The answer is a page of users, or one user.

use axum::http::Method;
use serde_json::{Value, json};

use super::super::query::Query;
use super::super::reply::{Answer, E400_14, Problem, Reply};
use super::super::request::Request;
use super::super::route::{Era, Route};
use super::super::user;
use super::super::users::{read_by_email, read_by_encrypted_email, read_by_id, read_by_query};
use super::ignores_provider;
use crate::app::UserRef;

pub const ROUTE: Route =
    Route { method: Method::GET, path: "/api/User", era: Era::Old, handle: |request| Box::pin(by_query(request)) };

/// What stands in the place of the type may also be an id, as in the route of a single user.
pub const BY_TYPE: Route = Route {
    method: Method::GET,
    path: "/api/User/{crid}",
    era: Era::Old,
    handle: |request| Box::pin(by_type(request)),
};

async fn by_query(request: Request) -> Answer {
    let request = request.asked();
    let page = read_by_query::page(&request, &Query::of(&request.uri)).await?;
    let shown = |found| user::shown_before(&request.app, &request.caller, found);
    let users: Vec<Value> = page.users.iter().map(shown).collect();
    Ok(Reply::old(json!({"Users": users, "TotalUsersFound": page.total})))
}

async fn by_type(request: Request) -> Answer {
    let request = request.asked();
    let query = Query::of(&request.uri);
    let found = match (query.text("email"), query.text("encryptedEmail")) {
        (_, Some(encrypted)) if request.crid.eq_ignore_ascii_case("Encrypted") => {
            read_by_encrypted_email::of(&request, &query, encrypted).await?
        }
        (Some(email), _) => {
            let ignores = ignores_provider(&request.crid).ok_or(Problem::bad_request())?;
            read_by_email::by(&request, UserRef::Email(email.to_owned()), ignores, E400_14).await?
        }
        (None, _) => read_by_id::read(&request, &request.crid, false).await?,
    };
    Ok(Reply::old(user::shown_before(&request.app, &request.caller, &found)))
}
