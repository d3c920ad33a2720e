//! Records in doubt: what a lost answer left different at the provider (a double of Auth0) and here becomes the same by
//! itself, with no repeat and no read. Deaths of the real process are in `tests/orchestrate/records.rs`.

use std::sync::Arc;

use axum::http::Method;
use keyherald_core::Micros;
use keyherald_store::Sql;
use keyherald_store::testing::{TestStore, block_on};
use keyherald_store::tx::query_one;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::auth0::{USER, error};
use crate::double::{Fault, Point, Watcher};
use crate::people::{EMAIL, OLD, Person};
use crate::stage;
use crate::support::Answered;
use crate::users::{Gate, NEW, PASSWORD, Stage, on_both, text};

on_both! {
    an_address_whose_answer_was_lost_is_written_here,
    an_address_that_was_not_set_stays,
    what_was_surely_refused_leaves_no_doubt,
    an_address_that_somebody_took_is_given_back,
    a_provider_that_does_not_answer_is_asked_again_and_again_ever_more_rarely,
    a_doubt_ends_with_its_customer,
    a_doubt_ends_with_the_user_there,
    an_update_whose_answer_was_lost_is_written_here,
    of_two_updates_at_once_both_sides_have_one,
    a_user_whose_creation_was_not_answered_becomes_a_customer_and_the_repeat_goes_on,
    a_user_who_proved_the_address_still_gets_the_mail,
    a_user_who_was_not_created_leaves_nothing,
    a_stranger_with_the_address_is_no_customer,
    a_read_does_not_undo_what_came_after_it,
    a_request_with_a_key_is_done_once,
    two_nodes_look_once,
}

/// Longer than anything that was sent can take effect.
const AFTER: i64 = 61 * Micros::SECOND;

impl Stage {
    pub async fn doubts(&self) -> i64 {
        static COUNT: Sql = Sql::both("DOUBTS", "SELECT count(*) FROM record_in_doubt");
        self.server.app.store.read(|tx| query_one(tx, &COUNT, &[], |row| row.int(0))).await.unwrap().unwrap()
    }

    /// What operators are shown of it.
    async fn listed(&self, query: &str) -> Vec<Value> {
        let token = self.server.token("demo-client").await;
        let path = format!("/admin/demo/records-in-doubt{query}");
        let listed = self.server.json(&token, Method::GET, &path, &Value::Null).await;
        assert_eq!(listed.status, 200, "{listed:?}");
        assert!(!String::from_utf8(listed.body.clone()).unwrap().contains('@'), "an address");
        listed.json()["results"].as_array().unwrap().clone()
    }

    /// Lets time pass, and what is due be looked after.
    async fn settle(&self) {
        self.server.clock.advance(AFTER);
        while self.server.app.settle_doubts().await.unwrap() {}
    }

    /// Makes the user a customer here.
    async fn known(&self) {
        assert_eq!(text(&self.get("/v4/Users/u1").await), (200, "S200".into()));
    }

    async fn patch_email(&self, email: &str) -> Answered {
        self.send(Method::PATCH, "/v4/Users/u1/Email", &json!({"email": email})).await
    }

    fn there(&self) -> Person {
        self.double.people(|people| people.0[USER].clone())
    }

    /// From now on the provider does not answer, or does again.
    fn is_down(&self, is_down: bool) {
        self.double.direct(Box::new(move |got| {
            let is_cut = is_down && got.path() != "/oauth/token";
            (is_cut.then(|| Fault::Instead(error(503, "x", "down", None))), None)
        }));
    }

    fn looks(&self) -> usize {
        self.double.got().iter().filter(|got| got.method == "GET").count()
    }

    async fn count(&self, event: u32) -> usize {
        self.events(1).await.into_iter().filter(|(id, outcome)| (*id, outcome.as_str()) == (event, "done")).count()
    }
}

/// The next change is done, and neither that nor anything after it is answered.
fn done_and_then_down(stage: &Stage) {
    let is_cut = std::sync::atomic::AtomicBool::new(false);
    stage.double.direct(Box::new(move |got| {
        if got.path() == "/oauth/token" {
            return (None, None);
        }
        if got.method != "GET" && !is_cut.swap(true, std::sync::atomic::Ordering::SeqCst) {
            return (Some(Fault::Cut), None);
        }
        let is_down = is_cut.load(std::sync::atomic::Ordering::SeqCst);
        (is_down.then(|| Fault::Instead(error(503, "x", "down", None))), None)
    }));
}

