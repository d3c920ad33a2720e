//! Predicates and rules, as they are written.

use crate::config::keys::Place;
use crate::config::provider::http::fields::{Fields, header_name, json, list, parsed, statuses, table, word, yes};
use crate::config::tree::{Node, Value};
use crate::recipe::op::{Class, RetryAfter, Rule, WaitForm};
use crate::recipe::predicate::{Predicate, Test, Transport};
use crate::recipe::source::Source;

/// How deep all, any and not may be in each other.
const DEPTH_MAX: usize = 8;

/// What a value can be tested by.
const TESTS: [&str; 7] = ["equals", "in", "matches", "exists", "present", "gt", "lt"];

/// A rule: what an answer is recognised by, and what it means, in one of these words.
pub(super) fn rule(classes: &'static [(&'static str, Class)]) -> impl Fn(&Node, &mut Place<'_>) -> Option<Rule> {
    move |node, place| table(node, place, |fields| rule_of(fields, classes))
}

fn rule_of(fields: &mut Fields<'_, '_>, classes: &'static [(&'static str, Class)]) -> Option<Rule> {
    let hint = "what the answer is recognised by, such as when = { status = [400] }";
    let when = fields.require("when", hint, predicate);
    let class = fields.require("class", "what it means, such as class = \"rate_limited\"", word(classes));
    let message = fields.read("message_pointer", parsed);
    let rule = fields.read("rule_pointer", parsed);
    let retry_after = fields.read("retry_after", list(retry_after)).unwrap_or_default();
    let has_words = matches!(class, Some(Class::PolicyViolation | Class::PasswordReused | Class::Vetoed) | None);
    if fields.has("message_pointer") && !has_words {
        let hint = "only policy_violation, password_reused and vetoed have words for the user";
        fields.refuse("has a message_pointer that is never used", Some(hint));
    }
    if fields.has("rule_pointer") && !matches!(class, Some(Class::PolicyViolation) | None) {
        fields.refuse("has a rule_pointer that is never used", Some("only policy_violation names a rule"));
    }
    if fields.has("retry_after") && !matches!(class, Some(Class::RateLimited) | None) {
        fields.refuse("has a retry_after that is never used", Some("only rate_limited has a time"));
    }
    Some(Rule { when: when?, class: class?, message, rule, retry_after })
}

fn retry_after(node: &Node, place: &mut Place<'_>) -> Option<RetryAfter> {
    let (source, form) = timed(node, place)?;
    Some(RetryAfter { source, form })
}

/// A time: where it is in an answer, and how it is written.
pub(super) fn timed(node: &Node, place: &mut Place<'_>) -> Option<(Source, WaitForm)> {
    table(node, place, |fields| {
        let header = fields.read("header", header_name).map(|name| Source::Header(name.to_lowercase()));
        let pointer = fields.read("pointer", parsed).map(Source::Body);
        let form = fields.require("as", "how the time is written, such as as = \"seconds\"", word(&WaitForm::NAMES));
        if fields.has("header") == fields.has("pointer") {
            fields.refuse("must have either header or pointer", None);
        }
        Some((header.or(pointer)?, form?))
    })
}

/// What an answer is recognised by.
pub(super) fn predicate(node: &Node, place: &mut Place<'_>) -> Option<Predicate> {
    predicate_at(node, place, DEPTH_MAX)
}

fn predicate_at(node: &Node, place: &mut Place<'_>, depth: usize) -> Option<Predicate> {
    if depth == 0 {
        place.refuse(node, format!("is more than {DEPTH_MAX} deep"), None);
        return None;
    }
    if matches!(&node.value, Value::Table(table) if table.is_empty()) {
        place.refuse(node, "has no condition: it would be met by every answer", None);
        return None;
    }
    let below = |node: &Node, place: &mut Place<'_>| predicate_at(node, place, depth - 1);
    table(node, place, |fields| {
        let header = fields.read("header", header_name).map(|name| name.to_lowercase());
        let pointer = fields.read("pointer", parsed);
        let tests = tests(fields);
        Some(Predicate {
            status: fields.read("status", statuses),
            transport: fields.read("transport", list(word(&Transport::NAMES))).unwrap_or_default(),
            header: header.map(|name| (name, tests.clone())),
            pointer: pointer.map(|pointer| (pointer, tests)),
            body_regex: fields.read("body_regex", parsed),
            all: fields.read("all", list(below)).unwrap_or_default(),
            any: fields.read("any", list(below)).unwrap_or_default(),
            not: fields.read("not", below).map(Box::new),
        })
    })
}

fn tests(fields: &mut Fields<'_, '_>) -> Vec<Test> {
    let given: Vec<&str> = TESTS.into_iter().filter(|name| fields.has(name)).collect();
    match (fields.has("header"), fields.has("pointer"), given.as_slice()) {
        (true, true, _) => fields.refuse("has both header and pointer", Some("put them into all = [..]")),
        (false, false, [test, ..]) => fields.refuse(format!("{test} says nothing without header or pointer"), None),
        (true, _, []) => fields.refuse("says nothing about the header", Some("such as present = true")),
        (_, true, []) => fields.refuse("says nothing about the pointer", Some("such as exists = true")),
        _ => {}
    }
    let tests = [
        fields.read("equals", json).map(Test::Equals),
        fields.read("in", list(json)).map(Test::In),
        fields.read("matches", parsed).map(Test::Matches),
        fields.read("exists", yes).map(Test::Exists),
        fields.read("present", yes).map(Test::Exists),
        fields.read("gt", number).map(Test::Gt),
        fields.read("lt", number).map(Test::Lt),
    ];
    tests.into_iter().flatten().collect()
}

fn number(node: &Node, place: &mut Place<'_>) -> Option<f64> {
    let number = json(node, place)?.as_f64();
    if number.is_none() {
        place.refuse(node, "must be a number", None);
    }
    number
}
