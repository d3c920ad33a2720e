//! `[providers.NAME.auth]`

use std::time::Duration;

use url::Url;

use crate::config::keys::{Keys, Section, Written};
use crate::config::provider::http::fields::{named, parsed, statuses, template};
use crate::config::provider::http::op;
use crate::config::provider::http::table::timed;
use crate::config::secret::{KeyNames, Secret};
use crate::recipe::Access;
use crate::recipe::access::{
    ClientStyle, Digest, Jwt, JwtAlgorithm, KeyForm, OutputForm, Place, Signing, Token, TokenSource,
};
use crate::recipe::op::{Op, WaitForm};
use crate::recipe::predicate::Statuses;
use crate::recipe::source::{Source, is_header_name};
use crate::recipe::template::Template;

/// How we show a provider who we are: one kind, and the keys that it has.
#[derive(Clone, Debug, Default)]
pub struct Auth {
    kind: Kind,
    name: String,
    user: Option<String>,
    secret: Option<Held>,
    second_secret: Option<Held>,
    value: Written<Template>,
    /// OAuth 2 and JWTs.
    token_url: Option<Url>,
    style: Style,
    scope: Option<String>,
    audience: Option<String>,
    issuer: String,
    subject: Option<String>,
    algorithm: JwtAlgorithm,
    key_id: Option<String>,
    life: Option<Duration>,
    early_refresh: Option<Duration>,
    refresh_on_status: Written<Statuses>,
    /// A call that makes tokens.
    call: Written<Op>,
    token: Written<Source>,
    expires: Written<(Source, WaitForm)>,
    header: Option<String>,
    /// Signatures.
    query: Option<String>,
    body_field: Option<String>,
    digest: Digest,
    key_form: KeyForm,
    output: OutputForm,
    canonical: Written<Template>,
    fields: Written<Vec<(String, Template)>>,
    oauth_token: Option<String>,
    realm: Option<String>,
    region: Option<String>,
    service: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    None,
    Header,
    Query,
    Basic,
    BodyField,
    ClientCredentials,
    JwtBearer,
    Hmac,
    OAuth1,
    AwsSigV4,
    TokenCall,
}

const KINDS: [(&str, Kind); 11] = [
    ("none", Kind::None),
    ("header", Kind::Header),
    ("query", Kind::Query),
    ("basic", Kind::Basic),
    ("body_field", Kind::BodyField),
    ("oauth2_client_credentials", Kind::ClientCredentials),
    ("jwt_bearer", Kind::JwtBearer),
    ("hmac", Kind::Hmac),
    ("oauth1_hmac_sha1", Kind::OAuth1),
    ("aws_sigv4", Kind::AwsSigV4),
    ("token_call", Kind::TokenCall),
];

/// How an OAuth 2 client is authenticated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Style {
    #[default]
    Basic,
    Body,
    PrivateKeyJwt,
}

const STYLES: [(&str, Style); 3] =
    [("basic", Style::Basic), ("body", Style::Body), ("private_key_jwt", Style::PrivateKeyJwt)];

/// A secret in a table of its own: `{ env = "X" }` or `{ file = "/run/secrets/x" }`.
#[derive(Clone, Debug)]
struct Held(Secret);

static HELD: KeyNames = KeyNames { inline: "value", file: "file", variable: "env", masked: None };

impl Default for Held {
    fn default() -> Self {
        Self(Secret::unreadable())
    }
}

impl Section for Held {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.secret(&HELD, &mut self.0);
        keys.require_one(&HELD, "name where it lies: { env = \"..\" } or { file = \"..\" }");
    }
}

/// How long before its end a token is replaced, if nothing is said.
const EARLY: Duration = Duration::from_mins(1);
/// How long a token lives that does not say so.
const LIFE: Duration = Duration::from_mins(50);
/// How long an assertion of ours lives.
const ASSERTION_LIFE: Duration = Duration::from_mins(5);

impl Section for Auth {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.choice("kind", &mut self.kind, &KINDS);
        keys.require("kind", Some("how the provider knows us, such as kind = \"header\"; or kind = \"none\"".into()));
        match self.kind {
            Kind::None => {}
            Kind::Header | Kind::Query | Kind::BodyField => self.value_keys(keys),
            Kind::Basic => {
                keys.optional("username", &mut self.user);
                keys.require("username", None);
                secret(keys, "password", &mut self.secret);
            }
            Kind::ClientCredentials => self.client_keys(keys),
            Kind::JwtBearer => self.jwt_keys(keys),
            Kind::Hmac => self.hmac_keys(keys),
            Kind::OAuth1 => {
                keys.optional("consumer_key", &mut self.user);
                keys.require("consumer_key", None);
                secret(keys, "consumer_secret", &mut self.secret);
                keys.optional("token", &mut self.oauth_token);
                keys.optional_section("token_secret", &mut self.second_secret);
                keys.optional("realm", &mut self.realm);
            }
            Kind::AwsSigV4 => {
                keys.optional("access_key_id", &mut self.user);
                keys.require("access_key_id", None);
                secret(keys, "secret_access_key", &mut self.secret);
                keys.optional_section("session_token", &mut self.second_secret);
                for (name, value) in [("region", &mut self.region), ("service", &mut self.service)] {
                    keys.optional(name, value);
                    keys.require(name, None);
                }
            }
            Kind::TokenCall => self.call_keys(keys),
        }
    }
}

