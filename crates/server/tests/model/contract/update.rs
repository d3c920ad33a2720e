//! Update actions (commercetools.md 2.5, 7).

use std::rc::Rc;

use serde_json::{Map, Value, json};

use super::refused::{self, Refused};
use super::state::{Address, Customer, Mistake, World, stores};
use super::{Fact, Outcome, Who};
use crate::call::{Action, By, Call, Named, Role, mode, object};
use crate::expect::{Expected, Name};

/// Texts that have a message of their own.
const TOLD: &[(&str, &str)] = &[
    ("firstName", "CustomerFirstNameSet"),
    ("lastName", "CustomerLastNameSet"),
    ("title", "CustomerTitleSet"),
    ("companyName", "CustomerCompanyNameSet"),
    ("dateOfBirth", "CustomerDateOfBirthSet"),
];

/// A customer on its way through the actions.
struct Draft {
    customer: Customer,
    facts: Vec<Fact>,
    /// Some action changed something, even if a later one changed it back.
    changed: bool,
    /// The way to sign in was set.
    signs_in_anew: bool,
}

impl World {
    pub(super) fn update(&mut self, call: &Call, who: &Who, by: &By, version: i64, actions: &[Action]) -> Outcome {
        let is_allowed = |action: &Action| match by {
            By::Me => action.is_own(),
            _ => *action != Action::Unknown,
        };
        for action in actions {
            if !is_allowed(action) {
                return Err(refused::invalid_json(None));
            }
            if matches!(action, Action::Custom(_)) {
                return Err(refused::no_custom_fields());
            }
            if *action == Action::ChangeEmail(String::new()) {
                return Err(refused::invalid_field("email", ""));
            }
        }
        let before = self.find(call, who, by)?;
        if before.version != version {
            return Err(refused::other_version(&before.id, version, before.version));
        }
        let mut draft = Draft { customer: (*before).clone(), facts: Vec::new(), changed: false, signs_in_anew: false };
        for action in actions {
            let last = draft.customer.clone();
            if let Err(refused) = self.act_on(&mut draft, call, who, action) {
                if self.errs(Mistake::RefusedUpdateIsHalfDone) {
                    let texts = draft.customer.texts;
                    let half = Rc::new(Customer { texts, ..(*before).clone() });
                    self.project(call).customers.insert(before.id.clone(), half);
                }
                return Err(refused);
            }
            draft.changed |= draft.customer != last;
        }
        let Draft { mut customer, facts, changed, signs_in_anew } = draft;
        self.claim(call, &customer)?;
        if changed {
            customer.version += 1;
            customer.modified_at = self.now;
            customer.modified_by = who.by.clone();
        }
        if signs_in_anew {
            self.end_tokens(call.project, &customer.id, false);
            self.end_sessions(&customer.id);
        }
        if customer.email != before.email {
            self.end_tokens(call.project, &customer.id, false);
            self.end_tokens(call.project, &customer.id, true);
        }
        for fact in facts {
            self.tell(call.project, &mut customer, fact, &who.by);
        }
        let shown = customer.json();
        self.project(call).customers.insert(customer.id.clone(), Rc::new(customer));
        Ok(Expected::Body(200, shown))
    }

