//! A request as the endpoints see it, and who is allowed to make it.

use std::sync::Arc;

use axum::http::header::AUTHORIZATION;
use axum::http::{Extensions, HeaderMap};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use keyherald_core::Refusal;
use keyherald_core::activity::Source;
use keyherald_core::client::{ApiClient, Permission};
use keyherald_core::id::{CustomerId, Key, ProjectKey};
use keyherald_core::initiator::Initiator;
use keyherald_core::policy::Surface;
use keyherald_core::refusal::Lookup;
use keyherald_core::session::Session;
use zeroize::Zeroizing;

use super::Settings;
use super::fields::Fields;
use super::parameters::Parameters;
use super::reply::{Named, Problem, failed, refused};
use crate::app::{App, Call, InStore, Repeat};
use crate::http::{self, RequestIds, read_body};

/// Longest external user id in characters (commercetools.md 7.5).
const EXTERNAL_USER_ID_CHARS_MAX: usize = 128;
/// Longest client id that is looked up, in bytes.
const CLIENT_ID_BYTES_MAX: usize = 256;
/// Longest body of a token request.
const FORM_BYTES_MAX: usize = 64 * 1024;

/// What an endpoint is handed.
pub struct Request {
    /// The use cases.
    pub app: App,
    /// What else the dialect was given.
    pub settings: Settings,
    /// The project key in the path, if it can be one.
    pub project: Option<ProjectKey>,
    /// The store's key, if the path is that of a store.
    pub store: Option<String>,
    /// The value that the path names: an id, a key, a token. Empty if its pattern has none.
    pub captured: String,
    /// The request itself.
    pub http: axum::extract::Request,
}

impl Request {
    /// Reads a JSON body, whatever its media type is called.
    pub async fn json(self) -> Result<Fields, Problem> {
        let body = read_body(self.http, self.settings.body_bytes_max).await?;
        Fields::parse(&body)
    }

    /// The same for an endpoint whose caller may repeat the request: the call then knows it by its `Idempotency-Key`.
    pub async fn repeatable_json(self, call: &mut Call) -> Result<Fields, Problem> {
        let Some(key) = idempotency_key(self.http.headers())? else { return self.json().await };
        let (method, path) = (self.http.method().clone(), self.http.uri().path().to_owned());
        let body = read_body(self.http, self.settings.body_bytes_max).await?;
        let request = [method.as_str().as_bytes(), b"\0", path.as_bytes(), b"\0", &body].concat();
        // Of one client, every customer has keys of its own.
        let Initiator { client_id, customer, .. } = &call.by;
        let caller = format!(
            "{} {}",
            client_id.as_deref().unwrap_or_default(),
            customer.map(|id| id.to_string()).unwrap_or_default()
        );
        call.repeatable = Some(Repeat { caller, key, request: Arc::new(Zeroizing::new(request)) });
        Fields::parse(&body)
    }

    /// From where it comes.
    pub fn source(&self) -> Source {
        source(self.http.extensions())
    }

    /// The parameters of the query string.
    pub fn query(&self) -> Result<Parameters, Problem> {
        Parameters::of_query(self.http.uri())
    }

    /// The parameters of a token request: those of its body, then those of its query string.
    pub async fn form(self) -> Result<Parameters, Problem> {
        let query = self.query()?;
        let body = read_body(self.http, self.settings.body_bytes_max.min(FORM_BYTES_MAX)).await?;
        Ok(Parameters::of_form(&body)?.and(query))
    }
}

/// From where a request with these extensions comes.
pub fn source(extensions: &Extensions) -> Source {
    let ids = extensions.get::<RequestIds>();
    Source { correlation_id: ids.and_then(|ids| ids.for_log().parse().ok()), ..Source::default() }
}

