//! Sign in a user of a tenant, whose password may be a provider's (naviga.md 3.9).
//!
//! Where a sign-in can be tried at the provider, whoever signs in is looked up there and tried there, a user who is here,
//! one who is there alone and one who is nowhere: the same calls, so that none tells who is known. Whoever gets in is
//! written here as a read would write it.

use keyherald_core::activity::{self, Activity, CallResult, Made, Run};
use keyherald_core::credential::{AuthenticationMode, PasswordHash};
use keyherald_core::customer::Customer;
use keyherald_core::id::{CustomerId, ProjectKey};
use keyherald_core::message::Flow;
use keyherald_core::operation::look_up_ended;
use keyherald_core::provider::{
    LookupWays, Meaning, ProviderError, ProviderLink, ProviderName, ProviderUser, TrialAnswer,
};
use keyherald_core::recover::nobody;
use keyherald_core::secret::{Password, TokenDigest};
use keyherald_core::session::SessionKind;
use keyherald_core::sought::Sought;
use keyherald_core::synchronise::Said;
use keyherald_core::user_record::UserRecord;
use keyherald_core::{Ctx, Micros, Refusal};
use keyherald_store::{Fault, Tx, credential, log, session, user_record};
use tokio::time::Instant;

use super::replace_password::micros;
use super::synchronise_user::{Told, said};
use super::{Answer, App, Call, CustomerRef, FoundUser};
use crate::hash::Lane;
use crate::operate::{By, LookedUp, TokenOwner};

/// How users of a tenant sign in.
#[derive(Clone)]
pub struct SigningIn {
    /// The provider that has their passwords.
    pub provider: Option<ProviderName>,
    /// How long a password that is here alone is good, in microseconds. `None`: for ever.
    pub password_life: Option<i64>,
}

/// Who was found here.
#[derive(Default)]
struct Here {
    customer: Option<Customer>,
    /// The customer's, or that of whoever stands in.
    looked_at: Option<CustomerId>,
    /// What a password is compared with: not that of a customer who signs in elsewhere, or whose password nobody knows.
    stored: Option<PasswordHash>,
    is_too_old: bool,
    link: Option<ProviderLink>,
    record: UserRecord,
    looked_us: i64,
}

/// What was found out about who signs in.
struct Proof {
    outcome: Result<(), Refusal>,
    /// Who it is at the provider, and what that tells.
    link: Option<ProviderLink>,
    there: Option<LookedUp>,
    /// The activity of the call to the provider.
    entry: Option<Activity>,
    is_google: bool,
}

impl Proof {
    /// Without the provider.
    fn here(outcome: Result<(), Refusal>) -> Self {
        Self { outcome, link: None, there: None, entry: None, is_google: false }
    }
}

impl App {
    /// The customer with this e-mail address and password. Where the project has a provider, it must be a user there, and a
    /// sign-in is tried there if that can be; else the hash here says whether it is the password. Without one, the
    /// address must be verified, and the password not too old.
    ///
    /// Whoever does not get in is refused with the same words and at the same cost.
    pub async fn sign_in_user(
        &self,
        call: Call,
        email: String,
        password: Password,
        how: SigningIn,
    ) -> Answer<FoundUser> {
        self.hash.admit(Lane::SignIn)?;
        let (looking, wanted, life) = (call.clone(), email.clone(), how.password_life);
        let here = self.look_for(&call, life, move |tx| looking.seek_by_email(tx, &wanted)).await?;
        let mut run = call.run(Flow::SignIn);
        let can = |provider: &ProviderName| self.operations.capabilities_of(provider);
        let at_provider = how.provider.as_ref().and_then(|provider| Some((provider, can(provider)?)));
        let proof = match at_provider.filter(|(_, can)| can.trial_sign_in) {
            Some((provider, can)) => self.try_there(&mut run, (provider, can.lookups), &here, &email, &password).await,
            None => self.compare_here(&call.project, (&email, &here), password, how.provider.is_some()).await?,
        };
        self.enter(call, run, here, proof).await
    }

    /// By the hash here. Who gets in is looked up at the provider; one that does not answer keeps nobody out.
    async fn compare_here(
        &self,
        project: &ProjectKey,
        (email, here): (&str, &Here),
        password: Password,
        at_provider: bool,
    ) -> Answer<Proof> {
        let looked_at = here.looked_at.unwrap_or_else(nobody);
        if !self.may_try(project, (email, looked_at), self.ctx().now).await? {
            return Ok(Proof::here(Err(Refusal::CredentialsWrong)));
        }
        let matches = self.hash.verify(Lane::SignIn, password, here.stored.clone()).await?.matches;
        let may = |customer: &Customer| {
            if at_provider { here.link.is_some() } else { customer.is_email_verified && !here.is_too_old }
        };
        if !matches || !here.customer.as_ref().is_some_and(may) {
            return Ok(Proof::here(Err(Refusal::CredentialsWrong)));
        }
        self.was_right(project, email).await?;
        let there = match &here.link {
            Some(link) => self.operations.look_up_user(&link.provider, By::Id(&link.user)).await.ok(),
            None => None,
        };
        Ok(Proof { link: here.link.clone(), there, ..Proof::here(Ok(())) })
    }

