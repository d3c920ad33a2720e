//! A tenant whose users are at Gigya (a double of it): found by address, created and changed there and here. What is the
//! same with every provider is asked with Auth0 in `users.rs`, `provider.rs` and `doubts.rs`.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::Method;
use keyherald::connector::{self, AccessSecret, GigyaAccess, GigyaSettings, Kind, Limits, Net, Registry};
use keyherald::dialect::naviga::{AuthSystem, UserProvider};
use keyherald::operate::{Providers, Settings};
use keyherald_core::Micros;
use keyherald_core::provider::ProviderName;
use keyherald_store::testing::{TestStore, block_on};
use serde_json::{Value, json};

use crate::double::{Double, Fault, Got};
use crate::people::{EMAIL, People, Person, WEAK};
use crate::stage;
use crate::users::{NEW, PASSWORD, Stage, demo, on_both, text};
use crate::vendor_gigya::{Gigya, SECRET, USER, error};

on_both! {
    Stage::at_gigya:
    a_user_is_found_by_address_and_written_here,
    a_user_is_created_there_and_here,
    what_the_site_says_about_a_new_user_reaches_the_caller,
    a_user_without_a_password_gets_one_that_nobody_knows,
    an_address_is_set_there_and_here,
    an_update_is_made_there_and_here,
    a_user_whose_creation_was_not_answered_becomes_a_customer,
    a_user_whose_address_was_not_said_to_be_proved_becomes_a_customer,
    a_stranger_who_signs_up_meanwhile_is_not_taken_for_the_user,
    an_address_whose_answer_was_lost_is_written_here,
}

/// Longer than anything that was sent can take effect.
const AFTER: i64 = 61 * Micros::SECOND;

impl Stage {
    /// The tenant, with its users at Gigya.
    async fn at_gigya(store: TestStore) -> Self {
        let double = Double::start(Gigya::default(), People::of_one(USER)).await;
        let kind = Kind::Gigya(GigyaSettings {
            base_url: double.url.clone(),
            api_key: "3_APIKEY".into(),
            user_key: "AKuser".into(),
            // A signature would have to be made by the double's clock.
            access: GigyaAccess::Secret(AccessSecret::new(SECRET.into())),
            trial_sign_in: true,
        });
        let net = Net { allow_insecure_http: true, ..Net::default() };
        let limits = Limits { per_second: 1000, burst: 1000, ..Limits::default() };
        let connector = connector::open(connector::Settings { kind, net, limits }).unwrap();
        let name: ProviderName = "gigya-main".parse().unwrap();
        let providers = Providers {
            registry: Registry::of([(name.clone(), connector)]),
            of_projects: BTreeMap::from([(demo(), name.clone())]),
            unsealed: std::collections::BTreeSet::new(),
        };
        let settings = Settings { poll: Duration::from_millis(5), ..Settings::default() };
        let provider = UserProvider { name, prefix: None, system: AuthSystem::GIGYA };
        Self::running(stage::serve_users(store, providers, settings, provider).await, double)
    }

    async fn create(&self, more: Value) -> (u16, String) {
        let mut body = json!({"email": NEW, "password": PASSWORD});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        text(&self.send(Method::POST, "/v4/Users", &body).await)
    }

    fn at(&self, uid: &str) -> Person {
        self.double.people(|people| people.0[uid].clone())
    }

    fn calls(&self, method: &str) -> usize {
        self.double.got().iter().filter(|got| is(got, method)).count()
    }

    async fn settled(&self) {
        self.server.clock.advance(AFTER);
        while self.server.app.settle_doubts().await.unwrap() {}
    }
}

fn is(got: &Got, method: &str) -> bool {
    got.path() == format!("/accounts.{method}")
}

/// The first call of a method has this fault, and after it Gigya is down.
fn then_down(stage: &Stage, method: &'static str, fault: Fault) {
    let fault = std::sync::Mutex::new(Some(fault));
    stage.double.direct(Box::new(move |got| {
        let mut fault = fault.lock().unwrap();
        match is(got, method).then(|| fault.take()).flatten() {
            Some(fault) => (Some(fault), None),
            None => (fault.is_none().then(|| Fault::Instead(error(500_001, "General server error"))), None),
        }
    }));
}

fn up(stage: &Stage) {
    stage.double.direct(Box::new(|_| (None, None)));
}

mod cases {
    use super::*;

