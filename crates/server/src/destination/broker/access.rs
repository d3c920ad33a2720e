//! Which broker, and who we are there: the part of a draft that all kinds have.
//!
//! `url` names scheme, host, port and path; `user` and `password` (or `token`) sign in; `caCertificate`, `clientCertificate`
//! and `clientKey` are PEM texts. Password, token and key are sealed; the others are shown to who reads the subscription.

use std::collections::BTreeMap;

use keyherald_core::delivery::Outcome;
#[cfg(feature = "redis")]
use serde_json::Number;
use serde_json::{Map, Value};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::{Host, Url};
use zeroize::Zeroizing;

use super::{refused, temporary};
use crate::destination::{CannotOpen, Context, Invalid, Policy};
use crate::outbound::client::NoTls;
use crate::outbound::guard::Guard;
use crate::outbound::socket::{self, NoConnection, Stream};
use crate::outbound::tether::{Tether, Tethered, tether};

/// Longest text of a field, in bytes.
const TEXT_BYTES_MAX: usize = 2048;
/// Longest PEM text, in bytes: a chain of certificates.
const PEM_BYTES_MAX: usize = 32 * 1024;

pub(in crate::destination) const CA: &str = "caCertificate";
pub(in crate::destination) const CERTIFICATE: &str = "clientCertificate";
pub(in crate::destination) const KEY: &str = "clientKey";

/// The schemes of a protocol, with their ports.
pub(in crate::destination) struct Schemes {
    /// In the open.
    pub(in crate::destination) plain: (&'static str, u16),
    /// With TLS.
    pub(in crate::destination) secure: (&'static str, u16),
}

/// Where a broker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::destination) struct Place {
    pub(in crate::destination) host: Host<String>,
    pub(in crate::destination) port: u16,
    pub(in crate::destination) is_secure: bool,
    /// What follows the port, with its slash; decoded by who knows what it means.
    pub(in crate::destination) path: String,
}

/// The secret part of a draft by field.
#[derive(Default)]
pub(in crate::destination) struct Secrets(BTreeMap<String, Zeroizing<String>>);

/// Everything that a connection needs.
pub(in crate::destination) struct Access {
    pub(in crate::destination) place: Place,
    pub(in crate::destination) guard: Guard,
    pub(in crate::destination) tls: Option<TlsConnector>,
    pub(in crate::destination) user: Option<String>,
    pub(in crate::destination) secrets: Secrets,
}

/// A draft that is being checked: what is right of it goes to the settings or to the secrets.
pub(in crate::destination) struct Draft<'a> {
    fields: &'a Map<String, Value>,
    settings: Map<String, Value>,
    secrets: Secrets,
}

impl<'a> Draft<'a> {
    /// Begins with the fields that all brokers have.
    pub(in crate::destination) fn new(
        fields: &'a Map<String, Value>,
        schemes: &Schemes,
        policy: &Policy,
    ) -> Result<Self, Invalid> {
        let mut draft = Self { fields, settings: Map::new(), secrets: Secrets::default() };
        let Some(url) = draft.keep("url")? else { return Err(invalid("url", "is required")) };
        let place = Place::parse(&url, schemes, policy)?;
        draft.keep("user")?;
        draft.seal("password")?;
        for field in [CA, CERTIFICATE, KEY] {
            draft.pem(field, &place)?;
        }
        let (user, secrets) = (draft.settings.contains_key("user"), &draft.secrets);
        if user && secrets.text("password").is_none() {
            return Err(invalid("password", "is required with a user"));
        }
        if draft.settings.contains_key(CERTIFICATE) != secrets.text(KEY).is_some() {
            return Err(invalid(CERTIFICATE, "goes with clientKey, and that with it"));
        }
        // Each alone first, so that the field can be told.
        let shown = |field: &str| draft.settings.get(field).and_then(Value::as_str).map(str::as_bytes);
        if let Some(ca) = shown(CA) {
            socket::tls(Some(ca), None).map_err(|error| invalid(CA, &error.to_string()))?;
        }
        if let (Some(certificate), Some(key)) = (shown(CERTIFICATE), secrets.text(KEY)) {
            let identity = Some((certificate, key.as_bytes()));
            socket::tls(shown(CA), identity).map_err(|error| invalid(CERTIFICATE, &error.to_string()))?;
        }
        Ok(draft)
    }

