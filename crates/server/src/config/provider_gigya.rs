//! `[providers.NAME]` with `kind = "gigya"`.

use url::Url;

use super::keys::{Keys, Section};
use super::provider::required;
use super::secret::{KeyNames, Secret};

/// The keys of `kind = "gigya"`.
#[derive(Clone, Debug, Default)]
pub struct Gigya {
    /// Where the site's data are. `None`: `base_url` says so.
    pub data_center: Option<&'static str>,
    /// Another place than the known ones.
    pub base_url: Option<Url>,
    /// The site's key.
    pub api_key: String,
    /// The application's or user's key.
    pub user_key: String,
    /// Its secret, unless there is a private key.
    pub secret: Option<Secret>,
    /// Whether the secret is sent along instead of signing with it.
    pub send_secret: bool,
    /// An RSA key in PEM.
    pub private_key: Option<Secret>,
    /// Whether sign-ins may be tried.
    pub trial_sign_in: bool,
}

static SECRET: KeyNames = KeyNames { inline: "secret", file: "secret_file", variable: "secret_env", masked: None };

static PRIVATE_KEY: KeyNames =
    KeyNames { inline: "private_key", file: "private_key_file", variable: "private_key_env", masked: None };

/// The data centers, by their domains.
const CENTERS: [(&str, Option<&str>); 8] = [
    ("us1.gigya.com", Some("us1.gigya.com")),
    ("eu1.gigya.com", Some("eu1.gigya.com")),
    ("eu2.gigya.com", Some("eu2.gigya.com")),
    ("au1.gigya.com", Some("au1.gigya.com")),
    ("cn1.sapcdm.cn", Some("cn1.sapcdm.cn")),
    ("cn1.gigya-api.cn", Some("cn1.gigya-api.cn")),
    ("ru1.gigya.com", Some("ru1.gigya.com")),
    ("global.gigya.com", Some("global.gigya.com")),
];

impl Section for Gigya {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.choice("data_center", &mut self.data_center, &CENTERS);
        keys.optional("base_url", &mut self.base_url);
        if self.data_center.is_none() && self.base_url.is_none() {
            keys.require("data_center", Some("the site's, such as data_center = \"eu1.gigya.com\"".into()));
        }
        required(keys, "api_key", &mut self.api_key, "the site's");
        required(keys, "user_key", &mut self.user_key, "the application's, or a user's");
        keys.optional_secret(&SECRET, &mut self.secret);
        keys.value("send_secret", &mut self.send_secret);
        keys.optional_secret(&PRIVATE_KEY, &mut self.private_key);
        if self.secret.is_some() == self.private_key.is_some() {
            let hint = "secret_file or secret_env; or private_key_file or private_key_env";
            keys.refuse("user_key", "needs either its secret or its private key", Some(hint.into()));
        }
        keys.value("trial_sign_in", &mut self.trial_sign_in);
    }
}

impl Gigya {
    /// Where requests go. `None`: nothing says so, which is reported.
    pub fn url(&self) -> Option<Url> {
        let of_center = |center| Url::parse(&format!("https://accounts.{center}")).ok();
        self.base_url.clone().or_else(|| self.data_center.and_then(of_center))
    }
}
