//! Which call comes next: by chance, with a look at the model, so that most calls do something and many get in each other's
//! way. Values come from small pools.
//!
//! A call is drawn from a seed of its own. So a sequence is a list of seeds, and shorter lists are sequences too.

mod callers;
mod values;

use std::rc::Rc;

use keyherald_core::Micros;

use crate::call::{By, Call, Caller, Grant, Named, Verb};
use crate::chance::Chance;
use crate::contract::state::{Customer, PROJECTS, Session, Token, World};
use crate::expect::Name;
use crate::query::{Filter, Page, Predicate};

use self::values::{CITIES, EMAILS, KEYS, NAMES, NUMBERS};

/// The stores that each project begins with.
pub const STORES: [&str; 2] = ["shop-a", "shop-b"];
/// One that may be made later.
const LATE_STORE: &str = "shop-c";
const NO_ID: &str = "3cdcdcc8-80c5-41bb-abb5-ac8772c9cc24";
const NO_TOKEN: &str = "Is5gdF7Ym-Aick-AkmsEHMMBWpByIfjgyXxKxZem";
/// Clients of a project by the middle of their ids, and their scopes; `{}` is the project.
pub const CLIENTS: [(&str, &str); 5] = [
    ("full", "manage_project:{}"),
    ("staff", "manage_customers:{} view_orders:{}"),
    ("view", "view_customers:{} view_messages:{}"),
    ("a", "manage_customers:{}:shop-a manage_my_profile:{}:shop-a"),
    ("web", "manage_my_profile:{} create_anonymous_token:{}"),
];

/// What is drawn, and how often.
#[derive(Clone, Copy)]
enum Kind {
    Create,
    SignUp,
    Read,
    Query,
    Update,
    Delete,
    Change,
    PasswordToken,
    EmailToken,
    Reset,
    Confirm,
    Login,
    Messages,
    Message,
    Subscribe,
    Subscription,
    Resubscribe,
    Unsubscribe,
    SignIn,
    Visit,
    Refresh,
    Introspect,
    Revoke,
    Project,
    Configure,
    CreateStore,
    Store,
    Event,
}

const WEIGHTS: [(Kind, usize); 28] = [
    (Kind::Create, 10),
    (Kind::SignUp, 3),
    (Kind::Read, 8),
    (Kind::Query, 4),
    (Kind::Update, 15),
    (Kind::Delete, 4),
    (Kind::Change, 11),
    (Kind::PasswordToken, 8),
    (Kind::EmailToken, 5),
    (Kind::Reset, 9),
    (Kind::Confirm, 5),
    (Kind::Login, 5),
    (Kind::Messages, 4),
    (Kind::Message, 1),
    (Kind::Subscribe, 2),
    (Kind::Subscription, 2),
    (Kind::Resubscribe, 3),
    (Kind::Unsubscribe, 1),
    (Kind::SignIn, 7),
    (Kind::Visit, 2),
    (Kind::Refresh, 3),
    (Kind::Introspect, 2),
    (Kind::Revoke, 1),
    (Kind::Project, 1),
    (Kind::Configure, 2),
    (Kind::CreateStore, 1),
    (Kind::Store, 1),
    (Kind::Event, 6),
];

/// Draws calls on a view of the world.
pub struct Plan<'w> {
    world: &'w World,
    chance: Chance,
    project: usize,
    /// The customer that the call is about, most likely.
    subject: Option<Rc<Customer>>,
    /// The same for all calls of a round.
    focus: u64,
    is_alone: bool,
}

/// The call of a seed. `focus`: the same for calls that are made at once. Alone, it may be an event.
pub fn draw(world: &World, seed: u64, focus: u64, is_alone: bool) -> Call {
    let mut chance = Chance::new(seed);
    let project = usize::from(chance.percent(6)).min(PROJECTS - 1);
    let customers: Vec<&Rc<Customer>> = world.projects[project].customers.values().collect();
    let at = if chance.percent(75) { focus } else { chance.number() };
    let subject = Chance::new(at).of(&customers).map(|customer| Rc::clone(customer));
    Plan { world, chance, project, subject, focus, is_alone }.call()
}

/// Client `name` of a project.
pub fn client(world: &World, project: usize, name: &str) -> String {
    format!("{}-{name}-client", world.projects[project].key)
}

