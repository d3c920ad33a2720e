//! Projects.

use keyherald_core::id::{Key, ProjectKey};
use keyherald_store::project::{self, MessagesSetting, Project};
use keyherald_store::shop;

use super::{Answer, App};

impl App {
    /// Makes sure that a configured project is there, with the messages setting that the configuration names, if any.
    pub async fn ensure_project(&self, key: ProjectKey, name: String, messages: Option<(bool, i64)>) -> Answer<()> {
        let messages = messages.map(|(enabled, days)| MessagesSetting { enabled, days });
        Ok(self.store.write(&self.ctx(), move |tx, ctx| project::ensure(tx, &key, &name, messages, ctx)).await?)
    }

    /// The project with this key.
    pub async fn project(&self, key: ProjectKey) -> Answer<Option<Project>> {
        Ok(self.store.read(move |tx| project::by_key(tx, &key)).await?)
    }
}

impl App {
    /// Whether the project has a store with this key.
    pub async fn has_store(&self, project: ProjectKey, key: Key) -> Answer<bool> {
        Ok(self.store.read(move |tx| shop::by_key(tx, &project, &key)).await?.is_some())
    }

    /// Whether the database answers a read: for readiness.
    pub async fn store_answers(&self) -> Answer<()> {
        Ok(self.store.read(|tx| keyherald_store::log::last_position(tx).map(drop)).await?)
    }
}