    fn act_on(&mut self, draft: &mut Draft, call: &Call, who: &Who, action: &Action) -> Result<(), Refused> {
        let customer = &mut draft.customer;
        match action {
            Action::ChangeEmail(email) if customer.email != *email => {
                let personal = object(&[("email", json!(email)), ("oldEmail", json!(customer.email))]);
                customer.email.clone_from(email);
                customer.verified = false;
                draft.facts.push(Fact::new("CustomerEmailChanged", personal));
            }
            Action::SetMode { external, password } => self.set_mode(draft, *external, password.as_ref())?,
            Action::SetKey(key) => {
                if self.errs(Mistake::SetKeyHasMessage) && customer.key != *key {
                    draft.facts.push(Fact::new("CustomerKeySet", Map::new()));
                }
                customer.key.clone_from(key);
            }
            Action::SetExternalId(id) if customer.external_id != *id => {
                customer.external_id.clone_from(id);
                let personal = object(&[("externalId", json!(id))]);
                draft.facts.push(Fact::new("CustomerExternalIdSet", personal));
            }
            // Set to what it is already.
            Action::ChangeEmail(_) | Action::SetExternalId(_) | Action::SetGroup(None) => {}
            Action::SetNumber(_) if customer.number.is_some() => return Err(refused::number_is_set()),
            Action::SetNumber(number) => customer.number.clone_from(number),
            Action::SetStores(named) => {
                let keys = self.stores(call, who, named)?;
                if customer.stores != keys {
                    let personal = object(&[("stores", stores(&keys)), ("oldStores", stores(&customer.stores))]);
                    customer.stores = keys;
                    draft.facts.push(Fact::new("CustomerStoresSet", personal));
                }
            }
            Action::AddStore(named) => {
                let key = self.store(call, who, named)?;
                if !customer.stores.contains(&key) {
                    customer.stores.push(key);
                }
            }
            Action::RemoveStore(named) => {
                let key = self.store(call, who, named)?;
                customer.stores.retain(|own| *own != key);
            }
            Action::SetText(field, text) => draft.set_text(field, text.as_ref()),
            Action::AddAddress(address) => {
                let address = Address { id: self.name("address"), draft: address.clone() };
                draft.tell_address("CustomerAddressAdded", Some(&address));
                draft.customer.addresses.push(address);
            }
            Action::ChangeAddress(which, address) => {
                let id = self.address(customer, which)?.id;
                let address = Address { id, draft: address.clone() };
                let slot = customer.addresses.iter_mut().find(|other| other.id == address.id && **other != address);
                if let Some(slot) = slot {
                    *slot = address.clone();
                    draft.tell_used("CustomerAddressChanged", &address);
                }
            }
            Action::RemoveAddress(which) => {
                let address = self.address(customer, which)?;
                draft.tell_used("CustomerAddressRemoved", &address);
                draft.customer.addresses.retain(|other| other.id != address.id);
                for role in [Role::Shipping, Role::Billing] {
                    draft.take_role(role, &address.id);
                }
            }
            Action::SetDefault(role, which) => {
                let address = which.as_ref().map(|which| self.address(customer, which)).transpose()?;
                draft.set_default(*role, address.as_ref());
            }
            Action::AddRole(role, which) => {
                let address = self.address(customer, which)?;
                if !customer.roles(*role).ids.contains(&address.id) {
                    customer.roles(*role).ids.push(address.id.clone());
                    draft.tell_role(*role, "AddressAdded", &address);
                }
            }
            Action::RemoveRole(role, which) => {
                let address = self.address(customer, which)?;
                if draft.take_role(*role, &address.id) {
                    draft.tell_role(*role, "AddressRemoved", &address);
                }
            }
            Action::SetGroup(Some(group)) | Action::AddGroup(group) | Action::RemoveGroup(group) => {
                return Err(refused::no_such_reference("customer-group", group));
            }
            Action::SetGroups(groups) => {
                if let Some(group) = groups.first() {
                    return Err(refused::no_such_reference("customer-group", group));
                }
            }
            Action::Custom(_) => return Err(refused::no_custom_fields()),
            Action::Unknown => return Err(refused::invalid_json(None)),
        }
        Ok(())
    }

    fn set_mode(&mut self, draft: &mut Draft, external: bool, password: Option<&String>) -> Result<(), Refused> {
        if draft.customer.external == external {
            return Err(refused::same_mode(mode(external)));
        }
        draft.customer.password = match (external, password) {
            (true, _) => None,
            (false, Some(password)) => Some((password.clone(), self.name("mask"))),
            (false, None) => return Err(refused::invalid_json(Some("password: Missing required value"))),
        };
        draft.customer.external = external;
        draft.signs_in_anew = true;
        Ok(())
    }

