//! Register a user: at the identity provider first, if there is one, and then here (naviga.md 3.3, 3.4).
//!
//! **If the process dies between the two, or an answer is lost.** Before the provider is called it is asked whether it
//! has the address, and that it had not is committed as a registration with a MAC of the password. So a repeat of the
//! request that finds the user there knows that it is its own, and goes on here; one with another password is told that
//! the address is taken. Nothing is created twice: the address is the provider's own limit there, and a claim here. A
//! user whose caller does not come back becomes a customer all the same: a note is committed with the registration, and
//! leads back to it ([`settle_doubts`](super::settle_doubts)). What the provider does not tell, the caller's own fields and
//! the mail to who came without a password, is the repeat's to do, which may come as long as the registration is kept.

use keyherald_core::activity::{self, CallResult, Made, Run};
use keyherald_core::create::{self, AddressUse, Command};
use keyherald_core::credential::AuthenticationMode;
use keyherald_core::customer::{Customer, Profile};
use keyherald_core::doubt::{About, Doubt};
use keyherald_core::id::{CustomerId, TokenId};
use keyherald_core::mail::Link;
use keyherald_core::message::Flow;
use keyherald_core::operation::look_up_ended;
use keyherald_core::provider::{ProviderError, ProviderLink, ProviderName};
use keyherald_core::refusal::UniqueField;
use keyherald_core::registration::{self as drafts, Draft};
use keyherald_core::secret::{Password, TokenValue};
use keyherald_core::shop::Known;
use keyherald_core::user_record::UserRecord;
use keyherald_core::{Ctx, Micros, Refusal};
use keyherald_store::operation::{self, Replay};
use keyherald_store::{
    Fault, Tx, claim, credential, customer, doubt, log, provider_link, registration, token as tokens, user_record,
};
use tokio::time::Instant;

use super::check_password::Whose;
use super::doubts::{Noted, is_surely_undone};
use super::replace_password::micros;
use super::{Answer, App, Call, FoundUser, note};
use crate::hash::Lane;
use crate::operate::{By, LookedUp, NewUser};

/// For how long a registration that was begun with another password is left to whoever began it, in microseconds.
const LEFT_ALONE: i64 = Micros::MINUTE;

/// Where and how somebody is registered.
#[derive(Clone)]
pub struct Registering {
    /// The provider of the tenant's users.
    pub provider: Option<ProviderName>,
    /// What the provider puts in front of an id that is chosen.
    pub prefix: Option<&'static str>,
    /// Keep a hash of the password here, too, if the provider has it.
    pub keeps_hash: bool,
    /// The token by which a user without a password is to choose one.
    pub welcome: (TokenId, TokenValue),
    /// The page where it is chosen. `None`: the one that is configured for the mail.
    pub page: Option<Link>,
    /// The page that the mail with a code leads to. `None`: it has the code alone.
    pub code_page: Option<Link>,
}

/// What became of it.
pub enum Registered {
    /// There is a user.
    Done(Box<FoundUser>),
    /// The address is to be proved first.
    Pending,
    /// Somebody has the address and has not proved it.
    Unverified,
    /// Somebody has the address.
    Taken,
}

/// What a look here says before anything is done.
enum First {
    Go,
    Again(Box<Customer>),
    Not(Registered),
    Reused,
}

impl App {
    /// Registers a user, or, with `proves_email`, has the address proved first: then nobody is created anywhere.
    pub async fn register_user(
        &self,
        call: Call,
        mut draft: Draft,
        how: Registering,
        proves_email: bool,
    ) -> Answer<Registered> {
        if draft.password.is_some() {
            self.hash.admit(Lane::Change)?;
        }
        match self.first_look(&call, &draft).await? {
            First::Go => {}
            First::Again(customer) => return self.registered_before(&call, *customer, how.provider).await,
            First::Reused => {
                return self.refuse(call, Flow::Create, None, Refusal::IdempotencyKeyReused, self.ctx()).await;
            }
            First::Not(not) => {
                let mut run = call.run(Flow::Create);
                let made = Made::done(activity::Call::CreateAtHome).ended(CallResult::Refused, TAKEN);
                self.record(&call, run.called(None, made, &mut self.ctx()));
                return Ok(not);
            }
        }
        if let Some(password) = draft.password.take() {
            draft.password = Some(self.checked(&call, Flow::Create, Whose::New(&draft.email), password).await?);
        }
        draft.has_password = draft.password.is_some();
        if proves_email {
            return self.begin_proof(call, draft, how).await;
        }
        let mut run = call.run(Flow::Create);
        self.complete_registration(&call, &mut run, draft, how).await
    }

