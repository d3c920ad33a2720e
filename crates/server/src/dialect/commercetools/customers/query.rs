//! `GET` and `HEAD /{projectKey}/customers`: by predicate, a page at a time.

use axum::http::Method;
use keyherald_core::client::Permission;

use super::super::parameters::{any, paged};
use super::super::reply::{Answer, failed_query};
use super::super::request::Request;
use super::super::route::{Access, Route};
use crate::app::Call;
use crate::format::commercetools;
use crate::predicate::CUSTOMERS;

const PATH: &str = "/{project}/customers";

pub const ROUTE: Route = Route {
    method: Method::GET,
    path: PATH,
    access: Access::Token(Permission::ViewCustomers, |request, call| Box::pin(page(request, call))),
};

pub const HEAD: Route = Route {
    method: Method::HEAD,
    path: PATH,
    access: Access::Token(Permission::ViewCustomers, |request, call| Box::pin(exists(request, call))),
};

async fn page(request: Request, call: Call) -> Answer {
    let listing = request.query()?.listing(CUSTOMERS)?;
    let found = request.app.customers(call, listing.clone()).await;
    let page = found.map_err(failed_query)?;
    Ok(paged(&listing, &page, commercetools::customer))
}

async fn exists(request: Request, call: Call) -> Answer {
    let listing = request.query()?.any(CUSTOMERS)?;
    let found = request.app.customers(call, listing).await;
    any(&found.map_err(failed_query)?)
}
