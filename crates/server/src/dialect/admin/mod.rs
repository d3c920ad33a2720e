//! `/admin/{projectKey}/`: what operators call.
//!
//! Operators hold the same tokens as everybody, with `manage_project`, and are answered in the same plain words: whoever
//! calls, and what an error looks like, is commercetools' business. No contract has these paths: a project's own begin
//! with its key and a word that is no key of a project there.

mod activity;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use keyherald_core::client::Permission;
use keyherald_core::id::ProjectKey;

use super::commercetools::parameters::Parameters;
use super::commercetools::reply::{self, Answer};
use super::commercetools::request;
use crate::app::{App, Call};

/// The dialect, to be served at `/`. What it does not know is left to others.
pub fn router(app: App) -> Router {
    let activity = get(answer).fallback(|| async { reply::method_not_allowed() });
    Router::new().route("/admin/{project}/activity", activity).with_state(app)
}

async fn answer(State(app): State<App>, Path(project): Path<String>, request: Request) -> Response {
    let span = tracing::Span::current();
    span.record("dialect", "admin");
    let project: Option<ProjectKey> = project.parse().ok();
    if let Some(project) = &project {
        span.record("project", project.as_str());
    }
    let (head, _) = request.into_parts();
    let source = request::source(&head.extensions);
    let place = (project.as_ref(), None);
    let call = request::authorize(&app, &head.headers, source, place, Permission::ManageProject).await;
    let answer: Answer = match call {
        Ok((call, _)) => enter(&app, call, &head.uri).await,
        Err(problem) => Err(problem),
    };
    answer.into_response()
}

async fn enter(app: &App, call: Call, uri: &Uri) -> Answer {
    activity::handle(app, call, &Parameters::of_query(uri)?).await
}