    async fn first_look(&self, call: &Call, draft: &Draft) -> Answer<First> {
        let (call, ring, now, draft) = (call.clone(), self.ring.clone(), self.ctx().now, what_is_proved(draft));
        let look = move |tx: &mut dyn Tx| {
            let email = draft.email.as_str();
            let found = call.by_email(tx, email)?;
            if let Some(repeat) = &call.repeatable {
                match (operation::replay(tx, &ring, &call.project, &repeat.as_repeatable(), now)?, &found) {
                    (Replay::Done, Some(customer)) => return Ok(First::Again(Box::new(customer.clone()))),
                    (Replay::OtherRequest | Replay::Same(_), _) => return Ok(First::Reused),
                    (Replay::New | Replay::Done, _) => {}
                }
            }
            let pending = registration::by_email(tx, &ring, &call.project, email, now)?;
            let is_begun =
                |it: &registration::Registration| Ok(it.begun && !it.awaits_code && it.is_of(&ring, &draft)?);
            let is_ours = pending.as_ref().map_or(Ok::<_, Fault>(false), is_begun)?;
            Ok::<_, Fault>(match (found, pending) {
                // Somebody has found the user at the provider before this repeat came.
                (Some(_), _) if is_ours => First::Go,
                (Some(customer), _) if !customer.is_email_verified => First::Not(Registered::Unverified),
                (Some(_), _) => First::Not(Registered::Taken),
                (None, Some(pending)) if pending.awaits_code => First::Not(Registered::Unverified),
                (None, _) => First::Go,
            })
        };
        Ok(self.store.read(look).await?)
    }

    async fn registered_before(
        &self,
        call: &Call,
        customer: Customer,
        provider: Option<ProviderName>,
    ) -> Answer<Registered> {
        let (call, id) = (call.clone(), customer.id);
        let look = move |tx: &mut dyn Tx| {
            let link = match &provider {
                Some(provider) => provider_link::of_customer(tx, &call.project, id, provider)?,
                None => None,
            };
            Ok::<_, Fault>((user_record::of_customer(tx, &call.project, id)?, link))
        };
        let (record, link) = self.store.read(look).await?;
        let user = link.map(|link| link.user);
        Ok(Registered::Done(Box::new(FoundUser { customer: Some(customer), record, user, there: None })))
    }

    /// Registers at the provider and here. Whatever was done before is found and not done again.
    pub(super) async fn complete_registration(
        &self,
        call: &Call,
        run: &mut Run,
        mut draft: Draft,
        how: Registering,
    ) -> Answer<Registered> {
        let there = how.provider.as_ref().filter(|_| !draft.ignores_provider);
        let prefix = how.prefix.unwrap_or_default();
        let link = match there {
            Some(provider) => match self.register_there(call, run, provider, &draft).await? {
                Some(found) => Some(ProviderLink { provider: provider.clone(), user: found.user }),
                None => return Ok(Registered::Taken),
            },
            // Here alone: the user may be there already.
            None => how.provider.as_ref().zip(draft.crid.as_deref()).and_then(|(provider, crid)| {
                Some(ProviderLink { provider: provider.clone(), user: format!("{prefix}{crid}").parse().ok()? })
            }),
        };
        let is_there = there.is_some();
        let keeps = !is_there || how.keeps_hash;
        if let Some(password) = draft.password.take().filter(|_| keeps) {
            draft.hash = Some(self.hash.hash(Lane::Change, password, self.ctx().bytes()).await?);
        }
        let writing = Writing { call: call.clone(), run: run.clone(), link, is_there, how, ring: self.ring.clone() };
        let (draft, writing) = (std::sync::Arc::new(draft), std::sync::Arc::new(writing));
        Ok(self.store.write(&self.ctx(), move |tx, ctx| writing.write(tx, &draft, ctx)).await?)
    }

