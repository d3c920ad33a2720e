//! `[projects.naviga]`: the tenant of Naviga's Users Orchestrator API that a project is, and how its callers are known.

use std::collections::BTreeMap;
use std::path::PathBuf;

use keyherald_core::policy::Policy;
use keyherald_core::provider::ProviderName;
use url::Url;

use super::keys::{Keys, Section};
use super::secret::{KeyNames, Secret};

/// Shortest secret for HS256, in bytes: as long as its hash (RFC 7518, 3.2).
const SECRET_BYTES_MIN: usize = 32;

/// First segments of paths that are this contract's where it is served, in lower case: no project may have them as its
/// key.
pub struct Paths {
    /// Of the Users Orchestrator.
    pub v4: &'static [&'static str],
    /// Of the older User API. It may also stand behind `/api`.
    pub old: &'static [&'static str],
}

/// See [`Paths`].
pub const PATHS: Paths = Paths {
    v4: &["users", "usersorchestrator", "v4"],
    old: &["authenticate", "authenticatebytoken", "forgotpassword", "user", "verifyemail"],
};

/// `[projects.naviga]`
#[derive(Clone, Debug)]
pub struct Naviga {
    /// `X-ClientGroupCode`, or `X-MediaGroupCode`.
    pub client_group: String,
    /// `X-ClientCode`
    pub client: String,
    /// `X-PaperCode`
    pub paper: String,
    /// Which of `[providers.NAME]` has the customers' passwords as well. None: they are here alone.
    pub user_provider: Option<ProviderName>,
    /// How the tokens of callers are checked.
    pub jwt: Jwt,
    /// What `X-SourceSystem` may be. None: anything.
    pub source_systems: Vec<String>,
    /// Whether an unknown user is told as 404, instead of the contract's 500 `UsersOrchestrator_E500_01`.
    pub unknown_user_is_404: bool,
    /// Whether a hash is kept here of a password that a provider has too, so that sign-in works without it.
    pub keep_local_hash: bool,
    /// Whether a password is kept, sealed, for as long as its change at the provider is underway. If not, what became of a
    /// change whose answer was lost can only be seen, and not be tried again.
    pub seal_password: bool,
    /// The page where a new password is chosen, for calls without a `returnUrl`.
    pub change_password_url: Option<Url>,
    /// The page that confirms an address by the code that a mail leads to it with, for calls without a `returnUrl`.
    pub return_url: Option<Url>,
    /// Hosts that a call's `returnUrl` may lead to, besides those of the two pages.
    pub return_hosts: Vec<String>,
    /// What a password must be that is here alone.
    pub password: PasswordRules,
    /// Whether event records also say what an event was called in the older contract.
    pub old_event_codes: bool,
    /// Which system the provider is, in the contract's words. None: its kind tells, or it is none of them.
    pub auth_system: Option<AuthSystem>,
    /// The number of that system, where it is another than ours.
    pub auth_system_id: Option<u32>,
    /// Ids of the events whose ids the contract does not tell.
    pub event_ids: EventIds,
}

/// `projects.naviga.password`: no rule holds unless it is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PasswordRules {
    /// Fewest characters.
    pub chars_min: Option<u16>,
    /// Whether there must be a capital letter, a small one, a digit and something else.
    pub complex: bool,
    /// After how many days a password is good for no sign-in any more.
    pub days_max: Option<u16>,
    /// How many of the last passwords cannot be chosen again, the current one among them.
    pub history: u8,
}

/// `projects.naviga.auth_system`: a system that users sign in at, besides the own database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthSystem {
    /// Auth0.
    Auth0,
    /// Firefly.
    Firefly,
    /// Gigya.
    Gigya,
    /// Tribune's Single Sign-On Registration.
    Ssor,
}

/// `projects.naviga.jwt`
#[derive(Clone, Debug, Default)]
pub struct Jwt {
    /// The only algorithm that counts. `None`: missing, which is reported.
    pub algorithm: Option<JwtAlgorithm>,
    /// For HS256.
    pub secret: Option<Secret>,
    /// Where the keys are published, as a JSON Web Key Set.
    pub jwks_url: Option<Url>,
    /// The same as a file, read at the start.
    pub jwks_file: Option<PathBuf>,
    /// One public key in PEM, read at the start.
    pub public_key_file: Option<PathBuf>,
    /// What `iss` must be. None: it is not asked for.
    pub issuer: Option<String>,
    /// What `aud` must be, or must have among others. None: it is not asked for.
    pub audience: Option<String>,
    /// Whether `jwks_url` may be without TLS.
    pub allow_insecure_http: bool,
    /// Whether the name in `jwks_url` may lead to private addresses.
    pub allow_private: bool,
}

