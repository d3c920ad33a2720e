//! Read a user: here, and at the identity provider where there is one (naviga.md 2.7, 3.5 to 3.8).
//!
//! What the provider tells is written here on the way, so that both say the same; a read that finds them alike writes
//! nothing but its activity.

use keyherald_core::Refusal;
use keyherald_core::activity::{self, Activity, CallResult, Made, Run};
use keyherald_core::customer::Customer;
use keyherald_core::filter::{Comparison, Filter, Scalar, Test};
use keyherald_core::message::Flow;
use keyherald_core::operation::look_up_ended;
use keyherald_core::provider::{ProviderError, ProviderLink, ProviderName, ProviderUser};
use keyherald_core::refusal::Lookup;
use keyherald_core::user_record::UserRecord;
use keyherald_store::{Fault, Listing, Tx, customer, provider_link, user_record};
use tokio::time::Instant;

use super::replace_password::micros;
use super::synchronise_user::{Told, said};
use super::{Answer, App, Call, CustomerRef};
use crate::operate::{By, LookedUp};

/// By what a user is read.
#[derive(Clone)]
pub enum UserRef {
    /// By id: the provider's where there is one, else ours.
    Is(CustomerRef),
    /// By e-mail address.
    Email(String),
}

impl UserRef {
    fn not_found(&self) -> Refusal {
        match self {
            Self::Is(which) => which.not_found(),
            Self::Email(_) => Refusal::CustomerNotFound(Lookup::Email),
        }
    }
}

/// A user as it was read. No `Debug`: it is personal.
pub struct FoundUser {
    /// The customer here. `None`: the user is at the provider alone, and cannot be kept here.
    pub customer: Option<Customer>,
    /// What is kept besides.
    pub record: UserRecord,
    /// Who it is at the tenant's provider.
    pub user: Option<ProviderUser>,
    /// What the provider tells, if it was asked.
    pub there: Option<LookedUp>,
}

/// Users as they were found here.
pub struct UserPage {
    /// Those of the page.
    pub users: Vec<FoundUser>,
    /// How many there are on all pages.
    pub total: i64,
}

/// What a look here finds.
#[derive(Default)]
struct Here {
    customer: Option<Customer>,
    record: UserRecord,
    link: Option<ProviderLink>,
}

impl App {
    /// Reads a user; at `provider` too, if one is named. `of` is the provider whose ids are the users' names.
    pub async fn read_user(
        &self,
        call: Call,
        which: UserRef,
        (of, is_asked): (Option<ProviderName>, bool),
    ) -> Answer<FoundUser> {
        self.read_user_in(&call, &mut call.run(Flow::Find), which, (of, is_asked)).await
    }

    /// The same as a part of something else.
    pub(super) async fn read_user_in(
        &self,
        call: &Call,
        run: &mut Run,
        which: UserRef,
        (of, is_asked): (Option<ProviderName>, bool),
    ) -> Answer<FoundUser> {
        let began = Instant::now();
        let here = self.look_here(call, which.clone(), of.clone()).await?;
        let looked_us = micros(began);
        let id = here.customer.as_ref().map(|customer| customer.id);
        let (there, here) = match of.as_ref().filter(|_| is_asked) {
            Some(provider) => self.read_there(call, run, provider, &which, here).await?,
            None => (None, here),
        };
        let made = Made::done(match which {
            UserRef::Is(_) => activity::Call::LookUpAtHome,
            UserRef::Email(_) => activity::Call::FindAtHome,
        });
        let is_found = here.customer.is_some() || there.is_some();
        let not_found = which.not_found();
        let made = if is_found { made } else { made.ended(CallResult::Failed, not_found.code()) };
        let id = here.customer.as_ref().map(|customer| customer.id).or(id);
        self.record(call, run.called(id, made.took(looked_us), &mut self.ctx()));
        if !is_found {
            return Err(not_found.into());
        }
        let user = there.as_ref().map(|found| found.user.clone()).or(here.link.map(|link| link.user));
        Ok(FoundUser { customer: here.customer, record: here.record, user, there })
    }

    async fn look_here(&self, call: &Call, which: UserRef, of: Option<ProviderName>) -> Answer<Here> {
        let call = call.clone();
        let look = move |tx: &mut dyn Tx| {
            let found = match &which {
                UserRef::Is(which) => which.find(tx, &call)?,
                UserRef::Email(email) => call.by_email(tx, email)?,
            };
            found.map_or(Ok(Here::default()), |customer| with_record(tx, &call, customer, of.as_ref()))
        };
        Ok(self.store.read(look).await?)
    }

