//! `GET` and `HEAD /{projectKey}/stores/{id}` and `/key={key}`.

use axum::http::Method;
use keyherald_core::Refusal;
use keyherald_core::client::Permission;
use keyherald_core::refusal::Lookup;

use super::super::reply::{Answer, Named, Reply, failed, refused};
use super::super::request::Request;
use super::super::route::{Access, Route};
use super::shown;
use crate::app::Call;
use crate::app::stores::StoreRef;

pub const BY_ID: Route = Route {
    method: Method::GET,
    path: "/{project}/stores/{id}",
    access: Access::Token(Permission::ViewStores, |request, call| {
        let (which, named) = (request.captured.parse().map(StoreRef::Id).ok(), Named::id(&request.captured));
        Box::pin(handle(request, call, which, named, Lookup::Id))
    }),
};

pub const BY_KEY: Route = Route {
    method: Method::GET,
    path: "/{project}/stores/key={key}",
    access: Access::Token(Permission::ViewStores, |request, call| {
        let (which, named) = (request.captured.parse().map(StoreRef::Key).ok(), Named::key(&request.captured));
        Box::pin(handle(request, call, which, named, Lookup::Key))
    }),
};

/// `which` is none if the text in the path cannot be an id or a key: it names nothing.
async fn handle(request: Request, call: Call, which: Option<StoreRef>, named: Named, by: Lookup) -> Answer {
    let which = which.ok_or_else(|| refused(&Refusal::ShopNotFound(by), &named))?;
    let shop = request.app.store_of(call, which).await.map_err(|failure| failed(failure, &named))?;
    Ok(Reply::ok(shown(&shop)))
}