    /// The user at the provider: the one that is made now, or was made for the same request before. `None`: the address is
    /// somebody else's there.
    async fn register_there(
        &self,
        call: &Call,
        run: &mut Run,
        provider: &ProviderName,
        draft: &Draft,
    ) -> Answer<Option<LookedUp>> {
        let began = Instant::now();
        let before = self.look_for_address(call, run, provider, &draft.email).await?;
        let what = (provider, activity::Call::CreateAtProvider);
        let doubt = self.doubt(call, run, About::Address(draft.email.clone()), what);
        let noted = self.noted(&doubt, Instant::now());
        let is_ours = match self.begin(call, draft, doubt, before.is_some()).await? {
            Begun::Anew => false,
            Begun::Before => true,
            Begun::Not => {
                self.record_creation(call, run, provider, Err(&ProviderError::Conflict), began);
                return Ok(None);
            }
            Begun::LeftAlone => {
                let retry_after_s = Refusal::UNDERWAY_RETRY_AFTER_S;
                return Err(Refusal::PasswordChangeUnderway { retry_after_s }.into());
            }
        };
        match before {
            Some(found) if is_as_made(&found) => {
                self.record_creation(call, run, provider, Ok(()), began);
                return Ok(Some(found));
            }
            Some(_) => {
                self.record_creation(call, run, provider, Err(&ProviderError::Conflict), began);
                return Ok(None);
            }
            None => {}
        }
        let made = if noted.is_in_time() {
            self.create_there(provider, draft, is_ours).await
        } else {
            Err(ProviderError::Transient)
        };
        self.record_creation(call, run, provider, made.as_ref().map(drop), began);
        match made {
            Ok(found) => Ok(Some(found)),
            Err(error) => {
                // Only what may have been applied is kept for the repeat: of anything else, whoever is there under this
                // address by then is somebody else.
                if is_surely_undone(&error) {
                    let is_final = error == ProviderError::Conflict || error.concerns_customer();
                    self.forget_registration(call, &draft.email, noted, (!is_ours).then_some(is_final)).await?;
                }
                match error {
                    ProviderError::Conflict => Ok(None),
                    error => Err(self.of_provider(error).into()),
                }
            }
        }
    }

    /// Creates the user at the provider, and looks for it where the answer says that it may be there. `is_ours`: an earlier
    /// attempt for the same request may be why the address is taken.
    async fn create_there(
        &self,
        provider: &ProviderName,
        draft: &Draft,
        is_ours: bool,
    ) -> Result<LookedUp, ProviderError> {
        // The provider demands one.
        let dummy = drafts::dummy_password(&mut self.ctx());
        let user = NewUser {
            email: &draft.email,
            password: draft.password.as_ref().unwrap_or(&dummy),
            first_name: draft.first_name.as_deref(),
            last_name: draft.last_name.as_deref(),
            external_id: draft.crid.as_deref(),
            email_verified: true,
        };
        let made = self.operations.create_user(provider, user).await;
        let may_be_there = match &made {
            // Nobody had the address just before.
            Err(ProviderError::Ambiguous) => true,
            Err(ProviderError::Conflict) => is_ours,
            _ => false,
        };
        if may_be_there
            && let Ok(found) = self.operations.look_up_user(provider, By::Email(&draft.email)).await
            && is_as_made(&found)
        {
            return Ok(found);
        }
        made
    }

