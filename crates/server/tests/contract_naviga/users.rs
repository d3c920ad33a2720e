//! Users of a tenant whose users are at Auth0 (a double of it): read, created, changed and proved there and here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::http::Method;
use futures_util::future::BoxFuture;
use keyherald::connector::{self, AccessSecret, Auth0Settings, Connector, Kind, Limits, Net, Registry};
use keyherald::dialect::naviga::{AuthSystem, UserProvider};
use keyherald::operate::{Providers, Settings};
use keyherald_core::Micros;
use keyherald_core::activity::ActivityFacts;
use keyherald_core::customer::Customer;
use keyherald_core::id::ProjectKey;
use keyherald_core::mail::MailKind;
use keyherald_core::message::Content;
use keyherald_core::provider::ProviderName;
use keyherald_core::secret::TokenDigest;
use keyherald_core::subscription::DestinationSettings;
use keyherald_core::token::{Token, TokenKind};
use keyherald_store::log::activity::Asked;
use keyherald_store::testing::{TestStore, block_on};
use keyherald_store::{Tx, customer, log, registration, token as tokens};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::auth0::{Auth0, SECRET, USER, error};
use crate::double::{Director, Double, Fault, Got, Point, Watcher};
use crate::people::{EMAIL, OLD, People, Person};
use crate::stage::{self, code, patch};
use crate::support::{Answered, TestServer};

pub const NEW: &str = "new@example.com";
pub const PASSWORD: &str = "New-pass-1!";

pub struct Stage {
    pub server: TestServer,
    pub double: Double,
    tasks: JoinSet<()>,
}

pub fn demo() -> ProjectKey {
    "demo".parse().unwrap()
}

impl Stage {
    pub async fn on(store: TestStore) -> Self {
        Self::that(store, false).await
    }

    /// One where a sign-in can be tried at the provider, or not.
    pub async fn that(store: TestStore, trial_sign_in: bool) -> Self {
        let double = Double::start(Auth0::default(), People::of_one(USER)).await;
        let kind = Kind::Auth0(Auth0Settings {
            base_url: double.url.clone(),
            client_id: "client".into(),
            client_secret: AccessSecret::new(SECRET.into()),
            audience: None,
            connection: "db".into(),
            trial_sign_in,
        });
        let net = Net { allow_insecure_http: true, ..Net::default() };
        let limits = Limits { per_second: 1000, burst: 1000, ..Limits::default() };
        let connector: Arc<dyn Connector> = connector::open(connector::Settings { kind, net, limits }).unwrap();
        let name: ProviderName = "auth0-main".parse().unwrap();
        let providers = Providers {
            registry: Registry::of([(name.clone(), connector)]),
            of_projects: BTreeMap::from([(demo(), name.clone())]),
            unsealed: std::collections::BTreeSet::new(),
        };
        let settings = Settings { poll: Duration::from_millis(5), ..Settings::default() };
        let provider = UserProvider { name, prefix: Some("auth0|"), system: AuthSystem::AUTH0 };
        Self::running(stage::serve_users(store, providers, settings, provider).await, double)
    }

    /// The same of a server and its provider, with what works in the background.
    pub fn running(server: TestServer, double: Double) -> Self {
        let (mut tasks, app) = (JoinSet::new(), server.app.clone());
        tasks.spawn(async move { app.operations.run(std::future::pending()).await.unwrap() });
        let app = server.app.clone();
        tasks.spawn(async move { app.write_activity(std::future::pending()).await.unwrap() });
        Self { server, double, tasks }
    }

    /// Ends what works in the background.
    pub async fn rest(&mut self) {
        self.tasks.shutdown().await;
    }

    pub async fn send(&self, method: Method, path: &str, body: &Value) -> Answered {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.server.send(method, path, &stage::headers(), body).await
    }

    pub async fn get(&self, path: &str) -> Answered {
        self.send(Method::GET, path, &Value::Null).await
    }

