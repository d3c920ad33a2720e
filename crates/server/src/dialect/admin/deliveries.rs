//! Deliveries, looked at and put right:
//!
//! * `GET /admin/{projectKey}/deliveries`: how every subscription stands;
//! * `GET .../deliveries/{id}/waiting` and `../letters` (`customerId`, `limit`): lanes that wait, and what was put aside;
//! * `GET .../attempts` (`subscriptionId`, `customerId`, `messageId`, `before`, `limit`): what was tried, and what came of it;
//! * `POST .../deliveries/{id}/pause`, `resume`, `retry` (`customerId`), `skip` (`customerId`), `drop` (`letterId`);
//! * `POST .../deliveries/{id}/replay`: one of `messageId`, `letterId`, `customerId` with `after`, `after`, `since`; `perSecond`.
//!
//! Ids and words of ours only, never what a message says: support knows customers by their ids.

use std::str::FromStr;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use keyherald_core::Micros;
use keyherald_core::id::SubscriptionId;
use serde_json::{Value, json};

use super::super::commercetools::parameters::Parameters;
use super::super::commercetools::reply::{self, Answer, Named, Problem, Reply, failed, failed_query};
use super::{Served, admitted, customer, limit, number};
use crate::app::deliveries::{Again, Asked, Attempt, DeadLetter, PER_SECOND, ParkedLane, Standing};
use crate::app::{App, Call};
use crate::format::commercetools::Object;

/// Most messages that are sent once more in a second.
const PER_SECOND_MAX: i64 = 10_000;

/// What is asked about, or done to, one subscription.
#[derive(Clone, Copy)]
enum What {
    Waiting,
    Letters,
    Pause,
    Resume,
    Retry,
    Skip,
    Drop,
    Replay,
}

pub fn router() -> Router<Served> {
    let fallen = |routes: MethodRouter<Served>| routes.fallback(|| async { reply::method_not_allowed() });
    let of_one = |what| move |state, path, request| answer_one(what, state, path, request);
    let one = "/admin/{project}/deliveries/{id}";
    let (looked_at, done) = (
        [("waiting", What::Waiting), ("letters", What::Letters)],
        [
            ("pause", What::Pause),
            ("resume", What::Resume),
            ("retry", What::Retry),
            ("skip", What::Skip),
            ("drop", What::Drop),
            ("replay", What::Replay),
        ],
    );
    let mut router = Router::new()
        .route("/admin/{project}/deliveries", fallen(get(answer_all)))
        .route("/admin/{project}/attempts", fallen(get(answer_attempts)));
    for (word, what) in looked_at {
        router = router.route(&format!("{one}/{word}"), fallen(get(of_one(what))));
    }
    for (word, what) in done {
        router = router.route(&format!("{one}/{word}"), fallen(post(of_one(what))));
    }
    router
}

async fn answer_all(State((app, _)): State<Served>, Path(project): Path<String>, request: Request) -> Response {
    let answer: Answer = async {
        let (call, _) = admitted(&app, &project, request).await?;
        let now = app.moments.now();
        let standings = app.standings(call.project).await.map_err(failed_query)?;
        let results: Vec<Value> = standings.iter().map(|found| standing(found, now)).collect();
        Ok(Reply::ok(json!({"count": results.len(), "results": results})))
    }
    .await;
    answer.into_response()
}

async fn answer_attempts(State((app, _)): State<Served>, Path(project): Path<String>, request: Request) -> Response {
    let answer: Answer = async {
        let (call, uri) = admitted(&app, &project, request).await?;
        let parameters = Parameters::of_query(&uri)?;
        let asked = Asked {
            subscription: id(&parameters, "subscriptionId")?,
            customer: customer(&parameters)?,
            message: id(&parameters, "messageId")?,
            before: id(&parameters, "before")?,
            limit: limit(&parameters)?,
        };
        let found = app.attempts(call.project, asked).await.map_err(failed_query)?;
        let results: Vec<Value> = found.iter().map(attempt).collect();
        Ok(Reply::ok(json!({"limit": asked.limit, "count": results.len(), "results": results})))
    }
    .await;
    answer.into_response()
}

async fn answer_one(
    what: What,
    State((app, _)): State<Served>,
    Path((project, id)): Path<(String, String)>,
    request: Request,
) -> Response {
    let answer: Answer = async {
        let (call, uri) = admitted(&app, &project, request).await?;
        enter(what, &app, call, (&id, &Parameters::of_query(&uri)?)).await
    }
    .await;
    answer.into_response()
}

