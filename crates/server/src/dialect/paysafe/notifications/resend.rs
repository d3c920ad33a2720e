//! `POST /digitalwallets/v1/notifications/resend`: have events sent again, by their ids or of a span of time
//! (paysafe.md 2.3). Ids that are unknown, of another brand or of no form at all are not counted, and that is all.

use axum::http::Method;
use keyherald_core::event::EventType;
use serde_json::json;

use super::super::fields::Fields;
use super::super::reply::{Answer, Problem, Reply, failed};
use super::super::request::{Received, Request, TokenKind};
use super::super::route::Route;
use super::{Whose, customer_id, span};
use crate::app::events::Resend;

pub const ROUTE: Route = Route {
    method: Method::POST,
    path: "/digitalwallets/v1/notifications/resend",
    handle: |request| Box::pin(handle(request)),
};

async fn handle(request: Request) -> Answer {
    let (received, mut fields) = request.received(&[TokenKind::Admin]).await?;
    let by_span = ["eventType", "from", "to", "customerId"].into_iter().any(|member| fields.has(member));
    let what = if by_span { of_span(&received, &mut fields).await? } else { of_ids(&mut fields) };
    let Some(what) = what.filter(|_| !fields.is_wrong()) else { return Err(fields.problem()) };
    let resent = received.app.resend_events(received.call.project, what).await.map_err(failed)?;
    Ok(Reply::new(202, json!({"resendId": resent.id.to_string(), "matched": resent.matched})))
}

fn of_ids(fields: &mut Fields) -> Option<Resend> {
    if !fields.has("eventIds") {
        fields.refuse("eventIds", "must not be null, unless eventType, from and to are given");
        return None;
    }
    let ids = fields.texts("eventIds", Resend::IDS_MAX, "must not have more than 500 elements")?;
    Some(Resend::These(ids.iter().filter_map(|id| id.parse().ok()).collect()))
}

async fn of_span(received: &Received, fields: &mut Fields) -> Result<Option<Resend>, Problem> {
    if fields.has("eventIds") {
        fields.refuse("eventIds", "must be null where eventType, from and to are given");
    }
    let event_type: Option<EventType> = fields.word("eventType", "must be CUSTOMER_CREDENTIALS");
    if event_type.is_some_and(|event_type| !event_type.can_be_resent()) {
        fields.refuse("eventType", "must be CUSTOMER_CREDENTIALS");
    }
    let times = ["from", "to"].map(|member| {
        if !fields.has(member) {
            fields.refuse(member, "must not be null");
        }
        fields.optional_time(member)
    });
    let number = customer_id(fields);
    let [Some(from), Some(to)] = times else { return Ok(None) };
    let asked = span(fields, from, to);
    if fields.is_wrong() {
        return Ok(None);
    }
    let asked = Whose::of(&received.app, &received.call.project, number).await?.narrow(asked);
    Ok(Some(asked.map_or_else(|| Resend::These(Vec::new()), Resend::Span)))
}
