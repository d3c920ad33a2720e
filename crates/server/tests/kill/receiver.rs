//! The receiver of the kill test: keeps a book of everything that arrives, and fails now and then.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use keyherald_core::signature::WebhookSecret;
use keyherald_core::{Ctx, Micros};
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use crate::black_box::receiver::{Delivery, Reply};
use crate::evidence::{Arrival, ChangeArrival, Message, Resource};

/// The key that deliveries are signed with.
pub const SECRET: &str = "whsec_a2V5aGVyYWxkIGtpbGwgdGVzdCwgbm90IGEgc2VjcmV0";
/// Longer than an attempt may take, see `ATTEMPT_TIMEOUT` in main.rs.
const TOO_SLOW: Duration = Duration::from_millis(1500);

/// How the receiver takes deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// All is well: for setting up.
    Well,
    /// Most are accepted; the others are refused, answered too late, or not at all.
    Flaky,
    /// It reads, and does not answer until its mood changes.
    Silent,
    /// It answers 503.
    Down,
}

/// What happens to a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Accept,
    AcceptSlowly,
    AcceptAndAnswerTooLate,
    AcceptAndHangUp,
    HangUp,
    Fail,
    Throttle,
}

/// The receiver. Cheap to clone: all clones are one.
#[derive(Clone)]
pub struct Receiver(Arc<Shared>);

struct Shared {
    secret: WebhookSecret,
    mood: watch::Sender<Mood>,
    arrived: Notify,
    book: Mutex<Book>,
}

struct Book {
    chance: Ctx,
    /// Arrivals and acceptances so far: the time of this book.
    events: u64,
    arrivals: Vec<Arrival>,
    accepted: BTreeSet<String>,
    changes: Vec<ChangeArrival>,
    /// Customers and versions of the changes that were accepted.
    changed: BTreeSet<(String, i64)>,
    /// Deliveries that were no messages.
    odd: Vec<String>,
}

impl Receiver {
    /// A receiver whose failures follow from `seed`.
    pub fn new(seed: [u8; 32]) -> Self {
        let book = Book {
            chance: Ctx::new(Micros(0), seed),
            events: 0,
            arrivals: Vec::new(),
            accepted: BTreeSet::new(),
            changes: Vec::new(),
            changed: BTreeSet::new(),
            odd: Vec::new(),
        };
        let secret = WebhookSecret::parse(SECRET).unwrap();
        Self(Arc::new(Shared {
            secret,
            mood: watch::Sender::new(Mood::Well),
            arrived: Notify::new(),
            book: book.into(),
        }))
    }

    pub fn set_mood(&self, mood: Mood) {
        self.0.mood.send_replace(mood);
    }

    /// Waits for the next arrival.
    pub async fn arrival(&self) {
        self.0.arrived.notified().await;
    }

    /// Messages that were accepted.
    pub fn accepted(&self) -> usize {
        self.book().accepted.len()
    }

    /// How many of these messages, and of the changes that they tell of as well, were not accepted so far.
    pub fn missing(&self, messages: &[Message]) -> usize {
        let book = self.book();
        let is_told = |message: &Message| match &message.fact.resource {
            Resource::Customer(id) => book.changed.contains(&(id.clone(), message.resource_version)),
            Resource::Token(_) => true,
        };
        messages.iter().filter(|message| !book.accepted.contains(&message.id) || !is_told(message)).count()
    }

    /// The messages and the changes of the book, and what arrived that was neither.
    pub fn close(&self) -> (Vec<Arrival>, Vec<ChangeArrival>, Vec<String>) {
        let mut book = self.book();
        (std::mem::take(&mut book.arrivals), std::mem::take(&mut book.changes), std::mem::take(&mut book.odd))
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.book.lock().unwrap()
    }

