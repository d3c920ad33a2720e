//! Which customer is which user of an identity provider.
//!
//! A user belongs to one customer, and a customer is one user of a provider. Whoever writes a link holds the customer's
//! lock, and has seen that no operation of that customer is open: it would go on with the old one.

use keyherald_core::Micros;
use keyherald_core::id::{CustomerId, ProjectKey};
use keyherald_core::provider::{ProviderLink, ProviderName, ProviderUser};

use crate::tx::{query_all, query_one};
use crate::{Fault, Tx, Value, statements};

statements! {
    OF_CUSTOMER = "SELECT user_id FROM provider_link WHERE project = $1 AND customer_id = $2 AND provider = $3";
    BY_USER = "SELECT customer_id FROM provider_link WHERE project = $1 AND provider = $2 AND user_id = $3";
    BETWEEN = "SELECT customer_id, provider, user_id FROM provider_link
                WHERE project = $1 AND customer_id >= $2 AND customer_id <= $3 ORDER BY customer_id, provider";
    PUT = "INSERT INTO provider_link (project, provider, user_id, customer_id, linked_at) VALUES ($1, $2, $3, $4, $5)
           ON CONFLICT (project, provider, user_id) DO NOTHING";
    REMOVE = "DELETE FROM provider_link WHERE project = $1 AND customer_id = $2 AND provider = $3";
    DELETE = "DELETE FROM provider_link WHERE project = $1 AND customer_id = $2";
}

/// Who the customer is at this provider.
pub fn of_customer(
    tx: &mut dyn Tx,
    project: &ProjectKey,
    customer: CustomerId,
    provider: &ProviderName,
) -> Result<Option<ProviderLink>, Fault> {
    let args = [project.into(), customer.into(), provider.to_string().into()];
    query_one(tx, &OF_CUSTOMER, &args, |row| Ok(ProviderLink { provider: provider.clone(), user: row.parsed(0)? }))
}

/// The customer that is this user of this provider.
pub fn by_user(
    tx: &mut dyn Tx,
    project: &ProjectKey,
    provider: &ProviderName,
    user: &ProviderUser,
) -> Result<Option<CustomerId>, Fault> {
    let args = [project.into(), provider.to_string().into(), user.as_str().into()];
    query_one(tx, &BY_USER, &args, |row| row.parsed(0))
}

/// Who the customers from `first` to `last` are, at all providers.
pub fn between(
    tx: &mut dyn Tx,
    project: &ProjectKey,
    (first, last): (CustomerId, CustomerId),
) -> Result<Vec<(CustomerId, ProviderLink)>, Fault> {
    query_all(tx, &BETWEEN, &[project.into(), first.into(), last.into()], |row| {
        Ok((row.parsed(0)?, ProviderLink { provider: row.parsed(1)?, user: row.parsed(2)? }))
    })
}

/// Makes the customer this user, in place of whom it was at that provider. False, and nothing is written: another
/// customer is.
pub fn put(
    tx: &mut dyn Tx,
    project: &ProjectKey,
    customer: CustomerId,
    link: &ProviderLink,
    now: Micros,
) -> Result<bool, Fault> {
    match by_user(tx, project, &link.provider, &link.user)? {
        Some(owner) => return Ok(owner == customer),
        None => remove(tx, project, customer, &link.provider)?,
    }
    let provider = link.provider.to_string();
    let args: [Value; 5] = [project.into(), provider.into(), link.user.as_str().into(), customer.into(), now.into()];
    let put = tx.execute(&PUT, &args)? == 1;
    // Of two customers who become one user at the same moment, the second finds the row of the first: as a fault, so
    // that its own link is not lost.
    if put { Ok(true) } else { Err(Fault::new(crate::FaultKind::Contention, "a provider's user was linked meanwhile")) }
}

/// Forgets who the customer is at this provider.
pub fn remove(
    tx: &mut dyn Tx,
    project: &ProjectKey,
    customer: CustomerId,
    provider: &ProviderName,
) -> Result<(), Fault> {
    tx.execute(&REMOVE, &[project.into(), customer.into(), provider.to_string().into()]).map(drop)
}

/// Forgets who a customer is at all providers: it is deleted.
pub(crate) fn delete_of_customer(tx: &mut dyn Tx, project: &ProjectKey, customer: CustomerId) -> Result<(), Fault> {
    tx.execute(&DELETE, &[project.into(), customer.into()]).map(drop)
}
