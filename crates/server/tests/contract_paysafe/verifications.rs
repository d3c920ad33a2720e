//! Processes: what is answered when they begin, when codes are tried, and when that is too much.

use keyherald::app::verify_identifier::Verifying;
use keyherald_core::Micros;
use keyherald_store::testing::TestStore;
use serde_json::json;

use crate::stage::{Stage, VERIFICATIONS, brand};

on_both! { a_code_proves_an_address, all_that_is_wrong_is_told_at_once, too_many_are_refused, a_code_waits_its_turn }

async fn a_code_proves_an_address(store: TestStore) {
    let stage = Stage::on(store, brand()).await;
    stage.server.customer("Jo@example.com", "first-password").await;
    let begun = stage.initiate("JO@example.com ").await;
    assert_eq!(begun.status, 201);
    let body = begun.json();
    let id = body["verificationId"].as_str().unwrap();
    let expected = json!({
        "verificationId": id,
        "attribute": {"type": "EMAIL", "value": "jo@example.com"},
        "notificationType": {"method": "OTP", "channel": "EMAIL", "target": "j***@example.com"},
        "flow": "PASSWORD_RESET",
        "currentProcesses": 1,
        "allowableProcesses": 5,
        "creationTime": body["creationTime"],
        "expirationTime": body["expirationTime"],
    });
    assert_eq!(body, expected);
    let codes = stage.codes().await;
    let [code] = codes.as_slice() else { panic!("{} codes", codes.len()) };
    let wrong = stage.attempt(id, "jo@example.com", if code == "000000" { "1" } else { "000000" }).await;
    let body = wrong.json();
    assert_eq!((wrong.status.as_u16(), &body["status"]), (201, &json!("FAILED")));
    assert_eq!((&body["statusReason"], &body["currentAttempts"]), (&json!("INVALID_VALUE"), &json!(1)));
    let mismatch = stage.attempt(id, "joe@example.com", code).await;
    assert_eq!((mismatch.status.as_u16(), &mismatch.json()["error"]["code"]), (400, &json!("5068")));
    let typed = format!("{}-{}", &code[..3], &code[3..]);
    let right = stage.attempt(id, "jo@example.com", &typed).await.json();
    assert_eq!((&right["status"], &right["currentAttempts"]), (&json!("VERIFIED"), &json!(2)));
    let again = stage.attempt(id, "jo@example.com", code).await;
    let error = &again.json()["error"];
    assert_eq!(
        (&error["code"], &error["details"]),
        (&json!("DW-VERIFICATION-NOT-ACTIVE"), &json!(["ALREADY_VERIFIED"]))
    );
    let unknown = stage.attempt("0192f3a1-5b7c-4d3e-9f10-0123456789ab", "jo@example.com", code).await;
    assert_eq!(unknown.json()["error"]["code"], "DW-VERIFICATION-NOT-FOUND");
}

async fn all_that_is_wrong_is_told_at_once(store: TestStore) {
    let stage = Stage::on(store, brand()).await;
    let fields = async |body| {
        let answered = stage.post(VERIFICATIONS, &body).await;
        assert_eq!(answered.status, 400);
        let error = answered.json()["error"].clone();
        assert_eq!(error["code"], "5068");
        let fields = error["fieldErrors"].as_array().cloned().unwrap_or_default();
        fields.iter().map(|field| field["field"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(fields(json!({})).await, ["attribute", "flow"]);
    assert_eq!(fields(json!([])).await, [""; 0]);
    let body = json!({"attribute": {"type": "FAX", "value": 7}, "flow": "LOGIN"});
    assert_eq!(fields(body).await, ["attribute.type", "attribute.value", "flow"]);
    let body = json!({"attribute": {"type": "MOBILE", "value": "0664 123"}, "flow": "PASSWORD_RESET"});
    assert_eq!(fields(body).await, ["attribute.value"]);
}

async fn too_many_are_refused(store: TestStore) {
    let stage = Stage::on(store, brand()).await;
    for number in 1..=5 {
        assert_eq!(stage.initiate("jo@example.com").await.json()["currentProcesses"], number);
    }
    let refused = stage.initiate("jo@example.com").await;
    assert_eq!((refused.status.as_u16(), &refused.headers["retry-after"]), (429, &"1800".parse().unwrap()));
    assert_eq!(refused.json()["error"]["code"], "DW-VERIFICATION-LIMIT-EXCEEDED");
    // 24 more of this source.
    for number in 0..24 {
        assert_eq!(stage.initiate(&format!("jo{number}@example.com")).await.status, 201);
    }
    let refused = stage.initiate("ada@example.com").await;
    assert_eq!((refused.status.as_u16(), &refused.headers["retry-after"]), (429, &"20".parse().unwrap()));
    assert_eq!(refused.json()["error"]["code"], "DW-TOO-MANY-REQUESTS");
}

async fn a_code_waits_its_turn(store: TestStore) {
    let stage = Stage::on(store, brand()).await;
    stage.server.customer("jo@example.com", "first-password").await;
    stage.initiate("jo@example.com").await;
    let id = stage.initiate("jo@example.com").await.json()["verificationId"].as_str().unwrap().to_owned();
    stage.server.app.send_due_codes(|_| Verifying::default()).await.unwrap();
    assert_eq!(stage.codes().await.len(), 1);
    stage.server.clock.advance(30 * Micros::SECOND);
    stage.server.app.send_due_codes(|_| Verifying::default()).await.unwrap();
    stage.server.app.send_due_codes(|_| Verifying::default()).await.unwrap();
    let codes = stage.codes().await;
    assert_eq!(codes.len(), 2);
    assert_eq!(stage.attempt(&id, "jo@example.com", &codes[1]).await.json()["status"], "VERIFIED");
}
