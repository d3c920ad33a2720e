//! `GET /admin/{projectKey}/activity?customerId=&limit=&after=`: who tried what, when, by which way, and how it ended.
//!
//! Entries stand in the order of the log, the newest last: the last `limit` ones, or with `after` the first ones behind
//! that position. `after` in the answer is the position to ask on from; it is absent while nothing is known to ask on
//! from. What is past the project's retention is not shown.

use keyherald_core::id::CustomerId;
use serde_json::Value;

use super::super::commercetools::parameters::Parameters;
use super::super::commercetools::reply::{Answer, Named, Problem, Reply, failed};
use crate::app::activity::Asked;
use crate::app::{App, Call};
use crate::format::commercetools::Object;
use crate::format::naviga_activity;

const LIMIT_DEFAULT: i64 = 20;
const LIMIT_MAX: i64 = 500;

pub async fn handle(app: &App, call: Call, parameters: &Parameters) -> Answer {
    let asked = asked(parameters)?;
    let found = app.activity(call, asked).await.map_err(|failure| failed(failure, &Named::default()))?;
    let results: Vec<Value> = found.entries.iter().map(|recorded| naviga_activity::entry(recorded).into()).collect();
    Ok(Reply::ok(
        Object::default()
            .with("limit", asked.limit)
            .with("count", results.len())
            .with_some("after", found.after)
            .with("results", results),
    ))
}

fn asked(parameters: &Parameters) -> Result<Asked, Problem> {
    let customer = match parameters.first("customerId") {
        Some(text) => {
            let id: Result<CustomerId, _> = text.parse();
            Some(id.map_err(|_| Problem::malformed_parameter("customerId", "Expected a customer's id."))?)
        }
        None => None,
    };
    let after = number(parameters, "after", 0, i64::MAX, "Expected a position: an integer of at least 0.")?;
    let limit = number(parameters, "limit", 1, LIMIT_MAX, "Expected an integer between 1 and 500.")?;
    Ok(Asked { customer, after, limit: limit.unwrap_or(LIMIT_DEFAULT) })
}

fn number(parameters: &Parameters, name: &str, min: i64, max: i64, why: &str) -> Result<Option<i64>, Problem> {
    let Some(text) = parameters.first(name) else { return Ok(None) };
    let number = text.parse().ok().filter(|number| (min..=max).contains(number));
    number.map(Some).ok_or_else(|| Problem::malformed_parameter(name, why))
}
