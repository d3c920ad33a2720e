//! Read all customers of a project, page by page.

use std::collections::HashMap;

use keyherald_core::credential::PasswordHash;
use keyherald_core::customer::Customer;
use keyherald_core::id::{CustomerId, ProjectKey};
use keyherald_store::{Tx, customer};

use super::{Answer, App, Fault};

/// Customers that one look reads at most.
const PAGE: i64 = 500;

impl App {
    /// The customers after `after` in the order of their ids, with their hashes if `with_hashes`. None: there are no
    /// more. Each page is one consistent look, all of them together are not.
    pub async fn export_customers(
        &self,
        project: ProjectKey,
        after: Option<CustomerId>,
        with_hashes: bool,
    ) -> Answer<Vec<(Customer, Option<PasswordHash>)>> {
        let look = move |tx: &mut dyn Tx| {
            let customers = customer::after(tx, &project, after, PAGE)?;
            let mut hashes = HashMap::new();
            if let (true, Some(first), Some(last)) = (with_hashes, customers.first(), customers.last()) {
                hashes.extend(customer::hashes_between(tx, &project, (first.id, last.id))?);
            }
            let with_hash = |customer: Customer| {
                let hash = hashes.remove(&customer.id);
                (customer, hash)
            };
            Ok::<_, Fault>(customers.into_iter().map(with_hash).collect())
        };
        Ok(self.store.query(look).await?)
    }
}
