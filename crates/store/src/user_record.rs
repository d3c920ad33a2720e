//! What Naviga's contract keeps of a customer besides its row. Whoever writes it holds the customer's lock.

use keyherald_core::Micros;
use keyherald_core::id::{CustomerId, ProjectKey};
use keyherald_core::user_record::UserRecord;

use crate::tx::query_one;
use crate::{Fault, Tx, Value, statements};

statements! {
    OF_CUSTOMER = "SELECT metadata, last_logout_at FROM user_record WHERE project = $1 AND customer_id = $2";
    PUT = "INSERT INTO user_record (project, customer_id, metadata, last_logout_at) VALUES ($1, $2, $3, $4)
           ON CONFLICT (project, customer_id) DO UPDATE SET metadata = $3, last_logout_at = $4";
    DELETE = "DELETE FROM user_record WHERE project = $1 AND customer_id = $2";
}

/// The customer's record; an empty one if it has none.
pub fn of_customer(tx: &mut dyn Tx, project: &ProjectKey, customer: CustomerId) -> Result<UserRecord, Fault> {
    let found = query_one(tx, &OF_CUSTOMER, &[project.into(), customer.into()], |row| {
        Ok(UserRecord { metadata: row.json(0)?, last_logout_at: row.int_opt(1)?.map(Micros) })
    })?;
    Ok(found.unwrap_or_default())
}

/// Replaces the customer's record.
pub fn put(tx: &mut dyn Tx, project: &ProjectKey, customer: CustomerId, record: &UserRecord) -> Result<(), Fault> {
    let metadata = Value::json(&record.metadata)?;
    tx.execute(&PUT, &[project.into(), customer.into(), metadata, record.last_logout_at.into()]).map(drop)
}

/// Removes it: the customer is deleted.
pub(crate) fn delete(tx: &mut dyn Tx, project: &ProjectKey, customer: CustomerId) -> Result<(), Fault> {
    tx.execute(&DELETE, &[project.into(), customer.into()]).map(drop)
}
