//! Many at once: of those who want the same, exactly one gets it.

use axum::http::{Method, StatusCode};
use futures_util::future::join_all;
use keyherald_core::Micros;
use keyherald_store::testing::block_on;
use serde_json::{Value, json};

use crate::support::{Answered, TestServer, basic};

const AT_ONCE: usize = 16;

/// Makes two tests of each function: `name::sqlite` and `name::postgres`.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            #[test]
            fn sqlite() {
                super::block_on(async { super::$name(&super::TestServer::sqlite().await).await });
            }

            #[test]
            #[ignore = "needs PostgreSQL: cargo xtask test starts one"]
            fn postgres() {
                super::block_on(async { super::$name(&super::TestServer::postgres().await).await });
            }
        }
    )*};
}

on_both! {
    one_token_is_redeemed_once,
    one_version_is_changed_once,
    one_address_is_registered_once,
    one_customer_is_deleted_once,
    one_anonymous_id_is_given_once,
    fifty_subscriptions_and_not_one_more,
    a_change_is_one_transaction,
}

async fn post(server: &TestServer, token: &str, path: &str, body: Value) -> Answered {
    server.json(token, Method::POST, path, &body).await
}

async fn created(server: &TestServer, token: &str) -> String {
    let answered =
        post(server, token, "/demo/customers", json!({"email": "jo@example.com", "password": "secret"})).await;
    assert_eq!(answered.status, StatusCode::CREATED);
    answered.json()["customer"]["id"].as_str().unwrap().to_owned()
}

/// How often each code came; success is `ok`.
fn count(answers: &[Answered], code: &str) -> usize {
    let of = |answer: &Answered| match answer.json().pointer("/errors/0/code") {
        Some(code) => code.as_str().unwrap().to_owned(),
        None => "ok".to_owned(),
    };
    answers.iter().filter(|answer| of(answer) == code).count()
}

async fn total(server: &TestServer, token: &str, query: &str) -> Value {
    server.json(token, Method::GET, query, &Value::Null).await.json()["total"].clone()
}

async fn one_token_is_redeemed_once(server: &TestServer) {
    let token = server.token("demo-client").await;
    let id = created(server, &token).await;
    let made = post(server, &token, "/demo/customers/password-token", json!({"email": "jo@example.com"})).await;
    let value = made.json()["value"].clone();
    let answers = join_all((0..AT_ONCE).map(|n| {
        let body = json!({"tokenValue": value, "newPassword": format!("new {n}")});
        post(server, &token, "/demo/customers/password/reset", body)
    }))
    .await;
    assert_eq!((count(&answers, "ok"), count(&answers, "ResourceNotFound")), (1, AT_ONCE - 1));
    let customer = server.json(&token, Method::GET, &format!("/demo/customers/{id}"), &Value::Null).await.json();
    assert_eq!(customer["version"], 2);
    let query = "/demo/messages?where=type%3D%22CustomerPasswordUpdated%22&limit=0";
    assert_eq!(total(server, &token, query).await, 1);
    // The one that was told so is the one whose password counts.
    let winner = answers.iter().position(|answer| answer.status == StatusCode::OK).unwrap();
    let login = json!({"email": "jo@example.com", "password": format!("new {winner}")});
    assert_eq!(post(server, &token, "/demo/login", login).await.status, StatusCode::OK);
}

async fn one_version_is_changed_once(server: &TestServer) {
    let token = server.token("demo-client").await;
    let id = created(server, &token).await;
    let answers = join_all((0..AT_ONCE).map(|n| {
        let body = json!({"id": id, "version": 1, "currentPassword": "secret", "newPassword": format!("new {n}")});
        post(server, &token, "/demo/customers/password", body)
    }))
    .await;
    assert_eq!((count(&answers, "ok"), count(&answers, "ConcurrentModification")), (1, AT_ONCE - 1));
    for lost in answers.iter().filter(|answer| answer.status != StatusCode::OK) {
        assert_eq!(lost.json()["errors"][0]["currentVersion"], 2);
    }
    assert_eq!(total(server, &token, "/demo/messages?limit=0").await, 2);
}

