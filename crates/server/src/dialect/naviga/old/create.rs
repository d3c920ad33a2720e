//! `POST /User` and `POST /User/Passwordless`: the fields of a user in PascalCase, those that have no place of their own
//! kept with the caller's own.

use axum::http::Method;
use serde_json::Value;

use super::super::fields::Fields;
use super::super::reply::{Answer, Reply};
use super::super::request::{Received, Request};
use super::super::route::{Era, Route};
use super::super::user::ids_before;
use super::super::users::create::create;

pub const ROUTE: Route =
    Route { method: Method::POST, path: "/api/User", era: Era::Old, handle: |request| Box::pin(handle(request)) };

pub const PASSWORDLESS: Route = Route {
    method: Method::POST,
    path: "/api/User/Passwordless",
    era: Era::Old,
    handle: |request| Box::pin(passwordless(request)),
};

async fn handle(request: Request) -> Answer {
    let (received, fields) = request.received().await?;
    answer(&received, fields).await
}

/// A password is not looked at.
async fn passwordless(request: Request) -> Answer {
    let (received, mut fields) = request.received().await?;
    drop(fields.value("Password"));
    answer(&received, fields).await
}

async fn answer(received: &Received, fields: Fields) -> Answer {
    let user = create(received, fields).await?;
    let mut result = ids_before(&received.app, &received.caller.tenant, user.as_deref());
    result.insert("Tokens".to_owned(), Value::Null);
    Ok(Reply::old(Value::Object(result)))
}
