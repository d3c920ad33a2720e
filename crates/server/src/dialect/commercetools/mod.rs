//! commercetools Composable Commerce: customers, passwords, messages, subscriptions, and the OAuth that guards them.
//!
//! Auth and api share one origin: `/oauth/..` and `/{projectKey}/..` never overlap. An endpoint is a file with a
//! [`Route`]; [`ROUTES`] is the list of all. Who calls is settled here, before an endpoint is entered and before a body
//! is read.
//!
//! What concerns a customer there is once more within each store; both are one [`Route`].
//!
//! Deliberately absent: what the contract has and the list has not (GraphQL, search) is answered like an unknown route.

mod customers;
mod emails;
mod fields;
mod messages;
mod oauth;
pub(super) mod parameters;
mod passwords;
mod project;
pub mod reply;
pub(super) mod request;
mod route;
mod stores;
mod subscriptions;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use keyherald_core::client::Permission;

use self::reply::{Answer, Problem};
use self::request::Request;
use self::route::{Access, Captured, Route};
use crate::app::App;
use crate::http;

/// Every endpoint.
static ROUTES: &[Route] = &[
    oauth::client_token::ROUTE,
    oauth::customer_token::IN_STORE,
    oauth::customer_token::ROUTE,
    oauth::anonymous_token::ROUTE,
    oauth::introspect::ROUTE,
    oauth::revoke::ROUTE,
    project::get::ROUTE,
    project::update::ROUTE,
    stores::create::ROUTE,
    stores::query::HEAD,
    stores::query::ROUTE,
    stores::get::BY_ID,
    stores::get::BY_KEY,
    passwords::change::ROUTE,
    passwords::change::ME,
    passwords::create_token::ROUTE,
    passwords::reset::ROUTE,
    passwords::reset::ME,
    passwords::login::ROUTE,
    passwords::login::ME,
    emails::create_token::ROUTE,
    emails::confirm::ROUTE,
    emails::confirm::ME,
    customers::create::ROUTE,
    customers::create::SIGN_UP,
    customers::query::HEAD,
    customers::query::ROUTE,
    customers::get::BY_ID,
    customers::get::BY_KEY,
    customers::get::ME,
    customers::get_by_token::PASSWORD,
    customers::get_by_token::EMAIL,
    customers::update::BY_ID,
    customers::update::BY_KEY,
    customers::update::ME,
    customers::delete::BY_ID,
    customers::delete::BY_KEY,
    customers::delete::ME,
    messages::query::HEAD,
    messages::query::ROUTE,
    messages::get::ROUTE,
    subscriptions::create::ROUTE,
    subscriptions::query::HEAD,
    subscriptions::query::ROUTE,
    subscriptions::get::BY_ID,
    subscriptions::get::BY_KEY,
    subscriptions::update::BY_ID,
    subscriptions::update::BY_KEY,
    subscriptions::delete::BY_ID,
    subscriptions::delete::BY_KEY,
    subscriptions::health::ROUTE,
];

/// What the dialect is given besides the use cases.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Longest request body.
    pub body_bytes_max: usize,
}

/// Method, path pattern and needed permission of every endpoint: for documentation and for tests that try them all.
pub fn endpoints() -> impl Iterator<Item = (&'static Method, &'static str, Option<Permission>)> {
    ROUTES.iter().map(|route| {
        let permission = match route.access {
            Access::Token(permission, _) => Some(permission),
            Access::Me(_) => Some(Permission::ManageMyProfile),
            Access::Client(_) | Access::Anybody(_) => None,
        };
        (&route.method, route.path, permission)
    })
}

/// The dialect, to be served at `/`. What matches no endpoint is answered too.
pub fn router(app: App, settings: Settings) -> Router {
    Router::new().fallback(answer).with_state((app, settings))
}

async fn answer(State((app, settings)): State<(App, Settings)>, request: axum::extract::Request) -> Response {
    let is_head = request.method() == Method::HEAD;
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let found = ROUTES.iter().find_map(|route| route.capture(&method, &path).map(|captured| (route, captured)));
    let response = match found {
        Some((route, Captured { project, store, value: captured })) => {
            let span = tracing::Span::current();
            span.record("dialect", "commercetools");
            if let Some(project) = &project {
                span.record("project", project.as_str());
            }
            let request = Request { app, settings, project, store, captured, http: request };
            let mut response = enter(route, request).await.into_response();
            response.extensions_mut().insert(http::Route(route.path.into()));
            response
        }
        None => reply::method_not_allowed(),
    };
    if is_head { response.map(|_| Body::empty()) } else { response }
}

async fn enter(route: &'static Route, request: Request) -> Answer {
    let Request { app, project, store, http, .. } = &request;
    let (headers, place) = (http.headers(), (project.as_ref(), store.as_deref()));
    match route.access {
        Access::Token(permission, handle) => {
            let (call, _) = request::authorize(app, headers, request.source(), place, permission).await?;
            handle(request, call).await
        }
        Access::Me(handle) => {
            let (call, session) =
                request::authorize(app, headers, request.source(), place, Permission::ManageMyProfile).await?;
            let me = request::customer(&session)?;
            handle(request, call, me).await
        }
        Access::Client(handle) => {
            let client = request::client(app, headers).await.map_err(Problem::as_auth)?;
            handle(request, client).await.map_err(Problem::as_auth)
        }
        Access::Anybody(handle) => handle(request).await,
    }
}
