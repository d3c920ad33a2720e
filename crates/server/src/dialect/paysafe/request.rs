//! A request as the endpoints see it, and who is allowed to make it (paysafe.md 2.2, 3.1, 7.1).

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use keyherald_core::activity::Source;
use keyherald_core::client::Permission;
use keyherald_core::id::CustomerId;
use keyherald_core::initiator::Initiator;
use keyherald_core::secret::TokenDigest;
use keyherald_core::session::Session;
use zeroize::Zeroizing;

use super::Settings;
use super::brand::Brand;
use super::fields::Fields;
use super::reply::{Problem, failed};
use super::route::Captured;
use crate::app::{App, Call, Repeat};
use crate::http::{self, Peer, RequestIds, read_body};

/// The partner's signature of a request.
const SIGNATURE: &str = "Signature";

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// A partner's back end.
    Admin,
    /// An app, before anybody has signed in.
    Configuration,
    /// A customer.
    Customer,
}

impl TokenKind {
    const ALL: [Self; 3] = [Self::Admin, Self::Configuration, Self::Customer];

    /// The scope that says so.
    pub fn permission(self) -> Permission {
        match self {
            Self::Admin => Permission::WalletAdmin,
            Self::Configuration => Permission::WalletSetup,
            Self::Customer => Permission::WalletCustomer,
        }
    }

    fn of(session: &Session) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| session.scopes.hold(&session.project, kind.permission()))
    }
}

/// What an endpoint is handed.
pub struct Request {
    /// The use cases.
    pub app: App,
    /// What the dialect was given.
    pub settings: Settings,
    /// What stands on the path.
    pub captured: Captured,
    /// The request itself.
    pub http: axum::extract::Request,
}

/// A request whose caller is known and whose body was read.
pub struct Received {
    /// The use cases.
    pub app: App,
    /// The caller's brand.
    pub brand: Arc<Brand>,
    /// The kind of its token.
    pub kind: TokenKind,
    /// The call that it makes.
    pub call: Call,
    /// The customer who calls, with a token of that kind.
    pub customer: Option<CustomerId>,
    /// The token.
    pub token: TokenDigest,
    /// Where it comes from.
    pub source: Option<IpAddr>,
    /// What stands on the path.
    pub captured: String,
}

impl Request {
    /// Looks at the token, then at the signature, then reads the body.
    pub async fn received(self, allowed: &[TokenKind]) -> Result<(Received, Fields), Problem> {
        let (received, _, body) = self.authorized(allowed).await?;
        Ok((received, Fields::parse(&body)?))
    }

    /// The same for a request without a body: its members stand in the query.
    pub async fn asked(self, allowed: &[TokenKind]) -> Result<(Received, Fields), Problem> {
        let (received, query, _) = self.authorized(allowed).await?;
        Ok((received, Fields::of_query(&query)))
    }

    /// The caller, the query and the body.
    async fn authorized(self, allowed: &[TokenKind]) -> Result<(Received, String, Zeroizing<Vec<u8>>), Problem> {
        let Self { app, settings, captured, http } = self;
        let token = Zeroizing::new(bearer(http.headers()).ok_or_else(Problem::unauthorized)?.to_owned());
        let session = app.authenticate(&token).await.map_err(failed)?.ok_or_else(Problem::unauthorized)?;
        let brand = settings.brands.of_project(&session.project).ok_or_else(Problem::unauthorized)?;
        tracing::Span::current().record("project", brand.project.as_str());
        let kind = TokenKind::of(&session).filter(|kind| allowed.contains(kind));
        let kind = kind.ok_or_else(Problem::insufficient_scope)?;
        let ids = http.extensions().get::<RequestIds>();
        let source = Source { correlation_id: ids.and_then(|ids| ids.for_log().parse().ok()), ..Source::default() };
        let mut call = Call { by: session.initiator(None), source, ..Call::on(brand.project.clone()) };
        let from = http.extensions().get::<Peer>().map(|peer| peer.0);
        let (method, uri) = (http.method().clone(), http.uri().clone());
        let signed = http.headers().get(SIGNATURE).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let key = http::idempotency_key(http.headers());
        let body = Zeroizing::new(read_body(http, settings.body_bytes_max).await?.to_vec());
        if let Some(secret) = &brand.signing_secret {
            let is_signed = |signed| secret.verify(if body.is_empty() { uri.path().as_bytes() } else { &body }, signed);
            if !signed.as_deref().is_some_and(is_signed) {
                return Err(Problem::invalid_signature());
            }
        }
        let wrong_key =
            |_| Problem::fields(vec![(http::IDEMPOTENCY_KEY.to_owned(), "must be 1 to 255 visible characters")]);
        call.repeatable = key.map_err(wrong_key)?.map(|key| {
            let request = [method.as_str().as_bytes(), b"\0", uri.path().as_bytes(), b"\0", &body].concat();
            Repeat { caller: repeater(&call), key, request: Arc::new(Zeroizing::new(request)) }
        });
        let query = uri.query().unwrap_or_default().to_owned();
        let customer = session.customer;
        let token = TokenDigest::of(token.as_str());
        Ok((Received { app, brand, kind, call, customer, token, source: from, captured: captured.0 }, query, body))
    }
}

/// Whose `Idempotency-Key` it is. Of one client, every customer has keys of its own.
fn repeater(call: &Call) -> String {
    let Initiator { client_id, customer, .. } = &call.by;
    let customer = customer.map(|id| id.to_string()).unwrap_or_default();
    format!("{} {customer}", client_id.as_deref().unwrap_or_default())
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
