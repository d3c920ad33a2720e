//! A new password for somebody who has proved an address.

use axum::http::Method;
use keyherald::app::{Call, CustomerRef};
use keyherald_core::Micros;
use keyherald_core::credential::AuthenticationMode;
use keyherald_core::customer::Customer;
use keyherald_core::event::EventType;
use keyherald_core::policy::{Form, Rule};
use keyherald_core::secret::Password;
use keyherald_core::update::{Action, Command};
use keyherald_core::verification::Kind;
use keyherald_store::testing::TestStore;
use serde_json::{Value, json};

use crate::stage::{CREDENTIALS, Stage, brand, refused, told};

on_both! {
    a_proof_replaces_a_password_once, of_two_at_once_one_wins, whatever_is_wrong_with_a_proof_is_told_alike,
    a_refused_password_uses_nothing_up, a_pin_is_one, what_the_brand_asks_for_must_be_there,
    all_that_is_wrong_is_told_at_once, too_many_are_refused, too_many_of_one_customer_are_refused,
    whoever_signs_in_elsewhere_is_refused,    a_repeat_has_the_same_answer,
}

/// The body of a call with an e-mail address.
fn body(email: &str, id: &str, password: &str) -> Value {
    json!({
        "customerIdentifiers": {"email": {"value": email, "verificationId": id}},
        "customerCredentials": {"password": password},
        "deviceInfo": {"appType": "WEB", "fingerprint": "f-1", "more": {"kept": true}},
    })
}

fn invalid() -> (u16, String) {
    refused(400, "DW-CUSTOMER-VERIFICATION-INVALID")
}

async fn signs_in(stage: &Stage, email: &str, password: &str) -> bool {
    let form = format!("grant_type=password&username={}&password={password}", email.replace('@', "%40"));
    stage.grant("app-client", &form).await.status == 200
}

async fn a_proof_replaces_a_password_once(store: TestStore) {
    let stage = Stage::on(store, brand()).await;
    let customer = stage.server.customer("Jo@example.com", "first-password").await;
    let form = "grant_type=password&username=jo%40example.com&password=first-password";
    let session = stage.grant("app-client", form).await.json();
    let id = stage.prove("jo@example.com").await;
    let answered = stage.post(CREDENTIALS, &body("JO@example.com", &id, "second, longer")).await;
    assert_eq!((answered.status.as_u16(), answered.json()), (200, json!({})));
    assert!(signs_in(&stage, "jo@example.com", "second, longer").await);
    assert!(!signs_in(&stage, "jo@example.com", "first-password").await);
    let refresh = session["refresh_token"].as_str().unwrap();
    let again = stage.grant("app-client", &format!("grant_type=refresh_token&refresh_token={refresh}")).await;
    assert_eq!(again.status, 401, "all sessions have ended");
    assert_eq!(told(&stage.post(CREDENTIALS, &body("jo@example.com", &id, "third, longer")).await), invalid());
    let events = stage.events(EventType::CustomerCredentials).await;
    let [event] = events.as_slice() else { panic!("{} events", events.len()) };
    assert_eq!(event["customer"]["id"], customer.number.to_string());
    let expected = json!({
        "customerIdentifiers": {"email": {"value": "jo@example.com", "verificationId": id}},
        "type": "PASSWORD_RECOVERY",
    });
    assert_eq!(event["credentialsDetails"], expected);
    let attempt = stage.attempt(&id, "jo@example.com", "123456").await.json();
    assert_eq!(attempt["error"]["details"], json!(["CONSUMED"]));
}

async fn of_two_at_once_one_wins(store: TestStore) {
    let stage = Stage::on(store, brand()).await;
    stage.server.customer("jo@example.com", "first-password").await;
    let id = stage.prove("jo@example.com").await;
    let passwords = ["second, longer", "third, longer", "fourth, longer"];
    let bodies = passwords.map(|password| body("jo@example.com", &id, password));
    let answers = tokio::join!(
        stage.post(CREDENTIALS, &bodies[0]),
        stage.post(CREDENTIALS, &bodies[1]),
        stage.post(CREDENTIALS, &bodies[2])
    );
    let answers = [answers.0, answers.1, answers.2];
    let won: Vec<usize> = (0..3).filter(|&at| answers[at].status == 200).collect();
    let [won] = won.as_slice() else { panic!("{won:?} won") };
    for (at, answered) in answers.iter().enumerate() {
        assert!(at == *won || told(answered) == invalid(), "{answered:?}");
        assert_eq!(signs_in(&stage, "jo@example.com", passwords[at]).await, at == *won);
    }
    assert_eq!(stage.events(EventType::CustomerCredentials).await.len(), 1);
}

