//! `[providers.NAME]`: the identity providers.
//!
//! What differs by kind stands in the provider's own table; `net` and `limits` are the same for all.

mod http;

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

pub(super) use self::http::sms as sms_request;
pub use self::http::{Auth as HttpAuth, Http};
use super::keys::{Keys, Section};
use super::provider_gigya::Gigya;
use super::provider_keycloak::Keycloak;
use super::provider_kratos::Kratos;
use super::provider_ldap::Ldap;
use super::secret::{KeyNames, Secret};

/// One of `[providers.NAME]`.
#[derive(Clone, Debug, Default)]
pub struct Provider {
    /// `kind`, and the keys that it has. `None`: there is a problem with it, which is reported.
    pub kind: Option<ProviderKind>,
    /// Whether the provider may be spoken to without TLS.
    pub allow_insecure_http: bool,
    /// `[providers.NAME.net]`
    pub net: ProviderNet,
    /// `[providers.NAME.limits]`
    pub limits: ProviderLimits,
}

/// The kinds of providers.
#[derive(Clone, Debug)]
pub enum ProviderKind {
    /// `kind = "auth0"`
    Auth0(Box<Auth0>),
    /// `kind = "gigya"`
    Gigya(Gigya),
    /// `kind = "http"`
    Http(Box<Http>),
    /// `kind = "keycloak"`
    Keycloak(Keycloak),
    /// `kind = "kratos"`
    Kratos(Kratos),
    /// `kind = "ldap"`
    Ldap(Ldap),
}

/// The keys of `kind = "auth0"`.
#[derive(Clone, Debug)]
pub struct Auth0 {
    /// The tenant's URL. `None`: missing, which is reported.
    pub base_url: Option<Url>,
    /// The machine-to-machine application.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Secret,
    /// The Management API's identifier, where it is not `{base_url}/api/v2/`.
    pub audience: Option<String>,
    /// The database connection.
    pub connection: String,
    /// Whether the application has the password grant, so that sign-ins can be tried.
    pub trial_sign_in: bool,
}

/// `[providers.NAME.net]`
#[derive(Clone, Debug)]
pub struct ProviderNet {
    /// Time to resolve and connect.
    pub connect_timeout: Duration,
    /// Time for one request, until its answer is complete.
    pub total_timeout: Duration,
    /// Longest answer.
    pub max_response_bytes: usize,
    /// Hosts that may be called besides those of the provider's own URLs.
    pub allowed_hosts: Vec<String>,
    /// Whether names may lead to private addresses.
    pub allow_private: bool,
    /// Certificates to trust instead of the system's, in PEM.
    pub ca_file: Option<PathBuf>,
    /// A certificate chain to show, in PEM.
    pub client_cert: Option<PathBuf>,
    /// Its key, in PEM.
    pub client_key: Option<PathBuf>,
}

/// `[providers.NAME.limits]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProviderLimits {
    /// Requests per second in the long run.
    pub rps: u32,
    /// Requests at once after a pause.
    pub burst: u32,
    /// Calls at the same time.
    pub max_in_flight: usize,
    /// Failures in a row after which the provider is left alone for a while.
    pub breaker_failures: u32,
    /// How long the first time; doubled each time it fails again at once.
    pub breaker_open: Duration,
    /// At most how long.
    pub breaker_open_max: Duration,
}

pub(super) static CLIENT_SECRET: KeyNames =
    KeyNames { inline: "client_secret", file: "client_secret_file", variable: "client_secret_env", masked: None };

impl Default for Auth0 {
    fn default() -> Self {
        Self {
            base_url: None,
            client_id: String::new(),
            client_secret: Secret::unreadable(),
            audience: None,
            connection: String::new(),
            trial_sign_in: false,
        }
    }
}

impl Default for ProviderNet {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(2),
            total_timeout: Duration::from_secs(10),
            max_response_bytes: 256 * 1024,
            allowed_hosts: Vec::new(),
            allow_private: false,
            ca_file: None,
            client_cert: None,
            client_key: None,
        }
    }
}

impl Default for ProviderLimits {
    fn default() -> Self {
        Self {
            rps: 10,
            burst: 20,
            max_in_flight: 16,
            breaker_failures: 10,
            breaker_open: Duration::from_secs(5),
            breaker_open_max: Duration::from_mins(1),
        }
    }
}

impl ProviderKind {
    /// The kind, with nothing said about it yet.
    fn of(word: Word) -> Self {
        match word {
            Word::Auth0 => Self::Auth0(Box::default()),
            Word::Gigya => Self::Gigya(Gigya::default()),
            Word::Http => Self::Http(Box::default()),
            Word::Keycloak => Self::Keycloak(Keycloak::default()),
            Word::Kratos => Self::Kratos(Kratos::default()),
            Word::Ldap => Self::Ldap(Ldap::default()),
        }
    }

    /// The URLs in it, by the keys that they stand at.
    fn urls(&self) -> Vec<(&'static str, &Url)> {
        match self {
            Self::Auth0(auth0) => auth0.base_url.iter().map(|url| ("base_url", url)).collect(),
            Self::Gigya(gigya) => gigya.base_url.iter().map(|url| ("base_url", url)).collect(),
            Self::Http(http) => http.urls().collect(),
            Self::Keycloak(keycloak) => keycloak.base_url.iter().map(|url| ("base_url", url)).collect(),
            Self::Kratos(kratos) => kratos.base_url.iter().map(|url| ("base_url", url)).collect(),
            // A directory has schemes of its own.
            Self::Ldap(_) => Vec::new(),
        }
    }

