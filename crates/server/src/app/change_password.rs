//! Change a password by proving the current one.

use keyherald_core::change::{self, Command, PasswordSet};
use keyherald_core::credential::PasswordHash;
use keyherald_core::customer::Customer;
use keyherald_core::id::CustomerId;
use keyherald_core::message::Flow;
use keyherald_core::operation::Kind;
use keyherald_core::provider::ProviderLink;
use keyherald_core::refusal::Lookup;
use keyherald_core::secret::{Password, TokenDigest};
use keyherald_core::{Ctx, Refusal};
use keyherald_store::{Fault, Tx, credential};

use super::check_password::Whose;
use super::in_turn::Turn;
use super::set_password::{Setting, check_mode};
use super::{Answer, App, Call, CustomerRef, trace};
use crate::hash::Lane;
use crate::outbox::PasswordWasSet;

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
        self.change(call, (id, version), (current, new), None).await
    }

    /// The same, but for the sign-in that the access token `keeps` belongs to: that goes on. Of a customer who has a
    /// provider, all end.
    pub(super) async fn change(
        &self,
        call: Call,
        (id, version): (CustomerId, i64),
        (current, new): (Password, Password),
        keeps: Option<TokenDigest>,
    ) -> Answer<Customer> {
        self.hash.admit(Lane::Change)?;
        let ctx = self.ctx();
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
        let new = self.checked(&call, Flow::Change, Whose::Customer(&found), new).await?;
        let is_here = link.is_none() || stored.is_some();
        if is_here && !self.may_try(&call.project, (&found.email, id), ctx.now).await? {
            return self.refuse(call, Flow::Change, Some(id), Refusal::CurrentPasswordWrong, ctx).await;
        }
        let project = call.project.clone();
        let changed = match link {
            Some(link) => self.change_with_provider(call, id, command, link, (current, stored, new)).await,
            None => self.change_here(call, (id, command), (current, stored, new), keeps, ctx).await,
        };
        if changed.is_ok() {
            drop(self.was_right(&project, &found.email).await); // if not now, the next sign-in says so
        }
        changed
    }

    async fn change_here(
        &self,
        call: Call,
        (id, command): (CustomerId, Command),
        (current, stored, new): (Password, Option<PasswordHash>, Password),
        keeps: Option<TokenDigest>,
        mut ctx: Ctx,
    ) -> Answer<Customer> {
        // The version guards what was verified: the hash cannot change without it, except for an upgrade, which is
        // of the same password.
        let (verified, new_hash) = self.hash.change(current, stored, new, ctx.bytes()).await?;
        let (app, calling) = (self.clone(), call.clone());
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            app.change_locked(tx, (&calling, id), &command, (verified.matches, new_hash.clone(), keeps), ctx)
        };
        self.in_turn(call, Flow::Change, ctx, work).await
    }

    fn change_locked(
        &self,
        tx: &mut dyn Tx,
        (call, id): (&Call, CustomerId),
        command: &Command,
        (matches, new_hash, keeps): (bool, Option<PasswordHash>, Option<TokenDigest>),
        ctx: &mut Ctx,
    ) -> Result<Turn<Customer>, Fault> {
        let decided = match call.lock(tx, id)? {
            // Linked just now: another try will find it.
            Some(_) if self.operations.link_of(tx, &call.project, id)?.is_some() => return Ok(Turn::Underway(id)),
            Some(locked) => match self.done_before(tx, call, ctx.now)? {
                Some(Ok(())) => return Ok(Turn::Decided(Ok(locked))),
                Some(Err(refusal)) => Err(refusal),
                None => change::decide(&locked, command, matches, new_hash, ctx),
            },
            None => Err(Refusal::CustomerNotFound(Lookup::Id)),
        };
        let decided = decided.map(|set| PasswordSet { keeps, ..set });
        let tell = |tx: &mut dyn Tx, set: &PasswordSet, ctx: &mut Ctx| {
            let was_set = PasswordWasSet { customer: &set.customer, flow: Flow::Change, token: None };
            self.outbox.append_of(tx, &self.ring, &call.project, was_set, ctx)
        };
        self.end_turn(tx, (call, Flow::Change, id), decided, tell, ctx)
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
        let setting = Setting { call, customer: id, link, kind, version, token, proofs: Vec::new(), password, hash };
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
