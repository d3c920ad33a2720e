//! What the provider says of a user is written here: to its customer, or as a new one (naviga.md 3.6). Nobody is created
//! at the provider by this, and a user who exists there alone can be changed like any other afterwards.

use keyherald_core::activity::{self, Activity, CallResult, Made, Run};
use keyherald_core::create::{self, AddressUse, Command};
use keyherald_core::credential::AuthenticationMode;
use keyherald_core::customer::{Claims, Customer, Profile, Version};
use keyherald_core::provider::ProviderLink;
use keyherald_core::shop::Known;
use keyherald_core::synchronise::{self, Said};
use keyherald_core::{Ctx, Refusal, set};
use keyherald_store::{Fault, Tx, claim, customer, log, provider_link};

use super::{Answer, App, Call};
use crate::operate::LookedUp;

/// What a look at the provider told of a user.
pub(super) struct Told {
    /// Who it is there.
    pub link: ProviderLink,
    /// What of it is kept here.
    pub said: Said,
    /// The version of its customer here, read before the provider was asked. What it told may be older than another
    /// version: then nothing is written. `None`: nobody was known.
    pub before: Option<Version>,
}

/// What is kept of it here.
pub(super) fn said(found: &LookedUp) -> Said {
    let LookedUp { email, first_name, last_name, email_verified, .. } = found.clone();
    Said { email, first_name, last_name, verified: email_verified }.keepable()
}

