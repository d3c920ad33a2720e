//! Subscriptions, as far as they are resources (commercetools.md 8.1). What is delivered is another test's matter.

use std::rc::Rc;

use serde_json::json;

use super::refused::{self, Refused};
use super::state::{Mistake, Subscription, World};
use super::{Outcome, Who};
use crate::call::{By, Call, Selection, Subscribing};
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
            created_at: self.now,
            modified_at: self.now,
            created_by: who.by.clone(),
            modified_by: who.by.clone(),
            hook: 0,
            messages: messages.to_vec(),
            changes: Vec::new(),
            events: Vec::new(),
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

    pub(super) fn subscriptions(&mut self, call: &Call, key: Option<&str>, page: &Page, head: bool) -> Outcome {
        let all = self.projects[call.project].subscriptions.values();
        let meant = all.filter(|own| key.is_none() || own.key.as_deref() == key);
        Listing::answer(meant.map(|own| own.json(None)).collect(), page, &["/id"], head)
    }

    pub(super) fn resubscribe(
        &mut self,
        call: &Call,
        who: &Who,
        by: &By,
        version: i64,
        actions: &[Subscribing],
    ) -> Outcome {
        if actions.contains(&Subscribing::Unknown) {
            return Err(refused::invalid_json(None));
        }
        let before = self.find_subscription(call, by)?;
        if before.version != version {
            return Err(refused::other_version(&before.id, version, before.version));
        }
        let mut after = (*before).clone();
        let (mut is_new, mut secret) = (false, None);
        for action in actions {
            match action {
                Subscribing::SetKey(key) => after.key.clone_from(key),
                Subscribing::SetMessages(wanted) => after.messages.clone_from(wanted),
                Subscribing::SetChanges(wanted) => after.changes.clone_from(wanted),
                Subscribing::SetEvents(wanted) => after.events.clone_from(wanted),
                Subscribing::ChangeDestination { hook, with_secret } => {
                    (after.hook, is_new) = (*hook, true);
                    secret = (!with_secret).then(|| self.name("secret"));
                }
                Subscribing::Unknown => {}
            }
        }
        let is_empty = after.messages.is_empty() && after.changes.is_empty() && after.events.is_empty();
        if is_empty && !self.errs(Mistake::EmptySubscriptionsStay) {
            return Err(refused::nothing_subscribed());
        }
        let mut others = self.projects[call.project].subscriptions.values().filter(|other| other.id != after.id);
        if let Some(key) = after.key.as_ref().filter(|key| others.any(|other| other.key.as_ref() == Some(*key))) {
            return Err(refused::duplicate("key", key));
        }
        if is_new || after != *before {
            after.version += 1;
            (after.modified_at, after.modified_by) = (self.now, who.by.clone());
        }
        let shown = after.json(secret.as_ref());
        self.project(call).subscriptions.insert(after.id.clone(), Rc::new(after));
        Ok(Expected::Body(200, shown))
    }

    /// Nothing is delivered here, so nothing is wrong.
    pub(super) fn health(&mut self, call: &Call, id: &str) -> Outcome {
        self.find_subscription(call, &By::Id(id.to_owned()))?;
        Ok(Expected::Body(200, json!({"status": "Healthy"})))
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