    /// The events of the whole project, once there are so many.
    pub async fn events(&self, at_least: usize) -> Vec<(u32, String)> {
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            let asked = Asked { customer: None, after: None, limit: 100 };
            let look = move |tx: &mut dyn Tx| log::activity::read(tx, &demo(), &asked, Micros(0), i64::MAX);
            let found = self.server.app.store.read(look).await.unwrap();
            let facts: Vec<ActivityFacts> = found.into_iter().map(|entry| entry.activity.facts).collect();
            if facts.len() >= at_least {
                let shown = |facts: &ActivityFacts| Some((facts.event_code()?.id.unwrap_or(0), facts.outcome.clone()));
                return facts.iter().filter_map(shown).collect();
            }
            assert!(Instant::now() < deadline, "{facts:?}");
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Mail is written about welcomes and codes, and nobody sends it.
    pub async fn mails(&self) {
        let destination = DestinationSettings { kind: "Mail".into(), settings: <_>::default() };
        let kinds = vec![MailKind::Welcome, MailKind::VerificationCode];
        self.server.app.ensure_letters(demo(), kinds, destination).await.unwrap();
    }

    /// What is to be mailed, in order: the message and its secret.
    pub async fn letters(&self) -> Vec<(Content, Option<String>)> {
        self.pages().await.into_iter().map(|(content, secret, _)| (content, secret)).collect()
    }

    /// The same, and the page that the mail leads to.
    pub async fn pages(&self) -> Vec<(Content, Option<String>, Option<String>)> {
        let (ring, now) = (self.server.app.ring.clone(), self.server.app.moments.now());
        let look = move |tx: &mut dyn Tx| log::after(tx, &ring, (0, i64::MAX), 1000, now);
        let found = self.server.app.store.read(look).await.unwrap();
        let letters = found.iter().filter_map(|entry| entry.message());
        letters
            .filter(|message| MailKind::about(&message.facts.content).is_some())
            .filter_map(|message| {
                // Of a registration that has ended, the letters are erased.
                let personal = message.personal.as_ref()?;
                assert!(personal.recipient.is_some());
                let secret = message.secret.as_ref().map(|value| value.reveal_with(str::to_owned));
                let page = personal.page.as_ref().map(|page| page.as_str().to_owned());
                Some((message.facts.content.clone(), secret, page))
            })
            .collect()
    }

    pub async fn token(&self, value: &str) -> Option<Token> {
        let digest = TokenDigest::of(value);
        let look = move |tx: &mut dyn Tx| tokens::by_digest(tx, &demo(), TokenKind::Password, digest);
        self.server.app.store.read(look).await.unwrap()
    }

    pub async fn here(&self, email: &'static str) -> Option<Customer> {
        let look = move |tx: &mut dyn Tx| customer::by_email(tx, &demo(), email);
        self.server.app.store.read(look).await.unwrap()
    }
}

pub fn text(answered: &Answered) -> (u16, String) {
    (answered.status.as_u16(), code(answered).replace("UsersOrchestrator_", ""))
}

/// The next creation is applied and the line cut; whoever looks after that finds nobody at home.
fn cut_creation_and_then_down() -> Director {
    let is_cut = AtomicBool::new(false);
    Box::new(move |got| {
        if got.path() == "/oauth/token" {
            (None, None)
        } else if got.method == "POST" && !is_cut.swap(true, Ordering::SeqCst) {
            (Some(Fault::Cut), None)
        } else if is_cut.load(Ordering::SeqCst) {
            (Some(Fault::Instead(error(503, "x", "down", None))), None)
        } else {
            (None, None)
        }
    })
}

macro_rules! on_both {
    ($($name:ident),* $(,)?) => { crate::users::on_both!(Stage::on: $($name),*); };
    (Stage::$stage:ident: $($name:ident),* $(,)?) => {$(
        mod $name {
            #[test]
            fn sqlite() {
                super::block_on(async { super::cases::$name(super::Stage::$stage(super::TestStore::sqlite().await).await).await });
            }

            #[test]
            #[ignore = "needs PostgreSQL: cargo xtask test starts one"]
            fn postgres() {
                super::block_on(async { super::cases::$name(super::Stage::$stage(super::TestStore::postgres().await).await).await });
            }
        }
    )*};
}

pub(crate) use on_both;

on_both! {
    a_user_of_the_provider_alone_is_synchronised_once,
    what_the_provider_tells_is_written_here,
    the_provider_can_be_ignored,
    a_read_fails_with_the_provider_and_changes_nothing,
    an_account_here_is_not_had_by_an_address_that_nobody_proved,
    a_user_is_created_there_and_here,
    what_the_provider_says_about_a_new_password_reaches_the_user,
    a_lost_answer_is_healed_by_the_repeat,
    a_creation_whose_answer_is_lost_is_looked_for_at_once,
    an_address_that_is_the_providers_is_taken,
    a_user_without_a_password_gets_one_that_nobody_knows_and_a_mail,
    an_address_is_proved_by_a_code_before_anybody_is_created,
    codes_are_made_ten_times_and_no_more,
    a_mail_with_a_code_leads_to_a_page_and_opening_it_redeems_nothing,
    a_callers_word_makes_nobody_somebody_else,
    what_was_surely_not_created_is_nobodys,
    a_stranger_who_signs_up_meanwhile_is_not_taken_for_the_user,
    the_same_request_twice_at_once_welcomes_once,
    a_code_proves_the_address_that_it_was_mailed_to,
    a_customer_who_comes_in_between_is_not_made_twice,
    every_call_about_an_address_leaves_its_entry,
    an_update_is_made_there_and_here,
}

/// Says that a request has come, and holds it until it may go on.
pub struct Gate {
    pub at: Point,
    pub reached: Arc<Notify>,
    pub go: Arc<Notify>,
}

impl Watcher for Gate {
    fn reached(&self, point: Point) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if point == self.at {
                self.reached.notify_one();
                self.go.notified().await;
            }
        })
    }
}

