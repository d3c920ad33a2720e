//! `GET /v4/Users?token=`: the user that an access token stands for (naviga.md 3.8). Known are the tokens that are issued
//! here; of a provider's own tokens nothing is known, and they are refused like dead ones.

use super::super::query::Query;
use super::super::reply::{Answer, E400_02, E500_02, Problem, Reply, faulted};
use super::super::request::Asked;
use super::super::user;
use super::read_by_email::{GET_COMPLETED, by};
use crate::app::{Failure, UserRef};

pub async fn answer(request: &Asked, query: &Query, token: &str) -> Answer {
    let ignores = query.flag("ignoreProvider").map_err(|_| Problem::of(E400_02))?;
    let found = match request.app.customer_of_token(&request.caller.call(), token).await {
        Ok(found) => found,
        Err(Failure::Fault(fault)) => return Err(faulted(&fault)),
        Err(Failure::Refused(_)) => None,
    };
    let which = found.ok_or(Problem::bad_request())?;
    let found = by(request, UserRef::Is(which), ignores, E500_02).await?;
    Ok(Reply::with_data(GET_COMPLETED, user::shown(&request.app, &request.caller, &found)))
}
