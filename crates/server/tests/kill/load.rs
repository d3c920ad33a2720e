//! The load: clients that each look after customers of their own, one request after the other, and write down what they
//! asked for, what was acknowledged, and what they were never told.
//!
//! When an answer is lost, the client waits for the next server and looks what became of its request: the customer's
//! version tells. From then on it goes by what it found, so that a change that was half done would be noticed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use keyherald_core::Ctx;
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use crate::black_box::api::{Answer, Api, Wallet};
use crate::evidence::{Fact, Kind, Resource};
use crate::partner::Partner;
use crate::receiver::Receiver;

/// Longest wait for a server that comes back.
const SERVER_WAIT: Duration = Duration::from_secs(90);
/// Most customers of one client: enough for many lanes, few enough for long ones.
const CUSTOMERS_MAX: usize = 60;
/// Longest wait for a code. Servers may be killed, and the partner may refuse, several times in it; a database may be gone
/// for a while, and a lease run out.
const CODE_WAIT: Duration = Duration::from_mins(1);
/// Used tokens that a client remembers, to try them again at the end.
const USED_TOKENS_MAX: usize = 20;
/// Clients rest while so many messages more were acknowledged than accepted: the receiver must be able to catch up.
const BACKLOG_MAX: usize = 2000;

/// The server of the moment.
#[derive(Clone)]
pub struct Generation {
    pub number: u32,
    pub api: Arc<Api>,
    pub wallet: Arc<Wallet>,
}

/// Where a client finds its server.
pub struct Front {
    pub server: watch::Receiver<Generation>,
    /// The number of the last server that was or is about to be killed.
    pub condemned: AtomicU32,
}

/// What all clients share.
pub struct Shared {
    pub receiver: Receiver,
    pub partner: Partner,
    /// Changes that were answered with 200 or 201.
    pub acknowledged: AtomicUsize,
    /// Rung at each of them.
    pub answered: Notify,
    pub stop: AtomicBool,
    /// What went wrong, in words.
    pub complaints: Mutex<Vec<String>>,
}

impl Shared {
    pub fn new(receiver: Receiver, partner: Partner) -> Self {
        let (acknowledged, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        Self { receiver, partner, acknowledged, answered: Notify::new(), stop, complaints: Mutex::default() }
    }

    fn complain(&self, complaint: String) {
        self.complaints.lock().unwrap().push(complaint);
    }
}

/// What a client knows in the end.
#[derive(Default)]
pub struct Journal {
    pub acknowledged: Vec<Fact>,
    pub unknown_tokens: BTreeMap<String, usize>,
    /// Customers by id, with the version that the store had at the end.
    pub versions: BTreeMap<String, i64>,
    /// Verifications whose recovery took place.
    pub recoveries: BTreeSet<String>,
    /// Secrets that must not be readable in the store.
    pub secrets: Vec<String>,
    /// Requests whose answer was lost: those that had been done, and those that had not.
    pub resolved: (usize, usize),
}

struct Customer {
    id: String,
    email: String,
    version: i64,
    password: String,
    /// The password before, which must not work any more.
    former: Option<String>,
}

/// What a request came to.
enum Told {
    Answer(Answer),
    /// Nobody knows: the connection broke, or the server said that it does not know.
    Nothing,
}

/// One client.
pub struct Client {
    number: usize,
    front: Arc<Front>,
    shared: Arc<Shared>,
    chance: Ctx,
    /// For names that are never used twice.
    names: u64,
    customers: Vec<Customer>,
    used_tokens: Vec<String>,
    journal: Journal,
}

impl Client {
    pub fn new(number: usize, front: Arc<Front>, shared: Arc<Shared>, chance: Ctx) -> Self {
        let journal = Journal::default();
        Self { number, front, shared, chance, names: 0, customers: Vec::new(), used_tokens: Vec::new(), journal }
    }

