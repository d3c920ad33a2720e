//! Tokens of clients, customers and visitors (commercetools.md chapter 1).

use std::rc::Rc;

use keyherald_core::Micros;
use serde_json::json;

use super::access::covers;
use super::refused::{self, Refused};
use super::state::{Client, Session, World};
use super::{Outcome, millis};
use crate::call::{Call, Caller, Grant, Verb, object};
use crate::expect::{Expected, Name};

const ACCESS_S: i64 = 172_800;
const REFRESH_S: i64 = 17_280_000;

impl World {
    /// Plays a call that a client makes with its own secret. The model knows its clients; no call has a wrong secret.
    pub(super) fn oauth(&mut self, call: &Call) -> Outcome {
        let Caller::Client(id) = &call.caller else { return Err(refused::nothing()) };
        let client = self.clients.iter().find(|client| client.id == *id).cloned();
        let client = client.ok_or_else(refused::nothing)?;
        match &call.verb {
            Verb::Token(Grant::Client { scope }) => {
                let scope = granted(self, &client, scope.as_ref())?;
                Ok(self.issue(&client, scope, None, None, false))
            }
            Verb::Token(Grant::Customer { email, password, scope, refresh }) => {
                let scope = granted(self, &client, scope.as_ref())?;
                let found = self.signed_in(call, email, password).ok_or_else(refused::wrong_customer_credentials)?;
                let scope = format!("{scope} customer_id:{}", found.id);
                Ok(self.issue(&client, scope, Some(found.id.clone()), None, *refresh))
            }
            Verb::Token(Grant::Anonymous { id, scope, refresh }) => {
                self.anonymous(&client, id.as_ref(), scope.as_ref(), *refresh)
            }
            Verb::Token(Grant::Refresh { token }) => self.refresh(&client, token),
            Verb::Introspect { token } => Ok(self.introspect(&client, token)),
            Verb::Revoke { token } => {
                self.revoke(&client, token);
                Ok(Expected::Body(200, json!({})))
            }
            _ => Err(refused::nothing()),
        }
    }

    fn anonymous(&mut self, client: &Client, id: Option<&String>, scope: Option<&String>, refresh: bool) -> Outcome {
        let key = &self.projects[client.project].key;
        if !covers(&client.scopes, &format!("create_anonymous_token:{key}"), key) {
            return Err(refused::insufficient_scope("create_anonymous_token"));
        }
        let scope = granted(self, client, scope)?;
        let is_used = |session: &Rc<Session>| {
            let same = session.visitor.as_ref().is_some_and(|visitor| id.is_some_and(|id| self.is(visitor, id)));
            same && session.project == client.project && session.is_alive(self.now)
        };
        if self.sessions.values().any(is_used) {
            return Err(refused::anonymous_id_in_use());
        }
        let visitor: Name = match id {
            Some(id) => id.as_str().into(),
            None => self.name("visitor"),
        };
        let scope = format!("{scope} anonymous_id:{visitor}");
        Ok(self.issue(client, scope, None, Some(visitor), refresh))
    }

    fn issue(
        &mut self,
        client: &Client,
        scope: String,
        customer: Option<Name>,
        visitor: Option<Name>,
        refresh: bool,
    ) -> Expected {
        let access = self.name("access");
        let refresh = refresh.then(|| self.name("refresh"));
        let session = Session {
            is_refresh: false,
            client: client.id.clone(),
            project: client.project,
            scope,
            customer,
            visitor,
            ends: self.now.plus(ACCESS_S * Micros::SECOND),
            revoked: false,
            granted_by: refresh.clone(),
        };
        if let Some(refresh) = &refresh {
            let ends = self.now.plus(REFRESH_S * Micros::SECOND);
            let long = Session { is_refresh: true, ends, granted_by: None, ..session.clone() };
            self.sessions.insert(refresh.clone(), Rc::new(long));
        }
        self.issued(access, session, refresh.as_ref())
    }

    fn issued(&mut self, access: Name, session: Session, refresh: Option<&Name>) -> Expected {
        let body = object(&[
            ("access_token", json!(&*access)),
            ("token_type", json!("Bearer")),
            ("expires_in", json!(ACCESS_S)),
            ("scope", json!(session.scope)),
            ("refresh_token", json!(refresh.map(|refresh| &**refresh))),
        ]);
        self.sessions.insert(access, Rc::new(session));
        Expected::Body(200, body.into())
    }

    /// The refresh token stays valid, and its inactivity begins anew (1.2).
    fn refresh(&mut self, client: &Client, token: &str) -> Outcome {
        let found = self.session(token).filter(|(_, session)| session.is_refresh && session.client == client.id);
        let (name, session) =
            found.filter(|(_, session)| session.is_alive(self.now)).ok_or_else(refused::invalid_grant)?;
        let (long, short) = (REFRESH_S * Micros::SECOND, ACCESS_S * Micros::SECOND);
        let extended = Session { ends: self.now.plus(long), ..session.clone() };
        let renewed = Session {
            is_refresh: false,
            ends: self.now.plus(short),
            granted_by: Some(name.clone()),
            ..session.clone()
        };
        self.sessions.insert(name, Rc::new(extended));
        let access = self.name("access");
        Ok(self.issued(access, renewed, None))
    }

    /// A client's own tokens, and all of the project to whom may introspect them.
    fn introspect(&self, client: &Client, token: &str) -> Expected {
        let may = |session: &&Session| {
            let key = &self.projects[session.project].key;
            session.client == client.id || covers(&client.scopes, &format!("introspect_oauth_tokens:{key}"), key)
        };
        let found = self.session(token).map(|(_, session)| session);
        let found = found.filter(|session| !session.is_refresh && session.is_alive(self.now)).filter(may);
        let body = match found {
            Some(session) => json!({"active": true, "scope": session.scope, "exp": millis(session.ends)}),
            None => json!({"active": false}),
        };
        Expected::Body(200, body)
    }

    fn revoke(&mut self, client: &Client, token: &str) {
        let found = self.session(token).filter(|(_, session)| session.client == client.id).map(|(name, _)| name);
        let Some(revoked) = found else { return };
        for (name, session) in &mut self.sessions {
            if *name == revoked || session.granted_by.as_ref() == Some(&revoked) {
                Rc::make_mut(session).revoked = true;
            }
        }
    }
}

/// The scopes that are asked for, or all of the client's.
fn granted(world: &World, client: &Client, asked: Option<&String>) -> Result<String, Refused> {
    match asked {
        None => Ok(client.scopes.clone()),
        Some(asked) if covers(&client.scopes, asked, &world.projects[client.project].key) => Ok(asked.clone()),
        Some(_) => Err(refused::invalid_scope()),
    }
}
