//! `GET /v4/Users?encryptedEmail=`: a user by the encrypted form of its address (naviga.md 3.6).

use super::super::encrypted::{Label, decrypted};
use super::super::query::Query;
use super::super::reply::{Answer, E400_02, E500_02, Problem, Reply};
use super::super::request::Asked;
use super::super::user;
use super::read_by_email::{GET_COMPLETED, read};
use crate::app::FoundUser;

pub async fn answer(request: &Asked, query: &Query, encrypted: &str) -> Answer {
    let found = of(request, query, encrypted).await?;
    Ok(Reply::with_data(GET_COMPLETED, user::shown(&request.app, &request.caller, &found)))
}

/// The user whose address this is.
pub async fn of(request: &Asked, query: &Query, encrypted: &str) -> Result<FoundUser, Problem> {
    let email = decrypted(&request.app.ring, &request.caller.tenant.project, Label::Email, encrypted);
    let email = email.ok_or(Problem::of(E400_02))?;
    read(request, query, &email, E500_02).await
}
