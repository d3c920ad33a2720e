//! What a subscription says in languages of ours, read once for all that is held against it: its filter's predicate, and its
//! template.

use keyherald_core::delivery::Outcome;
use keyherald_core::filter::Filter;
use keyherald_core::id::ProjectKey;
use keyherald_core::notice::Notice;
use keyherald_core::subscription::{NoticeFilter, Subscription, Transformation};
use serde_json::Value;

use crate::format::transformation::sample::{self, Fullness};
use crate::format::transformation::{Template, TemplateError};
use crate::format::{self, Erased, EventIds, Extent, Rendered, platform};
use crate::predicate::{self, Malformed, NOTICES, Variables};

/// A subscription's predicate and template, read.
#[derive(Default)]
pub struct Compiled {
    predicate: Option<Filter>,
    template: Option<Template>,
}

/// What this version cannot read of a subscription, although it was checked when it was made.
#[derive(Debug, thiserror::Error)]
pub enum CannotRead {
    /// The predicate of its filter.
    #[error("the predicate of its filter cannot be read")]
    Predicate(Malformed),
    /// Its template.
    #[error("its template cannot be used: {0}")]
    Template(TemplateError),
}

/// Reads the predicate of a filter.
pub fn read_predicate(text: &str) -> Result<Filter, Malformed> {
    predicate::parse([text], &Variables::default(), NOTICES)
}

impl Compiled {
    /// Reads what a subscription says.
    pub fn of(subscription: &Subscription) -> Result<Self, CannotRead> {
        let filter = subscription.selections.filter.as_ref();
        let predicate = filter.and_then(|filter| filter.predicate.as_deref()).map(read_predicate);
        let template = subscription.transformation.as_ref().map(Template::read);
        Ok(Self {
            predicate: predicate.transpose().map_err(CannotRead::Predicate)?,
            template: template.transpose().map_err(CannotRead::Template)?,
        })
    }

    /// Whether the subscription wants the notice, by all that it says.
    pub fn wants(&self, project: &ProjectKey, subscription: &Subscription, notice: &Notice) -> bool {
        subscription.wants(notice)
            && self
                .predicate
                .as_ref()
                .is_none_or(|predicate| predicate.matches(&Value::from(platform::fields(project, notice))))
    }

    /// What is sent of the notice, or how it ends instead. What is larger than `bytes_max` goes without its payload; a template's
    /// body is its author's.
    pub fn render(
        &self,
        (project, subscription): (&ProjectKey, &Subscription),
        notice: &Notice,
        (ids, bytes_max): (&EventIds, Option<usize>),
    ) -> Result<Rendered, Outcome> {
        let rendered = match &self.template {
            None => format::render_within(bytes_max, project, notice, subscription.format, ids).map(Ok),
            Some(template) => {
                platform::payload(project, notice, Extent::Whole).map(|payload| template.render(&payload))
            }
        };
        match rendered {
            Ok(Ok(rendered)) => Ok(rendered),
            Ok(Err(error)) => Err(Outcome::Untransformed { reason: format!("the template fails: {error}") }),
            Err(Erased) => Err(Outcome::Erased),
        }
    }
}

