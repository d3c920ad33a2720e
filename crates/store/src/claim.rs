//! Values that only one customer of a project may have: e-mail address, key, customer number, mobile number.
//!
//! Keys and numbers have unique indexes. An e-mail address is more than an index can say (commercetools.md 2.4): it is
//! taken for a whole project by a global customer, or for single stores by their customers. So whoever wants an address
//! first takes a lock on it ([`take`]), then looks, and keeps the lock until the transaction ends: of two transactions
//! that want the same address, the second sees what the first one wrote. The lock is SQLite's write lock, or an
//! advisory lock of PostgreSQL on a hash of the address; two addresses with one hash only wait for each other.
//!
//! Who gives an address up takes no lock: until that is committed, others find it taken, which it is.

use keyherald_core::customer::{Claims, Customer, fold_email};
use keyherald_core::id::{CustomerId, Key, ProjectKey};
use keyherald_core::refusal::UniqueField;

use crate::fault::FaultKind;
use crate::tx::query_one;
use crate::{Fault, Tx, Value, statements};

/// The store of a global customer's claim: for the whole project.
pub(crate) const EVERYWHERE: &str = "";

statements! {
    LOCK = {
        sqlite: "SELECT 1 WHERE $1 <> $2",
        postgres: "SELECT 1 FROM (SELECT pg_advisory_xact_lock(hashtextextended($1 || ' ' || $2, 0))) AS locked"
    };
    // $3: the customer that asks, or an empty text.
    TAKEN_ANYWHERE = "SELECT 1 FROM customer_email WHERE project = $1 AND email_folded = $2 AND customer_id <> $3 LIMIT 1";
    TAKEN_IN_STORE = "SELECT 1 FROM customer_email
                      WHERE project = $1 AND email_folded = $2 AND customer_id <> $3 AND store IN ('', $4) LIMIT 1";
    TAKEN_KEY = "SELECT 1 FROM customer WHERE project = $1 AND key = $2 AND id <> $3";
    TAKEN_NUMBER = "SELECT 1 FROM customer WHERE project = $1 AND customer_number = $2 AND id <> $3";
    TAKEN_MOBILE = "SELECT 1 FROM customer WHERE project = $1 AND mobile = $2 AND id <> $3";
    // Writes nothing where the rule would be broken, whatever was looked at before.
    PUT = "INSERT INTO customer_email (project, email_folded, store, customer_id)
           SELECT $1, $2, $3, $4 WHERE NOT EXISTS
               (SELECT 1 FROM customer_email WHERE project = $1 AND email_folded = $2 AND customer_id <> $4
                   AND (store = '' OR store = $3 OR $3 = ''))";
    DELETE = "DELETE FROM customer_email WHERE project = $1 AND customer_id = $2";
}

/// The first of these values that another customer than `own` has. For a first look: in the transaction that writes,
/// see [`take`].
pub fn taken(
    tx: &mut dyn Tx,
    project: &ProjectKey,
    claims: &Claims,
    own: Option<CustomerId>,
) -> Result<Option<UniqueField>, Fault> {
    let own = own.map(|id| id.to_string()).unwrap_or_default();
    if is_email_taken(tx, project, claims, &own)? {
        return Ok(Some(UniqueField::Email));
    }
    let mut exists = |sql, value: Value| {
        query_one(tx, sql, &[project.into(), value, own.as_str().into()], |_| Ok(())).map(|found| found.is_some())
    };
    if let Some(key) = &claims.key
        && exists(&TAKEN_KEY, key.into())?
    {
        return Ok(Some(UniqueField::Key));
    }
    if let Some(number) = &claims.customer_number
        && exists(&TAKEN_NUMBER, number.into())?
    {
        return Ok(Some(UniqueField::CustomerNumber));
    }
    if let Some(mobile) = &claims.mobile
        && exists(&TAKEN_MOBILE, mobile.as_str().into())?
    {
        return Ok(Some(UniqueField::Mobile));
    }
    Ok(None)
}

/// The same, and nobody else can take the e-mail address until this transaction ends. To be called after the customer's
/// own lock was taken, if there is one already, so that locks are always taken in the same order.
pub fn take(
    tx: &mut dyn Tx,
    project: &ProjectKey,
    claims: &Claims,
    own: Option<CustomerId>,
) -> Result<Option<UniqueField>, Fault> {
    query_one(tx, &LOCK, &[project.into(), fold_email(&claims.email).into()], |_| Ok(()))?;
    taken(tx, project, claims, own)
}

fn is_email_taken(tx: &mut dyn Tx, project: &ProjectKey, claims: &Claims, own: &str) -> Result<bool, Fault> {
    let folded = fold_email(&claims.email);
    let args: [Value; 3] = [project.into(), folded.into(), own.into()];
    if claims.stores.is_empty() {
        return Ok(query_one(tx, &TAKEN_ANYWHERE, &args, |_| Ok(()))?.is_some());
    }
    for store in &claims.stores {
        let [project, folded, own] = args.clone();
        if query_one(tx, &TAKEN_IN_STORE, &[project, folded, own, store.into()], |_| Ok(()))?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Writes the claims of a customer that has none.
pub(crate) fn put(tx: &mut dyn Tx, project: &ProjectKey, customer: &Customer) -> Result<(), Fault> {
    let everywhere = [EVERYWHERE];
    let stores: Vec<&str> = match &customer.stores[..] {
        [] => everywhere.to_vec(),
        stores => stores.iter().map(Key::as_str).collect(),
    };
    for store in stores {
        let args = [project.into(), fold_email(&customer.email).into(), store.into(), customer.id.into()];
        if tx.execute(&PUT, &args)? == 0 {
            let kind = FaultKind::Conflict("customer_email_pkey".to_owned());
            return Err(Fault::new(kind, "an e-mail address was taken although it was claimed"));
        }
    }
    Ok(())
}

/// Gives up the claims of a customer.
pub(crate) fn delete(tx: &mut dyn Tx, project: &ProjectKey, customer: CustomerId) -> Result<(), Fault> {
    tx.execute(&DELETE, &[project.into(), customer.into()]).map(drop)
}