mod cases {
    use super::*;

    pub async fn a_user_of_the_provider_alone_is_synchronised_once(stage: Stage) {
        stage.double.people(|people| people.0.get_mut(USER).unwrap().first_name = "Jo".into());
        let answers = tokio::join!(stage.get("/v4/Users/u1"), stage.get("/v4/Users/u1"));
        for answered in [answers.0, answers.1] {
            assert_eq!(text(&answered), (200, "S200".into()), "{answered:?}");
            let data = &answered.json()["data"];
            assert_eq!((&data["customerRegistrationId"], &data["email"]), (&USER.into(), &EMAIL.into()));
            assert_eq!((&data["firstName"], &data["state"]), (&"Jo".into(), &"Standard".into()));
            assert_eq!(data["authSystem"]["authSystemCode"], "Auth0");
            assert!(data["registrationId"].is_u64());
        }
        let customer = stage.here(EMAIL).await.unwrap();
        assert_eq!((customer.version, customer.password_tail), (1, None));
        // A third read writes nothing but its activity; and the password can be set.
        let answered = stage.get(&format!("/v4/Users?email={EMAIL}")).await;
        assert_eq!(text(&answered), (200, "S200".into()));
        assert_eq!(text(&patch(&stage.server, "u1", "New-pass-1!").await), (200, "S200_11".into()));
        assert_eq!(stage.double.people(|people| people.0[USER].password.clone()), "New-pass-1!");
        let ids: Vec<u32> = stage.events(11).await.into_iter().map(|(id, _)| id).collect();
        let count = |wanted| ids.iter().filter(|id| **id == wanted).count();
        assert_eq!((count(4004), count(4010), count(4000)), (1, 1, 1), "{ids:?}");
    }

    pub async fn what_the_provider_tells_is_written_here(stage: Stage) {
        assert_eq!(text(&stage.get("/v4/Users/u1").await), (200, "S200".into()));
        stage.double.people(|people| {
            let person = people.0.get_mut(USER).unwrap();
            (person.email, person.email_verified, person.last_name) = ("new@example.com".into(), true, "Doe".into());
        });
        let data = stage.get("/v4/Users/auth0%7Cu1/").await.json()["data"].clone();
        assert_eq!(
            (&data["email"], &data["lastName"], &data["verified"]),
            (&"new@example.com".into(), &"Doe".into(), &true.into())
        );
        let customer = stage.here("new@example.com").await.unwrap();
        assert_eq!((customer.version, customer.is_email_verified), (2, true));
        assert_eq!(customer.profile.last_name.as_deref(), Some("Doe"));
        assert!(stage.here(EMAIL).await.is_none());
        let events = stage.events(6).await;
        let mut ids: Vec<u32> = events.iter().map(|(id, _)| *id).collect();
        assert_eq!(ids[..2], [4601, 4004]);
        ids.sort_unstable();
        assert_eq!(ids, [4001, 4001, 4004, 4004, 4601, 4601]);
    }

    pub async fn the_provider_can_be_ignored(stage: Stage) {
        let answered = stage.get("/v4/Users/u1?ignoreProvider=true").await;
        assert_eq!(text(&answered), (500, "E500_01".into()), "nobody here yet");
        assert_eq!(
            text(&stage.get(&format!("/v4/Users?email={EMAIL}&ignoreProvider=true")).await),
            (400, "E400_14".into())
        );
        assert!(stage.double.got().is_empty());
        let encrypted = stage.get("/v4/Users/u1").await.json()["data"]["encryptedCustomerRegistrationId"].clone();
        stage.double.people(|people| people.0.get_mut(USER).unwrap().first_name = "Jo".into());
        let path = format!("/v4/Users?encryptedCustomerRegistrationId={}", encrypted.as_str().unwrap());
        let asked = stage.double.got().len();
        let answered = stage.get(&format!("{path}&ignoreProvider=true")).await;
        assert_eq!((&answered.json()["data"]["firstName"], stage.double.got().len()), (&Value::Null, asked));
        let answered = stage.get(&path).await;
        assert_eq!((&answered.json()["data"]["firstName"], text(&answered).0), (&"Jo".into(), 200));
        // A query that names one user asks for it there; others see who is here.
        let found = stage.get("/v4/Users?customerRegistrationId=u1").await.json();
        assert_eq!(
            (&found["data"]["totalUsersFound"], &found["data"]["users"][0]["customerRegistrationId"]),
            (&1.into(), &USER.into())
        );
        let asked = stage.double.got().len();
        assert_eq!(stage.get("/v4/Users?firstName=Jo").await.json()["data"]["totalUsersFound"], 1);
        assert_eq!(stage.double.got().len(), asked);
    }

