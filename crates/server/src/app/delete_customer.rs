//! Delete a customer.

use keyherald_core::Ctx;
use keyherald_core::customer::Customer;
use keyherald_core::delete::{self, Command};
use keyherald_core::message::Flow;
use keyherald_store::{Tx, customer};

use super::{Answer, App, Call, CustomerRef, trace};

impl App {
    /// Deletes a customer and answers it as it was last. With `data_erasure`, what is personal in its messages goes too.
    pub async fn delete_customer(
        &self,
        call: Call,
        which: CustomerRef,
        version: i64,
        data_erasure: bool,
    ) -> Answer<Customer> {
        let ring = self.ring.clone();
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            let locked = which.lock(tx, &call)?;
            let id = locked.as_ref().map(|locked| locked.id);
            let command = Command { version, data_erasure, by: call.by.clone() };
            let outcome =
                locked.ok_or_else(|| which.not_found()).and_then(|locked| delete::decide(&locked, &command, ctx));
            match outcome {
                Ok(deleted) => {
                    customer::delete(tx, &ring, &call.project, &deleted, ctx)?;
                    Ok(Ok(deleted.last))
                }
                Err(refusal) => {
                    trace(tx, &call, Flow::Delete, id, &refusal, ctx)?;
                    Ok(Err(refusal))
                }
            }
        };
        Ok(self.store.write(&self.ctx(), work).await??)
    }
}
