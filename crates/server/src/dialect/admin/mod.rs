//! `/admin/{projectKey}/`: what operators call.
//!
//! Operators hold the same tokens as everybody, with `manage_project`, and are answered in the same plain words: whoever
//! calls, and what an error looks like, is commercetools' business. No contract has these paths: a project's own begin
//! with its key and a word that is no key of a project there.

mod activity;
mod deliveries;
mod doubts;
mod mail;
mod try_subscription;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use keyherald_core::client::Permission;
use keyherald_core::id::{CustomerId, ProjectKey};
use keyherald_core::mail::Channel;

use super::commercetools::parameters::Parameters;
use super::commercetools::reply::{self, Answer, Problem};
use super::commercetools::request;
use crate::app::{App, Call};
use crate::format::EventIds;

/// The use cases, and the ids of events that are configured.
type Served = (App, Arc<EventIds>);

/// The dialect, to be served at `/`. What it does not know is left to others.
pub fn router(app: App, event_ids: EventIds) -> Router {
    let looked_at = |what: What| {
        get(move |state, project, request| answer(what, state, project, request))
            .fallback(|| async { reply::method_not_allowed() })
    };
    Router::new()
        .route("/admin/{project}/activity", looked_at(What::Activity))
        .route("/admin/{project}/records-in-doubt", looked_at(What::Doubts))
        .route("/admin/{project}/mail", looked_at(What::Told(Channel::Email)))
        .route("/admin/{project}/sms", looked_at(What::Told(Channel::Sms)))
        .merge(deliveries::router())
        .merge(try_subscription::routes())
        .with_state((app, Arc::new(event_ids)))
}

/// What can be looked at.
#[derive(Clone, Copy)]
enum What {
    Activity,
    Doubts,
    Told(Channel),
}

async fn answer(
    what: What,
    State((app, ids)): State<Served>,
    Path(project): Path<String>,
    request: Request,
) -> Response {
    let answer: Answer = match admitted(&app, &project, request).await {
        Ok((call, uri)) => enter(what, (&app, &ids), call, &uri).await,
        Err(problem) => Err(problem),
    };
    answer.into_response()
}

/// The call of somebody who may manage the project, and what is asked.
async fn admitted(app: &App, project: &str, request: Request) -> Result<(Call, Uri), Problem> {
    let span = tracing::Span::current();
    span.record("dialect", "admin");
    let project: Option<ProjectKey> = project.parse().ok();
    if let Some(project) = &project {
        span.record("project", project.as_str());
    }
    let (head, _) = request.into_parts();
    let source = request::source(&head.extensions);
    let place = (project.as_ref(), None);
    let (call, _) = request::authorize(app, &head.headers, source, place, Permission::ManageProject).await?;
    Ok((call, head.uri))
}

async fn enter(what: What, (app, ids): (&App, &EventIds), call: Call, uri: &Uri) -> Answer {
    let parameters = Parameters::of_query(uri)?;
    match what {
        What::Activity => activity::handle(app, ids, call, &parameters).await,
        What::Doubts => doubts::handle(app, call, &parameters).await,
        What::Told(channel) => mail::handle(app, call, channel, &parameters).await,
    }
}

const LIMIT_DEFAULT: i64 = 20;
const LIMIT_MAX: i64 = 500;

/// `customerId`
fn customer(parameters: &Parameters) -> Result<Option<CustomerId>, Problem> {
    let Some(text) = parameters.first("customerId") else { return Ok(None) };
    let id = text.parse().map_err(|_| Problem::malformed_parameter("customerId", "Expected a customer's id."))?;
    Ok(Some(id))
}

/// `limit`
fn limit(parameters: &Parameters) -> Result<i64, Problem> {
    let limit = number(parameters, "limit", 1, LIMIT_MAX, "Expected an integer between 1 and 500.")?;
    Ok(limit.unwrap_or(LIMIT_DEFAULT))
}

fn number(parameters: &Parameters, name: &str, min: i64, max: i64, why: &str) -> Result<Option<i64>, Problem> {
    let Some(text) = parameters.first(name) else { return Ok(None) };
    let number = text.parse().ok().filter(|number| (min..=max).contains(number));
    number.map(Some).ok_or_else(|| Problem::malformed_parameter(name, why))
}
