//! Replace a password on behalf of a trusted caller, without the current one (naviga.md 1).

use keyherald_core::activity::{self, CallResult, Made};
use keyherald_core::credential::{AuthenticationMode, PasswordHash};
use keyherald_core::customer::Customer;
use keyherald_core::id::CustomerId;
use keyherald_core::message::Flow;
use keyherald_core::operation::Kind;
use keyherald_core::provider::ProviderLink;
use keyherald_core::secret::Password;
use keyherald_core::{Ctx, Refusal, set};
use keyherald_store::operation::Replay;
use keyherald_store::{Fault, Tx, customer, log};
use tokio::time::Instant;

use super::check_password::Whose;
use super::in_turn::Turn;
use super::set_password::Setting;
use super::{Answer, App, Call, CustomerRef, trace};
use crate::hash::Lane;
use crate::outbox::PasswordWasSet;

/// What the first look finds.
struct Found {
    replay: Replay,
    customer: Option<(Customer, Option<ProviderLink>)>,
}

impl App {
    /// Sets `new` as the password of the customer that is meant, at its identity provider too if it has one: then a hash
    /// is kept here only if `keeps_hash`.
    pub async fn replace_password(
        &self,
        call: Call,
        which: CustomerRef,
        new: Password,
        keeps_hash: bool,
    ) -> Answer<()> {
        self.hash.admit(Lane::Change)?;
        let ctx = self.ctx();
        let (looking, named, now) = (call.clone(), which.clone(), ctx.now);
        let app = self.clone();
        let look = move |tx: &mut dyn Tx| {
            let replay = app.replay(tx, &looking, now)?;
            let customer = match named.find(tx, &looking)? {
                Some(found) => {
                    let link = app.operations.link_of(tx, &looking.project, found.id)?;
                    Some((found, link))
                }
                None => None,
            };
            Ok::<_, Fault>(Found { replay, customer })
        };
        let found = self.store.read(look).await?;
        if let Replay::Done = found.replay {
            return Ok(());
        }
        if let Some(before) = self.answer_before(&call, Flow::Set, found.replay, None).await {
            return before.map(drop);
        }
        match found.customer {
            None => self.not_found(call, Flow::Set, which.not_found()).await,
            Some((found, link)) => {
                let new = self.checked(&call, Flow::Set, Whose::Customer(&found), new).await?;
                match link {
                    Some(link) => self.replace_with_provider(call, &found, link, new, keeps_hash).await,
                    None => self.replace_here(call, &found, new).await,
                }
            }
        }
    }

    /// Commits the trace of a look-up that found nobody.
    pub(super) async fn not_found(&self, call: Call, flow: Flow, refusal: Refusal) -> Answer<()> {
        let code = refusal.code();
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            let made = Made::done(activity::Call::LookUpAtHome).ended(CallResult::Failed, code);
            log::activity::append(tx, &call.project, &call.run(flow).called(None, made, ctx))
        };
        self.store.write(&self.ctx(), work).await?;
        Err(refusal.into())
    }

    async fn replace_with_provider(
        &self,
        call: Call,
        found: &Customer,
        link: ProviderLink,
        new: Password,
        keeps_hash: bool,
    ) -> Answer<()> {
        let mut ctx = self.ctx();
        if let Err(refusal) = self.check_length(&link, &new) {
            return self.refuse(call, Flow::Set, Some(found.id), refusal, ctx).await;
        }
        let password = new.duplicate();
        // Of a customer who signs in elsewhere, no hash is kept whatever the tenant wants.
        let keeps = keeps_hash && found.authentication_mode == AuthenticationMode::Password;
        let hash = if keeps { Some(self.hash.hash(Lane::Change, new, ctx.bytes()).await?) } else { None };
        let kind = Kind::Set;
        let setting = Setting {
            call,
            customer: found.id,
            link,
            kind,
            version: None,
            token: None,
            proofs: Vec::new(),
            password,
            hash,
        };
        self.set_password(setting, |_, _, _| Ok(Ok(()))).await.map(drop)
    }

    /// The same for a customer whose password is here alone.
    async fn replace_here(&self, call: Call, found: &Customer, new: Password) -> Answer<()> {
        let (id, mut ctx) = (found.id, self.ctx());
        if let Err(refusal) = set::admit(found) {
            return self.refuse(call, Flow::Set, Some(id), refusal, ctx).await;
        }
        let hash = self.hash.hash(Lane::Change, new, ctx.bytes()).await?;
        let (app, calling) = (self.clone(), call.clone());
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| app.replace_locked(tx, (&calling, id), &hash, ctx);
        self.in_turn(call, Flow::Set, ctx, work).await
    }

    fn replace_locked(
        &self,
        tx: &mut dyn Tx,
        (call, id): (&Call, CustomerId),
        hash: &PasswordHash,
        ctx: &mut Ctx,
    ) -> Result<Turn<()>, Fault> {
        let began = Instant::now();
        let locked = call.lock(tx, id)?;
        let (looked_us, mut run) = (micros(began), call.run(Flow::Set));
        // Linked just now: another try will find it.
        if self.operations.link_of(tx, &call.project, id)?.is_some() {
            return Ok(Turn::Underway(id));
        }
        let outcome = match locked {
            None => Err(CustomerRef::Id(id).not_found()),
            Some(locked) => match self.done_before(tx, call, ctx.now)? {
                Some(Ok(())) => return Ok(Turn::Decided(Ok(()))),
                Some(Err(refusal)) => Err(refusal),
                None => set::decide(&locked, hash.clone(), &call.by, ctx),
            },
        };
        match outcome {
            Ok(set) => {
                let looked_up = Made::done(activity::Call::LookUpAtHome).took(looked_us);
                log::activity::append(tx, &call.project, &run.called(Some(id), looked_up, ctx))?;
                let began = Instant::now();
                customer::set_password(tx, &self.ring, &call.project, &set, ctx)?;
                let was_set = PasswordWasSet { customer: &set.customer, flow: Flow::Set, token: None };
                self.outbox.append_of(tx, &self.ring, &call.project, was_set, ctx)?;
                let set = Made::done(activity::Call::SetAtHome).took(micros(began));
                log::activity::append(tx, &call.project, &run.called(Some(id), set, ctx))?;
                self.remember(tx, call, ctx.now)?;
                Ok(Turn::Decided(Ok(())))
            }
            Err(refusal) => {
                trace(tx, call, Flow::Set, Some(id), &refusal, ctx)?;
                Ok(Turn::Decided(Err(refusal)))
            }
        }
    }
}

/// What has passed, in microseconds.
pub(super) fn micros(since: Instant) -> i64 {
    i64::try_from(since.elapsed().as_micros()).unwrap_or(i64::MAX)
}
