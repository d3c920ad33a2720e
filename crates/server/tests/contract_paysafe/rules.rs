//! The rules that a process obeys (paysafe.md 3.6), as a partner's app meets them: each with what was counted and what is
//! allowed. What they are in themselves is tested where they are written, in the core's `verification`.

use keyherald_core::Micros;
use keyherald_core::event::EventType;
use keyherald_store::testing::TestStore;
use serde_json::{Value, json};

use crate::stage::{CREDENTIALS, Stage, VERIFICATIONS, brand, refused, told};
use crate::support::Answered;

on_both! {
    rule_1_each_initiation_is_a_process_of_one_attribute, rule_2_initiations_are_counted_over_all_flows,
    rule_3_above_the_limit_an_attribute_rests, rule_4_the_newest_process_fails_all_others, rule_5_a_process_expires,
    rule_6_attempts_are_counted, rule_7_after_the_last_attempt_there_is_no_rest, rule_8_the_latest_attempt_decides,
    of_many_attempts_at_once_no_more_are_looked_at, nothing_that_is_told_differs_for_the_unknown,
}

const JO: &str = "jo@example.com";

/// Every code is sent at once, and the app's token outlives the hours that pass here.
async fn stage(store: TestStore) -> Stage {
    let mut brand = brand();
    brand.verifying.limits.resend_interval = 0;
    brand.configuration_token_s = 1_000_000;
    let stage = Stage::on(store, brand).await;
    stage.server.customer(JO, "first-password").await;
    stage
}

/// A process of the customer's address, and its code.
async fn begun(stage: &Stage) -> (String, String) {
    let answered = stage.initiate(JO).await;
    assert_eq!(answered.status, 201, "{answered:?}");
    let id = answered.json()["verificationId"].as_str().unwrap().to_owned();
    (id, stage.codes().await.pop().unwrap())
}

/// A code that this one is not.
fn other_than(code: &str) -> &'static str {
    if code == "000000" { "000001" } else { "000000" }
}

/// Status, reason and counters of an attempt.
fn outcome(answered: &Answered) -> Value {
    assert_eq!(answered.status, 201, "{answered:?}");
    let body = answered.json();
    json!([body["status"], body["statusReason"], body["currentAttempts"], body["allowableAttempts"]])
}

/// Why a process takes no more attempts.
fn why_not(answered: &Answered) -> String {
    assert_eq!(told(answered), refused(400, "DW-VERIFICATION-NOT-ACTIVE"));
    answered.json()["error"]["details"][0].as_str().unwrap().to_owned()
}

async fn rule_1_each_initiation_is_a_process_of_one_attribute(store: TestStore) {
    let stage = stage(store).await;
    let ((one, _), (other, code)) = (begun(&stage).await, begun(&stage).await);
    assert_ne!(one, other);
    assert!([one, other.clone()].iter().all(|id| id.len() == 36 && id.as_bytes()[14] == b'4'));
    for (kind, value) in [("EMAIL", "xy@example.com"), ("MOBILE", "+43 664 1234567")] {
        let body = json!({
            "attribute": {"type": kind, "value": value},
            "notificationType": {"method": "OTP"},
            "value": code,
        });
        let answered = stage.post(&format!("{VERIFICATIONS}/{other}/attempts"), &body).await;
        let fields = json!([{"field": "attribute", "error": "must be that of the verification"}]);
        assert_eq!((told(&answered), &answered.json()["error"]["fieldErrors"]), (refused(400, "5068"), &fields));
    }
    // None of them was counted.
    assert_eq!(outcome(&stage.attempt(&other, JO, &code).await), json!(["VERIFIED", null, 1, 3]));
}