    /// A field that is shown; its text.
    pub(in crate::destination) fn keep(&mut self, field: &'static str) -> Result<Option<String>, Invalid> {
        let Some(text) = self.text(field, TEXT_BYTES_MAX)? else { return Ok(None) };
        if text.chars().any(char::is_control) {
            return Err(invalid(field, "must not contain control characters"));
        }
        let text = text.to_owned();
        self.settings.insert(field.to_owned(), text.as_str().into());
        Ok(Some(text))
    }

    /// A field that must be there and is made of `allowed` characters; its text.
    pub(in crate::destination) fn name(
        &mut self,
        field: &'static str,
        allowed: fn(char) -> bool,
        must: &str,
    ) -> Result<String, Invalid> {
        match self.keep(field)? {
            None => Err(invalid(field, "is required")),
            Some(text) if !text.chars().all(allowed) => Err(invalid(field, must)),
            Some(text) => Ok(text),
        }
    }

    /// A field that is not shown.
    pub(in crate::destination) fn seal(&mut self, field: &'static str) -> Result<(), Invalid> {
        if let Some(text) = self.text(field, TEXT_BYTES_MAX)? {
            if text.chars().any(char::is_control) {
                return Err(invalid(field, "must not contain control characters"));
            }
            self.secrets.0.insert(field.to_owned(), Zeroizing::new(text.to_owned()));
        }
        Ok(())
    }

    /// A whole number, `least` or more.
    #[cfg(feature = "redis")]
    pub(in crate::destination) fn number(&mut self, field: &'static str, least: u32) -> Result<(), Invalid> {
        let is_in_range =
            |number: &Number| number.as_u64().is_some_and(|number| (least.into()..=u32::MAX.into()).contains(&number));
        match self.fields.get(field) {
            None | Some(Value::Null) => Ok(()),
            Some(Value::Number(number)) if is_in_range(number) => {
                self.settings.insert(field.to_owned(), number.clone().into());
                Ok(())
            }
            Some(_) => Err(invalid(field, &format!("must be a whole number from {least} to {}", u32::MAX))),
        }
    }

    /// Whether a field was given and kept.
    pub(in crate::destination) fn has(&self, field: &str) -> bool {
        self.settings.contains_key(field) || self.secrets.0.contains_key(field)
    }

    /// What is stored.
    pub(in crate::destination) fn finish(self) -> (Map<String, Value>, Option<Zeroizing<Vec<u8>>>) {
        let secret = (!self.secrets.0.is_empty()).then(|| self.secrets.to_bytes());
        (self.settings, secret)
    }

    fn pem(&mut self, field: &'static str, place: &Place) -> Result<(), Invalid> {
        let Some(text) = self.text(field, PEM_BYTES_MAX)?.map(str::to_owned) else { return Ok(()) };
        if !place.is_secure {
            return Err(invalid(field, "is of no use without TLS: the url must have the scheme for it"));
        }
        if field == KEY {
            self.secrets.0.insert(field.to_owned(), Zeroizing::new(text));
        } else {
            self.settings.insert(field.to_owned(), text.into());
        }
        Ok(())
    }

    fn text(&self, field: &'static str, bytes_max: usize) -> Result<Option<&'a str>, Invalid> {
        match self.fields.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if (1..=bytes_max).contains(&text.len()) => Ok(Some(text)),
            Some(Value::String(_)) => Err(invalid(field, &format!("must have 1 to {bytes_max} bytes"))),
            Some(_) => Err(invalid(field, "must be a string")),
        }
    }
}

impl Secrets {
    /// A field.
    pub(in crate::destination) fn text(&self, field: &str) -> Option<&str> {
        self.0.get(field).map(|text| text.as_str())
    }

    fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let fields: BTreeMap<&str, &str> = self.0.iter().map(|(field, text)| (field.as_str(), text.as_str())).collect();
        Zeroizing::new(serde_json::to_vec(&fields).unwrap_or_default())
    }

    fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let fields: BTreeMap<String, String> = serde_json::from_slice(bytes).ok()?;
        Some(Self(fields.into_iter().map(|(field, text)| (field, Zeroizing::new(text))).collect()))
    }
}

