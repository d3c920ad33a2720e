//! Erasing what is personal of a customer that is deleted, everywhere but in the destinations it was sent to.
//!
//! Gone are: the key of its side rows (so that copies in backups cannot be opened either), the side rows, token values,
//! the bodies of its events and of its dead letters. What stays is the log, which holds ids, flags and times. A message that is still
//! to be delivered and cannot be told without what is gone reads with `personal: None`, and ends as `erased`.
//!
//! **Unused parts of pages.** SQLite overwrites what it deletes (`secure_delete`), but not what it leaves behind when it
//! moves a row from one page to another, so an old copy can outlive its row; PostgreSQL overwrites nothing. For SQLite an
//! erased customer is noted until [`Store::scrub`](crate::Store::scrub) has rewritten the file. On PostgreSQL that is
//! `VACUUM (FULL, ANALYZE)`, which locks tables and is therefore for operators to run; until then the table's statistics
//! may hold samples of columns, too. Archived logs and backups keep what they have.
//!
//! A dead letter may be on its way from memory while this happens: it is written under a lock on the customer's key, and
//! without its body if the key is gone (`delivery::put_dead_letter`).

use keyherald_core::id::{CustomerId, ProjectKey};

use crate::fault::FaultKind;
use crate::tx::{query_all, query_one};
use crate::{Fault, Tx, Value, statements};

statements! {
    LIVES = "SELECT 1 FROM customer WHERE project = $1 AND id = $2";
    // First of all: from here on nobody writes a body for it.
    KEY = "DELETE FROM customer_key WHERE project = $1 AND customer_id = $2";
    PERSONAL = "DELETE FROM log_personal WHERE project = $1 AND customer_id = $2";
    VALUES = "DELETE FROM log_secret WHERE position IN
                  (SELECT position FROM log WHERE project = $1 AND customer_id = $2)";
    NOTE = {
        sqlite: "INSERT INTO erasure (project, customer_id) VALUES ($1, $2) ON CONFLICT (project, customer_id) DO NOTHING",
        postgres: "SELECT 1 WHERE $1::text <> $2::text"
    };
    NOTED = "SELECT project, customer_id FROM erasure LIMIT 10000";
    FORGET = "DELETE FROM erasure WHERE project = $1 AND customer_id = $2";
    EVENTS = "UPDATE event SET body = NULL WHERE project = $1 AND customer_id = $2 AND body IS NOT NULL";
    BODIES = "UPDATE dead_letter SET body = NULL WHERE project = $1 AND customer_id = $2 AND body IS NOT NULL";
}

/// Erases a customer whose row is deleted already, in this transaction or long ago. Harmless when repeated.
///
/// # Errors
/// A fault if the customer still exists: its next message would need the key.
pub fn customer(tx: &mut dyn Tx, project: &ProjectKey, id: CustomerId) -> Result<(), Fault> {
    let args: [Value; 2] = [project.into(), id.into()];
    if query_one(tx, &LIVES, &args, |_| Ok(()))?.is_some() {
        return Err(Fault::new(FaultKind::Internal, "a customer that still exists cannot be erased"));
    }
    for statement in [&KEY, &PERSONAL, &VALUES, &EVENTS, &BODIES, &NOTE] {
        tx.execute(statement, &args)?;
    }
    Ok(())
}

/// Customers that were erased since the file was rewritten, ten thousand at most.
pub(crate) fn noted(tx: &mut dyn Tx) -> Result<Vec<(ProjectKey, CustomerId)>, Fault> {
    query_all(tx, &NOTED, &[], |row| Ok((row.parsed(0)?, row.parsed(1)?)))
}

/// The file was rewritten after these were erased.
pub(crate) fn forget(tx: &mut dyn Tx, noted: &[(ProjectKey, CustomerId)]) -> Result<(), Fault> {
    for (project, customer) in noted {
        tx.execute(&FORGET, &[project.into(), customer.into()])?;
    }
    Ok(())
}
