//! Customers who come in by what they have proved, who change their own password, and of whom partners tell.

use axum::http::Method;
use keyherald_core::Micros;
use keyherald_core::event::EventType;
use keyherald_core::verification::Kind;
use keyherald_store::Sql;
use keyherald_store::testing::TestStore;
use keyherald_store::tx::query_all;
use serde_json::{Value, json};

use crate::stage::{Stage, brand, refused, told};

on_both! {
    whoever_proved_an_address_becomes_a_customer, what_is_wrong_makes_nobody_a_customer, of_two_at_once_one_is_a_customer,
    a_customer_changes_the_password_and_stays_signed_in, what_is_wrong_with_a_change_is_told, a_change_elsewhere_is_noted_once,
    what_is_wrong_with_a_notice_is_told,
}

const CUSTOMERS: &str = "/digitalwallets/v1/wallet-setup/customers";
const OWN: &str = "/digitalwallets/v1/customer-credentials";

fn newcomer(email: &str, id: &str) -> Value {
    json!({
        "customerIdentifiers": {"email": {"value": email, "verificationId": id}},
        "customerCredentials": {"password": "first, longer"},
        "customer": {"externalId": "x-1", "title": "Mr.", "firstName": "Jo", "lastName": "Doe"},
        "deviceInfo": {"appType": "WEB"},
    })
}

async fn whoever_proved_an_address_becomes_a_customer(store: TestStore) {
    let stage = Stage::on(store, brand()).await;
    let id = stage.prove_for("WALLET_SETUP", "jo@example.com").await;
    let answered = stage.post(CUSTOMERS, &newcomer("Jo@example.com", &id)).await;
    assert_eq!(answered.status, 201, "{answered:?}");
    let body = answered.json();
    let number = body["customer"]["id"].as_str().unwrap();
    assert!(number.len() == 12 && number.bytes().all(|digit| digit.is_ascii_digit()));
    let expected = json!({"id": number, "externalId": "x-1", "title": "Mr.", "firstName": "Jo", "lastName": "Doe"});
    assert_eq!(body["customer"], expected);
    assert!(stage.sign_in("jo@example.com", "first, longer").await.is_some());
    let again = stage.post(CUSTOMERS, &newcomer("jo@example.com", &id)).await;
    assert_eq!(told(&again), refused(400, "DW-CUSTOMER-VERIFICATION-INVALID"));
    assert!(stage.events(EventType::CustomerCredentials).await.is_empty());
}

async fn what_is_wrong_makes_nobody_a_customer(store: TestStore) {
    let mut both = brand();
    both.required.any_of = vec![Kind::Email];
    let stage = Stage::on(store, both).await;
    stage.server.customer("jo@example.com", "first-password").await;
    let id = stage.prove_for("WALLET_SETUP", "jo@example.com").await;
    let exists = stage.post(CUSTOMERS, &newcomer("jo@example.com", &id)).await;
    assert_eq!(told(&exists), refused(400, "DW-CUSTOMER-EXISTS"));
    let reset = stage.prove("jo@example.com").await;
    let other = stage.post(CUSTOMERS, &newcomer("jo@example.com", &reset)).await;
    assert_eq!(told(&other), refused(400, "DW-CUSTOMER-VERIFICATION-INVALID"));
    let id = stage.prove_for("WALLET_SETUP", "ada@example.com").await;
    let mut weak = newcomer("ada@example.com", &id);
    weak["customerCredentials"]["password"] = json!("short");
    assert_eq!(told(&stage.post(CUSTOMERS, &weak).await), refused(400, "DW-CUSTOMER-CREDENTIALS-POLICY"));
    weak["customerCredentials"]["password"] = json!("ada@example.com");
    assert_eq!(told(&stage.post(CUSTOMERS, &weak).await), refused(400, "DW-CUSTOMER-CREDENTIALS-POLICY"));
    let mut long = newcomer("ada@example.com", &id);
    let person = |by: usize| {
        let of = |text: &str, length: usize| text.repeat(length + by);
        let (title, names) = (of("ö", 15), [of("𝒿", 50), of("é", 50)]);
        json!({"externalId": of("x", 40), "title": title, "firstName": names[0], "lastName": names[1]})
    };
    long["customer"] = person(1);
    long["customerIdentifiers"] = json!({});
    let answered = stage.post(CUSTOMERS, &long).await;
    let fields = json!([
        {"field": "customerIdentifiers.email", "error": "must not be null"},
        {"field": "customer.externalId", "error": "must not be longer than 40 characters"},
        {"field": "customer.title", "error": "must not be longer than 15 characters"},
        {"field": "customer.firstName", "error": "must not be longer than 50 characters"},
        {"field": "customer.lastName", "error": "must not be longer than 50 characters"},
    ]);
    assert_eq!((told(&answered), &answered.json()["error"]["fieldErrors"]), (refused(400, "5068"), &fields));
    let mut just = newcomer("ada@example.com", &id);
    just["customer"] = person(0);
    assert_eq!(stage.post(CUSTOMERS, &just).await.status, 201, "nothing was used up");
    let admin = stage.admin().await;
    let answered = stage.server.json(&admin, Method::POST, CUSTOMERS, &json!({})).await;
    assert_eq!(told(&answered), refused(403, "DW-INSUFFICIENT-SCOPE"));
}

