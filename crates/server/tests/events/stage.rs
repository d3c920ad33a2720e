//! A server whose project `demo` is a brand, customers who recover their passwords, and a relay that can be stopped.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use keyherald::app::events::{Asked, Listed, Wanted};
use keyherald::app::verify_identifier::Verifying;
use keyherald::app::{App, Call};
use keyherald::clock::{Clock, ManualClock};
use keyherald::config::{self, RequiredIdentifiers};
use keyherald::deliver::{Relay, Settings, opener};
use keyherald::destination::paysafe::{self, Secrets};
use keyherald::destination::{Context, Policy};
use keyherald::dialect::paysafe::{self as paysafe_dialect, Brands};
use keyherald::format::paysafe_credentials_event::Profile;
use keyherald::outbound::client::{ClientSettings, http_client};
use keyherald::outbound::guard::Guard;
use keyherald::outbox::{Brand, Outbox};
use keyherald_core::Micros;
use keyherald_core::body_signature::SigningSecret;
use keyherald_core::credentials_event::ChangeType;
use keyherald_core::customer::Customer;
use keyherald_core::delivery::BreakerSettings;
use keyherald_core::event::{EventType, Sending};
use keyherald_core::secret::Password;
use keyherald_core::token;
use keyherald_core::verification::{Kind, Limits};
use keyherald_store::event::{self, Body};
use keyherald_store::testing::TestStore;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::partner::{Partner, SECRET};
use crate::support::{TestServer, basic, routed};

const PATIENCE: Duration = Duration::from_secs(30);
/// How long a code can be tried.
pub const CODE_LIFE: i64 = 100 * Micros::DAY;
const VERIFICATIONS: &str = "/digitalwallets/v1/wallet-setup/verifications";

pub struct Stage {
    pub app: App,
    pub clock: Arc<ManualClock>,
    pub partner: Partner,
    pub url: String,
    server: TestServer,
    tasks: JoinSet<()>,
    relay: Option<(oneshot::Sender<()>, JoinSet<()>)>,
}

/// As the configuration has it by default; resets by mailed tokens are told.
pub fn brand() -> Brand {
    Brand {
        name: "demo".into(),
        profile: Profile::Schema,
        extensions: false,
        changes: vec![ChangeType::PasswordRecovery],
        token_resets: true,
        kept: 30 * Micros::DAY,
    }
}

/// Where events go, with the time-outs of the contract.
pub fn settings(url: &str) -> paysafe::Settings {
    let url_of = |event_type| paysafe::url_of(Some(url), None, event_type).unwrap();
    paysafe::Settings {
        urls: EventType::ALL.into_iter().map(|event| (event.as_str().to_owned(), url_of(event))).collect(),
        is_signed: true,
        extra_headers: false,
        retry_statuses: Vec::new(),
        connect_timeout_ms: 3000,
        total_timeout_ms: 10_000, // an answer that is late on a busy machine would be another try
        base_s: 5,
        cap_s: 3600,
        is_jittered: true,
        retry_after_cap_s: 86_400,
        park_other_4xx_after: 20,
        max_attempts: None,
        max_age_s: None,
    }
}

pub fn secrets() -> Secrets {
    Secrets { active: SigningSecret::parse(SECRET).unwrap(), next: None }
}

/// Whose processes, whose codes the partner delivers, outlive the hours that pass here.
fn dialect() -> paysafe_dialect::Brand {
    paysafe_dialect::Brand {
        name: "demo".into(),
        project: "demo".parse().unwrap(),
        verifying: Verifying {
            limits: Limits { code_life: CODE_LIFE, resend_interval: 0, ..Limits::default() },
            partner_tells: true,
            ..Verifying::default()
        },
        success_status: 201,
        success_value: "VERIFIED".into(),
        admin_token_s: 36_000,
        configuration_token_s: 2 * CODE_LIFE / Micros::SECOND,
        required: RequiredIdentifiers { any_of: Kind::ALL.to_vec(), all_of: Vec::new() },
        rule: config::Paysafe::default().rule(),
        credentials_status: 200,
        requires_app_type: true,
        signing_secret: None,
        hosted: None,
    }
}

impl Stage {
    pub async fn on(store: TestStore) -> Self {
        let dialects = (<_>::default(), Brands::of([dialect()]), <_>::default());
        let server = TestServer::with_dialects(store, <_>::default(), dialects).await;
        let (partner, mut tasks) = (Partner::default(), JoinSet::new());
        let url = partner.listen(&mut tasks).await;
        let (app, clock) = (server.app.clone(), server.clock.clone());
        let mut stage = Self { app, clock, partner, url, server, tasks, relay: None };
        stage.brands(&[("demo", brand())]);
        stage.send_to("demo", settings(&stage.url)).await;
        stage.start();
        stage
    }