    /// Works until it is told to stop, then looks at everything once more.
    pub async fn run(mut self) -> Journal {
        while !self.shared.stop.load(Ordering::Relaxed) {
            if self.shared.acknowledged.load(Ordering::Relaxed) > self.shared.receiver.accepted() + BACKLOG_MAX {
                sleep(Duration::from_millis(5)).await;
                continue;
            }
            let choice = self.chance.number() % 100;
            let wants_more = self.customers.len() < CUSTOMERS_MAX && choice < 25;
            if self.customers.is_empty() || wants_more {
                self.create().await;
                continue;
            }
            let index = self.pick();
            match choice {
                0..50 => self.change(index).await,
                50..72 => self.reset_by_token(index).await,
                72..80 => self.recover(index).await,
                80..90 => self.mistake(index).await,
                _ => self.look(index).await,
            }
        }
        self.last_look().await;
        self.journal
    }

    fn pick(&mut self) -> usize {
        // Half of the work goes to a few customers, so that some lanes are long and busy.
        let among =
            if self.chance.number().is_multiple_of(2) { self.customers.len().min(3) } else { self.customers.len() };
        usize::try_from(self.chance.number()).unwrap_or(0) % among
    }

    fn name(&mut self) -> String {
        self.names += 1;
        format!("{}-{}", self.number, self.names)
    }

    async fn create(&mut self) {
        let name = self.name();
        let (email, password) = (format!("{name}@example.com"), format!("first password of {name}"));
        let id = match self.post("/customers", &json!({"email": email, "password": password})).await {
            Told::Answer(answer) if answer.status == 201 && answer.number("/customer/version") == Some(1) => {
                let id = answer.text("/customer/id");
                self.acknowledge(&id, Resource::Customer(id.clone()), 1, Kind::Created);
                id
            }
            Told::Answer(answer) => return self.complain("create", &answer),
            Told::Nothing => {
                let found = self.get("/customers", &[("where", &format!("email = \"{email}\""))]).await;
                let is_done = found.number("/count") == Some(1);
                if found.status != 200 || (is_done && found.number("/results/0/version") != Some(1)) {
                    return self.complain("find a customer whose creation was not answered", &found);
                }
                self.resolved(is_done);
                if !is_done {
                    return;
                }
                found.text("/results/0/id")
            }
        };
        self.customers.push(Customer { id, email, version: 1, password, former: None });
    }

    async fn change(&mut self, index: usize) {
        let new = self.name();
        let Customer { id, version, password, .. } = &self.customers[index];
        let body = json!({"id": id, "version": version, "currentPassword": password, "newPassword": new});
        let told = self.post("/customers/password", &body).await;
        self.password_set(index, told, new, Kind::Changed).await;
    }

    /// Makes a token and redeems it: once, or twice at the same time. Or changes the password first, which ends it.
    async fn reset_by_token(&mut self, index: usize) {
        // Some live short enough that their message carries their value.
        let minutes = if self.chance.number().is_multiple_of(2) { 30 } else { 1440 };
        let body = json!({"email": self.customers[index].email, "ttlMinutes": minutes});
        let id = self.customers[index].id.clone();
        let value = match self.post("/customers/password-token", &body).await {
            Told::Answer(answer) if answer.status == 200 => {
                self.acknowledge(&id, Resource::Token(answer.text("/id")), 1, Kind::TokenCreated);
                answer.text("/value")
            }
            Told::Answer(answer) => return self.complain("create a token", &answer),
            Told::Nothing => return *self.journal.unknown_tokens.entry(id).or_default() += 1,
        };
        match self.chance.number() % 8 {
            0 => {}
            1 => {
                let version = self.customers[index].version;
                self.change(index).await;
                if self.customers[index].version > version {
                    self.expect_dead(&value).await;
                }
            }
            2 | 3 => self.redeem_twice(index, value).await,
            _ => self.redeem(index, value).await,
        }
    }

    async fn redeem(&mut self, index: usize, value: String) {
        let (new, version) = (self.name(), self.customers[index].version);
        // A token whose redemption was not done must still be good for it.
        loop {
            let told = self.post("/customers/password/reset", &json!({"tokenValue": value, "newPassword": new})).await;
            let was_answered = matches!(told, Told::Answer(_));
            self.password_set(index, told, new.clone(), Kind::Reset).await;
            if self.customers[index].version > version {
                break;
            }
            if was_answered || self.shared.stop.load(Ordering::Relaxed) {
                return;
            }
        }
        self.used(value);
    }

