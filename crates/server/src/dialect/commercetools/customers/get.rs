//! `GET /{projectKey}/customers/{id}` `/key={key}` and `/{projectKey}/me`.

use axum::http::Method;
use keyherald_core::client::Permission;

use super::super::reply::{Answer, Problem, Reply, failed};
use super::super::request::Request;
use super::super::route::{Access, Route};
use super::Target;
use crate::app::Call;
use crate::format::commercetools;

pub const BY_ID: Route = Route {
    method: Method::GET,
    path: "/{project}/customers/{id}",
    access: Access::Token(Permission::ViewCustomers, |request, call| {
        let target = Target::by_id(&request.captured);
        Box::pin(handle(request, call, target))
    }),
};

pub const BY_KEY: Route = Route {
    method: Method::GET,
    path: "/{project}/customers/key={key}",
    access: Access::Token(Permission::ViewCustomers, |request, call| {
        let target = Target::by_key(&request.captured);
        Box::pin(handle(request, call, target))
    }),
};

pub const ME: Route = Route {
    method: Method::GET,
    path: "/{project}/me",
    access: Access::Me(|request, call, me| Box::pin(handle(request, call, Ok(Target::me(me))))),
};

async fn handle(request: Request, call: Call, target: Result<Target, Problem>) -> Answer {
    let Target { which, named } = target?;
    let customer = request.app.customer(call, which).await.map_err(|failure| failed(failure, &named))?;
    Ok(Reply::ok(commercetools::customer(&customer)))
}
