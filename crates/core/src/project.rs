//! Projects, as far as their messages need them (commercetools.md chapter 4).

use std::ops::RangeInclusive;

use crate::Refusal;
use crate::ctx::{Ctx, Micros};
use crate::customer::Version;
use crate::id::ProjectKey;
use crate::refusal::Versioned;

/// Whether and how long messages can be queried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// A project as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// Its key.
    pub key: ProjectKey,
    /// For people.
    pub name: String,
    /// Grows by one with every change of its settings.
    pub version: Version,
    /// Its messages setting.
    pub messages: MessagesSetting,
    /// When it was first configured.
    pub created_at: Micros,
    /// When its settings were changed last.
    pub last_modified_at: Micros,
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
            messages: MessagesSetting::default(),
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
    fn messages_are_hidden_after_their_days() {
        let setting = MessagesSetting { enabled: true, days: 2 };
        assert_eq!(setting.oldest_shown(Micros(5 * Micros::DAY)), Micros(3 * Micros::DAY));
    }
}