async fn of_two_at_once_one_is_a_customer(store: TestStore) {
    let stage = Stage::on(store, brand()).await;
    let id = stage.prove_for("WALLET_SETUP", "jo@example.com").await;
    let body = newcomer("jo@example.com", &id);
    let answers = tokio::join!(stage.post(CUSTOMERS, &body), stage.post(CUSTOMERS, &body));
    let mut statuses = [answers.0.status.as_u16(), answers.1.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 400]);
}

fn change(current: &str, new: &str) -> Value {
    json!({"currentPassword": current, "newPassword": new, "deviceInfo": {"appType": "WEB"}})
}

async fn a_customer_changes_the_password_and_stays_signed_in(store: TestStore) {
    let stage = Stage::on(store, brand()).await;
    stage.server.customer("jo@example.com", "first-password").await;
    let (mine, my_refresh) = stage.sign_in("jo@example.com", "first-password").await.unwrap();
    let (other, other_refresh) = stage.sign_in("jo@example.com", "first-password").await.unwrap();
    let answered = stage.server.json(&mine, Method::PUT, OWN, &change("first-password", "second, longer")).await;
    assert_eq!((answered.status.as_u16(), answered.json()), (200, json!({})));
    for (token, is_alive) in [(&mine, true), (&other, false)] {
        let again = stage.server.json(token, Method::PUT, OWN, &json!({})).await;
        assert_eq!(again.status.as_u16(), if is_alive { 400 } else { 401 });
    }
    for (refresh, status) in [(&my_refresh, 200), (&other_refresh, 401)] {
        let again = stage.grant("app-client", &format!("grant_type=refresh_token&refresh_token={refresh}")).await;
        assert_eq!(again.status.as_u16(), status);
    }
    assert!(stage.sign_in("jo@example.com", "first-password").await.is_none());
    assert!(stage.sign_in("jo@example.com", "second, longer").await.is_some());
    let events = stage.events(EventType::CustomerCredentials).await;
    let expected = json!({"customerIdentifiers": {"email": {"value": "jo@example.com"}}, "type": "PASSWORD_CHANGE"});
    assert_eq!((events.len(), &events[0]["credentialsDetails"]), (1, &expected));
}

async fn what_is_wrong_with_a_change_is_told(store: TestStore) {
    let stage = Stage::on(store, brand()).await;
    stage.server.customer("jo@example.com", "first-password").await;
    let (token, _) = stage.sign_in("jo@example.com", "first-password").await.unwrap();
    let answered = async |body: Value| told(&stage.server.json(&token, Method::PUT, OWN, &body).await);
    assert_eq!(answered(json!({})).await, refused(400, "5068"));
    let wrong = change("other-password", "first-password");
    assert_eq!(answered(wrong).await, refused(400, "DW-CUSTOMER-CREDENTIALS-INVALID"), "nothing is told of reuse");
    let short = change("first-password", "short");
    assert_eq!(answered(short).await, refused(400, "DW-CUSTOMER-CREDENTIALS-POLICY"));
    let same = change("first-password", "first-password");
    assert_eq!(answered(same).await, refused(400, "DW-CUSTOMER-CREDENTIALS-REUSED"));
    let mut device = change("first-password", "second, longer");
    device["deviceInfo"] = json!("phone");
    assert_eq!(answered(device).await, refused(400, "5068"));
    let setup = stage.server.json(&stage.token, Method::PUT, OWN, &change("first-password", "second, longer")).await;
    assert_eq!(told(&setup), refused(403, "DW-INSUFFICIENT-SCOPE"));
    for _ in 0..7 {
        assert_eq!(answered(change("other-password", "x")).await, refused(400, "DW-CUSTOMER-CREDENTIALS-INVALID"));
    }
    assert_eq!(answered(change("other-password", "x")).await, refused(429, "DW-TOO-MANY-REQUESTS"));
    // Another customer, from the same address.
    stage.server.customer("ada@example.com", "first-password").await;
    let (token, _) = stage.sign_in("ada@example.com", "first-password").await.unwrap();
    let answered = stage.server.json(&token, Method::PUT, OWN, &change("first-password", "second, longer")).await;
    assert_eq!(answered.status, 200, "{answered:?}");
}

