//! A shop (the commercetools contract) changes the record of a customer who is a user of Auth0 (a double of it): both sides
//! have the same afterwards, whatever is lost, refused, or done by somebody else meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::Method;
use futures_util::future::BoxFuture;
use keyherald_core::Micros;
use keyherald_store::testing::{TestStore, block_on};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::auth0::{USER, error};
use crate::double::{Fault, Point, Watcher};
use crate::people::{EMAIL, OLD, Person};
use crate::support::Answered;
use crate::users::{Gate, NEW, Stage, on_both, text};

on_both! {
    an_update_is_made_there_and_here_and_no_read_undoes_it,
    what_is_here_alone_is_told_nobody,
    what_will_be_refused_here_is_told_nobody,
    what_the_provider_refuses_is_not_done,
    a_lost_answer_is_looked_after,
    an_update_that_another_one_overtakes_is_given_back,
    an_address_that_is_taken_meanwhile_is_given_back,
    of_two_at_once_both_sides_have_one,
    a_confirmed_address_is_proved_there_too,
    a_password_goes_before_the_rest,
}

impl Stage {
    /// The user as a customer here, and what the shop calls with.
    async fn shop(&self) -> Shop<'_> {
        assert_eq!(text(&self.get("/v4/Users/u1").await), (200, "S200".into()));
        let token = self.server.token("demo-client").await;
        Shop { stage: self, token, id: self.here(EMAIL).await.unwrap().id.to_string() }
    }

    fn at_auth0(&self) -> Person {
        self.double.people(|people| people.0[USER].clone())
    }

    fn changes(&self) -> usize {
        self.double.got().iter().filter(|got| got.method == "PATCH").count()
    }
}

struct Shop<'a> {
    stage: &'a Stage,
    token: String,
    id: String,
}

impl Shop<'_> {
    async fn send(&self, method: Method, path: &str, body: &Value) -> Answered {
        self.stage.server.json(&self.token, method, path, body).await
    }

    async fn update(&self, version: i64, actions: Value) -> Answered {
        let body = json!({"version": version, "actions": actions});
        self.send(Method::POST, &format!("/demo/customers/{}", self.id), &body).await
    }

    async fn shown(&self) -> Value {
        self.send(Method::GET, &format!("/demo/customers/{}", self.id), &Value::Null).await.json()
    }

    async fn version(&self) -> i64 {
        self.shown().await["version"].as_i64().unwrap()
    }

    /// E-mail address and first name, which both sides must have.
    async fn both_have(&self, email: &str, first_name: &str) {
        let (here, there) = (self.shown().await, self.stage.at_auth0());
        let here = (here["email"].as_str().unwrap(), here["firstName"].as_str().unwrap_or_default());
        assert_eq!(here, (email, first_name), "here");
        assert_eq!((there.email.as_str(), there.first_name.as_str()), (email, first_name), "there");
    }

    /// Lets time pass, and what is due be looked after.
    async fn settle(&self) {
        self.stage.server.clock.advance(61 * Micros::SECOND);
        while self.stage.server.app.settle_doubts().await.unwrap() {}
    }
}

fn email_and_name(email: &str, name: &str) -> Value {
    json!([{"action": "changeEmail", "email": email}, {"action": "setFirstName", "firstName": name}])
}

fn code(answered: &Answered) -> (u16, String) {
    let code = answered.json()["errors"][0]["code"].as_str().unwrap_or_default().to_owned();
    (answered.status.as_u16(), code)
}

mod cases {
    use super::*;

    pub async fn an_update_is_made_there_and_here_and_no_read_undoes_it(stage: Stage) {
        let shop = stage.shop().await;
        let answered = shop.update(shop.version().await, email_and_name(NEW, "Jo")).await;
        assert_eq!(answered.status, 200, "{answered:?}");
        let version = answered.json()["version"].as_i64().unwrap();
        shop.both_have(NEW, "Jo").await;
        assert_eq!(stage.doubts().await, 0);
        let events = stage.events(4).await;
        for id in [4610, 4011] {
            assert_eq!(events.iter().filter(|event| **event == (id, "done".into())).count(), 1, "{id}: {events:?}");
        }
        assert_eq!(text(&stage.get("/v4/Users/u1").await), (200, "S200".into()));
        assert_eq!(shop.version().await, version);
    }

