//! `GET` and `HEAD /{projectKey}/messages`: by predicate, a page at a time.

use axum::http::Method;
use keyherald_core::client::Permission;

use super::super::parameters::{any, paged};
use super::super::reply::{Answer, failed_query};
use super::super::request::Request;
use super::super::route::{Access, Route};
use super::{expands_resource, shown};
use crate::app::Call;
use crate::predicate::MESSAGES;

const PATH: &str = "/{project}/messages";

pub const ROUTE: Route = Route {
    method: Method::GET,
    path: PATH,
    access: Access::Token(Permission::ViewMessages, |request, call| Box::pin(page(request, call))),
};

pub const HEAD: Route = Route {
    method: Method::HEAD,
    path: PATH,
    access: Access::Token(Permission::ViewMessages, |request, call| Box::pin(exists(request, call))),
};

async fn page(request: Request, call: Call) -> Answer {
    let query = request.query()?;
    let listing = query.listing(MESSAGES)?;
    let found = request.app.messages(call, listing.clone(), expands_resource(&query)).await;
    let page = found.map_err(failed_query)?;
    let has_secret = page.results.iter().any(|shown| shown.message.secret.is_some());
    let reply = paged(&listing, &page, shown);
    Ok(if has_secret { reply.secret() } else { reply })
}

async fn exists(request: Request, call: Call) -> Answer {
    let listing = request.query()?.any(MESSAGES)?;
    let found = request.app.messages(call, listing, false).await;
    any(&found.map_err(failed_query)?)
}
