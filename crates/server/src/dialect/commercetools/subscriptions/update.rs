//! `POST /{projectKey}/subscriptions/{id}` and `/key={key}`: update actions (commercetools.md 8.1).
//!
//! As when a subscription is made, the contract's own destinations get a test notification and a `Webhook` gets none, and the
//! answer is the first and last to show a secret that was made for it.

use axum::http::Method;
use keyherald_core::Refusal;
use keyherald_core::client::Permission;
use keyherald_core::subscription::{Action, Update};

use super::super::fields::{Fields, INDEXED_CHARS_MAX};
use super::super::reply::{Answer, Named, Problem, Reply, failed};
use super::super::request::Request;
use super::super::route::{Access, Route};
use super::{Target, accepted, draft, extension, not_reached, subscription, unusable, with_shown_once};
use crate::app::destinations::{Accepted, check_format};
use crate::app::{App, Call, Failure};

pub const BY_ID: Route = Route {
    method: Method::POST,
    path: "/{project}/subscriptions/{id}",
    access: Access::Token(Permission::ManageSubscriptions, |request, call| {
        let target = Target::by_id(&request.captured);
        Box::pin(handle(request, call, target))
    }),
};

pub const BY_KEY: Route = Route {
    method: Method::POST,
    path: "/{project}/subscriptions/key={key}",
    access: Access::Token(Permission::ManageSubscriptions, |request, call| {
        let target = Target::by_key(&request.captured);
        Box::pin(handle(request, call, target))
    }),
};

/// The actions by name.
const ACTIONS: [&str; 7] =
    ["changeDestination", "setChanges", "setEvents", "setFilter", "setKey", "setMessages", "setTransformation"];

async fn handle(request: Request, call: Call, target: Result<Target, Problem>) -> Answer {
    let app = request.app.clone();
    let Target { which, named } = target?;
    let mut body = request.json().await?;
    let version = body.required_integer("version")?;
    body.require("actions")?;
    let (mut actions, mut destination) = (Vec::new(), None);
    for draft in body.objects("actions", usize::MAX)? {
        actions.push(action(draft, &app, &mut destination)?);
    }
    if let Some(to) = &destination {
        // A subscription's format never changes: what it is now will be there when it is written.
        let there = app.subscription(call.clone(), which.clone()).await.map_err(|failure| failed(failure, &named))?;
        check_format(&to.settings, there.format).map_err(|refused| unusable(&to.settings.kind, refused))?;
    }
    let (secret, shown_once) = destination.map(|to| (to.secret, to.shown_once)).unwrap_or_default();

    let update = Update { version, actions, by: call.by.clone() };
    let new_key = update.key();
    let updated =
        app.update_subscription(call, which, update, secret).await.map_err(|failure| match (&failure, new_key) {
            (Failure::Refused(Refusal::Duplicate(_)), Some(key)) => failed(failure, &Named::key(key.to_string())),
            _ => failed(failure, &named),
        })?;
    let updated = updated.map_err(|at| not_reached(&at))?;
    Ok(Reply::ok(with_shown_once(subscription(&updated), shown_once)).secret())
}

/// Reads an action. Of several new destinations the last one counts, and its secret with it.
fn action(mut draft: Fields, app: &App, destination: &mut Option<Accepted>) -> Result<Action, Problem> {
    let name = draft.required_text("action", INDEXED_CHARS_MAX)?;
    Ok(match name.as_str() {
        "changeDestination" => {
            let to = accepted(app, &draft::destination(&mut draft)?)?;
            Action::ChangeDestination(destination.insert(to).settings.clone())
        }
        "setChanges" => Action::SetChanges(draft::changes(&mut draft)?),
        "setEvents" => Action::SetEvents(draft::events(&mut draft)?),
        "setFilter" => Action::SetFilter(extension::filter(&mut draft)?),
        "setKey" => Action::SetKey(draft.key("key")?),
        "setMessages" => Action::SetMessages(draft::messages(&mut draft)?),
        "setTransformation" => Action::SetTransformation(extension::transformation(&mut draft)?),
        other => return Err(draft.unknown("action", other, ACTIONS.into_iter())),
    })
}
