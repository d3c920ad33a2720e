//! Operations, as they are written.

use std::collections::BTreeMap;

use crate::config::keys::Place;
use crate::config::provider::http::fields::{
    Fields, header_name, json, list, named, parsed, statuses, table, template, text, word, yes,
};
use crate::config::provider::http::table::{predicate, rule};
use crate::config::tree::{Node, Value};
use crate::recipe::body::{Body, Content, Shape};
use crate::recipe::op::{Class, Method, Op, OpName};
use crate::recipe::predicate::Statuses;
use crate::recipe::source::{Source, is_header_name};
use crate::recipe::template::Template;

/// How deep a JSON body may be.
const DEPTH_MAX: usize = 16;

/// `[providers.NAME.ops]`
pub(super) fn ops(node: &Node, place: &mut Place<'_>) -> Option<BTreeMap<OpName, Op>> {
    let Value::Table(table) = &node.value else {
        place.refuse(node, format!("must be a table, not {}", node.value.kind()), None);
        return None;
    };
    let mut ops = BTreeMap::new();
    let mut all_read = true;
    for (name, node) in table {
        let mut place = place.inside(name);
        let Ok(known) = name.parse::<OpName>() else {
            let names: Vec<&str> = OpName::NAMES.iter().map(|(name, _)| *name).collect();
            place.refuse(node, "is no operation", Some(format!("there are {}", names.join(", "))));
            continue;
        };
        let read = op(node, &mut place);
        all_read &= read.is_some();
        ops.extend(read.map(|op| (known, op)));
    }
    // What the whole lacks is only said when every part could be read.
    all_read.then_some(ops)
}

/// One operation.
pub(super) fn op(node: &Node, place: &mut Place<'_>) -> Option<Op> {
    table(node, place, |fields| {
        let request = request(fields, "such as path = \"/users/{{ user.id }}\"", &Class::NAMES);
        let auth = fields.read("auth", yes).unwrap_or(true);
        let require = fields.read("require", word(&OpName::NAMES));
        let if_match = fields.read("if_match", template);
        let items = fields.read("items", parsed);
        let extract = fields.read("extract", extract).unwrap_or_default();
        // Everything is read, whatever is missing.
        Some(Op { auth, require, if_match, items, extract, ..request? })
    })
}

/// The request that hands a short message over.
pub(in crate::config) fn sms(node: &Node, place: &mut Place<'_>) -> Option<Op> {
    table(node, place, |fields| request(fields, "such as path = \"/messages\"", &Class::OF_SMS))
}

/// What every request has, and what answers are recognised by.
fn request(fields: &mut Fields<'_, '_>, path_hint: &str, classes: &'static [(&'static str, Class)]) -> Option<Op> {
    let method = fields.require("method", "such as method = \"GET\"", word(&Method::NAMES));
    let path = fields.require("path", path_hint, template);
    let mut op = |method, path| Op {
        method,
        path,
        query: fields.read("query", named(template)).unwrap_or_default(),
        headers: fields.read("headers", headers).unwrap_or_default(),
        body: fields.read("body", body),
        auth: true,
        require: None,
        if_match: None,
        idempotency_header: fields.read("idempotency_header", header_name),
        expect: fields.read("expect", statuses).unwrap_or_else(|| Statuses::of(vec![200..=299])),
        success_when: fields.read("success_when", list(predicate)).unwrap_or_default(),
        items: None,
        extract: BTreeMap::new(),
        errors: fields.read("errors", list(rule(classes))).unwrap_or_default(),
    };
    let read = op(method.unwrap_or(Method::Get), path.clone().unwrap_or_default());
    (method.is_some() && path.is_some()).then_some(read)
}

fn headers(node: &Node, place: &mut Place<'_>) -> Option<Vec<(String, Template)>> {
    let headers = named(template)(node, place)?;
    for (name, _) in headers.iter().filter(|(name, _)| !is_header_name(name)) {
        place.refuse(node, format!("{name:?} is no header's name"), None);
    }
    Some(headers)
}

fn extract(node: &Node, place: &mut Place<'_>) -> Option<BTreeMap<String, Source>> {
    let sources = named(parsed::<Source>)(node, place)?;
    let is_name = |name: &str| {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        (1..=64).contains(&name.len()) && name.chars().all(allowed)
    };
    for (name, _) in sources.iter().filter(|(name, _)| !is_name(name)) {
        place.refuse(node, format!("{name:?} is no name: 1 to 64 of a-z, 0-9 and _"), None);
    }
    Some(sources.into_iter().collect())
}

/// What a body's type is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    Json,
    Form,
    Multipart,
    Xml,
    Text,
}

const TYPES: [(&str, Type); 5] = [
    ("json", Type::Json),
    ("form", Type::Form),
    ("multipart", Type::Multipart),
    ("xml", Type::Xml),
    ("text", Type::Text),
];

fn body(node: &Node, place: &mut Place<'_>) -> Option<Body> {
    table(node, place, |fields| {
        let kind = fields.require("type", "json, form, multipart, xml or text", word(&TYPES));
        let media_type = fields.read("content_type", media_type);
        let hint = "what it says, with {{ .. }} where values belong";
        let content = match kind? {
            Type::Json => fields.require("template", hint, shape).map(Content::Json),
            Type::Form => fields.require("template", hint, named(template)).map(Content::Form),
            Type::Multipart => fields.require("template", hint, named(template)).map(Content::Multipart),
            Type::Xml => fields.require("template", hint, template).map(Content::Xml),
            Type::Text => fields.require("template", hint, template).map(Content::Text),
        };
        if kind == Some(Type::Multipart) && media_type.is_some() {
            fields.refuse("a multipart body has its own content type", None);
        }
        Some(Body { content: content?, media_type })
    })
}

fn media_type(node: &Node, place: &mut Place<'_>) -> Option<String> {
    let text = text(node, place)?;
    if !text.contains('/') || !text.chars().all(|c| (' '..='~').contains(&c)) {
        place.refuse(node, "must be a media type such as \"application/scim+json\"", None);
        return None;
    }
    Some(text)
}

fn shape(node: &Node, place: &mut Place<'_>) -> Option<Shape> {
    shape_at(node, place, DEPTH_MAX)
}

fn shape_at(node: &Node, place: &mut Place<'_>, depth: usize) -> Option<Shape> {
    if depth == 0 {
        place.refuse(node, format!("is more than {DEPTH_MAX} deep"), None);
        return None;
    }
    let below = |node: &Node, place: &mut Place<'_>| shape_at(node, place, depth - 1);
    match &node.value {
        Value::Text(text) if text.contains("{{") || text.contains("}}") => template(node, place).map(Shape::Filled),
        Value::List(_) => list(below)(node, place).map(Shape::List),
        Value::Table(_) => named(below)(node, place).map(Shape::Object),
        _ => json(node, place).map(Shape::Fixed),
    }
}
