//! Dialects: what callers speak. One folder per contract, one for operators and one for receivers that fetch; this is the list.
//!
//! A dialect translates: a request into a use case of `app`, its outcome into the contract's words. It decides nothing
//! and cannot reach the store. Each has one `reply.rs`, the only place where its errors become HTTP.

pub mod admin;
pub mod commercetools;
pub mod feed;
pub mod naviga;
pub mod paysafe;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use tower::ServiceExt;

use crate::app::App;
use crate::http::Reply;

/// All dialects, to be served at `/`. Where there is a Naviga tenant, its API's paths are its own: the configuration lets
/// no project be called like one. Whatever belongs to none is answered in commercetools' words, whose paths begin at the
/// root.
pub fn router(app: App, body_bytes_max: usize, tenants: naviga::Tenants, brands: paysafe::Brands) -> Router {
    let settings = commercetools::Settings { body_bytes_max };
    let ours = admin::router(app.clone(), tenants.event_ids()).merge(feed::router(app.clone()));
    let commercetools = ours.merge(commercetools::router(app.clone(), settings));
    if tenants.is_empty() && brands.is_empty() {
        return commercetools;
    }
    let (has_naviga, ours) = (!tenants.is_empty(), brands.clone());
    let naviga = naviga::router(app.clone(), naviga::Settings { body_bytes_max, tenants });
    let paysafe = paysafe::router(app, paysafe::Settings { body_bytes_max, brands });
    Router::new().fallback(move |request: Request| {
        let path = request.uri().path();
        let dialect = match () {
            () if ours.own(path) => &paysafe,
            () if has_naviga && naviga::era(path).is_some() => &naviga,
            () => &commercetools,
        };
        dialect.clone().oneshot(request)
    })
}

/// The answers of the frame around all requests, in the words of the dialect that the path belongs to.
pub fn frame_reply(tenants: &naviga::Tenants, brands: &paysafe::Brands) -> Arc<Reply> {
    let (has_naviga, brands) = (!tenants.is_empty(), brands.clone());
    Arc::new(move |failure, path| {
        if brands.own(path) {
            paysafe::reply::of_frame(failure)
        } else if has_naviga && naviga::era(path).is_some() {
            naviga::reply::of_frame(failure, path)
        } else {
            commercetools::reply::of_frame(failure, path)
        }
    })
}
