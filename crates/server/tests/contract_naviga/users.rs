//! Users of a tenant whose users are at Auth0 (a double of it): read there and here, and written through.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use keyherald::connector::{self, AccessSecret, Auth0Settings, Connector, Kind, Limits, Net, Registry};
use keyherald::dialect::naviga::UserProvider;
use keyherald::operate::{Providers, Settings};
use keyherald_core::Micros;
use keyherald_core::activity::ActivityFacts;
use keyherald_core::customer::Customer;
use keyherald_core::id::ProjectKey;
use keyherald_core::provider::ProviderName;
use keyherald_store::log::activity::Asked;
use keyherald_store::testing::{TestStore, block_on};
use keyherald_store::{Tx, customer, log};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::auth0::{Auth0, SECRET, USER, error};
use crate::double::{Double, Fault};
use crate::people::{EMAIL, OLD, People, Person};
use crate::stage::{self, code, patch};
use crate::support::{Answered, TestServer};

pub struct Stage {
    pub server: TestServer,
    pub double: Double,
    _tasks: JoinSet<()>,
}

pub fn demo() -> ProjectKey {
    "demo".parse().unwrap()
}

impl Stage {
    pub async fn on(store: TestStore) -> Self {
        let double = Double::start(Auth0::default(), People::of_one(USER)).await;
        let kind = Kind::Auth0(Auth0Settings {
            base_url: double.url.clone(),
            client_id: "client".into(),
            client_secret: AccessSecret::new(SECRET.into()),
            audience: None,
            connection: "db".into(),
            trial_sign_in: false,
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
        let provider = UserProvider { name, prefix: Some("auth0|") };
        let server = stage::serve_users(store, providers, settings, provider).await;
        let (mut tasks, app) = (JoinSet::new(), server.app.clone());
        tasks.spawn(async move { app.operations.run(std::future::pending()).await.unwrap() });
        let app = server.app.clone();
        tasks.spawn(async move { app.write_activity(std::future::pending()).await.unwrap() });
        Self { server, double, _tasks: tasks }
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

    pub async fn here(&self, email: &'static str) -> Option<Customer> {
        let look = move |tx: &mut dyn Tx| customer::by_email(tx, &demo(), email);
        self.server.app.store.read(look).await.unwrap()
    }
}

pub fn text(answered: &Answered) -> (u16, String) {
    (answered.status.as_u16(), code(answered).replace("UsersOrchestrator_", ""))
}

macro_rules! on_both {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            #[test]
            fn sqlite() {
                super::block_on(async { super::cases::$name(super::Stage::on(super::TestStore::sqlite().await).await).await });
            }

            #[test]
            #[ignore = "needs PostgreSQL: cargo xtask test starts one"]
            fn postgres() {
                super::block_on(async { super::cases::$name(super::Stage::on(super::TestStore::postgres().await).await).await });
            }
        }
    )*};
}

on_both! {
    a_user_of_the_provider_alone_is_synchronised_once,
    what_the_provider_tells_is_written_here,
    the_provider_can_be_ignored,
    a_read_fails_with_the_provider_and_changes_nothing,
    an_account_here_is_not_had_by_an_address_that_nobody_proved,
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
        assert_eq!(text(&patch(&stage.server, "u1", "New-pass-1!").await), (200, "S200_11".into()));
    }
}