    /// Two requests at the same moment, for the same new password: at most one may be answered with 200.
    async fn redeem_twice(&mut self, index: usize, value: String) {
        let new = self.name();
        let body = json!({"tokenValue": value, "newPassword": new});
        let (one, other) =
            tokio::join!(self.post("/customers/password/reset", &body), self.post("/customers/password/reset", &body));
        let (told, refused) = match (one, other) {
            (Told::Answer(done), Told::Answer(refused)) | (Told::Answer(refused), Told::Answer(done))
                if done.status == 200 =>
            {
                (Told::Answer(done), Some(refused))
            }
            (Told::Answer(done), Told::Nothing) | (Told::Nothing, Told::Answer(done)) if done.status == 200 => {
                (Told::Answer(done), None)
            }
            (Told::Answer(refused), Told::Nothing) | (Told::Nothing, Told::Answer(refused)) => {
                (Told::Nothing, Some(refused))
            }
            (Told::Nothing, Told::Nothing) => (Told::Nothing, None),
            (Told::Answer(one), Told::Answer(_)) => (Told::Answer(one), None),
        };
        let version = self.customers[index].version;
        self.password_set(index, told, new, Kind::Reset).await;
        let is_used = self.customers[index].version > version;
        // Who is told that the token is used must be able to rely on it.
        if let Some(refused) = refused.filter(|refused| refused.status != 404 || !is_used) {
            self.complain("redeem a token twice at the same time", &refused);
        }
        if is_used {
            self.used(value);
        }
    }

    /// Proves the address by the code that the partner was told, and sets a password with the proof: once, or twice at the
    /// same time.
    async fn recover(&mut self, index: usize) {
        let email = self.customers[index].email.clone();
        let attribute = json!({"type": "EMAIL", "value": email});
        let initiate = json!({"attribute": attribute, "flow": "PASSWORD_RESET"});
        let verification = match self.wallet("/verifications", &initiate).await {
            Told::Answer(answer) if answer.status == 201 => answer.text("/verificationId"),
            // Too many processes for this address within an hour.
            Told::Answer(answer) if answer.status == 429 => return,
            Told::Answer(answer) => return self.complain("initiate a verification", &answer),
            Told::Nothing => return,
        };
        let Some(code) = self.shared.partner.code(&verification, CODE_WAIT).await else {
            return self.shared.complain(format!("the code of verification {verification} did not come"));
        };
        if !self.attempt(&verification, &attribute, &code).await {
            return;
        }
        let (new, version) = (self.name(), self.customers[index].version);
        let body = json!({
            "customerIdentifiers": {"email": {"value": email, "verificationId": verification}},
            "customerCredentials": {"password": format!("recovered {new}")},
            "deviceInfo": {"appType": "WEB"},
        });
        let path = "/customer-credentials";
        let told = if self.chance.number().is_multiple_of(4) {
            let both = tokio::join!(self.wallet(path, &body), self.wallet(path, &body));
            self.one_of(both)
        } else {
            self.wallet(path, &body).await
        };
        self.recovered(index, told, format!("recovered {new}")).await;
        if self.customers[index].version > version {
            self.journal.recoveries.insert(verification);
            self.expect_spent(&body).await;
        }
    }

    /// Whether the code was right. It counts also if nobody was told.
    async fn attempt(&self, verification: &str, attribute: &Value, code: &str) -> bool {
        let body =
            json!({"attribute": attribute, "notificationType": {"method": "OTP", "channel": "EMAIL"}, "value": code});
        let path = format!("/verifications/{verification}/attempts");
        for _ in 0..3 {
            match self.wallet(&path, &body).await {
                Told::Answer(answer) if answer.status == 201 && answer.text("/status") == "VERIFIED" => return true,
                Told::Answer(answer) if answer.text("/error/details/0") == "ALREADY_VERIFIED" => return true,
                Told::Answer(answer) => {
                    self.complain("attempt a verification with its code", &answer);
                    return false;
                }
                Told::Nothing => {}
            }
        }
        false
    }