    fn address(&self, customer: &Customer, which: &Named) -> Result<Address, Refused> {
        let is_it = |address: &&Address| match which {
            Named::Id(id) => self.is(&address.id, id),
            Named::Key(key) => address.draft.key.as_ref() == Some(key),
        };
        customer.addresses.iter().find(is_it).cloned().ok_or_else(refused::no_such_address)
    }
}

impl Draft {
    fn set_text(&mut self, field: &'static str, text: Option<&String>) {
        if self.customer.texts.get(field) == text {
            return;
        }
        match text {
            Some(text) => self.customer.texts.insert(field, text.clone()),
            None => self.customer.texts.remove(field),
        };
        if let Some((_, kind)) = TOLD.iter().find(|(told, _)| *told == field) {
            self.facts.push(Fact::new(kind, object(&[(field, json!(text))])));
        }
    }

    fn set_default(&mut self, role: Role, address: Option<&Address>) {
        let id = address.map(|address| address.id.clone());
        let roles = self.customer.roles(role);
        if roles.default == id {
            return;
        }
        roles.ids.extend(id.clone().filter(|id| !roles.ids.contains(id)));
        roles.default = id;
        let kind = match role {
            Role::Shipping => "CustomerDefaultShippingAddressSet",
            Role::Billing => "CustomerDefaultBillingAddressSet",
        };
        self.tell_address(kind, address);
    }

    /// Takes a role from an address. False: it had it not.
    fn take_role(&mut self, role: Role, id: &Name) -> bool {
        let roles = self.customer.roles(role);
        let before = roles.ids.len();
        roles.ids.retain(|other| other != id);
        if roles.default.as_ref() == Some(id) {
            roles.default = None;
        }
        roles.ids.len() != before
    }

    fn tell_address(&mut self, kind: &'static str, address: Option<&Address>) {
        self.facts.push(Fact::new(kind, object(&[("address", json!(address.map(Address::json)))])));
    }

    /// The same with what the address was used for.
    fn tell_used(&mut self, kind: &'static str, address: &Address) {
        let roles = [Role::Shipping, Role::Billing].into_iter();
        let used = roles.filter(|role| self.customer.roles(*role).ids.contains(&address.id)).map(Role::name);
        let used: Vec<Value> = used.map(Value::from).collect();
        let fact = Fact::new(kind, object(&[("address", address.json())]));
        self.facts.push(fact.with("addressRoles", used));
    }

    fn tell_role(&mut self, role: Role, what: &str, address: &Address) {
        let kind = match (role, what) {
            (Role::Shipping, "AddressAdded") => "CustomerShippingAddressAdded",
            (Role::Shipping, _) => "CustomerShippingAddressRemoved",
            (Role::Billing, "AddressAdded") => "CustomerBillingAddressAdded",
            (Role::Billing, _) => "CustomerBillingAddressRemoved",
        };
        self.tell_address(kind, Some(address));
    }
}

impl Action {
    /// Whether customers may do it to themselves (2.5).
    fn is_own(&self) -> bool {
        match self {
            Self::SetMode { .. }
            | Self::SetKey(_)
            | Self::SetExternalId(_)
            | Self::SetNumber(_)
            | Self::SetStores(_)
            | Self::AddStore(_)
            | Self::RemoveStore(_)
            | Self::SetGroup(_)
            | Self::SetGroups(_)
            | Self::AddGroup(_)
            | Self::RemoveGroup(_)
            | Self::Unknown => false,
            Self::Custom(name) => !name.contains("Address"),
            Self::ChangeEmail(_)
            | Self::SetText(..)
            | Self::AddAddress(_)
            | Self::ChangeAddress(..)
            | Self::RemoveAddress(_)
            | Self::SetDefault(..)
            | Self::AddRole(..)
            | Self::RemoveRole(..) => true,
        }
    }
}
