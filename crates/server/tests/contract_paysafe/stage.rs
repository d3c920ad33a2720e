//! A server with the brand `wallet`, an app that knows a configuration token, and a mailbox.

use axum::http::Method;
use keyherald::app::events::Wanted;
use keyherald::app::verify_identifier::Verifying;
use keyherald::config::{self, RequiredIdentifiers};
use keyherald::destination::paysafe;
use keyherald::dialect::paysafe::{Brand, Brands, Hosted, Prefix};
use keyherald::format::paysafe_credentials_event::Profile;
use keyherald::outbox::{self, Outbox};
use keyherald_core::Micros;
use keyherald_core::credentials_event::ChangeType;
use keyherald_core::event::{EventType, Sending};
use keyherald_core::mail::MailKind;
use keyherald_core::message::Content;
use keyherald_core::subscription::DestinationSettings;
use keyherald_core::verification::Kind;
use keyherald_store::event::{self, Body};
use keyherald_store::testing::TestStore;
use keyherald_store::tx::query_all;
use keyherald_store::{Sql, Tx, log};
use serde_json::{Value, json};

use crate::support::{Answered, TestServer, basic};

/// Where processes begin.
pub const VERIFICATIONS: &str = "/digitalwallets/v1/wallet-setup/verifications";

/// Where passwords are recovered.
pub const CREDENTIALS: &str = "/digitalwallets/v1/wallet-setup/customer-credentials";

/// The status and the code of an answer.
pub fn told(answered: &Answered) -> (u16, String) {
    let code = answered.json()["error"]["code"].as_str().unwrap_or_default().to_owned();
    (answered.status.as_u16(), code)
}

/// What [`told`] says of a refusal.
pub fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

pub struct Stage {
    pub server: TestServer,
    /// A configuration token.
    pub token: String,
}

/// What differs from one test to the next.
pub fn brand() -> Brand {
    Brand {
        name: "wallet".into(),
        project: "demo".parse().unwrap(),
        verifying: Verifying::default(),
        success_status: 201,
        success_value: "VERIFIED".into(),
        admin_token_s: 36_000,
        configuration_token_s: 900,
        required: RequiredIdentifiers { any_of: Kind::ALL.to_vec(), all_of: Vec::new() },
        rule: config::Paysafe::default().rule(),
        credentials_status: 200,
        requires_app_type: true,
        signing_secret: None,
        hosted: Some(Hosted {
            page: "https://kh.example/recover/demo/credentials".to_owned(),
            return_urls: vec!["https://partner.example/back?shop=1".parse().unwrap()],
        }),
    }
}

/// The partner is told of all changes.
fn all_changes() -> outbox::Brand {
    outbox::Brand {
        name: "wallet".into(),
        profile: Profile::Schema,
        extensions: false,
        changes: ChangeType::ALL.to_vec(),
        token_resets: false,
        kept: 30 * Micros::DAY,
    }
}

impl Stage {
    pub async fn on(store: TestStore, brand: Brand) -> Self {
        Self::at(Prefix::default(), store, brand).await
    }

    /// The same with paths that begin elsewhere.
    pub async fn at(prefix: Prefix, store: TestStore, brand: Brand) -> Self {
        let outbox = Outbox([("demo".parse().unwrap(), all_changes())].into());
        let dialects = (<_>::default(), Brands::of([brand]).at(prefix.clone()), outbox);
        let server = TestServer::with_dialects(store, <_>::default(), dialects).await;
        server.client("demo", "app-client", "wallet_setup:demo").await;
        server.client("demo", "back-client", "wallet_admin:demo").await;
        let mail = DestinationSettings { kind: "Mail".into(), settings: <_>::default() };
        server.app.ensure_letters("demo".parse().unwrap(), vec![MailKind::VerificationCode], mail).await.unwrap();
        let mut stage = Self { server, token: String::new() };
        if prefix == Prefix::default() {
            let granted = stage.grant("app-client", "grant_type=client_credentials").await.json();
            granted["access_token"].as_str().unwrap().clone_into(&mut stage.token);
        }
        stage
    }

    /// From now on somebody is sent events, or would be if there was a relay.
    pub async fn listen_to_events(&self) {
        let url_of =
            |event_type: EventType| (event_type.as_str().to_owned(), "https://partner.example/events".to_owned());
        let settings = paysafe::Settings {
            urls: EventType::ALL.into_iter().map(url_of).collect(),
            is_signed: false,
            extra_headers: false,
            retry_statuses: Vec::new(),
            connect_timeout_ms: 3000,
            total_timeout_ms: 10_000,
            base_s: 5,
            cap_s: 3600,
            is_jittered: true,
            retry_after_cap_s: 86_400,
            park_other_4xx_after: 20,
            max_attempts: None,
            max_age_s: None,
        };
        let wanted = Wanted { types: EventType::ALL.to_vec(), is_signed: false, settings, secrets: None };
        self.server.app.ensure_events("demo".parse().unwrap(), Some(wanted)).await.unwrap();
    }

