//! Every endpoint's refusals: one envelope, and each member that is wrong by its path (paysafe.md 7.2).

use axum::http::Method;
use keyherald::dialect::paysafe;
use keyherald_store::testing::TestStore;
use serde_json::{Value, json};

use crate::stage::{Stage, brand, refused, told};
use crate::support::{Answered, basic};

on_both! { every_endpoint_refuses_in_one_envelope, whoever_must_not_call_is_told_so_everywhere, required_members_are_told_by_path }

/// The endpoint's method and a path that it serves.
fn endpoints() -> Vec<(Method, String)> {
    let filled = |path: &str| {
        let path = path.replace("{brand}", "wallet").replace("{customerId}", "500000334204");
        path.replace("{verificationId}", "0192f3a1-5b7c-4d3e-9f10-0123456789ab")
    };
    let all: Vec<_> = paysafe::endpoints().map(|(method, path)| (method.clone(), filled(path))).collect();
    assert!(all.len() >= 12 && all.iter().all(|(_, path)| !path.contains('{')), "{all:?}");
    all
}

/// Nothing but the envelope, and nothing in it but its members. Answers its `fieldErrors`' paths.
fn enveloped(answered: &Answered) -> Vec<String> {
    assert_eq!(answered.headers["content-type"], "application/json", "{answered:?}");
    assert!(!answered.headers.contains_key("x-application-status-code"));
    let body = answered.json();
    let members = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
    assert_eq!(members(&body), ["error"]);
    let error = &body["error"];
    let known = ["code", "message", "details", "fieldErrors"];
    assert!(members(error).iter().all(|name| known.contains(&name.as_str())), "{error}");
    assert!(text(&error["code"]) && text(&error["message"]), "{error}");
    let code = error["code"].as_str().unwrap();
    assert!(code == "5068" || code.starts_with("DW-"), "{error}");
    for list in ["details", "fieldErrors"].iter().filter_map(|name| error.get(name)) {
        assert!(!list.as_array().unwrap().is_empty(), "absent, and not empty: {error}");
    }
    assert!(error["details"].as_array().into_iter().flatten().all(text), "{error}");
    let fields = error["fieldErrors"].as_array().cloned().unwrap_or_default();
    for field in &fields {
        let mut names = members(field);
        names.sort();
        assert_eq!(names, ["error", "field"]);
        assert!(text(&field["field"]) && text(&field["error"]));
    }
    fields.iter().map(|field| field["field"].as_str().unwrap().to_owned()).collect()
}

/// Calls as whoever may: clients with their secret for tokens, the back end or else the app with theirs for the rest.
async fn call(stage: &Stage, admin: &str, (method, path): (Method, &str), body: &str) -> Answered {
    let send = async |authorization: String, content_type: &str| {
        let headers = [("authorization", authorization), ("content-type", content_type.to_owned())];
        stage.server.send(method.clone(), path, &headers, body.to_owned()).await
    };
    if path.ends_with("/token") {
        return send(basic("app-client"), "application/x-www-form-urlencoded").await;
    }
    let mut answered = send(format!("Bearer {admin}"), "application/json").await;
    if answered.status == 403 {
        answered = send(format!("Bearer {}", stage.token), "application/json").await;
    }
    if answered.status == 403 {
        let (customer, _) = stage.sign_in("jo@example.com", "first-password").await.unwrap();
        answered = send(format!("Bearer {customer}"), "application/json").await;
    }
    answered
}

async fn every_endpoint_refuses_in_one_envelope(store: TestStore) {
    let stage = Stage::on(store, brand()).await;
    stage.server.customer("jo@example.com", "first-password").await;
    let admin = stage.admin().await;
    for (method, path) in endpoints() {
        let other = if method == Method::GET { Method::POST } else { Method::GET };
        for method in [other, Method::DELETE] {
            // Where another endpoint has the same path, it is that one's answer.
            if !endpoints().contains(&(method.clone(), path.clone())) {
                let answered = call(&stage, &admin, (method, &path), "").await;
                assert_eq!(told(&answered), refused(405, "DW-METHOD-NOT-ALLOWED"), "{path}");
                assert!(enveloped(&answered).is_empty());
            }
        }
        if method == Method::POST || method == Method::PUT {
            for unreadable in ["", "{", "[]", "7", "{\"attribute\":", "\u{feff}{}"] {
                let answered = call(&stage, &admin, (method.clone(), &path), unreadable).await;
                assert_eq!(told(&answered), refused(400, "5068"), "{path} {unreadable}");
                let fields = enveloped(&answered);
                assert!(fields.is_empty() || path.ends_with("/token"), "{path} {unreadable} {fields:?}");
            }
        }
    }
    let answered = call(&stage, &admin, (Method::GET, "/digitalwallets/v1/nothing"), "").await;
    assert_eq!(told(&answered), refused(404, "DW-NOT-FOUND"));
    assert!(enveloped(&answered).is_empty());
}

async fn whoever_must_not_call_is_told_so_everywhere(store: TestStore) {
    let stage = Stage::on(store, brand()).await;
    let others = stage.server.token("other-client").await;
    for (method, path) in endpoints() {
        for authorization in ["", "Bearer", "Bearer dead", "Basic !", &format!("Bearer {others}")] {
            let headers = [("authorization", authorization.to_owned())];
            let answered = stage.server.send(method.clone(), &path, &headers, "{}".to_owned()).await;
            let expected = [refused(401, "DW-UNAUTHORIZED"), refused(403, "DW-INSUFFICIENT-SCOPE")];
            assert!(expected.contains(&told(&answered)), "{path} {authorization} {answered:?}");
            assert!(enveloped(&answered).is_empty());
        }
    }
}

async fn required_members_are_told_by_path(store: TestStore) {
    let stage = Stage::on(store, brand()).await;
    let customer = stage.server.customer("jo@example.com", "first-password").await;
    let admin = stage.admin().await;
    for (method, path) in endpoints() {
        let path = path.replace("500000334204", &customer.number.to_string());
        let expected: &[&str] = match path.rsplit('/').next().unwrap() {
            "token" => &["grant_type"],
            "verifications" => &["attribute", "flow"],
            "attempts" => &["attribute", "notificationType.method", "value"],
            "customer-credentials" if method == Method::PUT => &["currentPassword", "newPassword"],
            "customer-credentials" | "customers" => {
                &["customerIdentifiers", "customerCredentials.password", "deviceInfo"]
            }
            "change-notifications" => &["changeType", "changeTime"],
            "credentials" => &["flow", "returnUrl"],
            "resend" => &["eventIds"],
            "notifications" => continue, // needs no member; what is wrong with its query is tested with it
            other => panic!("an endpoint of which this test knows nothing: {other}"),
        };
        let body = if path.ends_with("/token") { String::new() } else { json!({}).to_string() };
        let answered = call(&stage, &admin, (method, &path), &body).await;
        assert_eq!(
            (told(&answered), enveloped(&answered).as_slice()),
            (refused(400, "5068"), &expected.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>()[..]),
            "{path}"
        );
    }
}
