//! `GET /digitalwallets/v1/notifications`: events in the order in which they happened, without their bodies
//! (paysafe.md 7.3, 8.5). Without a span, those of the last 31 days.

use axum::http::Method;
use keyherald_core::event;
use serde_json::{Map, Value, json};

use super::super::reply::{Answer, Reply, failed};
use super::super::request::{Request, TokenKind};
use super::super::route::Route;
use super::{Whose, customer_id, span};
use crate::app::events::{Listed, Resend};

pub const ROUTE: Route = Route {
    method: Method::GET,
    path: "/digitalwallets/v1/notifications",
    handle: |request| Box::pin(handle(request)),
};

const LIMIT: i64 = 10;
const LIMIT_MAX: i64 = 50;
/// Whoever wants what comes later asks for a later span.
const OFFSET_MAX: i64 = 10_000;

async fn handle(request: Request) -> Answer {
    let (received, mut fields) = request.asked(&[TokenKind::Admin]).await?;
    let now = received.app.moments.now();
    let to = fields.optional_time("to").unwrap_or(now);
    let from = fields.optional_time("from").unwrap_or_else(|| to.plus(-Resend::SPAN_MAX));
    let limit = fields.number("limit", 1..=LIMIT_MAX, "must be between 1 and 50").unwrap_or(LIMIT);
    let offset = fields.number("offset", 0..=OFFSET_MAX, "must be between 0 and 10000").unwrap_or_default();
    let number = customer_id(&mut fields);
    let asked = span(&mut fields, from, to);
    if fields.is_wrong() {
        return Err(fields.problem());
    }
    let project = received.call.project;
    let listed = match Whose::of(&received.app, &project, number).await?.narrow(asked) {
        Some(asked) => received.app.list_events(project, asked, (limit, offset)).await.map_err(failed)?,
        None => Vec::new(),
    };
    let notifications: Vec<Value> = listed.iter().map(shown).collect();
    Ok(Reply::new(200, json!({"notifications": notifications, "meta": {"limit": limit, "offset": offset}})))
}

fn shown(event: &Listed) -> Value {
    let mut members = Map::new();
    members.insert("id".to_owned(), event.id.to_string().into());
    members.insert("eventType".to_owned(), event.event_type.as_str().into());
    members.insert("timestamp".to_owned(), event::timestamp(event.at).into());
    if let Some(number) = &event.number {
        members.insert("customerId".to_owned(), number.as_str().into());
    }
    members.insert("status".to_owned(), event.state.as_str().into());
    if let Some(at) = event.delivered_at {
        members.insert("deliveryTime".to_owned(), event::timestamp(at).into());
    }
    members.insert("resendable".to_owned(), event.is_kept.into());
    Value::Object(members)
}
