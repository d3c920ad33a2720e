//! From a call to a mail: which message is mailed to whom, and what becomes of it when things go wrong on the way.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use keyherald::app::App;
use keyherald::deliver::{self, Relay, Settings};
use keyherald::destination::smtp::{Carrier, Mail, Office, Security};
use keyherald::mail::{Mailbox, Received};
use keyherald_core::Micros;
use keyherald_core::delivery::BreakerSettings;
use keyherald_core::mail::MailKind;
use keyherald_core::subscription::{DestinationSettings, SubscriptionStatus};
use keyherald_store::delivery::{self, DeadLetter};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::double::{Deed, Double, Tls};
use crate::smtp::{context, office, server};
use crate::support::TestServer;

const PATIENCE: Duration = Duration::from_secs(30);
const ALL: &[MailKind] = &[
    MailKind::PasswordChanged,
    MailKind::EmailChanged,
    MailKind::NewEmail,
    MailKind::ResetPassword,
    MailKind::VerifyEmail,
];

struct World {
    server: TestServer,
    token: String,
    office: Arc<Office>,
    relay: JoinSet<()>,
}

impl World {
    /// A project that mails all there is.
    async fn new(server: TestServer, carrier: Carrier) -> Self {
        let token = server.token("demo-client").await;
        let mut world = Self { server, token, office: office(carrier), relay: JoinSet::new() };
        world.mail(ALL).await;
        world.start();
        world
    }

    /// What the configuration switches on.
    async fn mail(&self, kinds: &[MailKind]) {
        let settings = self.office.carrier.settings();
        let destination = DestinationSettings { kind: Mail::NAME.to_owned(), settings };
        let project = "demo".parse().unwrap();
        self.server.app.ensure_letters(project, kinds.to_vec(), destination).await.unwrap();
    }

    fn start(&mut self) {
        let App { store, ring, moments, subscriptions_changed, .. } = self.server.app.clone();
        let opener = deliver::opener(context(self.office.clone(), Duration::from_secs(20)));
        let settings = Settings {
            tick: Duration::from_millis(5),
            poll: Duration::from_millis(50),
            reread: Duration::from_millis(100),
            save_every: Duration::from_millis(10),
            breaker: BreakerSettings { failures: 1_000_000, ..BreakerSettings::default() },
            ..Settings::default()
        };
        let relay = Relay::new(store, ring, moments, opener, settings, subscriptions_changed.subscribe());
        self.relay.spawn(async move { relay.run(std::future::pending()).await });
    }

    /// The process dies: nothing is finished or written.
    async fn kill(&mut self) {
        self.relay.abort_all();
        while self.relay.join_next().await.is_some() {}
    }

    async fn call(&self, uri: &str, body: Value) -> Value {
        let answered = self.server.json(&self.token, Method::POST, uri, &body).await;
        assert!(answered.status.is_success(), "{uri}: {answered:?}");
        answered.json()
    }

    /// A customer by this address.
    async fn customer(&self, email: &str, locale: Option<&str>) -> Value {
        let draft = json!({"email": email, "password": "secret-1", "firstName": "Jo", "locale": locale});
        let draft = without_nulls(draft);
        self.call("/demo/customers", draft).await["customer"].clone()
    }

    async fn change(&self, customer: &Value) -> Value {
        let body = json!({"id": customer["id"], "version": customer["version"],
            "currentPassword": "secret-1", "newPassword": "secret-1"});
        self.call("/demo/customers/password", body).await
    }

