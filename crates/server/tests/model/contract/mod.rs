//! The commercetools contract as a machine in memory: what each call is answered, and what is different afterwards.
//!
//! Written from commercetools.md and not from the server's code, of which it takes nothing but the form of time stamps.
//! Everything is in the clear, nothing is fast, nothing happens at once.
//!
//! **What the contract leaves open.** Where it is silent, the model takes what this product documents:
//!
//! 1. Who calls is settled when a call begins: a token that is ended by another call at the same moment may still count.
//! 2. Of several faults, one is told: the caller's, then the form's, then that there is no such thing, then the version's,
//!    then the first action's, and at last a duplicate: of the e-mail address, the key, the customer number.
//! 3. Uniqueness is a matter of the outcome of a request, not of its single actions.
//! 4. What is set to what it is already is no change: no new version, no message.
//! 5. All reset tokens and sessions of a customer end, too, when its way to sign in is set; all its tokens of both kinds when
//!    its e-mail address changes; tokens and sessions when it is deleted.
//! 6. A default address has the role, and loses it only with the role.
//! 7. Who is created within a store and names no store belongs to that store. Who may call one store only knows no other.
//! 8. A deletion answers the customer as it was, and its message has the version after that.
//! 9. After `dataErasure` nothing personal is shown, and messages that say nothing without it are gone.
//! 10. An anonymous id is in use as long as an access or refresh token with it lives.
//! 11. To revoke a refresh token ends the access tokens it brought; another client's token stays.
//! 12. Messages of one request all have its version and the identifiers that it leaves.
//! 13. A subscription that gets a destination begins anew, even if it is the one that it had.
//! 14. Texts of errors for which the contract has none.
//!
//! No moment is one at which something just ends: the contract does not say to which side it belongs.

mod access;
mod customers;
mod messages;
mod oauth;
mod passwords;
mod projects;
mod refused;
pub mod state;
mod subscriptions;
mod update;

use std::rc::Rc;

use keyherald_core::Micros;
use serde_json::{Map, Value};

pub use self::access::Who;
use self::refused::Refused;
use self::state::{Customer, Message, Mistake, Project, World};
use crate::call::{Call, Verb};
use crate::expect::{Answer, Difference, Expected, Name, name};

/// What a call comes to.
type Outcome = Result<Expected, Refused>;

/// How a caller is seen.
pub type Admitted = Result<Who, Refused>;

impl World {
    /// Plays a call whose answer is known. `admitted`: who calls, if that is to be another than it is now. An error leaves the
    /// world in disorder.
    pub fn play(
        &mut self,
        number: usize,
        call: &Call,
        admitted: Option<&Admitted>,
        answer: &Answer,
    ) -> Result<(), Difference> {
        self.call = number;
        let outcome = match (&call.verb, admitted) {
            (Verb::Token(_) | Verb::Introspect { .. } | Verb::Revoke { .. }, _) => self.oauth(call),
            (Verb::Health { id }, _) => self.health(call, id),
            (_, Some(admitted)) => admitted.clone().and_then(|who| self.act(call, &who)),
            (_, None) => self.who(call).and_then(|who| self.act(call, &who)),
        };
        let expected = outcome.unwrap_or_else(|refused| refused.expected(self));
        let expected = match expected {
            Expected::Body(status, _) if call.verb.is_head() => Expected::Head(status),
            other => other,
        };
        expected.matches(answer, &mut self.bindings)?;
        // Which of two calls named a value must not make two worlds differ.
        (self.call, self.named) = (0, 0);
        Ok(())
    }

    /// Time passes.
    pub fn wait(&mut self, micros: i64) {
        self.now = self.now.plus(micros);
    }

