//! Naviga Subscribe's Users Orchestrator API (`/v4/Users..`), and the older User API (`/User..`) that it took the place of.
//!
//! Callers are the back ends of publishers. A *tenant* (client group, client, paper) is a project; five headers say which,
//! and with which token, and all of that is settled before an endpoint is entered and before a body is read. An endpoint
//! is a file with a [`Route`]; [`ROUTES`] is the list of all.
//!
//! Both APIs run the same use cases and differ in their words: a [`Problem`] is the same in both until [`reply`] spells it.
//! Served only where the configuration has a tenant.

pub mod encrypted;
mod fields;
mod old;
mod password_rules;
mod query;
pub mod reply;
mod request;
mod route;
pub mod tenant;
mod user;
mod users;

use axum::Router;
use axum::extract::State;
use axum::http::Method;
use axum::response::Response;

pub use self::password_rules::PasswordRules;
use self::reply::{Answer, Problem};
use self::request::Request;
pub use self::route::{Era, era};
use self::route::{Path, Route};
pub use self::tenant::{AuthSystem, Tenant, Tenants, UserProvider};
use crate::app::App;
use crate::http::{self, RequestIds};

/// Every endpoint.
static ROUTES: &[Route] = &[
    users::create::ROUTE,
    users::find::ROUTE,
    users::read_by_id::ROUTE,
    users::authenticate::ROUTE,
    users::start_forgot_password::ROUTE,
    users::validate_forgot_password::ROUTE,
    users::finish_forgot_password::ROUTE,
    users::update_email::ROUTE,
    users::send_verification_code::ROUTE,
    users::update::ROUTE,
    users::update_password::ROUTE,
    users::verify_email::ROUTE,
    old::create::ROUTE,
    old::create::PASSWORDLESS,
    old::find::ROUTE,
    old::find::BY_TYPE,
    old::read_by_id::ROUTE,
    old::authenticate::BY_PASSWORD,
    old::authenticate::BY_TOKEN,
    old::start_forgot_password::ROUTE,
    old::send_verification_code::ROUTE,
    old::update::ROUTE,
    old::verify_email::ROUTE,
];

/// Method and path of every endpoint.
pub fn endpoints() -> impl Iterator<Item = (&'static Method, &'static str)> {
    ROUTES.iter().map(|route| (&route.method, route.path))
}

/// Which of [`endpoints`] answers a request. `None`: there is none.
pub fn endpoint_of(method: &Method, path: &str) -> Option<usize> {
    let path = Path::of(path).ok()?;
    ROUTES.iter().position(|route| path.captured(route, method).is_some())
}

/// What the dialect is given besides the use cases.
#[derive(Clone)]
pub struct Settings {
    /// Longest request body.
    pub body_bytes_max: usize,
    /// Whom it serves.
    pub tenants: Tenants,
}

/// The dialect, to be served at `/` for the paths that have an [`era`]. What matches no endpoint is answered too.
pub fn router(app: App, settings: Settings) -> Router {
    Router::new().fallback(answer).with_state((app, settings))
}

async fn answer(State((app, settings)): State<(App, Settings)>, http: axum::extract::Request) -> Response {
    tracing::Span::current().record("dialect", "naviga");
    if let Some(id) = reply::request_id(http.headers()) {
        tracing::Span::current().record("caller_request_id", http::for_log(id));
    }
    let era = era(http.uri().path()).unwrap_or(Era::V4);
    let frame = reply::Frame::of(era, http.headers(), http.extensions().get::<RequestIds>());
    let Ok(path) = Path::of(http.uri().path()) else { return frame.respond(Err(Problem::bad_request())) };
    let found = ROUTES.iter().find_map(|route| Some((route, path.captured(route, http.method())?)));
    let Some((route, crid)) = found else { return frame.respond(Err(Problem::not_found())) };
    let mut response = frame.respond(enter(route, app, settings, crid, http).await);
    response.extensions_mut().insert(http::Route(route.path.into()));
    response
}

async fn enter(
    route: &'static Route,
    app: App,
    settings: Settings,
    crid: String,
    http: axum::extract::Request,
) -> Answer {
    let (headers, ids) = (http.headers(), http.extensions().get::<RequestIds>());
    let caller = request::authorize(&app, &settings.tenants, route.era, (headers, ids)).await?;
    tracing::Span::current().record("project", caller.tenant.project.as_str());
    (route.handle)(Request { app, caller, crid, body_bytes_max: settings.body_bytes_max, http }).await
}
