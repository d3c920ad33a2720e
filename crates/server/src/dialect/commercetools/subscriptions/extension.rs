//! `filter` and `transformation`: fields of ours that a subscription may have besides the contract's. They are shown only where
//! they were set, so that a subscription without them is what the contract says.

use keyherald_core::id::Key;
use keyherald_core::message::Flow;
use keyherald_core::subscription::{MediaType, NoticeFilter, Transformation};
use serde_json::{Value, json};

use super::super::fields::{Fields, TEXT_CHARS_MAX};
use super::super::reply::Problem;
use crate::format::commercetools::Object;
use crate::predicate;

/// Reads `filter`.
pub fn filter(body: &mut Fields) -> Result<Option<NoticeFilter>, Problem> {
    let Some(mut draft) = body.object("filter")? else { return Ok(None) };
    let stores = draft.texts("stores", NoticeFilter::STORES_MAX, TEXT_CHARS_MAX)?;
    let key = |text: String| -> Result<Key, Problem> {
        text.parse().map_err(|_| Problem::invalid_field("filter.stores", &Value::from(text)))
    };
    let stores = stores.into_iter().map(key).collect::<Result<_, _>>()?;
    let flows = draft.texts("flows", Flow::OF_MESSAGES.len(), TEXT_CHARS_MAX)?;
    let flow = |text: String| {
        let found = Flow::OF_MESSAGES.into_iter().find(|flow| flow.as_str() == text);
        found.ok_or_else(|| draft.unknown("flows", &text, Flow::OF_MESSAGES.into_iter().map(Flow::as_str)))
    };
    let flows = flows.into_iter().map(flow).collect::<Result<_, _>>()?;
    let predicate = draft.text("where", NoticeFilter::PREDICATE_BYTES_MAX)?;
    if let Some(text) = &predicate {
        check_predicate(text)?;
    }
    let filter = NoticeFilter { stores, flows, predicate };
    if filter.is_empty() {
        return Err(Problem::invalid_input("filter: Expected at least one of 'stores', 'flows' and 'where'."));
    }
    Ok(Some(filter))
}

fn check_predicate(text: &str) -> Result<(), Problem> {
    let bytes_max = NoticeFilter::PREDICATE_BYTES_MAX;
    if text.len() > bytes_max {
        return Err(Problem::invalid_input(format!("filter.where: The predicate is longer than {bytes_max} bytes.")));
    }
    let read = predicate::parse([text], &predicate::Variables::default(), predicate::NOTICES);
    read.map(drop).map_err(|malformed| Problem::invalid_input(format!("filter.where: {}", malformed.what())))
}

/// Reads `transformation`. Its template is tried out where it is known what it is for.
pub fn transformation(body: &mut Fields) -> Result<Option<Transformation>, Problem> {
    let Some(mut draft) = body.object("transformation")? else { return Ok(None) };
    let template = draft.required_text("template", Transformation::TEMPLATE_BYTES_MAX)?;
    let known = MediaType::ALL.map(|media_type| (media_type.as_str(), media_type));
    let media_type = draft.one_of("contentType", &known)?.unwrap_or_default();
    Ok(Some(Transformation { template, media_type }))
}

/// A filter as it is answered: what was given, as it was given.
pub fn shown_filter(filter: &NoticeFilter) -> Value {
    let list = |values: Vec<String>| (!values.is_empty()).then_some(values);
    Object::default()
        .with_some("stores", list(filter.stores.iter().map(Key::to_string).collect()))
        .with_some("flows", list(filter.flows.iter().map(|flow| flow.as_str().to_owned()).collect()))
        .with_some("where", filter.predicate.clone())
        .into()
}

/// A transformation as it is answered.
pub fn shown_transformation(transformation: &Transformation) -> Value {
    json!({"template": transformation.template, "contentType": transformation.media_type.as_str()})
}