    /// Plays the call of an admitted caller.
    fn act(&mut self, call: &Call, who: &Who) -> Outcome {
        match &call.verb {
            Verb::Create { own, draft } => self.create(call, who, draft, *own),
            Verb::Read { by, .. } => self.read(call, who, by),
            Verb::Query { predicate, page, head } => Ok(self.query(call, predicate, page, *head)?),
            Verb::Update { by, version, actions } => self.update(call, who, by, *version, actions),
            Verb::Delete { by, version, erase } => self.delete(call, who, by, *version, *erase),
            Verb::Change { id, version, current, new } => {
                self.change(call, who, id.as_deref(), *version, (current, new))
            }
            Verb::PasswordToken { email, ttl, older } => self.password_token(call, who, email, *ttl, *older),
            Verb::EmailToken { id, ttl, version, older } => self.email_token(call, who, id, (*ttl, *version), *older),
            Verb::Reset { own, value, version, new } => self.reset(call, who, value, version.filter(|_| !own), new),
            Verb::Confirm { own, value, version } => self.confirm(call, who, value, version.filter(|_| !own)),
            Verb::Login { email, password, .. } => self.login(call, email, password),
            Verb::Messages { filter, page, expand, head } => self.messages(call, filter, page, *expand, *head),
            Verb::Message { id, expand, .. } => self.message(call, id, *expand),
            Verb::Subscribe { key, messages, cloud_events } => {
                self.subscribe(call, who, key.as_deref(), messages, *cloud_events)
            }
            Verb::Subscription { by, .. } => self.subscription(call, by),
            Verb::Subscriptions { key, page, head } => self.subscriptions(call, key.as_deref(), page, *head),
            Verb::Resubscribe { by, version, actions } => self.resubscribe(call, who, by, *version, actions),
            Verb::Unsubscribe { by, version } => self.unsubscribe(call, by, *version),
            Verb::Health { id } => self.health(call, id),
            Verb::Token(_) | Verb::Introspect { .. } | Verb::Revoke { .. } => self.oauth(call),
            Verb::Project { .. } => Ok(Expected::Body(200, self.projects[call.project].json())),
            Verb::Configure { version, enabled, days } => self.configure(call, *version, *enabled, *days),
            Verb::CreateStore { key } => self.create_store(call, who, key),
            Verb::Store { by, .. } => self.read_store(call, by),
            Verb::Stores { key, page, head } => self.stores_with(call, key.as_deref(), page, *head),
            Verb::Sweep | Verb::Wait { .. } => Err(refused::nothing()),
        }
    }

    /// Names a value that the server chooses in this call.
    pub fn name(&mut self, kind: &str) -> Name {
        self.named += 1;
        name(kind, self.call, self.named)
    }

    /// Whether a name stands for this value.
    pub fn is(&self, name: &Name, value: &str) -> bool {
        **name == *value || self.bindings.get(name).is_some_and(|bound| **bound == *value)
    }

    /// The value that a name stands for, if it has been seen.
    pub fn value(&self, name: &Name) -> Option<String> {
        self.bindings.get(name).map(ToString::to_string)
    }

    pub fn errs(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    pub fn project(&mut self, call: &Call) -> &mut Project {
        &mut self.projects[call.project]
    }

    /// Ends all tokens of a kind that a customer has.
    fn end_tokens(&mut self, project: usize, customer: &Name, is_email: bool) {
        for token in self.projects[project].tokens.values_mut() {
            if token.customer == *customer && token.is_email == is_email && !token.ended {
                Rc::make_mut(token).ended = true;
            }
        }
    }

    /// Ends all access and refresh tokens of a customer.
    fn end_sessions(&mut self, customer: &Name) {
        for session in self.sessions.values_mut() {
            if session.customer.as_ref() == Some(customer) && !session.revoked {
                Rc::make_mut(session).revoked = true;
            }
        }
    }
}

/// A fact that is to become a message about a customer.
pub struct Fact {
    kind: &'static str,
    facts: Map<String, Value>,
    personal: Map<String, Value>,
}

impl Fact {
    pub fn new(kind: &'static str, personal: Map<String, Value>) -> Self {
        Self { kind, facts: Map::new(), personal }
    }

    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.facts.insert(name.to_owned(), value.into());
        self
    }
}

impl World {
    /// Appends a message about a customer at its version, with its next sequence number.
    fn tell(&mut self, project: usize, customer: &mut Customer, fact: Fact, by: &Value) {
        customer.sequence += 1;
        let id = self.name("id");
        self.append(
            project,
            Message {
                id,
                at: self.now,
                kind: fact.kind,
                resource_kind: "customer",
                resource: customer.id.clone(),
                sequence: customer.sequence,
                version: customer.version,
                customer: customer.id.clone(),
                by: by.clone(),
                identifiers: customer.identifiers(),
                facts: fact.facts,
                personal: fact.personal,
                token: None,
                visible: false,
                erased: false,
            },
        );
    }

    fn append(&mut self, project: usize, message: Message) {
        let project = &mut self.projects[project];
        let message = Message { visible: project.messages_enabled, ..message };
        project.messages.insert((message.resource.clone(), message.sequence), Rc::new(message));
    }
}

/// Milliseconds since the epoch, as introspection tells them.
fn millis(at: Micros) -> i64 {
    at.0 / 1000
}

impl Verb {
    /// Whether the answer has no body.
    fn is_head(&self) -> bool {
        matches!(
            self,
            Self::Read { head: true, .. }
                | Self::Query { head: true, .. }
                | Self::Messages { head: true, .. }
                | Self::Message { head: true, .. }
                | Self::Subscription { head: true, .. }
                | Self::Subscriptions { head: true, .. }
                | Self::Project { head: true }
                | Self::Store { head: true, .. }
                | Self::Stores { head: true, .. }
        )
    }
}
