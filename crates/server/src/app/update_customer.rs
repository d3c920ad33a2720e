//! Change a customer's own fields.

use keyherald_core::customer::Customer;
use keyherald_core::id::CustomerId;
use keyherald_core::message::Flow;
use keyherald_core::secret::Password;
use keyherald_core::update::{self, Action, Command, Found, TextField};
use keyherald_core::{Ctx, Refusal};
use keyherald_store::{Fault, Tx, claim, customer};

use super::projects::check_locale;
use super::{Answer, App, Call, CustomerRef, trace};
use crate::hash::Lane;

impl App {
    /// Applies the command's actions, all or none. `password` is that of [`Command::password_action`], if it has one.
    pub async fn update_customer(
        &self,
        call: Call,
        which: CustomerRef,
        command: Command,
        password: Option<Password>,
    ) -> Answer<Customer> {
        let mut ctx = self.ctx();
        let hash = match password {
            Some(password) => {
                // What can be refused costs no hash; the transaction below has the last word.
                let (call_, which_, command_, now) = (call.clone(), which.clone(), command.clone(), ctx.clone());
                let look = move |tx: &mut dyn Tx| first_look(tx, &call_, &which_, &command_, &now);
                if let Some((id, refusal)) = self.store.read(look).await? {
                    return self.refuse(call, Flow::Update, id, refusal, ctx).await;
                }
                Some(self.hash.hash(Lane::Change, password, ctx.bytes()).await?)
            }
            None => None,
        };
        let ring = self.ring.clone();
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            let Some(locked) = which.lock(tx, &call)? else {
                let refusal = which.not_found();
                trace(tx, &call, Flow::Update, None, &refusal, ctx)?;
                return Ok(Err(refusal));
            };
            if let Err(refusal) = check_locale(tx, &call.project, locale(&command))? {
                trace(tx, &call, Flow::Update, Some(locked.id), &refusal, ctx)?;
                return Ok(Err(refusal));
            }
            let known = call.known(tx, &command.stores())?;
            let taken = match update::admit(&locked, &command, &known, ctx) {
                Ok(Some(claims)) => claim::take(tx, &call.project, &claims, Some(locked.id))?,
                Ok(None) | Err(_) => None, // the decision says what is wrong
            };
            match update::decide(&locked, &command, &Found { known, taken }, hash.clone(), ctx) {
                Ok(updated) => {
                    customer::update(tx, &ring, &call.project, &updated, ctx)?;
                    Ok(Ok(updated.customer))
                }
                Err(refusal) => {
                    trace(tx, &call, Flow::Update, Some(locked.id), &refusal, ctx)?;
                    Ok(Err(refusal))
                }
            }
        };
        Ok(self.store.write(&ctx, work).await??)
    }
}

/// The locale that the command sets: of several, the one that the customer has afterwards.
fn locale(command: &Command) -> Option<&str> {
    command.actions.iter().rev().find_map(|action| match action {
        Action::SetText(TextField::Locale, value) => Some(value.as_deref()),
        _ => None,
    })?
}

type Refused = (Option<CustomerId>, Refusal);

fn first_look(
    tx: &mut dyn Tx,
    call: &Call,
    which: &CustomerRef,
    command: &Command,
    ctx: &Ctx,
) -> Result<Option<Refused>, Fault> {
    let Some(found) = which.find(tx, call)? else { return Ok(Some((None, which.not_found()))) };
    let known = call.known(tx, &command.stores())?;
    let refusal = match update::admit(&found, command, &known, ctx) {
        Ok(Some(claims)) => claim::taken(tx, &call.project, &claims, Some(found.id))?.map(Refusal::Duplicate),
        Ok(None) => None,
        Err(refusal) => Some(refusal),
    };
    Ok(refusal.map(|refusal| (Some(found.id), refusal)))
}
