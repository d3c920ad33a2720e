//! Read customers.

use keyherald_core::customer::Customer;
use keyherald_store::{Listing, Page, customer};

use super::delete_customer::CustomerRef;
use super::{Answer, App, Call};

impl App {
    /// The customer that a path names.
    pub async fn customer(&self, call: Call, which: CustomerRef) -> Answer<Customer> {
        let not_found = which.not_found();
        let found = self
            .store
            .read(move |tx| match &which {
                CustomerRef::Id(id) => customer::by_id(tx, &call.project, *id),
                CustomerRef::Key(key) => customer::by_key(tx, &call.project, key),
            })
            .await?;
        Ok(found.ok_or(not_found)?)
    }

    /// A page of the project's customers.
    pub async fn customers(&self, call: Call, listing: Listing) -> Answer<Page<Customer>> {
        Ok(self.store.read(move |tx| customer::page(tx, &call.project, &listing)).await?)
    }
}
