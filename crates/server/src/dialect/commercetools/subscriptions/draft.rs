//! A SubscriptionDraft (commercetools.md 8.1), checked for its form. Its destination is checked by the destination's kind.

use keyherald_core::id::Key;
use keyherald_core::subscription::{FormatKind, MessageSelection};
use serde_json::{Map, Value};

use super::super::fields::{Fields, INDEXED_CHARS_MAX};
use super::super::reply::Problem;

/// Selections that a subscription may have: more than there are resource types.
const SELECTIONS_MAX: usize = 50;
/// Message types that a selection may name.
const TYPES_MAX: usize = 200;

/// The resource types of the contract's messages. Those that this server never writes messages about are accepted: they
/// never match.
const RESOURCE_TYPES: [&str; 22] = [
    "approval-flow",
    "approval-rule",
    "associate-role",
    "business-unit",
    "category",
    "customer",
    "customer-email-token",
    "customer-group",
    "customer-password-token",
    "inventory-entry",
    "order",
    "payment",
    "product",
    "product-selection",
    "product-tailoring",
    "quote",
    "quote-request",
    "review",
    "shopping-list",
    "staged-quote",
    "standalone-price",
    "store",
];

const FORMATS: [(&str, FormatKind); 2] = [("Platform", FormatKind::Platform), ("CloudEvents", FormatKind::CloudEvents)];

/// A draft whose form is right.
pub struct Draft {
    pub key: Option<Key>,
    /// The destination's `type`.
    pub kind: String,
    /// Its other fields.
    pub destination: Map<String, Value>,
    pub messages: Vec<MessageSelection>,
    pub format: FormatKind,
}

/// Reads a draft.
pub fn read(mut body: Fields) -> Result<Draft, Problem> {
    let key = body.key("key")?;
    let Some(mut destination) = body.object("destination")? else { return Err(body.missing("destination")) };
    let kind = destination.required_text("type", INDEXED_CHARS_MAX)?;
    let messages =
        body.objects("messages", SELECTIONS_MAX)?.into_iter().map(selection).collect::<Result<Vec<_>, _>>()?;
    let unsupported = body.objects("changes", SELECTIONS_MAX)?.len() + body.objects("events", SELECTIONS_MAX)?.len();
    if unsupported > 0 {
        return Err(Problem::not_available("Change and event notifications are"));
    }
    if messages.is_empty() {
        let text = "A subscription must contain at least one message notification or one change notification.";
        return Err(Problem::invalid_input(text));
    }
    let format = format(&mut body)?;
    Ok(Draft { key, kind, destination: destination.into_rest(), messages, format })
}

fn selection(mut draft: Fields) -> Result<MessageSelection, Problem> {
    let known = RESOURCE_TYPES.map(|name| (name, name));
    let resource_type = draft.one_of("resourceTypeId", &known)?;
    let resource_type = resource_type.ok_or_else(|| draft.missing("resourceTypeId"))?.to_owned();
    let types = draft.texts("types", TYPES_MAX, INDEXED_CHARS_MAX)?;
    Ok(MessageSelection { resource_type, types })
}

fn format(body: &mut Fields) -> Result<FormatKind, Problem> {
    let Some(mut format) = body.object("format")? else { return Ok(FormatKind::default()) };
    let kind = format.one_of("type", &FORMATS)?.ok_or_else(|| format.missing("type"))?;
    if kind == FormatKind::CloudEvents {
        let version = format.required_text("cloudEventsVersion", INDEXED_CHARS_MAX)?;
        if version != "1.0" {
            return Err(Problem::invalid_field("format.cloudEventsVersion", &Value::from(version)));
        }
    }
    Ok(kind)
}