/// `projects.naviga.jwt.algorithm`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JwtAlgorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// RSA (PKCS #1 v1.5) with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
}

/// `projects.naviga.event_ids`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventIds {
    /// Of `AUTHSYSTEM_USER_CREATE`. None: written without an id.
    pub authsystem_user_create: Option<u16>,
    /// Of `AUTHSYSTEM_USER_UPDATE`. None: written without an id.
    pub authsystem_user_update: Option<u16>,
}

impl Default for Naviga {
    fn default() -> Self {
        Self {
            client_group: String::new(),
            client: String::new(),
            paper: String::new(),
            user_provider: None,
            jwt: Jwt::default(),
            source_systems: Vec::new(),
            unknown_user_is_404: false,
            keep_local_hash: true,
            seal_password: true,
            change_password_url: None,
            return_url: None,
            return_hosts: Vec::new(),
            password: PasswordRules::default(),
            old_event_codes: false,
            auth_system: None,
            auth_system_id: None,
            event_ids: EventIds::default(),
        }
    }
}

impl EventIds {
    /// Those that are configured, by the event's code.
    pub fn by_code(self) -> BTreeMap<String, u32> {
        let ids = [
            ("AUTHSYSTEM_USER_CREATE", self.authsystem_user_create),
            ("AUTHSYSTEM_USER_UPDATE", self.authsystem_user_update),
        ];
        ids.into_iter().filter_map(|(code, id)| Some((code.to_owned(), id?.into()))).collect()
    }
}

impl Naviga {
    /// Whether both are the same tenant. Its codes are compared without regard to case, as the original's database does.
    pub(super) fn is_same_tenant(&self, other: &Self) -> bool {
        let same = |one: &str, other: &str| one.eq_ignore_ascii_case(other) && !one.is_empty();
        same(&self.client_group, &other.client_group)
            && same(&self.client, &other.client)
            && same(&self.paper, &other.paper)
    }
}

static SECRET: KeyNames = KeyNames { inline: "secret", file: "secret_file", variable: "secret_env", masked: None };

impl Section for Naviga {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        for (name, code, header) in [
            ("client_group", &mut self.client_group, "X-ClientGroupCode"),
            ("client", &mut self.client, "X-ClientCode"),
            ("paper", &mut self.paper, "X-PaperCode"),
        ] {
            keys.value(name, code);
            keys.require(name, Some(format!("what callers send as {header}")));
        }
        keys.optional("user_provider", &mut self.user_provider);
        keys.section("jwt", &mut self.jwt);
        keys.list("source_systems", &mut self.source_systems, 0..=1000);
        keys.value("unknown_user_is_404", &mut self.unknown_user_is_404);
        keys.value("keep_local_hash", &mut self.keep_local_hash);
        keys.value("seal_password", &mut self.seal_password);
        keys.optional("change_password_url", &mut self.change_password_url);
        keys.optional("return_url", &mut self.return_url);
        keys.list("return_hosts", &mut self.return_hosts, 0..=100);
        keys.section("password", &mut self.password);
        keys.value("old_event_codes", &mut self.old_event_codes);
        let systems = [
            ("Auth0", AuthSystem::Auth0),
            ("Firefly", AuthSystem::Firefly),
            ("Gigya", AuthSystem::Gigya),
            ("SSOR", AuthSystem::Ssor),
        ];
        keys.choice("auth_system", &mut self.auth_system, &systems.map(|(word, system)| (word, Some(system))));
        keys.optional("auth_system_id", &mut self.auth_system_id);
        keys.section("event_ids", &mut self.event_ids);
        self.check_provider(keys);
    }
}

