//! Sign in by e-mail and password.

use keyherald_core::activity::{self, CallResult, Made};
use keyherald_core::credential::{AuthenticationMode, PasswordHash};
use keyherald_core::customer::Customer;
use keyherald_core::id::CustomerId;
use keyherald_core::message::Flow;
use keyherald_core::recover::nobody;
use keyherald_core::secret::Password;
use keyherald_core::{Ctx, Refusal, sign_in};
use keyherald_store::{Fault, Tx, credential};

use super::{Answer, App, Call, note};
use crate::hash::Lane;

impl App {
    /// The customer with these credentials. Unknown, wrong and external accounts cost the same: the same statements,
    /// one hash, one commit of the trace.
    pub async fn sign_in(&self, call: Call, email: String, password: Password) -> Answer<Customer> {
        Ok(self.signed_in(call, email, password).await?.0)
    }

    /// The same, with the hash that counts after it.
    pub(super) async fn signed_in(
        &self,
        call: Call,
        email: String,
        password: Password,
    ) -> Answer<(Customer, Option<PasswordHash>)> {
        self.hash.admit(Lane::SignIn)?;
        let mut ctx = self.ctx();
        let (looking, operations) = (call.clone(), self.operations.clone());
        let named = email.clone();
        let look = move |tx: &mut dyn Tx| {
            let sought = looking.seek_by_email(tx, &email)?;
            let looked_at = sought.looked_at().map_or_else(nobody, |customer| customer.id);
            let stored = credential::by_customer(tx, &looking.project, looked_at)?;
            // Of a password that nobody knows, the one here says nothing.
            let must_recover = operations.must_recover(tx, &looking.project, looked_at)?;
            let found = sought.into_customer();
            // Nobody signs in with the password of whoever stands in.
            let has_password = |it: &Customer| it.authentication_mode == AuthenticationMode::Password;
            let stored = stored.filter(|_| !must_recover && found.as_ref().is_some_and(has_password));
            Ok::<_, Fault>((found, looked_at, stored))
        };
        let (found, looked_at, stored) = self.store.read(look).await?;
        let id = found.as_ref().map(|customer| customer.id);
        if !self.may_try(&call.project, (&named, looked_at), ctx.now).await? {
            let refusal = Refusal::CredentialsWrong;
            let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| finish(tx, &call, id, Some(&refusal), None, ctx);
            self.store.write(&ctx, work).await?;
            return Err(Refusal::CredentialsWrong.into());
        }
        let again = password.duplicate();
        let verified = self.hash.verify(Lane::SignIn, password, stored.clone()).await?;
        let outcome = sign_in::decide(found, verified.matches);
        let upgrade = match stored.clone() {
            // A sign-in must not fail for want of a better hash: the next one tries again.
            Some(old) if verified.upgrade => {
                self.hash.hash(Lane::Import, again, ctx.bytes()).await.ok().map(|new| (old, new))
            }
            _ => None,
        };
        let (refusal, project) = (outcome.as_ref().err().cloned(), call.project.clone());
        let better = upgrade.clone().map(|(_, new)| new);
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| finish(tx, &call, id, refusal.as_ref(), upgrade.as_ref(), ctx);
        let upgraded = self.store.write(&ctx, work).await?;
        let entered = outcome?;
        self.was_right(&project, &named).await?;
        Ok((entered, if upgraded { better } else { stored }))
    }
}

/// Whether the hash was replaced.
fn finish(
    tx: &mut dyn Tx,
    call: &Call,
    customer: Option<CustomerId>,
    refusal: Option<&Refusal>,
    upgrade: Option<&(PasswordHash, PasswordHash)>,
    ctx: &mut Ctx,
) -> Result<bool, Fault> {
    let upgraded = match (customer, upgrade) {
        (Some(customer), Some((old, new))) => credential::upgrade(tx, &call.project, customer, old, new)?,
        _ => false,
    };
    let made = Made::done(activity::Call::SignInAtHome);
    let made = refusal.map_or(made, |refusal| made.ended(CallResult::Refused, refusal.code()));
    note(tx, call, Flow::SignIn, customer, made, ctx)?;
    Ok(upgraded)
}
