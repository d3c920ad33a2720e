//! `POST /admin/{projectKey}/deliveries/{subscription}/test`: sends a test message to a subscription's destination, now, and
//! answers what became of it. The subscription is named by its id, or as `key={key}`.

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use keyherald_core::Refusal;
use keyherald_core::client::Permission;
use keyherald_core::delivery::Outcome;
use keyherald_core::id::ProjectKey;

use super::super::commercetools::reply::{self, Answer, Named, Problem, Reply, failed, refused};
use super::super::commercetools::request;
use super::Served;
use crate::app::subscriptions::SubscriptionRef;
use crate::app::{App, Call};
use crate::format::commercetools::Object;

pub fn routes() -> Router<Served> {
    let tried = post(answer).fallback(|| async { reply::method_not_allowed() });
    Router::new().route("/admin/{project}/deliveries/{subscription}/test", tried)
}

async fn answer(
    State((app, _)): State<Served>,
    Path((project, subscription)): Path<(String, String)>,
    request: Request,
) -> Response {
    let span = tracing::Span::current();
    span.record("dialect", "admin");
    let project: Option<ProjectKey> = project.parse().ok();
    if let Some(project) = &project {
        span.record("project", project.as_str());
    }
    let (head, _) = request.into_parts();
    let (source, place) = (request::source(&head.extensions), (project.as_ref(), None));
    let call = request::authorize(&app, &head.headers, source, place, Permission::ManageProject).await;
    let answer = match call {
        Ok((call, _)) => handle(&app, call, &subscription).await,
        Err(problem) => Err(problem),
    };
    answer.into_response()
}

async fn handle(app: &App, call: Call, subscription: &str) -> Answer {
    let (which, named) = match subscription.strip_prefix("key=") {
        Some(key) => (key.parse().ok().map(SubscriptionRef::Key), Named::key(key)),
        None => (subscription.parse().ok().map(SubscriptionRef::Id), Named::id(subscription)),
    };
    let which = which.ok_or_else(|| refused(&Refusal::SubscriptionNotFound, &named))?;
    let tried = app.try_subscription(call, which).await.map_err(|failure| failed(failure, &named))?;
    let tried = tried.map_err(|why| Problem::invalid_input(format!("The subscription cannot be tried out: {why}.")))?;
    let latency_ms = u64::try_from(tried.latency.as_millis()).unwrap_or(u64::MAX);
    let error = match tried.probed.outcome {
        Outcome::Delivered => None,
        Outcome::Failed { reason, .. } | Outcome::Rejected { reason } | Outcome::Untransformed { reason } => {
            Some(reason)
        }
        Outcome::Gone => Some("the receiver says that it is gone".to_owned()),
        Outcome::Erased | Outcome::Moot => Some("it was not sent".to_owned()),
    };
    Ok(Reply::ok(
        Object::default()
            .with("messageId", tried.message.to_string())
            .with("delivered", error.is_none())
            .with_some("error", error)
            .with_some("status", tried.probed.status)
            .with("latencyMs", latency_ms)
            .with_some("answer", tried.probed.excerpt),
    ))
}