mod cases {
    use super::*;

    pub async fn an_address_whose_answer_was_lost_is_written_here(stage: Stage) {
        stage.known().await;
        done_and_then_down(&stage);
        assert_eq!(text(&stage.patch_email(NEW).await), (500, "E500".into()));
        assert!(stage.there().email == NEW && stage.here(EMAIL).await.is_some(), "they are apart");
        stage.is_down(false);
        // Not before nothing that was sent can have an effect any more.
        assert!(!stage.server.app.settle_doubts().await.unwrap());
        assert_eq!((stage.doubts().await, stage.here(NEW).await.is_some()), (1, false));
        let listed = stage.listed("").await;
        let customer = stage.here(EMAIL).await.unwrap().id.to_string();
        assert_eq!((listed.len(), listed[0].as_object().unwrap().len()), (1, 7), "{listed:?}");
        assert_eq!(listed[0]["customerId"], customer);
        assert_eq!(listed[0]["provider"], "auth0-main");
        assert_eq!(listed[0]["code"], "AUTHSYSTEM_USER_CHANGEEMAIL");
        assert_eq!((&listed[0]["since"], &listed[0]["looks"]), (&json!("2026-03-04T05:06:07.890Z"), &json!(0)));
        assert_eq!(listed[0]["nextLookAt"], "2026-03-04T05:07:07.890Z");
        assert_eq!(stage.listed(&format!("?customerId={customer}")).await, listed);
        assert!(stage.listed("?customerId=00000000-0000-4000-8000-000000000000").await.is_empty());
        assert!(stage.listed(&format!("?after={}", listed[0]["id"].as_str().unwrap())).await.is_empty());
        stage.settle().await;
        assert!(stage.listed("").await.is_empty());
        assert!(stage.here(NEW).await.is_some() && stage.here(EMAIL).await.is_none());
        assert_eq!((stage.doubts().await, stage.count(4011).await), (0, 1));
        // And that was all.
        let looks = stage.looks();
        stage.settle().await;
        assert_eq!(stage.looks(), looks);
    }

    pub async fn an_address_that_was_not_set_stays(stage: Stage) {
        stage.known().await;
        stage.double.next_change(Fault::CutBefore);
        assert_eq!(text(&stage.patch_email(NEW).await), (500, "E500".into()));
        assert_eq!(stage.doubts().await, 1);
        stage.settle().await;
        assert_eq!((stage.doubts().await, stage.count(4011).await), (0, 0));
        assert!(stage.here(EMAIL).await.is_some() && stage.there().email == EMAIL);
    }

    pub async fn what_was_surely_refused_leaves_no_doubt(stage: Stage) {
        stage.known().await;
        stage.double.people(|people| people.add("auth0|u2", Person::new(NEW, OLD)).unwrap());
        assert_eq!(text(&stage.patch_email(NEW).await), (400, "E400_08".into()));
        let throttled = || Fault::Instead(error(429, "Too Many Requests", "Global limit", Some("too_many_requests")));
        stage.double.next_change(throttled());
        assert_eq!(text(&stage.patch_email("other@example.com").await), (500, "E500".into()));
        stage.server.clock.advance(AFTER);
        stage.double.next_change(throttled());
        let body = json!({"firstName": "Other"});
        assert_eq!(text(&stage.send(Method::PUT, "/v4/Users/u1", &body).await).0, 500);
        stage.server.clock.advance(AFTER);
        stage.double.next_change(throttled());
        let body = json!({"email": "eve@example.com", "password": PASSWORD});
        assert_eq!(text(&stage.send(Method::POST, "/v4/Users", &body).await).0, 500);
        assert_eq!(stage.doubts().await, 0);
        // Nor does what is done, when the provider takes calls again.
        stage.server.clock.advance(AFTER);
        assert_eq!(text(&stage.send(Method::POST, "/v4/Users", &body).await), (200, "S200".into()));
        assert_eq!(text(&stage.patch_email("other@example.com").await), (200, "S200_12".into()));
        assert_eq!(text(&stage.send(Method::PUT, "/v4/Users/u1", &json!({"firstName": "Al"})).await).0, 200);
        assert_eq!(stage.doubts().await, 0);
    }

