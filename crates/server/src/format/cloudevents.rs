//! `CloudEvents`: CloudEvents 1.0, structured JSON, with the attributes of commercetools.md 8.4.

use keyherald_core::id::ProjectKey;
use keyherald_core::message::ResourceType;
use keyherald_core::notice::{ChangeFacts, Notice};
use keyherald_core::trace::TraceContext;
use serde_json::Value;

use super::commercetools::Object;
use super::{Erased, Extent, Rendered, platform};

/// The event as bytes.
pub fn render(project: &ProjectKey, notice: &Notice, extent: Extent) -> Result<Rendered, Erased> {
    let (resource_type, resource_id, kind) = match notice {
        Notice::Message(message) => {
            let content = &message.facts.content;
            (content.resource_type(), message.resource_id, format!("message.{}", content.type_name()))
        }
        Notice::Change(change) => {
            let ChangeFacts { resource_type, kind, .. } = change.facts;
            (resource_type, change.resource_id, format!("change.{}", kind.type_name()))
        }
        Notice::Activity(_) | Notice::Event(_) => return Err(Erased), // have a form of their own, and are asked for in no other
    };
    let event = Object::default()
        .with("specversion", "1.0")
        .with("id", notice.id().to_string())
        .with("type", format!("com.commercetools.{}.{kind}", resource_type.as_str()))
        .with("source", format!("/{project}/{}", collection(resource_type)))
        .with("subject", resource_id.hyphenated().to_string())
        .with("time", notice.at().iso())
        .with_all(of_messages_only(project, notice).into_map())
        .with_all(of_trace(notice).into_map())
        .with("data", platform::payload(project, notice, extent)?);
    let body = Value::from(event).to_string().into_bytes();
    Ok(Rendered { content_type: "application/cloudevents+json; charset=utf-8", body })
}

/// The REST collection of a kind of resource.
fn collection(resource_type: ResourceType) -> &'static str {
    match resource_type {
        ResourceType::Customer => "customers",
        ResourceType::CustomerPasswordToken => "customers/password-token",
        ResourceType::CustomerEmailToken => "customers/email-token",
        ResourceType::Store => "stores",
        ResourceType::Subscription => "subscriptions",
    }
}

/// The extension of distributed tracing: where the event arose, whoever sends it when (standards.md 3.4).
fn of_trace(notice: &Notice) -> Object {
    let fields = notice.trace().into_iter().flat_map(TraceContext::fields);
    fields.fold(Object::default(), |object, (name, value)| object.with(name, value))
}

fn of_messages_only(project: &ProjectKey, notice: &Notice) -> Object {
    let Notice::Message(message) = notice else { return Object::default() };
    Object::default()
        .with("sequence", message.sequence.to_string())
        .with("sequencetype", "Integer")
        // Only where `/messages` shows it: a reference that leads nowhere helps nobody.
        .with_some("dataref", message.visible.then(|| format!("/{project}/messages/{}", message.id)))
}
