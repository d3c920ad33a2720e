//! Values from small pools, so that what was drawn once is drawn again.

use super::{LATE_STORE, NO_ID, Plan, STORES};
use crate::call::{Action, AddressDraft, Draft, Named, Role, Selection, Subscribing};
use crate::expect::Name;

pub(super) const EMAILS: [&str; 6] =
    ["jo@example.com", "JO@Example.com", "al@example.com", "Al@example.COM", "kim@example.com", "no-at-sign"];
pub(super) const PASSWORDS: [&str; 4] = ["1234", "secret", "pässword", "other secret"];
pub(super) const KEYS: [&str; 4] = ["key-1", "key-2", "key-3", "key-4"];
pub(super) const NUMBERS: [&str; 3] = ["7", "8", "9"];
pub(super) const CITIES: [&str; 2] = ["Ulm", "Wien"];
pub(super) const NAMES: [&str; 3] = ["Ann", "Bo", "Ćwik"];
/// Texts and values that they may have.
pub(super) const TEXTS: [(&str, &[&str]); 9] = [
    ("firstName", &NAMES),
    ("lastName", &NAMES),
    ("middleName", &NAMES),
    ("title", &["Dr.", "Prof."]),
    ("salutation", &["Mx.", "Mr."]),
    ("dateOfBirth", &["1980-02-29", "2001-12-31"]),
    ("companyName", &["ACME", "Æ"]),
    ("vatId", &["DE1", "DE2"]),
    ("locale", &["de", "de-AT"]),
];
impl Plan<'_> {
    pub(super) fn some(&mut self, pool: &[&str]) -> String {
        self.chance.pick(pool).to_owned()
    }

    pub(super) fn perhaps(&mut self, percent: u64, pool: &[&str]) -> Option<String> {
        self.chance.percent(percent).then(|| self.some(pool))
    }

    pub(super) fn password(&mut self) -> String {
        self.some(&PASSWORDS)
    }

    pub(super) fn flag(&mut self) -> Option<bool> {
        self.chance.percent(40).then(|| self.chance.percent(60))
    }

    pub(super) fn ttl(&mut self) -> Option<i64> {
        let ttl = self.chance.pick(&[1, 5, 20, 60, 61, 2000, 525_600]);
        let ttl = if self.chance.percent(4) { self.chance.pick(&[0, -5, 525_601]) } else { ttl };
        self.chance.percent(85).then_some(ttl)
    }

    /// Within which store a call is made.
    pub(super) fn store(&mut self) -> Option<String> {
        let own = self.subject.as_ref().and_then(|customer| customer.stores.last().cloned());
        match own {
            _ if self.chance.percent(2) => Some(LATE_STORE.to_owned()),
            Some(own) if self.chance.percent(65) => Some(own),
            Some(_) => self.perhaps(12, &STORES),
            None => self.perhaps(6, &STORES),
        }
    }

    /// A customer's key, most often one that there is.
    pub(super) fn key(&mut self) -> String {
        let known: Vec<String> = self.customers().into_iter().filter_map(|customer| customer.key.clone()).collect();
        let known = self.chance.of(&known).cloned().filter(|_| self.chance.percent(85));
        known.unwrap_or_else(|| self.some(&KEYS))
    }

    pub(super) fn named_store(&mut self) -> Named {
        let key = if self.chance.percent(4) { LATE_STORE } else { self.chance.pick(&STORES) };
        let known = self.world.projects[self.project].stores.get(key);
        match known.and_then(|store| self.world.value(&store.id)) {
            Some(id) if self.chance.percent(30) => Named::Id(id),
            _ => Named::Key(key.to_owned()),
        }
    }

    pub(super) fn named_stores(&mut self) -> Vec<Named> {
        (0..self.chance.below(3)).map(|_| self.named_store()).collect()
    }

    pub(super) fn address(&mut self) -> AddressDraft {
        let country = self.chance.pick(&["DE", "AT"]);
        AddressDraft { country, key: self.perhaps(40, &KEYS), city: self.perhaps(50, &CITIES) }
    }

    pub(super) fn draft(&mut self) -> Draft {
        let addresses: Vec<AddressDraft> = (0..self.chance.below(3)).map(|_| self.address()).collect();
        let mut index = |percent: u64| {
            let drawn = self.chance.percent(percent) && !addresses.is_empty();
            drawn.then(|| self.chance.below(addresses.len()))
        };
        let (default_shipping, default_billing) = (index(30), index(30));
        let (shipping, billing) = (index(40).into_iter().collect(), index(40).into_iter().chain(index(30)).collect());
        let external = self.chance.percent(20).then(|| self.chance.percent(60));
        let password = (!self.chance.percent(2)).then(|| self.password());
        let mut texts = Vec::new();
        for (name, values) in TEXTS {
            texts.extend(self.perhaps(15, values).map(|text| (name, text)));
        }
        Draft {
            email: if self.chance.percent(1) { String::new() } else { self.some(&EMAILS) },
            password,
            external,
            key: self.perhaps(30, &KEYS),
            number: self.perhaps(15, &NUMBERS),
            external_id: self.perhaps(15, &["x-1", "x-2"]),
            verified: self.flag(),
            texts,
            addresses,
            default_shipping,
            default_billing,
            shipping,
            billing,
            stores: if self.chance.percent(45) { self.named_stores() } else { Vec::new() },
        }
    }

    pub(super) fn action(&mut self) -> Action {
        let role = self.chance.pick(&[Role::Shipping, Role::Billing]);
        let has_none = self.subject.as_ref().is_none_or(|customer| customer.addresses.is_empty());
        match self.chance.below(22) {
            12..18 if has_none && self.chance.percent(80) => Action::AddAddress(self.address()),
            0..3 if self.chance.percent(2) => Action::ChangeEmail(String::new()),
            0..3 => Action::ChangeEmail(self.some(&EMAILS)),
            3 | 4 => {
                let external = self.customer().is_some_and(|customer| !customer.external) != self.chance.percent(20);
                let password = (!external && !self.chance.percent(5)).then(|| self.password());
                Action::SetMode { external, password }
            }
            5 => Action::SetKey(self.perhaps(80, &KEYS)),
            6 => Action::SetExternalId(self.perhaps(75, &["x-1", "x-2"])),
            7 if self.chance.percent(50) => Action::SetNumber(self.perhaps(90, &NUMBERS)),
            8 => Action::SetStores(self.named_stores()),
            9 => Action::AddStore(self.named_store()),
            10 => Action::RemoveStore(self.named_store()),
            11 | 12 => Action::AddAddress(self.address()),
            13 => Action::ChangeAddress(self.named_address(), self.address()),
            14 => Action::RemoveAddress(self.named_address()),
            15 => Action::SetDefault(role, self.chance.percent(75).then(|| self.named_address())),
            16 => Action::AddRole(role, self.named_address()),
            17 => Action::RemoveRole(role, self.named_address()),
            18 if self.chance.percent(20) => Action::Unknown,
            19 if self.chance.percent(35) => self.group_or_custom(),
            _ => {
                let (name, values) = self.chance.pick(&TEXTS);
                Action::SetText(name, self.perhaps(80, values))
            }
        }
    }

    /// What is not here: to set nothing is all that can be done with it.
    fn group_or_custom(&mut self) -> Action {
        let group = match self.chance.below(3) {
            0 => Named::Id(NO_ID.to_owned()),
            1 => Named::Id("none".to_owned()),
            _ => Named::Key(self.some(&KEYS)),
        };
        match self.chance.below(10) {
            0..3 => Action::SetGroup(self.chance.percent(20).then_some(group)),
            3..6 => Action::SetGroups(if self.chance.percent(20) { vec![group] } else { Vec::new() }),
            6 => Action::AddGroup(group),
            7 => Action::RemoveGroup(group),
            _ => {
                let names = ["setCustomType", "setCustomField", "setAddressCustomType", "setAddressCustomField"];
                Action::Custom(self.chance.pick(&names))
            }
        }
    }

    /// Messages that a subscription wants.
    pub(super) fn selections(&mut self) -> Vec<Selection> {
        let customer = Selection { resource: "customer", types: vec!["CustomerPasswordUpdated"] };
        let token = Selection { resource: "customer-password-token", types: Vec::new() };
        if self.chance.percent(15) { Vec::new() } else { vec![customer, token] }
    }

    pub(super) fn subscribing(&mut self) -> Subscribing {
        match self.chance.below(12) {
            0 | 1 => Subscribing::SetKey(self.perhaps(80, &KEYS)),
            2..5 => {
                let wanted = self.selections();
                Subscribing::SetMessages(if self.chance.percent(40) { Vec::new() } else { wanted })
            }
            5..8 => {
                let wanted = ["customer", "customer-password-token"].into_iter().filter(|_| self.chance.percent(40));
                Subscribing::SetChanges(wanted.collect())
            }
            8 | 9 => {
                let checkout = Selection { resource: "checkout", types: Vec::new() };
                Subscribing::SetEvents(if self.chance.percent(50) { vec![checkout] } else { Vec::new() })
            }
            10 if self.chance.percent(15) => Subscribing::Unknown,
            _ => {
                let hook = self.chance.pick(&[0, 1]);
                Subscribing::ChangeDestination { hook, with_secret: self.chance.percent(40) }
            }
        }
    }

    pub(super) fn named_address(&mut self) -> Named {
        let ids: Vec<Name> =
            self.customer().iter().flat_map(|c| &c.addresses).map(|address| address.id.clone()).collect();
        let id = self.chance.of(&ids).and_then(|id| self.world.value(id));
        match id {
            Some(id) if self.chance.percent(75) => Named::Id(id),
            _ => Named::Key(self.some(&KEYS)),
        }
    }
}
