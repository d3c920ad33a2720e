//! Change a password by proving the current one.

use keyherald_core::activity::{self, Made};
use keyherald_core::change::{self, Command};
use keyherald_core::credential::PasswordHash;
use keyherald_core::customer::Customer;
use keyherald_core::id::CustomerId;
use keyherald_core::message::Flow;
use keyherald_core::operation::Kind;
use keyherald_core::provider::ProviderLink;
use keyherald_core::refusal::Lookup;
use keyherald_core::secret::Password;
use keyherald_core::{Ctx, Refusal};
use keyherald_store::{Fault, Tx, credential, customer};

use super::in_turn::Turn;
use super::set_password::{Setting, check_mode};
use super::{Answer, App, Call, CustomerRef, note, trace};
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
        let (looking, app, now) = (call.clone(), self.clone(), ctx.now);
        let look = move |tx: &mut dyn Tx| {
            let operations = &app.operations;
            let replay = app.replay(tx, &looking, now)?;
            let found = CustomerRef::Id(id).find(tx, &looking)?;
            let stored = credential::by_customer(tx, &looking.project, id)?;
            let link = operations.link_of(tx, &looking.project, id)?;
            // Of a password that nobody knows, the one here says nothing.
            let stored = if operations.must_recover(tx, &looking.project, id)? { None } else { stored };
            Ok::<_, Fault>((replay, found, stored, link))
        };
        let (replay, found, stored, link) = self.store.read(look).await?;
        if let Some(before) = self.answer_before(&call, Flow::Change, replay, Some(id)).await {
            return before;
        }
        let Some(found) = found else {
            return self.refuse(call, Flow::Change, None, Refusal::CustomerNotFound(Lookup::Id), ctx).await;
        };
        if let Err(refusal) = change::admit(&found, &command) {
            return self.refuse(call, Flow::Change, Some(id), refusal, ctx).await;
        }
        if let Some(link) = link {
            return self.change_with_provider(call, id, command, link, (current, stored, new)).await;
        }
        // The version guards what was verified: the hash cannot change without it, except for an upgrade, which is
        // of the same password.
        let (verified, new_hash) = self.hash.change(current, stored, new, ctx.bytes()).await?;
        let (app, calling) = (self.clone(), call.clone());
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            app.change_locked(tx, (&calling, id), &command, (verified.matches, new_hash.clone()), ctx)
        };
        self.in_turn(call, Flow::Change, ctx, work).await
    }

    fn change_locked(
        &self,
        tx: &mut dyn Tx,
        (call, id): (&Call, CustomerId),
        command: &Command,
        (matches, new_hash): (bool, Option<PasswordHash>),
        ctx: &mut Ctx,
    ) -> Result<Turn<Customer>, Fault> {
        let outcome = match call.lock(tx, id)? {
            // Linked just now: another try will find it.
            Some(_) if self.operations.link_of(tx, &call.project, id)?.is_some() => return Ok(Turn::Underway(id)),
            Some(locked) => match self.done_before(tx, call, ctx.now)? {
                Some(Ok(())) => return Ok(Turn::Decided(Ok(locked))),
                Some(Err(refusal)) => Err(refusal),
                None => change::decide(&locked, command, matches, new_hash, ctx),
            },
            None => Err(Refusal::CustomerNotFound(Lookup::Id)),
        };
        match outcome {
            Ok(set) => {
                customer::set_password(tx, &self.ring, &call.project, &set, ctx)?;
                self.remember(tx, call, ctx.now)?;
                note(tx, call, Flow::Change, Some(id), Made::done(activity::Call::SetAtHome), ctx)?;
                Ok(Turn::Decided(Ok(set.customer)))
            }
            Err(refusal) => {
                trace(tx, call, Flow::Change, Some(id), &refusal, ctx)?;
                Ok(Turn::Decided(Err(refusal)))
            }
        }
    }

    /// The same for a customer whose password is a provider's as well.
    async fn change_with_provider(
        &self,
        call: Call,
        id: CustomerId,
        command: Command,
        link: ProviderLink,
        (current, stored, new): (Password, Option<PasswordHash>, Password),
    ) -> Answer<Customer> {
        let mut ctx = self.ctx();
        if let Err(refusal) = self.check_length(&link, &new) {
            return self.refuse(call, Flow::Change, Some(id), refusal, ctx).await;
        }
        let password = new.duplicate();
        let hash = match stored {
            Some(stored) => self.hash.change(current, Some(stored), new, ctx.bytes()).await?.1,
            None => match self.is_current_at_provider(&link, &current).await {
                Ok(true) => Some(self.hash.hash(Lane::Change, new, ctx.bytes()).await?),
                // It costs the same, and says the same, as a wrong one.
                Ok(false) => self.hash.change(current, None, new, ctx.bytes()).await?.1,
                Err(refusal) => return self.refuse(call, Flow::Change, Some(id), refusal, ctx).await,
            },
        };
        let Some(hash) = hash else {
            return self.refuse(call, Flow::Change, Some(id), Refusal::CurrentPasswordWrong, ctx).await;
        };
        let version = Some(command.version);
        let kind = Kind::Change;
        let (token, hash) = (None, Some(hash));
        let setting = Setting { call, customer: id, link, kind, version, token, password, hash };
        self.set_password(setting, move |_, locked, _| {
            Ok(change::admit(locked, &command).and_then(|()| check_mode(locked)))
        })
        .await
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
