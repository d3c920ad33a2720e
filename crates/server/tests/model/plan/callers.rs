//! Who makes a call: most often somebody who may.

use std::rc::Rc;

use super::{NO_TOKEN, Plan, STORES, client};
use crate::call::{By, Caller, Grant, Verb};
use crate::contract::state::Session;
use crate::expect::Name;

impl Plan<'_> {
    /// The token with which one who signed in comes.
    pub(super) fn signed_in(&self) -> Option<(Name, Rc<Session>)> {
        let mut found = self.sessions(|session| session.customer.is_some() && !session.is_refresh);
        let alive: Vec<_> = found.iter().filter(|(_, session)| session.is_alive(self.world.now)).cloned().collect();
        // The same one for verb and caller: so by the focus, and not by chance.
        let many = if alive.is_empty() { found.len() } else { alive.len() };
        let at = usize::try_from(self.focus % u64::try_from(many.max(1)).unwrap()).unwrap();
        if !alive.is_empty() {
            found = alive;
        }
        found.get(at).cloned()
    }

    pub(super) fn someone_signed_in(&self) -> Option<Rc<Session>> {
        self.signed_in().map(|(_, session)| session)
    }

    pub(super) fn visitor(&mut self) -> Option<Name> {
        let visitors = self.sessions(|session| session.visitor.is_some() && !session.is_refresh);
        self.chance.of(&visitors).map(|(name, _)| name.clone())
    }

    /// Who calls; or the client that should get a token first.
    pub(super) fn caller(&mut self, verb: &Verb, store: Option<&str>) -> Result<Caller, String> {
        match verb {
            Verb::Token(Grant::Refresh { token }) | Verb::Introspect { token } | Verb::Revoke { token } => {
                let own = self.world.session(token).map(|(_, session)| session.client.clone());
                let own = own.filter(|_| self.chance.percent(85));
                return Ok(Caller::Client(own.unwrap_or_else(|| self.client("full"))));
            }
            Verb::Token(_) => {
                let name = self.chance.pick(&["web", "web", "full", "view"]);
                return Ok(Caller::Client(self.client(name)));
            }
            Verb::Sweep | Verb::Wait { .. } => return Ok(Caller::Nobody),
            // It needs no token.
            Verb::Health { .. } if self.chance.percent(80) => return Ok(Caller::Nobody),
            _ => {}
        }
        match self.chance.below(100) {
            0 => return Ok(Caller::Nobody),
            1 => return Ok(Caller::Bearer(NO_TOKEN.to_owned())),
            2 => return self.bearer(1 - self.project, "full"),
            _ => {}
        }
        let is_read = matches!(verb, Verb::Read { .. } | Verb::Query { .. });
        let usual: &[(&str, usize)] = match verb.needs() {
            Needs::Oneself => &[("customer", 80), ("visitor", 8), ("web", 6), ("full", 6)],
            Needs::Nobody => &[("customer", 15), ("visitor", 20), ("web", 40), ("a", 10), ("full", 15)],
            Needs::Messages => &[("full", 65), ("view", 20), ("staff", 12), ("customer", 3)],
            Needs::Project => &[("full", 92), ("staff", 5), ("customer", 3)],
            Needs::Customers if is_read => &[("full", 60), ("staff", 12), ("view", 15), ("a", 8), ("customer", 5)],
            Needs::Customers if store == Some(STORES[0]) => &[("full", 50), ("staff", 10), ("a", 36), ("view", 4)],
            Needs::Customers => &[("full", 80), ("staff", 10), ("a", 4), ("view", 3), ("customer", 3)],
        };
        let name = self.chance.weighted(usual);
        if name == "customer" {
            let signed_in = self.signed_in().map(|(name, _)| name);
            return Ok(self.presented(signed_in));
        }
        if name == "visitor" {
            let visitor = self.visitor();
            return Ok(self.presented(visitor));
        }
        self.bearer(self.project, name)
    }

    pub(super) fn presented(&self, name: Option<Name>) -> Caller {
        name.and_then(|name| self.world.value(&name)).map_or(Caller::Nobody, Caller::Bearer)
    }

    pub(super) fn client(&self, name: &str) -> String {
        // The other project has one client only.
        client(self.world, self.project, if self.project == 0 { name } else { "full" })
    }

    /// The newest token of a client.
    pub(super) fn bearer(&mut self, project: usize, name: &str) -> Result<Caller, String> {
        let id = client(self.world, project, if project == 0 { name } else { "full" });
        let own = |session: &Session| session.client == id && session.customer.is_none() && session.visitor.is_none();
        let tokens = self.world.sessions.iter().filter(|(_, session)| own(session));
        match tokens.max_by_key(|(_, session)| session.ends) {
            Some((name, session)) if session.is_alive(self.world.now) || self.chance.percent(15) => {
                Ok(self.presented(Some(name.clone())))
            }
            _ => Err(id),
        }
    }

    pub(super) fn is_of_client(&self, caller: &Caller, name: &str) -> bool {
        let Caller::Bearer(token) = caller else { return false };
        let id = client(self.world, self.project, name);
        self.world.session(token).is_some_and(|(_, session)| session.client == id)
    }
}

/// Which of the clients makes such a call.
enum Needs {
    Customers,
    Messages,
    /// What belongs to the project: subscriptions, stores, settings.
    Project,
    /// A token of the customer.
    Oneself,
    /// A token for `/me`, whosever it is.
    Nobody,
}

impl Verb {
    fn needs(&self) -> Needs {
        match self {
            Self::Create { own: true, .. }
            | Self::Reset { own: true, .. }
            | Self::Confirm { own: true, .. }
            | Self::Login { own: true, .. } => Needs::Nobody,
            Self::Change { id: None, .. }
            | Self::Read { by: By::Me, .. }
            | Self::Update { by: By::Me, .. }
            | Self::Delete { by: By::Me, .. } => Needs::Oneself,
            Self::Messages { .. } | Self::Message { .. } => Needs::Messages,
            Self::Subscribe { .. }
            | Self::Subscription { .. }
            | Self::Subscriptions { .. }
            | Self::Resubscribe { .. }
            | Self::Unsubscribe { .. }
            | Self::Health { .. }
            | Self::Project { .. }
            | Self::Configure { .. }
            | Self::CreateStore { .. }
            | Self::Store { .. }
            | Self::Stores { .. } => Needs::Project,
            _ => Needs::Customers,
        }
    }

    /// Whether there is such a call within a store.
    pub(super) fn has_stores(&self) -> bool {
        match self {
            Self::Token(grant) => matches!(grant, Grant::Customer { .. }),
            Self::Introspect { .. } | Self::Revoke { .. } | Self::Sweep | Self::Wait { .. } => false,
            verb => !matches!(verb.needs(), Needs::Messages | Needs::Project),
        }
    }
}
