//! `projects[].password_policy`: what is asked of new passwords, beyond what a contract says itself.

use std::path::PathBuf;
use std::time::Duration;

use keyherald_core::policy::Policy;
use url::Url;

use super::keys::{Keys, Section};
use super::setting::Setting;
use super::tree::{Node, Value};

/// `projects[].password_policy`
#[derive(Clone, Debug)]
pub struct PasswordPolicy {
    /// Whether nothing else is asked for at a sign-in.
    pub sole_factor: bool,
    /// Fewest characters; none: as many as NIST asks for.
    pub min_length: Option<u16>,
    /// Most characters.
    pub max_length: u16,
    /// Most bytes, where a provider cuts; none: any number.
    pub max_bytes: Option<u32>,
    /// How many of the last passwords cannot be chosen again, the current one among them.
    pub history: u8,
    /// A list in the place of ours: a password a line.
    pub blocklist_file: Option<PathBuf>,
    /// The contracts that keep to it, though they say nothing of it.
    pub applies_to: Vec<PolicyContract>,
    /// Whether leaked passwords are looked for. Absent: they are not.
    pub breach_check: Option<BreachCheck>,
}

/// `projects[].password_policy.applies_to`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as the contracts are")]
pub enum PolicyContract {
    Commercetools,
    Naviga,
}

/// `projects[].password_policy.breach_check`
#[derive(Clone, Debug)]
pub struct BreachCheck {
    /// The service's URL, before `/range/`; none: Pwned Passwords' own.
    pub url: Option<Url>,
    /// A copy of its data that is asked instead: the sorted file, or the folder.
    pub path: Option<PathBuf>,
    /// Whether a password is refused when there is no answer.
    pub fail_closed: bool,
    /// Time for one try; there are two.
    pub timeout: Duration,
    /// How often it must have been seen to count.
    pub min_count: u32,
    /// Whether the service may be without TLS.
    pub allow_insecure_http: bool,
    /// Whether the name in `url` may lead to private addresses.
    pub allow_private: bool,
}

impl Default for PasswordPolicy {
    fn default() -> Self {
        Self {
            sole_factor: true,
            min_length: None,
            max_length: Policy::CHARACTERS_MAX,
            max_bytes: None,
            history: 0,
            blocklist_file: None,
            applies_to: Vec::new(),
            breach_check: None,
        }
    }
}

impl PasswordPolicy {
    /// Fewest characters that are asked for.
    pub fn least(&self) -> u16 {
        self.min_length.unwrap_or(self.least_of_nist())
    }

    fn least_of_nist(&self) -> u16 {
        if self.sole_factor { Policy::SOLE_FACTOR_MIN } else { Policy::SECOND_FACTOR_MIN }
    }
}

impl Section for PasswordPolicy {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.value("sole_factor", &mut self.sole_factor);
        keys.optional("min_length", &mut self.min_length);
        keys.within("max_length", &mut self.max_length, 64..=256);
        keys.optional("max_bytes", &mut self.max_bytes);
        keys.within("history", &mut self.history, 0..=Policy::HISTORY_MAX);
        keys.optional("blocklist_file", &mut self.blocklist_file);
        keys.list("applies_to", &mut self.applies_to, 0..=2);
        keys.optional_section("breach_check", &mut self.breach_check);
        let least = self.least_of_nist();
        if self.min_length.is_some_and(|min| !(least..=64).contains(&min)) {
            let hint = "8 is enough where something else is asked for as well: sole_factor = false";
            let hint = self.sole_factor.then(|| hint.to_owned());
            keys.refuse("min_length", format!("must be from {least} to 64"), hint);
        }
        if self.max_bytes.is_some_and(|bytes| !(64..=1024).contains(&bytes)) {
            keys.refuse("max_bytes", "must be from 64 to 1024", None);
        }
    }
}

impl Default for BreachCheck {
    fn default() -> Self {
        Self {
            url: None,
            path: None,
            fail_closed: false,
            timeout: Duration::from_secs(2),
            min_count: 1,
            allow_insecure_http: false,
            allow_private: false,
        }
    }
}

