//! Read all customers of a project, page by page.

use std::collections::HashMap;

use keyherald_core::credential::PasswordHash;
use keyherald_core::customer::Customer;
use keyherald_core::id::{CustomerId, ProjectKey};
use keyherald_core::provider::ProviderLink;
use keyherald_store::{Tx, customer, provider_link};

use super::{Answer, App, Fault};

/// Customers that one look reads at most.
const PAGE: i64 = 500;

/// A customer as it is exported.
pub struct Exported {
    /// The customer.
    pub customer: Customer,
    /// Its hash, if it has one and they were asked for.
    pub hash: Option<PasswordHash>,
    /// Who it is at identity providers.
    pub links: Vec<ProviderLink>,
}

impl App {
    /// The customers after `after` in the order of their ids, with their hashes if `with_hashes`. None: there are no
    /// more. Each page is one consistent look, all of them together are not.
    pub async fn export_customers(
        &self,
        project: ProjectKey,
        after: Option<CustomerId>,
        with_hashes: bool,
    ) -> Answer<Vec<Exported>> {
        let look = move |tx: &mut dyn Tx| {
            let customers = customer::after(tx, &project, after, PAGE)?;
            let (Some(first), Some(last)) = (customers.first(), customers.last()) else { return Ok(Vec::new()) };
            let page = (first.id, last.id);
            let mut hashes = HashMap::new();
            if with_hashes {
                hashes.extend(customer::hashes_between(tx, &project, page)?);
            }
            let mut links: HashMap<CustomerId, Vec<ProviderLink>> = HashMap::new();
            for (customer, link) in provider_link::between(tx, &project, page)? {
                links.entry(customer).or_default().push(link);
            }
            let exported = |customer: Customer| {
                let (hash, links) = (hashes.remove(&customer.id), links.remove(&customer.id).unwrap_or_default());
                Exported { customer, hash, links }
            };
            Ok::<_, Fault>(customers.into_iter().map(exported).collect())
        };
        Ok(self.store.query(look).await?)
    }
}
