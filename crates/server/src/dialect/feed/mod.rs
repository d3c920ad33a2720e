//! `GET /feed/{projectKey}/messages`: the log for receivers that fetch it, page by page or as a stream.
//!
//! Whoever asks on from the position that the last answer named gets every message once and in order: positions are shown
//! when they are final, never before ([`App::fetch`]). Callers hold the same tokens as everybody, with `view_feed`, and
//! are answered in the same words; messages have the form in which subscriptions of the format `Platform` get them.
//!
//! Nothing of it may be kept by caches, nor is it compressed: messages may carry token values.

mod page;
mod stream;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::header::{ACCEPT, HeaderMap};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use keyherald_core::client::Permission;
use keyherald_core::id::ProjectKey;
use keyherald_core::message::Message;
use serde_json::{Map, Value};

use super::commercetools::parameters::Parameters;
use super::commercetools::reply::{self, Problem};
use super::commercetools::request;
use crate::app::feed::{Asked, Place};
use crate::app::{App, Call};
use crate::format::platform;

/// Seconds after which somebody may ask again for whom there was no place.
const AGAIN_AFTER_S: u32 = 5;
/// Messages of an answer, unless the caller says how many.
const LIMIT_DEFAULT: i64 = 100;
const LIMIT_MAX: i64 = 500;

/// The dialect, to be served at `/`. What it does not know is left to others.
pub fn router(app: App) -> Router {
    let messages = get(answer).fallback(|| async { reply::method_not_allowed() });
    Router::new().route("/feed/{project}/messages", messages).with_state(app)
}

async fn answer(State(app): State<App>, Path(project): Path<String>, request: Request) -> Response {
    let span = tracing::Span::current();
    span.record("dialect", "feed");
    if let Ok(project) = project.parse::<ProjectKey>() {
        span.record("project", project.as_str());
    }
    let (head, _) = request.into_parts();
    let call = authorize(&app, &head.headers, &project).await;
    let parameters = Parameters::of_query(&head.uri);
    let answered = match (call, parameters) {
        (Err(problem), _) | (_, Err(problem)) => Err(problem),
        (Ok(call), Ok(parameters)) if wants_stream(&head.headers) => {
            stream::open(app, call, head.headers, &parameters).await
        }
        (Ok(call), Ok(parameters)) => page::answer(&app, &call, &parameters).await.map(IntoResponse::into_response),
    };
    answered.unwrap_or_else(IntoResponse::into_response)
}

async fn authorize(app: &App, headers: &HeaderMap, project: &str) -> Result<Call, Problem> {
    let project: Option<ProjectKey> = project.parse().ok();
    let place = (project.as_ref(), None);
    Ok(request::authorize(app, headers, <_>::default(), place, Permission::ViewFeed).await?.0)
}

fn wants_stream(headers: &HeaderMap) -> bool {
    let accepted = headers.get(ACCEPT).and_then(|accepted| accepted.to_str().ok()).unwrap_or_default();
    accepted.to_ascii_lowercase().contains("text/event-stream")
}

/// A place among those who wait.
fn admitted(app: &App) -> Result<Place, Problem> {
    let text = "Too many receivers wait for messages at the moment. Please try again.";
    app.feed.admit().ok_or_else(|| Problem::over_capacity(text, AGAIN_AFTER_S))
}

/// `after`, `customerId` and `limit`.
fn asked(parameters: &Parameters) -> Result<Asked, Problem> {
    let customer = match parameters.first("customerId").map(str::parse) {
        Some(Err(_)) => return Err(Problem::malformed_parameter("customerId", "Expected a customer's id.")),
        Some(Ok(customer)) => Some(customer),
        None => None,
    };
    let after = number(parameters, "after", 0..=i64::MAX, "Expected a position: an integer of at least 0.")?;
    let limit = number(parameters, "limit", 1..=LIMIT_MAX, "Expected an integer between 1 and 500.")?;
    Ok(Asked { customer, after, limit: limit.unwrap_or(LIMIT_DEFAULT) })
}

fn number(
    parameters: &Parameters,
    name: &str,
    range: std::ops::RangeInclusive<i64>,
    why: &str,
) -> Result<Option<i64>, Problem> {
    let Some(text) = parameters.first(name) else { return Ok(None) };
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.map(Some).ok_or_else(|| Problem::malformed_parameter(name, why))
}

fn beyond() -> Problem {
    Problem::malformed_parameter("after", "The log has never come that far: the position is not of this database.")
}

/// The messages with their positions. One whose personal part was erased and that cannot be told without is left out.
fn shown<'m>(project: &'m ProjectKey, messages: &'m [Message]) -> impl Iterator<Item = (i64, Value)> + 'm {
    messages.iter().filter_map(|message| {
        let told = platform::message(project, message).ok()?;
        let mut entry = Map::from_iter([("position".to_owned(), message.position.into())]);
        entry.extend(told);
        Some((message.position, entry.into()))
    })
}
