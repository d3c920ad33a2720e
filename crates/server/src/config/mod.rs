//! The configuration: a TOML file, environment variables over it, defaults below both.
//!
//! `KEYHERALD__SECTION__KEY` sets `section.key`; an element of a list is named by its number, as in
//! `KEYHERALD__PROJECTS__0__KEY`. Secrets come from `*_file` or `*_env` keys. Unknown keys are errors, and all problems
//! are reported at once. Sections are plain structs, one file each; a section lists its keys once, for reading and for
//! the listing of `keyherald check`.
//!
//! Nothing here opens a database or a socket: a configuration is read anywhere. To add a section: a file, and a line in
//! [`Config`].

mod cors;
mod delivery;
mod hashing;
mod keys;
mod log;
mod mail;
mod naviga;
mod operations;
mod problem;
mod project;
mod provider;
mod provider_gigya;
mod provider_keycloak;
mod provider_kratos;
mod provider_ldap;
mod secret;
mod secrets;
mod server;
mod setting;
mod store;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::BTreeMap;
use std::path::Path;

use keyherald_core::id::ProjectKey;
use keyherald_core::provider::ProviderName;

pub use cors::{Cors, PageOrigin};
pub use delivery::{Breaker, Delivery, OnExhausted};
pub use hashing::Hashing;
pub use log::{Format, Log};
pub use mail::{Links, Mail, ProjectMail, Smtp, SmtpSecurity};
pub use naviga::{EventIds, Jwt, JwtAlgorithm, Naviga, PATHS as NAVIGA_PATHS};
pub use operations::Operations;
pub use problem::{Origin, Problem, Problems};
pub use project::{Messages, Project};
pub use provider::{Auth0, Http, HttpAuth, Provider, ProviderKind, ProviderLimits, ProviderNet};
pub use provider_gigya::Gigya;
pub use provider_keycloak::Keycloak;
pub use provider_kratos::Kratos;
pub use provider_ldap::{DirectoryUrl, Ldap};
pub use secret::Secret;
pub use secrets::{NamedKey, Secrets};
pub use server::Server;
pub use store::Store;
pub use tree::Environment;

use keys::{Keys, Reading, Section};
use tree::{Node, Value};

/// Longest configuration file.
const FILE_BYTES_MAX: usize = 1024 * 1024;

/// What the configuration is read for: how strict some checks are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To serve: everything must be there.
    Serve,
    /// To look after the data (`migrate`, `client`): sealing keys may be absent.
    Maintain,
    /// For `dev`, `demo` and tests: sealing keys may be absent, and hashes cheap.
    Develop,
}

/// The whole configuration, checked.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// `[server]`
    pub server: Server,
    /// `[store]`
    pub store: Store,
    /// `[secrets]`
    pub secrets: Secrets,
    /// `[hashing]`
    pub hashing: Hashing,
    /// `[delivery]`
    pub delivery: Delivery,
    /// `[mail]`
    pub mail: Mail,
    /// `[operations]`
    pub operations: Operations,
    /// `[log]`
    pub log: Log,
    /// `[[projects]]`
    pub projects: Vec<Project>,
    /// `[providers.NAME]`
    pub providers: BTreeMap<ProviderName, Provider>,
}

impl Config {
    /// Reads the file, if one is given, and the environment over it.
    pub fn load(file: Option<&Path>, environment: Environment, purpose: Purpose) -> Result<Self, Problems> {
        let Some(path) = file else { return Self::read("", None, environment, purpose) };
        let name = path.display().to_string();
        match read_file(path) {
            Ok(text) => Self::read(&text, Some(name), environment, purpose),
            Err(what) => {
                let mut problems = Problems::of(Some(name));
                problems.add(Origin::Nowhere, "", what, None);
                problems.or(Self::default())
            }
        }
    }

    /// Reads TOML text, and the environment over it. `name` is the file's name in problems.
    pub fn read(
        text: &str,
        name: Option<String>,
        environment: Environment,
        purpose: Purpose,
    ) -> Result<Self, Problems> {
        let mut problems = Problems::of(name);
        let mut table = tree::of_file(text, &mut problems);
        if !problems.is_empty() {
            // What a broken file says cannot be judged key by key.
            return problems.or(Self::default());
        }
        tree::overlay(&mut table, &environment, &mut problems);
        let mut reading = Reading { problems, environment, purpose };
        let mut config = Self::default();
        reading.section(&mut config, String::new(), Node { value: Value::Table(table), origin: Origin::Nowhere });
        reading.problems.or(config)
    }

