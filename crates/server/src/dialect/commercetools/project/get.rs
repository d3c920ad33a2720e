//! `GET` and `HEAD /{projectKey}`.

use axum::http::Method;
use keyherald_core::client::Permission;

use super::super::reply::{Answer, Named, Reply, failed};
use super::super::request::Request;
use super::super::route::{Access, Route};
use super::shown;
use crate::app::Call;

pub const ROUTE: Route = Route {
    method: Method::GET,
    path: "/{project}",
    access: Access::Token(Permission::ViewProjectSettings, |request, call| Box::pin(handle(request, call))),
};

async fn handle(request: Request, call: Call) -> Answer {
    let named = Named::key(call.project.as_str());
    let project = request.app.project(call).await.map_err(|failure| failed(failure, &named))?;
    Ok(Reply::ok(shown(&project)))
}
