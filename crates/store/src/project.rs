//! Projects: the tenants.

use keyherald_core::Ctx;
use keyherald_core::id::ProjectKey;
pub use keyherald_core::project::{MessagesSetting, Project};

use crate::fault::FaultKind;
use crate::tx::{Row, query_all, query_one};
use crate::{Fault, Tx, statements};

macro_rules! selected {
    () => {
        "SELECT project, name, version, messages_enabled, messages_days, created_at, last_modified_at FROM project "
    };
}

statements! {
    BY_KEY = (concat!(selected!(), "WHERE project = $1"));
    ALL = (concat!(selected!(), "ORDER BY project"));
    LOCK = {
        sqlite: "SELECT 1 FROM project WHERE project = $1",
        postgres: "SELECT 1 FROM project WHERE project = $1 FOR UPDATE"
    };
    INSERT = "INSERT INTO project (project, name, version, messages_enabled, messages_days, created_at, last_modified_at)
              VALUES ($1, $2, 1, $3, $4, $5, $5) ON CONFLICT (project) DO NOTHING";
    SET_MESSAGES = "UPDATE project SET messages_enabled = $2, messages_days = $3, version = version + 1, last_modified_at = $4
                    WHERE project = $1 AND (messages_enabled <> $2 OR messages_days <> $3)";
    UPDATE = "UPDATE project SET version = $2, messages_enabled = $3, messages_days = $4, last_modified_at = $5
              WHERE project = $1 AND version = $6";
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
    query_one(tx, &BY_KEY, &[key.into()], read)
}

/// All projects, as many as the configuration has ever named.
pub fn all(tx: &mut dyn Tx) -> Result<Vec<Project>, Fault> {
    query_all(tx, &ALL, &[], read)
}

/// Takes the project's row lock until the transaction ends and reads the project under it.
pub fn lock(tx: &mut dyn Tx, key: &ProjectKey) -> Result<Option<Project>, Fault> {
    match query_one(tx, &LOCK, &[key.into()], |_| Ok(()))? {
        Some(()) => by_key(tx, key),
        None => Ok(None),
    }
}

/// Writes what was decided on the locked project `before`. Nothing if nothing changed.
pub fn update(tx: &mut dyn Tx, before: &Project, after: &Project) -> Result<(), Fault> {
    if before == after {
        return Ok(());
    }
    let args = [
        (&after.key).into(),
        after.version.into(),
        after.messages.enabled.into(),
        after.messages.days.into(),
        after.last_modified_at.into(),
        before.version.into(),
    ];
    match tx.execute(&UPDATE, &args)? {
        1 => Ok(()),
        _ => Err(Fault::new(FaultKind::Internal, "a project moved although it was locked")),
    }
}

fn read(row: &dyn Row) -> Result<Project, Fault> {
    Ok(Project {
        key: row.parsed(0)?,
        name: row.text(1)?,
        version: row.int(2)?,
        messages: MessagesSetting { enabled: row.flag(3)?, days: row.int(4)? },
        created_at: row.micros(5)?,
        last_modified_at: row.micros(6)?,
    })
}
