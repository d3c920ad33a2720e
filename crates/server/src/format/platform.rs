//! `Platform`: the commercetools delivery payloads (commercetools.md 8.3).

use keyherald_core::customer::fold_email;
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

/// What filters are held against: the payload; of a message that cannot be rendered any more, what is left of it. A created
/// customer has its `lowercaseEmail` besides, by which predicates may ask for it.
pub fn fields(project: &ProjectKey, notice: &Notice) -> Map<String, Value> {
    let fields = match (payload(project, notice, Extent::Whole), notice) {
        (Ok(payload), _) => Some(payload),
        (Err(Erased), Notice::Message(told)) => Some(envelope(project, told, Map::new())),
        (Err(Erased), _) => None,
    };
    let mut fields = fields.unwrap_or_default();
    if let Some(customer) = fields.get_mut("customer").and_then(Value::as_object_mut)
        && let Some(email) = customer.get("email").and_then(Value::as_str).map(fold_email)
    {
        customer.insert("lowercaseEmail".to_owned(), email.into());
    }
    fields
}

/// The message with `notificationType` and `projectKey`, without its initiators.
pub fn message(project: &ProjectKey, message: &Message) -> Result<Map<String, Value>, Erased> {
    told(project, message, Extent::Whole)
}

fn told(project: &ProjectKey, message: &Message, extent: Extent) -> Result<Map<String, Value>, Erased> {
    let fields = match extent {
        Extent::Whole => commercetools::content(message)?.into_map(),
        Extent::WithoutPayload => {
            let kind = message.facts.content.type_name();
            Object::default()
                .with("payloadNotIncluded", json!({"reason": "Payload too large.", "payloadType": kind}))
                .into_map()
        }
    };
    Ok(envelope(project, message, fields))
}

fn envelope(project: &ProjectKey, message: &Message, content: Map<String, Value>) -> Map<String, Value> {
    let names = message.personal.as_ref().and_then(|personal| commercetools::identifiers(&personal.identifiers));
    Object::default()
        .with("notificationType", "Message")
        .with("projectKey", project.to_string())
        .with("id", message.id.to_string())
        .with("version", 1)
        .with("sequenceNumber", message.sequence)
        .with("resource", commercetools::resource(message.facts.content.resource_type(), message.resource_id))
        .with("resourceVersion", message.resource_version)
        .with("resourceUserProvidedIdentifiers", names.unwrap_or_else(|| Map::new().into()))
        .with("type", message.facts.content.type_name())
        .with_all(content)
        .with("createdAt", message.created_at.iso())
        .with("lastModifiedAt", message.created_at.iso())
        .into_map()
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
    let payload = payload(project, notice, extent)?;
    // The quick way fails for keys that are no text alone: there are none.
    let body = serde_json::to_vec(&payload).unwrap_or_else(|_| Value::from(payload).to_string().into_bytes());
    Ok(Rendered { content_type: "application/json; charset=utf-8", body })
}
