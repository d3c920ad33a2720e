//! `projects[].wallet`: a wallet of Paysafe's that is kept elsewhere, and whose customers sign in here. It is told of each
//! password that was changed (paysafe.md 5.3).

use keyherald_core::wallet_notice::WalletName;
use url::Url;

use super::ProviderNet;
use super::keys::{Keys, Section};
use super::secret::{KeyNames, Secret};

/// `projects[].wallet`
#[derive(Clone, Debug, Default)]
pub struct Wallet {
    /// Where its paths begin, without a version. `None`: missing, which is reported.
    pub base_url: Option<Url>,
    /// Its brand, in the path of tokens.
    pub brand: String,
    /// Who we are there: a client whose tokens are a back end's.
    pub client_id: String,
    /// The client's secret.
    pub client_secret: Option<Secret>,
    /// Which of a customer's names is its id there. Of whom there is none, nothing is told.
    pub customer_id: WalletName,
    /// Whether it may be spoken to without TLS.
    pub allow_insecure_http: bool,
    /// How it is reached.
    pub net: ProviderNet,
}

static SECRET: KeyNames =
    KeyNames { inline: "client_secret", file: "client_secret_file", variable: "client_secret_env", masked: None };

const NAMES: [(&str, WalletName); 3] = [
    ("external_id", WalletName::ExternalId),
    ("key", WalletName::Key),
    ("customer_number", WalletName::CustomerNumber),
];

impl Section for Wallet {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.optional("base_url", &mut self.base_url);
        keys.require("base_url", Some("such as base_url = \"https://api.paysafe.com/digitalwallets\"".into()));
        keys.value("brand", &mut self.brand);
        keys.require("brand", Some("the brand's identity in the path of tokens".into()));
        keys.value("client_id", &mut self.client_id);
        keys.require("client_id", Some("a client of that brand whose tokens are a back end's".into()));
        keys.optional_secret(&SECRET, &mut self.client_secret);
        keys.require_one(&SECRET, "the secret of that client");
        keys.choice("customer_id", &mut self.customer_id, &NAMES);
        keys.value("allow_insecure_http", &mut self.allow_insecure_http);
        keys.section("net", &mut self.net);
        if self.base_url.as_ref().is_some_and(|url| url.scheme() != "https") && !self.allow_insecure_http {
            keys.refuse("base_url", "must begin with https://", Some("or allow_insecure_http = true".into()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use crate::config::{Config, Environment, Problems, Purpose};

    const GOOD: &str = r#"
[[projects]]
key = "one"
[projects.wallet]
base_url = "https://wallet.example/digitalwallets"
brand = "my-wallet"
client_id = "keyherald"
client_secret_env = "SECRET"
customer_id = "customer_number"
"#;

    fn read(text: &str) -> Result<Config, Problems> {
        let secret = (OsString::from("SECRET"), OsString::from("s3cret"));
        Config::read(text, None, Environment::of([secret]), Purpose::Maintain)
    }

    #[test]
    fn it_reads_back_and_its_secret_is_not_listed() {
        let config = read(GOOD).unwrap();
        let shown = format!("{config:?}{}", config.listing());
        assert!(!shown.contains("s3cret") && shown.contains("customer_id = \"customer_number\""), "{shown}");
        assert_eq!(read(&config.listing()).unwrap().listing(), config.listing());
        assert!(read("").unwrap().projects.is_empty());
    }

    #[test]
    fn what_cannot_be_is_told_with_its_place() {
        for (from, to, expected) in [
            ("https://", "http://", "projects[0].wallet.base_url: must begin with https://"),
            ("base_url", "url", "projects[0].wallet.base_url: is missing"),
            ("brand = \"my-wallet\"\n", "", "projects[0].wallet.brand: is missing"),
            ("client_id = \"keyherald\"\n", "", "projects[0].wallet.client_id: is missing"),
            ("client_secret_env = \"SECRET\"\n", "", "projects[0].wallet.client_secret_file: is missing"),
            ("customer_number\"", "email\"", "projects[0].wallet.customer_id: must be one of"),
        ] {
            assert!(GOOD.contains(from), "{from}");
            let told = read(&GOOD.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(told.contains(expected), "{expected}: {told}");
        }
    }
}
