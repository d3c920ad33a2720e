//! Delete a customer.

use keyherald_core::customer::Customer;
use keyherald_core::delete::{self, Command};
use keyherald_core::id::{CustomerId, Key};
use keyherald_core::message::Flow;
use keyherald_core::refusal::Lookup;
use keyherald_core::{Ctx, Refusal};
use keyherald_store::{Tx, customer};

use super::{Answer, App, Call, trace};

/// How a customer is named in a request path.
#[derive(Clone)]
pub enum CustomerRef {
    /// By id.
    Id(CustomerId),
    /// By key.
    Key(Key),
}

impl CustomerRef {
    /// The refusal when there is none.
    pub(super) fn not_found(&self) -> Refusal {
        Refusal::CustomerNotFound(match self {
            Self::Id(_) => Lookup::Id,
            Self::Key(_) => Lookup::Key,
        })
    }
}

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
            let id = match &which {
                CustomerRef::Id(id) => Some(*id),
                CustomerRef::Key(key) => customer::by_key(tx, &call.project, key)?.map(|found| found.id),
            };
            let locked = match id {
                Some(id) => customer::lock(tx, &call.project, id)?,
                None => None,
            };
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
