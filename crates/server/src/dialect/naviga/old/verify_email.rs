//! `POST /User/VerifyEmail`: proves an address by a code. There are no cookies any more.

use axum::http::Method;
use serde_json::{Value, json};

use super::super::reply::{Answer, Reply};
use super::super::request::Request;
use super::super::route::{Era, Route};
use super::super::user::ids_before;
use super::super::users::verify_email::verify;

pub const ROUTE: Route = Route {
    method: Method::POST,
    path: "/api/User/VerifyEmail",
    era: Era::Old,
    handle: |request| Box::pin(handle(request)),
};

async fn handle(request: Request) -> Answer {
    let (received, fields) = request.received().await?;
    let user = verify(&received, fields).await?;
    let mut result = ids_before(&received.app, &received.caller.tenant, Some(&user));
    result.insert("Tokens".to_owned(), json!([]));
    Ok(Reply::old(Value::Object(result)))
}
