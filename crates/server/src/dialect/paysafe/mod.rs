//! Paysafe's embedded wallet, as far as credentials go: tokens of a brand, verification processes, recovery
//! (paysafe.md 3 to 7).
//!
//! A *brand* is a project. A token says which; only the token endpoint has the brand on its path. An endpoint is a file
//! with a [`Route`]; [`ROUTES`] is the list of all. Who calls is settled before an endpoint is entered and before a body is
//! read.

pub mod brand;
mod credentials;
mod customers;
mod fields;
mod notifications;
mod prefix;
pub mod reply;
mod request;
mod route;
mod tokens;
mod verifications;

use axum::Router;
use axum::extract::State;
use axum::http::Method;
use axum::response::Response;

pub use self::brand::{Brand, Brands, Hosted};
pub use self::prefix::Prefix;
use self::reply::{Answer, Problem};
use self::request::Request;
use self::route::{Captured, Route};
use crate::app::App;
use crate::http;

/// Every endpoint.
static ROUTES: &[Route] = &[
    tokens::ROUTE,
    verifications::initiate::ROUTE,
    verifications::attempt::ROUTE,
    credentials::change::ROUTE,
    credentials::recover::ROUTE,
    customers::note_change::FIRST,
    customers::note_change::ROUTE,
    customers::note_change::WITHOUT_VERSION,
    customers::onboard::ROUTE,
    customers::send_to_pages::ROUTE,
    notifications::list::ROUTE,
    notifications::resend::ROUTE,
];

/// Method and path of every endpoint.
pub fn endpoints() -> impl Iterator<Item = (&'static Method, &'static str)> {
    ROUTES.iter().map(|route| (&route.method, route.path))
}

/// What the dialect is given besides the use cases.
#[derive(Clone)]
pub struct Settings {
    /// Longest request body.
    pub body_bytes_max: usize,
    /// Whom it serves.
    pub brands: Brands,
}

/// The dialect, to be served at `/` for the paths that are [ours](Brands::own). What matches no endpoint is answered too.
pub fn router(app: App, settings: Settings) -> Router {
    Router::new().fallback(answer).with_state((app, settings))
}

async fn answer(State((app, settings)): State<(App, Settings)>, http: axum::extract::Request) -> Response {
    tracing::Span::current().record("dialect", "paysafe");
    let path = settings.brands.listed(http.uri().path());
    let found = ROUTES.iter().find_map(|route| Some((route, route.captured(path.as_deref()?)?)));
    let Some((route, captured)) = found else { return reply::respond(Err(Problem::not_found())) };
    if route.method != *http.method() {
        return reply::respond(Err(Problem::method_not_allowed()));
    }
    let mut response = reply::respond(enter(route, app, settings, captured, http).await);
    response.extensions_mut().insert(http::Route(route.path.into()));
    response
}

async fn enter(
    route: &'static Route,
    app: App,
    settings: Settings,
    captured: Captured,
    http: axum::extract::Request,
) -> Answer {
    let request = Request { app, settings, captured, http };
    (route.handle)(request).await
}
