//! `GET` and `HEAD /{projectKey}/stores`: by predicate, a page at a time.

use axum::http::Method;
use keyherald_core::client::Permission;

use super::super::parameters::{any, paged};
use super::super::reply::{Answer, Named, failed};
use super::super::request::Request;
use super::super::route::{Access, Route};
use super::{FIELDS, shown};
use crate::app::Call;

const PATH: &str = "/{project}/stores";

pub const ROUTE: Route = Route {
    method: Method::GET,
    path: PATH,
    access: Access::Token(Permission::ViewStores, |request, call| Box::pin(page(request, call))),
};

pub const HEAD: Route = Route {
    method: Method::HEAD,
    path: PATH,
    access: Access::Token(Permission::ViewStores, |request, call| Box::pin(exists(request, call))),
};

async fn page(request: Request, call: Call) -> Answer {
    let listing = request.query()?.listing(FIELDS)?;
    let found = request.app.stores(call, listing.clone()).await;
    let page = found.map_err(|failure| failed(failure, &Named::default()))?;
    Ok(paged(&listing, &page, shown))
}

async fn exists(request: Request, call: Call) -> Answer {
    let listing = request.query()?.any(FIELDS)?;
    let found = request.app.stores(call, listing).await;
    any(&found.map_err(|failure| failed(failure, &Named::default()))?)
}