/// The call, and whom it is made for, if the access token permits what the endpoint `needs` on the path's project, or
/// on its store.
pub async fn authorize(
    app: &App,
    headers: &HeaderMap,
    source: Source,
    (project, store): (Option<&ProjectKey>, Option<&str>),
    needs: Permission,
) -> Result<(Call, Session), Problem> {
    let token = bearer(headers).ok_or_else(Problem::no_token)?;
    let session = app.authenticate(token).await.map_err(|failure| failed(failure, &Named::default()))?;
    let session = session.ok_or_else(Problem::dead_token)?;
    // A project that does not exist is one that no token has a scope for; so is a store, for a token of one store only.
    let insufficient = || Problem::insufficient_scope(needs.name());
    let project = project.ok_or_else(insufficient)?.clone();
    let sees_others = session.scopes.permit(&project, needs);
    let key: Option<Key> = store.and_then(|store| store.parse().ok());
    let permitted = key.as_ref().is_some_and(|key| session.scopes.permit_in_store(&project, key, needs));
    if !sees_others && !permitted {
        return Err(insufficient());
    }
    let store = match store {
        Some(named) => Some(in_store(app, &project, named, key, sees_others).await?),
        None => None,
    };
    let by = session.initiator(external_user_id(headers)?);
    Ok((Call { project, store, by, source, repeatable: None, surface: Some(Surface::Commercetools) }, session))
}

async fn in_store(
    app: &App,
    project: &ProjectKey,
    named: &str,
    key: Option<Key>,
    sees_others: bool,
) -> Result<InStore, Problem> {
    let key = match key {
        Some(key) => app.has_store(project.clone(), key.clone()).await.map(|there| there.then_some(key)),
        None => Ok(None), // no store has such a key
    };
    let key = key.map_err(|failure| failed(failure, &Named::default()))?;
    let key = key.ok_or_else(|| Named::key(named).key_not_found())?;
    Ok(InStore { key, sees_others })
}

/// The customer whom a token stands for (commercetools.md 1.4).
pub fn customer(session: &Session) -> Result<CustomerId, Problem> {
    match session.customer {
        Some(customer) => Ok(customer),
        None if session.anonymous_id.is_some() => {
            Err(refused(&Refusal::CustomerNotFound(Lookup::Id), &Named::id("me")))
        }
        None => Err(Problem::not_a_customer()),
    }
}

/// The API client whose id and secret are in `headers`.
pub async fn client(app: &App, headers: &HeaderMap) -> Result<ApiClient, Problem> {
    let (id, secret) = basic(headers).ok_or_else(Problem::invalid_client)?;
    let client = app.authenticate_client(&id, &secret).await.map_err(|failure| failed(failure, &Named::default()))?;
    client.ok_or_else(Problem::invalid_client)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Client id and secret. Not form-encoded first, as RFC 6749 would have it: the contract's clients do not.
fn basic(headers: &HeaderMap) -> Option<(String, Zeroizing<String>)> {
    let (scheme, encoded) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = Zeroizing::new(STANDARD.decode(encoded.trim()).ok()?);
    let (id, secret) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    let can_be_one = !id.is_empty() && id.len() <= CLIENT_ID_BYTES_MAX && !id.contains('\0');
    can_be_one.then(|| (id.to_owned(), Zeroizing::new(secret.to_owned())))
}

/// `Idempotency-Key`: 1 to 255 visible characters.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    http::idempotency_key(headers).map_err(|http::NotAKey| {
        Problem::malformed_parameter(http::IDEMPOTENCY_KEY, "Expected 1 to 255 visible ASCII characters.")
    })
}

/// `X-External-User-ID`: at most 128 visible characters.
fn external_user_id(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(sent) = headers.get("x-external-user-id") else { return Ok(None) };
    let text = std::str::from_utf8(sent.as_bytes()).unwrap_or("\0").trim();
    if text.chars().any(char::is_control) || text.chars().count() > EXTERNAL_USER_ID_CHARS_MAX {
        let why = format!("Expected at most {EXTERNAL_USER_ID_CHARS_MAX} visible characters.");
        return Err(Problem::malformed_parameter("X-External-User-ID", why));
    }
    Ok((!text.is_empty()).then(|| text.to_owned()))
}