    /// Who has the address at the provider. A provider that cannot be asked has nobody, and says so when it creates.
    pub(super) async fn look_for_address(
        &self,
        call: &Call,
        run: &mut Run,
        provider: &ProviderName,
        email: &str,
    ) -> Answer<Option<LookedUp>> {
        let began = Instant::now();
        match self.operations.look_up_user(provider, By::Email(email)).await {
            Ok(found) => Ok(Some(found)),
            Err(ProviderError::UserNotFound | ProviderError::NotSupported) => Ok(None),
            Err(error) => {
                let (result, code) = look_up_ended(&error);
                let made = Made::done(activity::Call::FindAtProvider).took(micros(began)).at(provider);
                self.record(call, run.called(None, made.ended(result, code), &mut self.ctx()));
                Err(self.of_provider(error).into())
            }
        }
    }

    fn record_creation(
        &self,
        call: &Call,
        run: &mut Run,
        provider: &ProviderName,
        ended: Result<(), &ProviderError>,
        began: Instant,
    ) {
        let made = Made::done(activity::Call::CreateAtProvider).took(micros(began)).at(provider);
        let made = match ended {
            Ok(()) => made,
            Err(ProviderError::Ambiguous) => made.ended(CallResult::Unknown, ProviderError::Ambiguous.code()),
            Err(error @ (ProviderError::Transient | ProviderError::RateLimited { .. })) => {
                made.ended(CallResult::Failed, error.code())
            }
            Err(error) => made.ended(CallResult::Refused, error.code()),
        };
        self.record(call, run.called(None, made, &mut self.ctx()));
    }

    /// Commits that the provider did not have the address when this was begun, with the note that it is about to be asked;
    /// unless it `is_there`.
    async fn begin(&self, call: &Call, draft: &Draft, doubt: Doubt, is_there: bool) -> Answer<Begun> {
        let (call, ring) = (call.clone(), self.ring.clone());
        let first_due = Doubt::first_due(doubt.began_at, self.operations.limits());
        let draft = std::sync::Arc::new(what_is_proved(draft));
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            let note = |tx: &mut dyn Tx| if is_there { Ok(()) } else { doubt::put(tx, &doubt, first_due) };
            let command = new_customer(&draft, &call);
            let Ok(claims) = command.claims(&Known::default()) else { return Ok(Begun::Not) };
            // Somebody is here under it since the first look. Who is there too is a read's doing.
            if claim::take(tx, &call.project, &claims, None)?.is_some() && !is_there {
                return Ok(Begun::Not);
            }
            match registration::by_email(tx, &ring, &call.project, &draft.email, ctx.now)? {
                Some(before) if before.begun && before.is_of(&ring, &draft)? => {
                    note(tx)?;
                    Ok(Begun::Before)
                }
                _ if is_there => Ok(Begun::Not),
                Some(before) if before.awaits_code && before.is_of(&ring, &draft)? => {
                    registration::put_begun(tx, &call.project, &draft.email)?;
                    note(tx)?;
                    Ok(Begun::Anew)
                }
                Some(before) if before.awaits_code || before.created_at.plus(LEFT_ALONE) > ctx.now => {
                    Ok(Begun::LeftAlone)
                }
                _ => {
                    let id = CustomerId::new(ctx);
                    registration::put(tx, &ring, &call.project, (id, &draft), false, ctx)?;
                    note(tx)?;
                    Ok(Begun::Anew)
                }
            }
        };
        Ok(self.store.write(&self.ctx(), work).await?)
    }

    /// Nothing was done at the provider by this attempt, nor, if there was none before (`is_final`), by any: one that waits
    /// for its code goes on waiting, unless that is final.
    async fn forget_registration(&self, call: &Call, email: &str, noted: Noted, is_final: Option<bool>) -> Answer<()> {
        let (project, email) = (call.project.clone(), email.to_owned());
        let work = move |tx: &mut dyn Tx, _: &mut Ctx| {
            doubt::remove(tx, &project, noted.id)?;
            match is_final {
                Some(true) => registration::remove(tx, &project, &email),
                Some(false) => registration::remove_begun(tx, &project, &email),
                None => Ok(()),
            }
        };
        Ok(self.store.write(&self.ctx(), work).await?)
    }

    /// Keeps the draft until the address is proved, and has a code mailed. A password for a provider is not kept for so
    /// long: the user chooses it then, as one who came without.
    async fn begin_proof(&self, call: Call, mut draft: Draft, how: Registering) -> Answer<Registered> {
        let mut run = call.run(Flow::CreateEmailToken);
        let password = draft.password.take();
        match how.provider.as_ref().filter(|_| !draft.ignores_provider) {
            Some(provider) => {
                if self.look_for_address(&call, &mut run, provider, &draft.email).await?.is_some() {
                    return Ok(Registered::Taken);
                }
            }
            None => {
                if let Some(password) = password {
                    draft.hash = Some(self.hash.hash(Lane::Change, password, self.ctx().bytes()).await?);
                }
            }
        }
        let (ring, draft, page) = (self.ring.clone(), std::sync::Arc::new(draft), how.code_page);
        let work = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
            let project = &call.project;
            if let Ok(claims) = new_customer(&draft, &call).claims(&Known::default())
                && claim::take(tx, project, &claims, None)?.is_some()
            {
                return Ok(Registered::Taken);
            }
            let before = registration::by_email(tx, &ring, project, &draft.email, ctx.now)?;
            if before.is_some_and(|before| before.awaits_code) {
                return Ok(Registered::Unverified);
            }
            let id = CustomerId::new(ctx);
            registration::put(tx, &ring, project, (id, &draft), true, ctx)?;
            log::put_customer_key(tx, &ring, project, id, ctx.bytes(), ctx)?;
            let to = super::prove_email::recipient(&draft);
            super::prove_email::send_code(tx, &ring, &call, id, (to, page.clone()), ctx)?;
            let made = Made::done(activity::Call::CreatePendingAtHome);
            note(tx, &call, Flow::CreateEmailToken, None, made, ctx)?;
            Ok(Registered::Pending)
        };
        Ok(self.store.write(&self.ctx(), work).await?)
    }
}