async fn whatever_is_wrong_with_a_proof_is_told_alike(store: TestStore) {
    let stage = Stage::on(store, brand()).await;
    stage.server.customer("jo@example.com", "first-password").await;
    stage.server.customer("ada@example.com", "first-password").await;
    let attempted =
        async |email: &str, id: &str| told(&stage.post(CREDENTIALS, &body(email, id, "second, longer")).await);
    // Unknown, of no form, not successful, of another value, for another purpose.
    assert_eq!(attempted("jo@example.com", "0192f3a1-5b7c-4d3e-9f10-0123456789ab").await, invalid());
    assert_eq!(attempted("jo@example.com", "1").await, invalid());
    let begun = stage.initiate("jo@example.com").await.json()["verificationId"].as_str().unwrap().to_owned();
    assert_eq!(attempted("jo@example.com", &begun).await, invalid());
    let id = stage.prove("jo@example.com").await;
    assert_eq!(attempted("ada@example.com", &id).await, invalid());
    let other = stage.prove_for("WALLET_UPDATE", "ada@example.com").await;
    assert_eq!(attempted("ada@example.com", &other).await, invalid());
    // Superseded.
    stage.initiate("jo@example.com").await;
    assert_eq!(attempted("jo@example.com", &id).await, invalid());
    // Too old.
    stage.server.clock.advance(Micros::HOUR);
    let token = stage.grant("app-client", "grant_type=client_credentials").await.json();
    let stage = Stage { token: token["access_token"].as_str().unwrap().to_owned(), ..stage };
    let id = stage.prove("jo@example.com").await;
    stage.server.clock.advance(14 * Micros::MINUTE);
    let token = stage.grant("app-client", "grant_type=client_credentials").await.json();
    let stage = Stage { token: token["access_token"].as_str().unwrap().to_owned(), ..stage };
    stage.server.clock.advance(Micros::MINUTE);
    let answered = stage.post(CREDENTIALS, &body("jo@example.com", &id, "second, longer")).await;
    assert_eq!(told(&answered), invalid());
    assert!(stage.events(EventType::CustomerCredentials).await.is_empty());
    assert!(signs_in(&stage, "jo@example.com", "first-password").await);
}

async fn a_refused_password_uses_nothing_up(store: TestStore) {
    let stage = Stage::on(store, brand()).await;
    stage.server.customer("jo@example.com", "first-password").await;
    let id = stage.prove("jo@example.com").await;
    for (password, code, details) in [
        ("seven77", "DW-CUSTOMER-CREDENTIALS-POLICY", json!(["it must have at least 8 characters"])),
        ("first-password", "DW-CUSTOMER-CREDENTIALS-REUSED", json!(["it was used before"])),
    ] {
        let answered = stage.post(CREDENTIALS, &body("jo@example.com", &id, password)).await;
        assert_eq!(told(&answered), refused(400, code));
        assert_eq!(answered.json()["error"]["details"], details);
    }
    let long = stage.post(CREDENTIALS, &body("jo@example.com", &id, &"é".repeat(129))).await;
    assert_eq!(told(&long), refused(400, "DW-CUSTOMER-CREDENTIALS-POLICY"));
    // Eight code points, once they are put together.
    let answered = stage.post(CREDENTIALS, &body("jo@example.com", &id, "Cafe\u{301}-lu")).await;
    assert_eq!(told(&answered), refused(400, "DW-CUSTOMER-CREDENTIALS-POLICY"));
    assert!(stage.events(EventType::CustomerCredentials).await.is_empty());
    let answered = stage.post(CREDENTIALS, &body("jo@example.com", &id, "Cafe\u{301}-lun")).await;
    assert_eq!(answered.status, 200, "{answered:?}");
    assert_eq!(stage.events(EventType::CustomerCredentials).await.len(), 1);
}

async fn a_pin_is_one(store: TestStore) {
    let rule = Rule { form: Form::Pin { digits: 6 }, history: 1 };
    let stage = Stage::on(store, keyherald::dialect::paysafe::Brand { rule, credentials_status: 204, ..brand() }).await;
    stage.server.customer("jo@example.com", "first-password").await;
    let id = stage.prove("jo@example.com").await;
    for wrong in ["12345", "1234567", "12a456", "١٢٣٤٥٦", "777777", "123456", "654321"] {
        let answered = stage.post(CREDENTIALS, &body("jo@example.com", &id, wrong)).await;
        assert_eq!(told(&answered), refused(400, "DW-CUSTOMER-CREDENTIALS-POLICY"), "{wrong}");
    }
    let answered = stage.post(CREDENTIALS, &body("jo@example.com", &id, "482913")).await;
    assert_eq!((answered.status.as_u16(), answered.body.len()), (204, 0));
}

