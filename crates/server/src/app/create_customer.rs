//! Create a customer.

use keyherald_core::Refusal;
use keyherald_core::create::{self, Command};
use keyherald_core::credential::AuthenticationMode;
use keyherald_core::customer::Customer;
use keyherald_core::id::Reference;
use keyherald_core::message::Flow;
use keyherald_core::secret::Password;
use keyherald_store::{Tx, claim, customer};

use super::check_password::Whose;
use super::projects::check_locale;
use super::{Answer, App, Call, trace};
use crate::hash::Lane;

impl App {
    /// Creates a customer. `password` is needed in Password mode (the dialect has checked) and ignored otherwise. Within
    /// a store, one that names no stores is that store's.
    pub async fn create_customer(
        &self,
        call: Call,
        mut command: Command,
        password: Option<Password>,
    ) -> Answer<Customer> {
        if password.is_some() {
            self.hash.admit(Lane::Change)?;
        }
        let mut ctx = self.ctx();
        if let (Some(store), true) = (&call.store, command.stores.is_empty()) {
            command.stores.push(Reference::Key(store.key.to_string()));
        }
        // A duplicate is refused before it costs a hash; the transaction below has the last word.
        let (look, looked) = (call.clone(), command.clone());
        let first_look = move |tx: &mut dyn Tx| {
            if let Err(refusal) = check_locale(tx, &look.project, looked.profile.locale.as_deref())? {
                return Ok(Some(refusal));
            }
            let known = look.known(tx, &looked.stores)?;
            Ok(match looked.claims(&known) {
                Ok(claims) => claim::taken(tx, &look.project, &claims, None)?.map(Refusal::Duplicate),
                Err(refusal) => Some(refusal),
            })
        };
        if let Some(refusal) = self.store.read(first_look).await? {
            return self.refuse(call, Flow::Create, None, refusal, ctx).await;
        }
        let hash = match password {
            Some(password) if command.authentication_mode == AuthenticationMode::Password => {
                let password = self.checked(&call, Flow::Create, Whose::New(&command.email), password).await?;
                Some(self.hash.hash(Lane::Change, password, ctx.bytes()).await?)
            }
            _ => None,
        };
        let ring = self.ring.clone();
        let work = move |tx: &mut dyn Tx, ctx: &mut keyherald_core::Ctx| {
            let known = call.known(tx, &command.stores)?;
            let taken = match command.claims(&known) {
                Ok(claims) => claim::take(tx, &call.project, &claims, None)?,
                Err(_) => None, // the decision says what is wrong
            };
            match create::decide(&command, &known, taken, hash.clone(), ctx) {
                Ok(mut created) => {
                    customer::create(tx, &ring, &call.project, &mut created, ctx)?;
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