    pub async fn what_is_here_alone_is_told_nobody(stage: Stage) {
        let shop = stage.shop().await;
        let (before, version) = (stage.double.got().len(), shop.version().await);
        let actions = json!([
            {"action": "setMiddleName", "middleName": "M"},
            {"action": "setKey", "key": "jo"},
            {"action": "changeEmail", "email": EMAIL},
        ]);
        assert_eq!(shop.update(version, actions).await.status, 200);
        assert_eq!(stage.double.got().len(), before);
    }

    pub async fn what_will_be_refused_here_is_told_nobody(stage: Stage) {
        stage.server.configured("demo", true, &["de"]).await;
        let shop = stage.shop().await;
        stage.server.customer("taken@example.com", OLD).await;
        let version = shop.version().await;
        let before = stage.double.got().len();
        let answered = shop.update(version + 1, email_and_name(NEW, "Jo")).await;
        assert_eq!(code(&answered), (409, "ConcurrentModification".into()));
        let answered = shop.update(version, email_and_name("taken@example.com", "Jo")).await;
        assert_eq!(code(&answered), (400, "DuplicateField".into()));
        let actions = json!([{"action": "setFirstName", "firstName": "Jo"}, {"action": "setLocale", "locale": "fr"}]);
        assert_eq!(shop.update(version, actions).await.status, 400, "no language of the project");
        assert_eq!(stage.double.got().len(), before);
    }

    pub async fn what_the_provider_refuses_is_not_done(stage: Stage) {
        let shop = stage.shop().await;
        stage.double.people(|people| people.add("auth0|u2", Person::new(NEW, OLD)).unwrap());
        let version = shop.version().await;
        let answered = shop.update(version, email_and_name(NEW, "Jo")).await;
        assert_eq!(code(&answered), (400, "DuplicateField".into()));
        assert_eq!(answered.json()["errors"][0]["duplicateValue"], NEW);
        stage.double.next_change(Fault::Instead(error(429, "x", "Global limit", Some("too_many_requests"))));
        let answered = shop.update(version, json!([{"action": "setLastName", "lastName": "Doe"}])).await;
        assert_eq!(answered.status, 503);
        assert!(answered.headers.contains_key("retry-after"));
        assert_eq!((shop.version().await, stage.doubts().await), (version, 0));
        shop.both_have(EMAIL, "").await;
    }

    pub async fn a_lost_answer_is_looked_after(stage: Stage) {
        let shop = stage.shop().await;
        let version = shop.version().await;
        let name = |name: &str| json!([{"action": "setFirstName", "firstName": name}]);
        for (fault, has) in [(Fault::CutBefore, ""), (Fault::Cut, "Jo")] {
            stage.double.next_change(fault);
            let answered = shop.update(version, name("Jo")).await;
            assert_eq!(answered.status, 503);
            assert!(answered.headers.contains_key("retry-after"));
            assert_eq!((shop.version().await, stage.doubts().await), (version, 1), "not known yet");
            shop.settle().await;
            shop.both_have(EMAIL, has).await;
            assert_eq!(stage.doubts().await, 0);
        }
        // A repeat before the look does it at once, and the look finds nothing to do.
        stage.double.next_change(Fault::Cut);
        let version = shop.version().await;
        assert_eq!(shop.update(version, name("Al")).await.status, 503);
        assert_eq!(shop.update(version, name("Al")).await.status, 200);
        shop.settle().await;
        shop.both_have(EMAIL, "Al").await;
        assert_eq!((shop.version().await, stage.doubts().await), (version + 1, 0));
    }