async fn rule_2_initiations_are_counted_over_all_flows(store: TestStore) {
    let stage = stage(store).await;
    let flows = ["WALLET_SETUP", "WALLET_UPDATE", "PASSWORD_RESET", "PASSWORD_RESET", "PASSWORD_RESET"];
    for (flow, number) in flows.into_iter().zip(1..) {
        let body = json!({"attribute": {"type": "EMAIL", "value": JO}, "flow": flow});
        let answered = stage.post(VERIFICATIONS, &body).await.json();
        let counted = [&answered["flow"], &answered["currentProcesses"], &answered["allowableProcesses"]];
        assert_eq!(counted, [&json!(flow), &json!(number), &json!(5)]);
    }
    // Another attribute has a count of its own.
    assert_eq!(stage.initiate("ada@example.com").await.json()["currentProcesses"], 1);
}

async fn rule_3_above_the_limit_an_attribute_rests(store: TestStore) {
    let stage = stage(store).await;
    for _ in 0..5 {
        begun(&stage).await;
    }
    let rests = async |seconds: &str| {
        let answered = stage.initiate(JO).await;
        assert_eq!(told(&answered), refused(429, "DW-VERIFICATION-LIMIT-EXCEEDED"));
        assert_eq!(answered.headers["retry-after"], seconds);
    };
    rests("1800").await;
    stage.server.clock.advance(30 * Micros::MINUTE - Micros::SECOND);
    rests("1").await;
    stage.server.clock.advance(Micros::SECOND);
    assert_eq!(stage.initiate(JO).await.json()["currentProcesses"], 1);
}

async fn rule_4_the_newest_process_fails_all_others(store: TestStore) {
    let stage = stage(store).await;
    let (first, second) = (begun(&stage).await, begun(&stage).await);
    let (newest, code) = begun(&stage).await;
    for (id, code) in [first, second] {
        assert_eq!(why_not(&stage.attempt(&id, JO, &code).await), "SUPERSEDED");
    }
    assert_eq!(outcome(&stage.attempt(&newest, JO, &code).await), json!(["VERIFIED", null, 1, 3]));
}

async fn rule_5_a_process_expires(store: TestStore) {
    let stage = stage(store).await;
    let body = stage.initiate(JO).await.json();
    let [from, to] =
        ["creationTime", "expirationTime"].map(|name| Micros::parse_iso(body[name].as_str().unwrap()).unwrap());
    assert_eq!(to.0 - from.0, 10 * Micros::MINUTE);
    let (id, code) = (body["verificationId"].as_str().unwrap(), stage.codes().await.pop().unwrap());
    stage.server.clock.advance(10 * Micros::MINUTE - Micros::SECOND);
    assert_eq!(outcome(&stage.attempt(id, JO, other_than(&code)).await), json!(["FAILED", "INVALID_VALUE", 1, 3]));
    stage.server.clock.advance(Micros::SECOND);
    assert_eq!(why_not(&stage.attempt(id, JO, &code).await), "EXPIRED");
    let (id, code) = begun(&stage).await;
    assert_eq!(outcome(&stage.attempt(&id, JO, &code).await), json!(["VERIFIED", null, 1, 3]));
}

async fn rule_6_attempts_are_counted(store: TestStore) {
    let stage = stage(store).await;
    let (id, code) = begun(&stage).await;
    for number in 1..=2 {
        let wrong = stage.attempt(&id, JO, other_than(&code)).await;
        assert_eq!(outcome(&wrong), json!(["FAILED", "INVALID_VALUE", number, 3]));
    }
    assert_eq!(outcome(&stage.attempt(&id, JO, &code).await), json!(["VERIFIED", null, 3, 3]));
}

async fn rule_7_after_the_last_attempt_there_is_no_rest(store: TestStore) {
    let stage = stage(store).await;
    let (id, code) = begun(&stage).await;
    for (number, reason) in [(1, "INVALID_VALUE"), (2, "INVALID_VALUE"), (3, "ATTEMPTS_EXHAUSTED")] {
        let wrong = stage.attempt(&id, JO, other_than(&code)).await;
        assert_eq!(outcome(&wrong), json!(["FAILED", reason, number, 3]));
    }
    assert_eq!(why_not(&stage.attempt(&id, JO, &code).await), "ATTEMPTS_EXHAUSTED");
    let answered = stage.initiate(JO).await;
    assert_eq!((answered.status.as_u16(), &answered.json()["currentProcesses"]), (201, &json!(2)));
    let (id, code) = begun(&stage).await;
    assert_eq!(outcome(&stage.attempt(&id, JO, &code).await), json!(["VERIFIED", null, 1, 3]));
}