    /// The effective configuration as TOML, defaults included, secrets masked.
    pub fn listing(&self) -> String {
        keys::write(&mut self.clone()).to_string()
    }
}

impl Config {
    /// What a project that mails lacks.
    fn missing_for_mail(&self, project: &Project) -> Option<&'static str> {
        let mail = project.mail.as_ref().filter(|mail| !mail.send.is_empty())?;
        if self.mail.to_mailbox {
            return None;
        }
        match (&self.mail.smtp, mail.from.as_ref().or(self.mail.from.as_ref())) {
            (None, _) => Some("there is no [mail.smtp]"),
            (_, None) => Some("neither it nor [mail] says from whom"),
            _ => None,
        }
    }
}

impl Section for Config {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.section("server", &mut self.server);
        keys.section("store", &mut self.store);
        keys.section("secrets", &mut self.secrets);
        keys.section("hashing", &mut self.hashing);
        keys.section("delivery", &mut self.delivery);
        keys.section("mail", &mut self.mail);
        keys.section("operations", &mut self.operations);
        keys.section("log", &mut self.log);
        let mut drafts: Vec<project::Draft> = self.projects.iter().map(project::Draft::of).collect();
        keys.sections("projects", &mut drafts);
        keys.named("providers", "1 to 64 of a-z, 0-9, _ and -", &mut self.providers);
        check_tenants(keys, &drafts, &self.providers);
        self.projects = drafts.into_iter().filter_map(project::Draft::done).collect();
        for (number, project) in self.projects.iter().enumerate() {
            if self.projects.iter().take(number).any(|earlier| earlier.key == project.key) {
                keys.refuse("projects", format!("the key {:?} is given twice", project.key.as_str()), None);
            }
            if let Some(missing) = self.missing_for_mail(project) {
                let what = format!("the project {:?} sends mail, but {missing}", project.key.as_str());
                keys.refuse("projects", what, None);
            }
        }
    }
}

/// No two projects are one tenant, and the providers that they name are there.
fn check_tenants(keys: &mut Keys<'_>, projects: &[project::Draft], providers: &BTreeMap<ProviderName, Provider>) {
    let has_tenants = projects.iter().any(|project| project.naviga().is_some());
    for (number, project) in projects.iter().enumerate() {
        let Some(key) = project.key().map(ProjectKey::as_str) else { continue };
        if has_tenants && NAVIGA_PATHS.v4.iter().chain(NAVIGA_PATHS.old).chain(&["api"]).any(|word| *word == key) {
            let what = format!("{key:?} is the beginning of paths of the Naviga API");
            let hint = "choose another key, for the paths of both would be the same";
            keys.refuse_inside("projects", &format!("[{number}].key"), what, Some(hint.into()));
        }
    }
    let tenants = || projects.iter().enumerate().filter_map(|(number, project)| Some((number, project.naviga()?)));
    for (number, tenant) in tenants() {
        if let Some((earlier, _)) = tenants().take_while(|(n, _)| *n < number).find(|(_, t)| t.is_same_tenant(tenant)) {
            let what = format!("is the tenant of projects[{earlier}] too: client_group, client and paper are the same");
            keys.refuse_inside("projects", &format!("[{number}].naviga"), what, None);
        }
        let Some(named) = &tenant.user_provider else { continue };
        if !providers.contains_key(named) {
            let known: Vec<String> = providers.keys().map(ToString::to_string).collect();
            let hint = match known.as_slice() {
                [] => format!("describe it in a table [providers.{named}]"),
                known => format!("known here: {}", known.join(", ")),
            };
            let what = format!("there is no [providers.{named}]");
            keys.refuse_inside("projects", &format!("[{number}].naviga.user_provider"), what, Some(hint));
        }
    }
}

fn read_file(path: &Path) -> Result<String, String> {
    let bytes = std::fs::read(path).map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(format!("is larger than {FILE_BYTES_MAX} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())
}