    /// The user as the provider has it (`None`: it does not, and the user is known here by address), and as it is here
    /// when that is written.
    async fn read_there(
        &self,
        call: &Call,
        run: &mut Run,
        provider: &ProviderName,
        which: &UserRef,
        here: Here,
    ) -> Answer<(Option<LookedUp>, Here)> {
        let (made, by) = match (which, &here.link) {
            // By its id there, or whom a token stands for.
            (UserRef::Is(CustomerRef::User(link)), _) | (UserRef::Is(_), Some(link)) => {
                (activity::Call::LookUpAtProvider, By::Id(&link.user))
            }
            (UserRef::Is(_), None) => return Ok((None, here)),
            // The address there may be another one by now.
            (UserRef::Email(_), Some(link)) => (activity::Call::FindAtProvider, By::Id(&link.user)),
            (UserRef::Email(email), None) => (activity::Call::FindAtProvider, By::Email(email)),
        };
        let began = Instant::now();
        let looked = self.operations.look_up_user(provider, by).await;
        let made = Made::done(made).took(micros(began)).at(provider);
        let made = looked.as_ref().err().map_or(made, |error| {
            let (result, code) = look_up_ended(error);
            made.ended(result, code)
        });
        let id = here.customer.as_ref().map(|customer| customer.id);
        let entry = run.called(id, made, &mut self.ctx());
        match (looked, which) {
            (Ok(found), _) => {
                let here = self.written_through(call, (run, entry), provider, here, &found).await?;
                Ok((Some(found), here))
            }
            // A provider that cannot be asked by address knows nobody by it.
            (Err(ProviderError::UserNotFound | ProviderError::NotSupported), UserRef::Email(_)) => {
                self.record(call, entry);
                Ok((None, here))
            }
            (Err(error), _) => {
                self.record(call, entry);
                Err(Refusal::NotLookedUp(Box::new(self.of_provider(error))).into())
            }
        }
    }

    /// `entry` is that of the look-up: in the transaction of a write it comes first.
    async fn written_through(
        &self,
        call: &Call,
        (run, entry): (&Run, Activity),
        provider: &ProviderName,
        here: Here,
        found: &LookedUp,
    ) -> Answer<Here> {
        let said = said(found);
        let is_the_user = here.link.as_ref().is_some_and(|link| link.user == found.user);
        if is_the_user && here.customer.as_ref().is_some_and(|customer| !said.differs_from(customer)) {
            self.record(call, entry);
            return Ok(here);
        }
        let link = ProviderLink { provider: provider.clone(), user: found.user.clone() };
        let before = here.customer.as_ref().map(|customer| customer.version);
        let told = Told { link, said, before };
        let Some(customer) = self.synchronise_user(call, (run, Some(entry)), told).await? else {
            return Ok(Here::default());
        };
        let which = UserRef::Is(CustomerRef::Id(customer.id));
        let again = self.look_here(call, which, Some(provider.clone())).await?;
        Ok(Here { customer: Some(customer), ..again })
    }

    /// A page of the users who are here. `of` is the provider whose ids are their names.
    pub async fn users(&self, call: Call, listing: Listing, of: Option<ProviderName>) -> Answer<UserPage> {
        let calling = call.clone();
        let look = move |tx: &mut dyn Tx| {
            let page = customer::page(tx, &calling.project, None, &listing)?;
            let total = page.total.unwrap_or_default();
            let found = page.results.into_iter().map(|customer| with_record(tx, &calling, customer, of.as_ref()));
            Ok::<_, Fault>((found.collect::<Result<Vec<_>, _>>()?, total))
        };
        let began = Instant::now();
        let (found, total) = self.store.query(look).await?;
        let made = Made::done(activity::Call::FindAtHome).took(micros(began));
        self.record(&call, call.run(Flow::Find).called(None, made, &mut self.ctx()));
        let user = |here: Here| FoundUser {
            customer: here.customer,
            record: here.record,
            user: here.link.map(|link| link.user),
            there: None,
        };
        Ok(UserPage { users: found.into_iter().map(user).collect(), total })
    }

    /// The condition that a customer is this one; one that holds for nobody, if there is none.
    pub async fn filter_of_user(&self, call: Call, which: CustomerRef) -> Answer<Filter> {
        let found = self.store.read(move |tx| which.find(tx, &call)).await?;
        let id = found.map(|customer| customer.id.to_string()).unwrap_or_default();
        Ok(Filter::Test("id".into(), Test::Compare(Comparison::Equal, Scalar::Text(id))))
    }

    /// The customer that an access token stands for: one of ours, or one of the provider's own. `None`: it is none, or
    /// nobody's.
    pub async fn customer_of_token(
        &self,
        call: &Call,
        token: &str,
        provider: Option<ProviderName>,
    ) -> Answer<Option<CustomerRef>> {
        let session = self.authenticate(token).await?.filter(|session| session.project == call.project);
        let ours = session.and_then(|session| session.customer).map(CustomerRef::Id);
        let Some(provider) = provider.filter(|_| ours.is_none()) else { return Ok(ours) };
        match self.operations.token_owner(&provider, token).await {
            Ok(owner) => {
                let user = owner.map(|owner| owner.user.user);
                Ok(user.map(|user| CustomerRef::User(ProviderLink { provider, user })))
            }
            Err(ProviderError::NotSupported) => Ok(None),
            Err(error) => Err(Refusal::NotLookedUp(Box::new(self.of_provider(error))).into()),
        }
    }
}

fn with_record(tx: &mut dyn Tx, call: &Call, customer: Customer, of: Option<&ProviderName>) -> Result<Here, Fault> {
    let record = user_record::of_customer(tx, &call.project, customer.id)?;
    let link = match of {
        Some(provider) => provider_link::of_customer(tx, &call.project, customer.id, provider)?,
        None => None,
    };
    Ok(Here { customer: Some(customer), record, link })
}
