//! What SQLite's errors mean to callers.

use std::path::Path;

use rusqlite::{Connection, Error, ErrorCode, ffi};

use crate::{Fault, FaultKind};

/// The fault of a failed statement. `connection` is asked for the name of the index that refused a row.
#[track_caller]
pub(super) fn fault(connection: &Connection, statement: &str, cause: Error) -> Fault {
    let kind = match unique_violation(&cause) {
        Some(message) => FaultKind::Conflict(index_name(connection, message)),
        None => kind(&cause),
    };
    // SQLite's messages name tables and columns, never values.
    Fault::caused(kind, format!("the statement {statement} failed"), cause)
}

/// The fault of a file that does not open.
pub(super) fn fault_at_open(path: &Path, cause: Error) -> Fault {
    Fault::caused(kind(&cause), format!("cannot open the SQLite file {}", path.display()), cause)
}

fn kind(cause: &Error) -> FaultKind {
    match cause.sqlite_error_code() {
        Some(ErrorCode::DiskFull | ErrorCode::ReadOnly) => FaultKind::NoRoom,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => FaultKind::Contention,
        Some(ErrorCode::OperationInterrupted) => FaultKind::TimedOut, // by the reader's deadline, and by nothing else
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => FaultKind::Corrupt,
        Some(
            ErrorCode::SystemIoFailure
            | ErrorCode::CannotOpen
            | ErrorCode::PermissionDenied
            | ErrorCode::OutOfMemory
            | ErrorCode::FileLockingProtocolFailed,
        ) => FaultKind::Unavailable,
        _ => FaultKind::Internal,
    }
}

fn unique_violation(cause: &Error) -> Option<&str> {
    const UNIQUE: [i32; 3] =
        [ffi::SQLITE_CONSTRAINT_UNIQUE, ffi::SQLITE_CONSTRAINT_PRIMARYKEY, ffi::SQLITE_CONSTRAINT_ROWID];
    match cause {
        Error::SqliteFailure(code, message) if UNIQUE.contains(&code.extended_code) => {
            Some(message.as_deref().unwrap_or_default())
        }
        _ => None,
    }
}

/// The name of the index behind `UNIQUE constraint failed: customer.project, customer.email`, as PostgreSQL would say
/// it. Falls back to the columns.
fn index_name(connection: &Connection, message: &str) -> String {
    let what = message.rsplit_once("constraint failed: ").map_or(message, |(_, what)| what);
    if let Some(name) = what.strip_prefix("index '").and_then(|name| name.strip_suffix('\'')) {
        return name.to_owned(); // an index on an expression
    }
    let mut table = "";
    let columns: Vec<&str> =
        what.split(", ").filter_map(|part| part.split_once('.')).map(|(of, column)| (table = of, column).1).collect();
    find_index(connection, table, &columns).ok().flatten().unwrap_or_else(|| what.to_owned())
}

fn find_index(connection: &Connection, table: &str, columns: &[&str]) -> rusqlite::Result<Option<String>> {
    let mut key = connection.prepare("SELECT name FROM pragma_table_info(?1) WHERE pk > 0 ORDER BY pk")?;
    if column_names(&mut key, table)? == columns {
        return Ok(Some(format!("{table}_pkey")));
    }
    let mut of_index = connection.prepare("SELECT name FROM pragma_index_info(?1) ORDER BY seqno")?;
    let mut indexes = connection.prepare("SELECT name, origin FROM pragma_index_list(?1) WHERE \"unique\"")?;
    let mut rows = indexes.query([table])?;
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        if column_names(&mut of_index, &name)? == columns {
            let declared = row.get::<_, String>(1)? == "c"; // by CREATE INDEX, so it has a name of ours
            return Ok(Some(if declared { name } else { format!("{table}_{}_key", columns.join("_")) }));
        }
    }
    Ok(None)
}

/// An expression in an index has no name.
fn column_names(statement: &mut rusqlite::Statement<'_>, of: &str) -> rusqlite::Result<Vec<String>> {
    statement.query_map([of], |row| Ok(row.get::<_, Option<String>>(0)?.unwrap_or_default()))?.collect()
}
