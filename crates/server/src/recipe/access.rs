//! How we show a provider who we are. Secrets are not in here: a recipe may be printed.

use url::Url;

use super::op::{Op, WaitForm};
use super::predicate::Statuses;
use super::source::Source;
use super::template::Template;

/// The ways.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Access {
    /// Not at all: the network is what protects the provider.
    #[default]
    None,
    /// A value, in one place of each request.
    Value {
        /// Where.
        place: Place,
        /// What; with `auth.secret`.
        value: Template,
    },
    /// HTTP's basic authentication.
    Basic {
        /// The name; the password is the secret.
        user: String,
    },
    /// A token that is fetched, or made, and kept until shortly before it ends.
    Token(Box<Token>),
    /// A signature of each request.
    Signed(Box<Signing>),
    /// AWS Signature Version 4; the second secret is the token of temporary access.
    AwsSigV4 {
        /// Whose key it is; the key is the secret.
        access_key_id: String,
        /// Where, such as `eu-central-1`.
        region: String,
        /// For what, such as `cognito-idp`.
        service: String,
    },
    /// OAuth 1.0a with HMAC-SHA1; the secret is the consumer's, the second secret the token's.
    OAuth1 {
        /// The consumer.
        consumer_key: String,
        /// The token, where there is one.
        token: Option<String>,
        /// The realm, where there is one.
        realm: Option<String>,
    },
}

/// Where something is put into a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A header.
    Header(String),
    /// A parameter of the query.
    Query(String),
    /// A field at the top of the body.
    Body(String),
}

impl Place {
    /// The same kind of place under another name.
    pub fn named(&self, name: String) -> Self {
        match self {
            Self::Header(_) => Self::Header(name),
            Self::Query(_) => Self::Query(name),
            Self::Body(_) => Self::Body(name),
        }
    }
}

/// A token, and how it is used.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// Where it comes from.
    pub source: TokenSource,
    /// The header that carries it.
    pub header: String,
    /// What stands there; with `auth.token`.
    pub value: Template,
    /// How long before its end it is replaced, in microseconds.
    pub early_us: i64,
    /// The statuses that mean that it is refused: it is replaced, and the request repeated once.
    pub renew_on: Statuses,
}

/// Where tokens come from.
#[derive(Clone, Debug, PartialEq)]
pub enum TokenSource {
    /// OAuth 2, grant `client_credentials`.
    ClientCredentials {
        /// The token endpoint.
        url: Url,
        /// Who we are.
        client_id: String,
        /// How the client is authenticated.
        style: ClientStyle,
        /// What is asked for.
        scope: Option<String>,
        /// For whom.
        audience: Option<String>,
    },
    /// OAuth 2, grant `jwt-bearer` (RFC 7523).
    Assertion {
        /// The token endpoint.
        url: Url,
        /// The assertion.
        jwt: Jwt,
        /// What is asked for.
        scope: Option<String>,
    },
    /// A JWT that we sign ourselves.
    SelfSigned(Jwt),
    /// A call of the provider's own.
    Call {
        /// The call. Its path is below the base URL; it has `auth.user` and `auth.secret`.
        op: Box<Op>,
        /// As whom.
        user: Option<String>,
        /// Where the token is in its answer.
        token: Source,
        /// When it ends, where the answer says so.
        ends: Option<(Source, WaitForm)>,
        /// How long it lives otherwise, in microseconds.
        life_us: i64,
    },
}

/// How an OAuth 2 client is authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientStyle {
    /// In the header.
    Basic,
    /// In the body.
    Body,
    /// By a signed assertion.
    PrivateKeyJwt(Jwt),
}

/// A signed JWT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jwt {
    /// `iss`
    pub issuer: String,
    /// `sub`, where the token endpoint wants one.
    pub subject: Option<String>,
    /// `aud`
    pub audience: String,
    /// `alg`
    pub algorithm: JwtAlgorithm,
    /// `kid`
    pub key_id: Option<String>,
    /// Its life in seconds.
    pub life_s: i64,
}