    async fn reset_token(&self, email: &str) -> String {
        let made = self.call("/demo/customers/password-token", json!({"email": email})).await;
        made["value"].as_str().unwrap().to_owned()
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

    /// What operators see.
    async fn seen(&self, query: &str) -> Value {
        let uri = format!("/admin/demo/mail{query}");
        let answered = self.server.json(&self.token, Method::GET, &uri, &Value::Null).await;
        assert_eq!(answered.status, StatusCode::OK, "{answered:?}");
        answered.json()
    }

    async fn status(&self) -> Option<SubscriptionStatus> {
        self.server.app.letters("demo".parse().unwrap()).await.unwrap().map(|letters| letters.status)
    }

    async fn put_aside(&self) -> Vec<DeadLetter> {
        let id = self.server.app.letters("demo".parse().unwrap()).await.unwrap().unwrap().id;
        self.server.app.store.read(move |tx| delivery::dead_letters(tx, id, 100)).await.unwrap()
    }
}

fn without_nulls(mut object: Value) -> Value {
    object.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    object
}

async fn every_mail(server: TestServer) {
    let mailbox = Mailbox::default();
    let world = World::new(server, Carrier::Mailbox(mailbox.clone())).await;
    let jo = world.customer("Jo@Example.com", Some("de-AT")).await;
    let jo = world.change(&jo).await;
    let reset = world.reset_token("jo@example.com").await;
    let verify = world.call("/demo/customers/email-token", json!({"id": jo["id"], "ttlMinutes": 10})).await;
    // A change of the address ends its token: what is not sent by then is pointless.
    world.until("three mails are there", async || mailbox.all().len() == 3).await;
    // The link of a day's token is mailed, but the contract does not show its value.
    let shown = world.server.json(&world.token, Method::GET, "/demo/messages?limit=500", &Value::Null).await.json();
    let shown = shown.to_string();
    assert!(!shown.contains(&reset) && shown.contains(verify["value"].as_str().unwrap()), "{shown}");
    assert!(!shown.contains("recipient"), "{shown}");
    let actions = json!([{"action": "changeEmail", "email": "new@example.com"}]);
    let uri = format!("/demo/customers/{}", jo["id"].as_str().unwrap());
    world.call(&uri, json!({"version": jo["version"], "actions": actions})).await;
    world.until("five mails are there", async || mailbox.all().len() == 5).await;

    let mails = mailbox.all();
    let subjects: Vec<&str> = mails.iter().map(|it| it.told.mail().unwrap().subject.as_str()).collect();
    assert_eq!(
        subjects,
        [
            "Ihr Passwort wurde geändert",
            "Wählen Sie ein neues Passwort",
            "Bitte bestätigen Sie Ihre E-Mail-Adresse",
            "Ihre E-Mail-Adresse wurde geändert",
            "Das ist jetzt Ihre E-Mail-Adresse"
        ]
    );
    // All of them to the address of that time: that it has changed is told to the old one, and to the new one.
    let (new, others) = mails.split_last().unwrap();
    assert!(others.iter().all(|mail| mail.to == "Jo@Example.com"));
    assert_eq!(new.to, "new@example.com");
    assert!(mails.iter().all(|mail| mail.told.text().contains("Guten Tag Jo,")));
    let has = |received: &Received, link: &str| {
        received.told.mail().is_some_and(|mail| mail.text.contains(link) && mail.html.contains("#token="))
    };
    assert!(has(&mails[1], &format!("https://shop.example/reset#token={reset}")));
    assert!(has(&mails[2], &format!("https://shop.example/verify#token={}", verify["value"].as_str().unwrap())));
}

#[tokio::test]
async fn every_mail_goes_to_the_customer() {
    every_mail(TestServer::sqlite().await).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: cargo xtask test starts one"]
async fn every_mail_goes_to_the_customer_postgres() {
    every_mail(TestServer::postgres().await).await;
}

#[tokio::test]
async fn no_call_sees_or_ends_what_the_configuration_subscribes() {
    let world = World::new(TestServer::sqlite().await, Carrier::Mailbox(Mailbox::default())).await;
    let id = world.server.app.letters("demo".parse().unwrap()).await.unwrap().unwrap().id;
    let of_id = format!("/demo/subscriptions/{id}");
    let get = async |uri: &str| world.server.json(&world.token, Method::GET, uri, &Value::Null).await;
    assert_eq!(get("/demo/subscriptions").await.json()["total"], 0);
    assert_eq!(get(&of_id).await.status, StatusCode::NOT_FOUND);
    assert_eq!(get(&format!("{of_id}/health")).await.status, StatusCode::NOT_FOUND);
    let delete = world.server.json(&world.token, Method::DELETE, &format!("{of_id}?version=1"), &Value::Null).await;
    assert_eq!(delete.status, StatusCode::NOT_FOUND);
    let draft = json!({"destination": {"type": "Mail"}, "messages": [{"resourceTypeId": "customer"}]});
    let refused = world.server.json(&world.token, Method::POST, "/demo/subscriptions", &draft).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{refused:?}");
    assert!(world.server.app.letters("demo".parse().unwrap()).await.unwrap().is_some());
}

#[tokio::test]
async fn mail_that_is_off_leaves_no_address_and_no_value_behind() {
    let mailbox = Mailbox::default();
    let world = World::new(TestServer::sqlite().await, Carrier::Mailbox(mailbox.clone())).await;
    world.mail(&[]).await;
    assert_eq!(world.status().await, None);
    let jo = world.customer("jo@example.com", None).await;
    let jo = world.change(&jo).await;
    world.reset_token("jo@example.com").await;
    let (ring, now) = (world.server.app.ring.clone(), world.server.app.moments.now());
    let log = world.server.app.store.read(move |tx| keyherald_store::log::after(tx, &ring, (0, i64::MAX), 100, now));
    for entry in log.await.unwrap() {
        let keyherald_core::notice::Notice::Message(message) = entry.notice else { continue };
        assert!(message.secret.is_none() && message.personal.is_none_or(|personal| personal.recipient.is_none()));
    }
    // Switched on: what happens from now on is mailed, and only what is asked for.
    world.mail(&[MailKind::PasswordChanged]).await;
    let jo = world.change(&jo).await;
    world.reset_token("jo@example.com").await;
    world.change(&jo).await;
    world.until("two mails are there", async || mailbox.all().len() == 2).await;
    assert!(mailbox.all().iter().all(|it| it.told.mail().unwrap().subject == "Your password was changed"));
}

#[tokio::test]
async fn a_server_that_is_down_delays_mail_and_nothing_else() {
    let double = Double::start(Tls::None).await;
    double.at("CONNECT", Deed::Answer("421 4.3.2 down"));
    let carrier = Carrier::Server(server(&double, Security::Plaintext));
    let mut world = World::new(TestServer::sqlite().await, carrier).await;
    let jo = world.customer("jo@example.com", None).await;
    let jo = world.change(&jo).await;
    let used = world.reset_token("jo@example.com").await;
    world.until("it is told", async || world.status().await == Some(SubscriptionStatus::TemporaryError)).await;
    // Meanwhile the link is used, by whoever has it from the caller: its mail has lost its point.
    world.call("/demo/customers/password/reset", json!({"tokenValue": used, "newPassword": "secret-1"})).await;
    world.kill().await;
    double.heal();
    world.start();
    world.until("both notices are there", async || double.accepted().len() == 2).await;
    world.until("it is told", async || world.status().await == Some(SubscriptionStatus::Healthy)).await;
    let mails = double.accepted();
    assert!(
        mails.iter().all(|mail| mail.header("Subject").as_deref() == Some("Your password was changed")),
        "{mails:?}"
    );
    assert!(world.put_aside().await.is_empty());
    drop(jo);
}

#[tokio::test]
async fn a_lost_answer_is_a_repeat_under_the_same_id() {
    let double = Double::start(Tls::None).await;
    double.at("DATA END", Deed::Cut);
    let carrier = Carrier::Server(server(&double, Security::Plaintext));
    let world = World::new(TestServer::sqlite().await, carrier).await;
    let jo = world.customer("jo@example.com", None).await;
    world.change(&jo).await;
    world.until("it is accepted once", async || !double.accepted().is_empty()).await;
    double.heal();
    let seen = double.accepted().len();
    world.until("it is accepted again", async || double.accepted().len() > seen).await;
    let ids: Vec<_> = double.accepted().iter().map(|mail| mail.header("Message-ID").unwrap()).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

#[tokio::test]
async fn an_address_that_never_works_is_put_aside_and_stops_nobody() {
    let double = Double::start(Tls::None).await;
    double.at("RCPT", Deed::Answer("550 5.1.1 no such user"));
    let carrier = Carrier::Server(server(&double, Security::Plaintext));
    let world = World::new(TestServer::sqlite().await, carrier).await;
    let jo = world.customer("gone@example.com", None).await;
    let jo = world.change(&jo).await;
    world.until("it is put aside", async || world.put_aside().await.len() == 1).await;
    let letter = world.put_aside().await.remove(0);
    assert_eq!((letter.reason.as_str(), letter.attempts), ("rejected", 1));
    assert_eq!(letter.last_error, "the recipient was answered 550");
    let seen = world.seen(&format!("?customerId={}", jo["id"].as_str().unwrap())).await;
    let (waiting, aside) = (&seen["waiting"], &seen["putAside"][0]);
    assert_eq!((waiting, &aside["customerId"], &aside["reason"]), (&json!([]), &jo["id"], &json!("rejected")));
    assert_eq!(aside["lastError"], "the recipient was answered 550");
    assert!(!seen.to_string().contains('@'), "no address: {seen}");
    double.heal();
    world.change(&jo).await;
    world.until("the next one arrives", async || double.accepted().len() == 1).await;
    assert_eq!(world.status().await, Some(SubscriptionStatus::Healthy));
}

#[tokio::test]
async fn an_erased_customer_gets_no_mail() {
    let double = Double::start(Tls::None).await;
    double.at("CONNECT", Deed::Answer("421 4.3.2 down"));
    let carrier = Carrier::Server(server(&double, Security::Plaintext));
    let world = World::new(TestServer::sqlite().await, carrier).await;
    let jo = world.customer("jo@example.com", None).await;
    let jo = world.change(&jo).await;
    world.until("it waits", async || world.status().await == Some(SubscriptionStatus::TemporaryError)).await;
    let (id, version) = (jo["id"].as_str().unwrap(), &jo["version"]);
    let seen = world.seen("").await;
    assert_eq!((&seen["status"], &seen["waiting"][0]["customerId"]), (&json!("TemporaryError"), &jo["id"]));
    assert!(seen["waiting"][0]["attempts"].as_u64().unwrap() > 0 && seen["waiting"][0]["nextAt"].is_string(), "{seen}");
    let uri = format!("/demo/customers/{id}?version={version}&dataErasure=true");
    let deleted = world.server.json(&world.token, Method::DELETE, &uri, &Value::Null).await;
    assert_eq!(deleted.status, StatusCode::OK, "{deleted:?}");
    double.heal();
    world.until("it is put aside", async || world.put_aside().await.len() == 1).await;
    let letter = world.put_aside().await.remove(0);
    assert_eq!((letter.reason.as_str(), letter.body.is_none()), ("erased", true));
    assert!(double.accepted().is_empty());
}

#[tokio::test]
async fn other_settings_release_what_waits() {
    let down = Double::start(Tls::None).await;
    down.at("CONNECT", Deed::Answer("554 go away"));
    let mut world = World::new(TestServer::sqlite().await, Carrier::Server(server(&down, Security::Plaintext))).await;
    let jo = world.customer("jo@example.com", None).await;
    world.change(&jo).await;
    world.until("it is told", async || world.status().await == Some(SubscriptionStatus::ConfigurationError)).await;
    world.kill().await;
    let good = Double::start(Tls::None).await;
    world.office = office(Carrier::Server(server(&good, Security::Plaintext)));
    world.mail(ALL).await;
    world.start();
    // The clock stands: it is the change that brings it on its way, not the schedule.
    let arrived = tokio::time::timeout(PATIENCE, async {
        while good.accepted().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(arrived.await.is_ok());
}