/// What tells a repeat. A draft holds a password and cannot be cloned.
fn what_is_proved(draft: &Draft) -> Draft {
    let password = draft.password.as_ref().map(Password::duplicate);
    Draft { email: draft.email.clone(), password, ..Draft::default() }
}

/// Whether a user may be the one that was made: with an address that counts as proved. Whoever signs up there meanwhile has
/// proved nothing yet.
fn is_as_made(found: &LookedUp) -> bool {
    found.email_verified != Some(false)
}

/// The outcome of an activity entry about an address that somebody has.
const TAKEN: &str = "duplicate";

/// What a registration at the provider begins with.
enum Begun {
    /// This request.
    Anew,
    /// The same request has begun it.
    Before,
    /// Somebody else has the address there.
    Not,
    /// Another request is at it.
    LeftAlone,
}

/// All that a registration is written with here.
struct Writing {
    call: Call,
    run: Run,
    link: Option<ProviderLink>,
    /// The provider has the user by our doing, and not only by the caller's word.
    is_there: bool,
    how: Registering,
    ring: std::sync::Arc<keyherald_core::seal::KeyRing>,
}

impl Writing {
    fn write(&self, tx: &mut dyn Tx, draft: &Draft, ctx: &mut Ctx) -> Result<Registered, Fault> {
        let project = &self.call.project;
        let command = new_customer(draft, &self.call);
        let Ok(claims) = command.claims(&Known::default()) else { return Ok(Registered::Taken) };
        let taken = claim::take(tx, project, &claims, None)?;
        let made = match self.synchronised(tx)? {
            // A caller's word makes nobody somebody who is here already.
            Some(_) if !self.is_there => return self.taken(tx, &Refusal::Duplicate(UniqueField::Email), ctx),
            // The same request once more, at the same time.
            Some(customer) if !self.is_open(tx, &draft.email, ctx)? => {
                let record = user_record::of_customer(tx, project, customer.id)?;
                return Ok(self.done(customer, record));
            }
            // A look has found the user there meanwhile, and written it, without what a look does not tell.
            Some(customer) => {
                if let (Some(hash), None) = (&draft.hash, credential::by_customer(tx, project, customer.id)?) {
                    credential::put(tx, project, customer.id, hash, ctx.now)?;
                }
                customer
            }
            None => match create::decide(&command, &Known::default(), taken, draft.hash.clone(), ctx) {
                Ok(mut created) => {
                    customer::create(tx, &self.ring, project, &mut created, ctx)?;
                    created.customer
                }
                Err(refusal) => return self.taken(tx, &refusal, ctx),
            },
        };
        if let Some(link) = &self.link
            && !provider_link::put(tx, project, made.id, link, ctx.now)?
        {
            // The user whom the caller names is another customer.
            return Err(Fault::new(keyherald_store::FaultKind::Contention, "a provider's user was linked meanwhile"));
        }
        let mut record = UserRecord::default();
        if record.merge(&draft.metadata) && !record.metadata.is_empty() {
            user_record::put(tx, project, made.id, &record)?;
        }
        if !draft.has_password {
            let (token, message) =
                drafts::welcome(&made, self.how.welcome.clone(), self.how.page.clone(), &self.call.by, ctx);
            tokens::insert(tx, project, &token, self.how.welcome.1.digest())?;
            log::append(tx, &self.ring, project, &message, ctx)?;
        }
        registration::remove(tx, project, &draft.email)?;
        doubt::remove_of_address(tx, project, &draft.email)?;
        let entry = self.run.clone().called(Some(made.id), Made::done(activity::Call::CreateAtHome), ctx);
        log::activity::append(tx, project, &entry)?;
        if let Some(repeat) = &self.call.repeatable {
            operation::remember(tx, &self.ring, project, &repeat.as_repeatable(), ctx.now)?;
        }
        Ok(self.done(made, record))
    }

