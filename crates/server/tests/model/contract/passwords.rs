//! Passwords, sign-in, e-mail verification (commercetools.md chapter 3).

use std::rc::Rc;

use keyherald_core::Micros;
use serde_json::{Map, json};

use super::refused;
use super::state::{Customer, Message, Mistake, Token, World};
use super::{Fact, Outcome, Who};
use crate::call::{By, Call, object};
use crate::expect::{Expected, Name};

const TTL_MINUTES: std::ops::RangeInclusive<i64> = 1..=525_600;
/// Life in minutes up to which a message carries the value.
const SHOWN_MINUTES: i64 = 60;

impl World {
    pub(super) fn change(
        &mut self,
        call: &Call,
        who: &Who,
        id: Option<&str>,
        version: i64,
        (current, new): (&str, &str),
    ) -> Outcome {
        let found = match id {
            Some(id) => self.by_id(call, id)?,
            None => self.find(call, who, &By::Me)?,
        };
        if found.version != version {
            return Err(refused::other_version(&found.id, version, found.version));
        }
        if found.password.as_ref().is_none_or(|(own, _)| own != current) {
            return Err(refused::wrong_current_password());
        }
        Ok(self.set_password(call, who, &found, new, false))
    }

    pub(super) fn reset(&mut self, call: &Call, who: &Who, value: &str, version: Option<i64>, new: &str) -> Outcome {
        let (used, found) = self.usable(call, value, false)?;
        if let Some(version) = version.filter(|version| *version != found.version) {
            return Err(refused::other_version(&found.id, version, found.version));
        }
        if found.external {
            return Err(refused::not_password_mode());
        }
        let others = self.projects[call.project].tokens.clone();
        let answer = self.set_password(call, who, &found, new, true);
        if self.errs(Mistake::ResetKeepsOtherTokens) {
            self.project(call).tokens.extend(others.into_iter().filter(|(id, _)| *id != used));
        }
        Ok(answer)
    }

    fn set_password(&mut self, call: &Call, who: &Who, found: &Customer, new: &str, reset: bool) -> Expected {
        let mut customer = found.clone();
        let mask = self.name("mask");
        customer.password = Some((new.to_owned(), mask));
        self.touch(&mut customer, who);
        if self.errs(Mistake::ChangeKeepsVersion) && !reset {
            customer.version -= 1;
        }
        let fact = Fact::new("CustomerPasswordUpdated", Map::new()).with("reset", reset);
        self.tell(call.project, &mut customer, fact, &who.by);
        self.end_tokens(call.project, &customer.id, false);
        if !self.errs(Mistake::ChangeKeepsSessions) {
            self.end_sessions(&customer.id);
        }
        self.put(call, customer)
    }

    pub(super) fn confirm(&mut self, call: &Call, who: &Who, value: &str, version: Option<i64>) -> Outcome {
        let (_, found) = self.usable(call, value, true)?;
        if let Some(version) = version.filter(|version| *version != found.version) {
            return Err(refused::other_version(&found.id, version, found.version));
        }
        let mut customer = (*found).clone();
        customer.verified = true;
        self.touch(&mut customer, who);
        self.tell(call.project, &mut customer, Fact::new("CustomerEmailVerified", Map::new()), &who.by);
        self.end_tokens(call.project, &customer.id, true);
        Ok(self.put(call, customer))
    }

    fn touch(&mut self, customer: &mut Customer, who: &Who) {
        customer.version += 1;
        customer.modified_at = self.now;
        customer.modified_by = who.by.clone();
    }

    fn put(&mut self, call: &Call, customer: Customer) -> Expected {
        let shown = customer.json();
        self.project(call).customers.insert(customer.id.clone(), Rc::new(customer));
        Expected::Body(200, shown)
    }

    pub(super) fn password_token(
        &mut self,
        call: &Call,
        who: &Who,
        email: &str,
        ttl: Option<i64>,
        older: Option<bool>,
    ) -> Outcome {
        let ttl = ttl.unwrap_or(1440);
        if !TTL_MINUTES.contains(&ttl) {
            return Err(refused::ttl_out_of_range());
        }
        let found = self.by_email(call, email).ok_or_else(|| refused::no_such_email(email))?;
        if self.errs(Mistake::TokenMovesVersion) {
            let version = found.version + 1;
            self.put(call, Customer { version, ..(*found).clone() });
        }
        Ok(self.token(call, who, &found.id, (ttl, older.unwrap_or(false)), false))
    }

    pub(super) fn email_token(
        &mut self,
        call: &Call,
        who: &Who,
        id: &str,
        (ttl, version): (Option<i64>, Option<i64>),
        older: Option<bool>,
    ) -> Outcome {
        let ttl = ttl.ok_or_else(|| refused::invalid_json(None))?;
        if !TTL_MINUTES.contains(&ttl) {
            return Err(refused::ttl_out_of_range());
        }
        let found = self.by_id(call, id)?;
        if let Some(version) = version.filter(|version| *version != found.version) {
            return Err(refused::other_version(&found.id, version, found.version));
        }
        Ok(self.token(call, who, &found.id, (ttl, older.unwrap_or(false)), true))
    }

    /// A new token of either kind, and its message. The customer's version stays (0.17).
    fn token(
        &mut self,
        call: &Call,
        who: &Who,
        customer: &Name,
        (ttl, older): (i64, bool),
        is_email: bool,
    ) -> Expected {
        if older {
            self.end_tokens(call.project, customer, is_email);
        }
        let (id, value, message) = (self.name("id"), self.name("value"), self.name("id"));
        let expires = self.now.plus(ttl * Micros::MINUTE);
        let token =
            Token { id: id.clone(), is_email, value: value.clone(), customer: customer.clone(), expires, ended: false };
        let own = object(&[
            ("customerId", json!(&**customer)),
            ("expiresAt", json!(expires.iso())),
            ("invalidateOlderTokens", json!(older)),
        ]);
        let (kind, resource_kind) = if is_email {
            ("CustomerEmailTokenCreated", "customer-email-token")
        } else {
            ("CustomerPasswordTokenCreated", "customer-password-token")
        };
        self.append(
            call.project,
            Message {
                id: message,
                at: self.now,
                kind,
                resource_kind,
                resource: id.clone(),
                sequence: 1,
                version: 1,
                customer: customer.clone(),
                by: who.by.clone(),
                identifiers: Map::new(),
                facts: own.clone(),
                personal: Map::new(),
                token: (ttl <= SHOWN_MINUTES).then(|| id.clone()),
                visible: false,
                erased: false,
            },
        );
        self.project(call).tokens.insert(id.clone(), Rc::new(token));
        let mut answer = object(&[
            ("id", json!(&*id)),
            ("createdAt", json!(self.now.iso())),
            ("lastModifiedAt", json!(self.now.iso())),
            ("createdBy", who.by.clone()),
            ("lastModifiedBy", who.by.clone()),
            ("value", json!(&*value)),
        ]);
        answer.extend(own);
        Expected::Body(200, answer.into())
    }

    pub(super) fn login(&mut self, call: &Call, email: &str, password: &str) -> Outcome {
        let found = self.signed_in(call, email, password).ok_or_else(refused::wrong_credentials)?;
        Ok(Expected::Body(200, json!({"customer": found.json()})))
    }

    /// Whose e-mail address and password these are.
    pub(super) fn signed_in(&self, call: &Call, email: &str, password: &str) -> Option<Rc<Customer>> {
        let found = self.by_email(call, email)?;
        found.password.as_ref().is_some_and(|(own, _)| own == password).then_some(found)
    }
}