    /// The same brand with other settings of its processes.
    pub fn serve(&mut self, change: impl FnOnce(&mut Verifying)) {
        let mut brand = dialect();
        change(&mut brand.verifying);
        self.server.router = routed(&self.server.app, <_>::default(), Brands::of([brand]));
    }

    /// What partners are told from now on.
    pub fn brands(&mut self, brands: &[(&str, Brand)]) {
        let brands = brands.iter().map(|(project, brand)| (project.parse().unwrap(), brand.clone()));
        self.app.outbox = Arc::new(Outbox(brands.collect::<BTreeMap<_, _>>()));
    }

    /// Where a project's events go from now on.
    pub async fn send_to(&self, project: &str, settings: paysafe::Settings) {
        self.wants(project, Some((settings, Some(secrets())))).await;
    }

    pub async fn wants(&self, project: &str, wanted: Option<(paysafe::Settings, Option<Secrets>)>) {
        let wanted = wanted.map(|(settings, secrets)| {
            let types = EventType::ALL.to_vec();
            Wanted { types, is_signed: settings.is_signed, settings, secrets }
        });
        self.app.ensure_events(project.parse().unwrap(), wanted).await.unwrap();
        self.app.subscriptions_changed.send_modify(|changes| *changes += 1);
    }

    /// Starts a relay, as another process would after the last one.
    pub fn start(&mut self) {
        let guard = Guard::open();
        let client = ClientSettings {
            guard: guard.clone(),
            connect_timeout: Duration::from_secs(5),
            attempt_timeout: PATIENCE,
            idle_max: 4,
            tls: None,
        };
        let policy = Policy { allow_http: true, guard, ..Policy::default() };
        let http = http_client(&client).unwrap();
        let context = Context {
            http,
            policy,
            attempt_timeout: PATIENCE,
            office: None,
            switchboard: None,
            wallets: None,
            google: None,
        };
        let settings = Settings {
            tick: Duration::from_millis(5),
            poll: Duration::from_millis(50),
            reread: Duration::from_millis(200),
            save_every: Duration::from_millis(10),
            breaker: BreakerSettings { failures: 1_000_000, ..BreakerSettings::default() },
            ..Settings::default()
        };
        let (store, ring, moments) = (self.app.store.clone(), self.app.ring.clone(), self.app.moments.clone());
        let changed = self.app.subscriptions_changed.subscribe();
        let relay = Relay::new(store, ring, moments, opener(context), settings, changed);
        let (stop, stopped) = oneshot::channel::<()>();
        let mut task = JoinSet::new();
        task.spawn(async move { relay.run(async { drop(stopped.await) }).await });
        self.relay = Some((stop, task));
    }

    /// Drops the relay where it is, as a killed process.
    pub async fn kill(&mut self) {
        if let Some((_, mut task)) = self.relay.take() {
            task.abort_all();
            while task.join_next().await.is_some() {}
        }
    }

    /// Time goes on by an hour: every retry is due.
    pub fn an_hour_later(&self) {
        self.clock.advance(Micros::HOUR + Micros::SECOND);
    }

    pub async fn customer(&self, email: &str) -> Customer {
        self.customer_of("demo", email).await
    }

    pub async fn customer_of(&self, project: &str, email: &str) -> Customer {
        self.server.customer_of(project, email, "old password").await
    }

    /// The customer resets its password by a mailed token: a recovery, to this brand.
    pub async fn recover(&self, customer: &Customer) {
        self.recover_in("demo", customer).await;
    }

    pub async fn recover_in(&self, project: &str, customer: &Customer) {
        self.clock.advance(1000); // no two at the same time: their order is seen
        let value = self.token_in(project, customer).await;
        let new = Password::new("a new password".into()).unwrap();
        self.app.reset_password(call(project), &value, None, new).await.unwrap();
    }

    /// A mailed token's value.
    pub async fn token(&self, customer: &Customer) -> String {
        self.token_in("demo", customer).await
    }

    async fn token_in(&self, project: &str, customer: &Customer) -> String {
        let command = token::Command { ttl_minutes: 60, invalidate_older_tokens: false, by: <_>::default() };
        let created = self.app.create_password_token(call(project), customer.email.clone(), command).await.unwrap();
        created.value.reveal_with(str::to_owned)
    }

