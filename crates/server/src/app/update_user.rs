//! Update a user's record: at the identity provider first, if there is one, and then here (naviga.md 3.2). A note leads back
//! to what a death in between leaves apart; a repeat does what is here alone.

use keyherald_core::activity::{self, CallResult, Made, Run};
use keyherald_core::customer::Customer;
use keyherald_core::doubt::About;
use keyherald_core::message::Flow;
use keyherald_core::provider::{Meaning, ProviderError, ProviderLink, ProviderName};
use keyherald_core::refusal::Lookup;
use keyherald_core::synchronise::{self, Said};
use keyherald_core::user_record::UserRecord;
use keyherald_core::{Ctx, Micros, Refusal};
use keyherald_store::{Fault, Tx, customer, doubt, log, user_record};
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::doubts::{Noted, is_surely_undone};
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
        let (app, asking, now) = (self.clone(), call.clone(), self.ctx().now);
        match self.store.read(move |tx| app.done_before(tx, &asking, now)).await? {
            None => {}
            Some(Ok(())) => return self.read_user_in(&call, &mut run, which, (provider, false)).await.map(Some),
            Some(Err(refusal)) => return self.refuse(call, Flow::Update, None, refusal, self.ctx()).await,
        }
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
        let noted = match link.as_ref().filter(|_| is_asked && changes_there) {
            Some(link) => Some(self.update_there(&call, &mut run, &customer, link, changes).await?),
            None => None,
        };
        let app = self.clone();
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            app.update_here(tx, (&call, run.clone()), (&customer, noted), &update, ctx)
        };
        let (customer, record) = self.store.write(&self.ctx(), work).await??;
        Ok(Some(FoundUser { customer: Some(customer), record, user: found.user, there: None }))
    }

    /// The transaction: the same here, and the end of the note.
    fn update_here(
        &self,
        tx: &mut dyn Tx,
        (call, mut run): (&Call, Run),
        (before, noted): (&Customer, Option<Noted>),
        update: &UserUpdate,
        ctx: &mut Ctx,
    ) -> Result<Result<(Customer, UserRecord), Refusal>, Fault> {
        let (project, id) = (&call.project, before.id);
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
        customer::update(tx, &self.ring, project, &updated, ctx)?;
        // Who wrote here meanwhile may have written there after us: then the note stays, and somebody looks.
        if let Some(noted) = noted.filter(|_| locked.version == before.version) {
            doubt::remove(tx, project, noted.id)?;
        }
        let known = user_record::of_customer(tx, project, id)?;
        let mut record = known.clone();
        if !record.merge(&update.metadata) {
            return Ok(Err(Refusal::TooLarge));
        }
        if let Some(at) = update.last_logout_at {
            record.last_logout_at = at;
        }
        if record != known {
            user_record::put(tx, project, id, &record)?;
        }
        // The same request at the same time has said so already.
        if self.done_before(tx, call, ctx.now)?.is_none() {
            self.remember(tx, call, ctx.now)?;
        }
        let made = Made::done(activity::Call::UpdateAtHome);
        log::activity::append(tx, project, &run.called(Some(id), made, ctx))?;
        Ok(Ok((updated.customer, record)))
    }

    /// Changes a user's record at the provider, and records that: as a change of the address, if that is among it. Answers
    /// the note that is to be removed when the same is written here.
    pub(super) async fn update_there(
        &self,
        call: &Call,
        run: &mut Run,
        customer: &Customer,
        link: &ProviderLink,
        changes: UserChanges<'_>,
    ) -> Answer<Noted> {
        let what = match changes.email {
            Some(_) => activity::Call::SetEmailAtProvider,
            None => activity::Call::UpdateAtProvider,
        };
        let noted = self.note(self.doubt(call, run, About::Customer(customer.id), (&link.provider, what))).await?;
        let began = Instant::now();
        let updated = if noted.is_in_time() {
            self.operations.update_user(link, changes).await
        } else {
            Err(ProviderError::Transient)
        };
        let made = Made::done(what).took(micros(began)).at(&link.provider);
        let made = updated.as_ref().err().map_or(made, |error| {
            let result = match error.meaning() {
                Meaning::Refused => CallResult::Refused,
                Meaning::Later(_) => CallResult::Failed,
                Meaning::Unknown => CallResult::Unknown,
            };
            made.ended(result, error.code())
        });
        self.record(call, run.called(Some(customer.id), made, &mut self.ctx()));
        let Err(error) = updated else { return Ok(noted) };
        if is_surely_undone(&error) {
            self.forget_note(call, noted).await?;
        }
        Err(self.of_provider(error).into())
    }
}
