//! `GET /v4/Users?token=`: the user that an access token stands for (naviga.md 3.8): one that was issued here, or at the
//! tenant's provider, if that says whom its own stand for.

use super::super::query::Query;
use super::super::reply::{Answer, E400, E400_02, E500_02, Problem, Reply, not_read};
use super::super::request::Asked;
use super::super::user;
use super::read_by_email::{GET_COMPLETED, by};
use crate::app::UserRef;

pub async fn answer(request: &Asked, query: &Query, token: &str) -> Answer {
    let ignores = query.flag("ignoreProvider").map_err(|_| Problem::of(E400_02))?;
    let provider = request.caller.tenant.provider_name();
    let found = request.app.customer_of_token(&request.caller.call(), token, provider).await;
    let which = found.map_err(|failure| not_read(failure, E400))?.ok_or(Problem::bad_request())?;
    let found = by(request, UserRef::Is(which), ignores, E500_02).await?;
    Ok(Reply::with_data(GET_COMPLETED, user::shown(&request.app, &request.caller, &found)))
}
