//! Projects, as far as their messages and customers need them (commercetools.md chapter 4).
//!
//! A project has two masters: the configuration, which makes it, and callers, who change its messages setting. The last
//! change counts, wherever it was made: see [`configure`].

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Refusal;
use crate::ctx::{Ctx, Micros};
use crate::customer::Version;
use crate::id::ProjectKey;
use crate::refusal::Versioned;

/// Whether and how long messages can be queried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessagesSetting {
    /// Whether new messages become visible there. Subscriptions get them regardless.
    pub enabled: bool,
    /// Days after which they are hidden, and then removed, within [`MessagesSetting::DAYS`].
    pub days: i64,
}

impl MessagesSetting {
    /// The days that may be set.
    pub const DAYS: RangeInclusive<i64> = 1..=90;
    /// The days when the caller names none.
    pub const DAYS_DEFAULT: i64 = 15;

    /// Messages that happened before this time are hidden at `now`, and may be removed.
    pub fn oldest_shown(self, now: Micros) -> Micros {
        now.plus(self.days.saturating_mul(Micros::DAY).saturating_neg())
    }
}

impl Default for MessagesSetting {
    fn default() -> Self {
        Self { enabled: false, days: Self::DAYS_DEFAULT }
    }
}

/// A language, as `de` or `de-CH`: the form of RFC 5646, letter case ignored. Whether there is such a language is not known
/// here.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LanguageTag(String);

impl LanguageTag {
    /// Longest tag in characters.
    const CHARS_MAX: usize = 35;

    /// The tag as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a text has the form of one.
    pub fn is_one(text: &str) -> bool {
        let mut parts = text.split('-');
        let language = parts.next().unwrap_or_default();
        let is_part =
            |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
        text.len() <= Self::CHARS_MAX
            && (2..=8).contains(&language.len())
            && language.bytes().all(|byte| byte.is_ascii_alphabetic())
            && parts.all(is_part)
    }
}

impl PartialEq for LanguageTag {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for LanguageTag {}

impl fmt::Display for LanguageTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for LanguageTag {
    type Err = crate::id::NotAnId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if Self::is_one(text) { Ok(Self(text.to_owned())) } else { Err(crate::id::NotAnId) }
    }
}

/// A project as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// Its key.
    pub key: ProjectKey,
    /// For people.
    pub name: String,
    /// Grows by one with every change of its settings.
    pub version: Version,
    /// The languages that its customers' locales may be. None: any.
    pub languages: Vec<LanguageTag>,
    /// Its messages setting.
    pub messages: MessagesSetting,
    /// The messages setting that the configuration named when it was applied last. None: it named none.
    pub configured_messages: Option<MessagesSetting>,
    /// When it was first configured.
    pub created_at: Micros,
    /// When its settings were changed last.
    pub last_modified_at: Micros,
}

impl Project {
    /// Languages that one may have.
    pub const LANGUAGES_MAX: usize = 500;

    /// Whether a customer may have this locale: one of the project's languages, or any if it names none.
    pub fn accepts_locale(&self, locale: &str) -> bool {
        self.languages.is_empty()
            || self.languages.iter().any(|language| language.as_str().eq_ignore_ascii_case(locale))
    }
}

/// What the configuration says of a project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configured {
    /// For people.
    pub name: String,
    /// Its languages.
    pub languages: Vec<LanguageTag>,
    /// Its messages setting, if the configuration names one.
    pub messages: Option<MessagesSetting>,
}

impl Configured {
    /// The project when it is first configured.
    pub fn new_project(&self, key: ProjectKey, ctx: &Ctx) -> Project {
        Project {
            key,
            name: self.name.clone(),
            version: 1,
            languages: self.languages.clone(),
            messages: self.messages.unwrap_or_default(),
            configured_messages: self.messages,
            created_at: ctx.now,
            last_modified_at: ctx.now,
        }
    }
}

/// What a project is after a start with this configuration. Nobody else sets its name and languages. Its messages setting
/// is taken over when the configuration says another one than at the last start; if it still says the same, what
/// callers have set since then stays.
pub fn configure(project: &Project, configured: &Configured, ctx: &Ctx) -> Project {
    let Configured { name, languages, messages } = configured.clone();
    let mut after = Project { name, languages, ..project.clone() };
    if let Some(messages) = messages
        && project.configured_messages != Some(messages)
    {
        after.messages = messages;
    }
    if after != *project {
        after.version += 1;
        after.last_modified_at = ctx.now;
    }
    Project { configured_messages: messages, ..after }
}

/// One change of a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// `changeMessagesConfiguration`; the dialect has checked the days.
    ChangeMessagesConfiguration(MessagesSetting),
    /// `changeMessagesEnabled`, deprecated: the days stay.
    ChangeMessagesEnabled(bool),
}

/// What the caller asks for.
#[derive(Clone, Debug)]
pub struct Command {
    /// The version that the caller read.
    pub version: Version,
    /// One after the other; all or nothing.
    pub actions: Vec<Action>,
}

impl Command {
    /// Most actions of one command.
    pub const ACTIONS_MAX: usize = 500;
}

