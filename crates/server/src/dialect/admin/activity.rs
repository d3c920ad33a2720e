//! `GET /admin/{projectKey}/activity?customerId=&limit=&after=`: who tried what, when, by which way, and how it ended.
//!
//! Entries stand in the order of the log, the newest last: the last `limit` ones, or with `after` the first ones behind
//! that position. `after` in the answer is the position to ask on from; it is absent while nothing is known to ask on
//! from. What is past the project's retention is not shown.

use serde_json::Value;

use super::super::commercetools::parameters::Parameters;
use super::super::commercetools::reply::{Answer, Named, Problem, Reply, failed};
use super::{customer, limit, number};
use crate::app::activity::Asked;
use crate::app::{App, Call};
use crate::format::commercetools::Object;
use crate::format::{EventIds, naviga_activity};

pub async fn handle(app: &App, ids: &EventIds, call: Call, parameters: &Parameters) -> Answer {
    let asked = asked(parameters)?;
    let project = call.project.clone();
    let found = app.activity(call, asked).await.map_err(|failure| failed(failure, &Named::default()))?;
    let results: Vec<Value> =
        found.entries.iter().map(|recorded| naviga_activity::entry(&project, recorded, ids).into()).collect();
    Ok(Reply::ok(
        Object::default()
            .with("limit", asked.limit)
            .with("count", results.len())
            .with_some("after", found.after)
            .with("results", results),
    ))
}

fn asked(parameters: &Parameters) -> Result<Asked, Problem> {
    let after = number(parameters, "after", 0, i64::MAX, "Expected a position: an integer of at least 0.")?;
    Ok(Asked { customer: customer(parameters)?, after, limit: limit(parameters)? })
}
