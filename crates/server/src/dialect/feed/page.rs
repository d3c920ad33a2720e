//! One page: `?after=&customerId=&limit=&wait=`. With `wait`, an answer that would be empty is held back for so many seconds,
//! until there is a message.
//!
//! `after` in the answer is the position to ask on from. It moves on over what is not shown, too.

use std::time::Duration;

use serde_json::Value;

use super::super::commercetools::parameters::Parameters;
use super::super::commercetools::reply::{Answer, Problem, Reply, failed_query};
use super::{admitted, asked, beyond, number, shown};
use crate::app::feed::Fetched;
use crate::app::{App, Call};
use crate::format::commercetools::Object;

/// Longest wait in seconds: shorter than a request may take, and than most proxies wait.
const WAIT_MAX_S: i64 = 20;

pub async fn answer(app: &App, call: &Call, parameters: &Parameters) -> Answer {
    let asked = asked(parameters)?;
    let wait = number(parameters, "wait", 0..=WAIT_MAX_S, "Expected seconds: an integer between 0 and 20.")?;
    let wait = Duration::from_secs(wait.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(0));
    let _place = if wait.is_zero() { None } else { Some(admitted(app)?) };
    match app.fetch(&call.project, asked, wait).await.map_err(failed_query)? {
        Fetched::Page(messages, after) => {
            let results: Vec<Value> = shown(&call.project, &messages).map(|(_, entry)| entry).collect();
            let body = Object::default()
                .with("limit", asked.limit)
                .with("count", results.len())
                .with("after", after)
                .with("results", results);
            Ok(Reply::ok(body).secret())
        }
        Fetched::Gone { complete_after, first } => Err(Problem::position_gone(complete_after, first)),
        Fetched::Beyond => Err(beyond()),
    }
}
