//! What clients, the log and the receiver saw, and the judgement of it: a pure function, so that it can be tested with
//! made-up stories. What only a running server can tell (does the last password sign in?) is asked elsewhere.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

/// What a message is about: the two kinds of resources that the test knows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// A customer, by id.
    Customer(String),
    /// A reset token, by id.
    Token(String),
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Created,
    Changed,
    Reset,
    TokenCreated,
}

/// A change that must have a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    pub customer: String,
    pub resource: Resource,
    pub sequence: i64,
    pub kind: Kind,
}

/// A message, as the log shows it or as a delivery holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub id: String,
    pub fact: Fact,
    pub resource_version: i64,
    pub created_at: String,
}

impl Message {
    /// Reads the common fields of `/messages` and of the `Platform` format.
    pub fn read(json: &Value) -> Option<Self> {
        let text = |pointer: &str| json.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let resource_id = text("/resource/id")?;
        let (resource, customer) = match text("/resource/typeId")?.as_str() {
            "customer" => (Resource::Customer(resource_id.clone()), resource_id),
            "customer-password-token" => (Resource::Token(resource_id), text("/customerId")?),
            _ => return None,
        };
        let kind = match (text("/type")?.as_str(), json.get("reset").and_then(Value::as_bool)) {
            ("CustomerCreated", None) => Kind::Created,
            ("CustomerPasswordUpdated", Some(false)) => Kind::Changed,
            ("CustomerPasswordUpdated", Some(true)) => Kind::Reset,
            ("CustomerPasswordTokenCreated", None) => Kind::TokenCreated,
            _ => return None,
        };
        let sequence = json.get("sequenceNumber")?.as_i64()?;
        let fact = Fact { customer, resource, sequence, kind };
        let resource_version = json.get("resourceVersion")?.as_i64()?;
        Some(Self { id: text("/id")?, fact, resource_version, created_at: text("/createdAt")? })
    }
}

/// A delivery at the receiver.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// When it was complete: a place in the receiver's own order of events.
    pub at: u64,
    /// When the receiver accepted it, in the same order. `None`: it was turned away.
    pub accepted: Option<u64>,
    pub message: Message,
    /// The signature and the id in the header fit.
    pub is_genuine: bool,
    /// Of the body's bytes.
    pub digest: u64,
}

/// A change notification at the receiver: a customer has come to a version.
#[derive(Clone, Debug)]
pub struct ChangeArrival {
    pub customer: String,
    pub version: i64,
    /// It was not turned away.
    pub is_accepted: bool,
}

impl ChangeArrival {
    /// Reads the `Platform` format. `None`: it is none of a customer.
    pub fn read(json: &Value) -> Option<Self> {
        let text = |pointer: &str| json.pointer(pointer).and_then(Value::as_str);
        let version = json.get("version")?.as_i64()?;
        let fits = match text("/notificationType")? {
            "ResourceCreated" => version == 1,
            "ResourceUpdated" => json.get("oldVersion")?.as_i64()? == version - 1,
            _ => false,
        };
        let customer = text("/resource/id").filter(|_| fits && text("/resource/typeId") == Some("customer"))?;
        Some(Self { customer: customer.to_owned(), version, is_accepted: false })
    }
}

/// Everything that was seen.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// What the server said it had done.
    pub acknowledged: Vec<Fact>,
    /// Customers by id, with the version that the store has at the end.
    pub versions: BTreeMap<String, i64>,
    /// Per customer: tokens that were asked for and whose answer was lost. Nobody can tell whether they were made.
    pub unknown_tokens: BTreeMap<String, usize>,
    /// The log.
    pub log: Vec<Message>,
    /// The receiver's book, in order.
    pub arrivals: Vec<Arrival>,
    /// The changes in it, in order.
    pub changes: Vec<ChangeArrival>,
}