async fn rule_8_the_latest_attempt_decides(store: TestStore) {
    let stage = stage(store).await;
    let (id, code) = begun(&stage).await;
    let recovery = json!({
        "customerIdentifiers": {"email": {"value": JO, "verificationId": id}},
        "customerCredentials": {"password": "second, longer"},
        "deviceInfo": {"appType": "WEB"},
    });
    let recover = async || told(&stage.post(CREDENTIALS, &recovery).await);
    let invalid = refused(400, "DW-CUSTOMER-VERIFICATION-INVALID");
    assert_eq!(recover().await, invalid);
    stage.attempt(&id, JO, other_than(&code)).await;
    assert_eq!(recover().await, invalid);
    assert_eq!(outcome(&stage.attempt(&id, JO, &code).await), json!(["VERIFIED", null, 2, 3]));
    // None follows a success: what was proved stays so.
    assert_eq!(why_not(&stage.attempt(&id, JO, other_than(&code)).await), "ALREADY_VERIFIED");
    assert!(stage.events(EventType::CustomerCredentials).await.is_empty());
    assert_eq!(recover().await.0, 200);
    assert_eq!(why_not(&stage.attempt(&id, JO, &code).await), "CONSUMED");
    assert_eq!(stage.events(EventType::CustomerCredentials).await.len(), 1);
}

async fn of_many_attempts_at_once_no_more_are_looked_at(store: TestStore) {
    let stage = stage(store).await;
    let (id, code) = begun(&stage).await;
    let wrong = || stage.attempt(&id, JO, other_than(&code));
    let answers = tokio::join!(wrong(), wrong(), wrong(), wrong(), wrong(), wrong());
    let answers = [answers.0, answers.1, answers.2, answers.3, answers.4, answers.5];
    let (made, others): (Vec<_>, Vec<_>) = answers.iter().partition(|answered| answered.status == 201);
    let mut counted: Vec<_> = made.iter().map(|answered| answered.json()["currentAttempts"].as_u64()).collect();
    counted.sort_unstable();
    assert_eq!(counted, [Some(1), Some(2), Some(3)]);
    assert!(others.iter().all(|answered| why_not(answered) == "ATTEMPTS_EXHAUSTED"));
    assert_eq!(why_not(&stage.attempt(&id, JO, &code).await), "ATTEMPTS_EXHAUSTED");
}

/// All that an app is told until an address rests: statuses, headers and bodies, but for what names the process.
async fn until_it_rests(stage: &Stage, email: &str) -> Vec<(u16, Vec<(String, Vec<u8>)>, Value)> {
    let mut seen = Vec::new();
    let mut note = |answered: Answered| {
        let headers = answered.headers.iter().filter(|(name, _)| *name != "x-correlation-id");
        let headers = headers.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
        let mut body = answered.json();
        let id = body["verificationId"].as_str().map(str::to_owned);
        for differs in ["verificationId", "verificationAttemptId", "attribute", "notificationType"] {
            body.as_object_mut().unwrap().remove(differs);
        }
        seen.push((answered.status.as_u16(), headers, body));
        id
    };
    for _ in 0..5 {
        let id = note(stage.initiate(email).await).unwrap();
        for _ in 0..4 {
            note(stage.attempt(&id, email, "not it").await);
        }
    }
    note(stage.initiate(email).await);
    seen
}

async fn nothing_that_is_told_differs_for_the_unknown(store: TestStore) {
    let stage = stage(store).await;
    let known = until_it_rests(&stage, JO).await;
    let statuses: Vec<u16> = known.iter().map(|(status, ..)| *status).collect();
    assert_eq!(statuses, [[201, 201, 201, 201, 400].repeat(5), vec![429]].concat());
    assert_eq!(until_it_rests(&stage, "xy@example.com").await, known);
    assert_eq!(stage.codes().await.len(), 5, "and the known one alone was sent codes");
}
