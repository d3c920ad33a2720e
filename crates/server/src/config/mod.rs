//! The configuration: a TOML file, environment variables over it, defaults below both.
//!
//! `KEYHERALD__SECTION__KEY` sets `section.key`; an element of a list is named by its number, as in
//! `KEYHERALD__PROJECTS__0__KEY`. Secrets come from `*_file` or `*_env` keys. Unknown keys are errors, and all problems
//! are reported at once. Sections are plain structs, one file each; a section lists its keys once, for reading and for
//! the listing of `keyherald check`.
//!
//! Nothing here opens a database or a socket: a configuration is read anywhere. To add a section: a file, and a line in
//! [`Config`].

mod aws;
mod cors;
mod delivery;
mod hashing;
mod keys;
mod log;
mod mail;
mod metrics;
mod naviga;
mod node;
mod operations;
mod password_policy;
mod paysafe;
mod paysafe_webhook;
mod problem;
mod project;
mod provider;
mod provider_gigya;
mod provider_keycloak;
mod provider_kratos;
mod provider_ldap;
mod recovery;
mod secret;
mod secrets;
mod server;
mod setting;
mod sms;
mod store;
#[cfg(test)]
mod tests;
mod throttle;
mod traces;
mod tree;
mod wallet;

use std::collections::BTreeMap;
use std::path::Path;

use keyherald_core::id::ProjectKey;
use keyherald_core::provider::ProviderName;
use keyherald_core::verification::Kind;

pub use aws::Aws;
pub use cors::{Cors, PageOrigin};
pub use delivery::{Breaker, Delivery, Google, OnExhausted};
pub use hashing::Hashing;
pub use log::{Format, Log};
pub use mail::{Links, Mail, ProjectMail, Smtp, SmtpSecurity};
pub use metrics::Metrics;
pub use naviga::{AuthSystem, EventIds, Jwt, JwtAlgorithm, Naviga, PATHS as NAVIGA_PATHS, PasswordRules};
pub use node::{Node, Role};
pub use operations::Operations;
pub use password_policy::{BreachCheck, PasswordPolicy, PolicyContract};
pub use paysafe::{CredentialKind, DataVerification, DeliveryMode, Otp, Paysafe, Rates, RequiredIdentifiers};
pub use paysafe_webhook::{Backoff, PayloadProfile, PaysafeEvent, PaysafeEvents, PaysafeWebhook};
pub use problem::{Origin, Problem, Problems};
pub use project::{Messages, Project};
pub use provider::{Auth0, Http, HttpAuth, Provider, ProviderKind, ProviderLimits, ProviderNet};
pub use provider_gigya::Gigya;
pub use provider_keycloak::Keycloak;
pub use provider_kratos::Kratos;
pub use provider_ldap::{DirectoryUrl, Ldap};
pub use recovery::{Colour, Recovery, ReturnUrl};
pub use secret::Secret;
pub use secrets::{NamedKey, Secrets};
pub use server::Server;
pub use sms::{ProjectSms, Sms};
pub use store::Store;
pub use throttle::Throttle;
pub use traces::Traces;
pub use tree::Environment;
pub use wallet::Wallet;

use keys::{Keys, Reading, Section};
use tree::Value;

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
    /// `[node]`
    pub node: Node,
    /// `[secrets]`
    pub secrets: Secrets,
    /// `[hashing]`
    pub hashing: Hashing,
    /// `[delivery]`
    pub delivery: Delivery,
    /// `[aws]`
    pub aws: Aws,
    /// `[mail]`
    pub mail: Mail,
    /// `[operations]`
    pub operations: Operations,
    /// `[log]`
    pub log: Log,
    /// `[metrics]`
    pub metrics: Metrics,
    /// `[traces]`
    pub traces: Traces,
    /// `[sms]`; absent: there is no service for short messages.
    pub sms: Option<Sms>,
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
        reading.section(&mut config, String::new(), tree::Node { value: Value::Table(table), origin: Origin::Nowhere });
        reading.problems.or(config)
    }

    /// The effective configuration as TOML, defaults included, secrets masked.
    pub fn listing(&self) -> String {
        keys::write(&mut self.clone()).to_string()
    }
}

impl Config {
    /// The pages' paths are no project's.
    fn check_recovery(&self, keys: &mut Keys<'_>) {
        let has_pages = self.projects.iter().any(|project| project.recovery.is_some());
        let prefix = self.server.recovery_prefix.as_str();
        let taken = self.projects.iter().position(|project| project.key.as_str() == prefix);
        if let (true, Some(number)) = (has_pages, taken) {
            let what = format!("{prefix:?} is the beginning of the paths of recovery pages");
            let hint = "choose another key, or another [server] recovery_prefix";
            keys.refuse_inside("projects", &format!("[{number}].key"), what, Some(hint.into()));
        }
    }

