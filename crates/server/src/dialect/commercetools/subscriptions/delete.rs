//! `DELETE /{projectKey}/subscriptions/{id}` and `/key={key}`.

use axum::http::Method;
use keyherald_core::client::Permission;

use super::super::reply::{Answer, Problem, Reply, failed};
use super::super::request::Request;
use super::super::route::{Access, Route};
use super::{Target, subscription};
use crate::app::Call;

pub const BY_ID: Route = Route {
    method: Method::DELETE,
    path: "/{project}/subscriptions/{id}",
    access: Access::Token(Permission::ManageSubscriptions, |request, call| {
        let target = Target::by_id(&request.captured);
        Box::pin(handle(request, call, target))
    }),
};

pub const BY_KEY: Route = Route {
    method: Method::DELETE,
    path: "/{project}/subscriptions/key={key}",
    access: Access::Token(Permission::ManageSubscriptions, |request, call| {
        let target = Target::by_key(&request.captured);
        Box::pin(handle(request, call, target))
    }),
};

async fn handle(request: Request, call: Call, target: Result<Target, Problem>) -> Answer {
    let version = request.query()?.version()?;
    let Target { which, named } = target?;
    let deleted = request.app.delete_subscription(call, which, version).await;
    let last = deleted.map_err(|failure| failed(failure, &named))?;
    Ok(Reply::ok(subscription(&last)))
}