    pub async fn a_user_is_found_by_address_and_written_here(stage: Stage) {
        stage.double.people(|people| people.0.get_mut(USER).unwrap().first_name = "Jo".into());
        let answered = stage.get("/v4/Users?email=U1%40example.com").await;
        assert_eq!(text(&answered), (200, "S200".into()), "{answered:?}");
        let data = &answered.json()["data"];
        assert_eq!((&data["customerRegistrationId"], &data["firstName"]), (&USER.into(), &"Jo".into()));
        assert_eq!((&data["authSystem"]["authSystemCode"], &data["verified"]), (&"Gigya".into(), &false.into()));
        assert!(stage.here(EMAIL).await.is_some());
        let unknown = stage.get("/v4/Users?email=nobody%40example.com").await;
        assert_eq!(text(&unknown), (400, "E400_14".into()));
        // Whom we may not see is not nobody.
        stage.double.people(|people| people.add("uid-2", Person::new(NEW, PASSWORD)).unwrap());
        stage.double.next(Fault::Instead(error(403_005, "Unauthorized user")));
        assert_eq!(text(&stage.get(&format!("/v4/Users?email={NEW}")).await).0, 500);
    }

    pub async fn a_user_is_created_there_and_here(stage: Stage) {
        let names = json!({"firstName": "Jo", "lastName": "Doe", "metadata": {"a": 1}});
        let answered = stage.create(names).await;
        assert_eq!(answered, (200, "S200".into()));
        let there = stage.at("made-by-gigya");
        assert_eq!((there.email.as_str(), there.password.as_str(), there.email_verified), (NEW, PASSWORD, true));
        assert_eq!((there.first_name.as_str(), there.last_name.as_str()), ("Jo", "Doe"));
        let customer = stage.here(NEW).await.unwrap();
        assert!(customer.is_email_verified && customer.profile.last_name.as_deref() == Some("Doe"));
        let shown = stage.get("/v4/Users/made-by-gigya").await.json()["data"].clone();
        assert_eq!((&shown["email"], &shown["verified"]), (&NEW.into(), &true.into()));
        assert_eq!(stage.create(json!({})).await, (400, "E400_08".into()));
        assert_eq!(stage.calls("register"), 1);
        // An id that is chosen.
        let chosen = json!({"email": "crm@example.com", "customerRegistrationId": "crm-7"});
        assert_eq!(stage.create(chosen).await, (200, "S200".into()));
        assert_eq!(stage.at("crm-7").email, "crm@example.com");
        let body = json!({"loginName": NEW, "password": PASSWORD});
        let signed_in = stage.send(Method::POST, "/v4/Users/Authentication", &body).await;
        assert_eq!(signed_in.status, 200, "{signed_in:?}");
    }

    pub async fn what_the_site_says_about_a_new_user_reaches_the_caller(stage: Stage) {
        let body = json!({"email": NEW, "password": WEAK});
        let weak = stage.send(Method::POST, "/v4/Users", &body).await;
        assert_eq!(text(&weak), (400, "E400_00".into()));
        assert!(weak.json()["message"]["text"].as_str().unwrap().contains("invalid password"), "{weak:?}");
        // Somebody takes the address between the look and the registration.
        stage.double.direct(Box::new(|got| {
            let taken = json!([{"fieldName": "email", "errorCode": 400_003, "message": "email already exists"}]);
            let taken = crate::vendor_gigya::said(400_009, &json!({"validationErrors": taken}));
            (is(got, "register").then_some(Fault::Instead(taken)), None)
        }));
        assert_eq!(stage.create(json!({})).await, (400, "E400_08".into()));
        up(&stage);
        // And one who is there and not here.
        stage.double.people(|people| people.add("uid-2", Person::new(NEW, PASSWORD)).unwrap());
        assert_eq!(stage.create(json!({})).await, (400, "E400_08".into()));
        assert!(stage.here(NEW).await.is_none());
    }

    pub async fn a_user_without_a_password_gets_one_that_nobody_knows(stage: Stage) {
        assert_eq!(stage.create(json!({"password": ""})).await, (200, "S200".into()));
        assert!(stage.at("made-by-gigya").password.len() > 40);
    }