impl Auth {
    fn value_keys(&mut self, keys: &mut Keys<'_>) {
        keys.value("name", &mut self.name);
        keys.require("name", Some("of the header, query parameter or field".into()));
        if self.kind == Kind::Header && !self.name.is_empty() && !is_header_name(&self.name) {
            keys.refuse("name", "is no header's name", None);
        }
        keys.written("value", &mut self.value, template);
        secret(keys, "secret", &mut self.secret);
    }

    fn client_keys(&mut self, keys: &mut Keys<'_>) {
        keys.optional("token_url", &mut self.token_url);
        keys.require("token_url", None);
        keys.optional("client_id", &mut self.user);
        keys.require("client_id", None);
        keys.choice("auth_style", &mut self.style, &STYLES);
        if self.style == Style::PrivateKeyJwt {
            secret(keys, "private_key", &mut self.secret);
            self.signer_keys(keys);
        } else {
            secret(keys, "client_secret", &mut self.secret);
        }
        keys.optional("scope", &mut self.scope);
        keys.optional("audience", &mut self.audience);
        self.renewal_keys(keys);
    }

    fn jwt_keys(&mut self, keys: &mut Keys<'_>) {
        keys.optional("token_url", &mut self.token_url);
        keys.value("issuer", &mut self.issuer);
        keys.require("issuer", Some("who signs: `iss`".into()));
        keys.optional("subject", &mut self.subject);
        keys.optional("audience", &mut self.audience);
        if self.token_url.is_none() {
            keys.require("audience", Some("for whom: `aud`; needed without token_url".into()));
        }
        secret(keys, "key", &mut self.secret);
        self.signer_keys(keys);
        keys.optional("scope", &mut self.scope);
        self.renewal_keys(keys);
    }

    fn signer_keys(&mut self, keys: &mut Keys<'_>) {
        keys.choice("algorithm", &mut self.algorithm, &JwtAlgorithm::NAMES);
        keys.optional("key_id", &mut self.key_id);
        self.life_key(keys);
    }

    fn life_key(&mut self, keys: &mut Keys<'_>) {
        keys.optional("life", &mut self.life);
        let bounds = Duration::from_secs(1)..=Duration::from_hours(24);
        if self.life.is_some_and(|life| !bounds.contains(&life)) {
            keys.refuse("life", "must be from 1s to 1d", None);
        }
    }

    fn renewal_keys(&mut self, keys: &mut Keys<'_>) {
        keys.optional("early_refresh", &mut self.early_refresh);
        if self.early_refresh.is_some_and(|early| early > Duration::from_hours(24)) {
            keys.refuse("early_refresh", "must be at most 1d", None);
        }
        keys.written("refresh_on_status", &mut self.refresh_on_status, statuses);
    }

    fn hmac_keys(&mut self, keys: &mut Keys<'_>) {
        keys.optional("user", &mut self.user);
        secret(keys, "secret", &mut self.secret);
        keys.choice("algorithm", &mut self.digest, &Digest::NAMES);
        keys.choice("key_encoding", &mut self.key_form, &KeyForm::NAMES);
        keys.written("fields", &mut self.fields, named(template));
        keys.written("canonical", &mut self.canonical, template);
        keys.require("canonical", Some("what is signed, such as \"{{ request.method }}\\n{{ request.path }}\"".into()));
        keys.choice("output", &mut self.output, &OutputForm::NAMES);
        keys.optional("header", &mut self.header);
        keys.optional("query", &mut self.query);
        keys.optional("body_field", &mut self.body_field);
        keys.written("value", &mut self.value, template);
        if [&self.header, &self.query, &self.body_field].iter().filter(|place| place.is_some()).count() != 1 {
            keys.refuse("header", "exactly one of header, query and body_field says where the signature goes", None);
        }
        if self.header.as_ref().is_some_and(|name| !is_header_name(name)) {
            keys.refuse("header", "is no header's name", None);
        }
    }

    fn call_keys(&mut self, keys: &mut Keys<'_>) {
        keys.optional("user", &mut self.user);
        keys.optional_section("secret", &mut self.secret);
        keys.written("call", &mut self.call, op::op);
        keys.require("call", Some("the call that makes a token: method, path, body, ..".into()));
        keys.written("token", &mut self.token, parsed);
        keys.require(
            "token",
            Some("where it is in the answer: \"/access_token\" or \"header:X-Subject-Token\"".into()),
        );
        keys.written("expires", &mut self.expires, timed);
        self.life_key(keys);
        keys.optional("header", &mut self.header);
        if self.header.as_ref().is_some_and(|name| !is_header_name(name)) {
            keys.refuse("header", "is no header's name", None);
        }
        keys.written("value", &mut self.value, template);
        self.renewal_keys(keys);
    }

