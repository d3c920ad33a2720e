//! `[providers.NAME]` with `kind = "kratos"`.

use url::Url;

use super::keys::{Keys, Section};
use super::secret::{KeyNames, Secret};

/// The keys of `kind = "kratos"`.
#[derive(Clone, Debug)]
pub struct Kratos {
    /// The admin API's URL. `None`: missing, which is reported.
    pub base_url: Option<Url>,
    /// Ory Network's access token. An installation of one's own asks for none.
    pub access_token: Option<Secret>,
    /// The trait with the e-mail address.
    pub email_trait: String,
    /// The public API. None: whom a session's token stands for is not asked for.
    pub public_url: Option<Url>,
}

static ACCESS_TOKEN: KeyNames =
    KeyNames { inline: "access_token", file: "access_token_file", variable: "access_token_env", masked: None };

impl Default for Kratos {
    fn default() -> Self {
        Self { base_url: None, access_token: None, email_trait: "email".to_owned(), public_url: None }
    }
}

impl Section for Kratos {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.optional("base_url", &mut self.base_url);
        keys.require("base_url", Some("the admin API, such as base_url = \"http://kratos.internal:4434\"".into()));
        keys.optional_secret(&ACCESS_TOKEN, &mut self.access_token);
        keys.value("email_trait", &mut self.email_trait);
        keys.optional("public_url", &mut self.public_url);
    }
}
