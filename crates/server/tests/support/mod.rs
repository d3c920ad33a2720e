//! A server for tests, in this process and without a socket: an embedded store (or PostgreSQL), a clock moved by hand,
//! seeded chance, cheap hashes. Other test targets take it in with `#[path = "../support/mod.rs"] mod support;`.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's own setting has no other way to fail")]

pub mod cost;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::BodyExt;
use keyherald::app::{App, Call};
use keyherald::clock::{ManualClock, Moments, Seeded};
use keyherald::deliver::{Opener, opener};
use keyherald::destination::{Context, Policy};
use keyherald::dialect::naviga::Tenants;
use keyherald::dialect::paysafe::Brands;
use keyherald::hash::{HashOptions, HashPool};
use keyherald::http::{Frame, framed};
use keyherald::operate::{Operations, Providers, Settings};
use keyherald::outbound::client::{ClientSettings, http_client};
use keyherald::outbox::Outbox;
use keyherald_core::client::Scopes;
use keyherald_core::create::{self, AddressUse};
use keyherald_core::credential::AuthenticationMode;
use keyherald_core::customer::{Customer, Profile};
use keyherald_core::id::ProjectKey;
use keyherald_core::initiator::Initiator;
use keyherald_core::project::{Configured, MessagesSetting};
use keyherald_core::seal::{KeyRing, SealingKey};
use keyherald_core::secret::{Password, TokenDigest};
use keyherald_core::{Micros, shop};
use keyherald_store::StoreOptions;
use keyherald_store::engine::Inject;
use keyherald_store::testing::TestStore;
use serde_json::Value;
use tokio::sync::watch;
use tower::ServiceExt;

/// When the clock stands at first: 2026-03-04T05:06:07.890Z.
pub const START: Micros = Micros(1_772_600_767_890_000);
/// Longest request body.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// A server, and what it runs on.
pub struct TestServer {
    /// Its use cases.
    pub app: App,
    /// Its clock.
    pub clock: Arc<ManualClock>,
    /// What is served.
    pub router: Router,
    // Last: the database goes when nothing uses it any more.
    store: TestStore,
}

/// A response, read to its end.
#[derive(Debug)]
pub struct Answered {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
}

impl Answered {
    /// The body as JSON; `null` if there is none.
    pub fn json(&self) -> Value {
        if self.body.is_empty() { Value::Null } else { serde_json::from_slice(&self.body).unwrap() }
    }
}

/// Senders that reach nobody: every address of this machine is private. One client for all servers: making one reads the system's
/// certificates.
static OPENER: LazyLock<Opener> = LazyLock::new(|| {
    let timeout = Duration::from_secs(20);
    let (policy, tls) = (Policy::default(), None);
    let guard = policy.guard.clone();
    let client = ClientSettings { guard, connect_timeout: timeout, attempt_timeout: timeout, idle_max: 1, tls };
    let http = http_client(&client).unwrap();
    let (office, switchboard, wallets) = (None, None, None);
    opener(Context { http, policy, attempt_timeout: timeout, office, switchboard, wallets, google: None })
});

impl TestServer {
    /// On SQLite.
    pub async fn sqlite() -> Self {
        Self::on(TestStore::sqlite().await).await
    }

    /// On the PostgreSQL of `KEYHERALD_TEST_POSTGRES`.
    pub async fn postgres() -> Self {
        Self::on(TestStore::postgres().await).await
    }

    /// On SQLite, with a store that fails when it is told to.
    pub async fn failing(inject: Inject) -> Self {
        let store = TestStore::sqlite_with(&StoreOptions { inject: Some(inject), ..StoreOptions::default() });
        store.migrate(START).await.unwrap();
        Self::on(store).await
    }

    /// With the projects `demo` (messages enabled) and `other` (not), each with a client that may do everything:
    /// `demo-client` / `demo-secret` and `other-client` / `other-secret`.
    async fn on(store: TestStore) -> Self {
        Self::with(store, Providers::default(), Settings::default()).await
    }