impl Section for BreachCheck {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.optional("url", &mut self.url);
        keys.optional("path", &mut self.path);
        keys.choice("fail", &mut self.fail_closed, &[("open", false), ("closed", true)]);
        keys.within("timeout", &mut self.timeout, Duration::from_millis(100)..=Duration::from_secs(10));
        keys.within("min_count", &mut self.min_count, 1..=1_000_000);
        keys.value("allow_insecure_http", &mut self.allow_insecure_http);
        keys.value("allow_private", &mut self.allow_private);
        if self.url.as_ref().is_some_and(|url| url.scheme() != "https") && !self.allow_insecure_http {
            let hint = "plain HTTP needs allow_insecure_http = true".to_owned();
            keys.refuse("url", "must begin with https://", Some(hint));
        }
        if self.url.is_some() && self.path.is_some() {
            keys.refuse("path", "either a service is asked or a copy of its data", Some("leave out url".into()));
        }
    }
}

impl Setting for PolicyContract {
    const WANTED: &'static str = "commercetools or naviga";

    fn read(node: &Node) -> Option<Self> {
        let Value::Text(text) = &node.value else { return None };
        match text.trim() {
            "commercetools" => Some(Self::Commercetools),
            "naviga" => Some(Self::Naviga),
            _ => None,
        }
    }

    fn write(&self) -> toml::Value {
        match self {
            Self::Commercetools => "commercetools",
            Self::Naviga => "naviga",
        }
        .into()
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Environment, Purpose};

    fn read(text: &str) -> Result<Config, String> {
        let text = format!("[[projects]]\nkey = \"demo\"\n{text}");
        let environment = Environment::of([]);
        Config::read(&text, Some("k.toml".into()), environment, Purpose::Maintain).map_err(|told| told.to_string())
    }

    #[test]
    fn the_least_length_follows_from_the_factors() {
        let least = |text: &str| read(text).unwrap().projects.remove(0).password_policy.unwrap().least();
        assert_eq!(least("[projects.password_policy]"), 15);
        assert_eq!(least("[projects.password_policy]\nsole_factor = false"), 8);
        assert_eq!(least("[projects.password_policy]\nmin_length = 20"), 20);
        assert_eq!(least("[projects.password_policy]\nsole_factor = false\nmin_length = 10"), 10);
        assert!(read("").unwrap().projects.remove(0).password_policy.is_none());
    }

    #[test]
    fn everything_can_be_said_and_is_listed() {
        let text = r#"
            [projects.password_policy]
            max_length = 200
            max_bytes = 72
            history = 5
            blocklist_file = "/etc/list.txt"
            applies_to = ["commercetools", "naviga"]
            breach_check = { url = "http://10.0.0.5:8080", allow_insecure_http = true, fail = "closed", timeout = "1s", min_count = 3 }
        "#;
        let config = read(text).unwrap();
        let listing = config.listing();
        let again = Config::read(&listing, None, Environment::of([]), Purpose::Maintain).unwrap().listing();
        assert_eq!(listing, again);
        for line in ["history = 5", "fail = \"closed\"", "applies_to = [\"commercetools\", \"naviga\"]"] {
            assert!(listing.contains(line), "{listing}");
        }
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let text = r#"[projects.password_policy]
min_length = 8
max_length = 40
max_bytes = 20
history = 25
applies_to = ["paysafe"]
breach_check = { url = "http://pwned.example", path = "/copy", fail = "maybe", timeout = "1m", min_count = 0 }
"#;
        let told = read(text).unwrap_err();
        for expected in [
            "password_policy.min_length: must be from 15 to 64\n  hint: 8 is enough",
            "password_policy.max_length: must be from 64 to 256, not 40",
            "password_policy.max_bytes: must be from 64 to 1024",
            "password_policy.history: must be from 0 to 24, not 25",
            "password_policy.applies_to[0]: must be commercetools or naviga",
            "breach_check.url: must begin with https://",
            "breach_check.path: either a service is asked or a copy",
            "breach_check.fail: must be one of",
            "breach_check.timeout: must be from",
            "breach_check.min_count: must be from 1",
        ] {
            assert!(told.contains(expected), "{expected}\n{told}");
        }
    }
}
