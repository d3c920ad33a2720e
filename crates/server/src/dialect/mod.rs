//! Dialects: what callers speak. One folder per contract, and one for operators; this is the list.
//!
//! A dialect translates: a request into a use case of `app`, its outcome into the contract's words. It decides nothing
//! and cannot reach the store. Each has one `reply.rs`, the only place where its errors become HTTP.

pub mod admin;
pub mod commercetools;
pub mod naviga;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use tower::ServiceExt;

use crate::app::App;
use crate::http::Reply;

/// All dialects, to be served at `/`. Where there is a Naviga tenant, its API's paths are its own: the configuration lets
/// no project be called like one. Whatever belongs to none is answered in commercetools' words, whose paths begin at the
/// root.
pub fn router(app: App, body_bytes_max: usize, tenants: naviga::Tenants) -> Router {
    let settings = commercetools::Settings { body_bytes_max };
    let commercetools =
        admin::router(app.clone(), tenants.event_ids()).merge(commercetools::router(app.clone(), settings));
    if tenants.is_empty() {
        return commercetools;
    }
    let naviga = naviga::router(app, naviga::Settings { body_bytes_max, tenants });
    Router::new().fallback(move |request: Request| {
        let is_navigas = naviga::era(request.uri().path()).is_some();
        let dialect = if is_navigas { naviga.clone() } else { commercetools.clone() };
        dialect.oneshot(request)
    })
}

/// The answers of the frame around all requests, in the words of the dialect that the path belongs to.
pub fn frame_reply(tenants: &naviga::Tenants) -> Arc<Reply> {
    let has_naviga = !tenants.is_empty();
    Arc::new(move |failure, path| {
        if has_naviga && naviga::era(path).is_some() {
            naviga::reply::of_frame(failure, path)
        } else {
            commercetools::reply::of_frame(failure, path)
        }
    })
}
