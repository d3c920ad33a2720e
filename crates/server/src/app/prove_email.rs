//! Prove an address by a code that is mailed to it (naviga.md 3.13, 3.14): of somebody who is to be registered, or of a
//! customer whose address is not proved yet.
//!
//! A code is short, so it is worth guessing: each attempt is counted by a write that is committed before the comparison.

use std::sync::Arc;

use keyherald_core::activity::{self, CallResult, Made, Run};
use keyherald_core::customer::{Customer, fold_email};
use keyherald_core::id::CustomerId;
use keyherald_core::mail::{Link, Recipient};
use keyherald_core::message::Flow;
use keyherald_core::provider::{ProviderLink, ProviderName};
use keyherald_core::registration::{self as drafts, Code, Draft};
use keyherald_core::seal::KeyRing;
use keyherald_core::synchronise::{self, Said};
use keyherald_core::{Ctx, Refusal};
use keyherald_store::registration::{self, Attempt};
use keyherald_store::{Fault, Tx, customer, doubt, log, provider_link, user_record};

use super::register_user::{Registered, Registering};
use super::update_there::{Shared, There};
use super::{Answer, App, Call, FoundUser};

/// What became of a code.
pub enum Proved {
    /// The address is proved, and there is a user.
    Done(Box<FoundUser>),
    /// Nobody is registered with it, or to be.
    Unknown,
    /// The code is wrong, too old, or was tried too often.
    Wrong,
    /// There is nothing to prove.
    Already,
}

/// What became of the wish for a code.
pub enum Sent {
    /// It will be mailed.
    Done,
    /// Nobody is registered with the address, or to be.
    Unknown,
    /// There is nothing to prove.
    Already,
    /// There have been too many.
    TooMany,
}

/// What is known of an address.
struct Known {
    customer: Option<Customer>,
    link: Option<ProviderLink>,
    pending: Option<registration::Registration>,
    attempt: Option<Attempt>,
}