    /// By the provider: looked up, and tried. Both are done of somebody who is nobody, too.
    async fn try_there(
        &self,
        run: &mut Run,
        (provider, ways): (&ProviderName, LookupWays),
        here: &Here,
        email: &str,
        password: &Password,
    ) -> Proof {
        let began = Instant::now();
        let at = |user: ProviderUser| ProviderLink { provider: provider.clone(), user };
        let known = here.link.clone();
        let stranger = nobody().to_string().parse().ok().map(at);
        let there = match (&known, &stranger) {
            (Some(link), _) => self.operations.look_up_user(provider, By::Id(&link.user)).await,
            (None, Some(link)) if !ways.email => self.operations.look_up_user(provider, By::Id(&link.user)).await,
            (None, _) => self.operations.look_up_user(provider, By::Email(email)).await,
        };
        let there = there.ok();
        let link = there.as_ref().map(|found| at(found.user.clone())).or(known);
        let answer = match link.as_ref().or(stranger.as_ref()) {
            Some(link) => self.operations.sign_in(link, password).await,
            None => TrialAnswer::Wrong,
        };
        let (outcome, ended) = self.judge(if link.is_none() { as_nobody(answer) } else { answer });
        let made = Made::done(activity::Call::SignInAtProvider).took(micros(began)).ended(ended.0, ended.1);
        let id = here.customer.as_ref().map(|customer| customer.id);
        let entry = Some(run.called(id, made.at(provider), &mut self.ctx()));
        Proof { outcome, link, there, entry, is_google: false }
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

    /// The same for whom an access token stands for: one of ours, or, where the provider says whose it is, one of its own.
    pub async fn sign_in_user_by_token(
        &self,
        call: Call,
        token: &str,
        provider: Option<ProviderName>,
    ) -> Answer<FoundUser> {
        let (looking, digest, now) = (call.clone(), TokenDigest::of(token), self.ctx().now);
        let find = move |tx: &mut dyn Tx| owner(tx, &looking, digest, now).map(Sought::from);
        let here = self.look_for(&call, None, find).await?;
        let mut run = call.run(Flow::SignIn);
        let Some(provider) = provider else {
            let may = here.customer.as_ref().is_some_and(|it| it.is_email_verified) && here.stored.is_some();
            let proof = Proof::here(if may { Ok(()) } else { Err(Refusal::CredentialsWrong) });
            return self.enter(call, run, here, proof).await;
        };
        let began = Instant::now();
        let (found, is_ours) = match (&here.customer, &here.link) {
            (Some(_), Some(link)) => {
                let user = self.operations.look_up_user(&provider, By::Id(&link.user)).await;
                (user.map(|user| Some(TokenOwner { user, is_google: false })), true)
            }
            (Some(_), None) => (Ok(None), true),
            (None, _) => (self.operations.token_owner(&provider, token).await, false),
        };
        let made = Made::done(activity::Call::LookUpAtProvider).took(micros(began)).at(&provider);
        let (outcome, made) = match &found {
            Ok(Some(_)) => (Ok(()), made),
            Ok(None) => (Err(Refusal::CredentialsWrong), made.ended(CallResult::Refused, "token_unknown")),
            Err(error) => {
                let (result, code) = look_up_ended(error);
                let is_unasked = *error == ProviderError::NotSupported;
                let refusal = if is_unasked { Refusal::CredentialsWrong } else { self.of_provider(error.clone()) };
                (if is_unasked && is_ours { Ok(()) } else { Err(refusal) }, made.ended(result, code))
            }
        };
        let (there, is_google) = match found {
            Ok(Some(owner)) => (Some(owner.user), owner.is_google),
            _ => (None, false),
        };
        let link = there.as_ref().map(|user| ProviderLink { provider: provider.clone(), user: user.user.clone() });
        let here = match &link {
            Some(link) if !is_ours => {
                let (looking, link) = (call.clone(), link.clone());
                let find = move |tx: &mut dyn Tx| CustomerRef::User(link.clone()).find(tx, &looking).map(Sought::from);
                self.look_for(&call, None, find).await?
            }
            _ => here,
        };
        let id = here.customer.as_ref().map(|customer| customer.id);
        let entry = Some(run.called(id, made, &mut self.ctx()));
        let link = link.or_else(|| here.link.clone());
        self.enter(call, run, here, Proof { outcome, link, there, entry, is_google }).await
    }

    /// Who `find` finds, with all that a sign-in looks at.
    async fn look_for(
        &self,
        call: &Call,
        password_life: Option<i64>,
        find: impl Fn(&mut dyn Tx) -> Result<Sought, Fault> + Send + 'static,
    ) -> Answer<Here> {
        let (call, operations, began, now) = (call.clone(), self.operations.clone(), Instant::now(), self.ctx().now);
        let look = move |tx: &mut dyn Tx| {
            let sought = find(tx)?;
            let id = sought.looked_at().map_or_else(nobody, |customer| customer.id);
            let stored = credential::by_customer(tx, &call.project, id)?;
            // Of a password that nobody knows, the one here says nothing.
            let must_recover = operations.must_recover(tx, &call.project, id)?;
            let link = operations.link_of(tx, &call.project, id)?;
            let record = user_record::of_customer(tx, &call.project, id)?;
            let is_too_old = match password_life {
                Some(life) => credential::changed_at(tx, &call.project, id)?.is_some_and(|at| at.plus(life) <= now),
                None => false,
            };
            let looked_us = micros(began);
            // Nothing of whoever stands in is looked at any further.
            let Some(customer) = sought.into_customer() else {
                return Ok(Here { looked_at: Some(id), looked_us, ..Here::default() });
            };
            let has_hash = customer.authentication_mode == AuthenticationMode::Password;
            let stored = stored.filter(|_| !must_recover && has_hash);
            let looked_at = Some(id);
            Ok::<_, Fault>(Here { customer: Some(customer), looked_at, stored, is_too_old, link, record, looked_us })
        };
        Ok(self.store.read(look).await?)
    }

    /// Lets in who has proved to be somebody, with what the provider tells written here; and leaves the traces.
    async fn enter(&self, call: Call, run: Run, here: Here, proof: Proof) -> Answer<FoundUser> {
        let Proof { outcome, link, there, mut entry, is_google } = proof;
        let is_known = here.link == link;
        let is_up_to_date = |customer: &Customer, told: &Said| is_known && !told.differs_from(customer);
        let told = there.as_ref().map(said);
        let entered = match (outcome, &here.customer, &link, told) {
            (Err(refusal), ..) => Err(refusal),
            (Ok(()), Some(customer), _, Some(told)) if is_up_to_date(customer, &told) => Ok(customer.clone()),
            (Ok(()), customer, Some(link), Some(said)) => {
                let before = customer.as_ref().map(|customer| customer.version);
                let told = Told { link: link.clone(), said, before };
                let written = self.synchronise_user(&call, (&run, entry.take()), told).await?;
                written.ok_or(Refusal::CredentialsWrong)
            }
            (Ok(()), customer, ..) => customer.clone().filter(|_| is_known).ok_or(Refusal::CredentialsWrong),
        };
        let known = entered.as_ref().ok().or(here.customer.as_ref());
        let (id, refusal, looked_us) = (known.map(|it| it.id), entered.as_ref().err().cloned(), here.looked_us);
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            let mut run = run.clone();
            let signed_in = if is_google { activity::Call::SignInByGoogleAtHome } else { activity::Call::SignInAtHome };
            let looked_up = run.called(id, Made::done(activity::Call::LookUpAtHome).took(looked_us), ctx);
            let made = Made::done(signed_in);
            let made = refusal.as_ref().map_or(made, |it| made.ended(CallResult::Refused, it.code()));
            let entries = entry.clone().into_iter().chain([looked_up, run.called(id, made, ctx)]);
            for entry in entries {
                log::activity::append(tx, &call.project, &entry)?;
            }
            if is_known {
                return Ok(None);
            }
            id.map(|id| user_record::of_customer(tx, &call.project, id)).transpose()
        };
        let record = self.store.write(&self.ctx(), work).await?.unwrap_or(here.record);
        Ok(FoundUser { customer: Some(entered?), record, user: link.map(|link| link.user), there })
    }
}

/// The answer about a user who is not there, whatever was tried; unless nobody could be asked.
fn as_nobody(answer: TrialAnswer) -> TrialAnswer {
    match answer {
        TrialAnswer::Failed(error) if error.meaning() != Meaning::Refused => TrialAnswer::Failed(error),
        _ => TrialAnswer::Wrong,
    }
}

/// The customer of an access token of ours.
fn owner(tx: &mut dyn Tx, call: &Call, digest: TokenDigest, now: Micros) -> Result<Option<Customer>, Fault> {
    let session = session::by_digest(tx, SessionKind::Access, digest, now)?;
    let session = session.filter(|session| session.project == call.project);
    let Some(id) = session.and_then(|session| session.customer) else { return Ok(None) };
    CustomerRef::Id(id).find(tx, call)
}
