//! Codes that a partner delivers: told once, good for what they were made for, and gone with their process.

use keyherald::app::events::{Asked, Resend};
use keyherald_core::Micros;
use keyherald_core::event::EventType;
use serde_json::Value;

use crate::partner::{Answer, Got};
use crate::stage::{CODE_LIFE, Stage, demo};

each_engine! {
    the_code_in_the_event_proves_the_address,
    a_code_goes_with_its_process,
    nobody_is_told_a_code_of_nobody,
    who_is_no_customer_yet_has_a_lane_of_its_own,
    who_sends_no_codes_hears_of_processes_without_them,
    who_asks_for_it_hears_what_came_to_nothing,
}

const JO: &str = "jo@example.com";

fn code_of(got: &Got) -> String {
    assert_eq!(got.line, "POST /customers/data-verifications/events HTTP/1.1");
    got.json()["verificationProcess"]["value"].as_str().unwrap().to_owned()
}

async fn the_code_in_the_event_proves_the_address(stage: Stage) {
    let customer = stage.customer("Jo@Example.com").await;
    let token = stage.app_token().await;
    stage.partner.script([Answer::Status(503)]);
    let id = stage.initiate(&token, " JO@example.com").await;
    let got = stage.partner.wait_for(2, || stage.an_hour_later()).await;
    assert!(got[0].body == got[1].body && got[0].is_signed() && got[1].is_signed());
    let code = code_of(&got[0]);
    assert!(code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit()));
    let told = got[0].json();
    assert_eq!(told["customer"]["id"], customer.number.to_string());
    let process = &told["verificationProcess"];
    assert_eq!((&process["id"], &process["flow"]), (&Value::from(id.as_str()), &Value::from("PASSWORD_RESET")));
    assert_eq!(process["attribute"]["value"], "jo@example.com");
    assert_eq!(process["notificationType"]["target"], "j***@example.com");
    stage.until("its body is erased with the first success", async || stage.bodies().await == 0).await;
    assert_eq!(stage.attempt(&token, &id, JO, &code).await, "VERIFIED");
    // It is never sent again, whoever asks and however.
    let event = told["id"].as_str().unwrap().parse().unwrap();
    let codes = Asked { event_type: EventType::CustomerDataVerification, ..stage.all() };
    for what in [Resend::These(vec![event]), Resend::Span(codes)] {
        assert_eq!(stage.app.resend_events(demo().project, what).await.unwrap().matched, 0);
    }
    stage.recover(&customer).await;
    let got = stage.partner.wait_for(3, || stage.an_hour_later()).await;
    assert_eq!((got[2].line.as_str(), got.len()), ("POST /credentials/events HTTP/1.1", 3));
}

async fn a_code_goes_with_its_process(mut stage: Stage) {
    stage.customer(JO).await;
    let token = stage.app_token().await;
    stage.kill().await; // nothing is delivered: what goes, goes for another reason
    let id = stage.initiate(&token, JO).await;
    assert_eq!(stage.bodies().await, 1);
    for (number, left) in [(1, 1), (2, 1), (3, 0)] {
        assert_eq!(stage.attempt(&token, &id, JO, "x").await, "FAILED");
        assert_eq!(stage.bodies().await, left, "after {number} wrong codes");
    }
    stage.initiate(&token, JO).await;
    stage.initiate(&token, JO).await;
    assert_eq!(stage.bodies().await, 1, "the newer one took the older one's place");
    // One that is right ends it too, though the partner has not accepted the event.
    stage.partner.script([Answer::Status(503); 1000]);
    stage.start();
    let id = stage.initiate(&token, JO).await;
    let mine = |got: &Got| got.json()["verificationProcess"]["id"] == id.as_str();
    stage
        .until("the code is told", async || {
            stage.partner.got().iter().any(mine) || {
                stage.an_hour_later();
                false
            }
        })
        .await;
    stage.kill().await;
    let code = code_of(stage.partner.got().iter().find(|got| mine(got)).unwrap());
    assert_eq!(stage.bodies().await, 1);
    assert_eq!(stage.attempt(&token, &id, JO, &code).await, "VERIFIED");
    assert_eq!(stage.bodies().await, 0);
    // And so does the end of its time.
    stage.initiate(&token, JO).await;
    stage.clock.advance(CODE_LIFE);
    while stage.app.sweep_once().await.unwrap() {}
    assert_eq!(stage.bodies().await, 0);
    let before = stage.partner.got().len();
    stage.start();
    let customer = stage.customer("ada@example.com").await;
    stage.recover(&customer).await;
    let got = stage.partner.wait_for(before + 1, || {}).await;
    assert_eq!(got[before].line, "POST /credentials/events HTTP/1.1", "what has ended is not sent");
}

