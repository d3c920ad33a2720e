//! From a call to an SMS: a forgotten password is recovered by a mobile number, and everybody who must be told is told.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use keyherald::app::App;
use keyherald::app::verify_identifier::Verifying;
use keyherald::config::{Paysafe, RequiredIdentifiers};
use keyherald::deliver::{self, Relay, Settings};
use keyherald::destination::Context;
use keyherald::destination::sms::{Sms, Switchboard};
use keyherald::destination::smtp::{self, Mail, Office};
use keyherald::dialect::paysafe::{Brand, Brands};
use keyherald::mail::{Mailbox, Sender, Templates};
use keyherald::outbox::Outbox;
use keyherald_core::Micros;
use keyherald_core::delivery::BreakerSettings;
use keyherald_core::mail::MailKind;
use keyherald_core::sms::SmsKind;
use keyherald_core::subscription::DestinationSettings;
use keyherald_core::verification::Kind;
use keyherald_store::testing::TestStore;
use keyherald_store::{Tx, log};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::attempt::context;
use crate::described::switchboard;
use crate::http_double::{HttpDouble, Says};
use crate::support::{Answered, TestServer, basic};

const PATIENCE: Duration = Duration::from_secs(30);
const NUMBER: &str = "+359897765463";
const VERIFICATIONS: &str = "/digitalwallets/v1/wallet-setup/verifications";
const CREDENTIALS: &str = "/digitalwallets/v1/wallet-setup/customer-credentials";

/// A brand whose codes go out by mail and by SMS, through Twilio.
struct World {
    server: TestServer,
    token: String,
    double: HttpDouble,
    mailbox: Mailbox,
    _relay: JoinSet<()>,
}

fn brand() -> Brand {
    Brand {
        name: "wallet".into(),
        project: "demo".parse().unwrap(),
        verifying: Verifying::default(),
        success_status: 201,
        success_value: "VERIFIED".into(),
        admin_token_s: 36_000,
        configuration_token_s: 900,
        required: RequiredIdentifiers { any_of: Kind::ALL.to_vec(), all_of: Vec::new() },
        rule: Paysafe::default().rule(),
        credentials_status: 200,
        requires_app_type: true,
        signing_secret: None,
        hosted: None,
    }
}

fn office(mailbox: &Mailbox) -> Arc<Office> {
    let sender = Sender { name: "Böll & Söhne".to_owned(), ..Sender::default() };
    let from = "no-reply@shop.example".parse().unwrap();
    let kinds = vec![MailKind::PasswordChanged, MailKind::VerificationCode];
    let account = smtp::Account { sender, from, reply_to: None, kinds };
    let accounts = [("demo".parse().unwrap(), account)].into();
    let carrier = smtp::Carrier::Mailbox(mailbox.clone());
    Arc::new(Office { templates: Templates::built_in().unwrap(), accounts, carrier })
}