    /// What is written here, without the secrets. `None`: there is a problem with it, which is reported.
    pub(in crate::config) fn access(&self) -> Option<Access> {
        Some(match self.kind {
            Kind::None => Access::None,
            Kind::Header => self.in_place(Place::Header(self.name.clone()))?,
            Kind::Query => self.in_place(Place::Query(self.name.clone()))?,
            Kind::BodyField => self.in_place(Place::Body(self.name.clone()))?,
            Kind::Basic => Access::Basic { user: self.user.clone()? },
            Kind::AwsSigV4 => Access::AwsSigV4 {
                access_key_id: self.user.clone()?,
                region: self.region.clone()?,
                service: self.service.clone()?,
            },
            Kind::OAuth1 => Access::OAuth1 {
                consumer_key: self.user.clone()?,
                token: self.oauth_token.clone(),
                realm: self.realm.clone(),
            },
            Kind::Hmac => Access::Signed(Box::new(self.signing()?)),
            Kind::ClientCredentials => self.by_token(TokenSource::ClientCredentials {
                url: self.token_url.clone()?,
                client_id: self.user.clone()?,
                style: match self.style {
                    Style::Basic => ClientStyle::Basic,
                    Style::Body => ClientStyle::Body,
                    Style::PrivateKeyJwt => ClientStyle::PrivateKeyJwt(self.client_jwt()?),
                },
                scope: self.scope.clone(),
                audience: self.audience.clone(),
            })?,
            Kind::JwtBearer => {
                let (jwt, scope) = (self.jwt(), self.scope.clone());
                self.by_token(match self.token_url.clone() {
                    Some(url) => TokenSource::Assertion { url, jwt, scope },
                    None => TokenSource::SelfSigned(jwt),
                })?
            }
            Kind::TokenCall => self.by_token(TokenSource::Call {
                op: Box::new(self.call.value.clone()?),
                user: self.user.clone(),
                token: self.token.value.clone()?,
                ends: self.expires.value.clone(),
                life_us: micros(self.life.unwrap_or(LIFE)),
            })?,
        })
    }

    /// The secrets that it names: the first, and the second of OAuth 1.
    pub fn secrets(&self) -> [Option<&Secret>; 2] {
        [&self.secret, &self.second_secret].map(|held| held.as_ref().map(|Held(secret)| secret))
    }

    pub(in crate::config) fn token_url(&self) -> Option<&Url> {
        self.token_url.as_ref()
    }

    fn value_or(&self, default: &str) -> Option<Template> {
        if self.value.is_given() { self.value.value.clone() } else { default.parse().ok() }
    }

    fn in_place(&self, place: Place) -> Option<Access> {
        Some(Access::Value { place, value: self.value_or("{{ auth.secret }}")? })
    }

    fn by_token(&self, source: TokenSource) -> Option<Access> {
        Some(Access::Token(Box::new(Token {
            source,
            header: self.header.clone().unwrap_or_else(|| "authorization".to_owned()),
            value: self.value_or("Bearer {{ auth.token }}")?,
            early_us: micros(self.early_refresh.unwrap_or(EARLY)),
            renew_on: self.refresh_on_status.value.clone().unwrap_or_else(|| Statuses::of(vec![401..=401])),
        })))
    }

    fn jwt(&self) -> Jwt {
        let token_url = self.token_url.as_ref().map(|url| url.as_str().to_owned());
        Jwt {
            issuer: self.issuer.clone(),
            subject: Some(self.subject.clone().unwrap_or_else(|| self.issuer.clone())),
            audience: self.audience.clone().or(token_url).unwrap_or_default(),
            algorithm: self.algorithm,
            key_id: self.key_id.clone(),
            life_s: i64::try_from(self.life.unwrap_or(ASSERTION_LIFE).as_secs()).unwrap_or(i64::MAX),
        }
    }

    /// The assertion by which an OAuth 2 client shows who it is: about itself, to the token endpoint.
    fn client_jwt(&self) -> Option<Jwt> {
        let client_id = self.user.clone()?;
        let audience = self.token_url.as_ref()?.as_str().to_owned();
        Some(Jwt { issuer: client_id.clone(), subject: Some(client_id), audience, ..self.jwt() })
    }

    fn signing(&self) -> Option<Signing> {
        let place = match (&self.header, &self.query, &self.body_field) {
            (Some(name), ..) => Place::Header(name.clone()),
            (_, Some(name), _) => Place::Query(name.clone()),
            (_, _, Some(name)) => Place::Body(name.clone()),
            _ => return None,
        };
        Some(Signing {
            digest: self.digest,
            key: self.key_form,
            user: self.user.clone(),
            fields: self.fields.value.clone().unwrap_or_default(),
            canonical: self.canonical.value.clone()?,
            output: self.output,
            place,
            value: self.value_or("{{ auth.signature }}")?,
        })
    }
}

fn secret(keys: &mut Keys<'_>, name: &'static str, secret: &mut Option<Held>) {
    keys.optional_section(name, secret);
    keys.require(name, Some("where it lies: { env = \"..\" } or { file = \"..\" }".into()));
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}
