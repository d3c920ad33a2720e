//! What an identity provider has of a customer as well, where somebody changes it here: the address, the names, and that
//! the address is proved. The provider is told first, and a note leads back to whatever is left apart (`core::doubt`):
//! otherwise the next read of the user would undo the change.
//!
//! Where the provider was told and nothing was written here, by another version or an address that was taken meanwhile, it
//! is given back what the customer has. Whoever looks after the note sees whether that has come about.

use keyherald_core::activity::{self, Made, Run};
use keyherald_core::customer::Customer;
use keyherald_core::message::Flow;
use keyherald_core::provider::{ProviderError, ProviderLink};
use keyherald_core::refusal::UniqueField;
use keyherald_core::update::{self, Command};
use keyherald_core::{Ctx, Refusal};
use keyherald_store::{Fault, Tx, claim, customer, doubt, log};

use super::doubts::Noted;
use super::projects::check_locale;
use super::update_customer::{at_its_version, locale};
use super::{Answer, App, Call, CustomerRef, Failure};
use crate::operate::UserChanges;

/// What becomes another one at the provider too. No `Debug`: it is personal.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Shared {
    email: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    verified: Option<bool>,
}

impl Shared {
    /// That the address is proved.
    pub const PROVED: Self = Self { email: None, first_name: None, last_name: None, verified: Some(true) };

    /// What makes one customer the other. A name that goes is not told: few providers can forget one.
    fn between(before: &Customer, after: &Customer) -> Self {
        let other = |was: Option<&String>, is: Option<&String>| is.filter(|_| was != is).cloned();
        let (was, is) = (&before.profile, &after.profile);
        Self {
            email: other(Some(&before.email), Some(&after.email)),
            first_name: other(was.first_name.as_ref(), is.first_name.as_ref()),
            last_name: other(was.last_name.as_ref(), is.last_name.as_ref()),
            verified: None,
        }
    }

    /// As the provider is told.
    pub fn as_changes(&self) -> UserChanges<'_> {
        let Self { email, first_name, last_name, verified } = self;
        let (email, verified) = (email.as_deref(), *verified);
        UserChanges { email, first_name: first_name.as_deref(), last_name: last_name.as_deref(), verified }
    }

    /// The same fields, as the customer has them.
    fn of(&self, customer: &Customer) -> Self {
        let Customer { email, profile, is_email_verified, .. } = customer;
        let concerns_address = self.email.is_some() || self.verified.is_some();
        Self {
            email: self.email.as_ref().map(|_| email.clone()),
            first_name: self.first_name.as_ref().and(profile.first_name.clone()),
            last_name: self.last_name.as_ref().and(profile.last_name.clone()),
            // A new address counts as not proved there.
            verified: concerns_address.then_some(*is_email_verified),
        }
    }
}

/// What the provider was told, and is to be written here.
#[derive(Clone)]
pub(super) struct There {
    pub customer: Customer,
    pub link: ProviderLink,
    pub shared: Shared,
    pub noted: Noted,
    pub run: Run,
}

impl App {
    /// Tells the customer's provider what an update makes another one. `None`: nothing of it is there too, or the update
    /// will be refused here. A provider that cannot be told refuses the whole update.
    pub(super) async fn update_shared(
        &self,
        call: &Call,
        which: &CustomerRef,
        (command, is_set_there): (&Command, bool),
    ) -> Answer<Option<There>> {
        if !self.operations.has_provider(&call.project) {
            return Ok(None);
        }
        let (app, looking, named, wanted, now) =
            (self.clone(), call.clone(), which.clone(), command.clone(), self.ctx());
        let look = move |tx: &mut dyn Tx| app.look_at_shared(tx, &looking, &named, (&wanted, is_set_there), &now);
        match self.store.read(look).await? {
            Some((customer, link, shared)) => self.tell(call, Flow::Update, (customer, link), shared).await.map(Some),
            None => Ok(None),
        }
    }

