//! `POST /{projectKey}/subscriptions`.
//!
//! The contract sends a test notification first and keeps nothing if that fails. So do we to the contract's own destinations. A
//! `Webhook` gets none: its receiver cannot check the signature before it has the secret, which this answer is the first and
//! last to show.

use axum::http::Method;
use keyherald_core::client::Permission;
use keyherald_core::id::Key;
use keyherald_core::subscription::Command;

use super::super::reply::{Answer, Named, Reply, failed};
use super::super::request::Request;
use super::super::route::{Access, Route};
use super::draft::{self, Draft};
use super::{accepted, not_reached, subscription, unusable, with_shown_once};
use crate::app::Call;
use crate::app::destinations::{Accepted, check_format};

pub const ROUTE: Route = Route {
    method: Method::POST,
    path: "/{project}/subscriptions",
    access: Access::Token(Permission::ManageSubscriptions, |request, call| Box::pin(handle(request, call))),
};

async fn handle(request: Request, call: Call) -> Answer {
    let app = request.app.clone();
    let Draft { key, destination, selections, format, transformation } = draft::read(request.json().await?)?;
    let Accepted { settings, secret, shown_once } = accepted(&app, &destination)?;
    check_format(&settings, format).map_err(|refused| unusable(&settings.kind, refused))?;

    let named = Named::key(key.as_ref().map(Key::to_string).unwrap_or_default());
    let by = call.by.clone();
    let command = Command { key, destination: settings, selections, format, transformation, by };
    let created = app.create_subscription(call, command, secret).await;
    let created = created.map_err(|failure| failed(failure, &named))?.map_err(|at| not_reached(&at))?;
    Ok(Reply::created(with_shown_once(subscription(&created), shown_once)).secret())
}
