//! `GET /v4/Users?encryptedCustomerRegistrationId=`: a user by the encrypted form of its id (naviga.md 3.7).

use super::super::encrypted::{Label, decrypted};
use super::super::query::Query;
use super::super::reply::{Answer, E400_02, E500_02, Problem, Reply};
use super::super::request::Asked;
use super::super::user;
use super::read_by_email::{GET_COMPLETED, by};
use crate::app::{FoundUser, UserRef};

pub async fn answer(request: &Asked, query: &Query, encrypted: &str) -> Answer {
    let ignores = query.flag("ignoreProvider").map_err(|_| Problem::of(E400_02))?;
    let found = of(request, encrypted, ignores).await?;
    Ok(Reply::with_data(GET_COMPLETED, user::shown(&request.app, &request.caller, &found)))
}

/// The user whose id this is.
pub async fn of(request: &Asked, encrypted: &str, ignores: bool) -> Result<FoundUser, Problem> {
    let tenant = &request.caller.tenant;
    let crid = decrypted(&request.app.ring, &tenant.project, Label::Crid, encrypted);
    let which = crid.and_then(|crid| tenant.customer(&crid)).ok_or(Problem::of(E400_02))?;
    by(request, UserRef::Is(which), ignores, E500_02).await
}
