//! `POST /v4/Users/Verification`: proves an address by a code (naviga.md 3.13).

use axum::http::Method;

use super::super::fields::Fields;
use super::super::reply::{Answer, E400_14, E400_15, E400_16, Problem, Reply, completed, failed};
use super::super::request::{Received, Request};
use super::super::route::{Era, Route};
use super::super::user::ids;
use super::create::registering;
use crate::app::{FoundUser, Proved};

/// Longest code that is looked at, in characters.
const CODE_CHARS_MAX: usize = 64;

pub const ROUTE: Route = Route {
    method: Method::POST,
    path: "/v4/Users/Verification",
    era: Era::V4,
    handle: |request| Box::pin(handle(request)),
};

async fn handle(request: Request) -> Answer {
    let (received, fields) = request.received().await?;
    let user = verify(&received, fields).await?;
    let data = ids(&received.app, &received.caller.tenant, &user);
    Ok(Reply::with_data(completed("Verify Email completed."), data))
}

/// Redeems a code.
pub async fn verify(received: &Received, mut fields: Fields) -> Result<Box<FoundUser>, Problem> {
    let (email, code) = (fields.email("Email"), fields.required_text("VerificationCode", CODE_CHARS_MAX));
    let (Some(email), Some(code)) = (email, code) else { return Err(fields.problem()) };
    let how = registering(received)?;
    let proved = received.app.prove_email(received.call(), email, code.trim().to_owned(), how).await;
    match proved.map_err(|failure| failed(failure, &received.caller.tenant))? {
        Proved::Done(user) => Ok(user),
        Proved::Unknown => Err(Problem::of(E400_14)),
        Proved::Wrong => Err(Problem::of(E400_15)),
        Proved::Already => Err(Problem::of(E400_16)),
    }
}