    pub async fn a_read_fails_with_the_provider_and_changes_nothing(stage: Stage) {
        let down = || Fault::Instead(error(503, "x", "down", None));
        stage.double.next(down());
        assert_eq!(text(&stage.get("/v4/Users/u1").await), (500, "E500_01".into()));
        stage.double.next(down());
        assert_eq!(text(&stage.get(&format!("/v4/Users?email={EMAIL}")).await), (500, "E500_02".into()));
        assert!(stage.here(EMAIL).await.is_none());
        assert_eq!(text(&stage.get("/v4/Users/u9").await), (500, "E500_01".into()));
        assert_eq!(text(&stage.get("/v4/Users?email=nobody@example.com").await), (400, "E400_14".into()));
        let failed: Vec<_> = stage.events(4).await.into_iter().filter(|(_, outcome)| outcome != "done").collect();
        assert!(failed.len() >= 4, "{failed:?}");
    }

    pub async fn an_account_here_is_not_had_by_an_address_that_nobody_proved(stage: Stage) {
        let jo = stage.server.customer(EMAIL, OLD).await;
        let data = stage.get("/v4/Users/u1").await.json()["data"].clone();
        assert_eq!((&data["customerRegistrationId"], &data["registrationId"]), (&USER.into(), &Value::Null));
        assert_eq!(text(&patch(&stage.server, "u1", "New-pass-1!").await), (500, "E500_01".into()));
        // Once it is proved there, it is the same person.
        stage.double.people(|people| {
            people.0.insert(USER.into(), Person { email_verified: true, ..Person::new(EMAIL, OLD) });
        });
        let data = stage.get("/v4/Users/u1").await.json()["data"].clone();
        assert_eq!(data["registrationId"].to_string(), jo.number.to_string());
        // Who had signed up here with the address had not proved it: that password is worth nothing any more.
        let token = stage.server.token("demo-client").await;
        let login = json!({"email": EMAIL, "password": OLD});
        assert_eq!(stage.server.json(&token, Method::POST, "/demo/login", &login).await.status, 400);
        let customer = stage.here(EMAIL).await.unwrap();
        assert!(customer.password_tail.is_none() && customer.is_email_verified);
        assert_eq!(text(&patch(&stage.server, "u1", "New-pass-1!").await), (200, "S200_11".into()));
    }

    pub async fn a_user_is_created_there_and_here(stage: Stage) {
        let body = json!({"email": NEW, "password": PASSWORD, "firstName": "Jo", "metadata": {"a": 1}});
        let answered = stage.send(Method::POST, "/v4/Users", &body).await;
        assert_eq!(text(&answered), (200, "S200".into()), "{answered:?}");
        let crid = answered.json()["data"]["customerRegistrationId"].as_str().unwrap().to_owned();
        assert_eq!(crid, "auth0|made-by-auth0");
        let there = stage.double.people(|people| people.0[&crid].clone());
        assert_eq!((there.email.as_str(), there.password.as_str(), there.first_name.as_str()), (NEW, PASSWORD, "Jo"));
        let customer = stage.here(NEW).await.unwrap();
        assert!(customer.is_email_verified && customer.password_tail.is_some());
        let found = stage.get("/v4/Users/made-by-auth0").await.json();
        assert_eq!((&found["data"]["metadata"]["a"], &found["data"]["state"]), (&1.into(), &"Standard".into()));
        let again = stage.send(Method::POST, "/v4/Users", &body).await;
        assert_eq!(text(&again), (400, "E400_08".into()));
        let events = stage.events(5).await;
        // Those of calls that read may come later: they are written many at a time.
        assert!(events.contains(&(4002, "done".to_owned())), "{events:?}");
        assert!(events.contains(&(0, "done".to_owned())), "created there, under an id that no document gives");
        assert_eq!(text(&patch(&stage.server, "made-by-auth0", "Next-pass-1!").await), (200, "S200_11".into()));
    }

    pub async fn what_the_provider_says_about_a_new_password_reaches_the_user(stage: Stage) {
        let body = json!({"email": NEW, "password": "Abc-1"});
        let answered = stage.send(Method::POST, "/v4/Users", &body).await;
        assert_eq!(text(&answered), (400, "E400_00".into()));
        assert!(answered.json()["message"]["text"].as_str().unwrap().contains("too weak"));
        // Another one is another request, and nothing is in its way.
        let body = json!({"email": NEW, "password": PASSWORD});
        assert_eq!(text(&stage.send(Method::POST, "/v4/Users", &body).await), (200, "S200".into()));
    }

