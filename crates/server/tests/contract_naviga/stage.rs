//! A server with Naviga tenants, and tokens of their callers.

use axum::http::Method;
use keyherald::dialect::naviga::{PasswordRules, Tenant, Tenants, UserProvider};
use keyherald::jwt::{Algorithm, Keys, SigningKey, Verifier};
use keyherald::operate::{Providers, Settings};
use keyherald_core::Micros;
use keyherald_store::testing::TestStore;
use serde_json::{Value, json};

use crate::support::{Answered, TestServer};

pub const SECRET: &str = "a secret of the tenant, with thirty-two bytes";
const OTHER_SECRET: &str = "another secret, of another tenant altogether";

/// The tenant `GROUP` / `CLIENT` / `PAPER`, which is the project `demo`.
pub fn tenant() -> Tenant {
    Tenant {
        project: "demo".parse().unwrap(),
        client_group: "GROUP".into(),
        client: "CLIENT".into(),
        paper: "PAPER".into(),
        provider: None,
        callers: Verifier { algorithm: Algorithm::Hs256, keys: Keys::secret(SECRET), issuer: None, audience: None },
        source_systems: Vec::new(),
        unknown_user_is_404: false,
        keep_local_hash: true,
        change_password_url: None,
        return_url: None,
        return_hosts: vec!["paper.example".into()],
        event_ids: std::collections::BTreeMap::new(),
        password_rules: PasswordRules::default(),
    }
}

/// The tenant `GROUP` / `CLIENT` / `SUNDAY`, which is the project `other`: strict, and with other settings.
pub fn other_tenant() -> Tenant {
    Tenant {
        project: "other".parse().unwrap(),
        paper: "SUNDAY".into(),
        callers: Verifier { keys: Keys::secret(OTHER_SECRET), ..tenant().callers },
        source_systems: vec!["ExternalSystem".into()],
        unknown_user_is_404: true,
        password_rules: PasswordRules { chars_min: Some(8), complex: true, life: Some(90 * Micros::DAY) },
        ..tenant()
    }
}

pub async fn serve(store: TestStore) -> TestServer {
    let tenants = Tenants::of([tenant(), other_tenant()]);
    TestServer::with_tenants(store, Providers::default(), Settings::default(), tenants).await
}

/// With the tenant's users at a provider.
pub async fn serve_with(providers: Providers, settings: Settings, provider: UserProvider, keep: bool) -> TestServer {
    let tenants = Tenants::of([Tenant { provider: Some(provider), keep_local_hash: keep, ..tenant() }]);
    TestServer::with_tenants(TestStore::sqlite().await, providers, settings, tenants).await
}

/// The same on this store.
pub async fn serve_users(
    store: TestStore,
    providers: Providers,
    settings: Settings,
    provider: UserProvider,
) -> TestServer {
    let tenants = Tenants::of([Tenant { provider: Some(provider), ..tenant() }]);
    TestServer::with_tenants(store, providers, settings, tenants).await
}

pub fn token() -> String {
    signed(SECRET, &json!({"sub": "ExternalSystem"}))
}

pub fn other_token() -> String {
    signed(OTHER_SECRET, &json!({}))
}

pub fn signed(secret: &str, claims: &Value) -> String {
    SigningKey::secret(secret).sign(claims.as_object().unwrap(), None).unwrap()
}

/// The headers of a call for the tenant.
pub fn headers() -> Vec<(&'static str, String)> {
    vec![
        ("authorization", format!("Bearer {}", token())),
        ("x-sourcesystem", "ExternalSystem".into()),
        ("x-clientcode", "CLIENT".into()),
        ("x-papercode", "PAPER".into()),
        ("x-clientgroupcode", "GROUP".into()),
    ]
}

/// `PATCH .../Password`.
pub async fn patch(server: &TestServer, crid: &str, password: &str) -> Answered {
    patch_with(server, crid, password, &[]).await
}

/// The same with more headers.
pub async fn patch_with(server: &TestServer, crid: &str, password: &str, more: &[(&'static str, &str)]) -> Answered {
    let mut headers = headers();
    headers.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
    let body = json!({"password": password}).to_string();
    server.send(Method::PATCH, &format!("/v4/Users/{crid}/Password"), &headers, body).await
}

/// The code of an answer in the envelope of today.
pub fn code(answered: &Answered) -> String {
    answered.json()["message"]["code"].as_str().unwrap_or_default().to_owned()
}