impl Naviga {
    /// What makes sense only with a provider, and only without one.
    fn check_provider(&self, keys: &mut Keys<'_>) {
        if self.user_provider.is_some() {
            if self.password != PasswordRules::default() {
                let hint = "leave it out, or the user_provider";
                keys.refuse("password", "the rules of a provider's passwords are its own", Some(hint.into()));
            }
            return;
        }
        if !self.keep_local_hash {
            let hint = "name the user_provider, or leave keep_local_hash out";
            keys.refuse("keep_local_hash", "without a provider the hash is the only one", Some(hint.into()));
        }
        if !self.seal_password {
            let hint = "name the user_provider, or leave seal_password out";
            keys.refuse("seal_password", "without a provider no password is kept", Some(hint.into()));
        }
        for (name, is_set) in
            [("auth_system", self.auth_system.is_some()), ("auth_system_id", self.auth_system_id.is_some())]
        {
            if is_set {
                let hint = format!("name the user_provider, or leave {name} out");
                keys.refuse(name, "without a provider users sign in here", Some(hint));
            }
        }
    }
}

impl Section for PasswordRules {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.optional("chars_min", &mut self.chars_min);
        keys.value("complex", &mut self.complex);
        keys.optional("days_max", &mut self.days_max);
        keys.within("history", &mut self.history, 0..=Policy::HISTORY_MAX);
        for (name, number) in [("chars_min", self.chars_min), ("days_max", self.days_max)] {
            if number == Some(0) {
                keys.refuse(name, "must be at least 1", Some("leave it out to have no such rule".into()));
            }
        }
    }
}

impl Section for Jwt {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        let words = [("HS256", JwtAlgorithm::Hs256), ("RS256", JwtAlgorithm::Rs256), ("ES256", JwtAlgorithm::Es256)]
            .map(|(word, algorithm)| (word, Some(algorithm)));
        keys.choice("algorithm", &mut self.algorithm, &words);
        keys.require("algorithm", Some("\"HS256\", \"RS256\" or \"ES256\"; tokens of any other are refused".into()));
        keys.optional_secret(&SECRET, &mut self.secret);
        keys.optional("jwks_url", &mut self.jwks_url);
        keys.optional("jwks_file", &mut self.jwks_file);
        keys.optional("public_key_file", &mut self.public_key_file);
        keys.optional("issuer", &mut self.issuer);
        keys.optional("audience", &mut self.audience);
        keys.value("allow_insecure_http", &mut self.allow_insecure_http);
        keys.value("allow_private", &mut self.allow_private);
        if self.jwks_url.as_ref().is_some_and(|url| url.scheme() == "http") && !self.allow_insecure_http {
            keys.refuse("jwks_url", "must begin with https://", Some("or allow_insecure_http = true".into()));
        }
        self.check_key(keys);
    }
}

impl Jwt {
    /// One key for the algorithm, and none of another's.
    fn check_key(&self, keys: &mut Keys<'_>) {
        let places = [
            ("jwks_url", self.jwks_url.is_some()),
            ("jwks_file", self.jwks_file.is_some()),
            ("public_key_file", self.public_key_file.is_some()),
        ];
        let given = places.iter().filter(|(_, is_given)| *is_given).map(|(name, _)| *name);
        match (self.algorithm, &self.secret) {
            (None, _) => {}
            (Some(JwtAlgorithm::Hs256), secret) => {
                for name in given {
                    keys.refuse(name, "HS256 has a secret and no public key", None);
                }
                let hint = "make one with `openssl rand -base64 48` and name where it lies: secret_file or secret_env";
                match secret {
                    None => keys.require_one(&SECRET, hint),
                    Some(secret) if secret.is_readable() && secret.reveal().len() < SECRET_BYTES_MIN => {
                        keys.refuse_secret(&SECRET, &format!("must have at least {SECRET_BYTES_MIN} bytes"), hint);
                    }
                    Some(_) => {}
                }
            }
            (Some(_), secret) => {
                if secret.is_some() {
                    keys.refuse_secret(&SECRET, "is for HS256 alone", "name the public key instead");
                }
                let one_of = "jwks_url, jwks_file or public_key_file";
                match given.collect::<Vec<_>>().as_slice() {
                    [] => keys.refuse("algorithm", "needs a public key to check tokens with", Some(one_of.into())),
                    [_] => {}
                    [_, second, ..] => keys.refuse(second, format!("give only one of {one_of}"), None),
                }
            }
        }
    }
}

impl Section for EventIds {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.optional("authsystem_user_create", &mut self.authsystem_user_create);
        keys.optional("authsystem_user_update", &mut self.authsystem_user_update);
    }
}
