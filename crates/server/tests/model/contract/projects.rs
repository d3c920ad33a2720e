//! Projects and their stores (commercetools.md chapter 4).

use std::rc::Rc;

use super::refused;
use super::state::{Store, World};
use super::{Outcome, Who};
use crate::call::{By, Call};
use crate::expect::{Expected, Listing};
use crate::query::Page;

impl World {
    pub(super) fn configure(&mut self, call: &Call, version: i64, enabled: bool, days: Option<i64>) -> Outcome {
        let project = &mut self.projects[call.project];
        if project.version != version {
            return Err(refused::other_version(&project.key, version, project.version));
        }
        let days = days.unwrap_or(project.messages_days);
        if (project.messages_enabled, project.messages_days) != (enabled, days) {
            (project.messages_enabled, project.messages_days) = (enabled, days);
            project.version += 1;
        }
        Ok(Expected::Body(200, project.json()))
    }

    pub(super) fn create_store(&mut self, call: &Call, who: &Who, key: &str) -> Outcome {
        if self.projects[call.project].stores.contains_key(key) {
            return Err(refused::duplicate("key", key));
        }
        let store = Store { id: self.name("id"), at: self.now, by: who.by.clone() };
        let shown = store.json(key);
        self.project(call).stores.insert(key.to_owned(), Rc::new(store));
        Ok(Expected::Body(201, shown))
    }

    pub(super) fn read_store(&mut self, call: &Call, by: &By) -> Outcome {
        let mut stores = self.projects[call.project].stores.iter();
        let (found, refusal) = match by {
            By::Key(key) => (stores.find(|(own, _)| *own == key), refused::no_such_key(key)),
            By::Id(id) => (stores.find(|(_, own)| self.is(&own.id, id)), refused::no_such_id(id)),
            By::PasswordToken(_) | By::EmailToken(_) | By::Me => (None, refused::nothing()),
        };
        found.map(|(key, store)| Expected::Body(200, store.json(key))).ok_or(refusal)
    }

    pub(super) fn stores_with(&mut self, call: &Call, key: Option<&str>, page: &Page, head: bool) -> Outcome {
        let all = self.projects[call.project].stores.iter();
        let meant = all.filter(|(own, _)| key.is_none_or(|key| key == *own));
        Listing::answer(meant.map(|(key, store)| store.json(key)).collect(), page, &["/id"], head)
    }
}
