//! Read customers.

use keyherald_core::customer::Customer;
use keyherald_store::{Listing, Page, Tx, customer};

use super::{Answer, App, Call, CustomerRef};

impl App {
    /// The customer that a path names.
    pub async fn customer(&self, call: Call, which: CustomerRef) -> Answer<Customer> {
        let not_found = which.not_found();
        let found = self.store.read(move |tx| which.find(tx, &call)).await?;
        Ok(found.ok_or(not_found)?)
    }

    /// A page of the customers of the project, or of the store within which the call is made.
    pub async fn customers(&self, call: Call, listing: Listing) -> Answer<Page<Customer>> {
        let look = move |tx: &mut dyn Tx| {
            let store = call.store.as_ref().map(|store| &store.key);
            customer::page(tx, &call.project, store, &listing)
        };
        Ok(self.store.query(look).await?)
    }
}
