//! Looks after records in doubt (`core::doubt`): what a process that died, or an answer that was lost, may have left
//! different at a provider and here.
//!
//! A note is claimed by one node, which puts it off to the next look with the same write; so whoever dies in any place here
//! leaves it to that look. What the look sees is written as a read writes it, and the note goes with that write. Its end
//! comes as well with the customer, or with the user there. As long as the provider cannot be asked it is put off, ever
//! longer, and an operator is told.

use futures_util::future::join_all;
use keyherald_core::Ctx;
use keyherald_core::activity::{self, Activity, Made, Run};
use keyherald_core::customer::{Customer, Version};
use keyherald_core::doubt::{About, Doubt};
use keyherald_core::operation::look_up_ended;
use keyherald_core::provider::{ProviderError, ProviderLink};
use keyherald_store::{Fault, Tx, customer, doubt, log, provider_link};
use tokio::time::Instant;

use super::replace_password::micros;
use super::synchronise_user::{Told, said};
use super::{Answer, App, Call};
use crate::operate::{By, LookedUp};

/// Notes that are looked after at the same time.
const BATCH: i64 = 16;

/// What the provider is asked about, as it stands here.
enum Known {
    /// A customer, who is this user there.
    Customer(Version, ProviderLink),
    /// Whoever has this address there.
    Address(String),
    /// The customer is gone, or is nobody there any more.
    Nobody,
}

/// What came of the transaction.
enum Settled {
    Done,
    /// The address is to be given back at the provider: here it is another customer's.
    GiveBack(Box<Customer>, ProviderLink),
}

impl App {
    /// Looks after the notes that are due: one batch. Answers whether there may be more.
    pub async fn settle_doubts(&self) -> Answer<bool> {
        let ctx = self.ctx();
        // A look costs a read: an idle server writes nothing.
        if self.store.read(|tx| doubt::next_due(tx)).await?.is_none_or(|due| due > ctx.now) {
            return Ok(false);
        }
        let limits = self.operations.limits();
        let claimed = self.store.write(&ctx, move |tx, ctx| doubt::claim(tx, ctx.now, limits, BATCH)).await?;
        let is_full = i64::try_from(claimed.len()).is_ok_and(|count| count == BATCH);
        join_all(claimed.into_iter().map(|doubt| self.look_after(doubt))).await;
        Ok(is_full)
    }

    async fn look_after(&self, doubt: Doubt) {
        let (id, project, provider, looks) = (doubt.id, &doubt.project, &doubt.provider, doubt.looks);
        match self.settle(&doubt).await {
            Ok(None) => {}
            Ok(Some(error)) => {
                let code = error.code();
                tracing::warn!(doubt = %id, %project, %provider, looks, code, "a record in doubt is not settled: {code}");
            }
            Err(failure) => {
                tracing::warn!(doubt = %id, %project, ?failure, "a record in doubt could not be looked after");
            }
        }
    }

    /// Looks, and writes what is seen. `Some`: why it is still in doubt, or will be for ever.
    async fn settle(&self, doubt: &Doubt) -> Answer<Option<ProviderError>> {
        let (call, mut run) = (call_of(doubt), doubt.run.clone());
        let asking = doubt.clone();
        let known = self.store.read(move |tx| known(tx, &asking)).await?;
        let (by, made) = match &known {
            Known::Customer(_, link) => (By::Id(&link.user), activity::Call::LookUpAtProvider),
            Known::Address(email) => (By::Email(email), activity::Call::FindAtProvider),
            Known::Nobody => {
                self.end_doubt(doubt, None).await?;
                return Ok(None);
            }
        };
        let began = Instant::now();
        let looked = self.operations.look_up_user(&doubt.provider, by).await;
        let made = Made::done(made).took(micros(began)).at(&doubt.provider);
        let customer = match &doubt.about {
            About::Customer(id) => Some(*id),
            About::Address(_) => None,
        };
        let error = match looked {
            Ok(found) => {
                let entry = run.called(customer, made, &mut self.ctx());
                return self.write_settled(doubt, (&call, run, entry), known, &found).await;
            }
            Err(error) => error,
        };
        let (result, code) = look_up_ended(&error);
        let entry = run.called(customer, made.ended(result, code), &mut self.ctx());
        let is_over = doubt.is_over(self.ctx().now);
        if error == ProviderError::UserNotFound {
            self.end_doubt(doubt, Some(entry)).await?;
            return Ok(None);
        }
        if is_over || error == ProviderError::NotSupported {
            alert(doubt, "nobody will look again");
            self.end_doubt(doubt, Some(entry)).await?;
            return Ok(Some(error));
        }
        self.record(&call, entry);
        if doubt.is_to_be_told() {
            alert(doubt, "nobody could look so far");
        }
        Ok(Some(error))
    }

