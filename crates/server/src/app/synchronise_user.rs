//! What the provider says of a user is written here: to its customer, or as a new one (naviga.md 3.6). Nobody is created
//! at the provider by this, and a user who exists there alone can be changed like any other afterwards.

use keyherald_core::activity::{self, Activity, CallResult, Made, Run};
use keyherald_core::create::{self, AddressUse, Command};
use keyherald_core::credential::AuthenticationMode;
use keyherald_core::customer::{Claims, Customer, Profile};
use keyherald_core::provider::ProviderLink;
use keyherald_core::shop::Known;
use keyherald_core::synchronise::{self, Said};
use keyherald_core::{Ctx, Refusal};
use keyherald_store::{Fault, Tx, claim, customer, log, provider_link};

use super::{Answer, App, Call};
use crate::operate::LookedUp;

/// What is kept of it here.
pub(super) fn said(found: &LookedUp) -> Said {
    let LookedUp { email, first_name, last_name, email_verified, .. } = found.clone();
    Said { email, first_name, last_name, verified: email_verified }.keepable()
}

impl App {
    /// Writes what was looked up as this user to its customer here, and answers that; `entry` is the activity of the
    /// look-up. `None`: there is none, and none can
    /// be made of what the provider tells. Written again, it changes nothing.
    pub(super) async fn synchronise_user(
        &self,
        call: &Call,
        (run, entry): (&Run, Activity),
        link: ProviderLink,
        said: Said,
    ) -> Answer<Option<Customer>> {
        let (call, run, app) = (call.clone(), run.clone(), self.clone());
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            log::activity::append(tx, &call.project, &entry)?;
            app.synchronise_locked(tx, (&call, &mut run.clone()), &link, &said, ctx)
        };
        Ok(self.store.write(&self.ctx(), work).await?)
    }

    fn synchronise_locked(
        &self,
        tx: &mut dyn Tx,
        (call, run): (&Call, &mut Run),
        link: &ProviderLink,
        said: &Said,
        ctx: &mut Ctx,
    ) -> Result<Option<Customer>, Fault> {
        let project = &call.project;
        let Some(id) = provider_link::by_user(tx, project, &link.provider, &link.user)? else {
            return self.make_or_link(tx, (call, run), link, said, ctx);
        };
        let Some(locked) = customer::lock(tx, project, id)? else { return Ok(None) };
        let mut said = said.clone();
        let claims = Claims { email: said.email.clone().unwrap_or_else(|| locked.email.clone()), ..locked.claims() };
        if claim::take(tx, project, &claims, Some(id))?.is_some() {
            // Somebody else has the address here: it stays away until that is settled.
            said.email = None;
        }
        let updated = match synchronise::decide(&locked, &said, &call.by, ctx) {
            Ok(updated) => updated,
            Err(refusal) => return written(tx, call, run, &locked, Some(&refusal), ctx).map(Some),
        };
        if !updated.changed {
            return Ok(Some(locked));
        }
        customer::update(tx, &self.ring, project, &updated, ctx)?;
        written(tx, call, run, &updated.customer, None, ctx).map(Some)
    }

    /// For a user who is nobody here: the customer with that address becomes it, or there will be a new one.
    fn make_or_link(
        &self,
        tx: &mut dyn Tx,
        (call, run): (&Call, &mut Run),
        link: &ProviderLink,
        said: &Said,
        ctx: &mut Ctx,
    ) -> Result<Option<Customer>, Fault> {
        let project = &call.project;
        let Some(email) = said.email.clone() else { return Ok(None) };
        let command = new_customer(email, said, call);
        let Ok(claims) = command.claims(&Known::default()) else { return Ok(None) };
        let taken = claim::take(tx, project, &claims, None)?;
        // Another read has been here while this one waited for the address.
        if let Some(id) = provider_link::by_user(tx, project, &link.provider, &link.user)? {
            return customer::by_id(tx, project, id);
        }
        let made = match create::decide(&command, &Known::default(), taken, None, ctx) {
            Ok(created) => {
                customer::create(tx, &self.ring, project, &created, ctx)?;
                created.customer
            }
            Err(refusal) => {
                let Some(customer) = self.to_be_linked(tx, call, link, said)? else {
                    let made = Made::done(activity::Call::UpdateAtHome).ended(CallResult::Refused, refusal.code());
                    log::activity::append(tx, project, &run.called(None, made, ctx))?;
                    return Ok(None);
                };
                customer
            }
        };
        if !provider_link::put(tx, project, made.id, link, ctx.now)? {
            return Ok(None);
        }
        written(tx, call, run, &made, None, ctx).map(Some)
    }

    /// The customer with the user's address, if it may become that user: the address is proved there, so that nobody gets
    /// at an account by signing up at the provider with somebody else's; and it is nobody else there.
    fn to_be_linked(
        &self,
        tx: &mut dyn Tx,
        call: &Call,
        link: &ProviderLink,
        said: &Said,
    ) -> Result<Option<Customer>, Fault> {
        let (Some(email), Some(true)) = (&said.email, said.verified) else { return Ok(None) };
        let Some(locked) = call.lock_by_email(tx, email)? else { return Ok(None) };
        let is_free = provider_link::of_customer(tx, &call.project, locked.id, &link.provider)?.is_none()
            && !self.operations.is_underway(tx, &call.project, locked.id)?;
        Ok(is_free.then_some(locked))
    }
}

/// Of what the provider tells. The password is there alone.
fn new_customer(email: String, said: &Said, call: &Call) -> Command {
    let profile =
        Profile { first_name: said.first_name.clone(), last_name: said.last_name.clone(), ..Profile::default() };
    Command {
        email,
        key: None,
        external_id: None,
        customer_number: None,
        stores: Vec::new(),
        authentication_mode: AuthenticationMode::Password,
        is_email_verified: said.verified.unwrap_or(false),
        profile,
        addresses: AddressUse::default(),
        by: call.by.clone(),
    }
}

/// The activity of a write, in its transaction.
fn written(
    tx: &mut dyn Tx,
    call: &Call,
    run: &mut Run,
    customer: &Customer,
    refusal: Option<&Refusal>,
    ctx: &mut Ctx,
) -> Result<Customer, Fault> {
    let made = Made::done(activity::Call::UpdateAtHome);
    let made = refusal.map_or(made, |refusal| made.ended(CallResult::Refused, refusal.code()));
    log::activity::append(tx, &call.project, &run.called(Some(customer.id), made, ctx))?;
    Ok(customer.clone())
}
