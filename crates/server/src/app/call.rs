//! One call, and what can be seen from where it was made.
//!
//! A call within a store sees that store's customers and no others, whatever they are named by: for everybody else the
//! answer is that there is no such customer (commercetools.md chapter 3).

use keyherald_core::Refusal;
use keyherald_core::activity::{Run, Source};
use keyherald_core::customer::{Customer, CustomerNumber, fold_email};
use keyherald_core::id::{CustomerId, Key, ProjectKey, Reference};
use keyherald_core::initiator::Initiator;
use keyherald_core::message::Flow;
use keyherald_core::policy::Surface;
use keyherald_core::provider::ProviderLink;
use keyherald_core::refusal::Lookup;
use keyherald_core::shop::Known;
use keyherald_core::sought::Sought;
use keyherald_store::{Fault, Tx, customer, provider_link, shop};

use crate::operate::Repeat;

/// How often an address is looked for that changes hands meanwhile.
const LOOKS_MAX: usize = 3;

/// One call: on which project, within which store, by whom, from where.
#[derive(Clone)]
pub struct Call {
    /// The project.
    pub project: ProjectKey,
    /// The store, if the call is made within one.
    pub store: Option<InStore>,
    /// Who calls.
    pub by: Initiator,
    /// From where.
    pub source: Source,
    /// The request, if its caller may repeat it. Looked at where a password is set.
    pub repeatable: Option<Repeat>,
    /// The contract that it is made in, whose new passwords may have to keep to the project's policy. `None`: they are not
    /// checked, or already were.
    pub surface: Option<Surface>,
}

/// The store within which a call is made.
#[derive(Clone)]
pub struct InStore {
    /// The store's key. It exists.
    pub key: Key,
    /// The caller may do the same in every other store of the project. Otherwise other stores do not exist for it.
    pub sees_others: bool,
}

impl Call {
    /// One on a project as a whole, by nobody in particular.
    pub fn on(project: ProjectKey) -> Self {
        Self {
            project,
            store: None,
            by: Initiator::default(),
            source: Source::default(),
            repeatable: None,
            surface: None,
        }
    }

    /// For the activity that it leaves.
    pub(super) fn run(&self, flow: Flow) -> Run {
        Run::new(flow, &self.by, &self.source)
    }

    /// Whether this customer can be seen from here.
    pub(super) fn sees(&self, customer: &Customer) -> bool {
        self.store.as_ref().is_none_or(|store| customer.stores.contains(&store.key))
    }

    /// The customer with this e-mail address: a global one, or one of the call's store.
    pub(super) fn by_email(&self, tx: &mut dyn Tx, email: &str) -> Result<Option<Customer>, Fault> {
        match &self.store {
            None => customer::by_email(tx, &self.project, email),
            Some(store) => customer::by_email_in_store(tx, &self.project, &store.key, email),
        }
    }

    /// Takes the row lock of the customer with this e-mail address. Who gave the address up before the lock was there is
    /// not it any more; then whoever has it now is looked for.
    pub(super) fn lock_by_email(&self, tx: &mut dyn Tx, email: &str) -> Result<Option<Customer>, Fault> {
        for _ in 0..LOOKS_MAX {
            let Some(found) = self.by_email(tx, email)? else { return Ok(None) };
            let locked = customer::lock(tx, &self.project, found.id)?;
            if let Some(locked) = locked.filter(|locked| self.is_email_of(email, locked)) {
                return Ok(Some(locked));
            }
        }
        Ok(None)
    }

    /// Who this e-mail address means, where nobody may learn whether that is anybody.
    pub(super) fn seek_by_email(&self, tx: &mut dyn Tx, email: &str) -> Result<Sought, Fault> {
        let near = self.near_email(tx, email)?.map(Box::new);
        Ok(match near {
            Some(near) if self.is_email_of(email, &near) => Sought::Found(near),
            near => Sought::Nobody(near),
        })
    }

    /// The same, with the row lock of whoever it is.
    pub(super) fn lock_sought_by_email(&self, tx: &mut dyn Tx, email: &str) -> Result<Sought, Fault> {
        self.lock_sought(tx, |tx| self.near_email(tx, email), |customer| self.is_email_of(email, customer))
    }