    /// What of an update the provider is to be told. `None`: nothing, or it will be refused here.
    pub(super) fn look_at_shared(
        &self,
        tx: &mut dyn Tx,
        call: &Call,
        which: &CustomerRef,
        (command, is_set_there): (&Command, bool),
        ctx: &Ctx,
    ) -> Result<Option<(Customer, ProviderLink, Shared)>, Fault> {
        let Some(found) = which.find(tx, call)? else { return Ok(None) };
        let Some(link) = self.operations.link_of(tx, &call.project, found.id)? else { return Ok(None) };
        let known = call.known(tx, &command.stores())?;
        let command = at_its_version(command, is_set_there, &found);
        let Ok(after) = update::outcome(&found, &command, &known, ctx) else { return Ok(None) };
        let shared = Shared::between(&found, &after);
        let is_refused = claim::taken(tx, &call.project, &after.claims(), Some(found.id))?.is_some()
            || check_locale(tx, &call.project, locale(&command))?.is_err();
        Ok((shared != Shared::default() && !is_refused).then_some((found, link, shared)))
    }

    /// Whether a provider's records can be changed.
    pub(super) fn can_tell(&self, link: &ProviderLink) -> bool {
        self.operations.capabilities_of(&link.provider).is_some_and(|can| can.records.update)
    }

    /// Tells the provider.
    pub(super) async fn tell(
        &self,
        call: &Call,
        flow: Flow,
        (customer, link): (Customer, ProviderLink),
        shared: Shared,
    ) -> Answer<There> {
        if !self.can_tell(&link) {
            let refusal = Refusal::ProviderRefused(ProviderError::NotSupported);
            return self.refuse(call.clone(), flow, Some(customer.id), refusal, self.ctx()).await;
        }
        let mut run = call.run(flow);
        match self.update_there(call, &mut run, &customer, &link, shared.as_changes()).await {
            Ok(noted) => Ok(There { customer, link, shared, noted, run }),
            Err(Failure::Refused(refusal)) => {
                let refusal = match refusal {
                    Refusal::ProviderRefused(ProviderError::Conflict) if shared.email.is_some() => {
                        Refusal::Duplicate(UniqueField::Email)
                    }
                    other => other,
                };
                self.refuse(call.clone(), flow, Some(customer.id), refusal, self.ctx()).await
            }
            Err(fault) => Err(fault),
        }
    }

    /// Part of the transaction that writes the same here: the end of the note, and the entry of the call.
    pub(super) fn told(&self, tx: &mut dyn Tx, call: &Call, there: &There, ctx: &mut Ctx) -> Result<(), Fault> {
        let There { customer, link, shared, noted, run } = there;
        // Whoever became another user meanwhile is looked at.
        if self.operations.link_of(tx, &call.project, customer.id)?.as_ref() == Some(link) {
            doubt::remove(tx, &call.project, noted.id)?;
        }
        let made = match shared.email {
            Some(_) => activity::Call::SetEmailAtHome,
            None => activity::Call::UpdateAtHome,
        };
        log::activity::append(tx, &call.project, &run.clone().called(Some(customer.id), Made::done(made), ctx))
    }

    /// Nothing was written here: gives the provider what the customer has, unless somebody may have looked already.
    pub(super) async fn give_back(&self, call: &Call, there: &There) -> Answer<()> {
        let There { customer: Customer { id, .. }, link, shared, noted, .. } = there;
        let (project, id) = (call.project.clone(), *id);
        let Some(customer) = self.store.read(move |tx| customer::by_id(tx, &project, id)).await? else { return Ok(()) };
        if !noted.is_in_time() {
            return Ok(());
        }
        if let Err(error) = self.operations.update_user(link, shared.of(&customer).as_changes()).await {
            let (code, provider) = (error.code(), &link.provider);
            tracing::warn!(
                customer = %id, code,
                "what was not changed of customer {id} is another at provider {provider}, and was not given back: {code}"
            );
        }
        Ok(())
    }
}