    fn done(&self, customer: Customer, record: UserRecord) -> Registered {
        let user = self.link.as_ref().map(|link| link.user.clone());
        Registered::Done(Box::new(FoundUser { customer: Some(customer), record, user, there: None }))
    }

    fn taken(&self, tx: &mut dyn Tx, refusal: &Refusal, ctx: &mut Ctx) -> Result<Registered, Fault> {
        let made = Made::done(activity::Call::CreateAtHome).ended(CallResult::Refused, refusal.code());
        log::activity::append(tx, &self.call.project, &self.run.clone().called(None, made, ctx))?;
        Ok(Registered::Taken)
    }

    /// Whether nobody has ended the registration.
    fn is_open(&self, tx: &mut dyn Tx, email: &str, ctx: &Ctx) -> Result<bool, Fault> {
        Ok(registration::by_email(tx, &self.ring, &self.call.project, email, ctx.now)?.is_some())
    }

    fn synchronised(&self, tx: &mut dyn Tx) -> Result<Option<Customer>, Fault> {
        let Some(link) = &self.link else { return Ok(None) };
        match provider_link::by_user(tx, &self.call.project, &link.provider, &link.user)? {
            Some(id) => customer::lock(tx, &self.call.project, id),
            None => Ok(None),
        }
    }
}

/// The customer of a draft. Its caller vouches for the address, or it was proved.
fn new_customer(draft: &Draft, call: &Call) -> Command {
    let profile =
        Profile { first_name: draft.first_name.clone(), last_name: draft.last_name.clone(), ..Profile::default() };
    Command {
        email: draft.email.clone(),
        key: None,
        external_id: None,
        customer_number: None,
        mobile: None,
        stores: Vec::new(),
        authentication_mode: AuthenticationMode::Password,
        is_email_verified: true,
        profile,
        addresses: AddressUse::default(),
        by: call.by.clone(),
    }
}