/// The judgement.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Messages of the log.
    pub messages: usize,
    /// Of these, the ones that the receiver accepted.
    pub delivered: usize,
    /// Sequence numbers that are missing, double, too many, or not the version.
    pub gaps: usize,
    /// Further arrivals of a message that had arrived before. No fault in itself.
    pub repeats: usize,
    /// Messages that came before their turn.
    pub inversions: usize,
    /// Acknowledged changes that are not in the store, and messages that the receiver never accepted.
    pub lost: usize,
    /// Everything that is wrong, in words.
    pub complaints: Vec<String>,
}

/// What has arrived for one customer so far.
#[derive(Default)]
struct Lane<'a> {
    seen: BTreeSet<&'a str>,
    /// Highest number and latest time.
    sequence: i64,
    created_at: &'a str,
    /// When all of it was accepted.
    accepted: u64,
}

/// Judges.
pub fn judge(evidence: &Evidence) -> Verdict {
    let mut verdict = Verdict { messages: evidence.log.len(), ..Verdict::default() };
    verdict.judge_log(evidence);
    verdict.judge_acknowledged(evidence);
    verdict.judge_arrivals(evidence);
    verdict.judge_order(evidence);
    verdict.judge_changes(evidence);
    verdict
}

impl Verdict {
    /// Exactly one message per version of a customer, exactly one per token, and none that nobody asked for.
    fn judge_log(&mut self, evidence: &Evidence) {
        let mut ids = BTreeSet::new();
        let mut numbers: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
        let mut tokens: BTreeSet<&Resource> = BTreeSet::new();
        for message in &evidence.log {
            let Message { id, fact, resource_version, .. } = message;
            if !ids.insert(id) {
                self.complaints.push(format!("the log has message {id} twice"));
            }
            if fact.sequence != *resource_version {
                self.gap(format!("message {id} is number {} of version {resource_version}", fact.sequence));
            }
            if (fact.sequence == 1) != matches!(fact.kind, Kind::Created | Kind::TokenCreated) {
                self.gap(format!("message {id} is number {}, and a {:?}", fact.sequence, fact.kind));
            }
            match &fact.resource {
                Resource::Customer(id) => numbers.entry(id).or_default().push(fact.sequence),
                Resource::Token(token) if !tokens.insert(&fact.resource) => {
                    self.gap(format!("token {token} has two messages"));
                }
                Resource::Token(_) => {}
            }
        }
        for (customer, version) in &evidence.versions {
            let mut found = numbers.remove(customer.as_str()).unwrap_or_default();
            found.sort_unstable();
            if !found.iter().copied().eq(1..=*version) {
                self.gap(format!("customer {customer} has version {version} and messages {found:?}"));
            }
        }
        for customer in numbers.keys() {
            self.complaints.push(format!("nobody asked for customer {customer}"));
        }
        self.judge_tokens(evidence);
    }

    /// A token without an acknowledgement must be one of those whose answer was lost.
    fn judge_tokens(&mut self, evidence: &Evidence) {
        let acknowledged: BTreeSet<&Resource> = evidence.acknowledged.iter().map(|fact| &fact.resource).collect();
        let mut unasked: BTreeMap<&str, usize> = BTreeMap::new();
        for Message { fact, .. } in &evidence.log {
            if fact.kind == Kind::TokenCreated && !acknowledged.contains(&fact.resource) {
                *unasked.entry(&fact.customer).or_default() += 1;
            }
        }
        for (customer, tokens) in unasked {
            let possible = evidence.unknown_tokens.get(customer).copied().unwrap_or_default();
            if tokens > possible {
                self.complaints.push(format!(
                    "customer {customer} has {tokens} tokens that nobody was told of, of {possible} unknown ones"
                ));
            }
        }
    }

