//! A message as Pub/Sub takes it: `PubsubMessage` of its REST API, with the attributes of Google's binding of CloudEvents
//! (structured: `content-type` says so, and the event's attributes are attributes besides, for filters).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::destination::Delivery;

/// Longest value of an attribute, in bytes. Longer ones stay in the event alone.
const VALUE_BYTES_MAX: usize = 1024;

/// The body of `topics.publish`.
pub(super) fn request(delivery: &Delivery) -> Vec<u8> {
    let message = json!({
        "data": STANDARD.encode(&delivery.body),
        "attributes": attributes(delivery),
        "orderingKey": delivery.customer.to_string(),
    });
    json!({"messages": [message]}).to_string().into_bytes()
}

fn attributes(delivery: &Delivery) -> Map<String, Value> {
    let mut attributes = Map::new();
    if delivery.content_type.starts_with("application/cloudevents+json") {
        let event: Map<String, Value> = serde_json::from_slice(&delivery.body).unwrap_or_default();
        let texts = event.into_iter().filter(|(name, _)| name != "data").filter_map(|(name, value)| match value {
            Value::String(text) if text.len() <= VALUE_BYTES_MAX => Some((format!("ce-{name}"), text.into())),
            _ => None,
        });
        attributes.extend(texts);
    }
    attributes.insert("id".to_owned(), delivery.message_id.to_string().into());
    attributes.insert("project".to_owned(), delivery.project.to_string().into());
    attributes.insert("customer".to_owned(), delivery.customer.to_string().into());
    attributes.insert("content-type".to_owned(), delivery.content_type.into());
    if delivery.is_replay {
        attributes.insert("keyherald-replay".to_owned(), "true".into());
    }
    attributes.extend(delivery.trace_fields().map(|(name, value)| (name.to_owned(), value.into())));
    attributes
}