async fn enter(what: What, app: &App, call: Call, (named, parameters): (&str, &Parameters)) -> Answer {
    let problem = |failure| failed(failure, &Named::id(named));
    let Ok(subscription) = named.parse::<SubscriptionId>() else {
        return Err(Problem::malformed_parameter("id", "Expected a subscription's id."));
    };
    let (project, of) = (call.project, customer(parameters)?);
    let done = match what {
        What::Waiting => {
            let found = app.waiting_lanes(project, subscription, (of, limit(parameters)?)).await.map_err(problem)?;
            return Ok(Reply::ok(json!({"results": found.iter().map(waiting).collect::<Vec<_>>()})));
        }
        What::Letters => {
            let found = app.dead_letters(project, subscription, (of, limit(parameters)?)).await.map_err(problem)?;
            return Ok(Reply::ok(json!({"results": found.iter().map(letter).collect::<Vec<_>>()})));
        }
        What::Retry => {
            let count = app.retry_lanes(project, subscription, of).await.map_err(problem)?;
            return Ok(Reply::ok(json!({"lanes": count})));
        }
        What::Skip => {
            let customer = of.ok_or_else(|| missing("customerId"))?;
            let message = app.skip_message(project, subscription, customer).await.map_err(problem)?;
            return Ok(Reply::ok(json!({"messageId": message.to_string()})));
        }
        What::Pause => app.pause_deliveries(project, subscription).await,
        What::Resume => app.resume_deliveries(project, subscription).await,
        What::Drop => {
            let letter = id(parameters, "letterId")?.ok_or_else(|| missing("letterId"))?;
            app.drop_letter(project, subscription, letter).await
        }
        What::Replay => app.send_again(project, subscription, again(parameters)?).await,
    };
    done.map(|()| Reply::ok(json!({}))).map_err(problem)
}

fn again(parameters: &Parameters) -> Result<(Again, u32), Problem> {
    let after = number(parameters, "after", 0, i64::MAX - 1, "Expected a position: an integer of at least 0.")?;
    let rate = number(parameters, "perSecond", 1, PER_SECOND_MAX, "Expected an integer between 1 and 10000.")?;
    let since = match parameters.first("since").map(Micros::parse_iso) {
        Some(None) => return Err(Problem::malformed_parameter("since", "Expected a time as 2026-01-31T12:00:00Z.")),
        Some(since) => since,
        None => None,
    };
    let named = (id(parameters, "messageId")?, id(parameters, "letterId")?, customer(parameters)?, after, since);
    let again = match named {
        (Some(message), None, None, None, None) => Again::Message(message),
        (None, Some(letter), None, None, None) => Again::Letter(letter),
        (None, None, Some(customer), Some(after), None) => Again::Customer(customer, after),
        (None, None, None, Some(after), None) => Again::After(after),
        (None, None, None, None, Some(since)) => Again::Since(since),
        _ => {
            let text = "Expected one of messageId, letterId, customerId with after, after, or since.";
            return Err(Problem::invalid_input(text));
        }
    };
    Ok((again, rate.and_then(|rate| u32::try_from(rate).ok()).unwrap_or(PER_SECOND)))
}

fn id<T: FromStr>(parameters: &Parameters, name: &str) -> Result<Option<T>, Problem> {
    let Some(text) = parameters.first(name) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| Problem::malformed_parameter(name, "Expected an id."))
}

fn missing(name: &str) -> Problem {
    Problem::invalid_input(format!("Missing required parameter: {name}."))
}

/// How a subscription stands at `now`.
pub fn standing(found: &Standing, now: Micros) -> Value {
    let subscription = &found.subscription;
    let lag_s = found.owed_since.map_or(0, |since| (now.0 - since.0).max(0) / Micros::SECOND);
    Object::default()
        .with("id", subscription.id.to_string())
        .with_some("key", subscription.key.as_ref().map(ToString::to_string))
        .with("destination", subscription.destination.kind.as_str())
        .with("status", subscription.status.as_str())
        .with_some("pausedAt", found.attended.paused_at.map(Micros::iso))
        .with("lagMessages", found.owed)
        .with("lagSeconds", lag_s)
        .with("waitingCustomers", found.waiting)
        .with("heldCustomers", found.held)
        .with("deadLetters", found.letters)
        .into()
}

fn waiting(lane: &ParkedLane) -> Value {
    Object::default()
        .with("customerId", lane.customer.to_string())
        .with("fromPosition", lane.from_position)
        .with("since", lane.parked_at.iso())
        .with("attempts", lane.failed_attempts)
        .with_some("nextAt", lane.next_at.map(Micros::iso))
        .with("lastError", lane.last_error.as_str())
        .into()
}

fn letter(letter: &DeadLetter) -> Value {
    Object::default()
        .with("id", letter.id.to_string())
        .with("position", letter.position)
        .with("messageId", letter.message.to_string())
        .with("customerId", letter.customer.to_string())
        .with("at", letter.created_at.iso())
        .with("attempts", letter.attempts)
        .with("reason", letter.reason.as_str())
        .with("lastError", letter.last_error.as_str())
        .into()
}

fn attempt(attempt: &Attempt) -> Value {
    Object::default()
        .with("id", attempt.id.to_string())
        .with("subscriptionId", attempt.subscription.to_string())
        .with("messageId", attempt.message.to_string())
        .with("customerId", attempt.customer.to_string())
        .with("position", attempt.position)
        .with("attempt", attempt.number)
        .with("at", attempt.at.iso())
        .with("durationMs", attempt.duration_us / 1000)
        .with("outcome", attempt.outcome.as_str())
        .with_some("reason", attempt.reason.as_deref())
        .with("isReplay", attempt.is_replay)
        .into()
}
