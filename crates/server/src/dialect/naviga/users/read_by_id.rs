//! `GET /v4/Users/{CustomerRegistrationId}`: a user by its id at the provider, or ours (naviga.md 3.5).

use axum::http::Method;
use serde_json::Value;

use super::super::query::Query;
use super::super::reply::{Answer, E400_02, Problem, Reply, completed, failed, unknown_user};
use super::super::request::{Asked, Request};
use super::super::route::{Era, Route};
use super::super::user;
use crate::app::{FoundUser, UserRef};

pub const ROUTE: Route =
    Route { method: Method::GET, path: "/v4/Users/{crid}", era: Era::V4, handle: |request| Box::pin(handle(request)) };

async fn handle(request: Request) -> Answer {
    let request = request.asked();
    let ignores = Query::of(&request.uri).flag("ignoreProvider").map_err(|_| Problem::of(E400_02))?;
    let found = read(&request, &request.crid, ignores).await?;
    Ok(Reply::with_data(completed("Get by id completed."), shown(&request, &found)))
}

fn shown(request: &Asked, found: &FoundUser) -> Value {
    user::shown(&request.app, &request.caller, found)
}

/// Reads a user by its id; at the provider too, unless that is to be ignored.
pub async fn read(request: &Asked, crid: &str, ignores_provider: bool) -> Result<FoundUser, Problem> {
    let tenant = &request.caller.tenant;
    let Some(which) = tenant.customer(crid) else { return Err(unknown_user(tenant)) };
    let of = (tenant.provider_name(), !ignores_provider);
    let read = request.app.read_user(request.caller.call(), UserRef::Is(which), of).await;
    read.map_err(|failure| failed(failure, tenant))
}
