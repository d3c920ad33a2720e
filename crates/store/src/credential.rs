//! Password hashes.

use keyherald_core::Micros;
use keyherald_core::credential::PasswordHash;
use keyherald_core::id::{CustomerId, ProjectKey};

use crate::tx::{Row, query_all, query_one};
use crate::{Fault, Tx, statements};

statements! {
    BY_CUSTOMER = "SELECT hash FROM credential WHERE project = $1 AND customer_id = $2";
    CHANGED_AT = "SELECT changed_at FROM credential WHERE project = $1 AND customer_id = $2";
    PUT = "INSERT INTO credential (project, customer_id, hash, tail, changed_at) VALUES ($1, $2, $3, $4, $5)
           ON CONFLICT (project, customer_id) DO UPDATE SET hash = $3, tail = $4, changed_at = $5";
    // A stronger hash of the same password is no change of the credential: `changed_at` stays, and a password that was
    // changed since the sign-in began wins.
    UPGRADE = "UPDATE credential SET hash = $3, tail = $4 WHERE project = $1 AND customer_id = $2 AND hash = $5";
    DELETE = "DELETE FROM credential WHERE project = $1 AND customer_id = $2";
    // The hash that is about to be replaced, where its project wants to know it again.
    KEEP = "INSERT INTO former_password (project, customer_id, number, hash)
            SELECT c.project, c.customer_id,
                (SELECT coalesce(max(f.number), 0) + 1 FROM former_password f
                 WHERE f.project = c.project AND f.customer_id = c.customer_id), c.hash
            FROM credential c WHERE c.project = $1 AND c.customer_id = $2 AND EXISTS
                (SELECT 1 FROM project p WHERE p.project = $1 AND p.passwords_kept > 1)";
    TRIM = "DELETE FROM former_password WHERE project = $1 AND customer_id = $2 AND number <=
                (SELECT max(f.number) FROM former_password f WHERE f.project = $1 AND f.customer_id = $2) + 1
                - (SELECT p.passwords_kept FROM project p WHERE p.project = $1)";
    FORMER = "SELECT hash FROM former_password WHERE project = $1 AND customer_id = $2 ORDER BY number DESC LIMIT $3";
    SET_KEPT = "UPDATE project SET passwords_kept = $2 WHERE project = $1 AND passwords_kept <> $2";
    FORGET = "DELETE FROM former_password WHERE project = $1 AND customer_id = $2";
    FORGET_ALL = "DELETE FROM former_password WHERE project = $1";
}

/// The customer's hash, if it has a password.
pub fn by_customer(tx: &mut dyn Tx, project: &ProjectKey, customer: CustomerId) -> Result<Option<PasswordHash>, Fault> {
    query_one(tx, &BY_CUSTOMER, &[project.into(), customer.into()], |row| {
        PasswordHash::parse(&row.text(0)?).map_err(|_| Fault::corrupt("a stored hash is not a PHC string"))
    })
}

/// When the customer's password was set here last, if it has one.
pub fn changed_at(tx: &mut dyn Tx, project: &ProjectKey, customer: CustomerId) -> Result<Option<Micros>, Fault> {
    query_one(tx, &CHANGED_AT, &[project.into(), customer.into()], |row| row.micros(0))
}

/// Hashes of the customer's last passwords, the current one first, `most` at most. Those before the current one are there
/// as far as the project wanted them kept when they were replaced: see [`keep_history`].
pub fn latest(
    tx: &mut dyn Tx,
    project: &ProjectKey,
    customer: CustomerId,
    most: u8,
) -> Result<Vec<PasswordHash>, Fault> {
    let read = |row: &dyn Row| {
        PasswordHash::parse(&row.text(0)?).map_err(|_| Fault::corrupt("a stored hash is not a PHC string"))
    };
    let mut hashes: Vec<PasswordHash> = by_customer(tx, project, customer)?.into_iter().collect();
    hashes.extend(query_all(tx, &FORMER, &[project.into(), customer.into(), i64::from(most).into()], read)?);
    hashes.truncate(most.into());
    Ok(hashes)
}

/// From now on this many of each customer's passwords are kept, the current one among them. Fewer than before are kept of
/// a customer from its next password on; none, or the current one alone, at once.
pub fn keep_history(tx: &mut dyn Tx, project: &ProjectKey, most: u8) -> Result<(), Fault> {
    tx.execute(&SET_KEPT, &[project.into(), i64::from(most).into()])?;
    if most <= 1 {
        tx.execute(&FORGET_ALL, &[project.into()])?;
    }
    Ok(())
}

/// Sets the customer's hash. The one before it is kept if the project says so.
pub fn put(
    tx: &mut dyn Tx,
    project: &ProjectKey,
    customer: CustomerId,
    hash: &PasswordHash,
    now: Micros,
) -> Result<(), Fault> {
    let whose = [project.into(), customer.into()];
    if tx.execute(&KEEP, &whose)? == 1 {
        tx.execute(&TRIM, &whose)?;
    }
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

/// Removes the customer's hash, and those before it.
pub fn delete(tx: &mut dyn Tx, project: &ProjectKey, customer: CustomerId) -> Result<(), Fault> {
    tx.execute(&FORGET, &[project.into(), customer.into()])?;
    tx.execute(&DELETE, &[project.into(), customer.into()]).map(drop)
}
