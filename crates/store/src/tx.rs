//! A transaction as repository functions see it, whatever the engine.

use keyherald_core::Micros;
use keyherald_core::id::{
    CustomerId, DeadLetterId, DoubtId, Key, MessageId, NodeId, OperationId, ProjectKey, ShopId, SubscriptionId,
    TokenId, VerificationId,
};
use keyherald_core::trace::TraceContext;

use crate::{Fault, Sql};

/// One open transaction. Two methods that do something: everything else is a plain function.
pub trait Tx {
    /// Runs a statement and says how many rows it changed.
    fn execute(&mut self, sql: &Sql, args: &[Value]) -> Result<u64, Fault>;

    /// Runs a statement and hands each row to `row`, in order. An error from `row` ends the query.
    fn query(
        &mut self,
        sql: &Sql,
        args: &[Value],
        row: &mut dyn FnMut(&dyn Row) -> Result<(), Fault>,
    ) -> Result<(), Fault>;

    /// Compiles a statement ahead of its first use, where the engine keeps compiled statements in this process.
    fn prepare(&mut self, _sql: &Sql) -> Result<(), Fault> {
        Ok(())
    }
}

/// One row of a result, read by column number (from 0).
pub trait Row {
    /// An integer or NULL.
    fn int_opt(&self, column: usize) -> Result<Option<i64>, Fault>;
    /// A text or NULL.
    fn text_opt(&self, column: usize) -> Result<Option<String>, Fault>;
    /// Bytes or NULL.
    fn bytes_opt(&self, column: usize) -> Result<Option<Vec<u8>>, Fault>;
}

impl dyn Row + '_ {
    /// An integer.
    pub fn int(&self, column: usize) -> Result<i64, Fault> {
        self.int_opt(column)?.ok_or_else(|| Fault::corrupt(format!("column {column} is NULL")))
    }

    /// A text.
    pub fn text(&self, column: usize) -> Result<String, Fault> {
        self.text_opt(column)?.ok_or_else(|| Fault::corrupt(format!("column {column} is NULL")))
    }

    /// Bytes.
    pub fn bytes(&self, column: usize) -> Result<Vec<u8>, Fault> {
        self.bytes_opt(column)?.ok_or_else(|| Fault::corrupt(format!("column {column} is NULL")))
    }

    /// A boolean, stored as 0 or 1.
    pub fn flag(&self, column: usize) -> Result<bool, Fault> {
        Ok(self.int(column)? != 0)
    }

    /// A time.
    pub fn micros(&self, column: usize) -> Result<Micros, Fault> {
        self.int(column).map(Micros)
    }

    /// A text that parses: an id, a key.
    pub fn parsed<T: std::str::FromStr>(&self, column: usize) -> Result<T, Fault> {
        self.text(column)?.parse().map_err(|_| Fault::corrupt(format!("column {column} does not parse")))
    }

    /// A text that parses, or NULL.
    pub fn parsed_opt<T: std::str::FromStr>(&self, column: usize) -> Result<Option<T>, Fault> {
        let parse = |text: String| text.parse().map_err(|_| Fault::corrupt(format!("column {column} does not parse")));
        self.text_opt(column)?.map(parse).transpose()
    }

    /// A JSON text.
    pub fn json<T: serde::de::DeserializeOwned>(&self, column: usize) -> Result<T, Fault> {
        Ok(serde_json::from_str(&self.text(column)?)?)
    }
}

/// The first row of a query, made into a `T`.
pub fn query_one<T>(
    tx: &mut dyn Tx,
    sql: &Sql,
    args: &[Value],
    mut read: impl FnMut(&dyn Row) -> Result<T, Fault>,
) -> Result<Option<T>, Fault> {
    let mut found = None;
    tx.query(sql, args, &mut |row| {
        if found.is_none() {
            found = Some(read(row)?);
        }
        Ok(())
    })?;
    Ok(found)
}

/// All rows of a query, each made into a `T`.
pub fn query_all<T>(
    tx: &mut dyn Tx,
    sql: &Sql,
    args: &[Value],
    mut read: impl FnMut(&dyn Row) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    let mut rows = Vec::new();
    tx.query(sql, args, &mut |row| {
        rows.push(read(row)?);
        Ok(())
    })?;
    Ok(rows)
}

/// A value bound to a placeholder. Booleans are integers, times microseconds, ids text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// NULL of whatever type the placeholder has.
    Null,
    /// BIGINT.
    Int(i64),
    /// TEXT.
    Text(String),
    /// BLOB or BYTEA.
    Bytes(Vec<u8>),
}

impl Value {
    /// A JSON text.
    pub fn json(value: &impl serde::Serialize) -> Result<Self, Fault> {
        Ok(Self::Text(serde_json::to_string(value)?))
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Int(i64::from(value))
    }
}

impl From<Micros> for Value {
    fn from(value: Micros) -> Self {
        Self::Int(value.0)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<&String> for Value {
    fn from(value: &String) -> Self {
        Self::Text(value.clone())
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Self::Bytes(value)
    }
}

impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Self::Bytes(value.to_vec())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

macro_rules! bound_as_text {
    ($($kind:ty),*) => {$(
        impl From<$kind> for Value {
            fn from(value: $kind) -> Self {
                Self::Text(value.to_string())
            }
        }
        impl From<&$kind> for Value {
            fn from(value: &$kind) -> Self {
                Self::Text(value.to_string())
            }
        }
    )*};
}

bound_as_text!(
    CustomerId,
    TokenId,
    MessageId,
    SubscriptionId,
    DeadLetterId,
    DoubtId,
    ShopId,
    OperationId,
    NodeId,
    ProjectKey,
    Key,
    VerificationId,
    TraceContext
);