    /// Nor are those of Paysafe's contract.
    fn check_paysafe(&self, keys: &mut Keys<'_>) {
        let has_brands = self.projects.iter().any(|project| project.paysafe.is_some());
        let prefix = self.server.paysafe_prefix.as_str();
        let first = prefix.split('/').nth(1).unwrap_or_default();
        let taken = self.projects.iter().position(|project| project.key.as_str() == first);
        if let (true, Some(number)) = (has_brands, taken) {
            let what = format!("{first:?} is the beginning of the paths of Paysafe's contract");
            let hint = "choose another key, or another [server] paysafe_prefix";
            keys.refuse_inside("projects", &format!("[{number}].key"), what, Some(hint.into()));
        }
    }

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

    /// What a project that sends SMS lacks.
    fn missing_for_sms(&self, project: &Project) -> Option<&'static str> {
        let own = project.sms.as_ref().filter(|sms| !sms.send.is_empty())?;
        if self.mail.to_mailbox {
            return None;
        }
        let Some(sms) = &self.sms else { return Some("there is no [sms]") };
        let is_from = own.from.is_some() || sms.from.is_some();
        let names_sender = sms.recipe().is_some_and(|recipe| recipe.names_sender());
        (names_sender && !is_from).then_some("neither it nor [sms] says from whom")
    }
}

impl Section for Config {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.section("server", &mut self.server);
        keys.section("store", &mut self.store);
        keys.section("node", &mut self.node);
        keys.section("secrets", &mut self.secrets);
        keys.section("hashing", &mut self.hashing);
        keys.section("delivery", &mut self.delivery);
        keys.section("aws", &mut self.aws);
        keys.section("mail", &mut self.mail);
        keys.section("operations", &mut self.operations);
        keys.section("log", &mut self.log);
        keys.section("metrics", &mut self.metrics);
        keys.section("traces", &mut self.traces);
        keys.optional_section("sms", &mut self.sms);
        let mut drafts: Vec<project::Draft> = self.projects.iter().map(project::Draft::of).collect();
        keys.sections("projects", &mut drafts);
        keys.named("providers", "1 to 64 of a-z, 0-9, _ and -", &mut self.providers);
        check_tenants(keys, &drafts, &self.providers);
        self.projects = drafts.into_iter().filter_map(project::Draft::done).collect();
        self.check_recovery(keys);
        self.check_paysafe(keys);
        self.check_lease(keys);
        for (number, project) in self.projects.iter().enumerate() {
            if self.projects.iter().take(number).any(|earlier| earlier.key == project.key) {
                keys.refuse("projects", format!("the key {:?} is given twice", project.key.as_str()), None);
            }
            if let Some(what) = wrong_with_pages(project) {
                let whose = format!("the recovery pages of project {:?}", project.key.as_str());
                keys.refuse("projects", format!("{whose} {what}"), None);
            }
            if let Some(what) = missing_for_codes(project) {
                keys.refuse("projects", format!("the brand of project {:?} {what}", project.key.as_str()), None);
            }
            let brand = |project: &Project| project.paysafe.as_ref().map(|paysafe| paysafe.brand.clone());
            if brand(project).is_some() && self.projects.iter().take(number).any(|it| brand(it) == brand(project)) {
                keys.refuse(
                    "projects",
                    format!("the brand of project {:?} is given twice", project.key.as_str()),
                    None,
                );
            }
            if let Some(missing) = self.missing_for_mail(project) {
                let what = format!("the project {:?} sends mail, but {missing}", project.key.as_str());
                keys.refuse("projects", what, None);
            }
            if let Some(missing) = self.missing_for_sms(project) {
                let what = format!("the project {:?} sends SMS, but {missing}", project.key.as_str());
                keys.refuse("projects", what, None);
            }
        }
    }
}

/// What a brand lacks whose codes this server sends.
fn missing_for_codes(project: &Project) -> Option<&'static str> {
    let paysafe = project.paysafe.as_ref().filter(|paysafe| paysafe.delivery_mode == DeliveryMode::Server)?;
    paysafe.required_identifiers.kinds().filter(|kind| !project.sends_codes(*kind)).map(|kind| match kind {
        Kind::Email => "sends codes by mail, but verification_code is not among what it mails",
        Kind::Mobile => {
            "sends codes to mobile numbers, but verification_code is not among what it sends by SMS: say so in sms.send, or \
             name EMAIL alone in required_identifiers"
        }
    }).next()
}

/// What a project's recovery pages cannot be with.
fn wrong_with_pages(project: &Project) -> Option<&'static str> {
    let recovery = project.recovery.as_ref().filter(|recovery| recovery.enabled)?;
    let is_usual = (&recovery.otp, &recovery.limits) == (&Otp::default(), &Rates::default());
    let is_enough = Kind::ALL.into_iter().any(|kind| project.proves_alone(kind));
    match &project.paysafe {
        Some(_) if !is_usual => {
            Some("have otp or limits of their own, but the project is a brand: those of paysafe count")
        }
        Some(_) if !is_enough => {
            Some("prove one address or one number, and that is not enough for required_identifiers")
        }
        None if !is_enough => Some("send codes, but verification_code is neither in mail.send nor in sms.send"),
        Some(_) | None => None,
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
