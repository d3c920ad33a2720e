//! Update a user's record: at the identity provider first, if there is one, and then here (naviga.md 3.2). If the process
//! dies between the two, the next read writes here what is there, and a repeat does the rest.

use keyherald_core::activity::{self, CallResult, Made, Run};
use keyherald_core::id::CustomerId;
use keyherald_core::message::Flow;
use keyherald_core::provider::{Meaning, ProviderLink, ProviderName};
use keyherald_core::refusal::Lookup;
use keyherald_core::synchronise::{self, Said};
use keyherald_core::{Ctx, Micros, Refusal};
use keyherald_store::{Tx, customer, log, user_record};
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::replace_password::micros;
use super::{Answer, App, Call, FoundUser, UserRef};
use crate::operate::UserChanges;

/// What is to be changed. No `Debug`: it is personal.
#[derive(Clone, Default)]
pub struct UserUpdate {
    /// The first name.
    pub first_name: Option<String>,
    /// The last name.
    pub last_name: Option<String>,
    /// Whether the address is the user's.
    pub verified: Option<bool>,
    /// Fields of the caller's own; a null removes one.
    pub metadata: Map<String, Value>,
    /// When the user signed out last, or that this is to be forgotten.
    pub last_logout_at: Option<Option<Micros>>,
}

impl App {
    /// Changes a user's record; at `provider` too, if it `is_asked`. False: it would be too long.
    pub async fn update_user(
        &self,
        call: Call,
        which: UserRef,
        (provider, is_asked): (Option<ProviderName>, bool),
        update: UserUpdate,
    ) -> Answer<Option<FoundUser>> {
        let mut run = call.run(Flow::Update);
        let found = self.read_user_in(&call, &mut run, which, (provider.clone(), is_asked)).await?;
        // Whom the provider alone has, and nobody here can be, is not to be changed here.
        let customer = found.customer.ok_or(Refusal::CustomerNotFound(Lookup::Id))?;
        let mut record = found.record;
        if !record.merge(&update.metadata) {
            return Ok(None);
        }
        let link = provider.zip(found.user.clone()).map(|(provider, user)| ProviderLink { provider, user });
        let changes = UserChanges {
            email: None,
            first_name: update.first_name.as_deref(),
            last_name: update.last_name.as_deref(),
            verified: update.verified,
        };
        let changes_there = update.first_name.is_some() || update.last_name.is_some() || update.verified.is_some();
        if let Some(link) = link.as_ref().filter(|_| is_asked && changes_there) {
            self.update_there(&call, &mut run, customer.id, link, changes).await?;
        }
        let (ring, id) = (self.ring.clone(), customer.id);
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            let project = &call.project;
            let Some(locked) = call.lock(tx, id)? else { return Ok(Err(Refusal::CustomerNotFound(Lookup::Id))) };
            let said = Said {
                email: None,
                first_name: update.first_name.clone(),
                last_name: update.last_name.clone(),
                verified: update.verified,
            };
            let updated = match synchronise::decide(&locked, &said, &call.by, ctx) {
                Ok(updated) => updated,
                Err(refusal) => return Ok(Err(refusal)),
            };
            customer::update(tx, &ring, project, &updated, ctx)?;
            let mut record = user_record::of_customer(tx, project, id)?;
            let before = record.clone();
            if !record.merge(&update.metadata) {
                return Ok(Err(Refusal::TooLarge));
            }
            if let Some(at) = update.last_logout_at {
                record.last_logout_at = at;
            }
            if record != before {
                user_record::put(tx, project, id, &record)?;
            }
            let made = Made::done(activity::Call::UpdateAtHome);
            log::activity::append(tx, project, &run.clone().called(Some(id), made, ctx))?;
            Ok(Ok((updated.customer, record)))
        };
        let (customer, record) = self.store.write(&self.ctx(), work).await??;
        Ok(Some(FoundUser { customer: Some(customer), record, user: found.user, there: None }))
    }

    /// Changes a user's record at the provider, and records that.
    pub(super) async fn update_there(
        &self,
        call: &Call,
        run: &mut Run,
        customer: CustomerId,
        link: &ProviderLink,
        changes: UserChanges<'_>,
    ) -> Answer<()> {
        let began = Instant::now();
        let updated = self.operations.update_user(link, changes).await;
        let made = Made::done(activity::Call::UpdateAtProvider).took(micros(began)).at(&link.provider);
        let made = updated.as_ref().err().map_or(made, |error| {
            let result = match error.meaning() {
                Meaning::Refused => CallResult::Refused,
                Meaning::Later(_) => CallResult::Failed,
                Meaning::Unknown => CallResult::Unknown,
            };
            made.ended(result, error.code())
        });
        self.record(call, run.called(Some(customer), made, &mut self.ctx()));
        updated.map_err(|error| self.of_provider(error).into())
    }
}
