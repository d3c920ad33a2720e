//! Tenants: which project the three codes of a request mean, and what goes for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use keyherald_core::id::ProjectKey;
use keyherald_core::provider::{ProviderLink, ProviderName};
use url::Url;

use super::password_rules::PasswordRules;
use crate::app::CustomerRef;
use crate::format::EventIds;
use crate::jwt;

/// A tenant, as it is configured.
pub struct Tenant {
    /// Its project.
    pub project: ProjectKey,
    /// `X-ClientGroupCode`
    pub client_group: String,
    /// `X-ClientCode`
    pub client: String,
    /// `X-PaperCode`
    pub paper: String,
    /// The provider that has its users' passwords too. `None`: they are here alone.
    pub provider: Option<UserProvider>,
    /// What checks its callers' tokens.
    pub callers: jwt::Verifier,
    /// What its callers may call themselves. Empty: anything.
    pub source_systems: Vec<String>,
    /// Whether an unknown user is told as 404.
    pub unknown_user_is_404: bool,
    /// Whether a hash is kept here of a password that the provider has too.
    pub keep_local_hash: bool,
    /// The page where a new password is chosen, where a call names none.
    pub change_password_url: Option<Url>,
    /// The page that confirms an address, where a call names none.
    pub return_url: Option<Url>,
    /// Hosts that a call's own page may be on, besides those of the two.
    pub return_hosts: Vec<String>,
    /// Ids of events that no document tells, by the event's code.
    pub event_ids: BTreeMap<String, u32>,
    /// What a new password must be, where there is no provider.
    pub password_rules: PasswordRules,
}

/// The provider of a tenant's users.
pub struct UserProvider {
    /// Its name in the configuration.
    pub name: ProviderName,
    /// What is put in front of a CRID without a `|`: Auth0's ids begin with their connection (naviga.md 7.1).
    pub prefix: Option<&'static str>,
    /// What it is in the contract's words.
    pub system: AuthSystem,
}

/// A system that users sign in at, as the contract numbers them (naviga.md 4.4). Which one it is and its number are
/// configured, or follow from the provider's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthSystem {
    /// Its number. Only those of the first two are documented.
    pub id: u32,
    /// Its code, and its name.
    pub code: &'static str,
}

impl AuthSystem {
    /// The own database.
    pub const MG2: Self = Self { id: 1, code: "MG2" };
    /// Firefly.
    pub const FIREFLY: Self = Self { id: 2, code: "Firefly" };
    /// Auth0.
    pub const AUTH0: Self = Self { id: 3, code: "Auth0" };
    /// Gigya.
    pub const GIGYA: Self = Self { id: 4, code: "Gigya" };
    /// Tribune's.
    pub const SSOR: Self = Self { id: 5, code: "SSOR" };
    /// A provider that the contract does not know.
    pub const OTHER: Self = Self { id: 0, code: "Other" };
}

impl Tenant {
    /// Where its users sign in.
    pub fn auth_system(&self) -> AuthSystem {
        self.provider.as_ref().map_or(AuthSystem::MG2, |provider| provider.system)
    }

    /// Whether ids of users have an encrypted form: Firefly's have none (naviga.md 2.8).
    pub fn encrypts_ids(&self) -> bool {
        self.auth_system().code != AuthSystem::FIREFLY.code
    }

    /// The name of the provider, if there is one.
    pub fn provider_name(&self) -> Option<ProviderName> {
        self.provider.as_ref().map(|provider| provider.name.clone())
    }

    /// The customer that a CRID means: a user of the provider, or, without one, by our number or id. `None`: there can be
    /// none.
    pub fn customer(&self, crid: &str) -> Option<CustomerRef> {
        let Some(provider) = &self.provider else {
            let number = crid.parse().map(CustomerRef::Number).ok();
            return number.or_else(|| crid.parse().map(CustomerRef::Id).ok());
        };
        let user = match provider.prefix.filter(|_| !crid.contains('|')) {
            Some(prefix) => format!("{prefix}{crid}").parse(),
            None => crid.parse(),
        };
        Some(CustomerRef::User(ProviderLink { provider: provider.name.clone(), user: user.ok()? }))
    }

    /// Whether mail of this tenant may lead to a page: one of its own pages' hosts, or of those that are allowed besides.
    pub fn may_lead_to(&self, page: &Url) -> bool {
        let own = [&self.change_password_url, &self.return_url].into_iter().flatten().filter_map(Url::host_str);
        let mut hosts = own.chain(self.return_hosts.iter().map(String::as_str));
        let is_plain = page.username().is_empty() && page.password().is_none();
        is_plain && page.host_str().is_some_and(|host| hosts.any(|known| known.eq_ignore_ascii_case(host)))
    }

    /// Whether a caller may call itself so.
    pub fn knows_source(&self, source_system: &str) -> bool {
        self.source_systems.is_empty() || is_among(&self.source_systems, source_system)
    }
}

fn is_among(known: &[String], code: &str) -> bool {
    known.iter().any(|one| one.eq_ignore_ascii_case(code))
}

/// Which of the three codes means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// The client group.
    ClientGroup,
    /// The client, within its group.
    Client,
    /// The paper, of its client.
    Paper,
}

/// All tenants. Cheap to clone.
#[derive(Clone, Default)]
pub struct Tenants(Arc<[Arc<Tenant>]>);

impl Tenants {
    /// These. The configuration has made sure that no two have the same codes.
    pub fn of(tenants: impl IntoIterator<Item = Tenant>) -> Self {
        Self(tenants.into_iter().map(Arc::new).collect())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The ids of events that are configured.
    pub fn event_ids(&self) -> EventIds {
        let of = |tenant: &Arc<Tenant>| (tenant.project.clone(), tenant.event_ids.clone());
        EventIds { ids: self.0.iter().map(of).collect(), ..EventIds::default() }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Tenant> {
        self.0.iter().map(|tenant| &**tenant)
    }

    /// The tenant with these codes, without regard to their letter case.
    pub fn find(&self, client_group: &str, client: &str, paper: &str) -> Result<Arc<Tenant>, Unknown> {
        let mut unknown = Unknown::ClientGroup;
        for tenant in self.0.iter().filter(|tenant| tenant.client_group.eq_ignore_ascii_case(client_group)) {
            match (tenant.client.eq_ignore_ascii_case(client), tenant.paper.eq_ignore_ascii_case(paper)) {
                (true, true) => return Ok(tenant.clone()),
                (true, false) => unknown = Unknown::Paper,
                (false, _) if unknown == Unknown::ClientGroup => unknown = Unknown::Client,
                (false, _) => {}
            }
        }
        Err(unknown)
    }
}
