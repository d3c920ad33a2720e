//! Dialects: what callers speak. One folder per contract, and this is the list.
//!
//! A dialect translates: a request into a use case of `app`, its outcome into the contract's words. It decides nothing
//! and cannot reach the store. Each has one `reply.rs`, the only place where its errors become HTTP.

pub mod commercetools;

use std::sync::Arc;

use axum::Router;

use crate::app::App;
use crate::http::Reply;

/// All dialects, to be served at `/`. Whatever belongs to none is answered in commercetools' words, whose paths begin at
/// the root.
pub fn router(app: App, body_bytes_max: usize) -> Router {
    commercetools::router(app, commercetools::Settings { body_bytes_max })
}

/// The answers of the frame around all requests, in the words of the dialect that the path belongs to.
pub fn frame_reply() -> Arc<Reply> {
    Arc::new(commercetools::reply::of_frame)
}
