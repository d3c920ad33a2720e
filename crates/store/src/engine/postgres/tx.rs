//! A transaction on a PostgreSQL connection.

use std::collections::HashMap;

use postgres::types::private::BytesMut;
use postgres::types::{IsNull, ToSql, Type, WrongType, to_sql_checked};
use postgres::{Client, Statement};

use super::error::{self, Cure};
use crate::engine::{Inject, InjectedError, Point, went_on};
use crate::{Fault, Row, Sql, Tx, Value};

/// Prepared statements that a connection keeps: all fixed ones, and the filters used lately.
const STATEMENTS_MAX: usize = 512;

/// A client with the statements that it has prepared, by their text.
pub(super) struct Connection {
    pub(super) client: Client,
    statements: HashMap<String, Statement>,
}

impl Connection {
    pub(super) fn new(client: Client) -> Self {
        Self { client, statements: HashMap::new() }
    }

    /// Forgets what was prepared.
    pub(super) fn forget_statements(&mut self) {
        self.statements.clear();
    }

    fn prepared(&mut self, text: &str) -> Result<Statement, postgres::Error> {
        if let Some(statement) = self.statements.get(text) {
            return Ok(statement.clone());
        }
        if self.statements.len() >= STATEMENTS_MAX {
            // Only filters put together at run time can get here. To begin anew is simpler than to know the oldest.
            self.statements.clear();
        }
        let statement = self.client.prepare(text)?;
        self.statements.insert(text.to_owned(), statement.clone());
        Ok(statement)
    }
}

/// What the closures see. After a statement has failed no other is run: PostgreSQL would refuse it, and would turn a
/// COMMIT into a ROLLBACK without calling it an error.
pub(super) struct PostgresTx<'c> {
    connection: &'c mut Connection,
    inject: Option<&'c Inject>,
    statements: u64,
    failed: Option<(&'static str, Cure)>,
}

impl<'c> PostgresTx<'c> {
    pub(super) fn new(connection: &'c mut Connection, inject: Option<&'c Inject>) -> Self {
        Self { connection, inject, statements: 0, failed: None }
    }

    /// Statements run.
    pub(super) fn statements(&self) -> u64 {
        self.statements
    }

    /// What may help, if a statement has failed.
    pub(super) fn cure(&self) -> Option<Cure> {
        self.failed.map(|(_, cure)| cure)
    }

    /// Fails if a statement had failed, whatever the closure made of it.
    pub(super) fn intact(&self) -> Result<(), Fault> {
        self.failed.map_or(Ok(()), |(statement, _)| Err(went_on(statement)))
    }

    fn run(&mut self, sql: &Sql, args: &[Value]) -> Result<Outcome, Fault> {
        self.intact()?;
        self.statements += 1;
        self.run_prepared(sql, args).map_err(|cause| {
            self.failed = Some((sql.name, error::cure(&cause)));
            error::fault(sql.name, cause)
        })
    }

    fn run_prepared(&mut self, sql: &Sql, args: &[Value]) -> Result<Outcome, postgres::Error> {
        if let Some(inject) = self.inject {
            provoke(inject, Point::Statement(sql.name), &mut self.connection.client)?;
        }
        let statement = self.connection.prepared(&sql.postgres)?;
        let args: Vec<_> = args.iter().map(|value| -> &(dyn ToSql + Sync) { value }).collect();
        if statement.columns().is_empty() {
            self.connection.client.execute(&statement, &args).map(Outcome::Changed)
        } else {
            self.connection.client.query(&statement, &args).map(Outcome::Rows)
        }
    }
}

enum Outcome {
    Changed(u64),
    Rows(Vec<postgres::Row>),
}

impl Tx for PostgresTx<'_> {
    fn execute(&mut self, sql: &Sql, args: &[Value]) -> Result<u64, Fault> {
        match self.run(sql, args)? {
            Outcome::Changed(count) => Ok(count),
            Outcome::Rows(rows) => Ok(u64::try_from(rows.len()).unwrap_or(u64::MAX)),
        }
    }

    fn query(
        &mut self,
        sql: &Sql,
        args: &[Value],
        row: &mut dyn FnMut(&dyn Row) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        match self.run(sql, args)? {
            Outcome::Changed(_) => Ok(()),
            Outcome::Rows(rows) => rows.iter().try_for_each(|found| row(&PostgresRow(found))),
        }
    }
}

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match (self, ty) {
            (Self::Null, _) => Ok(IsNull::Yes),
            (Self::Int(value), &Type::INT8) => value.to_sql(ty, out),
            (Self::Int(value), &Type::INT4) => i32::try_from(*value)?.to_sql(ty, out),
            (Self::Int(value), &Type::INT2) => i16::try_from(*value)?.to_sql(ty, out),
            (Self::Text(value), &Type::TEXT | &Type::VARCHAR | &Type::BPCHAR | &Type::NAME) => value.to_sql(ty, out),
            (Self::Bytes(value), &Type::BYTEA) => value.to_sql(ty, out),
            _ => Err(Box::new(WrongType::new::<Self>(ty.clone()))),
        }
    }

    /// Every type takes NULL; what else fits is seen with the value.
    fn accepts(_ty: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

struct PostgresRow<'a>(&'a postgres::Row);

impl PostgresRow<'_> {
    fn value<'r, T: postgres::types::FromSql<'r>>(&'r self, column: usize, what: &str) -> Result<Option<T>, Fault> {
        // The client's error is not kept: it could repeat a value.
        self.0.try_get(column).map_err(|_| Fault::corrupt(format!("column {column} is not {what}")))
    }
}

impl Row for PostgresRow<'_> {
    fn int_opt(&self, column: usize) -> Result<Option<i64>, Fault> {
        let what = "an integer";
        match self.0.columns().get(column).map(postgres::Column::type_) {
            Some(&Type::INT4) => Ok(self.value::<i32>(column, what)?.map(i64::from)),
            Some(&Type::INT2) => Ok(self.value::<i16>(column, what)?.map(i64::from)),
            Some(&Type::BOOL) => Ok(self.value::<bool>(column, what)?.map(i64::from)), // a comparison, as on SQLite
            _ => self.value(column, what),
        }
    }

    fn text_opt(&self, column: usize) -> Result<Option<String>, Fault> {
        self.value(column, "a text")
    }

    fn bytes_opt(&self, column: usize) -> Result<Option<Vec<u8>>, Fault> {
        self.value(column, "bytes")
    }
}

/// Asks the hook, and lets the server itself fail in the way that the error names.
pub(super) fn provoke(inject: &Inject, point: Point, client: &mut Client) -> Result<(), postgres::Error> {
    let raise = |code: &str| format!("DO $$ BEGIN RAISE EXCEPTION 'injected' USING ERRCODE = '{code}'; END $$");
    let text = match inject.ask(point) {
        None | Some(InjectedError::AnswerLost) => return Ok(()),
        Some(InjectedError::DiskFull) => raise("53100"),
        Some(InjectedError::Io) => raise("58030"),
        Some(InjectedError::Serialization) => raise("40001"),
        Some(InjectedError::ConnectionCut) => "SELECT pg_terminate_backend(pg_backend_pid())".to_owned(),
    };
    client.batch_execute(&text)
}
