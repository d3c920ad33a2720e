//! Customers: create, read, query, delete (commercetools.md 2.2 to 2.6, 3.4).

use std::rc::Rc;

use serde_json::{Value, json};

use super::refused::{self, Refused};
use super::state::{Address, Customer, Mistake, Roles, Token, World};
use super::{Fact, Outcome, Who};
use crate::call::{By, Call, Draft, Named, object};
use crate::expect::{Expected, Listing, Name};
use crate::query::{Page, Predicate};

impl World {
    pub(super) fn create(&mut self, call: &Call, who: &Who, draft: &Draft, own: bool) -> Outcome {
        let mut draft = draft.clone();
        if own {
            // A MyCustomerDraft has these not; what it has not is ignored (2.2).
            (draft.external, draft.key, draft.number, draft.external_id, draft.verified) = Default::default();
            (draft.shipping, draft.billing) = Default::default();
        }
        let external = draft.external.unwrap_or(false);
        if draft.email.is_empty() {
            return Err(refused::invalid_field("email", ""));
        }
        if !external && draft.password.is_none() {
            return Err(refused::invalid_json(Some("password: Missing required value")));
        }
        let mut stores = self.stores(call, who, &draft.stores)?;
        if let (Some(store), true) = (&call.store, stores.is_empty()) {
            stores.push(store.clone());
        }
        let mut customer = Customer {
            id: self.name("id"),
            version: 1,
            created_at: self.now,
            modified_at: self.now,
            created_by: who.by.clone(),
            modified_by: who.by.clone(),
            email: draft.email.clone(),
            key: draft.key.clone(),
            number: draft.number.clone(),
            external_id: draft.external_id.clone(),
            external,
            password: None,
            verified: draft.verified.unwrap_or(false),
            texts: draft.texts.iter().cloned().collect(),
            addresses: Vec::new(),
            shipping: Roles::default(),
            billing: Roles::default(),
            stores,
            sequence: 0,
        };
        self.claim(call, &customer)?;
        if let (false, Some(password)) = (external, &draft.password) {
            customer.password = Some((password.clone(), self.name("mask")));
        }
        for address in &draft.addresses {
            customer.addresses.push(Address { id: self.name("address"), draft: address.clone() });
        }
        let ids: Vec<Name> = customer.addresses.iter().map(|address| address.id.clone()).collect();
        let roles = |used: &[usize], default: Option<usize>| {
            let mut roles = Roles { ids: Vec::new(), default: default.map(|index| ids[index].clone()) };
            for index in used.iter().copied().chain(default) {
                if !roles.ids.contains(&ids[index]) {
                    roles.ids.push(ids[index].clone());
                }
            }
            roles
        };
        customer.shipping = roles(&draft.shipping, draft.default_shipping);
        customer.billing = roles(&draft.billing, draft.default_billing);
        let shown = customer.json();
        let fact = Fact::new("CustomerCreated", object(&[("customer", shown.clone())]));
        self.tell(call.project, &mut customer, fact, &who.by);
        self.project(call).customers.insert(customer.id.clone(), Rc::new(customer));
        Ok(Expected::Body(201, json!({"customer": shown})))
    }

    pub(super) fn read(&mut self, call: &Call, who: &Who, by: &By) -> Outcome {
        Ok(Expected::Body(200, self.find(call, who, by)?.json()))
    }

    /// The customer that a path names, if it is seen from there.
    pub(super) fn find(&self, call: &Call, who: &Who, by: &By) -> Result<Rc<Customer>, Refused> {
        let customers = || self.projects[call.project].customers.values();
        let seen = |customer: &&Rc<Customer>| customer.is_in(call.store.as_deref());
        match by {
            By::Id(id) => self.by_id(call, id),
            By::Me => {
                let found = customers().filter(seen).find(|customer| Some(&customer.id) == who.customer.as_ref());
                found.cloned().ok_or_else(|| refused::no_such_id(who.customer.as_deref().unwrap_or_default()))
            }
            By::Key(key) => {
                let found = customers().filter(seen).find(|customer| customer.key.as_ref() == Some(key));
                found.cloned().ok_or_else(|| refused::no_such_key(key))
            }
            By::PasswordToken(value) => self.usable(call, value, false).map(|(_, owner)| owner),
            By::EmailToken(value) => self.usable(call, value, true).map(|(_, owner)| owner),
        }
    }

