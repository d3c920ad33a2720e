//! `[sms]` and `projects[].sms`: what customers are told by SMS, in whose name, through which service. Off until a project
//! says what to send.
//!
//! A service is described rather than programmed, in the language of HTTP providers: one request hands a message over.

use keyherald_core::sms::SmsKind;
use url::Url;

use super::keys::{Keys, Section, Written};
use super::provider::sms_request;
use super::{HttpAuth, ProviderNet};
use crate::recipe::SmsRecipe;
use crate::recipe::check::Finding;
use crate::recipe::op::Op;

/// `[sms]`
#[derive(Clone, Debug)]
pub struct Sms {
    /// Whom messages of projects are from that name nobody: a number or a name.
    pub from: Option<String>,
    /// Below which all paths are. `None`: missing, which is reported.
    pub base_url: Option<Url>,
    /// Whether the service may be spoken to without TLS.
    pub allow_insecure_http: bool,
    /// Messages that are handed over at the same time.
    pub in_flight_max: usize,
    /// `[sms.auth]`
    pub auth: HttpAuth,
    /// `[sms.net]`
    pub net: ProviderNet,
    request: Written<Op>,
}

impl Default for Sms {
    fn default() -> Self {
        Self {
            from: None,
            base_url: None,
            allow_insecure_http: false,
            in_flight_max: 8,
            auth: HttpAuth::default(),
            net: ProviderNet::default(),
            request: Written::default(),
        }
    }
}

impl Sms {
    /// What is described. `None`: there is a problem with a part of it, which is reported.
    pub fn recipe(&self) -> Option<SmsRecipe> {
        Some(SmsRecipe { access: self.auth.access()?, send: self.request.value.clone()? })
    }
}

impl Section for Sms {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.optional("from", &mut self.from);
        keys.optional("base_url", &mut self.base_url);
        keys.require("base_url", Some("such as base_url = \"https://api.sms.example\"".into()));
        keys.value("allow_insecure_http", &mut self.allow_insecure_http);
        keys.within("in_flight_max", &mut self.in_flight_max, 1..=100);
        keys.section("auth", &mut self.auth);
        keys.section("net", &mut self.net);
        keys.written("request", &mut self.request, sms_request);
        keys.require("request", Some("how a message is handed over: method, path, body, ..".into()));
        let token_url = self.auth.token_url();
        for (key, url) in self.base_url.iter().map(|url| ("base_url", url)).chain(token_url.map(|url| ("auth", url))) {
            if url.scheme() != "https" && !self.allow_insecure_http {
                keys.refuse(key, "must begin with https://", Some("or allow_insecure_http = true".into()));
            }
        }
        for Finding { place, what, hint } in self.recipe().map(|recipe| recipe.findings()).unwrap_or_default() {
            match place.split_first() {
                Some((first, below)) if first == "auth" => {
                    keys.refuse("auth", format!("{}: {what}", below.join(".")), hint);
                }
                Some((_, below)) => keys.refuse_written(("request", &self.request), below, what, hint),
                None => keys.refuse("request", what, hint),
            }
        }
    }
}

/// `projects[].sms`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProjectSms {
    /// What is sent.
    pub send: Vec<SmsKind>,
    /// What customers know the sender by; none: as in its mail, or the project's name.
    pub sender: Option<String>,
    /// Whom customers turn to; none: as in its mail.
    pub contact: Option<String>,
    /// The language for customers without one; none: as in its mail, or the first of the project's languages.
    pub locale: Option<String>,
    /// Whom messages are from; none: that of `[sms]`.
    pub from: Option<String>,
}

impl Section for ProjectSms {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.list("send", &mut self.send, 0..=SmsKind::ALL.len());
        keys.optional("sender", &mut self.sender);
        keys.optional("contact", &mut self.contact);
        keys.optional("locale", &mut self.locale);
        keys.optional("from", &mut self.from);
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use crate::config::{Config, Environment, Problems, Purpose};

