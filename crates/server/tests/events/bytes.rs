//! Kept bytes, signed bytes and sent bytes are the same, whatever becomes of them.

use keyherald::app::CustomerRef;
use keyherald::app::events::{Resend, State};
use keyherald::destination::paysafe;
use keyherald::format::paysafe_credentials_event::Profile;
use keyherald::outbox::Brand;
use keyherald_core::credentials_event::ChangeType;
use keyherald_core::secret::Password;
use serde_json::json;

use crate::partner::Answer;
use crate::stage::{Stage, brand, demo, secrets, settings};

each_engine! {
    every_try_has_the_same_bytes,
    an_event_is_what_the_contract_says,
    each_recovery_has_one_event_and_a_failed_one_has_none,
    two_calls_with_one_proof_have_one_event,
    what_proves_nothing_is_told_only_to_who_asks,
    what_is_erased_is_not_sent,
    extra_headers_are_for_those_who_ask,
    a_secret_that_was_promoted_signs_the_same_bytes,
}

async fn every_try_has_the_same_bytes(mut stage: Stage) {
    stage.send_to("demo", paysafe::Settings { total_timeout_ms: 2000, ..settings(&stage.url) }).await;
    stage.partner.script([
        Answer::Status(500),
        Answer::Never,
        Answer::HangUp,
        Answer::Status(302),
        Answer::Status(503),
    ]);
    let customer = stage.customer("Jo@Example.com").await;
    stage.recover(&customer).await;
    stage.partner.wait_for(3, || stage.an_hour_later()).await;
    // Another process, of another version: it would render it otherwise, and sends what was kept.
    stage.kill().await;
    let other = Brand { profile: Profile::Endpoint, extensions: true, name: "other".into(), ..brand() };
    stage.brands(&[("demo", other)]);
    stage.start();
    stage.partner.wait_for(6, || stage.an_hour_later()).await;
    stage.until_all("demo", State::Delivered).await;
    let event = stage.events("demo").await.remove(0);
    let resent = stage.app.resend_events(demo().project, Resend::These(vec![event.id])).await.unwrap();
    assert_eq!(resent.matched, 1);
    let got = stage.partner.wait_for(7, || stage.an_hour_later()).await;
    stage.until_all("demo", State::Delivered).await;
    let kept = stage.kept(&event).await.unwrap();
    for request in &got {
        assert_eq!(request.body, kept);
        assert!(request.is_signed());
        assert_eq!(request.headers, got[0].headers);
    }
    assert_eq!((got.len(), stage.partner.got().len()), (7, 7), "and 202 ends it");
    assert_eq!(got[0].json()["id"], event.id.to_string());
    assert!(got[0].json().get("customer").is_some() && got[0].json().get("extensions").is_none());
}

async fn an_event_is_what_the_contract_says(stage: Stage) {
    let customer = stage.customer("Jo@Example.com").await;
    stage.recover(&customer).await;
    let got = stage.partner.wait_for(1, || {}).await.remove(0);
    assert_eq!(got.line, "POST /credentials/events HTTP/1.1");
    let mut names: Vec<&str> = got.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["accept", "content-length", "content-type", "host", "signature", "user-agent"]);
    assert_eq!(got.header("content-type"), Some("application/json"));
    let body = got.json();
    let verification = body["credentialsDetails"]["customerIdentifiers"]["email"]["verificationId"].clone();
    assert_eq!(
        body,
        json!({
            "id": body["id"],
            "timestamp": "2026-03-04T05:06:07Z",
            "customer": {"id": customer.number.to_string(), "firstName": "", "lastName": ""},
            "credentialsDetails": {
                "customerIdentifiers": {"email": {"value": "jo@example.com", "verificationId": verification}},
                "type": "PASSWORD_RECOVERY",
            },
        })
    );
    let text = String::from_utf8(got.body).unwrap();
    assert!(!text.contains(": ") && !text.contains("password\""), "{text}");
}

async fn each_recovery_has_one_event_and_a_failed_one_has_none(stage: Stage) {
    let customer = stage.customer("jo@example.com").await;
    let value = stage.token(&customer).await;
    assert!(stage.reset("no such token").await.is_err());
    assert!(stage.events("demo").await.is_empty());
    stage.reset(&value).await.unwrap();
    assert!(stage.reset(&value).await.is_err(), "used");
    assert_eq!(stage.events("demo").await.len(), 1);
    stage.recover(&customer).await;
    assert_eq!(stage.events("demo").await.len(), 2);
    let got = stage.partner.wait_for(2, || {}).await;
    assert_ne!(got[0].json()["id"], got[1].json()["id"]);
}