    /// Of two requests with one proof at most one may be answered with 200.
    fn one_of(&self, both: (Told, Told)) -> Told {
        match both {
            (Told::Answer(one), Told::Answer(other)) if one.status == 200 && other.status == 200 => {
                self.complain("use a proof twice at the same time", &other);
                Told::Answer(one)
            }
            (Told::Answer(done), _) | (_, Told::Answer(done)) if done.status == 200 => Told::Answer(done),
            // Refused, perhaps because the other one was not.
            (Told::Answer(refused), Told::Answer(_)) => Told::Answer(refused),
            _ => Told::Nothing,
        }
    }

    /// Takes in what a recovery came to. If nobody knows, the customer's version does.
    async fn recovered(&mut self, index: usize, told: Told, new: String) {
        let id = self.customers[index].id.clone();
        match told {
            Told::Answer(answer) if answer.status == 200 => {
                let next = self.customers[index].version + 1;
                self.acknowledge(&id, Resource::Customer(id.clone()), next, Kind::Reset);
                let customer = &mut self.customers[index];
                customer.version = next;
                customer.former = Some(std::mem::replace(&mut customer.password, new));
            }
            Told::Answer(answer) => self.complain("recover", &answer),
            Told::Nothing => self.password_set(index, Told::Nothing, new, Kind::Reset).await,
        }
    }

    async fn expect_spent(&self, body: &Value) {
        if let Told::Answer(answer) = self.wallet("/customer-credentials", body).await
            && (answer.status, answer.text("/error/code").as_str()) != (400, "DW-CUSTOMER-VERIFICATION-INVALID")
        {
            self.complain("use a proof again", &answer);
        }
    }

    fn used(&mut self, value: String) {
        if self.used_tokens.len() == USED_TOKENS_MAX {
            let oldest = usize::try_from(self.chance.number()).unwrap_or(0) % USED_TOKENS_MAX;
            self.used_tokens.swap_remove(oldest);
        }
        self.used_tokens.push(value);
    }

    /// Takes in what a change or a reset came to. If nobody knows, the customer's version does.
    async fn password_set(&mut self, index: usize, told: Told, new: String, kind: Kind) {
        let next = self.customers[index].version + 1;
        let id = self.customers[index].id.clone();
        match told {
            Told::Answer(answer) if answer.status == 200 && answer.number("/version") == Some(next) => {
                self.acknowledge(&id, Resource::Customer(id.clone()), next, kind);
            }
            Told::Answer(answer) => return self.complain("set a password", &answer),
            Told::Nothing => {
                let found = self.get(&format!("/customers/{id}"), &[]).await;
                let is_done = found.number("/version") == Some(next);
                if !is_done && found.number("/version") != Some(next - 1) {
                    return self.complain("look at a customer whose change was not answered", &found);
                }
                self.resolved(is_done);
                if !is_done {
                    return;
                }
            }
        }
        let customer = &mut self.customers[index];
        customer.version = next;
        customer.former = Some(std::mem::replace(&mut customer.password, new));
    }

    /// Asks for what must be refused.
    async fn mistake(&mut self, index: usize) {
        let Customer { id, version, password, .. } = &self.customers[index];
        let new = "never set";
        let (body, status, code) = if self.chance.number().is_multiple_of(3) {
            let body = json!({"id": id, "version": version + 1, "currentPassword": password, "newPassword": new});
            (body, 409, "ConcurrentModification")
        } else {
            let body = json!({"id": id, "version": version, "currentPassword": "wrong", "newPassword": new});
            (body, 400, "InvalidCurrentPassword")
        };
        if let Told::Answer(answer) = self.post("/customers/password", &body).await
            && (answer.status, answer.code().as_str()) != (status, code)
        {
            self.complain(&format!("expect {status} {code}"), &answer);
        }
    }

    async fn look(&mut self, index: usize) {
        let Customer { id, version, .. } = &self.customers[index];
        let (path, version) = (format!("/customers/{id}"), *version);
        let answer = self.get(&path, &[]).await;
        if answer.status != 200 || answer.number("/version") != Some(version) {
            self.complain(&format!("look at a customer of version {version}"), &answer);
        }
    }

    async fn expect_dead(&mut self, value: &str) {
        let answer = self.get(&format!("/customers/password-token={value}"), &[]).await;
        if answer.status != 404 {
            self.complain("look at a customer by a used token", &answer);
        }
        let body = json!({"tokenValue": value, "newPassword": "never set"});
        if let Told::Answer(answer) = self.post("/customers/password/reset", &body).await
            && answer.status != 404
        {
            self.complain("redeem a used token", &answer);
        }
    }