    fn word(&self) -> Word {
        match self {
            Self::Auth0(_) => Word::Auth0,
            Self::Gigya(_) => Word::Gigya,
            Self::Http(_) => Word::Http,
            Self::Keycloak(_) => Word::Keycloak,
            Self::Kratos(_) => Word::Kratos,
            Self::Ldap(_) => Word::Ldap,
        }
    }
}

/// A provider's kind without its keys.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Auth0,
    Gigya,
    Http,
    Keycloak,
    Kratos,
    Ldap,
}

const WORDS: [(&str, Option<Word>); 6] = [
    ("auth0", Some(Word::Auth0)),
    ("gigya", Some(Word::Gigya)),
    ("http", Some(Word::Http)),
    ("keycloak", Some(Word::Keycloak)),
    ("kratos", Some(Word::Kratos)),
    ("ldap", Some(Word::Ldap)),
];

impl Section for Provider {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        let mut word = self.kind.as_ref().map(ProviderKind::word);
        keys.choice("kind", &mut word, &WORDS);
        keys.require("kind", Some("which system it is, such as kind = \"auth0\"".into()));
        let mut kind = self.kind.take().or_else(|| word.map(ProviderKind::of));
        match &mut kind {
            Some(ProviderKind::Auth0(auth0)) => auth0.keys(keys),
            Some(ProviderKind::Gigya(gigya)) => gigya.keys(keys),
            Some(ProviderKind::Http(http)) => http.keys(keys),
            Some(ProviderKind::Keycloak(keycloak)) => keycloak.keys(keys),
            Some(ProviderKind::Kratos(kratos)) => kratos.keys(keys),
            Some(ProviderKind::Ldap(ldap)) => ldap.keys(keys),
            None => {}
        }
        keys.value("allow_insecure_http", &mut self.allow_insecure_http);
        for (key, url) in kind.iter().flat_map(ProviderKind::urls) {
            if url.scheme() == "http" && !self.allow_insecure_http {
                keys.refuse(key, "must begin with https://", Some("or allow_insecure_http = true".into()));
            }
        }
        self.kind = kind;
        keys.section("net", &mut self.net);
        keys.section("limits", &mut self.limits);
    }
}

impl Section for Auth0 {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.optional("base_url", &mut self.base_url);
        keys.require("base_url", Some("the tenant, such as base_url = \"https://shop.eu.auth0.com\"".into()));
        required(keys, "client_id", &mut self.client_id, "the machine-to-machine application's");
        keys.secret(&CLIENT_SECRET, &mut self.client_secret);
        keys.require_one(&CLIENT_SECRET, "name where it lies: client_secret_file or client_secret_env");
        keys.optional("audience", &mut self.audience);
        required(keys, "connection", &mut self.connection, "the name of the database connection");
        keys.value("trial_sign_in", &mut self.trial_sign_in);
    }
}

/// A key that must be there.
pub(super) fn required(keys: &mut Keys<'_>, name: &'static str, value: &mut String, hint: &str) {
    keys.value(name, value);
    keys.require(name, Some(hint.into()));
}

impl Section for ProviderNet {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        // An attempt's life leaves no room for more (core::operation::Limits).
        let times = Duration::from_millis(10)..=Duration::from_secs(30);
        keys.within("connect_timeout", &mut self.connect_timeout, times.clone());
        keys.within("total_timeout", &mut self.total_timeout, times);
        keys.within("max_response_bytes", &mut self.max_response_bytes, 1024..=16 * 1024 * 1024);
        keys.list("allowed_hosts", &mut self.allowed_hosts, 0..=100);
        keys.value("allow_private", &mut self.allow_private);
        keys.optional("ca_file", &mut self.ca_file);
        keys.optional("client_cert", &mut self.client_cert);
        keys.optional("client_key", &mut self.client_key);
        // There is but one policy: a password is never sent on to another place.
        keys.choice("redirects", &mut (), &[("deny", ())]);
        if self.connect_timeout > self.total_timeout {
            keys.refuse("connect_timeout", "is longer than total_timeout, which includes it", None);
        }
        if self.client_cert.is_some() != self.client_key.is_some() {
            keys.refuse("client_cert", "client_cert and client_key go together", None);
        }
    }
}

impl Section for ProviderLimits {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        let (second, hour) = (Duration::from_secs(1), Duration::from_hours(1));
        keys.within("rps", &mut self.rps, 1..=100_000);
        keys.within("burst", &mut self.burst, 1..=100_000);
        keys.within("max_in_flight", &mut self.max_in_flight, 1..=10_000);
        keys.within("breaker_failures", &mut self.breaker_failures, 1..=10_000);
        keys.within("breaker_open", &mut self.breaker_open, second..=hour);
        keys.within("breaker_open_max", &mut self.breaker_open_max, second..=hour);
        if self.breaker_open > self.breaker_open_max {
            keys.refuse("breaker_open", "is longer than breaker_open_max", None);
        }
    }
}
