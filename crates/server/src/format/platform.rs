//! `Platform`: the commercetools delivery payload (commercetools.md 8.3).

use keyherald_core::id::ProjectKey;
use keyherald_core::message::Message;
use serde_json::{Map, Value};

use super::commercetools::{self, Object};
use super::{Erased, Rendered};

/// The payload as JSON: the message with `notificationType` and `projectKey`, without its initiators.
pub fn payload(project: &ProjectKey, message: &Message) -> Result<Map<String, Value>, Erased> {
    let names = message.personal.as_ref().and_then(|personal| commercetools::identifiers(&personal.identifiers));
    Ok(Object::default()
        .with("notificationType", "Message")
        .with("projectKey", project.to_string())
        .with("id", message.id.to_string())
        .with("version", 1)
        .with("sequenceNumber", message.sequence)
        .with("resource", commercetools::resource(message))
        .with("resourceVersion", message.resource_version)
        .with("resourceUserProvidedIdentifiers", names.unwrap_or_else(|| Map::new().into()))
        .with("type", message.facts.content.type_name())
        .with_all(commercetools::content(message)?.into_map())
        .with("createdAt", message.created_at.iso())
        .with("lastModifiedAt", message.created_at.iso())
        .into_map())
}

/// The payload as bytes.
pub fn render(project: &ProjectKey, message: &Message) -> Result<Rendered, Erased> {
    let body = Value::from(payload(project, message)?).to_string().into_bytes();
    Ok(Rendered { content_type: "application/json; charset=utf-8", body })
}