    pub async fn an_address_that_somebody_took_is_given_back(stage: Stage) {
        stage.known().await;
        done_and_then_down(&stage);
        assert_eq!(text(&stage.patch_email(NEW).await), (500, "E500".into()));
        stage.server.customer(NEW, OLD).await;
        // The first attempt to give it back is lost.
        let is_first = std::sync::atomic::AtomicBool::new(true);
        stage.double.direct(Box::new(move |got| {
            let is_lost = got.method == "PATCH" && is_first.swap(false, std::sync::atomic::Ordering::SeqCst);
            (is_lost.then_some(Fault::CutBefore), None)
        }));
        stage.settle().await;
        assert_eq!((stage.there().email.as_str(), stage.doubts().await), (NEW, 1));
        for _ in 0..10 {
            stage.settle().await;
        }
        assert_eq!((stage.there().email.as_str(), stage.doubts().await), (EMAIL, 0));
        assert_eq!(stage.count(4011).await, 0);
    }

    pub async fn a_provider_that_does_not_answer_is_asked_again_and_again_ever_more_rarely(stage: Stage) {
        stage.known().await;
        done_and_then_down(&stage);
        assert_eq!(text(&stage.patch_email(NEW).await), (500, "E500".into()));
        let before = stage.looks();
        for _ in 0..200 {
            stage.settle().await;
        }
        let looks = stage.looks() - before;
        assert!((7..=11).contains(&looks), "{looks} looks in more than three hours");
        assert_eq!(stage.doubts().await, 1);
        stage.is_down(false);
        for _ in 0..60 {
            stage.settle().await;
        }
        assert!(stage.here(NEW).await.is_some() && stage.doubts().await == 0);
    }

    pub async fn a_doubt_ends_with_its_customer(stage: Stage) {
        stage.known().await;
        done_and_then_down(&stage);
        assert_eq!(text(&stage.patch_email(NEW).await), (500, "E500".into()));
        let (customer, token) = (stage.here(EMAIL).await.unwrap(), stage.server.token("demo-client").await);
        let path = format!("/demo/customers/{}?version={}", customer.id, customer.version);
        assert_eq!(stage.server.json(&token, Method::DELETE, &path, &Value::Null).await.status, 200);
        assert_eq!(stage.doubts().await, 0);
        stage.is_down(false);
        stage.settle().await;
        assert!(stage.here(NEW).await.is_none() && stage.here(EMAIL).await.is_none());
    }

    pub async fn a_doubt_ends_with_the_user_there(stage: Stage) {
        stage.known().await;
        done_and_then_down(&stage);
        assert_eq!(text(&stage.patch_email(NEW).await), (500, "E500".into()));
        stage.is_down(false);
        stage.double.people(|people| people.0.clear());
        stage.settle().await;
        assert!(stage.here(EMAIL).await.is_some() && stage.doubts().await == 0);
    }

    pub async fn an_update_whose_answer_was_lost_is_written_here(stage: Stage) {
        stage.known().await;
        stage.double.next_change(Fault::Cut);
        let body = json!({"firstName": "Jo", "verified": true});
        assert_eq!(text(&stage.send(Method::PUT, "/v4/Users/u1", &body).await).0, 500);
        assert!(stage.here(EMAIL).await.unwrap().profile.first_name.is_none());
        stage.settle().await;
        let customer = stage.here(EMAIL).await.unwrap();
        assert_eq!((customer.profile.first_name.as_deref(), customer.is_email_verified), (Some("Jo"), true));
        assert_eq!(stage.doubts().await, 0);
    }