    pub(super) fn by_id(&self, call: &Call, id: &str) -> Result<Rc<Customer>, Refused> {
        let mut customers = self.projects[call.project].customers.values();
        let found = customers.find(|customer| customer.is_in(call.store.as_deref()) && self.is(&customer.id, id));
        found.cloned().ok_or_else(|| refused::no_such_id(id))
    }

    /// The customer with this e-mail address: a global one, or one of the call's store (chapter 3).
    pub(super) fn by_email(&self, call: &Call, email: &str) -> Option<Rc<Customer>> {
        let mut customers = self.projects[call.project].customers.values();
        let is_here = |customer: &Customer| match &call.store {
            None => customer.stores.is_empty(),
            Some(store) => customer.is_in(Some(store)),
        };
        customers.find(|customer| is_here(customer) && self.is_same_email(&customer.email, email)).cloned()
    }

    fn is_same_email(&self, one: &str, other: &str) -> bool {
        if self.errs(Mistake::EmailsCompareByCase) { one == other } else { one.to_lowercase() == other.to_lowercase() }
    }

    /// A token that can be used, and its owner, if that is seen from the call's path (3.3).
    pub(super) fn usable(&self, call: &Call, value: &str, is_email: bool) -> Result<(Name, Rc<Customer>), Refused> {
        let project = &self.projects[call.project];
        let is_it = |token: &&Rc<Token>| token.is_email == is_email && !token.ended && self.is(&token.value, value);
        let token = project.tokens.values().find(is_it).ok_or_else(|| refused::no_such_token(value))?;
        let owner = project.customers.get(&token.customer).filter(|owner| owner.is_in(call.store.as_deref()));
        let owner = owner.ok_or_else(|| refused::no_such_token(value))?;
        let told = if self.errs(Mistake::ExpiredIsUnknown) { 0 } else { 24 * 60 * 60 * 1_000_000 };
        if self.now >= token.expires.plus(told) {
            Err(refused::no_such_token(value))
        } else if self.now >= token.expires {
            Err(refused::expired_token(is_email))
        } else {
            Ok((token.id.clone(), owner.clone()))
        }
    }