    /// Asks for a token.
    pub async fn grant(&self, client: &str, form: &str) -> Answered {
        let headers =
            [("authorization", basic(client)), ("content-type", "application/x-www-form-urlencoded".to_owned())];
        let uri = "/digitalwallets/v1/auth/brands/wallet/token";
        self.server.send(Method::POST, uri, &headers, form.to_owned()).await
    }

    /// An access token of a customer who signs in.
    pub async fn sign_in(&self, email: &str, password: &str) -> Option<(String, String)> {
        let form = format!("grant_type=password&username={}&password={password}", email.replace('@', "%40"));
        let granted = self.grant("app-client", &form).await.json();
        let text = |name: &str| granted[name].as_str().map(str::to_owned);
        text("access_token").zip(text("refresh_token"))
    }

    /// An access token of the partner's back end.
    pub async fn admin(&self) -> String {
        let granted = self.grant("back-client", "grant_type=client_credentials").await.json();
        granted["access_token"].as_str().unwrap().to_owned()
    }

    pub async fn post(&self, uri: &str, body: &Value) -> Answered {
        self.server.json(&self.token, Method::POST, uri, body).await
    }

    /// Begins a process for a password reset.
    pub async fn initiate(&self, email: &str) -> Answered {
        let attribute = json!({"type": "EMAIL", "value": email});
        self.post(VERIFICATIONS, &json!({"attribute": attribute, "flow": "PASSWORD_RESET"})).await
    }

    pub async fn attempt(&self, id: &str, email: &str, code: &str) -> Answered {
        let body = json!({
            "attribute": {"type": "EMAIL", "value": email},
            "notificationType": {"method": "OTP", "channel": "EMAIL"},
            "value": code,
        });
        self.post(&format!("{VERIFICATIONS}/{id}/attempts"), &body).await
    }

    /// Has somebody prove an address, and answers by which process.
    pub async fn prove(&self, email: &str) -> String {
        self.prove_for("PASSWORD_RESET", email).await
    }

    pub async fn prove_for(&self, flow: &str, email: &str) -> String {
        let attribute = json!({"type": "EMAIL", "value": email});
        let begun = self.post(VERIFICATIONS, &json!({"attribute": attribute, "flow": flow})).await.json();
        let id = begun["verificationId"].as_str().unwrap().to_owned();
        self.server.clock.advance(31 * Micros::SECOND);
        self.server.app.send_due_codes(|_| Verifying::default()).await.unwrap();
        let code = self.codes().await.pop().unwrap();
        assert_eq!(self.attempt(&id, email, &code).await.json()["status"], "VERIFIED");
        id
    }

    /// The bodies of the events of this type, in order.
    pub async fn events(&self, event_type: EventType) -> Vec<Value> {
        let (ring, now) = (self.server.app.ring.clone(), self.server.app.moments.now());
        let ids = Sql::both("IDS", "SELECT id, type FROM event ORDER BY occurred_at, id");
        let look = move |tx: &mut dyn Tx| {
            let ids = query_all(tx, &ids, &[], |row| Ok((row.parsed(0)?, row.text(1)?)))?;
            let mut bodies = Vec::new();
            for (id, _) in ids.into_iter().filter(|(_, it)| it == event_type.as_str()) {
                let lane = "0192f3a1-5b7c-7d3e-9f10-0123456789ab".parse().unwrap();
                let sending = Sending { event: id, event_type, position: 0, at: now, lane, trace: None };
                if let Body::Kept(body) = event::body(tx, &ring, &"demo".parse().unwrap(), &sending, now)? {
                    bodies.push(body);
                }
            }
            Ok::<_, keyherald_store::Fault>(bodies)
        };
        let bodies = self.server.store().read(look).await.unwrap();
        bodies.iter().map(|body| serde_json::from_slice(body).unwrap()).collect()
    }

    /// The codes that are to be mailed, in order.
    pub async fn codes(&self) -> Vec<String> {
        let (ring, now) = (self.server.app.ring.clone(), self.server.app.moments.now());
        let look = move |tx: &mut dyn Tx| log::after(tx, &ring, (0, i64::MAX), 1000, now);
        let entries = self.server.store().read(look).await.unwrap();
        let messages = entries.iter().filter_map(|entry| entry.message());
        let codes = messages.filter(|it| matches!(it.facts.content, Content::VerificationCodeCreated { .. }));
        codes.filter_map(|message| message.secret.as_ref().map(|code| code.reveal_with(str::to_owned))).collect()
    }
}
