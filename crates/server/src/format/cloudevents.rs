//! `CloudEvents`: CloudEvents 1.0, structured JSON, with the attributes of commercetools.md 8.4.

use keyherald_core::id::ProjectKey;
use keyherald_core::message::{Message, ResourceType};

use super::commercetools::Object;
use super::{Erased, Rendered, platform};

/// The event as bytes.
pub fn render(project: &ProjectKey, message: &Message) -> Result<Rendered, Erased> {
    let content = &message.facts.content;
    let resource_type = content.resource_type();
    let collection = match resource_type {
        ResourceType::Customer => "customers",
        ResourceType::CustomerPasswordToken => "customers/password-token",
        ResourceType::CustomerEmailToken => "customers/email-token",
    };
    let event = Object::default()
        .with("specversion", "1.0")
        .with("id", message.id.to_string())
        .with("type", format!("com.commercetools.{}.message.{}", resource_type.as_str(), content.type_name()))
        .with("source", format!("/{project}/{collection}"))
        .with("subject", message.resource_id.hyphenated().to_string())
        .with("time", message.created_at.iso())
        .with("sequence", message.sequence.to_string())
        .with("sequencetype", "Integer")
        // Only where `/messages` shows it: a reference that leads nowhere helps nobody.
        .with_some("dataref", message.visible.then(|| format!("/{project}/messages/{}", message.id)))
        .with("data", platform::payload(project, message)?);
    let body = serde_json::Value::from(event).to_string().into_bytes();
    Ok(Rendered { content_type: "application/cloudevents+json; charset=utf-8", body })
}
