//! Replace a forgotten password by what was proved in verification processes (paysafe.md 4).
//!
//! Nothing is used up before the one transaction that writes the password; of two calls with one proof at the same moment,
//! the second finds it used. Of a customer whose password is a provider's as well, the operation keeps the proofs until it
//! ends, and gives them back if the provider refuses.

use std::net::IpAddr;

use keyherald_core::change::PasswordSet;
use keyherald_core::credential::AuthenticationMode;
use keyherald_core::credentials_event::{ChangeType, Circumstances, Identifiers, What};
use keyherald_core::customer::Customer;
use keyherald_core::id::CustomerId;
use keyherald_core::message::Flow;
use keyherald_core::operation::Kind;
use keyherald_core::policy::Surface;
use keyherald_core::provider::ProviderLink;
use keyherald_core::secret::Password;
use keyherald_core::verification::{Claim, Proof, Purpose};
use keyherald_core::{Ctx, Refusal, set};
use keyherald_store::operation::Replay;
use keyherald_store::{Fault, Tx};

use super::in_turn::Turn;
use super::limits::{Limited, of_customer, of_source};
use super::proofs::{Look, Proofs, consume};
use super::set_password::Setting;
use super::verify_identifier::Verifying;
use super::{Answer, App, Call, Failure};
use crate::hash::Lane;

const FLOW: Flow = Flow::Recover;

/// A password that is to take the place of a forgotten one. No `Debug`: it is secret.
pub struct Recovery {
    /// What was proved: at most one of each kind. That it is all that the project asks for, the caller has looked at.
    pub claims: Vec<Claim>,
    /// The new password, as it was typed.
    pub new: Password,
    /// What is asked of it.
    pub surface: Surface,
    /// What partners are told of besides.
    pub circumstances: Circumstances,
}

/// What the first look finds.
struct Looked {
    replay: Replay,
    owner: Option<(Customer, Option<ProviderLink>)>,
    proofs: Result<Vec<Proof>, Refusal>,
}

impl App {
    /// Sets a new password for the customer whose all of `recovery.claims` are, if they hold.
    ///
    /// # Errors
    /// [`Refusal::NotProved`] for whatever is wrong with the claims, [`Refusal::NotPasswordMode`] of a customer who signs
    /// in elsewhere, [`Refusal::PasswordBroken`]. A refused recovery uses nothing up.
    pub async fn recover_credentials(
        &self,
        call: Call,
        verifying: &Verifying,
        source: Option<IpAddr>,
        recovery: Recovery,
    ) -> Answer<Limited> {
        let ctx = self.ctx();
        let bucket = of_source("recover", call.project.as_str(), source);
        if let Some(retry_after_s) = self.over_rate(vec![(bucket, verifying.used_by_source)], &ctx).await? {
            return Ok(Limited::TooMany { retry_after_s });
        }
        self.hash.admit(Lane::Change)?;
        let Recovery { claims, new, surface, circumstances } = recovery;
        let proofs = Proofs::new(claims, Purpose::PasswordReset, verifying.limits);
        let looked = self.look_before_recovery(&call, &proofs, ctx.now).await?;
        let owner_id = looked.owner.as_ref().map(|(owner, _)| owner.id);
        if let Some(before) = self.answer_before(&call, FLOW, looked.replay, owner_id).await {
            return before.map(|_| Limited::Done(()));
        }
        let (owner, link, held) = match (looked.owner, looked.proofs) {
            (Some((owner, link)), Ok(held)) if proofs.are_of(&owner) => (owner, link, held),
            (_, Err(refusal)) => return self.refuse(call, FLOW, None, refusal, ctx).await,
            // Deleted, or given up, since it was proved.
            _ => return self.refuse(call, FLOW, None, Refusal::NotProved, ctx).await,
        };
        // Only now, so that it says nothing to who has proved nothing. What is refused from here on says something of the
        // passwords that the customer had.
        let bucket = of_customer("recover", call.project.as_str(), owner.id);
        if let Some(retry_after_s) = self.over_rate(vec![(bucket, verifying.used_by_customer)], &ctx).await? {
            return Ok(Limited::TooMany { retry_after_s });
        }
        if let (None, Err(refusal)) = (&link, set::admit(&owner)) {
            return self.refuse(call, FLOW, Some(owner.id), refusal, ctx).await;
        }
        let new = match self.check_new_password(&call.project, surface, Some(&owner), new).await {
            Ok(new) => new,
            Err(Failure::Refused(refusal)) => return self.refuse(call, FLOW, Some(owner.id), refusal, ctx).await,
            Err(failure) => return Err(failure),
        };
        let recovered = match link {
            Some(link) => self.recover_with_provider(call, &owner, link, (proofs, held), new).await,
            None => self.recover_here(call, owner.id, proofs, new, circumstances).await,
        };
        recovered.map(|_| Limited::Done(()))
    }

