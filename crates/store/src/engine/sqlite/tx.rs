//! A transaction on a SQLite connection.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, ToSql, ffi};

use super::error;
use crate::engine::{Inject, InjectedError, Point, went_on};
use crate::{Fault, FaultKind, Row, Sql, Tx, Value};

/// What the closures see. After a statement has failed no other is run: on PostgreSQL none could be, and here the
/// whole transaction may be gone, so that it would commit by itself.
pub(super) struct SqliteTx<'c> {
    connection: &'c Connection,
    inject: Option<&'c Inject>,
    statements: u64,
    failed: Option<&'static str>,
}

impl<'c> SqliteTx<'c> {
    pub(super) fn new(connection: &'c Connection, inject: Option<&'c Inject>) -> Self {
        Self { connection, inject, statements: 0, failed: None }
    }

    /// Statements run.
    pub(super) fn statements(&self) -> u64 {
        self.statements
    }

    /// Fails if a statement had failed, whatever the closure made of it.
    pub(super) fn intact(&self) -> Result<(), Fault> {
        self.failed.map_or(Ok(()), |statement| Err(went_on(statement)))
    }

    fn begin_statement(&mut self, sql: &Sql) -> Result<(), Fault> {
        self.intact()?;
        self.statements += 1;
        let injected = self.inject.and_then(|inject| provoke(inject, Point::Statement(sql.name), self.connection));
        injected.map_or(Ok(()), |cause| Err(self.fail(sql, cause)))
    }

    #[track_caller]
    fn fail(&mut self, sql: &Sql, cause: rusqlite::Error) -> Fault {
        self.failed = Some(sql.name);
        error::fault(self.connection, sql.name, cause)
    }

    fn bound(&mut self, sql: &Sql, args: &[Value]) -> Result<CachedStatement<'c>, Fault> {
        let mut statement = self.connection.prepare_cached(&sql.sqlite).map_err(|cause| self.fail(sql, cause))?;
        match bind(&mut statement, args) {
            Ok(true) => Ok(statement),
            Ok(false) => {
                self.failed = Some(sql.name);
                let text = format!("the statement {} does not use exactly its {} values", sql.name, args.len());
                Err(Fault::new(FaultKind::Internal, text))
            }
            Err(cause) => Err(self.fail(sql, cause)),
        }
    }
}

/// Binds by number: `$2` gets the second value. SQLite itself takes `$2` for a name, and numbers names as they appear.
/// False: the statement has a placeholder without a value, or a value is left over.
fn bind(statement: &mut CachedStatement<'_>, args: &[Value]) -> rusqlite::Result<bool> {
    let mut highest = 0;
    for index in 1..=statement.parameter_count() {
        let number = statement.parameter_name(index).and_then(|name| name.strip_prefix('$')?.parse::<usize>().ok());
        let Some(number) = number else { return Ok(false) };
        let Some(value) = number.checked_sub(1).and_then(|place| args.get(place)) else { return Ok(false) };
        highest = highest.max(number);
        statement.raw_bind_parameter(index, value)?;
    }
    Ok(highest == args.len())
}

impl Tx for SqliteTx<'_> {
    fn execute(&mut self, sql: &Sql, args: &[Value]) -> Result<u64, Fault> {
        self.begin_statement(sql)?;
        let mut statement = self.bound(sql, args)?;
        let changed = statement.raw_execute().map_err(|cause| self.fail(sql, cause))?;
        Ok(u64::try_from(changed).unwrap_or(u64::MAX))
    }

    fn query(
        &mut self,
        sql: &Sql,
        args: &[Value],
        row: &mut dyn FnMut(&dyn Row) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.begin_statement(sql)?;
        let mut statement = self.bound(sql, args)?;
        let mut rows = statement.raw_query();
        while let Some(found) = rows.next().map_err(|cause| self.fail(sql, cause))? {
            row(&SqliteRow(found))?;
        }
        Ok(())
    }

    fn prepare(&mut self, sql: &Sql) -> Result<(), Fault> {
        self.intact()?;
        self.connection.prepare_cached(&sql.sqlite).map(drop).map_err(|cause| self.fail(sql, cause))
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(value) => ValueRef::Integer(*value),
            Self::Text(value) => ValueRef::Text(value.as_bytes()),
            Self::Bytes(value) => ValueRef::Blob(value),
        }))
    }
}

struct SqliteRow<'a, 's>(&'a rusqlite::Row<'s>);

impl SqliteRow<'_, '_> {
    fn value(&self, column: usize) -> Result<ValueRef<'_>, Fault> {
        self.0.get_ref(column).map_err(|_| Fault::corrupt(format!("there is no column {column}")))
    }
}

impl Row for SqliteRow<'_, '_> {
    fn int_opt(&self, column: usize) -> Result<Option<i64>, Fault> {
        match self.value(column)? {
            ValueRef::Null => Ok(None),
            ValueRef::Integer(value) => Ok(Some(value)),
            _ => Err(Fault::corrupt(format!("column {column} is not an integer"))),
        }
    }

    fn text_opt(&self, column: usize) -> Result<Option<String>, Fault> {
        match self.value(column)? {
            ValueRef::Null => Ok(None),
            ValueRef::Text(value) => match std::str::from_utf8(value) {
                Ok(text) => Ok(Some(text.to_owned())),
                Err(_) => Err(Fault::corrupt(format!("column {column} is not UTF-8"))),
            },
            _ => Err(Fault::corrupt(format!("column {column} is not a text"))),
        }
    }

    fn bytes_opt(&self, column: usize) -> Result<Option<Vec<u8>>, Fault> {
        match self.value(column)? {
            ValueRef::Null => Ok(None),
            ValueRef::Blob(value) => Ok(Some(value.to_vec())),
            _ => Err(Fault::corrupt(format!("column {column} is not bytes"))),
        }
    }
}

/// Asks the hook, and does to the connection what the error that it names would have done.
pub(super) fn provoke(inject: &Inject, point: Point, connection: &Connection) -> Option<rusqlite::Error> {
    let injected = inject.ask(point)?;
    let code = match injected {
        InjectedError::DiskFull => ffi::SQLITE_FULL,
        InjectedError::Io => ffi::SQLITE_IOERR_WRITE,
        InjectedError::Serialization => ffi::SQLITE_BUSY,
        InjectedError::ConnectionCut | InjectedError::AnswerLost => ffi::SQLITE_IOERR,
    };
    if matches!(injected, InjectedError::DiskFull | InjectedError::ConnectionCut) && !connection.is_autocommit() {
        let _ = connection.execute_batch("ROLLBACK");
    }
    Some(rusqlite::Error::SqliteFailure(ffi::Error::new(code), Some("injected".to_owned())))
}
