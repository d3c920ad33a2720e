//! API clients and what their tokens allow (commercetools.md 1.5).

use std::fmt;

use crate::ctx::Micros;
use crate::id::{Key, ProjectKey};
use crate::secret::TokenDigest;

/// What a call needs. Each is a scope name without its project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Permission {
    /// Everything on a project: what operators need.
    ManageProject,
    /// Read customers.
    ViewCustomers,
    /// Change customers and their passwords.
    ManageCustomers,
    /// Read messages.
    ViewMessages,
    /// Fetch the feed: every message that a subscription to all of them would be sent.
    ViewFeed,
    /// All subscription calls.
    ManageSubscriptions,
    /// A customer's own profile.
    ManageMyProfile,
    /// Read the project.
    ViewProjectSettings,
    /// Change the project.
    ManageProjectSettings,
    /// Make anonymous tokens.
    CreateAnonymousToken,
    /// Introspect other clients' tokens.
    IntrospectOauthTokens,
    /// Read stores.
    ViewStores,
    /// Change stores.
    ManageStores,
    /// Read messages, by its deprecated name.
    ViewOrders,
    /// What a partner's back end does in the wallet's API.
    WalletAdmin,
    /// What a customer does there who has signed in.
    WalletCustomer,
    /// What an app does there before anybody has signed in.
    WalletSetup,
}

impl Permission {
    /// Every permission.
    pub const ALL: [Self; 17] = [
        Self::ManageProject,
        Self::ViewCustomers,
        Self::ManageCustomers,
        Self::ViewMessages,
        Self::ViewFeed,
        Self::ManageSubscriptions,
        Self::ManageMyProfile,
        Self::ViewProjectSettings,
        Self::ManageProjectSettings,
        Self::CreateAnonymousToken,
        Self::IntrospectOauthTokens,
        Self::ViewStores,
        Self::ManageStores,
        Self::ViewOrders,
        Self::WalletAdmin,
        Self::WalletCustomer,
        Self::WalletSetup,
    ];

    /// The scope's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::ManageProject => "manage_project",
            Self::ViewCustomers => "view_customers",
            Self::ManageCustomers => "manage_customers",
            Self::ViewMessages => "view_messages",
            Self::ViewFeed => "view_feed",
            Self::ManageSubscriptions => "manage_subscriptions",
            Self::ManageMyProfile => "manage_my_profile",
            Self::ViewProjectSettings => "view_project_settings",
            Self::ManageProjectSettings => "manage_project_settings",
            Self::CreateAnonymousToken => "create_anonymous_token",
            Self::IntrospectOauthTokens => "introspect_oauth_tokens",
            Self::ViewStores => "view_stores",
            Self::ManageStores => "manage_stores",
            Self::ViewOrders => "view_orders",
            Self::WalletAdmin => "wallet_admin",
            Self::WalletCustomer => "wallet_customer",
            Self::WalletSetup => "wallet_setup",
        }
    }

    /// Whether its scope can be held for one store: `name:projectKey:storeKey`.
    fn is_per_store(self) -> bool {
        matches!(self, Self::ViewCustomers | Self::ManageCustomers | Self::ManageMyProfile)
    }

    /// Scope names that include this one besides that of [`Self::ManageProject`].
    fn implied_by(self) -> &'static [&'static str] {
        match self {
            Self::ViewCustomers => &["manage_customers"],
            Self::ViewProjectSettings => &["manage_project_settings"],
            Self::ViewStores => &["manage_stores"],
            Self::ViewMessages => &["view_orders"],
            _ => &[],
        }
    }
}

/// Scopes as they are written: `name:projectKey` or `name:projectKey:storeKey`, in the order in which they were asked
/// for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes(Vec<String>);

