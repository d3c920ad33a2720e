//! `GET /v4/Users?email=`: a user by its address (naviga.md 3.5).

use super::super::query::Query;
use super::super::reply::{Answer, Code, E400_02, E400_14, Problem, Reply, completed, not_read};
use super::super::request::Asked;
use super::super::user;
use crate::app::{FoundUser, UserRef};

/// What reads that are not by id are called.
pub const GET_COMPLETED: Code = completed("Get completed.");

pub async fn answer(request: &Asked, query: &Query, email: &str) -> Answer {
    let found = read(request, query, email, E400_14).await?;
    Ok(Reply::with_data(GET_COMPLETED, user::shown(&request.app, &request.caller, &found)))
}

/// Reads a user by its address; at the provider too, unless the query says otherwise.
pub async fn read(request: &Asked, query: &Query, email: &str, unknown: Code) -> Result<FoundUser, Problem> {
    let ignores = query.flag("ignoreProvider").map_err(|_| Problem::of(E400_02))?;
    by(request, UserRef::Email(email.to_owned()), ignores, unknown).await
}

/// Reads a user by something else than its id.
pub async fn by(request: &Asked, which: UserRef, ignores: bool, unknown: Code) -> Result<FoundUser, Problem> {
    let of = (request.caller.tenant.provider_name(), !ignores);
    let read = request.app.read_user(request.caller.call(), which, of).await;
    read.map_err(|failure| not_read(failure, unknown))
}
