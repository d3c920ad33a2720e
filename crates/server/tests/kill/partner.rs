//! The partner of the brand: it is told codes and recoveries by signed events, keeps a book of them, and fails now and
//! then. In the end every recovery has exactly one event, whose copies are the same bytes, and nothing else has one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use hyper::body::Bytes;
use keyherald_core::body_signature::SigningSecret;
use keyherald_core::{Ctx, Micros};
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout_at};

use crate::black_box::receiver::{Delivery, Reply};

/// The partner. Cheap to clone: all clones are one.
#[derive(Clone)]
pub struct Partner(Arc<Shared>);

struct Shared {
    secret: SigningSecret,
    arrived: Notify,
    book: Mutex<Book>,
}

struct Book {
    chance: Ctx,
    /// Codes by the id of their verification.
    codes: HashMap<String, String>,
    /// Credentials events by their id.
    events: BTreeMap<String, Event>,
    /// What should not have come.
    odd: Vec<String>,
}

struct Event {
    verification: String,
    body: Bytes,
    copies: usize,
    is_accepted: bool,
}

/// What became of recoveries.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Events that arrived, each counted once.
    pub events: usize,
    /// Further copies of these.
    pub copies: usize,
    /// Everything that is wrong, in words.
    pub complaints: Vec<String>,
}

impl Partner {
    /// A partner whose failures follow from `seed`.
    pub fn new(secret: SigningSecret, seed: [u8; 32]) -> Self {
        let chance = Ctx::new(Micros(0), seed);
        let book = Book { chance, codes: HashMap::new(), events: BTreeMap::new(), odd: Vec::new() };
        Self(Arc::new(Shared { secret, arrived: Notify::new(), book: book.into() }))
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.book.lock().unwrap()
    }

    /// What the server behind the partner's address does with an event.
    pub async fn take(self, delivery: Delivery) -> Reply {
        let json: Value = serde_json::from_slice(&delivery.body).unwrap_or_default();
        if !self.0.secret.verify(&delivery.body, &delivery.body_signature) {
            self.book().odd.push(format!("an event has a wrong signature: {json}"));
            return Reply::Status(200);
        }
        let fate = self.book().chance.number() % 100;
        match fate {
            0..4 => return Reply::Status(500),
            4..6 => return Reply::Hangup,
            _ => {}
        }
        let reply = self.book().enter(&delivery, &json);
        self.0.arrived.notify_waiters();
        match fate {
            6..9 => Reply::Hangup,
            9..12 => {
                sleep(Duration::from_millis(100)).await;
                reply
            }
            _ => reply,
        }
    }

    /// The code of a verification, once it has come. `None`: it did not in this time.
    pub async fn code(&self, verification: &str, longest: Duration) -> Option<String> {
        let until = Instant::now() + longest;
        loop {
            let arrived = self.0.arrived.notified();
            if let Some(code) = self.book().codes.get(verification) {
                return Some(code.clone());
            }
            timeout_at(until, arrived).await.ok()?;
        }
    }

    /// How many of these recoveries it has not been told of.
    pub fn missing(&self, recoveries: &BTreeSet<String>) -> usize {
        let book = self.book();
        let told: BTreeSet<&str> =
            book.events.values().filter(|event| event.is_accepted).map(|event| event.verification.as_str()).collect();
        recoveries.iter().filter(|recovery| !told.contains(recovery.as_str())).count()
    }

    /// All codes that it was told.
    pub fn codes(&self) -> Vec<String> {
        self.book().codes.values().cloned().collect()
    }

    /// Judges: these recoveries took place, and no others.
    pub fn judge(&self, recoveries: &BTreeSet<String>) -> Told {
        let book = self.book();
        let mut told = Told { events: book.events.len(), complaints: book.odd.clone(), ..Told::default() };
        let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
        for (id, event) in &book.events {
            told.copies += event.copies - 1;
            if let Some(other) = seen.insert(&event.verification, id) {
                told.complaints.push(format!("recovery {} has two events: {other} and {id}", event.verification));
            }
            if !recoveries.contains(&event.verification) {
                told.complaints.push(format!("event {id} tells of recovery {}, which failed", event.verification));
            }
        }
        for recovery in recoveries.iter().filter(|recovery| !seen.contains_key(recovery.as_str())) {
            told.complaints.push(format!("recovery {recovery} has no event"));
        }
        told
    }
}

impl Book {
    fn enter(&mut self, delivery: &Delivery, json: &Value) -> Reply {
        let text = |pointer: &str| json.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        if delivery.path.ends_with("/customers/data-verifications/events") {
            match (text("/verificationProcess/id"), text("/verificationProcess/value")) {
                (Some(id), Some(code)) => drop(self.codes.insert(id, code)),
                _ => self.odd.push(format!("no verification that this test knows: {json}")),
            }
            return Reply::Status(202);
        }
        let verification = text("/credentialsDetails/customerIdentifiers/email/verificationId");
        let (Some(id), Some(verification)) = (text("/id"), verification) else {
            self.odd.push(format!("no event that this test knows, at {}: {json}", delivery.path));
            return Reply::Status(200);
        };
        let body = delivery.body.clone();
        let event = Event { verification, body, copies: 0, is_accepted: true };
        let known = self.events.entry(id.clone()).or_insert(event);
        known.copies += 1;
        if known.body != delivery.body {
            self.odd.push(format!("event {id} came again with other bytes"));
        }
        Reply::Status(200)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(id: &str, verification: &str, note: &str) -> (Delivery, Value) {
        let json = serde_json::json!({
            "id": id, "note": note,
            "credentialsDetails": {"customerIdentifiers": {"email": {"value": "x", "verificationId": verification}}},
        });
        let body = Bytes::from(json.to_string());
        (Delivery { path: "/credentials/events".into(), body, ..Delivery::default() }, json)
    }

    #[test]
    fn a_missing_a_second_another_and_a_changed_event_are_noticed() {
        let secret = SigningSecret::new(&mut Ctx::new(Micros(0), [1; 32]));
        let partner = Partner::new(secret, [2; 32]);
        let took_place = BTreeSet::from(["a".to_owned(), "b".to_owned()]);
        let enter = |id: &str, verification: &str, note: &str| {
            let (delivery, json) = delivery(id, verification, note);
            partner.book().enter(&delivery, &json);
        };
        enter("1", "a", "");
        enter("1", "a", "");
        assert_eq!(partner.missing(&took_place), 1);
        assert_eq!(partner.judge(&took_place).complaints, ["recovery b has no event"]);
        enter("2", "b", "");
        assert_eq!(partner.judge(&took_place), Told { events: 2, copies: 1, complaints: vec![] });
        enter("3", "b", "");
        enter("4", "c", "");
        enter("1", "a", "other");
        let complaints = partner.judge(&took_place).complaints;
        assert_eq!(complaints.len(), 3, "{complaints:?}");
    }
}