    /// Writes here what was seen there.
    async fn write_settled(
        &self,
        doubt: &Doubt,
        (call, run, entry): (&Call, Run, Activity),
        known: Known,
        found: &LookedUp,
    ) -> Answer<Option<ProviderError>> {
        let (began, app, doubt_here, call, told) =
            (Instant::now(), self.clone(), doubt.clone(), call.clone(), said(found));
        let link = ProviderLink { provider: doubt.provider.clone(), user: found.user.clone() };
        let before = match known {
            Known::Customer(version, _) => Some(version),
            Known::Address(_) | Known::Nobody => None,
        };
        // Who signed up there meanwhile has proved nothing, and was not created by us.
        let is_strangers = before.is_none() && found.email_verified == Some(false);
        let told = Told { link, said: told, before };
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            let (doubt, mut run) = (&doubt_here, run.clone());
            let locked = match &doubt.about {
                About::Customer(id) => customer::lock(tx, &doubt.project, *id)?,
                About::Address(_) => None,
            };
            if !doubt::holds(tx, doubt)? {
                return Ok(Settled::Done);
            }
            log::activity::append(tx, &doubt.project, &entry)?;
            match (&doubt.about, locked) {
                (About::Address(_), _) if is_strangers => {}
                (About::Address(_), _) => {
                    app.synchronise_locked(tx, (&call, &mut run), &told, ctx)?;
                }
                (About::Customer(_), None) => {}
                (About::Customer(_), Some(locked)) => {
                    return app.settle_customer(tx, (&call, run), (doubt, &told), locked, ctx);
                }
            }
            doubt::remove(tx, &doubt.project, doubt.id)?;
            Ok(Settled::Done)
        };
        let Settled::GiveBack(customer, link) = self.store.write(&self.ctx(), work).await? else { return Ok(None) };
        if doubt.is_to_be_told() {
            alert(doubt, "its e-mail address there is another customer's here");
        }
        // The note was put off until this has had its effect, and the next look sees it.
        if !self.noted(doubt, began).is_in_time() {
            return Ok(None);
        }
        Ok(self.set_back(&link, &customer).await.err())
    }

    /// The same of a customer, who is locked, and whose note is held.
    fn settle_customer(
        &self,
        tx: &mut dyn Tx,
        (call, mut run): (&Call, Run),
        (doubt, told): (&Doubt, &Told),
        locked: Customer,
        ctx: &mut Ctx,
    ) -> Result<Settled, Fault> {
        let link = provider_link::of_customer(tx, &doubt.project, locked.id, &doubt.provider)?;
        if link.as_ref().is_some_and(|link| *link == told.link) {
            // Somebody wrote here since the provider was asked: what it said may be older.
            if told.before != Some(locked.version) {
                doubt::put_off(tx, doubt, ctx.now)?;
                return Ok(Settled::Done);
            }
            let made = match doubt.call {
                activity::Call::SetEmailAtProvider => activity::Call::SetEmailAtHome,
                _ => activity::Call::UpdateAtHome,
            };
            let synchronised = self.synchronise_known(tx, (call, &mut run), locked, (&told.said, made), ctx)?;
            if synchronised.address_is_taken && doubt.call == activity::Call::SetEmailAtProvider {
                doubt::put_off(tx, doubt, Doubt::next_due(doubt.looks, ctx.now, self.operations.limits()))?;
                return Ok(Settled::GiveBack(Box::new(synchronised.customer), told.link.clone()));
            }
        }
        doubt::remove(tx, &doubt.project, doubt.id)?;
        Ok(Settled::Done)
    }

    /// Ends a note: there is nobody to look after.
    async fn end_doubt(&self, doubt: &Doubt, entry: Option<Activity>) -> Answer<()> {
        let doubt = doubt.clone();
        let work = move |tx: &mut dyn Tx, _: &mut Ctx| {
            doubt::remove(tx, &doubt.project, doubt.id)?;
            entry.iter().try_for_each(|entry| log::activity::append(tx, &doubt.project, entry))
        };
        Ok(self.store.write(&self.ctx(), work).await?)
    }
}

/// On whose behalf.
fn call_of(doubt: &Doubt) -> Call {
    Call { by: doubt.run.by().clone(), source: doubt.run.source().clone(), ..Call::on(doubt.project.clone()) }
}

fn known(tx: &mut dyn Tx, doubt: &Doubt) -> Result<Known, Fault> {
    let id = match &doubt.about {
        About::Customer(id) => *id,
        About::Address(email) => return Ok(Known::Address(email.clone())),
    };
    let customer = customer::by_id(tx, &doubt.project, id)?;
    let link = provider_link::of_customer(tx, &doubt.project, id, &doubt.provider)?;
    Ok(customer.zip(link).map_or(Known::Nobody, |(customer, link)| Known::Customer(customer.version, link)))
}

fn alert(doubt: &Doubt, why: &str) {
    let (id, project, provider) = (doubt.id, &doubt.project, &doubt.provider);
    match &doubt.about {
        About::Customer(customer) => tracing::error!(
            doubt = %id, %project, %customer, %provider, alert = "record_in_doubt",
            "the record of customer {customer} may be another one at provider {provider}: {why}"
        ),
        About::Address(_) => tracing::error!(
            doubt = %id, %project, %provider, alert = "record_in_doubt",
            "a user may have been created at provider {provider} who is nobody here: {why}"
        ),
    }
}
