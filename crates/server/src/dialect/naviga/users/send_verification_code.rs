//! `POST /v4/Users/VerificationCode`: another code for an address that is not proved yet (naviga.md 3.14).

use axum::http::Method;

use super::super::fields::{Fields, URL_CHARS_MAX};
use super::super::reply::{Answer, E400_14, E400_16, Problem, Reply, completed, failed};
use super::super::request::{Received, Request};
use super::super::route::{Era, Route};
use crate::app::Sent;

pub const ROUTE: Route = Route {
    method: Method::POST,
    path: "/v4/Users/VerificationCode",
    era: Era::V4,
    handle: |request| Box::pin(handle(request)),
};

async fn handle(request: Request) -> Answer {
    let (received, fields) = request.received().await?;
    send(&received, fields).await?;
    Ok(Reply::ok(completed("Send Verification Code completed.")))
}

/// Has a code mailed.
pub async fn send(received: &Received, mut fields: Fields) -> Result<(), Problem> {
    let (email, page) = (fields.email("Email"), fields.text("ReturnUrl", URL_CHARS_MAX));
    let (Some(email), Ok(_)) = (email, page) else { return Err(fields.problem()) };
    let sent = received.app.send_code(received.call(), email).await;
    match sent.map_err(|failure| failed(failure, &received.caller.tenant))? {
        Sent::Done => Ok(()),
        Sent::Unknown => Err(Problem::of(E400_14)),
        Sent::Already => Err(Problem::of(E400_16)),
        Sent::TooMany => Err(Problem::bad_request()),
    }
}