    /// The same with identity providers. Operations are performed by whoever runs them.
    pub async fn with(store: TestStore, providers: Providers, settings: Settings) -> Self {
        Self::with_tenants(store, providers, settings, Tenants::default()).await
    }

    /// The same with Naviga tenants.
    pub async fn with_tenants(store: TestStore, providers: Providers, settings: Settings, tenants: Tenants) -> Self {
        Self::with_dialects(store, (providers, settings), (tenants, Brands::default(), Outbox::default())).await
    }

    /// The same with Paysafe brands as well, and what their partners are told.
    pub async fn with_dialects(
        store: TestStore,
        (providers, settings): (Providers, Settings),
        (tenants, brands, outbox): (Tenants, Brands, Outbox),
    ) -> Self {
        let outbox = Arc::new(outbox);
        let clock = Arc::new(ManualClock::at(START));
        let moments = Moments::new(clock.clone(), Arc::new(Seeded::new(7)));
        let options = HashOptions {
            memory_kib: 8,
            passes: 1,
            workers: Some(2),
            queue_max: 4096,
            deadline: Duration::from_mins(1),
            ..HashOptions::default()
        };
        let ring = Arc::new(KeyRing::new(vec![SealingKey::new("test", [7; 32]).unwrap()]).unwrap());
        let app = App {
            store: (*store).clone(),
            hash: Arc::new(HashPool::start(&options).unwrap()),
            moments: moments.clone(),
            ring: ring.clone(),
            destinations: Arc::default(),
            opener: OPENER.clone(),
            test_timeout: Duration::from_secs(20),
            outbox: outbox.clone(),
            operations: Operations::new((*store).clone(), ring, moments.clone(), (providers, outbox), settings),
            passwords: <_>::default(),
            recorder: <_>::default(),
            feed: <_>::default(),
            subscriptions_changed: Arc::new(watch::Sender::new(0)),
        };
        let router = routed(&app, tenants, brands);
        let server = Self { app, clock, router, store };
        for (project, enabled) in [("demo", true), ("other", false)] {
            server.project(project, enabled).await;
            server.client(project, &format!("{project}-client"), &format!("manage_project:{project}")).await;
        }
        server
    }

    /// The same server, if this is what its destinations may be.
    pub fn sending(mut self, policy: Policy) -> Self {
        let timeout = Duration::from_secs(20);
        let guard = policy.guard.clone();
        let client =
            ClientSettings { guard, connect_timeout: timeout, attempt_timeout: timeout, idle_max: 1, tls: None };
        let (http, destinations) = (http_client(&client).unwrap(), Arc::new(policy.clone()));
        let (office, switchboard, wallets) = (None, None, None);
        let opener =
            opener(Context { http, policy, attempt_timeout: timeout, office, switchboard, wallets, google: None });
        self.app = App { destinations, opener, ..self.app };
        self.router = routed(&self.app, Tenants::default(), Brands::default());
        self
    }

    /// Makes sure that there is such a project.
    pub async fn project(&self, key: &str, messages_enabled: bool) {
        self.configured(key, messages_enabled, &[]).await;
    }

    /// What a start does with a project of the configuration.
    pub async fn configured(&self, key: &str, messages_enabled: bool, languages: &[&str]) {
        let messages = Some(MessagesSetting { enabled: messages_enabled, days: 15 });
        let languages = languages.iter().map(|tag| tag.parse().unwrap()).collect();
        let configured = Configured { name: key.to_owned(), languages, messages };
        self.app.ensure_project(key.parse().unwrap(), configured).await.unwrap();
    }

    /// Makes a store of the project `demo`.
    pub async fn shop(&self, key: &str) {
        let call = Call::on("demo".parse().unwrap());
        let key = key.parse().unwrap();
        let (name, languages, countries) = <_>::default();
        self.app
            .create_store(call, shop::Command { key, name, languages, countries, by: <_>::default() })
            .await
            .unwrap();
    }

    /// Makes a customer of the project `demo`.
    pub async fn customer(&self, email: &str, password: &str) -> Customer {
        self.customer_of("demo", email, password).await
    }

    /// Makes a customer of a project.
    pub async fn customer_of(&self, project: &str, email: &str, password: &str) -> Customer {
        self.customer_with(project, email, password, None).await
    }