    /// What the server behind the receiver's address does with a delivery.
    pub async fn take(self, delivery: Delivery) -> Reply {
        let json: Value = serde_json::from_slice(&delivery.body).unwrap_or_default();
        if let Some(change) = ChangeArrival::read(&json) {
            return self.take_change(change).await;
        }
        let Some(message) = Message::read(&json) else {
            self.book().odd.push(format!("no message that this test knows: {json}"));
            return Reply::Status(204);
        };
        let is_genuine = delivery.is_signed_with(&self.0.secret)
            && delivery.id == format!("msg_{}", message.id.replace('-', ""))
            && json.get("projectKey").is_some_and(|project| project == "demo");
        let (index, fate) = self.book().enter(message, is_genuine, digest(&delivery.body, json));
        self.0.arrived.notify_waiters();
        let mood = self.mood_once_it_speaks().await;
        match (mood, fate) {
            (Mood::Down, _) => Reply::Status(503),
            (Mood::Well, _) | (_, Fate::Accept) => self.accept(index),
            (_, Fate::AcceptSlowly) => {
                sleep(Duration::from_millis(100)).await;
                self.accept(index)
            }
            (_, Fate::AcceptAndAnswerTooLate) => {
                let reply = self.accept(index);
                sleep(TOO_SLOW).await;
                reply
            }
            (_, Fate::AcceptAndHangUp) => {
                self.accept(index);
                Reply::Hangup
            }
            (_, Fate::HangUp) => Reply::Hangup,
            (_, Fate::Fail) => Reply::Status(500),
            (_, Fate::Throttle) => Reply::RetryAfter(429, 1),
        }
    }

    /// Changes are refused now and then, too.
    async fn take_change(&self, change: ChangeArrival) -> Reply {
        let (index, fails) = {
            let mut book = self.book();
            book.changes.push(change);
            (book.changes.len() - 1, book.chance.number().is_multiple_of(50))
        };
        match self.mood_once_it_speaks().await {
            Mood::Down => Reply::Status(503),
            Mood::Flaky if fails => Reply::Status(500),
            _ => {
                self.book().accept_change(index);
                Reply::Status(200)
            }
        }
    }

    async fn mood_once_it_speaks(&self) -> Mood {
        let mut mood = self.0.mood.subscribe();
        // The sender lives in `self`.
        mood.wait_for(|mood| *mood != Mood::Silent).await.map_or(Mood::Well, |mood| *mood)
    }

    fn accept(&self, index: usize) -> Reply {
        self.book().accept(index);
        Reply::Status(200)
    }
}

impl Book {
    fn enter(&mut self, message: Message, is_genuine: bool, digest: u64) -> (usize, Fate) {
        self.events += 1;
        self.arrivals.push(Arrival { at: self.events, accepted: None, message, is_genuine, digest });
        let fate = match self.chance.number() % 10_000 {
            // Rare, because the whole subscription rests for a second.
            0..2 => Fate::Throttle,
            2..40 => Fate::AcceptAndAnswerTooLate,
            40..200 => Fate::AcceptSlowly,
            200..300 => Fate::AcceptAndHangUp,
            300..400 => Fate::HangUp,
            400..600 => Fate::Fail,
            _ => Fate::Accept,
        };
        (self.arrivals.len() - 1, fate)
    }

    fn accept(&mut self, index: usize) {
        self.events += 1;
        // Gone if the book was closed in the meantime.
        if let Some(arrival) = self.arrivals.get_mut(index) {
            arrival.accepted = Some(self.events);
            self.accepted.insert(arrival.message.id.clone());
        }
    }
}

impl Book {
    fn accept_change(&mut self, index: usize) {
        // Gone if the book was closed in the meantime.
        if let Some(change) = self.changes.get_mut(index) {
            change.is_accepted = true;
            self.changed.insert((change.customer.clone(), change.version));
        }
    }
}

/// A fingerprint of the body's bytes. A token's value is shown only as long as the token can be used, so that a later
/// copy is shorter by this one field: it does not count.
fn digest(body: &[u8], mut json: Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    match json.as_object_mut().and_then(|fields| fields.shift_remove("value")) {
        Some(_) => json.to_string().as_bytes().hash(&mut hasher),
        None => body.hash(&mut hasher),
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_value_of_a_token_may_be_left_out_of_a_repeat() {
        let digest = |body: &str| digest(body.as_bytes(), serde_json::from_str(body).unwrap());
        assert_eq!(digest(r#"{"a":1,"value":"x","b":2}"#), digest(r#"{"a":1,"b":2}"#));
        for other in [r#"{"b":2,"a":1}"#, r#"{"a":1, "b":2}"#, r#"{"a":1}"#] {
            assert_ne!(digest(other), digest(r#"{"a":1,"b":2}"#), "{other}");
        }
    }
}