/// How a JWT is signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in RFC 7518")]
pub enum JwtAlgorithm {
    #[default]
    Rs256,
    Es256,
    Hs256,
}

impl JwtAlgorithm {
    /// Each, by its name.
    pub const NAMES: [(&'static str, Self); 3] =
        [("RS256", Self::Rs256), ("ES256", Self::Es256), ("HS256", Self::Hs256)];
}

/// An HMAC over each request.
#[derive(Clone, Debug, PartialEq)]
pub struct Signing {
    /// The digest.
    pub digest: Digest,
    /// How the secret writes the key.
    pub key: KeyForm,
    /// Who we are, for `auth.user`.
    pub user: Option<String>,
    /// What is added before it is signed, in the same kind of place as the signature.
    pub fields: Vec<(String, Template)>,
    /// What is signed.
    pub canonical: Template,
    /// How the signature is written.
    pub output: OutputForm,
    /// Where it goes.
    pub place: Place,
    /// What stands there; with `auth.signature`.
    pub value: Template,
}

/// A digest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "their names are all there is to say")]
pub enum Digest {
    Sha1,
    #[default]
    Sha256,
    Sha512,
}

impl Digest {
    /// Each, by its name in the configuration.
    pub const NAMES: [(&'static str, Self); 3] =
        [("sha1", Self::Sha1), ("sha256", Self::Sha256), ("sha512", Self::Sha512)];
}

/// How a key is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "their names are all there is to say")]
pub enum KeyForm {
    #[default]
    Utf8,
    Base64,
    Hex,
}

impl KeyForm {
    /// Each, by its name in the configuration.
    pub const NAMES: [(&'static str, Self); 3] = [("utf8", Self::Utf8), ("base64", Self::Base64), ("hex", Self::Hex)];
}

/// How a signature is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "their names are all there is to say")]
pub enum OutputForm {
    Base64,
    #[default]
    Hex,
}

impl OutputForm {
    /// Each, by its name in the configuration.
    pub const NAMES: [(&'static str, Self); 2] = [("base64", Self::Base64), ("hex", Self::Hex)];
}

impl Access {
    /// Who we are, for `auth.user`.
    pub fn user(&self) -> Option<&str> {
        match self {
            Self::None | Self::Value { .. } => None,
            Self::Basic { user }
            | Self::OAuth1 { consumer_key: user, .. }
            | Self::AwsSigV4 { access_key_id: user, .. } => Some(user),
            Self::Signed(signing) => signing.user.as_deref(),
            Self::Token(token) => match &token.source {
                TokenSource::ClientCredentials { client_id, .. } => Some(client_id),
                TokenSource::Assertion { jwt, .. } | TokenSource::SelfSigned(jwt) => Some(&jwt.issuer),
                TokenSource::Call { user, .. } => user.as_deref(),
            },
        }
    }

    /// Whether the secret is a text that may stand in the body of a call: not so a key.
    pub fn has_plain_secret(&self) -> bool {
        match self {
            Self::None | Self::Signed(_) | Self::AwsSigV4 { .. } | Self::OAuth1 { .. } => false,
            Self::Value { .. } | Self::Basic { .. } => true,
            Self::Token(token) => match &token.source {
                TokenSource::ClientCredentials { style, .. } => !matches!(style, ClientStyle::PrivateKeyJwt(_)),
                TokenSource::Call { .. } => true,
                TokenSource::Assertion { .. } | TokenSource::SelfSigned(_) => false,
            },
        }
    }

    /// The URL besides the base URL that it calls.
    pub fn url(&self) -> Option<&Url> {
        match self {
            Self::Token(token) => match &token.source {
                TokenSource::ClientCredentials { url, .. } | TokenSource::Assertion { url, .. } => Some(url),
                TokenSource::SelfSigned(_) | TokenSource::Call { .. } => None,
            },
            _ => None,
        }
    }
}