    /// The same with a mobile number.
    pub async fn customer_with(&self, project: &str, email: &str, password: &str, mobile: Option<&str>) -> Customer {
        let call = Call::on(project.parse().unwrap());
        let command = create::Command {
            email: email.to_owned(),
            key: None,
            external_id: None,
            customer_number: None,
            mobile: mobile.map(|number| number.parse().unwrap()),
            stores: Vec::new(),
            authentication_mode: AuthenticationMode::Password,
            is_email_verified: false,
            profile: Profile::default(),
            addresses: AddressUse::default(),
            by: Initiator::default(),
        };
        let password = Password::new(password.to_owned()).ok();
        self.app.create_customer(call, command, password).await.unwrap()
    }

    /// Makes a client `NAME-client` with the secret `NAME-secret`.
    pub async fn client(&self, project: &str, id: &str, scopes: &str) {
        let project: ProjectKey = project.parse().unwrap();
        let secret = TokenDigest::of(&id.replace("-client", "-secret"));
        self.app.put_client(project, id.to_owned(), id.to_owned(), secret, Scopes::parse(scopes)).await.unwrap();
    }

    /// An access token of a client.
    pub async fn token(&self, client: &str) -> String {
        let headers = [("authorization", basic(client)), ("content-type", "application/x-www-form-urlencoded".into())];
        let answered = self.send(Method::POST, "/oauth/token", &headers, "grant_type=client_credentials").await;
        assert_eq!(answered.status, StatusCode::OK, "{answered:?}");
        answered.json().get("access_token").and_then(Value::as_str).unwrap().to_owned()
    }

    /// Sends a request and reads the answer. Holds what must hold for every one.
    pub async fn send(&self, method: Method, uri: &str, headers: &[(&str, String)], body: impl Into<Body>) -> Answered {
        let is_head = method == Method::HEAD;
        let mut request = Request::new(body.into());
        *request.method_mut() = method;
        *request.uri_mut() = uri.parse().unwrap();
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            request.headers_mut().insert(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        let answered = Answered { status: parts.status, headers: parts.headers, body };
        let may_be_empty = is_head || [StatusCode::ACCEPTED, StatusCode::NO_CONTENT].contains(&answered.status);
        assert!(may_be_empty || !answered.body.is_empty(), "{uri} {answered:?}");
        let is_json = ["application/json; charset=utf-8", "application/json"].map(HeaderValue::from_static);
        assert!(is_head || answered.body.is_empty() || is_json.contains(&answered.headers["content-type"]));
        assert!(!answered.headers["x-correlation-id"].is_empty());
        answered
    }

    /// Sends JSON with an access token.
    pub async fn json(&self, token: &str, method: Method, uri: &str, body: &Value) -> Answered {
        let headers = [("authorization", format!("Bearer {token}")), ("content-type", "application/json".into())];
        self.send(method, uri, &headers, if body.is_null() { String::new() } else { body.to_string() }).await
    }

    /// The store, for its counters.
    pub fn store(&self) -> &TestStore {
        &self.store
    }
}

/// What a server answers, of these dialects.
pub fn routed(app: &App, tenants: Tenants, brands: Brands) -> Router {
    let frame = Frame {
        moments: app.moments.clone(),
        header_bytes_max: 16 * 1024,
        request_timeout: Duration::from_mins(1),
        body_timeout: Duration::from_secs(15),
        origins: Vec::new(),
        trusted_proxies: Vec::new(),
        reply: keyherald::dialect::frame_reply(&tenants, &brands),
        requests: keyherald::telemetry::metrics::Requests::default(),
        tracer: keyherald::trace::Tracer::default(),
        keeps_tracestate: false,
    };
    framed(keyherald::dialect::router(app.clone(), BODY_BYTES_MAX, tenants, brands), frame)
}

/// The `Authorization` of a client made by [`TestServer::client`].
pub fn basic(client: &str) -> String {
    let secret = client.replace("-client", "-secret");
    format!("Basic {}", STANDARD.encode(format!("{client}:{secret}")))
}
