//! `GET /v4/Users?..`: which of the reads it is, the parameters say; the first that fits counts (naviga.md 3.5).

use axum::http::Method;

use super::super::query::Query;
use super::super::reply::Answer;
use super::super::request::Request;
use super::super::route::{Era, Route};
use super::{read_by_email, read_by_encrypted_email, read_by_encrypted_id, read_by_query, read_by_token};

pub const ROUTE: Route =
    Route { method: Method::GET, path: "/v4/Users", era: Era::V4, handle: |request| Box::pin(handle(request)) };

async fn handle(request: Request) -> Answer {
    let request = request.asked();
    let query = Query::of(&request.uri);
    if let Some(encrypted) = query.text("encryptedCustomerRegistrationId") {
        return read_by_encrypted_id::answer(&request, &query, encrypted).await;
    }
    if let Some(encrypted) = query.text("encryptedEmail") {
        return read_by_encrypted_email::answer(&request, &query, encrypted).await;
    }
    if let Some(token) = query.text("token") {
        return read_by_token::answer(&request, &query, token).await;
    }
    if let Some(email) = query.text("email").filter(|_| !read_by_query::is_meant(&query)) {
        return read_by_email::answer(&request, &query, email).await;
    }
    read_by_query::answer(&request, &query).await
}