async fn two_calls_with_one_proof_have_one_event(stage: Stage) {
    let customer = stage.customer("jo@example.com").await;
    let value = stage.token(&customer).await;
    let (one, other) = tokio::join!(stage.reset(&value), stage.reset(&value));
    assert!(one.is_ok() != other.is_ok());
    assert_eq!(stage.events("demo").await.len(), 1);
}

async fn what_proves_nothing_is_told_only_to_who_asks(mut stage: Stage) {
    let customer = stage.customer("jo@example.com").await;
    let password = |text: &str| Password::new(text.to_owned()).unwrap();
    let change = async |stage: &Stage, version, old: &str, new: &str| {
        let (old, new) = (password(old), password(new));
        stage.app.change_password(demo(), customer.id, version, old, new).await.unwrap()
    };
    let changed = change(&stage, customer.version, "old password", "second").await;
    assert!(stage.events("demo").await.is_empty());
    stage.brands(&[("demo", Brand { changes: ChangeType::ALL.to_vec(), token_resets: false, ..brand() })]);
    change(&stage, changed.version, "second", "third").await;
    let got = stage.partner.wait_for(1, || {}).await.remove(0);
    let details = json!({"customerIdentifiers": {"email": {"value": "jo@example.com"}}, "type": "PASSWORD_CHANGE"});
    assert_eq!(got.json()["credentialsDetails"], details);
    stage.recover(&customer).await;
    assert_eq!(stage.events("demo").await.len(), 1, "a mailed token is no recovery to this brand");
}

async fn what_is_erased_is_not_sent(mut stage: Stage) {
    let customer = stage.customer("jo@example.com").await;
    stage.kill().await;
    stage.recover(&customer).await;
    let event = stage.events("demo").await.remove(0);
    assert!(stage.kept(&event).await.is_some());
    let version = customer.version + 1;
    stage.app.delete_customer(demo(), CustomerRef::Id(customer.id), version, true).await.unwrap();
    assert!(stage.kept(&event).await.is_none());
    stage.start();
    stage.until_all("demo", State::Parked).await;
    assert!(stage.partner.got().is_empty());
    let resent = stage.app.resend_events(demo().project, Resend::These(vec![event.id])).await.unwrap();
    assert_eq!(resent.matched, 0);
}

async fn extra_headers_are_for_those_who_ask(mut stage: Stage) {
    stage.kill().await;
    let settings = paysafe::Settings { extra_headers: true, ..settings(&stage.url) };
    let next = keyherald_core::body_signature::SigningSecret::new(&mut stage.app.moments.ctx());
    let both = paysafe::Secrets { next: Some(next), ..secrets() };
    stage.wants("demo", Some((settings, Some(both)))).await;
    stage.start();
    stage.partner.script([Answer::Status(500)]);
    let customer = stage.customer("jo@example.com").await;
    stage.recover(&customer).await;
    let got = stage.partner.wait_for(2, || stage.an_hour_later()).await;
    let id = got[0].json()["id"].as_str().unwrap().to_owned();
    for (request, attempt) in got.iter().zip(["1", "2"]) {
        assert_eq!(request.header("x-event-id"), Some(id.as_str()));
        assert_eq!(request.header("x-event-type"), Some("CUSTOMER_CREDENTIALS"));
        assert_eq!(request.header("x-delivery-attempt"), Some(attempt));
        assert_eq!(request.header("x-delivery-id"), got[0].header("x-delivery-id"));
        assert_eq!(request.header("webhook-id"), Some(id.as_str()));
        assert_eq!(request.header("webhook-signature").unwrap().split(' ').count(), 2);
        assert!(request.is_signed());
    }
    assert_ne!(got[0].header("webhook-signature"), got[1].header("webhook-signature"), "with the time of each try");
}

async fn a_secret_that_was_promoted_signs_the_same_bytes(mut stage: Stage) {
    stage.partner.script([Answer::Status(500)]);
    let customer = stage.customer("jo@example.com").await;
    stage.recover(&customer).await;
    stage.partner.wait_for(1, || {}).await;
    stage.kill().await;
    let promoted = keyherald_core::body_signature::SigningSecret::new(&mut stage.app.moments.ctx());
    let both = paysafe::Secrets { active: promoted.clone(), next: Some(secrets().active) };
    stage.wants("demo", Some((settings(&stage.url), Some(both)))).await;
    stage.start();
    let got = stage.partner.wait_for(2, || stage.an_hour_later()).await;
    assert_eq!(got[0].body, got[1].body);
    assert!(got[0].is_signed() && !got[1].is_signed());
    assert!(promoted.verify(&got[1].body, got[1].header("signature").unwrap()));
}
