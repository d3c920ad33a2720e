//! What PostgreSQL's errors mean to callers, and what can be done about them.

use std::error::Error as _;
use std::io;

use postgres::Error;
use postgres::error::{DbError, Severity};

use crate::fault::{self, Fault, FaultKind};

/// What may help after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cure {
    /// Nothing that the engine can do.
    Nothing,
    /// To run the closure again: it lost against another transaction.
    Again,
    /// To run the closure again, with statements prepared anew.
    Prepare,
    /// To run the closure again, which then sees the row of the other transaction. If it still conflicts, it conflicts.
    AgainOnce,
    /// To run the closure again on a new connection.
    Reconnect,
}

/// The SQLSTATE classes whose message names things and not values (a DETAIL may name values and is never repeated).
const TELLING: [&str; 13] = ["08", "0A", "25", "26", "28", "3D", "40", "42", "53", "54", "55", "57", "58"];

/// The fault of a failed statement.
#[track_caller]
pub(super) fn fault(statement: &str, cause: Error) -> Fault {
    let Some(refusal) = cause.as_db_error() else {
        let kind = if is_severed(&cause) { FaultKind::Unavailable } else { FaultKind::Internal };
        return Fault::caused(kind, format!("the statement {statement} failed"), cause);
    };
    Fault::new(kind(refusal), format!("the statement {statement} failed: {}", told(refusal)))
}

/// The fault of a connection that could not be made.
pub(super) fn fault_at_connect(cause: &Error) -> Fault {
    let why = cause.as_db_error().map_or_else(|| fault::chain(cause), told);
    Fault::new(FaultKind::Unavailable, format!("cannot connect to PostgreSQL: {why}"))
}

/// The fault of a write of which nobody knows whether it took place.
pub(super) fn answer_lost() -> Fault {
    let text = "the connection broke after COMMIT was sent: whether it took place is not known";
    Fault::new(FaultKind::Unavailable, text)
}

pub(super) fn cure(cause: &Error) -> Cure {
    if is_severed(cause) {
        return Cure::Reconnect;
    }
    match cause.as_db_error().map_or("", |refusal| refusal.code().code()) {
        "40001" | "40P01" => Cure::Again,   // serialization failure, deadlock
        "23505" => Cure::AgainOnce,         // unique violation
        "0A000" | "26000" => Cure::Prepare, // a table changed under a prepared statement, or the statement is gone
        _ => Cure::Nothing,
    }
}

/// Whether the connection is of no more use.
pub(super) fn is_severed(cause: &Error) -> bool {
    match cause.as_db_error() {
        Some(refusal) => {
            let fatal = matches!(refusal.parsed_severity(), Some(Severity::Fatal | Severity::Panic));
            fatal || refusal.code().code().starts_with("08")
        }
        None => cause.is_closed() || cause.source().is_some_and(<dyn std::error::Error>::is::<io::Error>),
    }
}

fn kind(refusal: &DbError) -> FaultKind {
    match refusal.code().code() {
        "23505" => FaultKind::Conflict(refusal.constraint().unwrap_or("?").to_owned()),
        "53100" | "25006" => FaultKind::NoRoom, // disk full, read only
        "40001" | "40P01" | "55P03" => FaultKind::Contention,
        "XX001" | "XX002" => FaultKind::Corrupt,
        "57014" => FaultKind::TimedOut, // cancelled: by the statement's time limit, or by an operator
        code if ["08", "53", "57", "58"].iter().any(|class| code.starts_with(class)) => FaultKind::Unavailable,
        _ => FaultKind::Internal,
    }
}

fn told(refusal: &DbError) -> String {
    let code = refusal.code().code();
    if TELLING.iter().any(|class| code.starts_with(class)) {
        return format!("{} (SQLSTATE {code})", refusal.message());
    }
    match refusal.constraint() {
        Some(constraint) => format!("SQLSTATE {code}, constraint {constraint}"),
        None => format!("SQLSTATE {code}"),
    }
}
