//! Sign in a user of a tenant, whose password may be a provider's (naviga.md 3.9).

use keyherald_core::activity::{self, CallResult, Made};
use keyherald_core::credential::AuthenticationMode;
use keyherald_core::customer::Customer;
use keyherald_core::message::Flow;
use keyherald_core::provider::{Meaning, ProviderLink, TrialAnswer};
use keyherald_core::recover::nobody;
use keyherald_core::secret::{Password, TokenDigest};
use keyherald_core::session::SessionKind;
use keyherald_core::{Ctx, Micros, Refusal};
use keyherald_store::{Fault, Tx, credential, log, session, user_record};
use tokio::time::Instant;

use super::replace_password::micros;
use super::{Answer, App, Call, CustomerRef, FoundUser};
use crate::hash::Lane;

/// How a sign-in ended at the provider.
struct Tried {
    link: ProviderLink,
    ended: (CallResult, &'static str),
    took_us: i64,
}

impl App {
    /// The customer with this e-mail address and password. Where the project has a provider, `at_provider`, it must be
    /// a user there, and a sign-in is tried there if that can be; else the hash here says whether it is the password.
    /// Without one, the address must be verified.
    ///
    /// Whoever does not get in is refused with the same words, and where the hash is asked, at the same cost.
    pub async fn sign_in_user(
        &self,
        call: Call,
        email: String,
        password: Password,
        at_provider: bool,
    ) -> Answer<FoundUser> {
        self.hash.admit(Lane::SignIn)?;
        let (looking, operations, began) = (call.clone(), self.operations.clone(), Instant::now());
        let look = move |tx: &mut dyn Tx| {
            let found = looking.by_email(tx, &email)?;
            let id = found.as_ref().map_or_else(nobody, |customer| customer.id);
            let stored = credential::by_customer(tx, &looking.project, id)?;
            // Of a password that nobody knows, the one here says nothing.
            let must_recover = operations.must_recover(tx, &looking.project, id)?;
            let link = operations.link_of(tx, &looking.project, id)?;
            let record = user_record::of_customer(tx, &looking.project, id)?;
            Ok::<_, Fault>((found, stored.filter(|_| !must_recover), link, record))
        };
        let (found, stored, link, record) = self.store.read(look).await?;
        let looked_us = micros(began);
        let has_hash = |customer: &Customer| customer.authentication_mode == AuthenticationMode::Password;
        let stored = stored.filter(|_| found.as_ref().is_some_and(has_hash));
        let there = link.clone().filter(|link| self.operations.can_sign_in(link));
        let mut tried = None;
        let outcome = if let Some(link) = there {
            let began = Instant::now();
            let (outcome, ended) = self.judge(self.operations.sign_in(&link, &password).await);
            tried = Some(Tried { link, ended, took_us: micros(began) });
            outcome
        } else {
            let matches = self.hash.verify(Lane::SignIn, password, stored).await?.matches;
            if matches { Ok(()) } else { Err(Refusal::CredentialsWrong) }
        };
        let admitted = outcome.and_then(|()| {
            let may = |customer: &Customer| if at_provider { link.is_some() } else { customer.is_email_verified };
            found.clone().filter(may).ok_or(Refusal::CredentialsWrong)
        });
        let (id, refusal) = (found.map(|customer| customer.id), admitted.as_ref().err().cloned());
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            let mut run = call.run(Flow::SignIn);
            let mut entries = Vec::new();
            if let Some(Tried { link, ended, took_us }) = &tried {
                let made = Made::done(activity::Call::SignInAtProvider).took(*took_us).ended(ended.0, ended.1);
                entries.push(run.called(id, made.at(&link.provider), ctx));
            }
            entries.push(run.called(id, Made::done(activity::Call::LookUpAtHome).took(looked_us), ctx));
            entries.push(run.called(id, signed_in(activity::Call::SignInAtHome, refusal.as_ref()), ctx));
            entries.iter().try_for_each(|entry| log::activity::append(tx, &call.project, entry))
        };
        self.store.write(&self.ctx(), work).await?;
        Ok(FoundUser { customer: Some(admitted?), record, user: link.map(|link| link.user), there: None })
    }

    fn judge(&self, answer: TrialAnswer) -> (Result<(), Refusal>, (CallResult, &'static str)) {
        match answer {
            TrialAnswer::SignedIn => (Ok(()), (CallResult::Succeeded, "done")),
            TrialAnswer::Wrong => (Err(Refusal::CredentialsWrong), (CallResult::Refused, "credentials_wrong")),
            TrialAnswer::CannotTell => (Err(Refusal::CredentialsWrong), (CallResult::Refused, "needs_interaction")),
            TrialAnswer::Failed(error) => {
                let result = match error.meaning() {
                    Meaning::Refused => CallResult::Refused,
                    Meaning::Later(_) | Meaning::Unknown => CallResult::Failed,
                };
                let ended = (result, error.code());
                (Err(self.of_provider(error)), ended)
            }
        }
    }

    /// The same for whom an access token of ours was issued. Of a provider's own tokens nothing is known: they are refused
    /// like dead ones.
    pub async fn sign_in_user_by_token(&self, call: Call, token: &str, at_provider: bool) -> Answer<FoundUser> {
        let (looking, digest, now, began) = (call.clone(), TokenDigest::of(token), self.ctx().now, Instant::now());
        let operations = self.operations.clone();
        let look = move |tx: &mut dyn Tx| {
            let Some(customer) = owner(tx, &looking, digest, now)? else { return Ok(None) };
            let link = operations.link_of(tx, &looking.project, customer.id)?;
            let stored = credential::by_customer(tx, &looking.project, customer.id)?;
            let may = if at_provider { link.is_some() } else { customer.is_email_verified && stored.is_some() };
            let record = user_record::of_customer(tx, &looking.project, customer.id)?;
            Ok::<_, Fault>(may.then_some((customer, link, record)))
        };
        let found = self.store.read(look).await?;
        let looked_us = micros(began);
        let admitted = found.ok_or(Refusal::CredentialsWrong);
        let (id, refusal) =
            (admitted.as_ref().ok().map(|(customer, ..)| customer.id), admitted.as_ref().err().cloned());
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            let mut run = call.run(Flow::SignIn);
            let looked_up = run.called(id, Made::done(activity::Call::LookUpAtHome).took(looked_us), ctx);
            log::activity::append(tx, &call.project, &looked_up)?;
            let made = signed_in(activity::Call::SignInAtHome, refusal.as_ref());
            log::activity::append(tx, &call.project, &run.called(id, made, ctx))
        };
        self.store.write(&self.ctx(), work).await?;
        let (customer, link, record) = admitted?;
        Ok(FoundUser { customer: Some(customer), record, user: link.map(|link| link.user), there: None })
    }
}

/// The customer of an access token.
fn owner(tx: &mut dyn Tx, call: &Call, digest: TokenDigest, now: Micros) -> Result<Option<Customer>, Fault> {
    let session = session::by_digest(tx, SessionKind::Access, digest, now)?;
    let session = session.filter(|session| session.project == call.project);
    let Some(id) = session.and_then(|session| session.customer) else { return Ok(None) };
    CustomerRef::Id(id).find(tx, call)
}

fn signed_in(call: activity::Call, refusal: Option<&Refusal>) -> Made<'static> {
    let made = Made::done(call);
    refusal.map_or(made, |refusal| made.ended(CallResult::Refused, refusal.code()))
}
