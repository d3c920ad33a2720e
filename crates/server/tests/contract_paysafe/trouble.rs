//! When the server itself is in trouble: the contract's envelope, a time to come back at, and nothing used up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::Method;
use keyherald_core::event::EventType;
use keyherald_store::engine::{Inject, InjectedError};
use keyherald_store::testing::{TestStore, block_on};
use keyherald_store::{Sql, StoreOptions, Tx};
use serde_json::{Value, json};

use crate::stage::{CREDENTIALS, Stage, brand};
use crate::support::{Answered, START};

/// 503 in the envelope, with a time to come back at.
fn assert_come_back_later(answered: &Answered) {
    let expected = json!({"error": {"code": "DW-SERVICE-UNAVAILABLE", "message": "Service unavailable"}});
    assert_eq!((answered.status.as_u16(), answered.json()), (503, expected));
    let seconds: u32 = answered.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds));
}

fn recovery(id: &str) -> Value {
    json!({
        "customerIdentifiers": {"email": {"value": "jo@example.com", "verificationId": id}},
        "customerCredentials": {"password": "second-password"},
        "deviceInfo": {"appType": "WEB"},
    })
}

#[test]
fn without_hashing_a_caller_is_told_when_to_come_back() {
    block_on(async {
        let stage = Stage::on(TestStore::sqlite().await, brand()).await;
        stage.server.customer("jo@example.com", "first-password").await;
        let id = stage.prove("jo@example.com").await;
        let (own, _) = stage.sign_in("jo@example.com", "first-password").await.unwrap();
        stage.server.app.hash.stop().await;
        assert_come_back_later(&stage.post(CREDENTIALS, &recovery(&id)).await);
        let form = "grant_type=password&username=jo%40example.com&password=first-password";
        assert_come_back_later(&stage.grant("app-client", form).await);
        let change = json!({"currentPassword": "first-password", "newPassword": "second-password"});
        let path = "/digitalwallets/v1/customer-credentials";
        assert_come_back_later(&stage.server.json(&own, Method::PUT, path, &change).await);
        // What needs no hash is served as ever.
        assert_eq!(stage.initiate("ada@example.com").await.status, 201);
    });
}

#[test]
fn without_a_store_a_caller_is_told_when_to_come_back() {
    block_on(async {
        let stage = Stage::on(TestStore::sqlite().await, brand()).await;
        stage.server.store().close().await;
        assert_come_back_later(&stage.initiate("jo@example.com").await);
        assert_come_back_later(&stage.grant("app-client", "grant_type=client_credentials").await);
    });
}

/// A store that fails while a password is recovered: the envelope, and the proof is as good as before.
#[test]
fn a_failing_disk_uses_nothing_up() {
    block_on(async {
        for error in [InjectedError::DiskFull, InjectedError::Io, InjectedError::ConnectionCut] {
            let fails = Arc::new(AtomicBool::new(false));
            let when = fails.clone();
            let inject = Inject::new(move |_| when.load(Ordering::SeqCst).then_some(error));
            let options = StoreOptions { inject: Some(inject), ..StoreOptions::default() };
            let store = TestStore::sqlite_with(&options);
            store.migrate(START).await.unwrap();
            let stage = Stage::on(store, brand()).await;
            stage.server.customer("jo@example.com", "first-password").await;
            let id = stage.prove("jo@example.com").await;
            fails.store(true, Ordering::SeqCst);
            assert_come_back_later(&stage.post(CREDENTIALS, &recovery(&id)).await);
            assert_come_back_later(&stage.initiate("ada@example.com").await);
            fails.store(false, Ordering::SeqCst);
            assert!(stage.events(EventType::CustomerCredentials).await.is_empty());
            assert_eq!(stage.post(CREDENTIALS, &recovery(&id)).await.status, 200);
            assert_eq!(stage.events(EventType::CustomerCredentials).await.len(), 1);
            assert!(stage.sign_in("jo@example.com", "second-password").await.is_some());
        }
    });
}

/// What is stored cannot be read: that is our fault, and all that a caller is told.
#[test]
fn what_cannot_be_read_is_an_internal_error() {
    static SPOIL: Sql = Sql::both("SPOIL", "UPDATE attribute SET begun_at = 'spoilt'");
    block_on(async {
        let stage = Stage::on(TestStore::sqlite().await, brand()).await;
        assert_eq!(stage.initiate("ada@example.com").await.status, 201);
        let spoil = |tx: &mut dyn Tx, _: &mut _| tx.execute(&SPOIL, &[]);
        stage.server.store().write(&stage.server.app.moments.ctx(), spoil).await.unwrap();
        let answered = stage.initiate("ada@example.com").await;
        let expected = json!({"error": {"code": "DW-INTERNAL-ERROR", "message": "Internal error"}});
        assert_eq!((answered.status.as_u16(), answered.json()), (500, expected));
        assert!(!answered.headers.contains_key("retry-after"));
    });
}
