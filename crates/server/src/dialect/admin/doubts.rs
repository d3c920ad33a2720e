//! `GET /admin/{projectKey}/records-in-doubt?customerId=&limit=&after=`: what was about to be written to users' records at an
//! identity provider, and is not known to be the same here. In the order in which it began; `after` is the last id of the
//! page before. No addresses: of a new user nothing is shown but that it is one.

use keyherald_core::Micros;
use keyherald_core::doubt::{About, Doubt};
use keyherald_core::id::DoubtId;
use serde_json::Value;

use super::super::commercetools::parameters::Parameters;
use super::super::commercetools::reply::{Answer, Named, Problem, Reply, failed};
use super::{customer, limit};
use crate::app::{App, Call};
use crate::format::commercetools::Object;

pub async fn handle(app: &App, call: Call, parameters: &Parameters) -> Answer {
    let (customer, limit) = (customer(parameters)?, limit(parameters)?);
    let after: Option<DoubtId> = match parameters.first("after") {
        None => None,
        Some(text) => {
            let id = text.parse().map_err(|_| Problem::malformed_parameter("after", "Expected a record's id."))?;
            Some(id)
        }
    };
    let listed = app.list_doubts(call.project, customer, after, limit).await;
    let listed = listed.map_err(|failure| failed(failure, &Named::default()))?;
    let results: Vec<Value> = listed.iter().map(|(doubt, due)| shown(doubt, *due)).collect();
    Ok(Reply::ok(Object::default().with("limit", limit).with("count", results.len()).with("results", results)))
}

fn shown(doubt: &Doubt, due: Micros) -> Value {
    let customer = match &doubt.about {
        About::Customer(id) => Some(id.to_string()),
        About::Address(_) => None,
    };
    Object::default()
        .with("id", doubt.id.to_string())
        .with_some("customerId", customer)
        .with("provider", doubt.provider.to_string())
        .with("code", doubt.event())
        .with("since", doubt.began_at.iso())
        .with("looks", doubt.looks)
        .with("nextLookAt", due.iso())
        .into()
}
