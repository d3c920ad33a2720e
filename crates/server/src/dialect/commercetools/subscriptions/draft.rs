//! A SubscriptionDraft (commercetools.md 8.1) and the parts that update actions have of it, checked for their form. Its
//! destination is checked by the destination's kind.

use keyherald_core::id::Key;
use keyherald_core::subscription::{ACTIVITY, FormatKind, MessageSelection, Selections, Transformation};
use serde_json::{Map, Value};

use super::super::fields::{Fields, INDEXED_CHARS_MAX};
use super::super::reply::Problem;
use super::extension;

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

/// The same of changes.
const CHANGING_TYPES: [&str; 41] = [
    "approval-flow",
    "approval-rule",
    "associate-role",
    "attribute-group",
    "business-unit",
    "cart",
    "cart-discount",
    "category",
    "channel",
    "customer",
    "customer-email-token",
    "customer-group",
    "customer-password-token",
    "discount-code",
    "discount-group",
    "extension",
    "inventory-entry",
    "key-value-document",
    "order",
    "order-edit",
    "payment",
    "product",
    "product-discount",
    "product-selection",
    "product-tailoring",
    "product-type",
    "quote",
    "quote-request",
    "recurrence-policy",
    "recurring-order",
    "review",
    "shipping-method",
    "shopping-list",
    "staged-quote",
    "standalone-price",
    "state",
    "store",
    "subscription",
    "tax-category",
    "type",
    "zone",
];

/// Services whose events can be subscribed to: our activity, and two that are not ours, whose events never come.
const EVENT_SERVICES: [&str; 3] = [ACTIVITY, "checkout", "import-api"];

const FORMATS: [(&str, FormatKind); 3] = [
    ("Platform", FormatKind::Platform),
    ("CloudEvents", FormatKind::CloudEvents),
    ("NavigaActivity", FormatKind::NavigaActivity),
];

/// A draft whose form is right.
pub struct Draft {
    pub key: Option<Key>,
    pub destination: DestinationDraft,
    pub selections: Selections,
    pub format: FormatKind,
    pub transformation: Option<Transformation>,
}

/// What a draft says of its destination.
pub struct DestinationDraft {
    /// Its `type`.
    pub kind: String,
    /// Its other fields.
    pub settings: Map<String, Value>,
}

/// Reads a draft.
pub fn read(mut body: Fields) -> Result<Draft, Problem> {
    let key = body.key("key")?;
    let destination = destination(&mut body)?;
    let selections = Selections {
        messages: messages(&mut body)?,
        changes: changes(&mut body)?,
        events: events(&mut body)?,
        filter: extension::filter(&mut body)?,
    };
    let format = format(&mut body)?;
    check_activity(&selections, format)?;
    let transformation = extension::transformation(&mut body)?;
    Ok(Draft { key, destination, selections, format, transformation })
}

/// Reads `destination`.
pub fn destination(body: &mut Fields) -> Result<DestinationDraft, Problem> {
    let Some(mut destination) = body.object("destination")? else { return Err(body.missing("destination")) };
    let kind = destination.required_text("type", INDEXED_CHARS_MAX)?;
    Ok(DestinationDraft { kind, settings: destination.into_rest() })
}

/// Reads `messages`.
pub fn messages(body: &mut Fields) -> Result<Vec<MessageSelection>, Problem> {
    selections(body, "messages", &RESOURCE_TYPES)
}

/// Reads `events`.
pub fn events(body: &mut Fields) -> Result<Vec<MessageSelection>, Problem> {
    selections(body, "events", &EVENT_SERVICES)
}

/// Reads `changes`.
pub fn changes(body: &mut Fields) -> Result<Vec<String>, Problem> {
    body.objects("changes", SELECTIONS_MAX)?
        .into_iter()
        .map(|mut change| resource_type(&mut change, &CHANGING_TYPES))
        .collect()
}

fn selections(body: &mut Fields, name: &str, known: &[&'static str]) -> Result<Vec<MessageSelection>, Problem> {
    let read = |mut selection: Fields| {
        let resource_type = resource_type(&mut selection, known)?;
        let types = selection.texts("types", TYPES_MAX, INDEXED_CHARS_MAX)?;
        Ok(MessageSelection { resource_type, types })
    };
    body.objects(name, SELECTIONS_MAX)?.into_iter().map(read).collect()
}

fn resource_type(selection: &mut Fields, known: &[&'static str]) -> Result<String, Problem> {
    let known: Vec<(&str, &str)> = known.iter().map(|name| (*name, *name)).collect();
    let found = selection.one_of("resourceTypeId", &known)?;
    Ok(found.ok_or_else(|| selection.missing("resourceTypeId"))?.to_owned())
}

/// Activity has a form of its own: anything else in it, or it in another, would never be sent.
fn check_activity(selections: &Selections, format: FormatKind) -> Result<(), Problem> {
    let Selections { messages, changes, events, .. } = selections;
    let is_activity = |event: &MessageSelection| event.resource_type == ACTIVITY;
    let fits = match format {
        FormatKind::NavigaActivity => messages.is_empty() && changes.is_empty() && events.iter().all(is_activity),
        _ => !events.iter().any(is_activity),
    };
    let text = "Events of 'activity' are delivered in the format 'NavigaActivity', and nothing else is.";
    if fits { Ok(()) } else { Err(Problem::invalid_input(text)) }
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
