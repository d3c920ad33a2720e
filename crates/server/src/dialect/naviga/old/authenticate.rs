//! `POST /Authenticate` and `POST /AuthenticateByToken`: the older forms of one endpoint (naviga.md 4.7).

use axum::http::Method;
use serde_json::json;

use super::super::reply::{Answer, Reply};
use super::super::request::Request;
use super::super::route::{Era, Route};
use super::super::user::{crid, encrypted_crid};
use super::super::users::authenticate::authenticate;

pub const BY_PASSWORD: Route = Route {
    method: Method::POST,
    path: "/api/Authenticate",
    era: Era::Old,
    handle: |request| Box::pin(handle(request)),
};

pub const BY_TOKEN: Route = Route { path: "/api/AuthenticateByToken", ..BY_PASSWORD };

async fn handle(request: Request) -> Answer {
    let (received, fields) = request.received().await?;
    let crid = crid(&authenticate(&received, fields).await?);
    let encrypted = encrypted_crid(&received.app, &received.caller.tenant, &crid);
    Ok(Reply::old(json!({"CustomerRegistrationId": crid, "EncryptedCustomerRegistrationId": encrypted})))
}
