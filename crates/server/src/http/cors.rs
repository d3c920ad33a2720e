//! Calls from web pages: which pages' scripts may make them and read the answers.
//!
//! No cookies and no other credentials of the browser are involved: a page shows the access token that it was given. So
//! a page that may call gains nothing that it could not do with its token elsewhere.

use std::time::Duration;

use axum::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use axum::http::{HeaderName, HeaderValue, Method};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::correlation::CORRELATION_ID;
use crate::config::PageOrigin;

/// Whom a page's user acts for (commercetools.md 7.5).
const EXTERNAL_USER_ID: HeaderName = HeaderName::from_static("x-external-user-id");
/// How long a browser may keep the answer to a preflight request. None keeps it for more than two hours.
const PREFLIGHT_KEPT: Duration = Duration::from_hours(1);

/// Answers preflight requests, without a token, and lets pages from these origins read all answers. `None`: no page may.
pub(super) fn layer(origins: &[PageOrigin]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let one = |origin: &PageOrigin| match origin {
        PageOrigin::Any => None,
        PageOrigin::One(text) => HeaderValue::try_from(text).ok(),
    };
    let allowed = match origins {
        [PageOrigin::Any] => AllowOrigin::any(),
        listed => AllowOrigin::list(listed.iter().filter_map(one)),
    };
    Some(
        CorsLayer::new()
            .allow_origin(allowed)
            .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::DELETE])
            .allow_headers([ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT, CORRELATION_ID, EXTERNAL_USER_ID])
            .expose_headers([CORRELATION_ID, RETRY_AFTER])
            .max_age(PREFLIGHT_KEPT),
    )
}
