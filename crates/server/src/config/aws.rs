//! `[aws]`: the server's own access to AWS, for subscriptions that bring no keys, and where AWS is.
//!
//! Whoever may make subscriptions of a project may have messages sent with this access to wherever it reaches, so it exists
//! only if it is written down; that `AWS_ACCESS_KEY_ID` happens to be set is not enough.

use url::Url;

use super::keys::{Keys, Section};
use super::secret::{KeyNames, Secret};

/// `[aws]`
#[derive(Clone, Debug, Default)]
pub struct Aws {
    /// Where SNS and EventBridge are, instead of at AWS's public endpoints.
    pub endpoint: Option<Url>,
    /// Which key.
    pub access_key_id: Option<Secret>,
    /// The key.
    pub secret_access_key: Option<Secret>,
    /// Of temporary access: it ends when that does.
    pub session_token: Option<Secret>,
}

static ID: KeyNames = KeyNames {
    inline: "access_key_id",
    file: "access_key_id_file",
    variable: "access_key_id_env",
    masked: Some(str::to_owned), // it is in every request's headers
};
static KEY: KeyNames = KeyNames {
    inline: "secret_access_key",
    file: "secret_access_key_file",
    variable: "secret_access_key_env",
    masked: None,
};
static TOKEN: KeyNames =
    KeyNames { inline: "session_token", file: "session_token_file", variable: "session_token_env", masked: None };

impl Section for Aws {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.optional("endpoint", &mut self.endpoint);
        keys.optional_secret(&ID, &mut self.access_key_id);
        keys.optional_secret(&KEY, &mut self.secret_access_key);
        keys.optional_secret(&TOKEN, &mut self.session_token);
        match (&self.access_key_id, &self.secret_access_key) {
            (Some(_), None) => keys.require_one(&KEY, "such as secret_access_key_env = \"AWS_SECRET_ACCESS_KEY\""),
            (None, Some(_)) => keys.require_one(&ID, "such as access_key_id_env = \"AWS_ACCESS_KEY_ID\""),
            (None, None) if self.session_token.is_some() => {
                keys.refuse_secret(&TOKEN, "belongs to a key", "give access_key_id and secret_access_key as well");
            }
            _ => {}
        }
    }
}