impl Plan<'_> {
    fn call(mut self) -> Call {
        let mut kind = self.chance.weighted(&WEIGHTS);
        let is_event = matches!(kind, Kind::Event);
        let is_empty = self.world.projects[self.project].customers.is_empty();
        if (is_empty && self.chance.percent(60) && !is_event) || (is_event && !self.is_alone) {
            kind = Kind::Create;
        }
        let kind = self.instead(kind);
        let mut store = self.store();
        if matches!(kind, Kind::Create | Kind::SignUp) && store.is_none() {
            store = self.perhaps(25, &STORES);
        }
        let verb = self.verb(kind);
        let caller = match self.caller(&verb, store.as_deref()) {
            Ok(caller) => caller,
            // Its token has expired: the client gets another one.
            Err(client) => {
                let (verb, caller) = (Verb::Token(Grant::Client { scope: None }), Caller::Client(client));
                return Call { caller, project: self.project, store: None, external_user: None, verb };
            }
        };
        let only_a = self.is_of_client(&caller, "a");
        let store = match (verb.has_stores(), only_a && self.chance.percent(85)) {
            (false, _) => None,
            (true, true) => Some(STORES[0].to_owned()),
            (true, false) => store,
        };
        let external_user = self.chance.percent(8).then(|| "agent-7".to_owned());
        Call { caller, project: self.project, store, external_user, verb }
    }

    /// What is missing for a call, is made first.
    fn instead(&mut self, kind: Kind) -> Kind {
        let here = &self.world.projects[self.project];
        let has_token = |is_email: bool| here.tokens.values().any(|token| token.is_email == is_email && !token.ended);
        let instead = match kind {
            Kind::Reset if !has_token(false) && self.is_alone => Kind::PasswordToken,
            Kind::Confirm if !has_token(true) => Kind::EmailToken,
            Kind::Subscription | Kind::Resubscribe | Kind::Unsubscribe if here.subscriptions.is_empty() => {
                Kind::Subscribe
            }
            Kind::Refresh | Kind::Revoke if self.signed_in().is_none() && self.is_alone => Kind::SignIn,
            kind => kind,
        };
        if self.chance.percent(85) { instead } else { kind }
    }

    fn verb(&mut self, kind: Kind) -> Verb {
        match kind {
            Kind::Create => Verb::Create { own: false, draft: self.draft() },
            Kind::SignUp => Verb::Create { own: true, draft: self.draft() },
            Kind::Read => Verb::Read { by: self.by(), head: self.chance.percent(15) },
            Kind::Query => {
                let (predicate, page) = (self.predicate(2), self.page(&["id", "email", "createdAt"]));
                Verb::Query { predicate, page, head: self.chance.percent(20) }
            }
            Kind::Update => {
                let (by, version) = self.versioned();
                let actions = (0..self.chance.below(5)).map(|_| self.action()).collect();
                Verb::Update { by, version, actions }
            }
            Kind::Delete => {
                let (by, version) = self.versioned();
                let version = (!self.chance.percent(3)).then_some(version);
                let erase = self.chance.percent(50).then(|| self.chance.percent(60));
                Verb::Delete { by, version, erase }
            }
            Kind::Change => self.change(),
            Kind::PasswordToken => {
                let email = self.email();
                let (ttl, older) = (self.ttl(), self.flag());
                Verb::PasswordToken { email, ttl, older }
            }
            Kind::EmailToken => {
                let (id, version) = self.id_and_version();
                let version = self.chance.percent(40).then_some(version);
                let (ttl, older) = (self.ttl(), self.flag());
                Verb::EmailToken { id, ttl, version, older }
            }
            Kind::Reset => {
                let (value, version) = self.token(false);
                Verb::Reset { own: self.chance.percent(20), value, version, new: self.password() }
            }
            Kind::Confirm => {
                let (value, version) = self.token(true);
                Verb::Confirm { own: self.chance.percent(20), value, version }
            }
            Kind::Login => {
                let (email, password) = self.credentials();
                Verb::Login { own: self.chance.percent(20), email, password }
            }
            Kind::Messages | Kind::Message => self.message(kind),
            Kind::Subscribe | Kind::Subscription | Kind::Resubscribe | Kind::Unsubscribe => self.subscription(kind),
            Kind::SignIn | Kind::Visit | Kind::Refresh | Kind::Introspect | Kind::Revoke => self.oauth(kind),
            Kind::Project => Verb::Project { head: self.chance.percent(20) },
            Kind::Configure => {
                let right = self.world.projects[self.project].version;
                let version = if self.chance.percent(85) { right } else { right + 1 };
                let days = self.chance.percent(70).then(|| self.chance.pick(&[1, 15, 30]));
                Verb::Configure { version, enabled: self.chance.percent(75), days }
            }
            Kind::CreateStore => Verb::CreateStore { key: self.some(&[STORES[0], STORES[1], LATE_STORE, LATE_STORE]) },
            Kind::Store if self.chance.percent(50) => {
                let key = self.perhaps(40, &[STORES[0], LATE_STORE]);
                Verb::Stores { key, page: self.page(&["id", "key", "createdAt"]), head: self.chance.percent(25) }
            }
            Kind::Store => {
                let by = match self.named_store() {
                    Named::Id(id) => By::Id(id),
                    Named::Key(key) => By::Key(key),
                };
                Verb::Store { by, head: self.chance.percent(20) }
            }
            Kind::Event => self.event(),
        }
    }

    fn event(&mut self) -> Verb {
        if self.chance.percent(10) {
            return Verb::Sweep;
        }
        let minutes = self.chance.pick(&[2, 7, 20, 61, 300, 1440, 1500, 2900, 14 * 1440, 16 * 1440, 201 * 1440]);
        // Never a whole number of minutes: see the head of `contract`.
        Verb::Wait { micros: minutes * Micros::MINUTE + 1000 }
    }

    // Customers and what they have.

    fn customers(&self) -> Vec<&Rc<Customer>> {
        self.world.projects[self.project].customers.values().collect()
    }

    /// Most often the subject.
    fn customer(&mut self) -> Option<Rc<Customer>> {
        if self.chance.percent(92) {
            return self.subject.clone();
        }
        let customers: Vec<Rc<Customer>> = self.customers().into_iter().cloned().collect();
        self.chance.of(&customers).cloned()
    }

    /// The id of a customer; sometimes of one in the other project, or of nobody.
    fn id_and_version(&mut self) -> (String, i64) {
        let found = if self.chance.percent(3) {
            self.world.projects[1 - self.project].customers.values().next().cloned()
        } else {
            self.customer()
        };
        let right = found.as_ref().map_or(1, |customer| customer.version);
        let version = if self.chance.percent(88) { right } else { right + self.chance.pick(&[-1, 1]) };
        let id = found.and_then(|customer| self.world.value(&customer.id)).filter(|_| !self.chance.percent(2));
        (id.unwrap_or_else(|| NO_ID.to_owned()), version)
    }

    fn versioned(&mut self) -> (By, i64) {
        if self.chance.percent(18) && self.signed_in().is_some() {
            let me = self.someone_signed_in().and_then(|session| session.customer.clone());
            let customers = &self.world.projects[self.project].customers;
            return (By::Me, me.and_then(|me| customers.get(&me)).map_or(1, |customer| customer.version));
        }
        let (id, version) = self.id_and_version();
        if self.chance.percent(20) {
            let key = self.key();
            let found = self.customers().into_iter().find(|customer| customer.key.as_ref() == Some(&key));
            return (By::Key(key), found.map_or(version, |customer| customer.version));
        }
        (By::Id(id), version)
    }

    fn by(&mut self) -> By {
        match self.chance.below(10) {
            0 | 1 => By::Key(self.key()),
            2 | 3 => By::PasswordToken(self.token(false).0),
            4 => By::EmailToken(self.token(true).0),
            5 | 6 if self.signed_in().is_some() || self.chance.percent(10) => By::Me,
            _ => By::Id(self.id_and_version().0),
        }
    }

    fn change(&mut self) -> Verb {
        let new = self.password();
        if self.chance.percent(30) && self.signed_in().is_some() {
            let me = self.someone_signed_in().and_then(|session| session.customer.clone());
            let me = me.and_then(|me| self.world.projects[self.project].customers.get(&me).cloned());
            let version = me.as_ref().map_or(1, |me| me.version);
            return Verb::Change { id: None, version, current: self.password_of(me), new };
        }
        let (id, version) = self.id_and_version();
        let customer = self.customers().into_iter().find(|customer| self.world.is(&customer.id, &id)).cloned();
        Verb::Change { id: Some(id), version, current: self.password_of(customer), new }
    }

    /// Most often the right one.
    fn password_of(&mut self, customer: Option<Rc<Customer>>) -> String {
        let own = customer.and_then(|customer| customer.password.clone()).map(|(password, _)| password);
        own.filter(|_| self.chance.percent(85)).unwrap_or_else(|| self.password())
    }

    fn credentials(&mut self) -> (String, String) {
        let customer = self.customer();
        let own = customer.as_ref().map(|customer| customer.email.clone());
        let email = own.filter(|_| self.chance.percent(90)).unwrap_or_else(|| self.some(&EMAILS));
        let email = if self.chance.percent(20) { email.to_uppercase() } else { email };
        (email, self.password_of(customer))
    }

    fn email(&mut self) -> String {
        self.credentials().0
    }

    /// A reset or e-mail token, and sometimes a version to go with it.
    fn token(&mut self, is_email: bool) -> (String, Option<i64>) {
        let is_email = is_email != self.chance.percent(6);
        let project = &self.world.projects[if self.chance.percent(2) { 1 - self.project } else { self.project }];
        let mut tokens: Vec<&Rc<Token>> = project.tokens.values().filter(|token| token.is_email == is_email).collect();
        if self.chance.percent(65) {
            tokens.retain(|token| !token.ended);
        }
        let token = tokens.get(self.chance.below(tokens.len()));
        let version = token.and_then(|token| project.customers.get(&token.customer)).map(|owner| owner.version);
        let version = if self.chance.percent(80) { version } else { version.map(|version| version + 1) };
        let value = token.and_then(|token| self.world.value(&token.value)).filter(|_| !self.chance.percent(3));
        (value.unwrap_or_else(|| NO_TOKEN.to_owned()), version.filter(|_| self.chance.percent(30)))
    }

    // Queries.

    fn page(&mut self, sorts: &[&'static str]) -> Page {
        Page {
            limit: self.chance.percent(60).then(|| self.chance.pick(&[0, 1, 2, 20, 500])),
            offset: self.chance.percent(15).then(|| self.chance.below(4)),
            with_total: self.flag(),
            sort: self.chance.percent(40).then(|| (self.chance.pick(sorts), self.chance.percent(50))),
        }
    }

    fn predicate(&mut self, depth: usize) -> Predicate {
        let inner = |plan: &mut Self| Box::new(plan.predicate(depth.saturating_sub(1)));
        match self.chance.below(if depth == 0 { 16 } else { 22 }) {
            0 => Predicate::All,
            1 => Predicate::Email(self.some(&EMAILS)),
            2 => Predicate::LowercaseEmail(self.some(&EMAILS).to_lowercase()),
            3 => Predicate::Key(self.some(&KEYS)),
            4 => Predicate::Number(self.some(&NUMBERS)),
            5 => Predicate::LastName(vec![self.some(&NAMES), self.some(&NAMES)]),
            6 => Predicate::Verified(self.chance.percent(50)),
            7 => Predicate::VersionOver(self.chance.pick(&[1, 2, 4])),
            8 => Predicate::KeyDefined(self.chance.percent(50)),
            9 => Predicate::FirstName(self.some(&NAMES)),
            10 => Predicate::FirstNameNot(self.some(&NAMES)),
            11 => Predicate::FirstNameDefined(self.chance.percent(50)),
            12 => Predicate::Store(self.some(&STORES)),
            13 => Predicate::Address { country: self.chance.pick(&["DE", "AT"]), city: self.some(&CITIES) },
            14 => Predicate::City(self.some(&CITIES)),
            15 => Predicate::StoresEmpty(self.chance.percent(50)),
            16 | 17 => Predicate::Not(inner(self)),
            18 | 19 => Predicate::Both(inner(self), inner(self)),
            _ => Predicate::Either(inner(self), inner(self)),
        }
    }

    fn message(&mut self, kind: Kind) -> Verb {
        let messages = &self.world.projects[self.project].messages;
        let seen: Vec<String> = messages.values().filter_map(|message| self.world.value(&message.id)).collect();
        if matches!(kind, Kind::Message) {
            let id = self.chance.of(&seen).cloned().unwrap_or_else(|| NO_ID.to_owned());
            return Verb::Message { id, expand: self.chance.percent(40), head: self.chance.percent(20) };
        }
        let filter = match self.chance.below(4) {
            0 => Filter::Types(vec![
                self.chance.pick(&["CustomerPasswordUpdated", "CustomerCreated", "CustomerDeleted"]),
                self.chance.pick(&["CustomerEmailChanged", "CustomerPasswordTokenCreated"]),
            ]),
            1 => Filter::Resource { kind: "customer", id: self.id_and_version().0 },
            2 => Filter::SequenceOver(self.chance.pick(&[1, 3])),
            _ => Filter::All,
        };
        let page = self.page(&["createdAt", "type", "id"]);
        Verb::Messages { filter, page, expand: self.chance.percent(30), head: self.chance.percent(15) }
    }

    fn subscription(&mut self, kind: Kind) -> Verb {
        let known: Vec<_> = self.world.projects[self.project].subscriptions.values().cloned().collect();
        let found = self.chance.of(&known);
        let id = found.and_then(|found| self.world.value(&found.id)).unwrap_or_else(|| NO_ID.to_owned());
        let right = found.map_or(1, |found| found.version);
        let key = found.and_then(|found| found.key.clone()).filter(|_| self.chance.percent(70));
        let by = match self.chance.below(10) {
            0..3 => By::Key(key.unwrap_or_else(|| self.some(&KEYS))),
            _ => By::Id(id.clone()),
        };
        match kind {
            Kind::Subscribe => {
                let messages = self.selections();
                Verb::Subscribe { key: self.perhaps(50, &KEYS), messages, cloud_events: self.chance.percent(30) }
            }
            Kind::Unsubscribe => {
                let version = if self.chance.percent(85) { right } else { right + 1 };
                Verb::Unsubscribe { by, version: (!self.chance.percent(5)).then_some(version) }
            }
            Kind::Resubscribe => {
                let version = if self.chance.percent(88) { right } else { right + 1 };
                let actions = (0..self.chance.below(4)).map(|_| self.subscribing()).collect();
                Verb::Resubscribe { by, version, actions }
            }
            _ if self.chance.percent(40) => {
                let (key, page) = (self.perhaps(40, &KEYS), self.page(&["id", "createdAt"]));
                Verb::Subscriptions { key, page, head: self.chance.percent(25) }
            }
            _ if self.chance.percent(25) => {
                Verb::Health { id: if self.chance.percent(10) { NO_ID.to_owned() } else { id } }
            }
            _ => Verb::Subscription { by, head: self.chance.percent(20) },
        }
    }

    // Tokens of clients, customers and visitors.

    fn sessions(&self, fits: impl Fn(&Session) -> bool) -> Vec<(Name, Rc<Session>)> {
        let here = self.world.sessions.iter().filter(|(_, session)| session.project == self.project && fits(session));
        here.map(|(name, session)| (name.clone(), session.clone())).collect()
    }

    fn oauth(&mut self, kind: Kind) -> Verb {
        let key = &self.world.projects[self.project].key;
        let scopes =
            [format!("manage_my_profile:{key}"), format!("manage_project:{key}"), format!("manage_orders:{key}")];
        let scope = match self.chance.below(12) {
            0..6 => Some(scopes[0].clone()),
            6 => Some(scopes[1].clone()),
            7 => Some(scopes[2].clone()),
            _ => None,
        };
        let refresh = self.chance.percent(80);
        let any = self.sessions(|_| true);
        let mut some = |wanted: &[(Name, Rc<Session>)]| {
            let found = self.chance.of(wanted).and_then(|(name, _)| self.world.value(name));
            found.unwrap_or_else(|| NO_TOKEN.to_owned())
        };
        match kind {
            Kind::SignIn => {
                let (email, password) = self.credentials();
                Verb::Token(Grant::Customer { email, password, scope, refresh })
            }
            Kind::Visit => {
                Verb::Token(Grant::Anonymous { id: self.perhaps(70, &["visitor-1", "visitor-2"]), scope, refresh })
            }
            Kind::Introspect => Verb::Introspect { token: some(&any) },
            Kind::Revoke => {
                let theirs = self.sessions(|session| session.customer.is_some() || session.visitor.is_some());
                let found = self.chance.of(&theirs).and_then(|(name, _)| self.world.value(name));
                Verb::Revoke { token: found.unwrap_or_else(|| NO_TOKEN.to_owned()) }
            }
            _ => {
                let refreshing: Vec<_> = any.iter().filter(|(_, session)| session.is_refresh).cloned().collect();
                Verb::Token(Grant::Refresh { token: some(&refreshing) })
            }
        }
    }
}
