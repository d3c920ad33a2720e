//! Subscriptions, as far as they are resources (commercetools.md 8.1). What is delivered is another test's matter.

use std::rc::Rc;

use serde_json::Value;

use super::refused::{self, Refused};
use super::state::{Subscription, World};
use super::{Outcome, Who};
use crate::call::{By, Call, Selection};
use crate::expect::{Expected, Listing};
use crate::query::Page;

impl World {
    pub(super) fn subscribe(
        &mut self,
        call: &Call,
        who: &Who,
        key: Option<&str>,
        messages: &[Selection],
        cloud_events: bool,
    ) -> Outcome {
        if messages.is_empty() {
            return Err(refused::nothing_subscribed());
        }
        let mut others = self.projects[call.project].subscriptions.values();
        if let Some(key) = key.filter(|key| others.any(|other| other.key.as_deref() == Some(*key))) {
            return Err(refused::duplicate("key", key));
        }
        let made = Subscription {
            id: self.name("id"),
            key: key.map(str::to_owned),
            version: 1,
            at: self.now,
            by: who.by.clone(),
            messages: messages.to_vec(),
            cloud_events,
        };
        let shown = made.json(Some(&self.name("secret")));
        self.project(call).subscriptions.insert(made.id.clone(), Rc::new(made));
        Ok(Expected::Body(201, shown))
    }

    fn find_subscription(&self, call: &Call, by: &By) -> Result<Rc<Subscription>, Refused> {
        let mut all = self.projects[call.project].subscriptions.values();
        let (found, refusal) = match by {
            By::Key(key) => (all.find(|own| own.key.as_ref() == Some(key)), refused::no_such_key(key)),
            By::Id(id) => (all.find(|own| self.is(&own.id, id)), refused::no_such_id(id)),
            By::PasswordToken(_) | By::EmailToken(_) | By::Me => (None, refused::nothing()),
        };
        found.cloned().ok_or(refusal)
    }

    pub(super) fn subscription(&mut self, call: &Call, by: &By) -> Outcome {
        Ok(Expected::Body(200, self.find_subscription(call, by)?.json(None)))
    }

    pub(super) fn subscriptions(&mut self, call: &Call, head: bool) -> Outcome {
        let all = self.projects[call.project].subscriptions.values();
        let found: Vec<Value> = all.map(|own| own.json(None)).collect();
        if head {
            return if found.is_empty() { Err(refused::nothing()) } else { Ok(Expected::Head(200)) };
        }
        let page = Page { limit: Some(500), ..Page::default() };
        Ok(Expected::Page(Listing::new(found, &page, &["/id"])))
    }

    pub(super) fn unsubscribe(&mut self, call: &Call, by: &By, version: Option<i64>) -> Outcome {
        let version = version.ok_or_else(refused::no_version)?;
        let last = self.find_subscription(call, by)?;
        if last.version != version {
            return Err(refused::other_version(&last.id, version, last.version));
        }
        self.project(call).subscriptions.remove(&last.id);
        Ok(Expected::Body(200, last.json(None)))
    }
}