    /// The process may as well have died: what is left is the same.
    pub async fn a_lost_answer_is_healed_by_the_repeat(stage: Stage) {
        let body = json!({"email": NEW, "password": PASSWORD});
        stage.double.direct(cut_creation_and_then_down());
        let answered = stage.send(Method::POST, "/v4/Users", &body).await;
        assert_eq!(text(&answered), (500, "E500".into()), "{answered:?}");
        assert!(stage.here(NEW).await.is_none());
        assert_eq!(stage.double.people(|people| people.0.len()), 2, "created there");
        stage.double.direct(Box::new(|_| (None, None)));
        // Somebody else's password is not taken for this one's.
        let other = json!({"email": NEW, "password": "Other-pass-1!"});
        assert_eq!(text(&stage.send(Method::POST, "/v4/Users", &other).await), (400, "E400_08".into()));
        let answered = stage.send(Method::POST, "/v4/Users", &body).await;
        assert_eq!(text(&answered), (200, "S200".into()), "{answered:?}");
        assert_eq!(answered.json()["data"]["customerRegistrationId"], "auth0|made-by-auth0");
        assert_eq!(stage.double.people(|people| people.0.len()), 2, "nothing twice");
        assert_eq!(stage.here(NEW).await.unwrap().version, 1);
    }

    pub async fn a_creation_whose_answer_is_lost_is_looked_for_at_once(stage: Stage) {
        stage.double.next_change(Fault::Cut);
        let body = json!({"email": NEW, "password": PASSWORD});
        assert_eq!(text(&stage.send(Method::POST, "/v4/Users", &body).await), (200, "S200".into()));
        assert_eq!(stage.double.people(|people| people.0.len()), 2);
    }

    pub async fn an_address_that_is_the_providers_is_taken(stage: Stage) {
        let body = json!({"email": EMAIL, "password": PASSWORD});
        assert_eq!(text(&stage.send(Method::POST, "/v4/Users", &body).await), (400, "E400_08".into()));
        let body = json!({"email": EMAIL, "password": PASSWORD, "verifyEmail": true});
        assert_eq!(text(&stage.send(Method::POST, "/v4/Users", &body).await), (400, "E400_08".into()));
        assert!(stage.here(EMAIL).await.is_none());
        // Here alone it can be written, as the user that it is there.
        let body =
            json!({"email": EMAIL, "password": PASSWORD, "ignoreProvider": true, "customerRegistrationId": USER});
        let answered = stage.send(Method::POST, "/v4/Users", &body).await;
        assert_eq!((text(&answered).0, &answered.json()["data"]["customerRegistrationId"]), (200, &USER.into()));
        assert_eq!(stage.double.people(|people| people.0[USER].password.clone()), OLD);
        assert_eq!(text(&patch(&stage.server, "u1", "Next-pass-1!").await), (200, "S200_11".into()));
    }

    pub async fn a_user_without_a_password_gets_one_that_nobody_knows_and_a_mail(stage: Stage) {
        stage.mails().await;
        let body = json!({"email": NEW, "customerRegistrationId": "auth0|crm-7"});
        let answered = stage.send(Method::POST, "/v4/Users", &body).await;
        assert_eq!(
            (text(&answered).0, &answered.json()["data"]["customerRegistrationId"]),
            (200, &"auth0|crm-7".into())
        );
        let dummy = stage.double.people(|people| people.0["auth0|crm-7"].password.clone());
        assert!(dummy.len() > 40);
        let customer = stage.here(NEW).await.unwrap();
        assert_eq!(customer.password_tail, None);
        let letters = stage.letters().await;
        assert_eq!(letters.len(), 1);
        let (content, secret) = &letters[0];
        assert!(matches!(content, Content::CustomerWelcomed { .. }));
        // What the mail carries is a password token that lives; and no page of messages tells it.
        let secret = secret.clone().unwrap();
        let found = stage.token(&secret).await.unwrap();
        assert_eq!((found.customer, found.valid), (customer.id, true));
        let token = stage.server.token("demo-client").await;
        let shown = stage.server.json(&token, Method::GET, "/demo/messages", &Value::Null).await;
        let shown = String::from_utf8(shown.body).unwrap();
        assert!(!shown.contains(&secret) && !shown.contains("CustomerWelcomed"), "{shown}");
    }

