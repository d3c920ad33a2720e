//! The health of a subscription, in every state (commercetools.md 8.1).

use axum::http::Method;
use keyherald_core::id::SubscriptionId;
use keyherald_core::subscription::SubscriptionStatus;
use keyherald_store::testing::block_on;
use keyherald_store::{Tx, subscription};
use serde_json::json;

use crate::support::TestServer;

#[test]
fn every_state_has_its_status() {
    block_on(async {
        let server = TestServer::sqlite().await;
        let token = server.token("demo-client").await;
        let draft = json!({
            "destination": {"type": "Webhook", "url": "https://example.com/hook"},
            "changes": [{"resourceTypeId": "customer"}],
        });
        let made = server.json(&token, Method::POST, "/demo/subscriptions", &draft).await.json();
        let id: SubscriptionId = made["id"].as_str().unwrap().parse().unwrap();
        for (status, code) in [
            (SubscriptionStatus::TemporaryError, 503),
            (SubscriptionStatus::ConfigurationError, 400),
            (SubscriptionStatus::Healthy, 200),
            // The last one: only an update of the subscription ends it.
            (SubscriptionStatus::ConfigurationErrorDeliveryStopped, 400),
        ] {
            let set = move |tx: &mut dyn Tx, _: &mut _| subscription::set_status(tx, id, 1, status);
            server.store().write(&server.app.moments.ctx(), set).await.unwrap();
            for method in [Method::GET, Method::HEAD] {
                let is_head = method == Method::HEAD;
                let answered = server.send(method, &format!("/demo/subscriptions/{id}/health"), &[], "").await;
                assert_eq!(answered.status.as_u16(), code, "{status:?}");
                assert!(is_head || answered.json() == json!({"status": status.as_str()}), "{answered:?}");
            }
            let shown = server.json(&token, Method::GET, &format!("/demo/subscriptions/{id}"), &json!(null)).await;
            assert_eq!(shown.json()["status"], status.as_str());
        }
    });
}
