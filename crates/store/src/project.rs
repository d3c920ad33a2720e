//! Projects: the tenants.

use keyherald_core::Ctx;
use keyherald_core::id::ProjectKey;

use crate::tx::{Row, query_one};
use crate::{Fault, Tx, statements};

statements! {
    BY_KEY = "SELECT name, version, messages_enabled, messages_days, created_at FROM project WHERE project = $1";
    INSERT = "INSERT INTO project (project, name, version, messages_enabled, messages_days, created_at, last_modified_at)
              VALUES ($1, $2, 1, $3, $4, $5, $5) ON CONFLICT (project) DO NOTHING";
    SET_MESSAGES = "UPDATE project SET messages_enabled = $2, messages_days = $3, version = version + 1, last_modified_at = $4
                    WHERE project = $1 AND (messages_enabled <> $2 OR messages_days <> $3)";
}

/// Whether and how long `/messages` shows messages (commercetools.md chapter 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessagesSetting {
    /// Whether new messages become visible there. Subscriptions get them regardless.
    pub enabled: bool,
    /// Days after which they are hidden, 1 to 90.
    pub days: i64,
}

impl Default for MessagesSetting {
    fn default() -> Self {
        Self { enabled: false, days: 15 }
    }
}

/// A project as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// Its key.
    pub key: ProjectKey,
    /// For people.
    pub name: String,
    /// Grows with every change of its settings.
    pub version: i64,
    /// Its messages setting.
    pub messages: MessagesSetting,
    /// When it was first configured.
    pub created_at: keyherald_core::Micros,
}

/// Makes sure that a configured project exists; `messages` named in the configuration win over what is stored.
pub fn ensure(
    tx: &mut dyn Tx,
    key: &ProjectKey,
    name: &str,
    messages: Option<MessagesSetting>,
    ctx: &Ctx,
) -> Result<(), Fault> {
    let first = messages.unwrap_or_default();
    tx.execute(&INSERT, &[key.into(), name.into(), first.enabled.into(), first.days.into(), ctx.now.into()])?;
    if let Some(named) = messages {
        tx.execute(&SET_MESSAGES, &[key.into(), named.enabled.into(), named.days.into(), ctx.now.into()])?;
    }
    Ok(())
}

/// The project with this key.
pub fn by_key(tx: &mut dyn Tx, key: &ProjectKey) -> Result<Option<Project>, Fault> {
    query_one(tx, &BY_KEY, &[key.into()], |row: &dyn Row| {
        Ok(Project {
            key: key.clone(),
            name: row.text(0)?,
            version: row.int(1)?,
            messages: MessagesSetting { enabled: row.flag(2)?, days: row.int(3)? },
            created_at: row.micros(4)?,
        })
    })
}
