//! API clients and what their tokens allow (commercetools.md 1.5).

use std::fmt;

use crate::ctx::Micros;
use crate::id::ProjectKey;
use crate::secret::TokenDigest;

/// What a call needs. Each is a scope name without its project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Permission {
    /// Read customers.
    ViewCustomers,
    /// Change customers and their passwords.
    ManageCustomers,
    /// Read messages.
    ViewMessages,
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
}

impl Permission {
    /// Every permission.
    pub const ALL: [Self; 12] = [
        Self::ViewCustomers,
        Self::ManageCustomers,
        Self::ViewMessages,
        Self::ManageSubscriptions,
        Self::ManageMyProfile,
        Self::ViewProjectSettings,
        Self::ManageProjectSettings,
        Self::CreateAnonymousToken,
        Self::IntrospectOauthTokens,
        Self::ViewStores,
        Self::ManageStores,
        Self::ViewOrders,
    ];

    /// The scope's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::ViewCustomers => "view_customers",
            Self::ManageCustomers => "manage_customers",
            Self::ViewMessages => "view_messages",
            Self::ManageSubscriptions => "manage_subscriptions",
            Self::ManageMyProfile => "manage_my_profile",
            Self::ViewProjectSettings => "view_project_settings",
            Self::ManageProjectSettings => "manage_project_settings",
            Self::CreateAnonymousToken => "create_anonymous_token",
            Self::IntrospectOauthTokens => "introspect_oauth_tokens",
            Self::ViewStores => "view_stores",
            Self::ManageStores => "manage_stores",
            Self::ViewOrders => "view_orders",
        }
    }

    /// Scope names that include this one besides `manage_project`.
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

const MANAGE_PROJECT: &str = "manage_project";

/// Scopes as they are written: `name:projectKey`, in the order in which they were asked for.
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

    /// Whether a call on `project` that needs `permission` is allowed.
    pub fn permit(&self, project: &ProjectKey, permission: Permission) -> bool {
        self.has(project, MANAGE_PROJECT)
            || self.has(project, permission.name())
            || permission.implied_by().iter().any(|name| self.has(project, name))
    }

    fn has(&self, project: &ProjectKey, name: &str) -> bool {
        self.0.iter().any(|scope| scope.split_once(':').is_some_and(|(n, p)| n == name && p == project.as_str()))
    }

    /// Whether a client that holds these scopes may be granted `requested`: each of them is a scope that we know and
    /// that it holds itself or by implication. A client with `manage_project` may ask for less (commercetools.md 1.5).
    pub fn cover(&self, requested: &Self) -> bool {
        requested.0.iter().all(|scope| {
            let Some((name, project)) = scope.split_once(':') else { return false };
            let Ok(project) = project.parse::<ProjectKey>() else { return false };
            if name == MANAGE_PROJECT {
                return self.has(&project, MANAGE_PROJECT);
            }
            let known = Permission::ALL.into_iter().find(|permission| permission.name() == name);
            known.is_some_and(|permission| self.permit(&project, permission))
        })
    }

    /// Whether `scope` is one that a client may hold: a known name and a project key.
    pub fn is_known(scope: &str) -> bool {
        let Some((name, project)) = scope.split_once(':') else { return false };
        let known = name == MANAGE_PROJECT || Permission::ALL.iter().any(|permission| permission.name() == name);
        known && project.parse::<ProjectKey>().is_ok()
    }
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
