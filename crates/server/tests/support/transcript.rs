//! Runs a transcript: requests and the answers that must come, as text.
//!
//! ```text
//! # A comment.
//! @client views view_customers:demo        makes a client; {{views}} is an access token of it
//! @clock 61m                               moves the clock (s, m, h, d)
//! @revoke views                            revokes that client
//! @project quiet off                       makes a project with messages on or off
//! @start demo de en                        starts again with these languages of a project, and messages on
//! @store shop-a                            makes a store of the project `demo`
//! @customer jo jo@example.com secret       makes a customer there; {{jo}} is its number, {{jo-id}} its id
//! > POST /demo/customers
//! > authorization: Bearer {{demo}}
//! {"email": "jo@example.com", "password": "secret"}
//! < 201
//! < x-correlation-id: <any>
//! {"customer": {"id": "<uuid customer>", "version": 1, "...": "..."}}
//! ```
//!
//! `{{name}}` is filled in everywhere. In an expected text, `<uuid>`, `<time>`, `<any>`, `<value40>` (a token's value)
//! and `<mask>` (a password's mask) stand for what differs from run to run; `<uuid name>` also keeps it as `{{name}}`.
//! Objects must have exactly the fields that are named, unless one of them is `"..."`. A request gets the headers that it
//! does not name from [`Defaults`]; `authorization: none` sends none. Bodies are sent as JSON if no content type is named.

use std::collections::BTreeMap;
use std::fmt::Write;

use axum::http::Method;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use keyherald_core::Micros;
use serde_json::Value;

use crate::support::{Answered, TestServer, basic};

/// What can be filled in, by its name.
pub type Names = BTreeMap<String, String>;

/// What a transcript begins with.
pub struct Defaults {
    /// What can be filled in.
    pub names: Names,
    /// The headers of requests that do not name them.
    pub headers: Vec<(&'static str, String)>,
}

/// Runs a whole transcript; panics at the first answer that is not as expected.
pub async fn run(server: &TestServer, name: &str, text: &str, defaults: Defaults) {
    let Defaults { mut names, headers } = defaults;
    let mut steps = 0;
    let lines: Vec<&str> = text.lines().collect();
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at];
        if line.is_empty() || line.starts_with('#') {
            at += 1;
        } else if let Some(command) = line.strip_prefix('@') {
            carry_out(server, command, &mut names).await;
            at += 1;
        } else {
            assert!(line.starts_with("> "), "{name}:{}: not a step: {line}", at + 1);
            let end =
                (at + 1..lines.len()).find(|&next| is_next_step(lines[next - 1], lines[next])).unwrap_or(lines.len());
            let place = format!("{name}:{}", at + 1);
            step(server, &place, &lines[at..end], &headers, &mut names).await;
            steps += 1;
            at = end;
        }
    }
    assert!(steps > 0, "{name} has no steps");
}

fn is_next_step(before: &str, line: &str) -> bool {
    line.starts_with('#') || line.starts_with('@') || (line.starts_with("> ") && !before.starts_with("> "))
}

async fn carry_out(server: &TestServer, command: &str, names: &mut Names) {
    let words: Vec<&str> = command.split(' ').collect();
    match words.as_slice() {
        ["client", name, scopes @ ..] => {
            let project = scopes.first().and_then(|scope| scope.split(':').nth(1)).unwrap();
            let id = format!("{name}-client");
            server.client(project, &id, &scopes.join(" ")).await;
            names.insert((*name).to_owned(), server.token(&id).await);
            names.insert(format!("{name}-basic"), basic(&id));
        }
        ["clock", by] => {
            let (number, unit) = by.split_at(by.len() - 1);
            let unit = match unit {
                "s" => Micros::SECOND,
                "m" => Micros::MINUTE,
                "h" => Micros::HOUR,
                "d" => Micros::DAY,
                _ => panic!("no unit: {by}"),
            };
            server.clock.advance(number.parse::<i64>().unwrap() * unit);
        }
        ["customer", name, email, password] => {
            let customer = server.customer(email, password).await;
            names.insert((*name).to_owned(), customer.number.to_string());
            names.insert(format!("{name}-id"), customer.id.to_string());
        }
        ["store", key] => server.shop(key).await,
        ["start", key, languages @ ..] => server.configured(key, true, languages).await,
        ["project", key, messages] => server.project(key, *messages == "on").await,
        ["revoke", name] => {
            let id = format!("{name}-client");
            let project = server.app.client(&id).await.unwrap().unwrap().project;
            assert!(server.app.revoke_client(project, id).await.unwrap());
        }
        ["basic", name, id, secret] => {
            names.insert((*name).to_owned(), format!("Basic {}", STANDARD.encode(format!("{id}:{secret}"))));
        }
        _ => panic!("no such command: {command}"),
    }
}