    async fn look_before_recovery(&self, call: &Call, proofs: &Proofs, now: keyherald_core::Micros) -> Answer<Looked> {
        let (app, call, proofs) = (self.clone(), call.clone(), proofs.clone());
        let look = move |tx: &mut dyn Tx| {
            let replay = app.replay(tx, &call, now)?;
            let owner = match proofs.owner(tx, &call)? {
                Some(owner) => {
                    let link = app.operations.link_of(tx, &call.project, owner.id)?;
                    Some((owner, link))
                }
                None => None,
            };
            let proofs = proofs.look(tx, &app.ring, &call, Look::First, now)?;
            Ok::<_, Fault>(Looked { replay, owner, proofs })
        };
        Ok(self.store.read(look).await?)
    }

    async fn recover_here(
        &self,
        call: Call,
        id: CustomerId,
        proofs: Proofs,
        new: Password,
        circumstances: Circumstances,
    ) -> Answer<Customer> {
        let mut ctx = self.ctx();
        let hash = self.hash.hash(Lane::Change, new, ctx.bytes()).await?;
        let (app, calling) = (self.clone(), call.clone());
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            let locked = calling.lock(tx, id)?;
            if app.operations.link_of(tx, &calling.project, id)?.is_some() {
                return Ok(Turn::Underway(id)); // linked just now: another try will find it
            }
            let before = app.done_before(tx, &calling, ctx.now)?;
            let owner = locked.filter(|locked| proofs.are_of(locked));
            let mut used = Vec::new();
            let decided = match (owner, before) {
                (Some(owner), Some(Ok(()))) => return Ok(Turn::Decided(Ok(owner))),
                (_, Some(Err(refusal))) => Err(refusal),
                (None, _) => Err(Refusal::NotProved),
                (Some(owner), None) => proofs.look(tx, &app.ring, &calling, Look::Last, ctx.now)?.and_then(|held| {
                    used = held;
                    set::recover(&owner, hash.clone(), &calling.by, ctx)
                }),
            };
            let tell = |tx: &mut dyn Tx, set: &PasswordSet, ctx: &mut Ctx| {
                consume(tx, &calling, &used, ctx.now)?;
                let what = What {
                    customer: &set.customer,
                    change: ChangeType::PasswordRecovery,
                    identifiers: Identifiers::proved(&set.customer, &used),
                    circumstances: circumstances.clone(),
                };
                app.outbox.append(tx, &app.ring, &calling.project, &what, ctx)
            };
            app.end_turn(tx, (&calling, FLOW, id), decided, tell, ctx)
        };
        self.in_turn(call, FLOW, ctx, work).await
    }

    /// The same for a customer whose password is a provider's as well.
    async fn recover_with_provider(
        &self,
        call: Call,
        owner: &Customer,
        link: ProviderLink,
        (proofs, held): (Proofs, Vec<Proof>),
        new: Password,
    ) -> Answer<Customer> {
        let mut ctx = self.ctx();
        if let Err(refusal) = self.check_length(&link, &new) {
            return self.refuse(call, FLOW, Some(owner.id), refusal, ctx).await;
        }
        let password = new.duplicate();
        // Of a customer who signs in elsewhere, no hash is kept.
        let keeps = owner.authentication_mode == AuthenticationMode::Password;
        let hash = if keeps { Some(self.hash.hash(Lane::Change, new, ctx.bytes()).await?) } else { None };
        let (ring, calling) = (self.ring.clone(), call.clone());
        let (kind, version, token) = (Kind::Recover, None, None);
        let setting = Setting { call, customer: owner.id, link, kind, version, token, proofs: held, password, hash };
        self.set_password(setting, move |tx, locked, ctx| {
            if !proofs.are_of(locked) {
                return Ok(Err(Refusal::NotProved));
            }
            Ok(proofs.look(tx, &ring, &calling, Look::Last, ctx.now)?.map(drop))
        })
        .await
    }
}
