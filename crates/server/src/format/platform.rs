//! `Platform`: the commercetools delivery payloads (commercetools.md 8.3).

use keyherald_core::id::ProjectKey;
use keyherald_core::message::Message;
use keyherald_core::notice::{Change, ChangeKind, Notice};
use serde_json::{Map, Value, json};

use super::commercetools::{self, Object};
use super::{Erased, Extent, Rendered};

/// The payload as JSON.
pub fn payload(project: &ProjectKey, notice: &Notice, extent: Extent) -> Result<Map<String, Value>, Erased> {
    match notice {
        Notice::Message(message) => told(project, message, extent),
        Notice::Change(told) => Ok(change(project, told)),
        Notice::Activity(_) | Notice::Event(_) => Err(Erased), // have a form of their own, and are asked for in no other
    }
}

/// The message with `notificationType` and `projectKey`, without its initiators.
pub fn message(project: &ProjectKey, message: &Message) -> Result<Map<String, Value>, Erased> {
    told(project, message, Extent::Whole)
}

fn told(project: &ProjectKey, message: &Message, extent: Extent) -> Result<Map<String, Value>, Erased> {
    let kind = message.facts.content.type_name();
    let fields = match extent {
        Extent::Whole => commercetools::content(message)?,
        Extent::WithoutPayload => {
            Object::default().with("payloadNotIncluded", json!({"reason": "Payload too large.", "payloadType": kind}))
        }
    };
    let names = message.personal.as_ref().and_then(|personal| commercetools::identifiers(&personal.identifiers));
    Ok(Object::default()
        .with("notificationType", "Message")
        .with("projectKey", project.to_string())
        .with("id", message.id.to_string())
        .with("version", 1)
        .with("sequenceNumber", message.sequence)
        .with("resource", commercetools::resource(message.facts.content.resource_type(), message.resource_id))
        .with("resourceVersion", message.resource_version)
        .with("resourceUserProvidedIdentifiers", names.unwrap_or_else(|| Map::new().into()))
        .with("type", kind)
        .with_all(fields.into_map())
        .with("createdAt", message.created_at.iso())
        .with("lastModifiedAt", message.created_at.iso())
        .into_map())
}

/// That a resource has another version.
fn change(project: &ProjectKey, change: &Change) -> Map<String, Value> {
    let names = commercetools::identifiers(&change.identifiers);
    let kind = change.facts.kind;
    let (old_version, data_erasure) = match kind {
        ChangeKind::Created => (None, None),
        ChangeKind::Updated { old_version } => (Some(old_version), None),
        ChangeKind::Deleted { data_erasure } => (None, data_erasure.then_some(true)),
    };
    Object::default()
        .with("notificationType", kind.type_name())
        .with("projectKey", project.to_string())
        .with("resource", commercetools::resource(change.facts.resource_type, change.resource_id))
        .with("resourceUserProvidedIdentifiers", names.unwrap_or_else(|| Map::new().into()))
        .with("version", change.version)
        .with_some("oldVersion", old_version)
        .with("modifiedAt", change.at.iso())
        .with_some("dataErasure", data_erasure)
        .into_map()
}

/// The payload as bytes.
pub fn render(project: &ProjectKey, notice: &Notice, extent: Extent) -> Result<Rendered, Erased> {
    let body = Value::from(payload(project, notice, extent)?).to_string().into_bytes();
    Ok(Rendered { content_type: "application/json; charset=utf-8", body })
}
