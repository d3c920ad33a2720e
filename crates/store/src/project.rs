//! Projects: the tenants.

use keyherald_core::Ctx;
use keyherald_core::id::ProjectKey;
use keyherald_core::project::{self, Configured};
pub use keyherald_core::project::{MessagesSetting, Project};

use crate::fault::FaultKind;
use crate::tx::{Row, query_all, query_one};
use crate::{Fault, Tx, Value, statements};

macro_rules! selected {
    () => {
        "SELECT project, name, version, messages_enabled, messages_days, created_at, last_modified_at, languages,
             messages_configured FROM project "
    };
}

statements! {
    BY_KEY = (concat!(selected!(), "WHERE project = $1"));
    ALL = (concat!(selected!(), "ORDER BY project"));
    LOCK = {
        sqlite: "SELECT 1 FROM project WHERE project = $1",
        postgres: "SELECT 1 FROM project WHERE project = $1 FOR UPDATE"
    };
    INSERT = "INSERT INTO project (project, version, name, languages, messages_enabled, messages_days, messages_configured,
                  last_modified_at, created_at)
              VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (project) DO NOTHING";
    UPDATE = "UPDATE project SET version = $2, name = $3, languages = $4, messages_enabled = $5, messages_days = $6,
                  messages_configured = $7, last_modified_at = $8
              WHERE project = $1 AND version = $9";
}

/// Makes sure that a configured project exists, and is as [`project::configure`] says.
pub fn ensure(tx: &mut dyn Tx, key: &ProjectKey, configured: &Configured, ctx: &Ctx) -> Result<(), Fault> {
    let new = configured.new_project(key.clone(), ctx);
    if tx.execute(&INSERT, &with(&new, new.created_at)?)? == 1 {
        return Ok(());
    }
    let before = lock(tx, key)?.ok_or_else(|| Fault::corrupt("a project is there, and is not"))?;
    update(tx, &before, &project::configure(&before, configured, ctx))
}

/// The columns of a project that change, and one more.
fn with(project: &Project, last: impl Into<Value>) -> Result<[Value; 9], Fault> {
    Ok([
        (&project.key).into(),
        project.version.into(),
        (&project.name).into(),
        Value::json(&project.languages)?,
        project.messages.enabled.into(),
        project.messages.days.into(),
        project.configured_messages.as_ref().map(Value::json).transpose()?.unwrap_or(Value::Null),
        project.last_modified_at.into(),
        last.into(),
    ])
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
    match tx.execute(&UPDATE, &with(after, before.version)?)? {
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
        languages: row.json(7)?,
        configured_messages: row.text_opt(8)?.map(|text| serde_json::from_str(&text)).transpose()?,
    })
}