impl App {
    /// Writes what was looked up as this user to its customer here, and answers that; `entry` is the activity of
    /// the call that told it. `None`: there is none, and none can be made of what the provider tells. Written again, it
    /// changes nothing.
    pub(super) async fn synchronise_user(
        &self,
        call: &Call,
        (run, entry): (&Run, Option<Activity>),
        told: Told,
    ) -> Answer<Option<Customer>> {
        let (call, run, app) = (call.clone(), run.clone(), self.clone());
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            if let Some(entry) = &entry {
                log::activity::append(tx, &call.project, entry)?;
            }
            app.synchronise_locked(tx, (&call, &mut run.clone()), &told, ctx)
        };
        Ok(self.store.write(&self.ctx(), work).await?)
    }

    /// The same as a part of a transaction.
    pub(super) fn synchronise_locked(
        &self,
        tx: &mut dyn Tx,
        (call, run): (&Call, &mut Run),
        told: &Told,
        ctx: &mut Ctx,
    ) -> Result<Option<Customer>, Fault> {
        let (project, Told { link, said, before }) = (&call.project, told);
        let known = match provider_link::by_user(tx, project, &link.provider, &link.user)? {
            Some(id) => Here::of(customer::lock(tx, project, id)?),
            None => self.make_or_link(tx, (call, run), link, said, ctx)?,
        };
        let locked = match known {
            Here::Nobody => return Ok(None),
            Here::Made(made) => {
                let entry = (activity::Call::UpdateAtHome, None);
                return written(tx, (call, run), &made, entry, ctx).map(Some);
            }
            Here::Known(locked) => locked,
        };
        if before.is_some_and(|before| before != locked.version) {
            return Ok(Some(locked));
        }
        let updated = self.synchronise_known(tx, (call, run), locked, (said, activity::Call::UpdateAtHome), ctx)?;
        Ok(Some(updated.customer))
    }

    /// Writes what is said of a customer, which the transaction has locked, and that this was done by such a call.
    pub(super) fn synchronise_known(
        &self,
        tx: &mut dyn Tx,
        (call, run): (&Call, &mut Run),
        locked: Customer,
        (said, made): (&Said, activity::Call),
        ctx: &mut Ctx,
    ) -> Result<Synchronised, Fault> {
        let project = &call.project;
        let mut said = said.clone();
        let claims = Claims { email: said.email.clone().unwrap_or_else(|| locked.email.clone()), ..locked.claims() };
        let address_is_taken = claim::take(tx, project, &claims, Some(locked.id))?.is_some();
        if address_is_taken {
            // Somebody else has the address here: it stays away until that is settled.
            said = said.without_email();
        }
        let customer = match synchronise::decide(&locked, &said, &call.by, ctx) {
            Ok(updated) if !updated.changed => locked,
            Ok(updated) => {
                customer::update(tx, &self.ring, project, &updated, ctx)?;
                written(tx, (call, run), &updated.customer, (made, None), ctx)?
            }
            Err(refusal) => written(tx, (call, run), &locked, (made, Some(&refusal)), ctx)?,
        };
        Ok(Synchronised { customer, address_is_taken })
    }

    /// For a user who is nobody here: the customer with that address becomes it, or there will be a new one.
    fn make_or_link(
        &self,
        tx: &mut dyn Tx,
        (call, run): (&Call, &mut Run),
        link: &ProviderLink,
        said: &Said,
        ctx: &mut Ctx,
    ) -> Result<Here, Fault> {
        let project = &call.project;
        let Some(email) = said.email.clone() else { return Ok(Here::Nobody) };
        let command = new_customer(email, said, call);
        let Ok(claims) = command.claims(&Known::default()) else { return Ok(Here::Nobody) };
        let taken = claim::take(tx, project, &claims, None)?;
        // Another read has been here while this one waited for the address.
        if let Some(id) = provider_link::by_user(tx, project, &link.provider, &link.user)? {
            return Ok(Here::of(customer::lock(tx, project, id)?));
        }
        let here = match create::decide(&command, &Known::default(), taken, None, ctx) {
            Ok(mut created) => {
                customer::create(tx, &self.ring, project, &mut created, ctx)?;
                Here::Made(created.customer)
            }
            Err(refusal) => {
                let Some(locked) = self.to_be_linked(tx, call, link, said)? else {
                    let made = Made::done(activity::Call::UpdateAtHome).ended(CallResult::Refused, refusal.code());
                    log::activity::append(tx, project, &run.called(None, made, ctx))?;
                    return Ok(Here::Nobody);
                };
                Here::Known(self.without_strangers_password(tx, (call, run), locked, ctx)?)
            }
        };
        let id = match &here {
            Here::Made(customer) | Here::Known(customer) => customer.id,
            Here::Nobody => return Ok(here),
        };
        Ok(if provider_link::put(tx, project, id, link, ctx.now)? { here } else { Here::Nobody })
    }

    /// The customer without a password that was set before its address was proved by anybody: the one who has proved it
    /// is the user, and nobody else knows the way in.
    fn without_strangers_password(
        &self,
        tx: &mut dyn Tx,
        (call, run): (&Call, &mut Run),
        locked: Customer,
        ctx: &mut Ctx,
    ) -> Result<Customer, Fault> {
        if locked.is_email_verified {
            return Ok(locked);
        }
        let Some(set) = set::take_away(&locked, &call.by, ctx) else { return Ok(locked) };
        customer::set_password(tx, &self.ring, &call.project, &set, ctx)?;
        let made = Made::done(activity::Call::SetAtHome);
        log::activity::append(tx, &call.project, &run.called(Some(locked.id), made, ctx))?;
        Ok(set.customer)
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

/// A customer after what was said of it is written.
pub(super) struct Synchronised {
    pub customer: Customer,
    /// The address that was said is another customer's here, and was left out.
    pub address_is_taken: bool,
}

/// Who a user of the provider is here.
enum Here {
    Nobody,
    /// A new customer.
    Made(Customer),
    /// One who was here, locked.
    Known(Customer),
}

impl Here {
    fn of(found: Option<Customer>) -> Self {
        found.map_or(Self::Nobody, Self::Known)
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
        mobile: None,
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
    (call, run): (&Call, &mut Run),
    customer: &Customer,
    (made, refusal): (activity::Call, Option<&Refusal>),
    ctx: &mut Ctx,
) -> Result<Customer, Fault> {
    let made = Made::done(made);
    let made = refusal.map_or(made, |refusal| made.ended(CallResult::Refused, refusal.code()));
    log::activity::append(tx, &call.project, &run.called(Some(customer.id), made, ctx))?;
    Ok(customer.clone())
}
