//! Connections and their settings.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::error;
use crate::{Fault, FaultKind, StoreOptions};

/// Prepared statements that a connection keeps: all fixed ones, and the filters used lately.
const STATEMENTS_CACHED: usize = 512;
/// Bytes that the write-ahead log keeps on the disk after a checkpoint, however far a long read let it grow.
const WAL_BYTES_KEPT: i64 = 64 << 20;
/// Page cache of the writer: the pages that a full batch changes fit, so none is written to the log twice.
const WRITER_CACHE_KIB: i64 = 256;
/// Page cache of a reader. The file's pages are in the system's cache as well; here they only save a copy.
pub(super) const READER_CACHE_KIB: i64 = 64;
/// Page cache of the reader for queries: it holds the upper pages of the indexes of a million rows, which are walked again and
/// again. More of it only makes small databases quicker.
pub(super) const QUERY_CACHE_KIB: i64 = 160;

/// The one connection that writes. Creates the file.
pub(super) fn writer(path: &Path, options: &StoreOptions) -> Result<Connection, Fault> {
    create_private(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let connection = connect(path, flags, options)?;
    set_for_writing(&connection).map_err(|cause| error::fault_at_open(path, cause))?;
    Ok(connection)
}

/// A connection that cannot change anything.
pub(super) fn reader(path: &Path, options: &StoreOptions, cache_kib: i64) -> Result<Connection, Fault> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE, options)?;
    connection
        .pragma_update(None, "query_only", true)
        .and_then(|()| connection.pragma_update(None, "cache_size", -cache_kib))
        .map_err(|cause| error::fault_at_open(path, cause))?;
    Ok(connection)
}

fn connect(path: &Path, flags: OpenFlags, options: &StoreOptions) -> Result<Connection, Fault> {
    // No mutex: a connection stays on its thread. No URI: a path is a path.
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .and_then(|connection| connection.busy_timeout(options.statement_timeout).map(|()| connection))
        .map_err(|cause| error::fault_at_open(path, cause))?;
    // One plan per statement, whatever its values. Otherwise SQLite compiles a statement that compares a column with a
    // value anew for each run, to look at the values: a fifth of all work that is not hashing.
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
        .map_err(|cause| error::fault_at_open(path, cause))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
    Ok(connection)
}

fn set_for_writing(connection: &Connection) -> rusqlite::Result<()> {
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        // A file system without shared memory, such as a network share.
        return Err(rusqlite::Error::InvalidQuery);
    }
    connection.pragma_update(None, "synchronous", "FULL")?; // an answered write survives a power cut
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "journal_size_limit", WAL_BYTES_KEPT)?;
    connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?; // negative: KiB, not pages
    // A deleted hash or sealed secret is overwritten with zeros, not only unlinked. Costs nothing that the bench sees.
    connection.pragma_update(None, "secure_delete", true)
}

/// Creates a missing file so that only its owner can read it; SQLite gives its side files the same rights.
#[cfg(unix)]
fn create_private(path: &Path) -> Result<(), Fault> {
    use std::io::ErrorKind;
    use std::os::unix::fs::OpenOptionsExt;

    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => {
            let text = format!("cannot create the SQLite file {}: does its folder exist?", path.display());
            Err(Fault::caused(FaultKind::Unavailable, text, error))
        }
    }
}

#[cfg(not(unix))]
fn create_private(_path: &Path) -> Result<(), Fault> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    /// The statement is of the kind that SQLite would compile anew: a second condition beside an index.
    #[test]
    fn a_cached_statement_is_compiled_once() {
        let folder = tempfile::tempdir().unwrap();
        let connection = writer(&folder.path().join("test.db"), &StoreOptions::default()).unwrap();
        connection
            .execute_batch("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b TEXT); CREATE INDEX i ON t (a)")
            .unwrap();
        for run in 0..3 {
            let text = "SELECT id FROM t WHERE a = ?1 AND b = ?2 LIMIT ?3";
            let mut statement = connection.prepare_cached(text).unwrap();
            assert!(!statement.exists((format!("a{run}"), "b", 5)).unwrap());
            assert_eq!(statement.get_status(StatementStatus::RePrepare), 0, "run {run}");
        }
    }
}
