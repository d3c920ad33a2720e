//! Recovery pages: where a customer who forgot the password proves an address and chooses a new one.
//!
//! Served at `/{prefix}/{projectKey}`, rendered here, in the words and colours of the project. Every step is a form: the
//! script only makes it more comfortable. A GET changes nothing and uses nothing up, so whatever opens links in mail
//! before the customer does no harm; secrets in links stand in the fragment, which is sent to nobody.
//!
//! A page says the same whether an address is a customer's or not. What the steps do is `app`'s ([`flow`]); how far a
//! visitor has come is in a sealed cookie ([`progress`]); what goes wrong becomes a page in [`reply`].

mod code;
mod colour;
mod credentials;
mod done;
mod file;
mod flow;
mod language;
mod password;
mod progress;
mod reply;
mod site;
mod start;
mod token;
mod view;
mod visit;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::{any, get};
use futures_util::future::BoxFuture;

use self::reply::{Answer, Trouble};
pub use self::site::{Logo, Settings, Site, Sites, Takes};
use self::view::Views;
use self::visit::Visit;
use crate::app::App;
use crate::http;

/// One page's place, below the project's.
struct Route {
    method: Method,
    path: &'static str,
    handle: fn(Visit) -> BoxFuture<'static, Answer>,
}

/// Every page.
static ROUTES: &[Route] = &[
    start::SHOW,
    start::ASK,
    code::SHOW,
    code::TRY,
    code::AGAIN,
    password::SHOW,
    password::SET,
    token::SHOW,
    token::SET,
    credentials::SHOW,
    credentials::GO,
    done::SHOW,
    file::LOGO,
    file::LOGO_DARK,
    file::THEME,
];

/// What the pages are served with.
struct Served {
    app: App,
    settings: Settings,
    sites: Sites,
    views: Views,
}

/// The pages of all projects that have them. Fails with what is wrong with our own templates.
pub fn router(app: App, settings: Settings, sites: Sites) -> Result<Router, String> {
    if sites.is_empty() {
        return Ok(Router::new());
    }
    let prefix = format!("/{}", settings.prefix);
    let views = Views::load()?;
    let served = Arc::new(Served { app, settings, sites, views });
    Ok(Router::new()
        .route(&format!("{prefix}/-/{{file}}"), get(file::shared))
        .route(&format!("{prefix}/{{project}}"), any(first))
        .route(&format!("{prefix}/{{project}}/{{*rest}}"), any(further))
        .with_state(served))
}

async fn first(State(served): State<Arc<Served>>, Path(project): Path<String>, request: Request) -> Response {
    answer(served, &project, "", request).await
}

async fn further(
    State(served): State<Arc<Served>>,
    Path((project, rest)): Path<(String, String)>,
    request: Request,
) -> Response {
    answer(served, &project, &rest, request).await
}

async fn answer(served: Arc<Served>, project: &str, rest: &str, request: Request) -> Response {
    let span = tracing::Span::current();
    span.record("dialect", "pages");
    let Some(site) = served.sites.of(project) else {
        return reply::bare(StatusCode::NOT_FOUND);
    };
    span.record("project", site.project.as_str());
    let method = if request.method() == Method::HEAD { Method::GET } else { request.method().clone() };
    let is_known = ROUTES.iter().any(|route| route.path == rest);
    let route = ROUTES.iter().find(|route| route.path == rest && route.method == method);
    let visit = Visit::begin(served.clone(), site, rest, request).await;
    let shown = visit.frame();
    let Some(route) = route else {
        let status = if is_known { StatusCode::METHOD_NOT_ALLOWED } else { StatusCode::NOT_FOUND };
        return shown.respond(Err(Trouble::NoPage(status)));
    };
    let mut response = shown.respond((route.handle)(visit).await);
    response.extensions_mut().insert(http::Route(route_name(route).into()));
    response
}

/// The shape of a path for the log.
fn route_name(route: &Route) -> String {
    if route.path.is_empty() { "/recover/{project}".to_owned() } else { format!("/recover/{{project}}/{}", route.path) }
}