/// Decides on the locked project: what it is afterwards. Nothing changed: the same version.
pub fn decide(project: &Project, command: &Command, ctx: &Ctx) -> Result<Project, Refusal> {
    if command.actions.len() > Command::ACTIONS_MAX {
        return Err(Refusal::TooManyActions { limit: Command::ACTIONS_MAX });
    }
    if command.version != project.version {
        let (expected, actual) = (command.version, project.version);
        return Err(Refusal::VersionMismatch { of: Versioned::Project, expected, actual });
    }
    let mut after = project.clone();
    for action in &command.actions {
        match *action {
            Action::ChangeMessagesConfiguration(setting) => after.messages = setting,
            Action::ChangeMessagesEnabled(enabled) => after.messages.enabled = enabled,
        }
    }
    if after != *project {
        after.version += 1;
        after.last_modified_at = ctx.now;
    }
    Ok(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project() -> Project {
        Project {
            key: "demo".parse().unwrap(),
            name: "Demo".into(),
            version: 4,
            languages: vec!["de".parse().unwrap(), "en-GB".parse().unwrap()],
            messages: MessagesSetting::default(),
            configured_messages: None,
            created_at: Micros(0),
            last_modified_at: Micros(0),
        }
    }

    fn decided(version: Version, actions: &[Action]) -> Result<Project, Refusal> {
        let command = Command { version, actions: actions.to_vec() };
        decide(&project(), &command, &Ctx::new(Micros(9_000), [0; 32]))
    }

    #[test]
    fn one_request_is_one_version() {
        let thirty = MessagesSetting { enabled: false, days: 30 };
        let actions = [Action::ChangeMessagesConfiguration(thirty), Action::ChangeMessagesEnabled(true)];
        let after = decided(4, &actions).unwrap();
        assert_eq!((after.version, after.last_modified_at), (5, Micros(9_000)));
        assert_eq!(after.messages, MessagesSetting { enabled: true, days: 30 });
    }

    #[test]
    fn what_changes_nothing_leaves_the_version() {
        assert_eq!(decided(4, &[]), Ok(project()));
        assert_eq!(
            decided(4, &[Action::ChangeMessagesEnabled(true), Action::ChangeMessagesEnabled(false)]),
            Ok(project())
        );
    }

    #[test]
    fn another_version_is_refused_even_with_nothing_to_do() {
        let refusal = Refusal::VersionMismatch { of: Versioned::Project, expected: 3, actual: 4 };
        assert_eq!(decided(3, &[]), Err(refusal));
    }

    #[test]
    fn what_callers_have_set_stays_until_the_configuration_says_something_else() {
        let ctx = &Ctx::new(Micros(9_000), [0; 32]);
        let named = |messages| Configured { name: "Demo".into(), languages: project().languages, messages };
        let on = MessagesSetting { enabled: true, days: 15 };
        // First named: taken over. The same again: nothing.
        let first = configure(&project(), &named(Some(on)), ctx);
        assert_eq!((first.version, first.messages, first.configured_messages), (5, on, Some(on)));
        assert_eq!(configure(&first, &named(Some(on)), ctx), first);
        // Changed by a caller meanwhile: that stays, over any number of starts.
        let off = MessagesSetting { enabled: false, days: 7 };
        let changed = Project { messages: off, version: 6, ..first };
        assert_eq!(configure(&changed, &named(Some(on)), ctx), changed);
        // Named differently, or named again: taken over.
        let thirty = MessagesSetting { enabled: true, days: 30 };
        assert_eq!(configure(&changed, &named(Some(thirty)), ctx).messages, thirty);
        let silent = configure(&changed, &named(None), ctx);
        assert_eq!((silent.version, silent.messages, silent.configured_messages), (6, off, None));
        assert_eq!(configure(&silent, &named(Some(on)), ctx).messages, on);
    }

    #[test]
    fn name_and_languages_are_the_configurations() {
        let ctx = &Ctx::new(Micros(9_000), [0; 32]);
        let languages = vec!["fr".parse().unwrap()];
        let after = configure(&project(), &Configured { name: "New".into(), languages, messages: None }, ctx);
        assert_eq!((after.version, after.name.as_str(), after.last_modified_at), (5, "New", Micros(9_000)));
        assert!(after.accepts_locale("FR") && !after.accepts_locale("de"));
    }

    #[test]
    fn a_locale_is_one_of_the_languages_if_there_are_any() {
        for (locale, accepted) in [("de", true), ("DE", true), ("en-gb", true), ("en", false), ("de-CH", false)] {
            assert_eq!(project().accepts_locale(locale), accepted, "{locale}");
        }
        assert!(Project { languages: Vec::new(), ..project() }.accepts_locale("xx-Latn"));
    }

    #[test]
    fn a_language_tag_has_a_form() {
        for (text, fits) in [("de", true), ("zh-Hant-TW", true), ("d", false), ("de_CH", false), ("", false)] {
            assert_eq!(text.parse::<LanguageTag>().is_ok(), fits, "{text}");
        }
    }

    #[test]
    fn messages_are_hidden_after_their_days() {
        let setting = MessagesSetting { enabled: true, days: 2 };
        assert_eq!(setting.oldest_shown(Micros(5 * Micros::DAY)), Micros(3 * Micros::DAY));
    }
}
