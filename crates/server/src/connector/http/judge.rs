//! What an answer means: success, a rule of the operator's, or the table of defaults (providers.md 3.3).

use std::borrow::Cow;
use std::collections::BTreeMap;

use keyherald_core::Micros;
use keyherald_core::provider::{PolicyText, ProviderError};
use keyherald_core::secret::Password;
use serde_json::Value;

use super::values::plain;
use crate::connector::Doubt;
use crate::connector::call::{Answer, Fault};
use crate::connector::retry_hint::{self, Form};
use crate::recipe::op::{Class, Op, Rule};
use crate::recipe::predicate::{Predicate, Test, Transport};
use crate::recipe::source::Source;
use crate::recipe::template::Group;

/// A successful answer. No `Debug`: it holds personal data.
pub(super) struct Success {
    answer: Answer,
    json: Value,
}

/// What an answer is judged by, besides the operation itself.
pub(super) struct Judge<'a> {
    /// The rules of all operations.
    pub shared: &'a [Rule],
    /// Whether the operation changes nothing.
    pub is_read: bool,
    /// Taken out of every text.
    pub password: Option<&'a Password>,
    pub now: Micros,
}

/// How a request ended, as predicates see it.
struct Seen<'a> {
    answer: Option<&'a Answer>,
    fault: Option<Fault>,
    /// `None`: no JSON.
    json: Option<&'a Value>,
    text: Cow<'a, str>,
}

impl Judge<'_> {
    /// What it means.
    pub fn judge(&self, op: &Op, ended: Result<Answer, Fault>) -> Result<Success, Doubt> {
        let answer = match ended {
            Ok(answer) => answer,
            Err(fault) => return Err(self.of_fault(op, fault)),
        };
        let json: Option<Value> = serde_json::from_slice(&answer.body).ok();
        let seen = Seen {
            answer: Some(&answer),
            fault: None,
            json: json.as_ref(),
            text: String::from_utf8_lossy(&answer.body),
        };
        let is_expected = op.expect.has(answer.status);
        if is_expected && json.is_none() && needs_json(op) {
            return Err(self.of_fault(op, Fault::BadJson));
        }
        if is_expected && op.success_when.iter().all(|condition| seen.meets(condition)) {
            let json = json.unwrap_or_default();
            return Ok(Success { answer, json });
        }
        let rule = op.errors.iter().chain(self.shared).find(|rule| seen.meets(&rule.when));
        Err(rule.map_or_else(|| self.by_default(op, &answer), |rule| self.by_rule(rule, &seen)))
    }

    fn of_fault(&self, op: &Op, fault: Fault) -> Doubt {
        // Whatever a rule says of it: what was sent and not answered may have been applied.
        if fault.was_sent() && !self.is_read {
            return Doubt::Yes;
        }
        let seen = Seen { answer: None, fault: Some(fault), json: None, text: Cow::Borrowed("") };
        match op.errors.iter().chain(self.shared).find(|rule| seen.meets(&rule.when)) {
            Some(rule) => self.by_rule(rule, &seen),
            None => Doubt::No(fault.of_read()),
        }
    }

    fn by_rule(&self, rule: &Rule, seen: &Seen<'_>) -> Doubt {
        let pointed = |pointer: &Option<crate::recipe::source::Pointer>| {
            let value = pointer.as_ref()?.of(seen.json?)?;
            (!value.is_null()).then(|| plain(value))
        };
        let words = || {
            let said = pointed(&rule.message)?;
            self.password.map(|password| PolicyText::new(&said, password))
        };
        Doubt::No(match rule.class {
            Class::Ambiguous => return Doubt::Yes,
            Class::UserNotFound => ProviderError::UserNotFound,
            Class::UserAmbiguous => ProviderError::UserAmbiguous,
            Class::UserBlocked => ProviderError::UserBlocked,
            Class::AccountIncomplete => ProviderError::AccountIncomplete,
            Class::CredentialUnsupported => ProviderError::CredentialUnsupported,
            Class::OldPasswordWrong => ProviderError::OldPasswordWrong,
            Class::PolicyViolation => {
                let name = |said: String| self.password.map_or(said.clone(), |password| password.redacted_from(&said));
                let name = pointed(&rule.rule).map(name).map(|name| name.chars().take(100).collect());
                ProviderError::PolicyViolation { rule: name, message: words() }
            }
            Class::PasswordReused => ProviderError::PasswordReused { message: words() },
            Class::TooYoung => ProviderError::TooYoung,
            Class::Conflict => ProviderError::Conflict,
            Class::Stale => ProviderError::Stale,
            Class::NeedsInteraction => ProviderError::NeedsInteraction,
            Class::InsufficientScope => ProviderError::InsufficientScope,
            Class::AdminAuth => ProviderError::AdminAuth,
            Class::ClockSkew => ProviderError::ClockSkew,
            Class::Misconfigured => ProviderError::Misconfigured,
            Class::InvalidRequest => ProviderError::InvalidRequest,
            Class::RateLimited => ProviderError::RateLimited { not_before: self.not_before(rule, seen) },
            Class::Transient => ProviderError::Transient,
            Class::NotSupported => ProviderError::NotSupported,
            Class::Vetoed => ProviderError::Vetoed { message: words() },
        })
    }

    fn not_before(&self, rule: &Rule, seen: &Seen<'_>) -> Option<Micros> {
        let told = rule.retry_after.iter().find_map(|hint| {
            let text = match &hint.source {
                Source::Header(name) => seen.answer?.header(name)?.to_owned(),
                Source::Body(pointer) => plain(pointer.of(seen.json?)?),
            };
            retry_hint::read(&text, hint.form, self.now)
        });
        told.or_else(|| retry_after(seen.answer?, self.now))
    }

    fn by_default(&self, op: &Op, answer: &Answer) -> Doubt {
        let retry_after = retry_after(answer, self.now);
        let names_user = op.path.expressions().any(|expression| expression.variable.group == Group::User);
        Doubt::No(match answer.status {
            401 => ProviderError::AdminAuth,
            403 => ProviderError::InsufficientScope,
            404 if names_user => ProviderError::UserNotFound,
            // What sends us elsewhere is not the API.
            404 | 300..=399 => ProviderError::Misconfigured,
            409 => ProviderError::Conflict,
            412 => ProviderError::Stale,
            429 => ProviderError::RateLimited { not_before: retry_after },
            408 | 425 | 503 if retry_after.is_some() => ProviderError::RateLimited { not_before: retry_after },
            408 | 425 => ProviderError::Transient,
            400..=499 => ProviderError::InvalidRequest,
            // Errors of its own, and a success that is none: nobody knows.
            _ => return Doubt::Yes,
        })
    }
}

