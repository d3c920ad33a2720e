//! `[providers.NAME]` with `kind = "keycloak"`.

use url::Url;

use super::keys::{Keys, Section};
use super::provider::{CLIENT_SECRET, required};
use super::secret::Secret;

/// The keys of `kind = "keycloak"`.
#[derive(Clone, Debug)]
pub struct Keycloak {
    /// The server's URL. `None`: missing, which is reported.
    pub base_url: Option<Url>,
    /// The realm of the users.
    pub realm: String,
    /// A client of it with a service account.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Secret,
    /// The attribute with the id that a user has elsewhere.
    pub external_id_attribute: Option<String>,
    /// Whether the client has direct access grants, so that sign-ins can be tried.
    pub trial_sign_in: bool,
}

impl Default for Keycloak {
    fn default() -> Self {
        Self {
            base_url: None,
            realm: String::new(),
            client_id: String::new(),
            client_secret: Secret::unreadable(),
            external_id_attribute: None,
            trial_sign_in: false,
        }
    }
}

impl Section for Keycloak {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.optional("base_url", &mut self.base_url);
        keys.require("base_url", Some("the server, such as base_url = \"https://sso.example.com\"".into()));
        required(keys, "realm", &mut self.realm, "the realm that the users are in");
        required(keys, "client_id", &mut self.client_id, "a client of the realm with a service account");
        keys.secret(&CLIENT_SECRET, &mut self.client_secret);
        keys.require_one(&CLIENT_SECRET, "name where it lies: client_secret_file or client_secret_env");
        keys.optional("external_id_attribute", &mut self.external_id_attribute);
        keys.value("trial_sign_in", &mut self.trial_sign_in);
    }
}