async fn noted(stage: &Stage) -> usize {
    let notes = Sql::both("NOTES", "SELECT facts FROM log WHERE facts LIKE '%change_elsewhere%'");
    stage.server.store().read(move |tx| query_all(tx, &notes, &[], |row| row.text(0))).await.unwrap().len()
}

async fn a_change_elsewhere_is_noted_once(store: TestStore) {
    let stage = Stage::on(store, brand()).await;
    let number = stage.server.customer("jo@example.com", "first-password").await.number;
    let admin = stage.admin().await;
    let at = stage.server.app.moments.now();
    let body = |at: Micros| json!({"changeType": "PASSWORD_CHANGED", "changeTime": at.iso()});
    for version in ["/v2", "/v1", ""] {
        let path = format!("/digitalwallets{version}/customer-persons/{number}/change-notifications");
        let answered = stage.server.json(&admin, Method::POST, &path, &body(at)).await;
        assert_eq!((answered.status.as_u16(), answered.body.len()), (202, 0));
    }
    assert_eq!(noted(&stage).await, 1);
    let path = format!("/digitalwallets/v2/customer-persons/{number}/change-notifications");
    assert_eq!(stage.server.json(&admin, Method::POST, &path, &body(at.plus(1000))).await.status, 202);
    assert_eq!(noted(&stage).await, 2);
    assert!(stage.events(EventType::CustomerCredentials).await.is_empty());
}

async fn what_is_wrong_with_a_notice_is_told(store: TestStore) {
    let stage = Stage::on(store, brand()).await;
    let number = stage.server.customer("jo@example.com", "first-password").await.number.to_string();
    let admin = stage.admin().await;
    let post = async |number: &str, body: Value| {
        let path = format!("/digitalwallets/v2/customer-persons/{number}/change-notifications");
        stage.server.json(&admin, Method::POST, &path, &body).await
    };
    let good = || json!({"changeType": "PASSWORD_CHANGED", "changeTime": "2021-07-15T17:54:12Z"});
    let expected = json!({"error": {
        "code": "DW-CUSTOMER-ID-SHOULD-BE-VALID",
        "message": "CustomerId is not supported",
        "details": ["CustomerId should be a valid value"],
    }});
    for wrong in ["x", "123456789012345678901", "1-2"] {
        let answered = post(wrong, good()).await;
        assert_eq!((answered.status.as_u16(), answered.json()), (400, expected.clone()));
    }
    assert_eq!(told(&post("10040500", good()).await), refused(404, "DW-CUSTOMER-NOT-FOUND"));
    let answered = post(&number, json!({})).await;
    let expected = json!({"error": {"code": "5068", "message": "Field error(s)", "fieldErrors": [
        {"field": "changeType", "error": "must not be null"},
        {"field": "changeTime", "error": "must not be null"},
    ]}});
    assert_eq!((answered.status.as_u16(), answered.json()), (400, expected));
    let ahead = stage.server.app.moments.now().plus(6 * Micros::MINUTE).iso();
    let answered = post(&number, json!({"changeType": "PASSWORD_CHANGED", "changeTime": ahead})).await;
    assert_eq!(answered.json()["error"]["fieldErrors"][0]["field"], "changeTime");
    let path = format!("/digitalwallets/v2/customer-persons/{number}/change-notifications");
    let setup = stage.post(&path, &good()).await;
    assert_eq!(told(&setup), refused(403, "DW-INSUFFICIENT-SCOPE"));
    assert_eq!(noted(&stage).await, 0);
}
