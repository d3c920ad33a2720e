//! `[[projects]]`: the tenants.

use keyherald_core::id::ProjectKey;
use keyherald_core::mail::MailKind;
use keyherald_core::project::{self, LanguageTag};
use keyherald_core::sms::SmsKind;
use keyherald_core::verification::Kind;

use super::keys::{Keys, Section};
use super::{Naviga, PasswordPolicy, Paysafe, ProjectMail, ProjectSms, Recovery, Throttle, Wallet};

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
    /// What is asked of new passwords. Absent: the default, where a contract does not say otherwise.
    pub password_policy: Option<PasswordPolicy>,
    /// Which brand of Paysafe's wallet contract it is. Absent: none.
    pub paysafe: Option<Paysafe>,
    /// The pages on which its customers recover their passwords. Absent: none.
    pub recovery: Option<Recovery>,
    /// What its customers are told by SMS. Absent: nothing.
    pub sms: Option<ProjectSms>,
    /// How often passwords can be tried. Absent: without end, but for a brand.
    pub throttle: Option<Throttle>,
    /// The wallet elsewhere that is told of its customers' passwords. Absent: none.
    pub wallet: Option<Wallet>,
}

impl Project {
    /// Whether one proved attribute of this kind is enough for a new password: for the brand that the project is, or where
    /// its codes go without one.
    pub fn proves_alone(&self, kind: Kind) -> bool {
        match &self.paysafe {
            Some(brand) => brand.required_identifiers.is_enough(kind),
            None => self.sends_codes(kind),
        }
    }

    /// Whether this server sends codes that way.
    pub(super) fn sends_codes(&self, kind: Kind) -> bool {
        match kind {
            Kind::Email => self.mail.as_ref().is_some_and(|mail| mail.send.contains(&MailKind::VerificationCode)),
            Kind::Mobile => self.sms.as_ref().is_some_and(|sms| sms.send.contains(&SmsKind::VerificationCode)),
        }
    }
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
    password_policy: Option<PasswordPolicy>,
    paysafe: Option<Paysafe>,
    recovery: Option<Recovery>,
    sms: Option<ProjectSms>,
    throttle: Option<Throttle>,
    wallet: Option<Wallet>,
}

impl Draft {
    pub fn of(project: &Project) -> Self {
        let Project {
            key,
            name,
            languages,
            messages,
            mail,
            naviga,
            password_policy,
            paysafe,
            recovery,
            sms,
            throttle,
            wallet,
        } = project.clone();
        Self {
            key: Some(key),
            name,
            languages,
            messages,
            mail,
            naviga,
            password_policy,
            paysafe,
            recovery,
            sms,
            throttle,
            wallet,
        }
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
        let Self {
            key,
            name,
            languages,
            messages,
            mail,
            naviga,
            password_policy,
            paysafe,
            recovery,
            sms,
            throttle,
            wallet,
        } = self;
        Some(Project {
            key: key?,
            name,
            languages,
            messages,
            mail,
            naviga,
            password_policy,
            paysafe,
            recovery,
            sms,
            throttle,
            wallet,
        })
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
        keys.optional_section("password_policy", &mut self.password_policy);
        keys.optional_section("paysafe", &mut self.paysafe);
        keys.optional_section("recovery", &mut self.recovery);
        keys.optional_section("sms", &mut self.sms);
        keys.optional_section("throttle", &mut self.throttle);
        keys.optional_section("wallet", &mut self.wallet);
    }
}