    /// The first change of the address that comes to the provider is applied and held; `meanwhile` happens.
    async fn meanwhile(shop: &Shop<'_>, version: i64, meanwhile: BoxFuture<'_, ()>) -> Answered {
        let (reached, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let gate: Arc<dyn Watcher> = Arc::new(Gate { at: Point::Applied, reached: reached.clone(), go: go.clone() });
        let is_first = AtomicBool::new(true);
        shop.stage.double.direct(Box::new(move |got| {
            let is_held = got.body.contains(NEW) && is_first.swap(false, Ordering::SeqCst);
            (None, is_held.then(|| gate.clone()))
        }));
        let update = shop.update(version, email_and_name(NEW, "Jo"));
        let other = async {
            reached.notified().await;
            assert_eq!(shop.stage.at_auth0().email, NEW);
            meanwhile.await;
            go.notify_one();
        };
        tokio::join!(update, other).0
    }

    pub async fn an_update_that_another_one_overtakes_is_given_back(stage: Stage) {
        stage.double.people(|people| people.0.get_mut(USER).unwrap().first_name = "Old".into());
        let shop = stage.shop().await;
        let version = shop.version().await;
        let overtakes = async {
            let actions = json!([{"action": "setMiddleName", "middleName": "M"}]);
            assert_eq!(shop.update(version, actions).await.status, 200);
        };
        let answered = meanwhile(&shop, version, Box::pin(overtakes)).await;
        assert_eq!(code(&answered), (409, "ConcurrentModification".into()));
        shop.both_have(EMAIL, "Old").await;
        // Whether it was given back is seen by the look.
        assert_eq!(stage.doubts().await, 1);
        shop.settle().await;
        shop.both_have(EMAIL, "Old").await;
        assert_eq!((shop.version().await, stage.doubts().await), (version + 1, 0));
    }

    pub async fn an_address_that_is_taken_meanwhile_is_given_back(stage: Stage) {
        stage.double.people(|people| people.0.get_mut(USER).unwrap().first_name = "Old".into());
        let shop = stage.shop().await;
        let version = shop.version().await;
        let taken = async { drop(stage.server.customer(NEW, OLD).await) };
        let answered = meanwhile(&shop, version, Box::pin(taken)).await;
        assert_eq!(code(&answered), (400, "DuplicateField".into()));
        shop.both_have(EMAIL, "Old").await;
        shop.settle().await;
        shop.both_have(EMAIL, "Old").await;
        assert_eq!((shop.version().await, stage.doubts().await), (version, 0));
    }

    pub async fn of_two_at_once_both_sides_have_one(stage: Stage) {
        stage.double.people(|people| people.0.get_mut(USER).unwrap().first_name = "Old".into());
        let shop = stage.shop().await;
        let version = shop.version().await;
        let other = async {
            assert_eq!(shop.update(version, email_and_name("other@example.com", "Al")).await.status, 200);
        };
        let answered = meanwhile(&shop, version, Box::pin(other)).await;
        assert_eq!(answered.status, 409);
        shop.both_have("other@example.com", "Al").await;
        shop.settle().await;
        shop.both_have("other@example.com", "Al").await;
        assert_eq!((shop.version().await, stage.doubts().await), (version + 1, 0));
    }

    pub async fn a_confirmed_address_is_proved_there_too(stage: Stage) {
        let shop = stage.shop().await;
        assert_eq!(shop.shown().await["isEmailVerified"], false);
        let draft = json!({"id": shop.id, "ttlMinutes": 60});
        let token = shop.send(Method::POST, "/demo/customers/email-token", &draft).await.json();
        let confirm = json!({"tokenValue": token["value"]});
        // Nothing is used up while the provider cannot be told.
        stage.double.next_change(Fault::Instead(error(429, "x", "Global limit", Some("too_many_requests"))));
        assert_eq!(shop.send(Method::POST, "/demo/customers/email/confirm", &confirm).await.status, 503);
        stage.server.clock.advance(61 * Micros::SECOND);
        let answered = shop.send(Method::POST, "/demo/customers/email/confirm", &confirm).await;
        assert_eq!((answered.status.as_u16(), &answered.json()["isEmailVerified"]), (200, &json!(true)));
        assert!(stage.at_auth0().email_verified);
        assert_eq!(text(&stage.get("/v4/Users/u1").await), (200, "S200".into()));
        assert_eq!((&shop.shown().await["isEmailVerified"], stage.doubts().await), (&json!(true), 0));
        // A token that is no good is told nobody.
        let before = stage.changes();
        let answered = shop.send(Method::POST, "/demo/customers/email/confirm", &confirm).await;
        assert_eq!((answered.status.as_u16(), stage.changes()), (404, before));
    }

    pub async fn a_password_goes_before_the_rest(stage: Stage) {
        let shop = stage.shop().await;
        let version = shop.version().await;
        let external = json!([{"action": "setAuthenticationMode", "authMode": "ExternalAuth"}]);
        assert_eq!(shop.update(version, external).await.status, 200);
        let actions = json!([
            {"action": "changeEmail", "email": NEW},
            {"action": "setAuthenticationMode", "authMode": "Password", "password": "New-pass-1!"},
        ]);
        let answered = shop.update(version + 1, actions).await;
        assert_eq!(answered.status, 200, "{answered:?}");
        shop.both_have(NEW, "").await;
        assert_eq!((stage.at_auth0().password.as_str(), stage.doubts().await), ("New-pass-1!", 0));
        let login = json!({"email": NEW, "password": "New-pass-1!"});
        assert_eq!(shop.send(Method::POST, "/demo/login", &login).await.status, 200);
    }
}
