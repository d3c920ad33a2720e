//! Create a customer.

use keyherald_core::Refusal;
use keyherald_core::create::{self, Command};
use keyherald_core::credential::AuthenticationMode;
use keyherald_core::customer::Customer;
use keyherald_core::message::Flow;
use keyherald_core::refusal::UniqueField;
use keyherald_core::secret::Password;
use keyherald_store::{Fault, Tx, customer};

use super::{Answer, App, Call, trace};
use crate::hash::Lane;

impl App {
    /// Creates a customer. `password` is needed in Password mode (the dialect has checked) and ignored otherwise.
    pub async fn create_customer(&self, call: Call, command: Command, password: Option<Password>) -> Answer<Customer> {
        let mut ctx = self.ctx();
        // A duplicate is refused before it costs a hash; the transaction below has the last word.
        let (look, looked) = (call.clone(), command.clone());
        if let Some(field) = self.store.read(move |tx| taken(tx, &look, &looked)).await? {
            return self.refuse(call, Flow::Create, None, Refusal::Duplicate(field), ctx).await;
        }
        let hash = match password {
            Some(password) if command.authentication_mode == AuthenticationMode::Password => {
                Some(self.hash.hash(Lane::Change, password, ctx.bytes()).await?)
            }
            _ => None,
        };
        let ring = self.ring.clone();
        let work = move |tx: &mut dyn Tx, ctx: &mut keyherald_core::Ctx| {
            let taken = taken(tx, &call, &command)?;
            match create::decide(&command, taken, hash.clone(), ctx) {
                Ok(created) => {
                    customer::create(tx, &ring, &call.project, &created, ctx)?;
                    Ok(Ok(created.customer))
                }
                Err(refusal) => {
                    trace(tx, &call, Flow::Create, None, &refusal, ctx)?;
                    Ok(Err(refusal))
                }
            }
        };
        Ok(self.store.write(&ctx, work).await??)
    }
}

fn taken(tx: &mut dyn Tx, call: &Call, command: &Command) -> Result<Option<UniqueField>, Fault> {
    let number = command.customer_number.as_deref();
    customer::taken(tx, &call.project, &command.email, command.key.as_ref(), number)
}