    /// The keys of stores, each once. Who may call one store only knows no other.
    pub(super) fn stores(&self, call: &Call, who: &Who, named: &[Named]) -> Result<Vec<String>, Refused> {
        let mut keys: Vec<String> = Vec::new();
        for store in named {
            let key = self.store(call, who, store)?;
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        Ok(keys)
    }

    pub(super) fn store(&self, call: &Call, who: &Who, named: &Named) -> Result<String, Refused> {
        let project = &self.projects[call.project];
        let mut known = project.stores.iter().filter(|(key, _)| who.sees_others || call.store.as_ref() == Some(*key));
        let found = match named {
            Named::Id(id) => known.find(|(_, own)| self.is(&own.id, id)),
            Named::Key(key) => known.find(|(own, _)| *own == key),
        };
        found.map(|(key, _)| key.clone()).ok_or_else(|| refused::no_such_reference("store", named))
    }

    /// Refuses what another customer has already (2.4).
    pub(super) fn claim(&self, call: &Call, wanted: &Customer) -> Result<(), Refused> {
        let others = || self.projects[call.project].customers.values().filter(|other| other.id != wanted.id);
        let alone = !self.errs(Mistake::StoresShareEmails);
        let meet = |other: &Customer| {
            (alone && (other.stores.is_empty() || wanted.stores.is_empty()))
                || other.stores.is_empty() && wanted.stores.is_empty()
                || wanted.stores.iter().any(|store| other.is_in(Some(store)))
        };
        if others().any(|other| meet(other) && self.is_same_email(&other.email, &wanted.email)) {
            return Err(refused::duplicate_email(&wanted.email));
        }
        if let Some(key) = wanted.key.as_ref().filter(|key| others().any(|other| other.key.as_ref() == Some(*key))) {
            return Err(refused::duplicate("key", key));
        }
        let number = wanted.number.as_ref();
        if let Some(number) = number.filter(|number| others().any(|other| other.number.as_ref() == Some(*number))) {
            return Err(refused::duplicate("customerNumber", number));
        }
        Ok(())
    }

    pub(super) fn query(&mut self, call: &Call, predicate: &Predicate, page: &Page, head: bool) -> Outcome {
        let customers = self.projects[call.project].customers.values();
        let seen = customers.filter(|customer| customer.is_in(call.store.as_deref()));
        let meant = seen.filter(|customer| predicate.fits(customer));
        Listing::answer(meant.map(|customer| customer.json()).collect(), page, &["/id"], head)
    }

    pub(super) fn delete(
        &mut self,
        call: &Call,
        who: &Who,
        by: &By,
        version: Option<i64>,
        erase: Option<bool>,
    ) -> Outcome {
        let version = version.ok_or_else(refused::no_version)?;
        let last = self.find(call, who, by)?;
        if last.version != version {
            return Err(refused::other_version(&last.id, version, last.version));
        }
        let erase = erase.unwrap_or(false);
        let mut gone = (*last).clone();
        gone.version += 1;
        let fact = Fact::new("CustomerDeleted", object(&[("email", json!(last.email))]));
        self.tell(call.project, &mut gone, fact, &who.by);
        for is_email in [false, true] {
            self.end_tokens(call.project, &last.id, is_email);
        }
        self.end_sessions(&last.id);
        let project = self.project(call);
        project.customers.remove(&last.id);
        for message in project.messages.values_mut().filter(|message| erase && message.customer == last.id) {
            Rc::make_mut(message).erased = true;
        }
        Ok(Expected::Body(200, last.json()))
    }
}

impl Predicate {
    /// Whether a customer is meant (chapter 6).
    fn fits(&self, customer: &Customer) -> bool {
        match self {
            Self::All => true,
            Self::Email(email) => customer.email == *email,
            Self::LowercaseEmail(email) => customer.email.to_lowercase() == *email,
            Self::Key(key) => customer.key.as_ref() == Some(key),
            Self::Number(number) => customer.number.as_ref() == Some(number),
            Self::LastName(names) => customer.texts.get("lastName").is_some_and(|name| names.contains(name)),
            Self::Verified(flag) => customer.verified == *flag,
            Self::VersionOver(version) => customer.version > *version,
            Self::KeyDefined(defined) => customer.key.is_some() == *defined,
            Self::FirstName(name) => customer.texts.get("firstName") == Some(name),
            Self::FirstNameNot(name) => customer.texts.get("firstName") != Some(name),
            Self::FirstNameDefined(defined) => customer.texts.contains_key("firstName") == *defined,
            Self::Store(key) => customer.stores.contains(key),
            Self::Address { country, city } => customer
                .addresses
                .iter()
                .any(|address| address.draft.country == *country && address.draft.city.as_ref() == Some(city)),
            Self::City(city) => customer.addresses.iter().any(|address| address.draft.city.as_ref() == Some(city)),
            Self::StoresEmpty(empty) => customer.stores.is_empty() == *empty,
            Self::Not(inner) => !inner.fits(customer),
            Self::Both(one, other) => one.fits(customer) && other.fits(customer),
            Self::Either(one, other) => one.fits(customer) || other.fits(customer),
        }
    }
}

impl Listing {
    /// A page of these (5.2); or whether there are any.
    pub(super) fn answer(elements: Vec<Value>, page: &Page, identity: &'static [&'static str], head: bool) -> Outcome {
        match (head, elements.is_empty()) {
            (true, true) => Err(refused::nothing()),
            (true, false) => Ok(Expected::Head(200)),
            (false, _) => Ok(Expected::Page(Self {
                elements,
                limit: page.limit.unwrap_or(20),
                offset: page.offset.unwrap_or(0),
                with_total: page.with_total.unwrap_or(true),
                sort: page.sort.unwrap_or(("createdAt", false)),
                identity,
            })),
        }
    }
}