async fn one_address_is_registered_once(server: &TestServer) {
    let token = server.token("demo-client").await;
    let answers = join_all((0..AT_ONCE).map(|n| {
        let email = if n % 2 == 0 { "jo@example.com" } else { "JO@Example.com" };
        post(server, &token, "/demo/customers", json!({"email": email, "password": "x"}))
    }))
    .await;
    assert_eq!((count(&answers, "ok"), count(&answers, "DuplicateField")), (1, AT_ONCE - 1));
    assert_eq!(total(server, &token, "/demo/customers?limit=0").await, 1);
    assert_eq!(total(server, &token, "/demo/messages?limit=0").await, 1);
}

async fn one_customer_is_deleted_once(server: &TestServer) {
    let token = server.token("demo-client").await;
    let path = format!("/demo/customers/{}?version=1", created(server, &token).await);
    let answers = join_all((0..AT_ONCE).map(|_| server.json(&token, Method::DELETE, &path, &Value::Null))).await;
    assert_eq!((count(&answers, "ok"), count(&answers, "ResourceNotFound")), (1, AT_ONCE - 1));
    assert_eq!(total(server, &token, "/demo/messages?limit=0").await, 2);
}

async fn one_anonymous_id_is_given_once(server: &TestServer) {
    let form = "grant_type=client_credentials&anonymous_id=visitor-1";
    let headers = [("authorization", basic("demo-client"))];
    let ask = || server.send(Method::POST, "/oauth/demo/anonymous/token", &headers, form);
    let answers = join_all((0..AT_ONCE).map(|_| ask())).await;
    assert_eq!((count(&answers, "ok"), count(&answers, "invalid_request")), (1, AT_ONCE - 1));

    // At the moment when its tokens die: whoever refreshes in time keeps it, and otherwise one gets it.
    let winner = answers.iter().find(|answer| answer.status == StatusCode::OK).unwrap().json();
    let refresh = format!("grant_type=refresh_token&refresh_token={}", winner["refresh_token"].as_str().unwrap());
    server.clock.advance(200 * Micros::DAY - Micros::SECOND);
    let answers = join_all((0..AT_ONCE).map(|n| {
        let uri = if n % 2 == 0 { "/oauth/token" } else { "/oauth/demo/anonymous/token" };
        server.send(Method::POST, uri, &headers, if n % 2 == 0 { refresh.clone() } else { form.to_owned() })
    }))
    .await;
    assert_eq!((count(&answers, "ok"), count(&answers, "invalid_request")), (AT_ONCE / 2, AT_ONCE / 2));
}

async fn fifty_subscriptions_and_not_one_more(server: &TestServer) {
    let token = server.token("demo-client").await;
    let draft = json!({
        "destination": {"type": "Webhook", "url": "https://example.com/hook"},
        "messages": [{"resourceTypeId": "customer"}],
    });
    let answers = join_all((0..50 + AT_ONCE).map(|_| post(server, &token, "/demo/subscriptions", draft.clone()))).await;
    assert_eq!((count(&answers, "ok"), count(&answers, "MaxResourceLimitExceeded")), (50, AT_ONCE));
    let refused = answers.iter().find(|answer| answer.status != StatusCode::CREATED).unwrap().json();
    let text = "You have exceeded the limit of 50 resources of type subscription.";
    let error = json!({"code": "MaxResourceLimitExceeded", "message": text, "exceededResource": "subscription"});
    assert_eq!(refused, json!({"statusCode": 400, "message": text, "errors": [error]}));
    assert_eq!(total(server, &token, "/demo/subscriptions?limit=0").await, 50);
}

/// The new hash, the end of the customer's own tokens, of its reset tokens, and the message: one `write`, so one
/// transaction. Which of them happen is in the transcripts.
async fn a_change_is_one_transaction(server: &TestServer) {
    let token = server.token("demo-client").await;
    let id = created(server, &token).await;
    let body = json!({"id": id, "version": 1, "currentPassword": "secret", "newPassword": "1"});
    let before = server.store().counters().writes;
    assert_eq!(post(server, &token, "/demo/customers/password", body).await.status, StatusCode::OK);
    assert_eq!(server.store().counters().writes - before, 1);

    let made = post(server, &token, "/demo/customers/password-token", json!({"email": "jo@example.com"})).await;
    let body = json!({"tokenValue": made.json()["value"], "newPassword": "2"});
    let before = server.store().counters().writes;
    assert_eq!(post(server, &token, "/demo/customers/password/reset", body).await.status, StatusCode::OK);
    assert_eq!(server.store().counters().writes - before, 1);
}
