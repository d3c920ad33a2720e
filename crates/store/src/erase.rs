//! Erasing what is personal of a customer that is deleted, everywhere but in the destinations it was sent to.
//!
//! Gone are: the key of its side rows (so that copies in backups cannot be opened either), the side rows, token values,
//! and the bodies of its dead letters. What stays is the log, which holds ids, flags and times. A message that is still
//! to be delivered and cannot be told without what is gone reads with `personal: None`, and ends as `erased`.
//!
//! A dead letter may be on its way from memory while this happens: it is written under a lock on the customer's key, and
//! without its body if the key is gone (`delivery::put_dead_letter`).

use keyherald_core::id::{CustomerId, ProjectKey};

use crate::fault::FaultKind;
use crate::tx::query_one;
use crate::{Fault, Tx, Value, statements};

statements! {
    LIVES = "SELECT 1 FROM customer WHERE project = $1 AND id = $2";
    // First of all: from here on nobody writes a body for it.
    KEY = "DELETE FROM customer_key WHERE project = $1 AND customer_id = $2";
    PERSONAL = "DELETE FROM log_personal WHERE project = $1 AND customer_id = $2";
    VALUES = "DELETE FROM log_secret WHERE position IN
                  (SELECT position FROM log WHERE project = $1 AND customer_id = $2)";
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
    for statement in [&KEY, &PERSONAL, &VALUES, &BODIES] {
        tx.execute(statement, &args)?;
    }
    Ok(())
}