impl Scopes {
    /// Reads a list separated by white space.
    pub fn parse(text: &str) -> Self {
        Self(text.split_whitespace().map(str::to_owned).collect())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The scopes, one by one.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// These scopes and one more.
    pub fn with(mut self, scope: String) -> Self {
        self.0.push(scope);
        self
    }

    /// Whether this very scope is held for the whole project: none that includes it will do.
    pub fn hold(&self, project: &ProjectKey, permission: Permission) -> bool {
        self.has(project, None, permission.name())
    }

    /// Whether a call on `project` that needs `permission` is allowed.
    pub fn permit(&self, project: &ProjectKey, permission: Permission) -> bool {
        self.has(project, None, Permission::ManageProject.name()) || self.has_or_implies(project, None, permission)
    }

    /// The same for a call on one store of the project: a scope for the whole project does, or one for this store.
    pub fn permit_in_store(&self, project: &ProjectKey, store: &Key, permission: Permission) -> bool {
        self.permit(project, permission)
            || (permission.is_per_store() && self.has_or_implies(project, Some(store), permission))
    }

    fn has_or_implies(&self, project: &ProjectKey, store: Option<&Key>, permission: Permission) -> bool {
        let implied_by = permission.implied_by().iter().copied();
        implied_by.chain([permission.name()]).any(|name| self.has(project, store, name))
    }

    fn has(&self, project: &ProjectKey, store: Option<&Key>, name: &str) -> bool {
        let wanted = (name, project.as_str(), store.map(Key::as_str));
        self.0.iter().any(|scope| parts(scope) == Some(wanted))
    }

    /// Whether a client that holds these scopes may be granted `requested`: each of them is a scope that we know and
    /// that it holds itself or by implication. A client with `manage_project` may ask for less (commercetools.md 1.5).
    pub fn cover(&self, requested: &Self) -> bool {
        requested.0.iter().all(|scope| match known(scope) {
            Some((Grant::One(permission), project)) => self.permit(&project, permission),
            Some((Grant::InStore(permission, store), project)) => self.permit_in_store(&project, &store, permission),
            None => false,
        })
    }

    /// Whether `scope` is one that a client may hold: a known name, a project key, and a store key if it has one.
    pub fn is_known(scope: &str) -> bool {
        known(scope).is_some()
    }
}

/// What a scope of a known form stands for.
enum Grant {
    One(Permission),
    InStore(Permission, Key),
}

fn known(scope: &str) -> Option<(Grant, ProjectKey)> {
    let (name, project, store) = parts(scope)?;
    let permission = Permission::ALL.into_iter().find(|permission| permission.name() == name);
    let grant = match (permission, store) {
        (Some(permission), None) => Grant::One(permission),
        (Some(permission), Some(store)) if permission.is_per_store() => Grant::InStore(permission, store.parse().ok()?),
        _ => return None,
    };
    Some((grant, project.parse().ok()?))
}

/// Name, project key, store key.
fn parts(scope: &str) -> Option<(&str, &str, Option<&str>)> {
    let (name, rest) = scope.split_once(':')?;
    Some(match rest.split_once(':') {
        Some((project, store)) => (name, project, Some(store)),
        None => (name, rest, None),
    })
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

/// A program that calls us, with its own secret.
#[derive(Clone)]
pub struct ApiClient {
    /// The project it belongs to.
    pub project: ProjectKey,
    /// Its id: what it authenticates with and what `createdBy` shows.
    pub id: String,
    /// For people.
    pub name: String,
    /// Digest of its secret.
    pub secret: TokenDigest,
    /// What it may be granted.
    pub scopes: Scopes,
    /// Life of its access tokens in seconds, 3600 to 604800.
    pub access_token_s: i64,
    /// Inactivity after which its refresh tokens end, in seconds, 30 to 31536000.
    pub refresh_token_s: i64,
    /// When it was made.
    pub created_at: Micros,
    /// When it was revoked.
    pub revoked_at: Option<Micros>,
}

impl ApiClient {
    /// Default life of an access token in seconds (commercetools.md 1.2).
    pub const ACCESS_TOKEN_S: i64 = 172_800;
    /// Default inactivity of a refresh token in seconds (commercetools.md 1.2).
    pub const REFRESH_TOKEN_S: i64 = 17_280_000;

    /// When a refresh token ends that is used at `now` and never again.
    pub fn refresh_ends(&self, now: Micros) -> Micros {
        now.plus(self.refresh_token_s.saturating_mul(Micros::SECOND))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manage_implies_view_and_project_implies_all() {
        let demo: ProjectKey = "demo".parse().unwrap();
        let other: ProjectKey = "other".parse().unwrap();
        let manage = Scopes::parse("manage_customers:demo");
        assert!(manage.permit(&demo, Permission::ViewCustomers));
        assert!(!manage.permit(&demo, Permission::ViewMessages));
        assert!(!manage.permit(&other, Permission::ViewCustomers));
        assert!(!Scopes::parse("view_customers:demo").permit(&demo, Permission::ManageCustomers));
        assert!(Scopes::parse("view_orders:demo").permit(&demo, Permission::ViewMessages));
        let all = Scopes::parse("manage_project:demo");
        assert!(Permission::ALL.into_iter().all(|permission| all.permit(&demo, permission)));
        assert!(!all.permit(&other, Permission::ViewCustomers));
    }

    #[test]
    fn a_store_scope_is_for_that_store_only() {
        let demo: ProjectKey = "demo".parse().unwrap();
        let (a, b): (Key, Key) = ("shop-a".parse().unwrap(), "shop-b".parse().unwrap());
        let held = Scopes::parse("manage_customers:demo:shop-a");
        assert!(held.permit_in_store(&demo, &a, Permission::ViewCustomers));
        assert!(!held.permit_in_store(&demo, &b, Permission::ViewCustomers));
        assert!(!held.permit_in_store(&demo, &a, Permission::ManageMyProfile));
        assert!(!held.permit(&demo, Permission::ViewCustomers));
        assert!(Scopes::parse("view_customers:demo").permit_in_store(&demo, &b, Permission::ViewCustomers));
        assert!(Scopes::parse("manage_project:demo").permit_in_store(&demo, &b, Permission::ManageMyProfile));
        assert!(held.cover(&Scopes::parse("view_customers:demo:shop-a")));
        assert!(Scopes::parse("manage_customers:demo").cover(&Scopes::parse("view_customers:demo:shop-a")));
        for not in ["view_customers:demo", "view_customers:demo:shop-b", "view_customers:other:shop-a"] {
            assert!(!held.cover(&Scopes::parse(not)), "{not}");
        }
        assert!(Scopes::is_known("manage_my_profile:demo:shop-a"));
        for not in [
            "view_messages:demo:shop-a",
            "manage_project:demo:shop-a",
            "view_customers:demo:",
            "view_customers:demo:a:b",
        ] {
            assert!(!Scopes::is_known(not), "{not}");
        }
    }

    #[test]
    fn a_client_is_granted_what_it_covers_and_nothing_unknown() {
        let held = Scopes::parse("manage_project:demo");
        for fine in ["manage_project:demo", "view_messages:demo manage_customers:demo", ""] {
            assert!(held.cover(&Scopes::parse(fine)), "{fine}");
        }
        for not in ["manage_project:other", "paint_walls:demo", "view_messages", "customer_id:1"] {
            assert!(!held.cover(&Scopes::parse(not)), "{not}");
        }
        assert_eq!(Scopes::parse("b:demo  a:demo").to_string(), "b:demo a:demo");
    }
}