impl Access {
    /// Reads what was stored. What was allowed when the subscription was made may not be allowed any more.
    pub(in crate::destination) fn open(
        settings: &Map<String, Value>,
        secret: Option<&[u8]>,
        schemes: &Schemes,
        context: &Context,
    ) -> Result<Self, CannotOpen> {
        let text = |field: &str| settings.get(field).and_then(Value::as_str);
        let url = text("url").ok_or(CannotOpen("it has no URL"))?;
        let place = Place::parse(url, schemes, &context.policy).map_err(|_| CannotOpen("its URL is not allowed"))?;
        let secrets = secret.map_or_else(|| Some(Secrets::default()), Secrets::of_bytes);
        let secrets = secrets.ok_or(CannotOpen("its secret does not read"))?;
        let tls = place.is_secure.then(|| -> Result<TlsConnector, NoTls> {
            let identity = text(CERTIFICATE).zip(secrets.text(KEY));
            let identity = identity.map(|(certificate, key)| (certificate.as_bytes(), key.as_bytes()));
            socket::tls(text(CA).map(str::as_bytes), identity)
        });
        let tls = tls.transpose().map_err(|_| CannotOpen("its certificates cannot be used"))?;
        let user = text("user").map(str::to_owned);
        Ok(Self { place, guard: context.policy.guard.clone(), tls, user, secrets })
    }

    /// To nowhere, as nobody.
    #[cfg(test)]
    pub(in crate::destination) fn for_tests() -> Self {
        let place = Place { host: Host::Ipv4([127, 0, 0, 1].into()), port: 1, is_secure: false, path: String::new() };
        Self { place, guard: Guard::default(), tls: None, user: None, secrets: Secrets::default() }
    }

    /// Connects to an address that was checked.
    pub(in crate::destination) async fn dial(&self) -> Result<TcpStream, Outcome> {
        socket::connect(&self.guard, &self.place.host, self.place.port).await.map_err(|error| match error {
            NoConnection::NotPublic(error) => refused(&error.to_string()),
            NoConnection::Io(_) => temporary("no connection"),
        })
    }

    /// Secures a connection, if that is wanted (the certificate must have the name that the draft has), and lends it: the
    /// broker may say so many bytes on it without confirming anything.
    pub(in crate::destination) async fn lend(
        &self,
        plain: TcpStream,
        bytes_max: u64,
    ) -> Result<(Tethered, Tether), Outcome> {
        let stream: Box<dyn Stream> = match &self.tls {
            None => Box::new(plain),
            Some(tls) => {
                let secured = socket::secure(plain, &self.place.host, tls).await;
                secured.map_err(|_| temporary("no TLS connection"))?
            }
        };
        Ok(tether(stream, bytes_max))
    }

    /// User and password.
    pub(in crate::destination) fn sign_in(&self) -> Option<(&str, &str)> {
        Some((self.user.as_deref()?, self.secrets.text("password")?))
    }
}

impl Place {
    /// Reads a URL that may be called: scheme, port, and the host if it is an address.
    fn parse(text: &str, schemes: &Schemes, policy: &Policy) -> Result<Self, Invalid> {
        let refuse = |why: &str| Err(invalid("url", why));
        let (plain, secure) = (schemes.plain, schemes.secure);
        let must_be_secure = || format!("must begin with {}://", secure.0);
        // The parser would drop them, and what is stored would not be what is called.
        if text.chars().any(|char| char.is_control() || char.is_whitespace()) {
            return refuse("must not contain white space or control characters");
        }
        let Some((scheme, rest)) = text.split_once("://") else { return refuse(&must_be_secure()) };
        let (is_secure, usual_port) = match scheme {
            _ if scheme == secure.0 => (true, secure.1),
            _ if scheme == plain.0 && policy.allow_http => (false, plain.1),
            _ if scheme == plain.0 => {
                return refuse(&format!("{}; a connection without TLS is not allowed here", must_be_secure()));
            }
            _ => return refuse(&must_be_secure()),
        };
        // Read as the scheme whose rules for hosts are known: 0x7f.1 is an address there, and a name elsewhere.
        let Ok(url) = Url::parse(&format!("https://{rest}")) else { return refuse("must be an absolute URL") };
        if !url.username().is_empty() || url.password().is_some() {
            return refuse("must not contain a user name or password: they have fields of their own");
        }
        if url.query().is_some() || url.fragment().is_some() {
            return refuse("must not contain a query or fragment");
        }
        let Some(host) = url.host().map(|host| host.to_owned()) else { return refuse("must name a host") };
        let authority = rest.split('/').next().unwrap_or_default();
        // The parser leaves out the port that is usual for its scheme.
        let port = url.port().unwrap_or(if authority.ends_with(":443") { 443 } else { usual_port });
        if !matches!(port, 443 | 1024..) {
            return refuse("must have port 443 or one from 1024 to 65535");
        }
        if policy.guard.check_host(&url).is_err() {
            return refuse("must name a host with a public address");
        }
        Ok(Self { host, port, is_secure, path: url.path().to_owned() })
    }
}

