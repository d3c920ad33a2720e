//! The providers that operations are held against. A new one is a file beside this one and a line in [`connectors`].

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::cell::Step;
use crate::script::Script;

/// A kind of provider, as far as cells depend on it.
pub struct Connector {
    /// Its `kind` in the configuration.
    pub name: &'static str,
    /// The steps that an operation has with it.
    pub steps: &'static [Step],
    /// In how many forms it says that there are too many requests.
    pub throttle_forms: usize,
    /// Whether it judges passwords: refuses short ones, and those that the user had before, the current one included.
    pub has_policy: bool,
    /// Whether it needs the directory of `KEYHERALD_TEST_SLAPD`.
    pub needs_slapd: bool,
    /// Starts one of its own for one cell.
    pub start: fn(User, Arc<Script>) -> BoxFuture<'static, Box<dyn Provider>>,
}

/// The one user of a provider.
pub struct User {
    pub email: String,
    pub password: String,
    /// The password that will be set.
    pub new: String,
    /// A password that it had before.
    pub before: Option<String>,
}

/// A provider that is running, under the eyes of a test. Ends when it is dropped.
pub trait Provider: Send + Sync {
    /// The keys of its table in the configuration, without its head; secrets lie in the file `secret`.
    fn config(&self, secret: &str) -> String;

    /// What our access to it is proved with.
    fn secret(&self) -> &'static str;

    /// The user's id there.
    fn user(&self) -> String;

    /// Whether this is the user's password there.
    fn has<'a>(&'a self, password: &'a str) -> BoxFuture<'a, bool>;
}

/// What our access to them is proved with.
pub const SECRETS: &[&str] = &[
    crate::vendor_auth0::SECRET,
    crate::vendor_gigya::SECRET,
    crate::vendor_keycloak::SECRET,
    crate::vendor_kratos::SECRET,
    crate::slapd::SECRET,
];

/// All of them.
pub fn connectors() -> &'static [Connector] {
    &[
        crate::auth0::CONNECTOR,
        crate::described::CONNECTOR,
        crate::gigya::CONNECTOR,
        crate::keycloak::CONNECTOR,
        crate::kratos::CONNECTOR,
        crate::slapd::CONNECTOR,
    ]
}
