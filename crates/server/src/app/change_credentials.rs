//! Change one's own password or PIN while signed in (paysafe.md 5.1).

use std::net::IpAddr;

use keyherald_core::Refusal;
use keyherald_core::credential::PasswordHash;
use keyherald_core::customer::Customer;
use keyherald_core::id::CustomerId;
use keyherald_core::message::Flow;
use keyherald_core::policy::Surface;
use keyherald_core::provider::ProviderLink;
use keyherald_core::refusal::Lookup;
use keyherald_core::secret::{Password, TokenDigest};
use keyherald_store::operation::Replay;
use keyherald_store::{Fault, Tx, credential};

use super::limits::{Limited, of_customer, of_source};
use super::verify_identifier::Verifying;
use super::{Answer, App, Call, CustomerRef, Failure};
use crate::hash::Lane;

const FLOW: Flow = Flow::Change;
/// How often it is tried again when the customer was changed in between.
const TRIES_MAX: usize = 3;

/// A password that is to take the place of a known one. No `Debug`: it is secret.
pub struct Change {
    /// Whose.
    pub customer: CustomerId,
    /// The password that counts now.
    pub current: Password,
    /// The new one, as it was typed.
    pub new: Password,
    /// What is asked of it.
    pub surface: Surface,
    /// The access token of the call: its sign-in goes on, all others end.
    pub token: TokenDigest,
}

struct Looked {
    replay: Replay,
    found: Option<Customer>,
    stored: Option<PasswordHash>,
    link: Option<ProviderLink>,
}

impl App {
    /// Changes it, if the current one is right.
    ///
    /// # Errors
    /// [`Refusal::CurrentPasswordWrong`]; only after that [`Refusal::PasswordBroken`], for what it says of reuse would tell
    /// the current one.
    pub async fn change_credentials(
        &self,
        call: Call,
        verifying: &Verifying,
        source: Option<IpAddr>,
        change: Change,
    ) -> Answer<Limited> {
        let Change { customer: id, current, new, surface, token } = change;
        let ctx = self.ctx();
        let project = call.project.as_str();
        let buckets = vec![
            (of_source("change", project, source), verifying.used_by_source),
            (of_customer("change", project, id), verifying.used_by_customer),
        ];
        if let Some(retry_after_s) = self.over_rate(buckets, &ctx).await? {
            return Ok(Limited::TooMany { retry_after_s });
        }
        self.hash.admit(Lane::Change)?;
        let Looked { replay, found, stored, link } = self.look_before_change(&call, id).await?;
        if let Some(before) = self.answer_before(&call, FLOW, replay, Some(id)).await {
            return before.map(|_| Limited::Done(()));
        }
        let Some(mut found) = found else {
            return self.refuse(call, FLOW, None, Refusal::CustomerNotFound(Lookup::Id), ctx).await;
        };
        let is_here = link.is_none() || stored.is_some();
        if is_here && !self.may_try(&call.project, (&found.email, id), ctx.now).await? {
            return self.refuse(call, FLOW, Some(id), Refusal::CurrentPasswordWrong, ctx).await;
        }
        let is_current = match (&link, stored) {
            (Some(link), None) => match self.is_current_at_provider(link, &current).await {
                Ok(is_current) => is_current,
                Err(refusal) => return self.refuse(call, FLOW, Some(id), refusal, ctx).await,
            },
            (_, stored) => self.hash.verify(Lane::Change, current.duplicate(), stored).await?.matches,
        };
        if !is_current {
            return self.refuse(call, FLOW, Some(id), Refusal::CurrentPasswordWrong, ctx).await;
        }
        self.was_right(&call.project, &found.email).await?;
        let new = match self.check_new_password(&call.project, surface, Some(&found), new).await {
            Ok(new) => new,
            Err(Failure::Refused(refusal)) => return self.refuse(call, FLOW, Some(id), refusal, ctx).await,
            Err(failure) => return Err(failure),
        };
        for _ in 1..TRIES_MAX {
            let passwords = (current.duplicate(), new.duplicate());
            match self.change(call.clone(), (id, found.version), passwords, Some(token)).await {
                // Something else of the customer was changed: the password is looked at anew.
                Err(Failure::Refused(Refusal::VersionMismatch { actual, .. })) => found.version = actual,
                changed => return changed.map(|_| Limited::Done(())),
            }
        }
        let changed = self.change(call, (id, found.version), (current, new), Some(token)).await;
        changed.map(|_| Limited::Done(()))
    }

    async fn look_before_change(&self, call: &Call, id: CustomerId) -> Answer<Looked> {
        let (app, call, now) = (self.clone(), call.clone(), self.ctx().now);
        let look = move |tx: &mut dyn Tx| {
            let replay = app.replay(tx, &call, now)?;
            let found = CustomerRef::Id(id).find(tx, &call)?;
            let stored = credential::by_customer(tx, &call.project, id)?;
            let link = app.operations.link_of(tx, &call.project, id)?;
            // Of a password that nobody knows, the one here says nothing.
            let stored = if app.operations.must_recover(tx, &call.project, id)? { None } else { stored };
            Ok::<_, Fault>(Looked { replay, found, stored, link })
        };
        Ok(self.store.read(look).await?)
    }
}