    pub async fn of_two_updates_at_once_both_sides_have_one(stage: Stage) {
        stage.known().await;
        // The first one is applied and held; the second one comes, is applied, and is done.
        let (reached, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let gate: Arc<dyn Watcher> = Arc::new(Gate { at: Point::Applied, reached: reached.clone(), go: go.clone() });
        stage.double.direct(Box::new(move |got| {
            (None, (got.method == "PATCH" && got.body.contains("First")).then(|| gate.clone()))
        }));
        let (one, two) = (json!({"firstName": "First"}), json!({"firstName": "Second"}));
        let first = stage.send(Method::PUT, "/v4/Users/u1", &one);
        let second = async {
            reached.notified().await;
            assert_eq!(text(&stage.send(Method::PUT, "/v4/Users/u1", &two).await).0, 200);
            go.notify_one();
        };
        assert_eq!(text(&tokio::join!(first, second).0).0, 200);
        stage.settle().await;
        assert_eq!(stage.there().first_name, "Second");
        assert_eq!(stage.here(EMAIL).await.unwrap().profile.first_name.as_deref(), Some("Second"));
        assert_eq!(stage.doubts().await, 0);
    }

    pub async fn a_user_whose_creation_was_not_answered_becomes_a_customer_and_the_repeat_goes_on(stage: Stage) {
        done_and_then_down(&stage);
        let body = json!({"email": "New@example.com", "password": PASSWORD, "metadata": {"a": 1}});
        assert_eq!(text(&stage.send(Method::POST, "/v4/Users", &body).await).0, 500);
        stage.is_down(false);
        stage.settle().await;
        let customer = stage.here(NEW).await.unwrap();
        assert_eq!((stage.doubts().await, customer.is_email_verified), (0, true));
        // With another password it is somebody else's.
        let other = json!({"email": NEW, "password": "Another-pass-1!"});
        assert_eq!(text(&stage.send(Method::POST, "/v4/Users", &other).await), (400, "E400_08".into()));
        assert_eq!(text(&stage.send(Method::POST, "/v4/Users", &body).await), (200, "S200".into()));
        assert_eq!(stage.here(NEW).await.unwrap().id, customer.id);
        let shown = stage.get("/v4/Users/made-by-auth0").await.json();
        assert_eq!(shown["data"]["metadata"], json!({"a": 1}));
        let token = stage.server.token("demo-client").await;
        let login = json!({"email": NEW, "password": PASSWORD});
        assert_eq!(stage.server.json(&token, Method::POST, "/demo/login", &login).await.status, 200);
        assert_eq!(text(&stage.send(Method::POST, "/v4/Users", &body).await), (400, "E400_08".into()), "it is done");
    }

    pub async fn a_user_who_proved_the_address_still_gets_the_mail(stage: Stage) {
        stage.mails().await;
        let body = json!({"email": NEW, "verifyEmail": true, "metadata": {"a": 1}});
        assert_eq!(text(&stage.send(Method::POST, "/v4/Users", &body).await), (200, "S200".into()));
        let code = stage.letters().await.pop().unwrap().1.unwrap();
        let body = json!({"email": NEW, "verificationCode": code});
        done_and_then_down(&stage);
        assert_eq!(text(&stage.send(Method::POST, "/v4/Users/Verification", &body).await).0, 500);
        stage.is_down(false);
        stage.settle().await;
        assert!(stage.here(NEW).await.is_some());
        assert_eq!(text(&stage.send(Method::POST, "/v4/Users/Verification", &body).await), (200, "S200".into()));
        let welcome = stage.letters().await.pop().unwrap().0;
        assert!(matches!(welcome, keyherald_core::message::Content::CustomerWelcomed { .. }), "{welcome:?}");
        let again = text(&stage.send(Method::POST, "/v4/Users/Verification", &body).await);
        assert_eq!(again, (400, "E400_16".into()));
    }

    pub async fn a_user_who_was_not_created_leaves_nothing(stage: Stage) {
        stage.double.next_change(Fault::CutBefore);
        let body = json!({"email": NEW, "password": PASSWORD});
        assert_eq!(text(&stage.send(Method::POST, "/v4/Users", &body).await).0, 500);
        assert_eq!(stage.doubts().await, 1);
        let listed = stage.listed("").await;
        assert_eq!(listed[0]["code"], "AUTHSYSTEM_USER_CREATE");
        assert!(listed[0].get("customerId").is_none());
        stage.settle().await;
        assert!(stage.here(NEW).await.is_none() && stage.doubts().await == 0);
        assert_eq!(text(&stage.send(Method::POST, "/v4/Users", &body).await), (200, "S200".into()));
    }

    pub async fn a_stranger_with_the_address_is_no_customer(stage: Stage) {
        stage.double.next_change(Fault::CutBefore);
        let body = json!({"email": NEW, "password": PASSWORD});
        assert_eq!(text(&stage.send(Method::POST, "/v4/Users", &body).await).0, 500);
        stage.double.people(|people| people.add("auth0|stranger", Person::new(NEW, "Strangers-pass-1!")).unwrap());
        stage.settle().await;
        assert!(stage.here(NEW).await.is_none() && stage.doubts().await == 0);
    }

    pub async fn a_read_does_not_undo_what_came_after_it(stage: Stage) {
        stage.known().await;
        let (reached, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let gate: Arc<dyn Watcher> = Arc::new(Gate { at: Point::Applied, reached: reached.clone(), go: go.clone() });
        let is_first = std::sync::atomic::AtomicBool::new(true);
        stage.double.direct(Box::new(move |got| {
            let is_read = got.method == "GET" && is_first.swap(false, std::sync::atomic::Ordering::SeqCst);
            (None, is_read.then(|| gate.clone()))
        }));
        // The read has seen the old address; the new one is set everywhere before it goes on.
        let read = stage.get("/v4/Users/u1");
        let meanwhile = async {
            reached.notified().await;
            assert_eq!(text(&stage.patch_email(NEW).await), (200, "S200_12".into()));
            go.notify_one();
        };
        assert_eq!(tokio::join!(read, meanwhile).0.status, 200);
        assert!(stage.here(NEW).await.is_some() && stage.there().email == NEW);
    }

    pub async fn a_request_with_a_key_is_done_once(stage: Stage) {
        stage.known().await;
        let send = async |method: Method, path: &str, body: Value| {
            let mut headers = stage::headers();
            headers.push(("idempotency-key", format!("key-of-{path}")));
            text(&stage.server.send(method, path, &headers, body.to_string()).await)
        };
        let (one, other) = (json!({"email": NEW}), json!({"email": "other@example.com"}));
        let path = "/v4/Users/u1/Email";
        assert_eq!(send(Method::PATCH, path, one.clone()).await, (200, "S200_12".into()));
        assert_eq!(text(&stage.patch_email("third@example.com").await), (200, "S200_12".into()));
        // What came between stays.
        assert_eq!(send(Method::PATCH, path, one).await, (200, "S200_12".into()));
        assert_eq!(stage.there().email, "third@example.com");
        assert_eq!(send(Method::PATCH, path, other).await, (400, "E400_00".into()));
        let (one, other) = (json!({"firstName": "One"}), json!({"firstName": "Other"}));
        let path = "/v4/Users/u1";
        assert_eq!(send(Method::PUT, path, one.clone()).await, (200, "S200".into()));
        assert_eq!(text(&stage.send(Method::PUT, path, &other).await), (200, "S200".into()));
        assert_eq!(send(Method::PUT, path, one).await, (200, "S200".into()));
        assert_eq!(stage.there().first_name, "Other");
        assert_eq!(send(Method::PUT, path, other).await, (400, "E400_00".into()));
        // Of a mix, the last change stands for the request: none is left out.
        let mix = json!({"FirstName": "Mix", "Email": "mix@example.com", "Password": PASSWORD});
        let mut headers = stage::headers();
        headers.push(("idempotency-key", "mix".into()));
        for _ in 0..2 {
            let answered = stage.server.send(Method::PUT, "/User/u1", &headers, mix.to_string()).await.json();
            assert_eq!(answered["Result"]["Updated"], true, "{answered}");
        }
        let there = stage.there();
        assert_eq!((there.first_name.as_str(), there.email.as_str()), ("Mix", "mix@example.com"));
        assert_eq!((there.password.as_str(), there.changes), (PASSWORD, 1));
    }

    pub async fn two_nodes_look_once(stage: Stage) {
        stage.known().await;
        done_and_then_down(&stage);
        assert_eq!(text(&stage.patch_email(NEW).await), (500, "E500".into()));
        stage.is_down(false);
        let before = stage.looks();
        stage.server.clock.advance(AFTER);
        let (one, other) = (stage.server.app.clone(), stage.server.app.clone());
        let (one, other) = tokio::join!(one.settle_doubts(), other.settle_doubts());
        assert!(one.is_ok() && other.is_ok());
        assert_eq!((stage.looks() - before, stage.doubts().await, stage.count(4011).await), (1, 0, 1));
    }
}