fn retry_after(answer: &Answer, now: Micros) -> Option<Micros> {
    retry_hint::read(answer.header("retry-after")?, Form::SecondsOrDate, now)
}

/// Whether the answer of success is read.
fn needs_json(op: &Op) -> bool {
    let looks_inside = |predicate: &Predicate| predicate.pointer.is_some();
    op.items.is_some()
        || op.extract.values().any(|source| matches!(source, Source::Body(_)))
        || op.success_when.iter().any(looks_inside)
}

impl Seen<'_> {
    fn meets(&self, predicate: &Predicate) -> bool {
        let Predicate { status, transport, header, pointer, body_regex, all, any, not } = predicate;
        let status_fits = status.as_ref().is_none_or(|statuses| self.answer.is_some_and(|a| statuses.has(a.status)));
        let transport_fits = transport.is_empty() || self.fault.is_some_and(|f| transport.iter().any(|t| is(f, *t)));
        let header_fits = header.as_ref().is_none_or(|(name, tests)| {
            let value = self.answer.and_then(|answer| answer.header(name)).map(|text| Value::String(text.to_owned()));
            tests.iter().all(|test| passes(value.as_ref(), test))
        });
        let pointer_fits = pointer.as_ref().is_none_or(|(pointer, tests)| {
            let value = self.json.and_then(|json| pointer.of(json));
            tests.iter().all(|test| passes(value, test))
        });
        status_fits
            && transport_fits
            && header_fits
            && pointer_fits
            && body_regex.as_ref().is_none_or(|pattern| self.answer.is_some() && pattern.is_in(&self.text))
            && all.iter().all(|predicate| self.meets(predicate))
            && (any.is_empty() || any.iter().any(|predicate| self.meets(predicate)))
            && not.as_ref().is_none_or(|predicate| !self.meets(predicate))
    }
}

fn passes(value: Option<&Value>, test: &Test) -> bool {
    let Some(value) = value else { return *test == Test::Exists(false) };
    match test {
        Test::Equals(wanted) => equal(value, wanted),
        Test::In(wanted) => wanted.iter().any(|wanted| equal(value, wanted)),
        Test::Matches(pattern) => pattern.is_in(&plain(value)),
        Test::Exists(wanted) => *wanted,
        Test::Gt(bound) => number(value).is_some_and(|number| number > *bound),
        Test::Lt(bound) => number(value).is_some_and(|number| number < *bound),
    }
}

fn equal(one: &Value, other: &Value) -> bool {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => one.total_cmp(&other).is_eq(),
        _ => one == other,
    }
}

/// A number, also where it is written as a text: headers have no other way.
fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())
}

fn is(fault: Fault, word: Transport) -> bool {
    match fault {
        Fault::Forbidden => false,
        Fault::Dns => word == Transport::Dns,
        Fault::Connect => word == Transport::Connect,
        Fault::Tls => word == Transport::Tls,
        Fault::TimeoutBeforeSend => word == Transport::TimeoutBeforeSend,
        Fault::TimeoutAfterSend => word == Transport::TimeoutAfterSend,
        Fault::Reset => word == Transport::Reset,
        Fault::TooLarge => word == Transport::TooLarge,
        Fault::BadJson => word == Transport::BadJson,
    }
}

impl Success {
    /// A value of the answer as a whole.
    pub fn value(&self, source: &Source) -> Option<Value> {
        self.value_in(&self.json, source)
    }

    fn value_in(&self, document: &Value, source: &Source) -> Option<Value> {
        match source {
            Source::Header(name) => self.answer.header(name).map(|text| Value::String(text.to_owned())),
            Source::Body(pointer) => pointer.of(document).cloned(),
        }
    }

    /// What the operation extracts, of its only item where it has items.
    pub fn extracted(&self, op: &Op) -> Result<BTreeMap<String, Value>, ProviderError> {
        let document = match &op.items {
            None => &self.json,
            Some(items) => match items.of(&self.json) {
                // SCIM leaves an empty list out.
                None | Some(Value::Null) => return Err(ProviderError::UserNotFound),
                Some(Value::Array(found)) => match found.as_slice() {
                    [] => return Err(ProviderError::UserNotFound),
                    [only] => only,
                    [_, ..] => return Err(ProviderError::UserAmbiguous),
                },
                // A success that is no list comes from something that stands in between.
                Some(_) => return Err(ProviderError::Transient),
            },
        };
        let taken = |(name, source): (&String, &Source)| Some((name.clone(), self.value_in(document, source)?));
        Ok(op.extract.iter().filter_map(taken).collect())
    }
}