    /// What was acknowledged is there, as it was acknowledged.
    fn judge_acknowledged(&mut self, evidence: &Evidence) {
        let log: HashMap<(&Resource, i64), &Fact> = evidence
            .log
            .iter()
            .map(|message| ((&message.fact.resource, message.fact.sequence), &message.fact))
            .collect();
        for fact in &evidence.acknowledged {
            match log.get(&(&fact.resource, fact.sequence)) {
                None => self.lost(format!("acknowledged, and not in the log: {fact:?}")),
                Some(found) if *found != fact => {
                    self.complaints.push(format!("acknowledged as {fact:?}, and in the log as {found:?}"));
                }
                Some(_) => {}
            }
        }
    }

    /// Every message arrived and was accepted, every arrival is genuine and in the log, every repeat is the same.
    fn judge_arrivals(&mut self, evidence: &Evidence) {
        let log: HashMap<&str, &Message> = evidence.log.iter().map(|message| (message.id.as_str(), message)).collect();
        let mut first: HashMap<&str, &Arrival> = HashMap::new();
        let mut accepted: BTreeSet<&str> = BTreeSet::new();
        for arrival in &evidence.arrivals {
            let id = arrival.message.id.as_str();
            if !arrival.is_genuine {
                self.complaints.push(format!("delivery of message {id} has a wrong signature or header"));
            }
            if arrival.accepted.is_some() {
                accepted.insert(id);
            }
            if let Some(first) = first.get(id) {
                self.repeats += 1;
                if first.digest != arrival.digest {
                    self.complaints.push(format!("message {id} came again with other bytes"));
                }
                continue;
            }
            first.insert(id, arrival);
            match log.get(id) {
                None => self.complaints.push(format!("message {id} was delivered and is not in the log")),
                Some(logged) if **logged != arrival.message => {
                    self.complaints.push(format!("message {id} is {logged:?} and came as {:?}", arrival.message));
                }
                Some(_) => {}
            }
        }
        for id in log.keys() {
            if accepted.contains(id) {
                self.delivered += 1;
            } else {
                self.lost(format!("message {id} was not delivered"));
            }
        }
    }

    /// Per customer, each message's first arrival comes in the order of the log, and only after all earlier messages
    /// were accepted.
    ///
    /// Between messages about the customer the order is their sequence numbers'. Those about its tokens are numbered
    /// apart: there it is the time, which one customer's requests, one after the other, cannot turn round.
    fn judge_order(&mut self, evidence: &Evidence) {
        let mut accepted: HashMap<&str, u64> = HashMap::new();
        for arrival in &evidence.arrivals {
            if let Some(at) = arrival.accepted {
                let first = accepted.entry(&arrival.message.id).or_insert(at);
                *first = at.min(*first);
            }
        }
        let mut lanes: HashMap<&str, Lane<'_>> = HashMap::new();
        for Arrival { at, message, .. } in &evidence.arrivals {
            let Message { id, fact, created_at, .. } = message;
            let lane = lanes.entry(&fact.customer).or_default();
            if !lane.seen.insert(id) {
                continue;
            }
            let numbered = matches!(fact.resource, Resource::Customer(_));
            if created_at.as_str() < lane.created_at || (numbered && fact.sequence < lane.sequence) {
                self.inversion(format!("message {id} of customer {} came after a later one", fact.customer));
            } else if lane.accepted > *at {
                self.inversion(format!(
                    "message {id} of customer {} came before the one ahead of it was accepted",
                    fact.customer
                ));
            }
            lane.created_at = lane.created_at.max(created_at);
            lane.sequence = if numbered { lane.sequence.max(fact.sequence) } else { lane.sequence };
            lane.accepted = lane.accepted.max(accepted.get(id.as_str()).copied().unwrap_or(u64::MAX));
        }
    }

