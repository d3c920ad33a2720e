//! `[[projects]]`: the tenants.

use keyherald_core::id::ProjectKey;
use keyherald_core::project::{self, LanguageTag};

use super::keys::{Keys, Section};
use super::{Naviga, ProjectMail};

/// One of `[[projects]]`.
#[derive(Clone, Debug)]
pub struct Project {
    /// The project's key in URLs.
    pub key: ProjectKey,
    /// A name for people.
    pub name: Option<String>,
    /// The languages that customers' locales may be. None: any.
    pub languages: Vec<LanguageTag>,
    /// Whether and how long messages can be queried. Absent: what the API set last. If it is there, it is applied at the
    /// first start, and again when it says something else than at the last start; in between the API may change it.
    pub messages: Option<Messages>,
    /// What is mailed to its customers. Absent: nothing.
    pub mail: Option<ProjectMail>,
    /// Which tenant of Naviga's API it is. Absent: none.
    pub naviga: Option<Naviga>,
}

/// `projects[].messages`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Messages {
    /// Whether the project's messages can be queried. Subscriptions get them regardless.
    pub enabled: bool,
    /// Days until a message is no longer shown, 1 to 90.
    pub delete_days_after_creation: u16,
}

impl Default for Messages {
    fn default() -> Self {
        Self { enabled: true, delete_days_after_creation: 15 }
    }
}

impl Section for Messages {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.value("enabled", &mut self.enabled);
        keys.within("delete_days_after_creation", &mut self.delete_days_after_creation, 1..=90);
    }
}

/// A project while it is read: its key may be missing.
#[derive(Default)]
pub(super) struct Draft {
    key: Option<ProjectKey>,
    name: Option<String>,
    languages: Vec<LanguageTag>,
    messages: Option<Messages>,
    mail: Option<ProjectMail>,
    naviga: Option<Naviga>,
}

impl Draft {
    pub fn of(project: &Project) -> Self {
        let Project { key, name, languages, messages, mail, naviga } = project.clone();
        Self { key: Some(key), name, languages, messages, mail, naviga }
    }

    /// Its key.
    pub fn key(&self) -> Option<&ProjectKey> {
        self.key.as_ref()
    }

    /// The tenant that it is.
    pub fn naviga(&self) -> Option<&Naviga> {
        self.naviga.as_ref()
    }

    /// The project; `None` when its key has a problem, which is reported.
    pub fn done(self) -> Option<Project> {
        let Self { key, name, languages, messages, mail, naviga } = self;
        Some(Project { key: key?, name, languages, messages, mail, naviga })
    }
}

impl Section for Draft {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.optional("key", &mut self.key);
        keys.require("key", Some("the project's key in URLs, such as key = \"my-shop\"".into()));
        keys.optional("name", &mut self.name);
        keys.list("languages", &mut self.languages, 0..=project::Project::LANGUAGES_MAX);
        keys.optional_section("messages", &mut self.messages);
        keys.optional_section("mail", &mut self.mail);
        keys.optional_section("naviga", &mut self.naviga);
    }
}
