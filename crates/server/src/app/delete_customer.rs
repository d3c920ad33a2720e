//! Delete a customer.

use keyherald_core::Ctx;
use keyherald_core::customer::Customer;
use keyherald_core::delete::{self, Command};
use keyherald_core::message::Flow;
use keyherald_store::{Tx, customer};

use super::in_turn::Turn;
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
        let (ring, operations, calling) = (self.ring.clone(), self.operations.clone(), call.clone());
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            let locked = which.lock(tx, &calling)?;
            let id = locked.as_ref().map(|locked| locked.id);
            if let Some(id) = id
                && operations.is_underway(tx, &calling.project, id)?
            {
                return Ok(Turn::Underway(id));
            }
            let command = Command { version, data_erasure, by: calling.by.clone() };
            let outcome =
                locked.ok_or_else(|| which.not_found()).and_then(|locked| delete::decide(&locked, &command, ctx));
            match outcome {
                Ok(deleted) => {
                    customer::delete(tx, &ring, &calling.project, &deleted, ctx)?;
                    Ok(Turn::Decided(Ok(deleted.last)))
                }
                Err(refusal) => {
                    trace(tx, &calling, Flow::Delete, id, &refusal, ctx)?;
                    Ok(Turn::Decided(Err(refusal)))
                }
            }
        };
        self.in_turn(call, Flow::Delete, self.ctx(), work).await
    }
}