    /// Per customer, every version was told as a change, and for the first time in the order of the versions.
    fn judge_changes(&mut self, evidence: &Evidence) {
        let mut told: BTreeMap<&str, (i64, BTreeSet<i64>)> = BTreeMap::new();
        for ChangeArrival { customer, version, is_accepted } in &evidence.changes {
            let (latest, accepted) = told.entry(customer).or_default();
            if *version > *latest + 1 {
                self.inversion(format!("version {version} of customer {customer} was told before the one ahead of it"));
            }
            *latest = (*latest).max(*version);
            if *is_accepted {
                accepted.insert(*version);
            }
        }
        for (customer, version) in &evidence.versions {
            let accepted = told.remove(customer.as_str()).unwrap_or_default().1;
            for missing in (1..=*version).filter(|version| !accepted.contains(version)) {
                self.lost(format!("that customer {customer} has come to version {missing} was not told"));
            }
            if accepted.last() > Some(version) {
                self.complaints
                    .push(format!("customer {customer} has version {version}, and was told as {accepted:?}"));
            }
        }
        for customer in told.keys() {
            self.complaints.push(format!("a change of customer {customer} was told, for whom nobody asked"));
        }
    }

    fn gap(&mut self, complaint: String) {
        self.gaps += 1;
        self.complaints.push(complaint);
    }

    fn lost(&mut self, complaint: String) {
        self.lost += 1;
        self.complaints.push(complaint);
    }

