//! `POST /{projectKey}/subscriptions`.
//!
//! The contract sends a test notification first and keeps nothing if that fails. A `Webhook` gets none: its receiver
//! cannot check the signature before it has the secret, which this answer is the first and last to show.

use axum::http::Method;
use keyherald_core::client::Permission;
use keyherald_core::id::Key;
use keyherald_core::subscription::Command;
use serde_json::Value;

use super::super::reply::{Answer, Named, Problem, Reply, failed};
use super::super::request::Request;
use super::super::route::{Access, Route};
use super::draft::{self, Draft};
use super::subscription;
use crate::app::Call;
use crate::app::destinations::{Accepted, DestinationRefused};

pub const ROUTE: Route = Route {
    method: Method::POST,
    path: "/{project}/subscriptions",
    access: Access::Token(Permission::ManageSubscriptions, |request, call| Box::pin(handle(request, call))),
};

/// The contract's own destinations.
const CONTRACT_KINDS: [&str; 8] =
    ["SQS", "SNS", "EventBridge", "AzureServiceBus", "EventGrid", "GoogleCloudPubSub", "ConfluentCloud", "IronMQ"];

async fn handle(request: Request, call: Call) -> Answer {
    let app = request.app.clone();
    let Draft { key, kind, destination, messages, format } = draft::read(request.json().await?)?;
    let Accepted { settings, secret, shown_once } =
        app.accept_destination(&kind, &destination).map_err(|refused| refused_destination(&kind, refused))?;

    let named = Named::key(key.as_ref().map(Key::to_string).unwrap_or_default());
    let command = Command { key, destination: settings, messages, format, by: call.by.clone() };
    let created = app.create_subscription(call, command, secret).await;
    let created = created.map_err(|failure| failed(failure, &named))?;

    let mut body = subscription(&created);
    if let Some(destination) = body.get_mut("destination").and_then(Value::as_object_mut) {
        destination.extend(shown_once);
    }
    Ok(Reply::created(body).secret())
}

fn refused_destination(kind: &str, refused: DestinationRefused) -> Problem {
    match refused {
        DestinationRefused::UnknownKind { known } if CONTRACT_KINDS.contains(&kind) => {
            let known = known.join(", ");
            Problem::invalid_input(format!(
                "Destinations of type {kind} are not available on this server; use one of: {known}."
            ))
        }
        DestinationRefused::UnknownKind { known } => {
            let known: Vec<String> = known.iter().map(|known| format!("'{known}'")).collect();
            let known = known.join(",");
            Problem::invalid_json(format!(
                "destination -> type: Invalid enum value: '{kind}'. Expected one of: {known}"
            ))
        }
        DestinationRefused::Settings(text) => Problem::invalid_input(text),
    }
}
