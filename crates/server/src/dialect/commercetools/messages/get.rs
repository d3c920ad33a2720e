//! `GET /{projectKey}/messages/{id}`.

use axum::http::Method;
use keyherald_core::Refusal;
use keyherald_core::client::Permission;

use super::super::reply::{Answer, Named, Reply, failed, refused};
use super::super::request::Request;
use super::super::route::{Access, Route};
use crate::app::Call;

pub const ROUTE: Route = Route {
    method: Method::GET,
    path: "/{project}/messages/{id}",
    access: Access::Token(Permission::ViewMessages, |request, call| Box::pin(handle(request, call))),
};

async fn handle(request: Request, call: Call) -> Answer {
    let expand = super::expands_resource(&request.query()?);
    let named = Named::id(request.captured);
    let Ok(id) = named.id.parse() else { return Err(refused(&Refusal::MessageNotFound, &named)) };
    let found = request.app.message(call, id, expand).await;
    let shown = found.map_err(|failure| failed(failure, &named))?;
    let reply = Reply::ok(super::shown(&shown));
    Ok(if shown.message.secret.is_some() { reply.secret() } else { reply })
}
