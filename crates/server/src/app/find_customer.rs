//! Read customers.

use keyherald_core::customer::Customer;
use keyherald_core::id::Key;
use keyherald_store::{Listing, Page, customer};

use super::{Answer, App, Call, CustomerRef};

impl App {
    /// The customer that a path names.
    pub async fn customer(&self, call: Call, which: CustomerRef) -> Answer<Customer> {
        let not_found = which.not_found();
        let found = self.store.read(move |tx| which.find(tx, &call)).await?;
        Ok(found.ok_or(not_found)?)
    }

    /// A page of the project's customers; of this store's, if there is one.
    pub async fn customers(&self, call: Call, store: Option<Key>, listing: Listing) -> Answer<Page<Customer>> {
        Ok(self.store.read(move |tx| customer::page(tx, &call.project, store.as_ref(), &listing)).await?)
    }
}