/// A field that is refused.
pub(in crate::destination) fn invalid(field: &'static str, text: &str) -> Invalid {
    Invalid { field, text: text.to_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SCHEMES: Schemes = Schemes { plain: ("nats", 4222), secure: ("tls", 4222) };

    fn open() -> Policy {
        Policy { allow_http: true, guard: Guard::open(), ..Policy::default() }
    }

    fn wrong(draft: &Value, policy: &Policy) -> Option<&'static str> {
        Draft::new(draft.as_object().unwrap(), &SCHEMES, policy).err().map(|invalid| invalid.field)
    }

    #[test]
    fn urls_have_rules() {
        let strict = Policy::default();
        let read = |url: &str| Place::parse(url, &SCHEMES, &strict);
        let place = read("tls://Broker.example.com/a%2Fb").unwrap();
        assert_eq!((place.host.to_string().as_str(), place.port), ("broker.example.com", 4222));
        assert_eq!((place.is_secure, place.path.as_str()), (true, "/a%2Fb"));
        assert_eq!(read("tls://broker.example.com:443").unwrap().port, 443);
        assert_eq!(read("tls://broker.example.com:5000/").unwrap().port, 5000);
        for url in [
            "",
            "broker.example.com:4222",
            "nats://broker.example.com",
            "https://broker.example.com",
            "tls://",
            "tls://user@broker.example.com",
            "tls://:pw@broker.example.com",
            "tls://broker.example.com:22",
            "tls://broker.example.com?x=1",
            "tls://broker.example.com#x",
            "tls://broker.exa mple.com",
            "tls://127.0.0.1",
            "tls://0x7f.1:4222",
            "tls://[::1]",
        ] {
            assert!(read(url).is_err(), "{url}");
        }
        assert!(!Place::parse("nats://127.0.0.1", &SCHEMES, &open()).unwrap().is_secure);
    }

    #[test]
    fn drafts_that_are_wrong_by_field() {
        let url = "tls://broker.example.com";
        for (draft, field) in [
            (json!({}), "url"),
            (json!({"url": 7}), "url"),
            (json!({"url": url, "user": ""}), "user"),
            (json!({"url": url, "user": "a\n"}), "user"),
            (json!({"url": url, "user": "a"}), "password"),
            (json!({"url": url, "password": 7}), "password"),
            (json!({"url": url, "caCertificate": "no PEM"}), "caCertificate"),
            (json!({"url": url, "clientCertificate": "no PEM"}), "clientCertificate"),
            (json!({"url": url, "clientKey": "no PEM"}), "clientCertificate"),
            (json!({"url": url, "clientKey": "no PEM", "clientCertificate": "no PEM"}), "clientCertificate"),
            (json!({"url": "nats://b.example", "caCertificate": "no use"}), "caCertificate"),
        ] {
            assert_eq!(wrong(&draft, &open()), Some(field), "{draft}");
        }
        assert_eq!(wrong(&json!({"url": url, "user": "a", "password": "b", "clientKey": null}), &open()), None);
    }

    #[test]
    fn secrets_are_kept_apart() {
        let draft = json!({"url": "tls://broker.example.com", "user": "a", "password": "hush"});
        let (settings, secret) = Draft::new(draft.as_object().unwrap(), &SCHEMES, &open()).ok().unwrap().finish();
        assert_eq!(Value::Object(settings), json!({"url": "tls://broker.example.com", "user": "a"}));
        assert_eq!(Secrets::of_bytes(&secret.unwrap()).unwrap().text("password"), Some("hush"));
    }
}
