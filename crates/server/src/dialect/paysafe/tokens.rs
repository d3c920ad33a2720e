//! `POST /digitalwallets/v1/auth/brands/{brand}/token`: tokens of back ends, apps and customers (paysafe.md 7.1).

use axum::http::Method;
use axum::http::header::AUTHORIZATION;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use keyherald_core::client::{ApiClient, Scopes};
use keyherald_core::secret::Password;
use keyherald_core::session::Issued;
use serde_json::json;
use zeroize::Zeroizing;

use super::brand::Brand;
use super::reply::{Answer, Problem, Reply, failed};
use super::request::{Request, TokenKind};
use super::route::Route;
use crate::app::{App, Call};
use crate::http::read_body;

pub const ROUTE: Route = Route {
    method: Method::POST,
    path: "/digitalwallets/v1/auth/brands/{brand}/token",
    handle: |request| Box::pin(handle(request)),
};

/// The members of a form.
struct Form(Vec<(String, Zeroizing<String>)>);

impl Form {
    fn parse(body: &[u8]) -> Self {
        let pairs = url::form_urlencoded::parse(body);
        Self(pairs.map(|(name, value)| (name.into_owned(), Zeroizing::new(value.into_owned()))).collect())
    }

    fn take(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(given, value)| given == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// These members, or the answer that names those that are missing.
    fn both(&self, names: [&str; 2]) -> Result<[&str; 2], Problem> {
        match names.map(|name| self.take(name)) {
            [Some(one), Some(other)] => Ok([one, other]),
            found => {
                let missing = names.into_iter().zip(found).filter(|(_, found)| found.is_none());
                Err(Problem::fields(missing.map(|(name, _)| (name.to_owned(), "must not be null")).collect()))
            }
        }
    }
}

async fn handle(request: Request) -> Answer {
    let Request { app, settings, captured, http } = request;
    let brand = settings.brands.named(&captured.0).ok_or_else(Problem::not_found)?;
    tracing::Span::current().record("project", brand.project.as_str());
    let (id, secret) = basic(http.headers()).ok_or_else(Problem::unauthorized)?;
    let client = app.authenticate_client(&id, &secret).await.map_err(failed)?;
    // Of another brand it is as unknown as any other.
    let client = client.filter(|client| client.project == brand.project).ok_or_else(Problem::unauthorized)?;
    let body = Zeroizing::new(read_body(http, settings.body_bytes_max).await?.to_vec());
    let form = Form::parse(&body);
    let issued = match form.take("grant_type") {
        Some("client_credentials") => of_client(&app, &brand, client).await?,
        Some("password") => of_customer(&app, &brand, client, &form).await?,
        Some("refresh_token") => {
            let token = form.take("refresh_token");
            let missing = || Problem::fields(vec![("refresh_token".to_owned(), "must not be null")]);
            let client = with_life(client, brand.configuration_token_s);
            let issued = app.refresh_tokens(client, token.ok_or_else(missing)?).await.map_err(failed)?;
            issued.ok_or_else(Problem::unauthorized)?
        }
        Some(_) => return Err(Problem::unsupported_grant()),
        None => return Err(Problem::fields(vec![("grant_type".to_owned(), "must not be null")])),
    };
    Ok(answer(&brand, &issued))
}

/// What a client is for, its scopes say.
async fn of_client(app: &App, brand: &Brand, client: ApiClient) -> Result<Issued, Problem> {
    let kinds = [(TokenKind::Admin, brand.admin_token_s), (TokenKind::Configuration, brand.configuration_token_s)];
    let held = kinds.into_iter().find(|(kind, _)| client.scopes.hold(&brand.project, kind.permission()));
    let (kind, life_s) = held.ok_or_else(Problem::insufficient_scope)?;
    app.issue_tokens(with_life(client, life_s), scopes(brand, kind), false).await.map_err(failed)
}

async fn of_customer(app: &App, brand: &Brand, client: ApiClient, form: &Form) -> Result<Issued, Problem> {
    let [username, password] = form.both(["username", "password"])?;
    let password = Password::new(password.to_owned()).map_err(|_| Problem::unauthorized())?;
    let client = with_life(client, brand.configuration_token_s);
    let granted = (client, scopes(brand, TokenKind::Customer));
    let credentials = (username.trim().to_owned(), password);
    app.issue_customer_tokens(Call::on(brand.project.clone()), granted, credentials, true).await.map_err(failed)
}

fn with_life(client: ApiClient, access_token_s: i64) -> ApiClient {
    ApiClient { access_token_s, ..client }
}

fn scopes(brand: &Brand, kind: TokenKind) -> Scopes {
    Scopes::parse(&format!("{}:{}", kind.permission().name(), brand.project))
}

fn answer(brand: &Brand, issued: &Issued) -> Reply {
    let is_setup = issued.session.scopes.hold(&brand.project, TokenKind::Configuration.permission());
    let mut body = json!({
        "access_token": issued.access.reveal_with(str::to_owned),
        "expires_in": issued.expires_in_s,
        "token_type": "Bearer",
        "scope": if is_setup { "walletSetup" } else { "whitelabelWallet" },
    });
    if let (Some((refresh, _)), Some(members)) = (&issued.refresh, body.as_object_mut()) {
        members.insert("refresh_token".to_owned(), refresh.reveal_with(str::to_owned).into());
    }
    Reply::new(200, body)
}

/// `Basic base64(urlencode(id):urlencode(secret))`.
fn basic(headers: &axum::http::HeaderMap) -> Option<(String, Zeroizing<String>)> {
    let (scheme, encoded) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let decoded = Zeroizing::new(STANDARD.decode(encoded.trim()).ok()?);
    let (id, secret) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    let clear = |text: &str| {
        let pair = format!("{text}=");
        url::form_urlencoded::parse(pair.as_bytes()).next().map(|(clear, _)| clear.into_owned())
    };
    scheme.eq_ignore_ascii_case("basic").then_some(())?;
    Some((clear(id)?, Zeroizing::new(clear(secret)?)))
}