    const GOOD: &str = r#"
[sms]
base_url = "https://api.sms.example"
from = "Shop"
[sms.auth]
kind = "header"
name = "Authorization"
secret = { env = "SECRET" }
[sms.request]
method = "POST"
path = "/messages"
body = { type = "json", template = { to = "{{ sms.to }}", from = "{{ sms.from }}", text = "{{ sms.text }}" } }
errors = [{ when = { status = 422 }, class = "number_refused" }]
[[projects]]
key = "one"
[projects.sms]
send = ["verification_code", "password_changed"]
[projects.paysafe]
brand = "b"
required_identifiers = { all_of = ["MOBILE"] }
"#;

    fn read(text: &str) -> Result<Config, Problems> {
        let secret = (OsString::from("SECRET"), OsString::from("s3cret"));
        Config::read(text, None, Environment::of([secret]), Purpose::Maintain)
    }

    #[test]
    fn it_reads_back_and_its_secret_is_not_listed() {
        let config = read(GOOD).unwrap();
        let shown = format!("{config:?}{}", config.listing());
        assert!(!shown.contains("s3cret") && shown.contains("{{ sms.text }}"), "{shown}");
        assert_eq!(read(&config.listing()).unwrap().listing(), config.listing());
        assert!(config.sms.unwrap().recipe().unwrap().names_sender());
        assert!(read("").unwrap().sms.is_none());
    }

    #[test]
    fn what_cannot_be_is_told_with_its_place() {
        let request = GOOD.split_once("[sms.request]").unwrap().1.split_once("[[projects]]").unwrap().0;
        for (from, to, expected) in [
            ("https://api", "http://api", "3: sms.base_url: must begin with https://"),
            (
                "\"/messages\"",
                "\"/messages/{{ sms.to }}\"",
                "11: sms.request.path: {{ sms.to }} must not stand in a path",
            ),
            (
                "\"/messages\"",
                "\"/messages\"\nheaders = { X = \"{{ sms.text }}\" }",
                "sms.request.headers.X: {{ sms.text }}",
            ),
            ("\"{{ sms.text }}\"", "\"{{ user.id }}\"", "sms.request.body: there is no {{ user.id }} here"),
            ("\"{{ sms.text }}\"", "\"Hello\"", "sms.request.body: {{ sms.text }} is not in it"),
            (
                "\"number_refused\"",
                "\"user_not_found\"",
                "13: sms.request.errors[0].class: must be one of number_refused",
            ),
            ("status = 422", "status = 201", "sms.request.errors[0].when: is never reached"),
            ("[sms.request]", "[sms.request]\nextract = { id = \"/id\" }", "10: sms.request.extract: unknown key"),
            (
                "kind = \"header\"",
                "kind = \"body_field\"\nvalue = \"{{ sms.to }}\"",
                "sms.auth: value: there is no {{ sms.to }} here",
            ),
            (request, "\nmethod = \"POST\"\n", "sms.request.path: is missing"),
            ("[sms.request]", "[sms.requests]", "sms.request: is missing"),
            ("from = \"Shop\"", "", "\"one\" sends SMS, but neither it nor [sms] says from whom"),
            ("\"verification_code\", ", "", "sends codes to mobile numbers, but verification_code is not among"),
            (
                "\"verification_code\", ",
                "\"code\", ",
                "projects[0].sms.send[0]: must be one of password_changed, verification_code",
            ),
            ("from = \"Shop\"", "in_flight_max = 0\nfrom = \"Shop\"", "sms.in_flight_max: must be from 1 to 100"),
        ] {
            assert!(GOOD.contains(from), "{from}");
            let told = read(&GOOD.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(told.contains(expected), "{expected}: {told}");
        }
        let (_, projects) = GOOD.split_once("[[projects]]").unwrap();
        let told = read(&format!("[[projects]]{projects}")).unwrap_err().to_string();
        assert!(told.contains("the project \"one\" sends SMS, but there is no [sms]"), "{told}");
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let text = GOOD.replace("https://api", "http://api").replace("\"POST\"", "\"SEND\"").replace("SECRET", "NONE");
        let told = read(&text).unwrap_err();
        let keys: Vec<&str> = told.list().iter().map(|problem| problem.key.as_str()).collect();
        assert_eq!(keys, ["sms.base_url", "sms.auth.secret.env", "sms.request.method"], "{told}");
    }
}