impl World {
    async fn on(store: TestStore) -> Self {
        let dialects = (<_>::default(), Brands::of([brand()]), Outbox::default());
        let server = TestServer::with_dialects(store, <_>::default(), dialects).await;
        server.client("demo", "app-client", "wallet_setup:demo").await;
        let form =
            [("authorization", basic("app-client")), ("content-type", "application/x-www-form-urlencoded".to_owned())];
        let uri = "/digitalwallets/v1/auth/brands/wallet/token";
        let granted = server.send(Method::POST, uri, &form, "grant_type=client_credentials".to_owned()).await.json();
        let double = HttpDouble::start(Says::Answer(201, "", r#"{"sid": "SM1"}"#.to_owned())).await;
        let (mailbox, switchboard) = (Mailbox::default(), switchboard("twilio", &double.url));
        let project = || "demo".parse().unwrap();
        let to = |kind: &str| DestinationSettings { kind: kind.to_owned(), settings: <_>::default() };
        let kinds = vec![MailKind::PasswordChanged, MailKind::VerificationCode];
        server.app.ensure_letters(project(), kinds, to(Mail::NAME)).await.unwrap();
        server.app.ensure_short_messages(project(), SmsKind::ALL.to_vec(), to(Sms::NAME)).await.unwrap();
        let relay = relay(&server.app, &mailbox, switchboard);
        let token = granted["access_token"].as_str().unwrap().to_owned();
        Self { server, token, double, mailbox, _relay: relay }
    }

    async fn post(&self, uri: &str, body: &Value) -> Answered {
        self.server.json(&self.token, Method::POST, uri, body).await
    }

    async fn initiate(&self, kind: &str, value: &str, flow: &str) -> String {
        let body = json!({"attribute": {"type": kind, "value": value}, "flow": flow});
        let begun = self.post(VERIFICATIONS, &body).await;
        assert_eq!(begun.status, 201, "{begun:?}");
        begun.json()["verificationId"].as_str().unwrap().to_owned()
    }

    /// What Twilio was handed: to whom, and the text.
    fn sent(&self) -> Vec<(String, String)> {
        let field = |body: &str, name: &str| {
            let mut fields = url::form_urlencoded::parse(body.as_bytes()).into_owned();
            fields.find(|(own, _)| own == name).unwrap().1
        };
        self.double.got().iter().map(|got| (field(&got.body, "To"), field(&got.body, "Body"))).collect()
    }

    /// Waits, moving the clock on.
    async fn until(&self, what: &str, mut is_so: impl AsyncFnMut() -> bool) {
        let waited = tokio::time::timeout(PATIENCE, async {
            while !is_so().await {
                self.server.clock.advance(Micros::SECOND);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        assert!(waited.await.is_ok(), "waited for too long until {what}");
    }

    /// Messages that know whom they go to.
    async fn recipients(&self) -> usize {
        let (ring, now) = (self.server.app.ring.clone(), self.server.app.moments.now());
        let look = move |tx: &mut dyn Tx| log::after(tx, &ring, (0, i64::MAX), 100, now);
        let entries = self.server.store().read(look).await.unwrap();
        entries.iter().filter_map(|entry| entry.message()?.personal.as_ref()?.recipient.as_ref()).count()
    }

    /// What operators see of mail or SMS.
    async fn seen(&self, what: &str) -> Value {
        let token = self.server.token("demo-client").await;
        let answered = self.server.json(&token, Method::GET, &format!("/admin/demo/{what}"), &Value::Null).await;
        assert_eq!(answered.status, StatusCode::OK, "{answered:?}");
        answered.json()
    }
}

fn relay(app: &App, mailbox: &Mailbox, switchboard: Arc<Switchboard>) -> JoinSet<()> {
    let App { store, ring, moments, subscriptions_changed, .. } = app.clone();
    let context = Context { office: Some(office(mailbox)), ..context(switchboard) };
    let settings = Settings {
        tick: Duration::from_millis(5),
        poll: Duration::from_millis(50),
        reread: Duration::from_millis(100),
        save_every: Duration::from_millis(10),
        breaker: BreakerSettings { failures: 1_000_000, ..BreakerSettings::default() },
        ..Settings::default()
    };
    let opener = deliver::opener(context);
    let relay = Relay::new(store, ring, moments, opener, settings, subscriptions_changed.subscribe());
    let mut task = JoinSet::new();
    task.spawn(async move { relay.run(std::future::pending()).await });
    task
}

fn nothing() -> Value {
    json!({"status": "Healthy", "waiting": [], "putAside": []})
}

async fn a_number_recovers_a_password(store: TestStore) {
    let world = World::on(store).await;
    let jo = world.server.customer_with("demo", "jo@example.com", "first-password", Some(NUMBER)).await;
    // The first answer is lost, and it is sent once more.
    world.double.next([Says::Answer(500, "", "applied".to_owned())]);
    let id = world.initiate("MOBILE", "+359 89 776-5463", "PASSWORD_RESET").await;
    world.until("the code is there, twice", async || world.sent().len() == 2).await;
    let sent = world.sent();
    assert_eq!(sent[0], sent[1]);
    let (to, text) = &sent[0];
    assert!(to == NUMBER && text.contains("Böll & Söhne"), "{text}");
    let code = text.split(' ').next().unwrap();
    let about = json!({"type": "MOBILE", "value": NUMBER});
    let tried = |value: &str, channel: &str| json!({"attribute": about, "notificationType": {"method": "OTP", "channel": channel}, "value": value});
    let uri = format!("{VERIFICATIONS}/{id}/attempts");
    assert_eq!(world.post(&uri, &tried(code, "EMAIL")).await.status, 400, "it went by SMS");
    let wrong = if code == "000000" { "000001" } else { "000000" };
    assert_eq!(world.post(&uri, &tried(wrong, "SMS")).await.json()["status"], "FAILED");
    let proved = world.post(&uri, &tried(code, "SMS")).await.json();
    assert_eq!((&proved["status"], &proved["notificationType"]["target"]), (&json!("VERIFIED"), &json!("***63")));
    let body = json!({
        "customerIdentifiers": {"mobile": {"value": NUMBER, "verificationId": id}},
        "customerCredentials": {"password": "second, longer"},
        "deviceInfo": {"appType": "WEB"},
    });
    assert_eq!(world.post(CREDENTIALS, &body).await.status, 200);
    // Every address that is known of the customer hears of it.
    world.until("both notices are there", async || world.sent().len() == 3 && world.mailbox.all().len() == 1).await;
    let (notice, mail) = (world.sent().remove(2), world.mailbox.all().remove(0));
    assert_eq!((notice.0.as_str(), mail.to.as_str()), (NUMBER, "jo@example.com"));
    assert!(notice.1.starts_with("Your password at Böll & Söhne was changed. Not you?"), "{}", notice.1);
    assert!(mail.told.mail().unwrap().subject.contains("password was changed"));
    world.until("nothing waits", async || world.seen("sms").await == nothing()).await;
    assert_eq!(world.seen("mail").await, nothing());
    // Once the customer is erased, the number can be read nowhere.
    assert_eq!(world.recipients().await, 2);
    let admin = world.server.token("demo-client").await;
    let jo = world.server.json(&admin, Method::GET, &format!("/demo/customers/{}", jo.id), &Value::Null).await.json();
    let uri = format!("/demo/customers/{}?version={}&dataErasure=true", jo["id"].as_str().unwrap(), jo["version"]);
    assert_eq!(world.server.json(&admin, Method::DELETE, &uri, &Value::Null).await.status, 200);
    assert_eq!(world.recipients().await, 0);
}

async fn a_code_goes_by_its_own_way_alone(store: TestStore) {
    let world = World::on(store).await;
    world.server.customer_with("demo", "jo@example.com", "first-password", Some(NUMBER)).await;
    world.server.customer("ada@example.com", "first-password").await;
    world.initiate("EMAIL", "jo@example.com", "PASSWORD_RESET").await;
    world.until("the mail is there", async || world.mailbox.all().len() == 1).await;
    world.initiate("MOBILE", NUMBER, "PASSWORD_RESET").await;
    // Nobody's number is sent nothing, and whoever wants to become a customer is.
    world.initiate("MOBILE", "+436641234567", "PASSWORD_RESET").await;
    world.initiate("MOBILE", "+436641234568", "WALLET_SETUP").await;
    world.until("two SMS are there", async || world.sent().len() == 2).await;
    let mut numbers: Vec<_> = world.sent().into_iter().map(|(to, _)| to).collect();
    numbers.sort();
    assert_eq!(numbers, [NUMBER, "+436641234568"]);
    // Who has no number is told by mail alone, and nothing is put aside for it.
    let admin = world.server.token("demo-client").await;
    let ada =
        world.server.json(&admin, Method::GET, "/demo/customers?where=email%3D%22ada%40example.com%22", &Value::Null);
    let ada = ada.await.json()["results"][0].clone();
    let change =
        json!({"id": ada["id"], "version": ada["version"], "currentPassword": "first-password", "newPassword": "n"});
    assert_eq!(world.server.json(&admin, Method::POST, "/demo/customers/password", &change).await.status, 200);
    world.until("the mail is there", async || world.mailbox.all().len() == 2).await;
    world.until("nothing waits", async || world.seen("sms").await == nothing()).await;
    assert_eq!((world.sent().len(), world.seen("mail").await), (2, nothing()));
}

async fn a_number_that_is_refused_stops_nobody(store: TestStore) {
    let world = World::on(store).await;
    let jo = world.server.customer_with("demo", "jo@example.com", "first-password", Some(NUMBER)).await;
    let says =
        r#"{"code": 21610, "message": "Attempt to send to unsubscribed recipient +359897765463", "status": 400}"#;
    world.double.next([Says::Answer(400, "", says.to_owned())]);
    world.initiate("MOBILE", NUMBER, "PASSWORD_RESET").await;
    world.until("it is put aside", async || world.seen("sms").await["putAside"].as_array().unwrap().len() == 1).await;
    let seen = world.seen("sms").await;
    let aside = &seen["putAside"][0];
    assert_eq!((&aside["customerId"], &aside["reason"]), (&json!(jo.id.to_string()), &json!("rejected")));
    assert_eq!(aside["lastError"], "the service refuses the number");
    assert!(!seen.to_string().contains("3598"), "no number: {seen}");
    world.server.clock.advance(Micros::MINUTE);
    world.initiate("MOBILE", NUMBER, "PASSWORD_RESET").await;
    world.until("the next one arrives", async || world.sent().len() == 2).await;
}

async fn a_code_that_has_ended_meanwhile_is_not_sent(store: TestStore) {
    let world = World::on(store).await;
    world.server.customer_with("demo", "jo@example.com", "first-password", Some(NUMBER)).await;
    world.double.next(std::iter::repeat_n(Says::Answer(503, "", String::new()), 1000));
    world.initiate("MOBILE", NUMBER, "PASSWORD_RESET").await;
    world.until("it waits", async || world.seen("sms").await["status"] == "TemporaryError").await;
    world.server.clock.advance(11 * Micros::MINUTE);
    world.until("it is over", async || world.seen("sms").await["waiting"] == json!([])).await;
    assert_eq!(world.seen("sms").await["putAside"], json!([]));
}

macro_rules! on_both {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            #[tokio::test]
            async fn sqlite() {
                super::$name(keyherald_store::testing::TestStore::sqlite().await).await;
            }

            #[tokio::test]
            #[ignore = "needs PostgreSQL: cargo xtask test starts one"]
            async fn postgres() {
                super::$name(keyherald_store::testing::TestStore::postgres().await).await;
            }
        }
    )*};
}

on_both! {
    a_number_recovers_a_password, a_code_goes_by_its_own_way_alone, a_number_that_is_refused_stops_nobody,
    a_code_that_has_ended_meanwhile_is_not_sent,
}