impl App {
    /// Mails a new code to this address, with a link to `page` that carries it; the one before is worth nothing any more.
    pub async fn send_code(&self, call: Call, email: String, page: Option<Link>) -> Answer<Sent> {
        let ring = self.ring.clone();
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            let project = &call.project;
            let mut run = call.run(Flow::CreateEmailToken);
            let locked = call.lock_by_email(tx, &email)?;
            let pending = registration::by_email(tx, &ring, project, &email, ctx.now)?;
            let pending = pending.filter(|pending| pending.awaits_code);
            let (lane, to) = match (&locked, pending) {
                (Some(customer), _) if customer.is_email_verified => {
                    found(tx, &call, &mut run, Some(customer.id), Some("email_verified"), ctx)?;
                    return Ok(Sent::Already);
                }
                (Some(customer), pending) => {
                    if pending.is_none_or(|pending| pending.id != customer.id) {
                        registration::put_proof(tx, project, (customer.id, &email), ctx)?;
                    }
                    (customer.id, Recipient::of(customer))
                }
                (None, Some(pending)) => {
                    (pending.id, pending.draft.as_ref().map_or_else(|| to_address(&email), recipient))
                }
                (None, None) => {
                    found(tx, &call, &mut run, None, Some(UNKNOWN), ctx)?;
                    return Ok(Sent::Unknown);
                }
            };
            let customer = locked.map(|customer| customer.id);
            found(tx, &call, &mut run, customer, None, ctx)?;
            let is_sent = send_code(tx, &ring, &call, lane, (to, page.clone()), ctx)?;
            let made = Made::done(activity::Call::CreatePendingAtHome);
            let made = if is_sent { made } else { made.ended(CallResult::Refused, "too_many_codes") };
            log::activity::append(tx, project, &run.called(customer, made, ctx))?;
            Ok(if is_sent { Sent::Done } else { Sent::TooMany })
        };
        Ok(self.store.write(&self.ctx(), work).await?)
    }

    /// Redeems a code. A right one may be redeemed again until what it stands for is done.
    pub async fn prove_email(&self, call: Call, email: String, code: String, how: Registering) -> Answer<Proved> {
        let mut run = call.run(Flow::ConfirmEmail);
        let known = self.count_attempt(&call, &mut run, &email, how.provider.clone()).await?;
        // Begun with the same code and not ended: a look at the provider may have made the customer meanwhile.
        let goes_on = known.pending.as_ref().is_some_and(|pending| pending.begun && pending.draft.is_some());
        if !goes_on && known.customer.as_ref().is_some_and(|customer| customer.is_email_verified) {
            return Ok(Proved::Already);
        }
        let Some(attempt) = known.attempt else {
            let is_known = known.customer.is_some() || known.pending.is_some_and(|pending| pending.awaits_code);
            return Ok(if is_known { Proved::Wrong } else { Proved::Unknown });
        };
        if !attempt.is_right(&self.ring, &code)? {
            return Ok(Proved::Wrong);
        }
        match (known.customer.filter(|_| !goes_on), known.pending.and_then(|pending| pending.draft)) {
            (Some(customer), _) => self.mark_proved(call, &mut run, customer, known.link).await,
            (None, Some(draft)) => Ok(match self.complete_registration(&call, &mut run, draft, how).await? {
                Registered::Done(found) => Proved::Done(found),
                // Somebody has registered meanwhile.
                Registered::Taken | Registered::Unverified | Registered::Pending => Proved::Already,
            }),
            (None, None) => Ok(Proved::Unknown),
        }
    }

    async fn count_attempt(
        &self,
        call: &Call,
        run: &mut Run,
        email: &str,
        provider: Option<ProviderName>,
    ) -> Answer<Known> {
        let (ring, calling, email, running) = (self.ring.clone(), call.clone(), email.to_owned(), run.clone());
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            let project = &calling.project;
            let attempt = registration::count_attempt(tx, project, &email, ctx.now)?;
            let pending = registration::by_email(tx, &ring, project, &email, ctx.now)?;
            let customer = calling.by_email(tx, &email)?;
            let link = match (&customer, &provider) {
                (Some(customer), Some(provider)) => provider_link::of_customer(tx, project, customer.id, provider)?,
                _ => None,
            };
            let id = customer.as_ref().map(|customer| customer.id);
            let refused = (customer.is_none() && pending.is_none()).then_some(UNKNOWN);
            let mut run = running.clone();
            found(tx, &calling, &mut run, id, refused, ctx)?;
            Ok((Known { customer, link, pending, attempt }, run))
        };
        let (known, after) = self.store.write(&self.ctx(), work).await?;
        *run = after;
        Ok(known)
    }

    /// The address of a customer is proved: there first, and then here. Both may be repeated.
    async fn mark_proved(
        &self,
        call: Call,
        run: &mut Run,
        customer: Customer,
        link: Option<ProviderLink>,
    ) -> Answer<Proved> {
        let there = match &link {
            Some(link) => {
                let shared = Shared::PROVED;
                let noted = self.update_there(&call, run, &customer, link, shared.as_changes()).await?;
                Some(There { customer: customer.clone(), link: link.clone(), shared, noted, run: run.clone() })
            }
            None => None,
        };
        let (noted, calling) = (there.as_ref().map(|there| there.noted), call.clone());
        let (ring, run, user) = (self.ring.clone(), run.clone(), link.map(|link| link.user));
        let Customer { id, email, version, .. } = customer;
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            let (project, call) = (&calling.project, &calling);
            let Some(locked) = call.lock(tx, id)? else { return Ok(Ok(Proved::Unknown)) };
            // Another address since: of that one nothing is proved.
            if fold_email(&locked.email) != fold_email(&email) {
                return Ok(Ok(Proved::Unknown));
            }
            let said = Said { verified: Some(true), ..Said::default() };
            let updated = match synchronise::decide(&locked, &said, &call.by, ctx) {
                Ok(updated) => updated,
                Err(refusal) => return Ok(Err(refusal)),
            };
            customer::update(tx, &ring, project, &updated, ctx)?;
            if let Some(noted) = noted.filter(|_| locked.version == version) {
                doubt::remove(tx, project, noted.id)?;
            }
            registration::remove(tx, project, &locked.email)?;
            let made = Made::done(activity::Call::UpdateAtHome);
            log::activity::append(tx, project, &run.clone().called(Some(id), made, ctx))?;
            let record = user_record::of_customer(tx, project, id)?;
            let user = user.clone();
            let found = FoundUser { customer: Some(updated.customer), record, user, there: None };
            Ok::<Result<Proved, Refusal>, Fault>(Ok(Proved::Done(Box::new(found))))
        };
        let proved = self.store.write(&self.ctx(), work).await??;
        // What was said of the old address there must not be said of the new one.
        if let (Proved::Unknown, Some(there)) = (&proved, &there) {
            self.give_back(&call, there).await?;
        }
        Ok(proved)
    }
}

/// The outcome of an activity entry about an address that nobody has.
const UNKNOWN: &str = "customer_not_found";

fn found(
    tx: &mut dyn Tx,
    call: &Call,
    run: &mut Run,
    customer: Option<CustomerId>,
    refused: Option<&str>,
    ctx: &mut Ctx,
) -> Result<(), Fault> {
    let made = Made::done(activity::Call::FindAtHome);
    let made = refused.map_or(made, |code| made.ended(CallResult::Refused, code));
    log::activity::append(tx, &call.project, &run.called(customer, made, ctx))
}

/// Makes a code and the message by which it is mailed. False: there have been too many.
pub(super) fn send_code(
    tx: &mut dyn Tx,
    ring: &Arc<KeyRing>,
    call: &Call,
    lane: CustomerId,
    (to, page): (Recipient, Option<Link>),
    ctx: &mut Ctx,
) -> Result<bool, Fault> {
    let code = Code::make(ctx);
    if !registration::put_code(tx, ring, &call.project, (lane, &to.email), &code, ctx.now)? {
        return Ok(false);
    }
    let message = drafts::code_message(lane, (to, page), code, &call.by, ctx);
    log::append(tx, ring, &call.project, &message, ctx)?;
    Ok(true)
}

/// Whom the mail about a draft goes to.
pub(super) fn recipient(draft: &Draft) -> Recipient {
    Recipient { name: draft.first_name.clone(), ..to_address(&draft.email) }
}

fn to_address(email: &str) -> Recipient {
    Recipient { email: email.to_owned(), ..Recipient::default() }
}
