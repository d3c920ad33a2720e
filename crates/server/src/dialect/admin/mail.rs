//! `GET /admin/{projectKey}/mail?customerId=&limit=`, and `../sms`: whether mail or SMS goes out, whose waits and since when,
//! and which will not be sent. No addresses, numbers or words: support knows the customer by the id.

use keyherald_core::Micros;
use keyherald_core::mail::Channel;
use keyherald_core::subscription::SubscriptionStatus;

use serde_json::{Value, json};

use super::super::commercetools::parameters::Parameters;
use super::super::commercetools::reply::{Answer, Named, Reply, failed};
use super::{customer, limit};
use crate::app::mail::{DeadLetter, ParkedLane};
use crate::app::{App, Call};
use crate::format::commercetools::Object;

pub async fn handle(app: &App, call: Call, channel: Channel, parameters: &Parameters) -> Answer {
    let (customer, limit) = (customer(parameters)?, limit(parameters)?);
    let state = app.told_state(call.project, channel, customer, limit).await;
    let Some(state) = state.map_err(|failure| failed(failure, &Named::default()))? else {
        return Ok(Reply::ok(json!({"status": "Off", "waiting": [], "putAside": []})));
    };
    let status: SubscriptionStatus = state.subscription.status;
    Ok(Reply::ok(
        Object::default()
            .with("status", status.as_str())
            .with("waiting", state.waiting.iter().map(waiting).collect::<Vec<_>>())
            .with("putAside", state.put_aside.iter().map(put_aside).collect::<Vec<_>>()),
    ))
}

fn waiting(lane: &ParkedLane) -> Value {
    Object::default()
        .with("customerId", lane.customer.to_string())
        .with("since", lane.parked_at.iso())
        .with("attempts", lane.failed_attempts)
        .with_some("nextAt", lane.next_at.map(Micros::iso))
        .with("lastError", lane.last_error.as_str())
        .into()
}

fn put_aside(letter: &DeadLetter) -> Value {
    Object::default()
        .with("customerId", letter.customer.to_string())
        .with("messageId", letter.message.to_string())
        .with("at", letter.created_at.iso())
        .with("attempts", letter.attempts)
        .with("reason", letter.reason.as_str())
        .with("lastError", letter.last_error.as_str())
        .into()
}