    /// The same for whomever `near` finds, if `is_meant`. Who is meant at first, and is not when the lock is there, has given
    /// that up meanwhile; then it is looked for again.
    pub(super) fn lock_sought(
        &self,
        tx: &mut dyn Tx,
        near: impl Fn(&mut dyn Tx) -> Result<Option<Customer>, Fault>,
        is_meant: impl Fn(&Customer) -> bool,
    ) -> Result<Sought, Fault> {
        for _ in 0..LOOKS_MAX {
            let Some(found) = near(tx)? else { break };
            let Some(locked) = customer::lock(tx, &self.project, found.id)?.map(Box::new) else { continue };
            match (is_meant(&found), is_meant(&locked)) {
                (_, true) => return Ok(Sought::Found(locked)),
                (false, false) => return Ok(Sought::Nobody(Some(locked))),
                (true, false) => {}
            }
        }
        Ok(Sought::Nobody(None))
    }

    fn near_email(&self, tx: &mut dyn Tx, email: &str) -> Result<Option<Customer>, Fault> {
        customer::near_email(tx, &self.project, self.store.as_ref().map(|store| &store.key), email)
    }

    /// Whether it is this customer who is meant by an address from here.
    fn is_email_of(&self, email: &str, customer: &Customer) -> bool {
        let is_here = if self.store.is_some() { self.sees(customer) } else { customer.is_global() };
        is_here && fold_email(&customer.email) == fold_email(email)
    }

    /// Takes the row lock of a customer that can be seen from here.
    pub(super) fn lock(&self, tx: &mut dyn Tx, id: CustomerId) -> Result<Option<Customer>, Fault> {
        Ok(customer::lock(tx, &self.project, id)?.filter(|locked| self.sees(locked)))
    }

    /// Those of the named stores that are there for this call.
    pub(super) fn known(&self, tx: &mut dyn Tx, named: &[Reference]) -> Result<Known, Fault> {
        let known = shop::known(tx, &self.project, named)?;
        Ok(match &self.store {
            Some(InStore { key, sees_others: false }) => known.only(key),
            _ => known,
        })
    }
}

/// How a customer is named in a request.
#[derive(Clone)]
pub enum CustomerRef {
    /// By id.
    Id(CustomerId),
    /// By key.
    Key(Key),
    /// By the number of ours.
    Number(CustomerNumber),
    /// As a user of an identity provider.
    User(ProviderLink),
}

impl CustomerRef {
    /// The refusal when there is none.
    pub(super) fn not_found(&self) -> Refusal {
        Refusal::CustomerNotFound(match self {
            Self::Id(_) | Self::Number(_) | Self::User(_) => Lookup::Id,
            Self::Key(_) => Lookup::Key,
        })
    }

    /// The customer that is meant, if the call sees it.
    pub(super) fn find(&self, tx: &mut dyn Tx, call: &Call) -> Result<Option<Customer>, Fault> {
        let found = match self {
            Self::Id(id) => customer::by_id(tx, &call.project, *id)?,
            Self::Key(key) => customer::by_key(tx, &call.project, key)?,
            Self::Number(number) => customer::by_number(tx, &call.project, number)?,
            Self::User(ProviderLink { provider, user }) => {
                match provider_link::by_user(tx, &call.project, provider, user)? {
                    Some(id) => customer::by_id(tx, &call.project, id)?,
                    None => None,
                }
            }
        };
        Ok(found.filter(|customer| call.sees(customer)))
    }

    /// Takes the row lock of the customer that is meant, if the call sees it.
    pub(super) fn lock(&self, tx: &mut dyn Tx, call: &Call) -> Result<Option<Customer>, Fault> {
        if let Self::Id(id) = self {
            return call.lock(tx, *id);
        }
        let Some(found) = self.find(tx, call)? else { return Ok(None) };
        let Some(locked) = call.lock(tx, found.id)? else { return Ok(None) };
        // The name may have moved to another customer before the lock was there.
        let is_still_named = match self {
            Self::Key(key) => locked.key.as_ref() == Some(key),
            Self::User(ProviderLink { provider, user }) => {
                provider_link::by_user(tx, &call.project, provider, user)? == Some(locked.id)
            }
            Self::Id(_) | Self::Number(_) => true, // these never change
        };
        Ok(Some(locked).filter(|_| is_still_named))
    }
}