    fn inversion(&mut self, complaint: String) {
        self.inversions += 1;
        self.complaints.push(complaint);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(resource: Resource, sequence: i64) -> Fact {
        let kind = match (&resource, sequence) {
            (Resource::Token(_), _) => Kind::TokenCreated,
            (Resource::Customer(_), 1) => Kind::Created,
            (Resource::Customer(_), number) => {
                if number % 2 == 0 {
                    Kind::Changed
                } else {
                    Kind::Reset
                }
            }
        };
        Fact { customer: "c".into(), resource, sequence, kind }
    }

    fn message(id: &str, second: u32, fact: Fact) -> Message {
        let resource_version = fact.sequence;
        Message { id: id.into(), fact, resource_version, created_at: format!("2026-01-31T10:00:{second:02}.000Z") }
    }

    /// One customer, created, changed, given a token, reset; each message came once, in order, and was accepted.
    fn story() -> Evidence {
        let customer = |sequence| fact(Resource::Customer("c".into()), sequence);
        let log = vec![
            message("m1", 1, customer(1)),
            message("m2", 2, customer(2)),
            message("m3", 3, fact(Resource::Token("t".into()), 1)),
            message("m4", 4, customer(3)),
        ];
        let arrival = |(at, message): (u64, &Message)| Arrival {
            at: 10 * at,
            accepted: Some(10 * at + 1),
            message: message.clone(),
            is_genuine: true,
            digest: at,
        };
        Evidence {
            acknowledged: log.iter().map(|message| message.fact.clone()).collect(),
            versions: [("c".to_owned(), 3)].into(),
            unknown_tokens: BTreeMap::new(),
            arrivals: (0..).zip(&log).map(arrival).collect(),
            changes: (1..=3).map(change).collect(),
            log,
        }
    }

    fn change(version: i64) -> ChangeArrival {
        ChangeArrival { customer: "c".into(), version, is_accepted: true }
    }

    /// The judgement on the story after `change`.
    fn after(change: impl FnOnce(&mut Evidence)) -> Verdict {
        let mut evidence = story();
        change(&mut evidence);
        judge(&evidence)
    }

    fn good() -> Verdict {
        Verdict { messages: 4, delivered: 4, ..Verdict::default() }
    }

    /// The numbers of `verdict`, which must have been put in words as well.
    fn numbers(mut verdict: Verdict) -> Verdict {
        assert!(!verdict.complaints.is_empty(), "{verdict:?}");
        verdict.complaints.clear();
        verdict
    }

    #[test]
    fn a_good_story_is_good() {
        assert_eq!(judge(&story()), good());
        assert_eq!(judge(&Evidence::default()), Verdict::default());
    }

    #[test]
    fn every_version_is_told_as_a_change_in_order() {
        let verdict = after(|evidence| evidence.changes[2].is_accepted = false);
        assert_eq!(numbers(verdict), Verdict { lost: 1, ..good() });
        let verdict = after(|evidence| evidence.changes.swap(0, 1));
        assert_eq!(numbers(verdict), Verdict { inversions: 1, ..good() });
        let verdict = after(|evidence| evidence.changes.push(change(1)));
        assert_eq!(verdict, good(), "a repeat is no fault");
        let verdict = after(|evidence| evidence.changes.push(change(4)));
        assert_eq!(numbers(verdict), good());
    }

    #[test]
    fn a_message_that_is_missing_is_a_gap_and_a_loss() {
        let verdict = after(|evidence| {
            evidence.log.remove(1);
            evidence.arrivals.remove(1);
        });
        assert_eq!(numbers(verdict), Verdict { messages: 3, delivered: 3, gaps: 1, lost: 1, ..Verdict::default() });
    }

    #[test]
    fn a_change_that_nobody_was_told_of_must_have_its_message_too() {
        let verdict = after(|evidence| {
            evidence.versions = [("c".to_owned(), 4)].into();
            evidence.changes.push(change(4));
        });
        assert_eq!(numbers(verdict), Verdict { gaps: 1, ..good() });
        let verdict = after(|evidence| drop(evidence.acknowledged.remove(1)));
        assert_eq!(verdict, good());
    }

    #[test]
    fn a_second_message_for_one_change_is_a_gap() {
        for index in 0..4 {
            let verdict = after(|evidence| {
                let mut again = evidence.arrivals[index].clone();
                (again.at, again.accepted, again.message.id) = (90 + again.at, Some(99 + again.at), "m9".into());
                again.message.created_at = "2026-01-31T10:00:09.000Z".into();
                evidence.log.push(again.message.clone());
                evidence.arrivals.push(again);
            });
            assert!(verdict.gaps >= 1 && verdict.lost == 0, "{verdict:?}");
        }
    }

    #[test]
    fn a_number_that_is_not_the_version_is_a_gap() {
        let verdict = after(|evidence| {
            evidence.log[3].resource_version = 7;
            evidence.arrivals[3].message.resource_version = 7;
        });
        assert_eq!(numbers(verdict), Verdict { gaps: 1, ..good() });
    }

    #[test]
    fn an_acknowledged_change_of_another_kind_is_found() {
        let verdict = after(|evidence| evidence.acknowledged[1].kind = Kind::Reset);
        assert_eq!(numbers(verdict), good());
    }

    #[test]
    fn what_nobody_asked_for_is_found() {
        let verdict = after(|evidence| evidence.versions.clear());
        assert_eq!(verdict.complaints.len(), 2, "its messages and its changes: {verdict:?}");
        assert_eq!(numbers(verdict), good());
        let verdict = after(|evidence| drop(evidence.acknowledged.remove(2)));
        assert_eq!(numbers(verdict), good());
        let verdict = after(|evidence| {
            evidence.acknowledged.remove(2);
            evidence.unknown_tokens.insert("c".into(), 1);
        });
        assert_eq!(verdict, good());
    }

    #[test]
    fn a_message_that_was_never_accepted_is_lost() {
        let verdict = after(|evidence| drop(evidence.arrivals.pop()));
        assert_eq!(numbers(verdict), Verdict { delivered: 3, lost: 1, ..good() });
        let verdict = after(|evidence| evidence.arrivals[3].accepted = None);
        assert_eq!(numbers(verdict), Verdict { delivered: 3, lost: 1, ..good() });
    }

    #[test]
    fn a_delivery_of_what_was_never_committed_is_found() {
        let verdict = after(|evidence| {
            evidence.log.pop();
            evidence.acknowledged.pop();
            evidence.versions.insert("c".into(), 2);
        });
        assert_eq!(numbers(verdict), Verdict { messages: 3, delivered: 3, ..Verdict::default() });
    }

    #[test]
    fn a_repeat_is_fine_if_it_is_the_same() {
        let repeated = |digest| {
            after(|evidence| {
                let mut again = evidence.arrivals[1].clone();
                (again.at, again.accepted, again.digest) = (99, Some(100), digest);
                evidence.arrivals.push(again);
            })
        };
        assert_eq!(repeated(1), Verdict { repeats: 1, ..good() });
        assert_eq!(numbers(repeated(2)), Verdict { repeats: 1, ..good() });
    }

    #[test]
    fn first_arrivals_in_another_order_are_inversions() {
        // Two changes; then a change and a token.
        for (one, other) in [(0, 1), (1, 2), (2, 3)] {
            let verdict = after(|evidence| {
                let message = evidence.arrivals[one].message.clone();
                evidence.arrivals[one].message = evidence.arrivals[other].message.clone();
                evidence.arrivals[other].message = message;
            });
            assert_eq!(numbers(verdict), Verdict { inversions: 1, ..good() });
        }
    }

    #[test]
    fn a_late_repeat_of_an_early_message_is_no_inversion() {
        let verdict = after(|evidence| {
            let again = Arrival { at: 35, accepted: None, ..evidence.arrivals[0].clone() };
            evidence.arrivals.push(again);
        });
        assert_eq!(verdict, Verdict { repeats: 1, ..good() });
    }

    #[test]
    fn coming_before_the_one_ahead_was_accepted_is_an_inversion() {
        let verdict = after(|evidence| evidence.arrivals[0].accepted = Some(15));
        assert_eq!(numbers(verdict), Verdict { inversions: 1, ..good() });
        // Turned away, sent again, accepted, and only then the next one: that is how it should be.
        let verdict = after(|evidence| {
            let again = Arrival { at: 5, accepted: Some(6), ..evidence.arrivals[0].clone() };
            evidence.arrivals[0].accepted = None;
            evidence.arrivals.insert(1, again);
        });
        assert_eq!(verdict, Verdict { repeats: 1, ..good() });
    }

    #[test]
    fn other_customers_do_not_matter_for_the_order() {
        let verdict = after(|evidence| {
            let fact =
                Fact { customer: "d".into(), resource: Resource::Customer("d".into()), ..evidence.log[0].fact.clone() };
            let early = message("n1", 0, fact);
            let arrival = Arrival { at: 95, accepted: Some(96), message: early.clone(), is_genuine: true, digest: 9 };
            evidence.versions.insert("d".into(), 1);
            evidence.log.push(early);
            evidence.arrivals.push(arrival);
            evidence.changes.push(ChangeArrival { customer: "d".into(), ..change(1) });
        });
        assert_eq!(verdict, Verdict { messages: 5, delivered: 5, ..Verdict::default() });
    }

    #[test]
    fn a_wrong_signature_is_found() {
        let verdict = after(|evidence| evidence.arrivals[2].is_genuine = false);
        assert_eq!(numbers(verdict), good());
    }

    #[test]
    fn a_delivery_that_differs_from_the_log_is_found() {
        let verdict = after(|evidence| evidence.arrivals[1].message.fact.kind = Kind::Reset);
        assert_eq!(numbers(verdict), good());
    }

    #[test]
    fn messages_are_read_as_the_contract_has_them() {
        let json = serde_json::json!({
            "id": "m", "sequenceNumber": 1, "resource": {"typeId": "customer-password-token", "id": "t"},
            "resourceVersion": 1, "type": "CustomerPasswordTokenCreated", "customerId": "c",
            "createdAt": "2026-01-31T10:00:01.000Z",
        });
        assert_eq!(Message::read(&json), Some(message("m", 1, fact(Resource::Token("t".into()), 1))));
        for field in ["id", "sequenceNumber", "resource", "resourceVersion", "type", "customerId", "createdAt"] {
            let mut broken = json.clone();
            broken.as_object_mut().unwrap().remove(field);
            assert_eq!(Message::read(&broken), None, "{field}");
        }
    }
}