async fn step(
    server: &TestServer,
    place: &str,
    lines: &[&str],
    defaults: &[(&'static str, String)],
    names: &mut Names,
) {
    let (mut sent, mut body, mut expected, mut expected_body) = (Vec::new(), String::new(), Vec::new(), String::new());
    for line in lines {
        match (line.strip_prefix("> "), line.strip_prefix("< "), expected.is_empty()) {
            (Some(line), ..) => sent.push(filled(line, names)),
            (_, Some(line), _) => expected.push(line.to_owned()),
            (_, _, true) => body.push_str(line),
            (_, _, false) => expected_body.push_str(line),
        }
    }
    let (method, uri) = sent[0].split_once(' ').unwrap();
    let mut headers: Vec<(&str, String)> = sent[1..]
        .iter()
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name, value.to_owned()))
        .collect();
    let unnamed =
        defaults.iter().filter(|(name, _)| !headers.iter().any(|(named, _)| named.eq_ignore_ascii_case(name)));
    let unnamed: Vec<_> = unnamed.cloned().collect();
    headers.extend(unnamed);
    if !headers.iter().any(|(name, _)| *name == "content-type") {
        headers.push(("content-type", "application/json".to_owned()));
    }
    headers.retain(|(_, value)| value != "none");
    let method: Method = method.parse().unwrap();
    let answered = server.send(method, uri, &headers, filled(&body, names)).await;
    if let Err(difference) = compare(&answered, &expected, &expected_body, names) {
        let shown = String::from_utf8_lossy(&answered.body);
        panic!(
            "{place}: {} {uri}: {difference}\nanswered {} {:#?}\n{shown}",
            sent[0], answered.status, answered.headers
        );
    }
}

fn filled(text: &str, names: &Names) -> String {
    let mut filled = text.to_owned();
    for (name, value) in names {
        filled = filled.replace(&format!("{{{{{name}}}}}"), value);
    }
    assert!(!filled.contains("{{"), "a name that nothing was kept as: {filled}");
    filled
}

fn compare(answered: &Answered, expected: &[String], body: &str, names: &mut Names) -> Result<(), String> {
    if answered.status.as_u16().to_string() != expected[0] {
        return Err(format!("expected status {}", expected[0]));
    }
    for line in &expected[1..] {
        let (name, value) = line.split_once(": ").unwrap();
        let actual = answered.headers.get(name).map_or("(absent)", |value| value.to_str().unwrap());
        text(name, actual, &filled(value, names), names)?;
    }
    if body.is_empty() {
        return if answered.body.is_empty() { Ok(()) } else { Err("a body was not expected".into()) };
    }
    let expected: Value = serde_json::from_str(body).map_err(|error| format!("the expected body: {error}"))?;
    json("$", &answered.json(), &expected, names)
}

fn json(path: &str, actual: &Value, expected: &Value, names: &mut Names) -> Result<(), String> {
    match (actual, expected) {
        (Value::Object(actual), Value::Object(expected)) => {
            for (name, value) in expected.iter().filter(|(name, _)| *name != "...") {
                let actual = actual.get(name).ok_or_else(|| format!("{path}.{name} is missing"))?;
                json(&format!("{path}.{name}"), actual, value, names)?;
            }
            let more = actual.keys().find(|name| !expected.contains_key(*name));
            match more.filter(|_| !expected.contains_key("...")) {
                Some(name) => Err(format!("{path}.{name} was not expected")),
                None => Ok(()),
            }
        }
        (Value::Array(actual), Value::Array(expected)) => {
            if actual.len() != expected.len() {
                return Err(format!("{path} has {} elements, expected {}", actual.len(), expected.len()));
            }
            let mut pairs = actual.iter().zip(expected).enumerate();
            pairs.try_for_each(|(at, (actual, expected))| json(&format!("{path}[{at}]"), actual, expected, names))
        }
        (Value::String(actual), Value::String(expected)) => text(path, actual, &filled(expected, names), names),
        (actual, expected) if actual == expected => Ok(()),
        (actual, expected) => Err(format!("{path} is {actual}, expected {expected}")),
    }
}

/// `expected` may be one placeholder, or have some in it (then nothing is kept).
fn text(path: &str, actual: &str, expected: &str, names: &mut Names) -> Result<(), String> {
    let differs = || Err(format!("{path} is {actual:?}, expected {expected:?}"));
    let Some(inner) = expected.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')) else {
        return match expected.split_once("<any>") {
            Some((before, after)) if actual.starts_with(before) && actual.ends_with(after) => Ok(()),
            None if actual == expected => Ok(()),
            _ => differs(),
        };
    };
    let (kind, keep) = inner.split_once(' ').unwrap_or((inner, ""));
    if !fits(kind, actual) {
        return differs();
    }
    if !keep.is_empty() {
        let mut value = String::new();
        write!(value, "{actual}").unwrap();
        names.insert(keep.to_owned(), value);
    }
    Ok(())
}

fn fits(kind: &str, actual: &str) -> bool {
    let shape: String = actual.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let url_safe = actual.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    match kind {
        "any" => !actual.is_empty() && actual != "(absent)",
        "uuid" => actual.parse::<keyherald_core::id::CustomerId>().is_ok(),
        "time" => shape == "0000-00-00T00:00:00.000Z",
        "value32" => actual.len() == 32 && url_safe,
        "value40" => actual.len() == 40 && url_safe,
        "mask" => actual.len() == 8 && actual.starts_with("****"),
        _ => panic!("no such placeholder: {kind}"),
    }
}