    /// At the end: every customer is as it was left, its last password signs in, the one before does not, and no used
    /// token can be used again.
    async fn last_look(&mut self) {
        for value in std::mem::take(&mut self.used_tokens) {
            self.expect_dead(&value).await;
            self.journal.secrets.push(value);
        }
        for index in 0..self.customers.len() {
            self.look(index).await;
            let Customer { id, email, version, password, former } = &self.customers[index];
            self.journal.versions.insert(id.clone(), *version);
            let last = json!({"email": email, "password": password});
            let former = former.as_ref().map(|former| json!({"email": email, "password": former}));
            self.sign_in(&last, 200).await;
            if let Some(former) = former {
                self.sign_in(&former, 400).await;
            }
        }
    }

    async fn sign_in(&mut self, body: &Value, status: u16) {
        match self.post("/login", body).await {
            Told::Answer(answer) if answer.status == status => {}
            Told::Answer(answer) => self.complain(&format!("sign in, expecting {status}"), &answer),
            Told::Nothing => self.shared.complain("a sign-in was not answered".into()),
        }
    }

    /// Asks once.
    async fn post(&self, path: &str, body: &Value) -> Told {
        let server = self.front.server.borrow().clone();
        self.told(server.api.post(path, body).await, server.number, path).await
    }

    /// Asks the brand's API once.
    async fn wallet(&self, path: &str, body: &Value) -> Told {
        let server = self.front.server.borrow().clone();
        self.told(server.wallet.post(path, body).await, server.number, path).await
    }

    async fn told(&self, asked: Result<Answer, reqwest::Error>, server: u32, path: &str) -> Told {
        match asked {
            // 503 may mean that the request was given up half way.
            Ok(answer) if answer.status != 503 => Told::Answer(answer),
            Ok(answer) => {
                self.wait_as_told(&answer).await;
                Told::Nothing
            }
            Err(error) => {
                self.next_server(server, path, &error).await;
                Told::Nothing
            }
        }
    }

    /// Asks until there is an answer.
    async fn get(&self, path: &str, query: &[(&str, &str)]) -> Answer {
        loop {
            let server = self.front.server.borrow().clone();
            match server.api.get(path, query).await {
                Ok(answer) if answer.status != 503 => return answer,
                Ok(answer) => self.wait_as_told(&answer).await,
                Err(error) => self.next_server(server.number, path, &error).await,
            }
        }
    }

    /// After a 503: a while, though not as long as whoever is told so should wait.
    async fn wait_as_told(&self, answer: &Answer) {
        if !answer.has_retry_after {
            self.complain("ask, and be told when to try again", answer);
        }
        sleep(Duration::from_millis(20)).await;
    }

    /// A request to server `number` broke off: waits for the next one.
    async fn next_server(&self, number: u32, path: &str, error: &reqwest::Error) {
        if self.front.condemned.load(Ordering::SeqCst) < number {
            self.shared.complain(format!("{path} broke off, and nobody has killed the server: {error:?}"));
            return sleep(Duration::from_millis(100)).await;
        }
        let mut server = self.front.server.clone();
        let next = timeout(SERVER_WAIT, server.wait_for(|server| server.number > number)).await;
        assert!(matches!(next, Ok(Ok(_))), "client {}: no server after number {number}", self.number);
    }

    fn acknowledge(&mut self, customer: &str, resource: Resource, sequence: i64, kind: Kind) {
        self.journal.acknowledged.push(Fact { customer: customer.to_owned(), resource, sequence, kind });
        self.shared.acknowledged.fetch_add(1, Ordering::Relaxed);
        self.shared.answered.notify_waiters();
    }

    fn resolved(&mut self, is_done: bool) {
        if is_done {
            self.journal.resolved.0 += 1;
        } else {
            self.journal.resolved.1 += 1;
        }
    }

    fn complain(&self, what: &str, answer: &Answer) {
        let Answer { status, body, .. } = answer;
        self.shared.complain(format!("client {}: to {what}: {status} {body}", self.number));
    }
}
