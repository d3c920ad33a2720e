//! Password hashes.

use keyherald_core::Micros;
use keyherald_core::credential::PasswordHash;
use keyherald_core::id::{CustomerId, ProjectKey};

use crate::tx::query_one;
use crate::{Fault, Tx, statements};

statements! {
    BY_CUSTOMER = "SELECT hash FROM credential WHERE project = $1 AND customer_id = $2";
    PUT = "INSERT INTO credential (project, customer_id, hash, tail, changed_at) VALUES ($1, $2, $3, $4, $5)
           ON CONFLICT (project, customer_id) DO UPDATE SET hash = $3, tail = $4, changed_at = $5";
    // A stronger hash of the same password is no change of the credential: `changed_at` stays, and a password that was
    // changed since the sign-in began wins.
    UPGRADE = "UPDATE credential SET hash = $3, tail = $4 WHERE project = $1 AND customer_id = $2 AND hash = $5";
    DELETE = "DELETE FROM credential WHERE project = $1 AND customer_id = $2";
}

/// The customer's hash, if it has a password.
pub fn by_customer(tx: &mut dyn Tx, project: &ProjectKey, customer: CustomerId) -> Result<Option<PasswordHash>, Fault> {
    query_one(tx, &BY_CUSTOMER, &[project.into(), customer.into()], |row| {
        PasswordHash::parse(&row.text(0)?).map_err(|_| Fault::corrupt("a stored hash is not a PHC string"))
    })
}

/// Sets the customer's hash.
pub fn put(
    tx: &mut dyn Tx,
    project: &ProjectKey,
    customer: CustomerId,
    hash: &PasswordHash,
    now: Micros,
) -> Result<(), Fault> {
    tx.execute(&PUT, &[project.into(), customer.into(), hash.as_phc().into(), hash.tail().into(), now.into()]).map(drop)
}

/// Replaces `old` by a stronger hash of the same password. False: the password was changed meanwhile.
pub fn upgrade(
    tx: &mut dyn Tx,
    project: &ProjectKey,
    customer: CustomerId,
    old: &PasswordHash,
    new: &PasswordHash,
) -> Result<bool, Fault> {
    let args = [project.into(), customer.into(), new.as_phc().into(), new.tail().into(), old.as_phc().into()];
    Ok(tx.execute(&UPGRADE, &args)? == 1)
}

/// Removes the customer's hash.
pub fn delete(tx: &mut dyn Tx, project: &ProjectKey, customer: CustomerId) -> Result<(), Fault> {
    tx.execute(&DELETE, &[project.into(), customer.into()]).map(drop)
}