async fn what_the_brand_asks_for_must_be_there(store: TestStore) {
    let mut both = brand();
    both.required.any_of = Vec::new();
    both.required.all_of = Kind::ALL.to_vec();
    let stage = Stage::on(store, both).await;
    stage.server.customer("jo@example.com", "first-password").await;
    let id = stage.prove("jo@example.com").await;
    let answered = stage.post(CREDENTIALS, &body("jo@example.com", &id, "second, longer")).await;
    let fields = json!([{"field": "customerIdentifiers.mobile", "error": "must not be null"}]);
    assert_eq!((told(&answered), &answered.json()["error"]["fieldErrors"]), (refused(400, "5068"), &fields));
    // There, but nobody's.
    let mut with_mobile = body("jo@example.com", &id, "second, longer");
    with_mobile["customerIdentifiers"]["mobile"] = json!({"value": "+43 664 1234567", "verificationId": id});
    assert_eq!(told(&stage.post(CREDENTIALS, &with_mobile).await), invalid());
}

async fn all_that_is_wrong_is_told_at_once(store: TestStore) {
    let stage = Stage::on(store, brand()).await;
    let fields = async |body| {
        let answered = stage.post(CREDENTIALS, &body).await;
        assert_eq!(told(&answered), refused(400, "5068"), "{body}");
        let error = answered.json()["error"].clone();
        let fields = error["fieldErrors"].as_array().cloned().unwrap_or_default();
        fields.iter().map(|field| field["field"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(fields(json!({})).await, ["customerIdentifiers", "customerCredentials.password", "deviceInfo"]);
    let wrong = json!({
        "customerIdentifiers": {"email": {"value": "jo"}, "mobile": {"value": "0664", "verificationId": 7}},
        "customerCredentials": {"password": ["x"]},
        "deviceInfo": {"appType": "x".repeat(65), "language": "y".repeat(9000)},
    });
    let expected = [
        "customerIdentifiers.email.value",
        "customerIdentifiers.email.verificationId",
        "customerIdentifiers.mobile.value",
        "customerIdentifiers.mobile.verificationId",
        "customerCredentials.password",
        "deviceInfo",
        "deviceInfo.appType",
    ];
    assert_eq!(fields(wrong).await, expected);
    let mut nothing = body("jo@example.com", "1", "second, longer");
    nothing["customerIdentifiers"] = json!({});
    assert_eq!(fields(nothing).await, ["customerIdentifiers"]);
    let mut no_type = body("jo@example.com", "1", "second, longer");
    no_type["deviceInfo"] = json!({});
    assert_eq!(fields(no_type).await, ["deviceInfo.appType"]);
    assert_eq!(told(&stage.post(CREDENTIALS, &json!([])).await), refused(400, "5068"));
    for (token, expected) in [("", refused(401, "DW-UNAUTHORIZED")), ("dead", refused(401, "DW-UNAUTHORIZED"))] {
        assert_eq!(told(&stage.server.json(token, Method::POST, CREDENTIALS, &json!({})).await), expected);
    }
    let admin = stage.grant("back-client", "grant_type=client_credentials").await.json();
    let admin = admin["access_token"].as_str().unwrap();
    let answered = stage.server.json(admin, Method::POST, CREDENTIALS, &json!({})).await;
    assert_eq!(told(&answered), refused(403, "DW-INSUFFICIENT-SCOPE"));
}

async fn too_many_are_refused(store: TestStore) {
    let stage = Stage::on(store, brand()).await;
    let unknown = body("jo@example.com", "0192f3a1-5b7c-4d3e-9f10-0123456789ab", "second, longer");
    for _ in 0..30 {
        assert_eq!(told(&stage.post(CREDENTIALS, &unknown).await), invalid());
    }
    let answered = stage.post(CREDENTIALS, &unknown).await;
    assert_eq!(told(&answered), refused(429, "DW-TOO-MANY-REQUESTS"));
    assert_eq!(answered.headers["retry-after"], "20");
}

/// Whoever holds a proof cannot find out by it, try after try, which passwords the customer had; and nobody without one can
/// use up the customer's tries.
async fn too_many_of_one_customer_are_refused(store: TestStore) {
    let stage = Stage::on(store, brand()).await;
    stage.server.customer("jo@example.com", "first-password").await;
    stage.server.customer("ada@example.com", "first-password").await;
    let (of_jo, of_ada) = (stage.prove("jo@example.com").await, stage.prove("ada@example.com").await);
    let unknown = body("jo@example.com", "0192f3a1-5b7c-4d3e-9f10-0123456789ab", "second, longer");
    for _ in 0..12 {
        assert_eq!(told(&stage.post(CREDENTIALS, &unknown).await), invalid());
    }
    let same = body("jo@example.com", &of_jo, "first-password");
    for _ in 0..10 {
        assert_eq!(told(&stage.post(CREDENTIALS, &same).await), refused(400, "DW-CUSTOMER-CREDENTIALS-REUSED"));
    }
    let good = body("jo@example.com", &of_jo, "second, longer");
    let answered = stage.post(CREDENTIALS, &good).await;
    assert_eq!(told(&answered), refused(429, "DW-TOO-MANY-REQUESTS"));
    assert_eq!(answered.headers["retry-after"], "60");
    // Others go on, who has no proof is told what it was told before, and this one has used nothing up.
    assert_eq!(stage.post(CREDENTIALS, &body("ada@example.com", &of_ada, "second, longer")).await.status, 200);
    assert_eq!(told(&stage.post(CREDENTIALS, &unknown).await), invalid());
    stage.server.clock.advance(Micros::MINUTE);
    assert_eq!(stage.post(CREDENTIALS, &good).await.status, 200);
}

/// What stands for a restriction of the customer's sign-in.
async fn whoever_signs_in_elsewhere_is_refused(store: TestStore) {
    let stage = Stage::on(store, brand()).await;
    let customer = stage.server.customer("jo@example.com", "first-password").await;
    let (own, refresh) = stage.sign_in("jo@example.com", "first-password").await.unwrap();
    let (mode, password) = (AuthenticationMode::ExternalAuth, None);
    let restricted = set_mode(&stage, &customer, mode, password).await;
    // Nobody is signed in any more, and nobody can.
    let again = stage.grant("app-client", &format!("grant_type=refresh_token&refresh_token={refresh}")).await;
    assert_eq!(told(&again), refused(401, "DW-UNAUTHORIZED"));
    assert!(!signs_in(&stage, "jo@example.com", "first-password").await);
    let change = json!({"currentPassword": "first-password", "newPassword": "second, longer"});
    let answered = stage.server.json(&own, Method::PUT, "/digitalwallets/v1/customer-credentials", &change).await;
    assert_eq!(told(&answered), refused(401, "DW-UNAUTHORIZED"));
    // An address can be proved as ever, but it is no way in.
    let id = stage.prove("jo@example.com").await;
    let answered = stage.post(CREDENTIALS, &body("jo@example.com", &id, "second, longer")).await;
    assert_eq!(told(&answered), refused(403, "DW-CUSTOMER-RESTRICTED"));
    let pages = format!("/digitalwallets/v2/customers/{}/credentials", customer.number);
    let admin = stage.admin().await;
    for flow in ["PASSWORD_RESET", "PASSWORD_SETUP"] {
        let visit = json!({"flow": flow, "returnUrl": "https://partner.example/back?shop=1"});
        let answered = stage.server.json(&admin, Method::POST, &pages, &visit).await;
        assert_eq!(told(&answered), refused(403, "DW-CUSTOMER-RESTRICTED"), "{flow}");
    }
    assert!(stage.events(EventType::CustomerCredentials).await.is_empty());
    // Nothing was used up: once the customer may sign in again, the proof is as good as before.
    let (mode, password) = (AuthenticationMode::Password, Some("given, longer"));
    set_mode(&stage, &restricted, mode, password).await;
    assert_eq!(stage.post(CREDENTIALS, &body("jo@example.com", &id, "second, longer")).await.status, 200);
    assert!(signs_in(&stage, "jo@example.com", "second, longer").await);
}

async fn set_mode(stage: &Stage, customer: &Customer, mode: AuthenticationMode, password: Option<&str>) -> Customer {
    let action = Action::SetAuthenticationMode { mode, with_password: password.is_some() };
    let command = Command { version: customer.version, actions: vec![action], by: <_>::default() };
    let call = Call::on("demo".parse().unwrap());
    let password = password.map(|text| Password::new(text.to_owned()).unwrap());
    stage.server.app.update_customer(call, CustomerRef::Id(customer.id), command, password).await.unwrap()
}

async fn a_repeat_has_the_same_answer(store: TestStore) {
    let stage = Stage::on(store, brand()).await;
    stage.server.customer("jo@example.com", "first-password").await;
    let id = stage.prove("jo@example.com").await;
    let send = async |body: &Value| {
        let headers = [
            ("authorization", format!("Bearer {}", stage.token)),
            ("content-type", "application/json".to_owned()),
            ("idempotency-key", "recovery-1".to_owned()),
        ];
        stage.server.send(Method::POST, CREDENTIALS, &headers, body.to_string()).await
    };
    let wish = body("jo@example.com", &id, "second, longer");
    for _ in 0..2 {
        assert_eq!(send(&wish).await.status, 200);
    }
    assert_eq!(stage.events(EventType::CustomerCredentials).await.len(), 1);
    let other = send(&body("jo@example.com", &id, "third, longer")).await;
    assert_eq!(told(&other), refused(400, "DW-IDEMPOTENCY-KEY-REUSED"));
}