    pub async fn an_address_is_proved_by_a_code_before_anybody_is_created(stage: Stage) {
        stage.mails().await;
        let body = json!({"email": NEW, "password": PASSWORD, "firstName": "Jo", "verifyEmail": true});
        assert_eq!(text(&stage.send(Method::POST, "/v4/Users", &body).await), (200, "S200".into()));
        assert_eq!(stage.double.people(|people| people.0.len()), 1, "nobody is created there");
        // It may take a day, and so the password is not kept, not even sealed.
        let (ring, now) = (stage.server.app.ring.clone(), stage.server.app.moments.now());
        let look = move |tx: &mut dyn Tx| registration::by_email(tx, &ring, &demo(), NEW, now);
        let draft = stage.server.app.store.read(look).await.unwrap().unwrap().draft.unwrap();
        assert!(draft.password.is_none() && draft.hash.is_none() && !draft.has_password);
        let code = stage.letters().await.pop().unwrap().1.unwrap();
        assert!(code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit()));
        let verify = async |code: &str| {
            let body = json!({"email": NEW, "verificationCode": code});
            stage.send(Method::POST, "/v4/Users/Verification", &body).await
        };
        // Five attempts, the right one among them or not.
        for _ in 0..5 {
            assert_eq!(text(&verify("wrong").await), (400, "E400_15".into()));
        }
        assert_eq!(text(&verify(&code).await), (400, "E400_15".into()));
        // A new code ends the one before.
        let again = stage.send(Method::POST, "/v4/Users/VerificationCode", &json!({"email": NEW})).await;
        assert_eq!(text(&again), (200, "S200".into()));
        let second = stage.letters().await.pop().unwrap().1.unwrap();
        if second != code {
            assert_eq!(text(&verify(&code).await), (400, "E400_15".into()));
        }
        stage.server.clock.advance(Micros::HOUR);
        assert_eq!(text(&verify(&second).await), (400, "E400_15".into()), "too old");
        assert_eq!(text(&stage.send(Method::POST, "/v4/Users/VerificationCode", &json!({"email": NEW})).await).0, 200);
        let third = stage.letters().await.pop().unwrap().1.unwrap();
        // The answer of the provider is lost, and it is down after that: the same code does it again.
        stage.double.direct(cut_creation_and_then_down());
        assert_eq!(text(&verify(&third).await), (500, "E500".into()));
        stage.double.direct(Box::new(|_| (None, None)));
        let answered = verify(&third).await;
        assert_eq!(text(&answered), (200, "S200".into()), "{answered:?}");
        assert_eq!(answered.json()["data"]["customerRegistrationId"], "auth0|made-by-auth0");
        let there = stage.double.people(|people| people.0["auth0|made-by-auth0"].clone());
        assert!(there.password != PASSWORD && there.password.len() > 40 && there.email_verified);
        let customer = stage.here(NEW).await.unwrap();
        assert!(customer.is_email_verified && customer.profile.first_name.as_deref() == Some("Jo"));
        assert_eq!(text(&verify(&third).await), (400, "E400_16".into()));
        // The user chooses it now, by another mail.
        let letters = stage.letters().await;
        let welcomes: Vec<_> =
            letters.iter().filter(|(content, _)| matches!(content, Content::CustomerWelcomed { .. })).collect();
        let [(_, Some(event))] = welcomes.as_slice() else { panic!("{} welcomes", welcomes.len()) };
        let finish = json!({"encryptedEventId": event, "password": PASSWORD});
        let finished = stage.send(Method::POST, "/v4/Users/ForgotPassword/Finish", &finish).await;
        assert_eq!(text(&finished), (200, "S200_10".into()));
        let there = stage.double.people(|people| people.0["auth0|made-by-auth0"].password.clone());
        assert_eq!(there, PASSWORD);
    }

    pub async fn codes_are_made_ten_times_and_no_more(stage: Stage) {
        stage.server.customer(NEW, PASSWORD).await;
        for _ in 0..10 {
            let sent = stage.send(Method::POST, "/v4/Users/VerificationCode", &json!({"email": NEW})).await;
            assert_eq!(text(&sent), (200, "S200".into()));
        }
        let sent = stage.send(Method::POST, "/v4/Users/VerificationCode", &json!({"email": NEW})).await;
        assert_eq!(text(&sent), (400, "E400".into()));
        stage.server.clock.advance(Micros::DAY + 1000);
        let sent = stage.send(Method::POST, "/v4/Users/VerificationCode", &json!({"email": NEW})).await;
        assert_eq!(text(&sent), (200, "S200".into()));
        while stage.server.app.sweep_once().await.unwrap() {}
    }

    pub async fn a_mail_with_a_code_leads_to_a_page_and_opening_it_redeems_nothing(stage: Stage) {
        stage.mails().await;
        let url = "https://paper.example/done?from=mail";
        let body = json!({"email": "new+1@example.com", "password": PASSWORD, "verifyEmail": true, "returnUrl": url});
        assert_eq!(text(&stage.send(Method::POST, "/v4/Users", &body).await), (200, "S200".into()));
        let (_, code, page) = stage.pages().await.pop().unwrap();
        let query = "email=new%2B1%40example.com&verificationCode=";
        assert_eq!(page.unwrap(), format!("https://paper.example/done?from=mail&{query}{{token}}"));
        let code = code.unwrap();
        // Neither a page of ours nor any other GET redeems it, so a scanner may open what it likes.
        assert_ne!(stage.get(&format!("/v4/Users/Verification?{query}{code}")).await.status, 200);
        // Without a page the mail has the code alone.
        let again = json!({"email": "new+1@example.com"});
        assert_eq!(text(&stage.send(Method::POST, "/v4/Users/VerificationCode", &again).await), (200, "S200".into()));
        let (_, code, page) = stage.pages().await.pop().unwrap();
        assert_eq!(page, None);
        let elsewhere = json!({"email": "new+1@example.com", "returnUrl": "https://elsewhere.example/"});
        let refused = stage.send(Method::POST, "/v4/Users/VerificationCode", &elsewhere).await;
        assert_eq!(text(&refused), (400, "E400_00".into()));
        let verify = json!({"email": "new+1@example.com", "verificationCode": code.unwrap()});
        assert_eq!(text(&stage.send(Method::POST, "/v4/Users/Verification", &verify).await), (200, "S200".into()));
    }

    pub async fn a_callers_word_makes_nobody_somebody_else(stage: Stage) {
        assert_eq!(text(&stage.get("/v4/Users/u1").await), (200, "S200".into()));
        let body = json!({"email": NEW, "password": PASSWORD, "ignoreProvider": true, "customerRegistrationId": USER,
            "metadata": {"a": 1}});
        assert_eq!(text(&stage.send(Method::POST, "/v4/Users", &body).await), (400, "E400_08".into()));
        assert!(stage.here(NEW).await.is_none());
        let data = stage.get("/v4/Users/u1?ignoreProvider=true").await.json()["data"].clone();
        assert_eq!((&data["email"], &data["metadata"]), (&EMAIL.into(), &json!({})));
    }

    pub async fn what_was_surely_not_created_is_nobodys(stage: Stage) {
        let body = json!({"email": NEW, "password": PASSWORD});
        stage.double.next_change(Fault::Instead(crate::auth0::throttled()));
        assert_eq!(text(&stage.send(Method::POST, "/v4/Users", &body).await), (500, "E500".into()));
        // Somebody signs up there with the address, and the caller comes again.
        stage.server.clock.advance(Micros::HOUR);
        stage.double.people(|people| {
            let stranger = Person { email_verified: true, ..Person::new(NEW, "Strangers-pass-1!") };
            people.add("auth0|stranger", stranger).unwrap();
        });
        assert_eq!(text(&stage.send(Method::POST, "/v4/Users", &body).await), (400, "E400_08".into()));
        assert!(stage.here(NEW).await.is_none());
    }

    pub async fn a_stranger_who_signs_up_meanwhile_is_not_taken_for_the_user(stage: Stage) {
        let body = json!({"email": NEW, "password": PASSWORD});
        // Nobody knows whether it was applied; it was not.
        stage.double.next_change(Fault::CutBefore);
        assert_eq!(text(&stage.send(Method::POST, "/v4/Users", &body).await), (500, "E500".into()));
        stage.double.people(|people| people.add("auth0|stranger", Person::new(NEW, "Strangers-pass-1!")).unwrap());
        assert_eq!(text(&stage.send(Method::POST, "/v4/Users", &body).await), (400, "E400_08".into()));
        assert!(stage.here(NEW).await.is_none());
    }

    pub async fn the_same_request_twice_at_once_welcomes_once(stage: Stage) {
        stage.mails().await;
        let body = json!({"email": NEW});
        let send = || stage.send(Method::POST, "/v4/Users", &body);
        let answers = futures_util::future::join_all((0..4).map(|_| send())).await;
        assert!(answers.iter().any(|answered| answered.status == 200));
        for answered in &answers {
            assert!([200, 400].contains(&answered.status.as_u16()), "{answered:?}");
        }
        assert_eq!(stage.letters().await.len(), 1);
        assert_eq!(stage.double.people(|people| people.0.len()), 2);
    }

    pub async fn a_code_proves_the_address_that_it_was_mailed_to(stage: Stage) {
        stage.mails().await;
        assert_eq!(text(&stage.get("/v4/Users/u1").await), (200, "S200".into()));
        let send = json!({"email": EMAIL});
        assert_eq!(text(&stage.send(Method::POST, "/v4/Users/VerificationCode", &send).await), (200, "S200".into()));
        let code = stage.letters().await.pop().unwrap().1.unwrap();
        // The address moves while the provider is told that the old one is proved.
        let (reached, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let gate: Arc<dyn Watcher> = Arc::new(Gate { at: Point::Came, reached: reached.clone(), go: go.clone() });
        stage.double.direct(Box::new(move |got| {
            (None, (got.method == "PATCH" && got.json()["email_verified"] == true).then(|| gate.clone()))
        }));
        let body = json!({"email": EMAIL, "verificationCode": code});
        let verify = stage.send(Method::POST, "/v4/Users/Verification", &body);
        let meanwhile = async {
            reached.notified().await;
            let customer = stage.here(EMAIL).await.unwrap();
            let update = json!({"version": customer.version,
                "actions": [{"action": "changeEmail", "email": "moved@example.com"}]});
            let token = stage.server.token("demo-client").await;
            let path = format!("/demo/customers/{}", customer.id);
            assert_eq!(stage.server.json(&token, Method::POST, &path, &update).await.status, 200);
            go.notify_one();
        };
        let (answered, ()) = tokio::join!(verify, meanwhile);
        assert_eq!(text(&answered), (400, "E400_14".into()));
        assert!(!stage.here("moved@example.com").await.unwrap().is_email_verified);
        // Nor is the new address proved there, where nobody but us knows that the two have met.
        let there = stage.double.people(|people| people.0[USER].clone());
        assert_eq!((there.email.as_str(), there.email_verified), ("moved@example.com", false));
    }

    pub async fn a_customer_who_comes_in_between_is_not_made_twice(stage: Stage) {
        let (reached, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let gate: Arc<dyn Watcher> = Arc::new(Gate { at: Point::Came, reached: reached.clone(), go: go.clone() });
        let is_look = |got: &Got| got.target.contains("users-by-email");
        stage.double.direct(Box::new(move |got| (None, is_look(got).then(|| gate.clone()))));
        let body = json!({"email": NEW, "password": PASSWORD});
        let meanwhile = async {
            reached.notified().await;
            stage.server.customer(NEW, OLD).await;
            go.notify_one();
        };
        let (answered, ()) = tokio::join!(stage.send(Method::POST, "/v4/Users", &body), meanwhile);
        assert_eq!(text(&answered), (400, "E400_08".into()));
        assert_eq!(stage.double.people(|people| people.0.len()), 1, "nobody is created there");
    }

    pub async fn every_call_about_an_address_leaves_its_entry(stage: Stage) {
        assert_eq!(text(&stage.get("/v4/Users/u1").await), (200, "S200".into()));
        let all: Vec<String> = (0..4).map(|number| format!("n{number}@example.com")).collect();
        let change = async |email: &String| {
            let body = json!({"email": email});
            stage.send(Method::PATCH, "/v4/Users/u1/Email", &body).await
        };
        futures_util::future::join_all(all.iter().map(change)).await;
        let sent = stage.double.got().iter().filter(|got| got.method == "PATCH").count();
        let told = stage.events(1).await.into_iter().filter(|(id, _)| *id == 4610).count();
        assert_eq!(told, sent);
    }

    pub async fn an_update_is_made_there_and_here(stage: Stage) {
        let body = json!({"firstName": "Jo", "verified": true, "metadata": {"a": 1}});
        let answered = stage.send(Method::PUT, "/v4/Users/u1/", &body).await;
        assert_eq!(text(&answered), (200, "S200".into()), "{answered:?}");
        let there = stage.double.people(|people| people.0[USER].clone());
        assert_eq!((there.first_name.as_str(), there.email_verified), ("Jo", true));
        let customer = stage.here(EMAIL).await.unwrap();
        assert!(customer.is_email_verified && customer.profile.first_name.as_deref() == Some("Jo"));
        // Metadata alone is here alone; and the provider can be left out.
        let changes = || stage.double.got().iter().filter(|got| got.method == "PATCH").count();
        let before = changes();
        assert_eq!(text(&stage.send(Method::PUT, "/v4/Users/u1", &json!({"metadata": {"b": 2}})).await).0, 200);
        let body = json!({"lastName": "Doe", "ignoreProvider": true});
        assert_eq!(text(&stage.send(Method::PUT, "/v4/Users/u1", &body).await).0, 200);
        assert_eq!(changes(), before);
        assert_eq!(stage.here(EMAIL).await.unwrap().profile.last_name.as_deref(), Some("Doe"));
        // A refusal of the provider leaves all as it is; so does a lost answer, and the repeat heals it.
        stage.double.next_change(Fault::Instead(error(
            400,
            "Bad Request",
            "Payload validation error",
            Some("invalid_body"),
        )));
        let body = json!({"firstName": "Other"});
        assert_eq!(text(&stage.send(Method::PUT, "/v4/Users/u1", &body).await), (400, "E400_22".into()));
        stage.double.next_change(Fault::Cut);
        assert_eq!(text(&stage.send(Method::PUT, "/v4/Users/u1", &body).await), (500, "E500".into()));
        assert_eq!(stage.here(EMAIL).await.unwrap().profile.first_name.as_deref(), Some("Jo"));
        assert_eq!(text(&stage.send(Method::PUT, "/v4/Users/u1", &body).await), (200, "S200".into()));
        assert_eq!(stage.here(EMAIL).await.unwrap().profile.first_name.as_deref(), Some("Other"));
    }
}
