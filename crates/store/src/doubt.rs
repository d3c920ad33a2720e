//! Records in doubt: whom to look up at a provider because a process may have died between that and here.
//!
//! Each attempt has a row of its own, committed before it is sent, so that one that ends says nothing about another that
//! is under way. Of several nodes that look, one gets a row ([`claim`]), and has lost it when the next one may ([`holds`]).

use keyherald_core::Micros;
use keyherald_core::customer::fold_email;
use keyherald_core::doubt::{About, Doubt};
use keyherald_core::id::{CustomerId, DoubtId, ProjectKey};
use keyherald_core::operation::Limits;

use crate::tx::{query_all, query_one};
use crate::{Fault, Row, Tx, Value, statements};

macro_rules! columns {
    () => {
        "project, id, provider, customer_id, email, call, run, began_at, looks"
    };
}

statements! {
    PUT = "INSERT INTO record_in_doubt (project, id, provider, customer_id, email, email_folded, call, run, began_at, looks,
               due_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    LISTED = (concat!("SELECT ", columns!(), ", due_at FROM record_in_doubt WHERE project = $1 AND id > $2 ORDER BY id LIMIT $3"));
    LISTED_OF_CUSTOMER = (concat!("SELECT ", columns!(), ", due_at FROM record_in_doubt
                                   WHERE project = $1 AND customer_id = $4 AND id > $2 ORDER BY id LIMIT $3"));
    NEXT_DUE = "SELECT min(due_at) FROM record_in_doubt";
    DUE = {
        sqlite: "SELECT project, id, looks FROM record_in_doubt WHERE due_at <= $1 ORDER BY due_at LIMIT $2",
        postgres: "SELECT project, id, looks FROM record_in_doubt WHERE due_at <= $1 ORDER BY due_at LIMIT $2
                   FOR UPDATE SKIP LOCKED"
    };
    CLAIM = (concat!("UPDATE record_in_doubt SET looks = looks + 1, due_at = $3 WHERE project = $1 AND id = $2 RETURNING ",
                     columns!()));
    HOLDS = "UPDATE record_in_doubt SET looks = looks WHERE project = $1 AND id = $2 AND looks = $3";
    PUT_OFF = "UPDATE record_in_doubt SET due_at = $4 WHERE project = $1 AND id = $2 AND looks = $3";
    REMOVE = "DELETE FROM record_in_doubt WHERE project = $1 AND id = $2";
    REMOVE_OF_ADDRESS = "DELETE FROM record_in_doubt WHERE project = $1 AND email_folded = $2";
    FORGET = "DELETE FROM record_in_doubt WHERE project = $1 AND customer_id = $2";
}

/// Notes that a record is about to be written at a provider.
pub fn put(tx: &mut dyn Tx, doubt: &Doubt, due_at: Micros) -> Result<(), Fault> {
    let (customer, address) = match &doubt.about {
        About::Customer(id) => (Some(*id), None),
        About::Address(email) => (None, Some(email)),
    };
    let args: [Value; 11] = [
        (&doubt.project).into(),
        doubt.id.into(),
        doubt.provider.to_string().into(),
        customer.into(),
        address.into(),
        address.map(|email| fold_email(email)).into(),
        Value::json(&doubt.call)?,
        Value::json(&doubt.run)?,
        doubt.began_at.into(),
        doubt.looks.into(),
        due_at.into(),
    ];
    tx.execute(&PUT, &args).map(drop)
}

/// Those of a project, or of a customer, after `after`, in the order in which they began, at most `limit`; each with when it
/// is looked at next.
pub fn listed(
    tx: &mut dyn Tx,
    project: &ProjectKey,
    customer: Option<CustomerId>,
    after: Option<DoubtId>,
    limit: i64,
) -> Result<Vec<(Doubt, Micros)>, Fault> {
    let after = after.map(|id| id.to_string()).unwrap_or_default();
    let mut args: Vec<Value> = vec![project.into(), after.into(), limit.into()];
    let sql = if let Some(customer) = customer {
        args.push(customer.into());
        &LISTED_OF_CUSTOMER
    } else {
        &LISTED
    };
    query_all(tx, sql, &args, |row| Ok((read(row)?, row.micros(9)?)))
}

/// When the next look is due. `None`: nothing is in doubt.
pub fn next_due(tx: &mut dyn Tx) -> Result<Option<Micros>, Fault> {
    Ok(query_one(tx, &NEXT_DUE, &[], |row| row.int_opt(0))?.flatten().map(Micros))
}

/// Takes up to `limit` that are due, those of dead processes among them, and puts each off to its next look: whoever takes
/// one and dies leaves it to that. Two processes never get the same one.
pub fn claim(tx: &mut dyn Tx, now: Micros, limits: Limits, limit: i64) -> Result<Vec<Doubt>, Fault> {
    let due = query_all(tx, &DUE, &[now.into(), limit.into()], |row| {
        Ok((row.parsed::<ProjectKey>(0)?, row.parsed::<DoubtId>(1)?, row.int(2)?))
    })?;
    let mut claimed = Vec::with_capacity(due.len());
    for (project, id, looks) in due {
        let next = Doubt::next_due(looks, now, limits);
        claimed.extend(query_one(tx, &CLAIM, &[(&project).into(), id.into(), next.into()], read)?);
    }
    Ok(claimed)
}

/// Whether a claimed one is still there and nobody else's; nobody gets it before this transaction ends.
pub fn holds(tx: &mut dyn Tx, doubt: &Doubt) -> Result<bool, Fault> {
    Ok(tx.execute(&HOLDS, &[(&doubt.project).into(), doubt.id.into(), doubt.looks.into()])? == 1)
}

/// Has a claimed one looked at again at another time.
pub fn put_off(tx: &mut dyn Tx, doubt: &Doubt, due_at: Micros) -> Result<(), Fault> {
    let args = [(&doubt.project).into(), doubt.id.into(), doubt.looks.into(), due_at.into()];
    tx.execute(&PUT_OFF, &args).map(drop)
}

/// It is settled, or surely nothing came of it.
pub fn remove(tx: &mut dyn Tx, project: &ProjectKey, id: DoubtId) -> Result<(), Fault> {
    tx.execute(&REMOVE, &[project.into(), id.into()]).map(drop)
}

/// There is a customer now with the address that somebody was to be created with.
pub fn remove_of_address(tx: &mut dyn Tx, project: &ProjectKey, email: &str) -> Result<(), Fault> {
    tx.execute(&REMOVE_OF_ADDRESS, &[project.into(), fold_email(email).into()]).map(drop)
}

/// Ends those of a customer that is deleted.
pub(crate) fn forget(tx: &mut dyn Tx, project: &ProjectKey, customer: CustomerId) -> Result<(), Fault> {
    tx.execute(&FORGET, &[project.into(), customer.into()]).map(drop)
}

fn read(row: &dyn Row) -> Result<Doubt, Fault> {
    let about = match row.parsed_opt(3)? {
        Some(customer) => About::Customer(customer),
        None => About::Address(row.text(4)?),
    };
    Ok(Doubt {
        project: row.parsed(0)?,
        id: row.parsed(1)?,
        provider: row.parsed(2)?,
        about,
        call: row.json(5)?,
        run: row.json(6)?,
        began_at: row.micros(7)?,
        looks: row.int(8)?,
    })
}
