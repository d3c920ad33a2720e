//! Change a password by proving the current one.

use keyherald_core::change::{self, Command};
use keyherald_core::customer::Customer;
use keyherald_core::id::CustomerId;
use keyherald_core::message::Flow;
use keyherald_core::refusal::Lookup;
use keyherald_core::secret::Password;
use keyherald_core::{Ctx, Refusal};
use keyherald_store::{Fault, Tx, credential, customer};

use super::{Answer, App, Call, CustomerRef, trace};
use crate::hash::Lane;

impl App {
    /// Changes the password of customer `id`, if `current` is it and the version is right.
    pub async fn change_password(
        &self,
        call: Call,
        id: CustomerId,
        version: i64,
        current: Password,
        new: Password,
    ) -> Answer<Customer> {
        self.hash.admit(Lane::Change)?;
        let mut ctx = self.ctx();
        let command = Command { version, by: call.by.clone() };
        let looking = call.clone();
        let look = move |tx: &mut dyn Tx| {
            let found = CustomerRef::Id(id).find(tx, &looking)?;
            Ok::<_, Fault>((found, credential::by_customer(tx, &looking.project, id)?))
        };
        let (found, stored) = self.store.read(look).await?;
        let Some(found) = found else {
            return self.refuse(call, Flow::Change, None, Refusal::CustomerNotFound(Lookup::Id), ctx).await;
        };
        if let Err(refusal) = change::admit(&found, &command) {
            return self.refuse(call, Flow::Change, Some(id), refusal, ctx).await;
        }
        // The version guards what was verified: the hash cannot change without it, except for an upgrade, which is
        // of the same password.
        let (verified, new_hash) = self.hash.change(current, stored, new, ctx.bytes()).await?;
        let ring = self.ring.clone();
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            let outcome = match call.lock(tx, id)? {
                Some(locked) => change::decide(&locked, &command, verified.matches, new_hash.clone(), ctx),
                None => Err(Refusal::CustomerNotFound(Lookup::Id)),
            };
            match outcome {
                Ok(set) => {
                    customer::set_password(tx, &ring, &call.project, &set, ctx)?;
                    Ok(Ok(set.customer))
                }
                Err(refusal) => {
                    trace(tx, &call, Flow::Change, Some(id), &refusal, ctx)?;
                    Ok(Err(refusal))
                }
            }
        };
        Ok(self.store.write(&ctx, work).await??)
    }

    /// Commits the trace of a refusal that was decided on a first look, then answers it.
    pub(super) async fn refuse<T>(
        &self,
        call: Call,
        flow: Flow,
        customer: Option<CustomerId>,
        refusal: Refusal,
        ctx: Ctx,
    ) -> Answer<T> {
        let traced = refusal.clone();
        self.store.write(&ctx, move |tx, ctx| trace(tx, &call, flow, customer, &traced, ctx)).await?;
        Err(refusal.into())
    }
}