    pub async fn reset(&self, value: &str) -> Result<Customer, keyherald::app::Failure> {
        let new = Password::new("a new password".into()).unwrap();
        self.app.reset_password(demo(), value, None, new).await
    }

    /// A token of the brand's app.
    pub async fn app_token(&self) -> String {
        self.server.client("demo", "app-client", "wallet_setup:demo").await;
        let form =
            [("authorization", basic("app-client")), ("content-type", "application/x-www-form-urlencoded".into())];
        let uri = "/digitalwallets/v1/auth/brands/demo/token";
        let granted = self.server.send(Method::POST, uri, &form, "grant_type=client_credentials").await.json();
        granted["access_token"].as_str().unwrap().to_owned()
    }

    /// Begins a process for a password reset; answers its id.
    pub async fn initiate(&self, token: &str, email: &str) -> String {
        self.initiate_for(token, email, "PASSWORD_RESET").await
    }

    pub async fn initiate_for(&self, token: &str, email: &str, flow: &str) -> String {
        let attribute = json!({"type": "EMAIL", "value": email});
        let body = json!({"attribute": attribute, "flow": flow});
        let begun = self.server.json(token, Method::POST, VERIFICATIONS, &body).await;
        assert_eq!(begun.status, 201, "{begun:?}");
        begun.json()["verificationId"].as_str().unwrap().to_owned()
    }

    /// Tries a code; answers the status of the attempt.
    pub async fn attempt(&self, token: &str, id: &str, email: &str, code: &str) -> Value {
        let body = json!({
            "attribute": {"type": "EMAIL", "value": email},
            "notificationType": {"method": "OTP", "channel": "EMAIL"},
            "value": code,
        });
        let uri = format!("{VERIFICATIONS}/{id}/attempts");
        self.server.json(token, Method::POST, &uri, &body).await.json()["status"].clone()
    }

    /// How many bodies are kept, of whatever event.
    pub async fn bodies(&self) -> usize {
        static BODIES: keyherald_store::Sql =
            keyherald_store::Sql::both("BODIES", "SELECT body FROM event WHERE type <> 'DECOY'");
        let read = |tx: &mut dyn keyherald_store::Tx| {
            let mut kept = 0;
            tx.query(&BODIES, &[], &mut |row| {
                kept += usize::from(row.bytes_opt(0)?.is_some());
                Ok(())
            })?;
            Ok::<_, keyherald_store::Fault>(kept)
        };
        self.app.store.read(read).await.unwrap()
    }

    /// All events of a project.
    pub async fn events(&self, project: &str) -> Vec<Listed> {
        self.app.list_events(project.parse().unwrap(), self.all(), (100, 0)).await.unwrap()
    }

    /// All there were.
    pub fn all(&self) -> Asked {
        let now = self.clock.now();
        Asked { event_type: EventType::CustomerCredentials, from: now.plus(-31 * Micros::DAY), to: now, customer: None }
    }

    /// The bytes that are kept.
    pub async fn kept(&self, listed: &Listed) -> Option<Vec<u8>> {
        let (ring, now) = (self.app.ring.clone(), self.clock.now());
        let sending = Sending {
            position: 0,
            event: listed.id,
            event_type: listed.event_type,
            at: now,
            lane: listed.customer.unwrap(),
            trace: None,
        };
        let look =
            move |tx: &mut dyn keyherald_store::Tx| event::body(tx, &ring, &"demo".parse().unwrap(), &sending, now);
        match self.app.store.read(look).await.unwrap() {
            Body::Kept(body) => Some(body.to_vec()),
            Body::Erased | Body::Ended => None,
        }
    }

    /// Waits until it is so.
    pub async fn until(&self, what: &str, is_so: impl AsyncFn() -> bool) {
        let waited = async {
            while !is_so().await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, waited).await.is_ok(), "{what}");
    }

    /// Waits until every event of the project has this state.
    pub async fn until_all(&self, project: &str, state: event::State) {
        let what = format!("events of {project} become {}", state.as_str());
        self.until(&what, async || self.events(project).await.iter().all(|event| event.state == state)).await;
    }

    /// Another endpoint, besides the stage's.
    pub async fn another_partner(&mut self) -> (Partner, String) {
        let partner = Partner::default();
        let url = partner.listen(&mut self.tasks).await;
        (partner, url)
    }
}

pub fn demo() -> Call {
    call("demo")
}

fn call(project: &str) -> Call {
    Call::on(project.parse().unwrap())
}
