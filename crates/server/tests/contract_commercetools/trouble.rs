//! When the server itself is in trouble: a clear error in the contract's form, nothing half-written, and service resumes.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::http::{Method, StatusCode};
use keyherald_store::engine::{Inject, InjectedError, Point};
use keyherald_store::testing::block_on;
use serde_json::{Value, json};

use crate::support::{Answered, TestServer, basic};

/// 503 with a time to come back at.
fn assert_come_back_later(answered: &Answered) {
    let body = answered.json();
    assert_eq!(
        (answered.status, &body["errors"][0]["code"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("OverCapacity"))
    );
    assert_eq!((&body["statusCode"], &body["message"]), (&json!(503), &body["errors"][0]["message"]));
    let seconds: u32 = answered.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds));
}

#[test]
fn without_hashing_a_caller_is_told_when_to_come_back() {
    block_on(async {
        let server = TestServer::sqlite().await;
        let token = server.token("demo-client").await;
        let draft = json!({"email": "jo@example.com", "password": "secret"});
        let created = server.json(&token, Method::POST, "/demo/customers", &draft).await.json();
        let id = &created["customer"]["id"];
        server.app.hash.stop().await;
        let change = json!({"id": id, "version": 1, "currentPassword": "secret", "newPassword": "x"});
        for (path, body) in [
            ("/demo/login", draft.clone()),
            ("/demo/customers", json!({"email": "other@example.com", "password": "x"})),
            ("/demo/customers/password", change),
        ] {
            assert_come_back_later(&server.json(&token, Method::POST, path, &body).await);
        }
        let form = "grant_type=password&username=jo@example.com&password=secret";
        let headers = [("authorization", basic("demo-client"))];
        let answered = server.send(Method::POST, "/oauth/demo/customers/token", &headers, form).await;
        assert_come_back_later(&answered);
        assert_eq!(answered.json()["error"], "OverCapacity");
        // What needs no hash is served as ever.
        assert_eq!(server.json(&token, Method::GET, "/demo/customers", &Value::Null).await.status, StatusCode::OK);
    });
}

#[test]
fn without_a_store_a_caller_is_told_when_to_come_back() {
    block_on(async {
        let server = TestServer::sqlite().await;
        let token = server.token("demo-client").await;
        server.store().close().await;
        assert_come_back_later(&server.json(&token, Method::GET, "/demo/customers", &Value::Null).await);
        let headers = [("authorization", basic("demo-client"))];
        let answered = server.send(Method::POST, "/oauth/token", &headers, "grant_type=client_credentials").await;
        assert_come_back_later(&answered);
        assert_eq!(answered.json()["error"], "OverCapacity");
    });
}

/// A change and a reset, with the store failing at its first moment, at its second and so on, until there is none left:
/// each time the caller is told, and version, password, the customer's own tokens, its reset token and the messages are
/// as they were. The one that succeeds ends them all.
#[test]
fn a_failing_disk_leaves_nothing_half_written() {
    for error in [InjectedError::DiskFull, InjectedError::Io, InjectedError::ConnectionCut] {
        for reset in [false, true] {
            block_on(fails_everywhere(error, reset));
        }
    }
}

async fn fails_everywhere(error: InjectedError, reset: bool) {
    const NEVER: i64 = i64::MAX;
    let left = Arc::new(AtomicI64::new(NEVER));
    let countdown = left.clone();
    let inject = Inject::new(move |point| {
        if point == Point::Committed {
            return None; // done is done: what is lost after that is only the answer
        }
        let may_go_on = countdown.load(Ordering::SeqCst) == NEVER || countdown.fetch_sub(1, Ordering::SeqCst) > 0;
        (!may_go_on).then_some(error)
    });
    let server = TestServer::failing(inject).await;
    let token = server.token("demo-client").await;
    let draft = json!({"email": "jo@example.com", "password": "secret"});
    let created = server.json(&token, Method::POST, "/demo/customers", &draft).await.json();
    let form = "grant_type=password&username=jo@example.com&password=secret";
    let headers = [("authorization", basic("demo-client"))];
    let own = server.send(Method::POST, "/oauth/demo/customers/token", &headers, form).await.json();
    let own = own["access_token"].as_str().unwrap().to_owned();
    let made = server.json(&token, Method::POST, "/demo/customers/password-token", &draft).await.json();
    let value = made["value"].as_str().unwrap().to_owned();
    let (path, body) = if reset {
        ("/demo/customers/password/reset", json!({"tokenValue": value, "newPassword": "new"}))
    } else {
        let id = &created["customer"]["id"];
        ("/demo/customers/password", json!({"id": id, "version": 1, "currentPassword": "secret", "newPassword": "new"}))
    };
    let seen = async || {
        let customers = server.json(&token, Method::GET, "/demo/customers", &Value::Null).await;
        let messages = server.json(&token, Method::GET, "/demo/messages", &Value::Null).await;
        let mine = server.json(&own, Method::GET, "/demo/customers", &Value::Null).await;
        let by_token = format!("/demo/customers/password-token={value}");
        let by_token = server.json(&token, Method::GET, &by_token, &Value::Null).await;
        (customers.json(), messages.json(), mine.status, by_token.status)
    };
    let before = seen().await;
    assert_eq!((before.2, before.3), (StatusCode::OK, StatusCode::OK));
    for moments in 0.. {
        left.store(moments, Ordering::SeqCst);
        let answered = server.json(&token, Method::POST, path, &body).await;
        left.store(NEVER, Ordering::SeqCst);
        if answered.status == StatusCode::OK {
            assert!(moments > 10, "so few moments: {moments}");
            break;
        }
        assert!(answered.status.is_server_error(), "{moments}: {answered:?}");
        assert_eq!(seen().await, before, "{error:?} at moment {moments}");
    }
    let after = seen().await;
    assert_eq!((&after.0["results"][0]["version"], &after.1["total"]), (&json!(2), &json!(3)));
    assert_eq!((after.2, after.3), (StatusCode::UNAUTHORIZED, StatusCode::NOT_FOUND));
}
