//! Brands: which project each is, and what goes for it.

use std::sync::Arc;

use keyherald_core::body_signature::SigningSecret;
use keyherald_core::id::ProjectKey;
use keyherald_core::policy::Rule;

use super::Prefix;
use crate::app::verify_identifier::Verifying;
use crate::config::{RequiredIdentifiers, ReturnUrl};

/// A brand, as it is configured.
pub struct Brand {
    /// Its identity in paths.
    pub name: String,
    /// Its project.
    pub project: ProjectKey,
    /// What goes for its verification processes.
    pub verifying: Verifying,
    /// The status of a process that began, and of an attempt.
    pub success_status: u16,
    /// The `status` of an attempt that was right.
    pub success_value: String,
    /// How long tokens of back ends live, in seconds.
    pub admin_token_s: i64,
    /// The same of apps.
    pub configuration_token_s: i64,
    /// What must be proved before a password is replaced.
    pub required: RequiredIdentifiers,
    /// What is asked of a new password or PIN.
    pub rule: Rule,
    /// The status of credentials that were replaced.
    pub credentials_status: u16,
    /// Whether an app must say of which type it is.
    pub requires_app_type: bool,
    /// What requests are signed with. `None`: they need not be.
    pub signing_secret: Option<SigningSecret>,
    /// The pages to which customers can be sent. `None`: there are none.
    pub hosted: Option<Hosted>,
}

/// Pages to which a partner can send customers.
pub struct Hosted {
    /// The one that takes tickets, as browsers find it: no query, no fragment.
    pub page: String,
    /// Where customers may be sent back to.
    pub return_urls: Vec<ReturnUrl>,
}

/// All brands, and where their paths begin. Cheap to clone.
#[derive(Clone, Default)]
pub struct Brands {
    brands: Arc<[Arc<Brand>]>,
    prefix: Arc<Prefix>,
}

impl Brands {
    /// These. The configuration has made sure that no two have the same identity.
    pub fn of(brands: impl IntoIterator<Item = Brand>) -> Self {
        Self { brands: brands.into_iter().map(Arc::new).collect(), prefix: Arc::default() }
    }

    /// The same with another beginning of their paths.
    #[must_use]
    pub fn at(self, prefix: Prefix) -> Self {
        Self { prefix: Arc::new(prefix), ..self }
    }

    /// Whether a path is the contract's. Without brands, none is.
    pub fn own(&self, path: &str) -> bool {
        !self.is_empty() && self.listed(path).is_some()
    }

    /// See [`Prefix::listed`].
    pub fn listed(&self, path: &str) -> Option<String> {
        self.prefix.listed(path)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.brands.is_empty()
    }

    /// The brand with this identity.
    pub fn named(&self, name: &str) -> Option<Arc<Brand>> {
        self.brands.iter().find(|brand| brand.name == name).cloned()
    }

    /// The brand that a project is.
    pub fn of_project(&self, project: &ProjectKey) -> Option<Arc<Brand>> {
        self.brands.iter().find(|brand| brand.project == *project).cloned()
    }
}