/// Tries a template out with made-up notices of each type that the subscription asks for, full ones and bare ones. What is
/// wrong is said to its author.
pub fn try_template(
    project: &ProjectKey,
    subscription: &Subscription,
    transformation: &Transformation,
) -> Result<(), String> {
    let template = Template::read(transformation).map_err(|error| error.in_full())?;
    // What a filter lets through, samples do not tell: they have values of ours.
    let mut of_types = subscription.clone();
    of_types.selections.filter = None::<NoticeFilter>;
    for fullness in Fullness::ALL {
        for notice in sample::notices(fullness).into_iter().filter(|notice| of_types.wants(notice)) {
            let Ok(payload) = platform::payload(project, &notice, Extent::Whole) else { continue };
            if let Err(error) = template.render(&payload) {
                let of_type = payload.get("type").or_else(|| payload.get("notificationType")).and_then(Value::as_str);
                let which = match fullness {
                    Fullness::Full => "one with everything in it",
                    Fullness::Bare => "one without what may be missing",
                };
                let of_type = of_type.unwrap_or_default();
                return Err(format!("tried out with a {of_type}, {which}: {}", error.in_full()));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use keyherald_core::Micros;
    use keyherald_core::initiator::Initiator;
    use keyherald_core::subscription::{
        DestinationSettings, FormatKind, MediaType, MessageSelection, Selections, SubscriptionStatus,
    };
    use uuid::Uuid;

    use super::*;
    use crate::predicate::{Field, Shape};

    /// Predicates that ask whether each plain field is there.
    fn asked(fields: &'static [Field], into: &mut Vec<String>, around: &dyn Fn(&str) -> String) {
        for field in fields {
            let name = field.name;
            match field.shape {
                Shape::One(_) => into.push(around(&format!("{name} is defined"))),
                Shape::Many(_) => into.push(around(&format!("{name} is not empty"))),
                Shape::Object(inner) | Shape::Objects(inner) => {
                    asked(inner, into, &|inner| around(&format!("{name}({inner})")));
                }
            }
        }
    }

    #[test]
    fn every_field_that_a_filter_can_name_is_there_in_some_notice() {
        let project = "demo".parse().unwrap();
        let samples: Vec<Value> =
            sample::notices(Fullness::Full).iter().map(|notice| platform::fields(&project, notice).into()).collect();
        let mut predicates = Vec::new();
        asked(NOTICES, &mut predicates, &str::to_owned);
        assert!(predicates.len() > 100, "{}", predicates.len());
        for predicate in predicates {
            let found = samples.iter().any(|sample| read_predicate(&predicate).unwrap().matches(sample));
            let is_ours = !predicate.contains("customerGroup"); // there are none here
            assert_eq!(found, is_ours, "{predicate}");
        }
        assert!(read_predicate("value is defined").is_err(), "a token's value is not asked for");
    }

    fn subscription(predicate: &str, template: Option<&str>) -> Subscription {
        let selection = |resource_type: &str| MessageSelection { resource_type: resource_type.into(), types: vec![] };
        let filter = NoticeFilter { predicate: Some(predicate.to_owned()), ..NoticeFilter::default() };
        let template = template.map(str::to_owned);
        Subscription {
            id: Uuid::nil().into(),
            key: None,
            version: 1,
            created_at: Micros(0),
            last_modified_at: Micros(0),
            created_by: Initiator::default(),
            last_modified_by: Initiator::default(),
            destination: DestinationSettings { kind: "Webhook".into(), settings: serde_json::Map::new() },
            selections: Selections {
                messages: vec![selection("customer"), selection("customer-password-token")],
                changes: vec!["customer".into()],
                filter: Some(filter),
                ..Selections::default()
            },
            format: FormatKind::Platform,
            transformation: template.map(|template| Transformation { template, media_type: MediaType::Json }),
            status: SubscriptionStatus::Healthy,
        }
    }

    #[test]
    fn a_predicate_is_held_against_what_would_be_sent() {
        let project = "demo".parse().unwrap();
        for (predicate, full, bare) in [
            ("type = \"CustomerPasswordUpdated\" and reset = false", 1, 1),
            ("customer(email matches ignore case \"SAMPLE@example.com\")", 1, 1),
            ("customer(lowercaseEmail = \"sample@example.com\" and stores(key = \"sample\"))", 1, 0),
            ("notificationType = \"ResourceUpdated\" and oldVersion >= 1", 1, 1),
            ("dataErasure = true", 1, 0),
            ("expiresAt > \"2020-01-01\"", 2, 2),
            ("address(country = \"DE\") and addressRoles contains any (\"Shipping\")", 2, 2),
        ] {
            let subscription = subscription(predicate, None);
            let compiled = Compiled::of(&subscription).unwrap();
            for (fullness, expected) in [(Fullness::Full, full), (Fullness::Bare, bare)] {
                let notices = sample::notices(fullness).into_iter();
                let passed = notices.filter(|notice| compiled.wants(&project, &subscription, notice)).count();
                assert_eq!(passed, expected, "{predicate} {fullness:?}");
            }
        }
    }

    #[test]
    fn what_was_erased_is_absent_and_is_put_aside_by_those_who_ask_for_what_is_left() {
        let project = "demo".parse().unwrap();
        let mut created = sample::notices(Fullness::Full).remove(0);
        let Notice::Message(message) = &mut created else { panic!("the first is a message") };
        message.personal = None;
        for (predicate, is_wanted) in [("type = \"CustomerCreated\"", true), ("customer(email is defined)", false)] {
            let subscription = subscription(predicate, Some("{}"));
            let compiled = Compiled::of(&subscription).unwrap();
            assert_eq!(compiled.wants(&project, &subscription, &created), is_wanted, "{predicate}");
            let rendered = compiled.render((&project, &subscription), &created, (&EventIds::default(), None));
            assert_eq!(rendered.err(), Some(Outcome::Erased));
        }
    }
}