async fn nobody_is_told_a_code_of_nobody(stage: Stage) {
    let customer = stage.customer(JO).await;
    let token = stage.app_token().await;
    stage.initiate(&token, "unknown@example.com").await;
    assert_eq!(stage.bodies().await, 0);
    stage.recover(&customer).await;
    let got = stage.partner.wait_for(1, || {}).await;
    assert_eq!(got[0].line, "POST /credentials/events HTTP/1.1");
}

async fn who_is_no_customer_yet_has_a_lane_of_its_own(stage: Stage) {
    let token = stage.app_token().await;
    let id = stage.initiate_for(&token, "new@example.com", "WALLET_SETUP").await;
    let got = stage.partner.wait_for(1, || {}).await;
    assert!(got[0].json().get("customer").is_none());
    assert_eq!(stage.attempt(&token, &id, "new@example.com", &code_of(&got[0])).await, "VERIFIED");
}

/// The events about a process, as far as the partner has got them: flow, value, error.
fn told_of(stage: &Stage, id: &str) -> Vec<(Option<String>, Option<String>)> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let about = stage.partner.got().into_iter().map(|got| got.json()["verificationProcess"].clone());
    let mine = about.filter(|process| process["id"] == id);
    mine.map(|process| (text(&process["value"]), text(&process["errorCode"]))).collect()
}

async fn who_sends_no_codes_hears_of_processes_without_them(mut stage: Stage) {
    stage.serve(|verifying| {
        verifying.partner_tells = false;
        verifying.partner_hears = true;
    });
    let customer = stage.customer(JO).await;
    let token = stage.app_token().await;
    let id = stage.initiate(&token, JO).await;
    stage.initiate(&token, "unknown@example.com").await;
    let got = stage.partner.wait_for(1, || {}).await;
    let told = got[0].json();
    assert_eq!(
        (got[0].line.as_str(), got[0].is_signed()),
        ("POST /customers/data-verifications/events HTTP/1.1", true)
    );
    assert_eq!(told["customer"]["id"], customer.number.to_string());
    assert_eq!(told["verificationProcess"]["notificationType"]["target"], "j***@example.com");
    assert_eq!(told_of(&stage, &id), [(None, None)]);
    stage.recover(&customer).await;
    let got = stage.partner.wait_for(2, || {}).await;
    assert_eq!(got[1].line, "POST /credentials/events HTTP/1.1", "nothing was told of the unknown address");
}

async fn who_asks_for_it_hears_what_came_to_nothing(mut stage: Stage) {
    stage.serve(|verifying| {
        verifying.tells_failures = true;
        verifying.limits.code_life = 10 * Micros::MINUTE;
    });
    stage.customer(JO).await;
    let token = stage.app_token().await;
    // Each is told of before it ends: what was not told by then never is.
    let superseded = stage.initiate(&token, JO).await;
    stage.partner.wait_for(1, || {}).await;
    let exhausted = stage.initiate(&token, JO).await;
    stage.partner.wait_for(2, || {}).await;
    for _ in 0..3 {
        assert_eq!(stage.attempt(&token, &exhausted, JO, "x").await, "FAILED");
    }
    let expired = stage.initiate_for(&token, "new@example.com", "WALLET_SETUP").await;
    let unknown = stage.initiate(&token, "unknown@example.com").await;
    let verified = stage.initiate_for(&token, "ada@example.com", "WALLET_SETUP").await;
    let got = stage.partner.wait_for(4, || {}).await;
    let code = code_of(got.iter().find(|got| got.json()["verificationProcess"]["id"] == verified.as_str()).unwrap());
    assert_eq!(stage.attempt(&token, &verified, "ada@example.com", &code).await, "VERIFIED");
    assert!(!stage.app.tell_failures().await.unwrap());
    stage.clock.advance(10 * Micros::MINUTE);
    for _ in 0..2 {
        assert!(!stage.app.tell_failures().await.unwrap(), "nothing is told twice");
    }
    let error_of = |id: &str| told_of(&stage, id).into_iter().filter_map(|(_, error)| error).collect::<Vec<_>>();
    stage.partner.wait_for(7, || {}).await;
    assert_eq!(error_of(&superseded), ["SUPERSEDED"]);
    assert_eq!(error_of(&exhausted), ["ATTEMPTS_EXHAUSTED"]);
    assert_eq!(error_of(&expired), ["EXPIRED"]);
    assert!(told_of(&stage, &unknown).is_empty() && error_of(&verified).is_empty());
    let failures =
        stage.partner.got().into_iter().filter(|got| got.json()["verificationProcess"]["errorCode"].is_string());
    assert!(failures.into_iter().all(|got| got.json()["verificationProcess"].get("value").is_none()));
}