    pub async fn an_address_is_set_there_and_here(stage: Stage) {
        let patch = async |email: &str| {
            let body = json!({"email": email});
            text(&stage.send(Method::PATCH, &format!("/v4/Users/{USER}/Email"), &body).await)
        };
        assert_eq!(text(&stage.get(&format!("/v4/Users/{USER}")).await), (200, "S200".into()));
        assert_eq!(patch(NEW).await, (200, "S200_12".into()));
        assert_eq!(stage.at(USER).email, NEW);
        assert!(stage.here(NEW).await.is_some() && stage.here(EMAIL).await.is_none());
        let set = stage.double.got().into_iter().find(|got| is(got, "setAccountInfo")).unwrap().fields();
        assert_eq!((&set["addLoginEmails"], &set["removeLoginEmails"]), (&NEW.into(), &EMAIL.into()));
        assert_eq!(
            (&set["profile"], &set["muteWebhooks"]),
            (&json!({"email": NEW}).to_string().into(), &"true".into())
        );
        stage.double.people(|people| people.add("uid-2", Person::new("taken@example.com", PASSWORD)).unwrap());
        assert_eq!(patch("taken@example.com").await, (400, "E400_08".into()));
        assert_eq!(stage.at(USER).email, NEW);
        let found = stage.get(&format!("/v4/Users?email={NEW}")).await;
        assert_eq!(found.json()["data"]["customerRegistrationId"], USER);
    }

    pub async fn an_update_is_made_there_and_here(stage: Stage) {
        let put = async |body: Value| text(&stage.send(Method::PUT, &format!("/v4/Users/{USER}"), &body).await);
        assert_eq!(put(json!({"firstName": "Jo", "verified": true})).await, (200, "S200".into()));
        assert_eq!((stage.at(USER).first_name.as_str(), stage.at(USER).email_verified), ("Jo", true));
        let customer = stage.here(EMAIL).await.unwrap();
        assert!(customer.is_email_verified && customer.profile.first_name.as_deref() == Some("Jo"));
        // What is proved stays proved at Gigya, and so it does here.
        assert_eq!(put(json!({"verified": false})).await, (400, "E400_22".into()));
        assert!(stage.here(EMAIL).await.unwrap().is_email_verified);
        stage.double.direct(Box::new(|got| {
            let refused = error(400_020, "Schema validation failed");
            (is(got, "setAccountInfo").then_some(Fault::Instead(refused)), None)
        }));
        assert_eq!(put(json!({"firstName": "Other"})).await, (400, "E400_22".into()));
        assert_eq!(stage.here(EMAIL).await.unwrap().profile.first_name.as_deref(), Some("Jo"));
    }

    pub async fn a_user_whose_creation_was_not_answered_becomes_a_customer(stage: Stage) {
        becomes_a_customer(stage, "register", Fault::Cut).await;
    }

    pub async fn a_user_whose_address_was_not_said_to_be_proved_becomes_a_customer(stage: Stage) {
        becomes_a_customer(stage, "setAccountInfo", Fault::CutBefore).await;
    }

    /// The account is made, and that its address is proved is not said.
    async fn becomes_a_customer(stage: Stage, method: &'static str, fault: Fault) {
        then_down(&stage, method, fault);
        assert_eq!(stage.create(json!({"firstName": "Eve"})).await, (500, "E500".into()));
        assert!(!stage.at("made-by-gigya").email_verified && stage.here(NEW).await.is_none());
        up(&stage);
        stage.settled().await;
        let customer = stage.here(NEW).await.unwrap();
        assert!(customer.is_email_verified && customer.profile.first_name.as_deref() == Some("Eve"));
        // The repeat finds that it is done.
        assert_eq!(stage.create(json!({"firstName": "Eve"})).await, (200, "S200".into()));
        assert_eq!((stage.double.people(|people| people.0.len()), stage.calls("register")), (2, 1));
        assert_eq!(stage.here(NEW).await.unwrap().id, customer.id);
    }

    pub async fn a_stranger_who_signs_up_meanwhile_is_not_taken_for_the_user(stage: Stage) {
        then_down(&stage, "register", Fault::CutBefore);
        assert_eq!(stage.create(json!({})).await, (500, "E500".into()));
        up(&stage);
        stage.double.people(|people| people.add("stranger", Person::new(NEW, "Strangers-pass-1!")).unwrap());
        stage.settled().await;
        assert!(stage.here(NEW).await.is_none());
        assert_eq!(stage.create(json!({})).await, (400, "E400_08".into()));
    }

    pub async fn an_address_whose_answer_was_lost_is_written_here(stage: Stage) {
        assert_eq!(text(&stage.get(&format!("/v4/Users/{USER}")).await), (200, "S200".into()));
        then_down(&stage, "setAccountInfo", Fault::Cut);
        let path = format!("/v4/Users/{USER}/Email");
        let sent = stage.send(Method::PATCH, &path, &json!({"email": NEW})).await;
        assert_eq!(text(&sent), (500, "E500".into()));
        assert!(stage.at(USER).email == NEW && stage.here(NEW).await.is_none(), "they are apart");
        up(&stage);
        stage.settled().await;
        assert!(stage.here(NEW).await.is_some() && stage.here(EMAIL).await.is_none());
    }
}
