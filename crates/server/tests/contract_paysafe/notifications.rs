//! Events that a partner asks for: what there is, and having it sent again.

use std::sync::Arc;

use axum::http::Method;
use keyherald::app::Call;
use keyherald::format::paysafe_credentials_event::Profile;
use keyherald::outbox::{self, Outbox};
use keyherald_core::Micros;
use keyherald_core::credentials_event::ChangeType;
use keyherald_core::customer::Customer;
use keyherald_core::secret::Password;
use keyherald_store::testing::TestStore;
use serde_json::{Value, json};

use crate::stage::{Stage, brand};

on_both! {
    events_are_listed_page_by_page,
    events_are_sent_again_by_id_or_by_time,
    what_is_wrong_with_a_resend_is_told_by_member,
    only_back_ends_may_ask,
}

const LIST: &str = "/digitalwallets/v1/notifications";
const RESEND: &str = "/digitalwallets/v1/notifications/resend";

/// A brand, its back end's token, and what happens to its customers.
struct Partner {
    stage: Stage,
    admin: String,
}

impl Partner {
    async fn on(store: TestStore) -> Self {
        let mut stage = Stage::on(store, brand()).await;
        let told = outbox::Brand {
            name: "wallet".into(),
            profile: Profile::Schema,
            extensions: false,
            changes: vec![ChangeType::PasswordRecovery],
            token_resets: true,
            kept: 30 * Micros::DAY,
        };
        stage.server.app.outbox = Arc::new(Outbox([("demo".parse().unwrap(), told)].into()));
        let granted = stage.grant("back-client", "grant_type=client_credentials").await.json();
        let admin = granted["access_token"].as_str().unwrap().to_owned();
        Self { stage, admin }
    }

    /// A customer who has recovered the password that often, a second after the other.
    async fn recovered(&self, email: &str, times: usize) -> Customer {
        let customer = self.stage.server.customer(email, "first-password").await;
        let call = Call::on("demo".parse().unwrap());
        for _ in 0..times {
            self.stage.server.clock.advance(Micros::SECOND);
            let command =
                keyherald_core::token::Command { ttl_minutes: 60, invalidate_older_tokens: false, by: <_>::default() };
            let app = &self.stage.server.app;
            let created = app.create_password_token(call.clone(), email.to_owned(), command).await.unwrap();
            let value = created.value.reveal_with(str::to_owned);
            let new = Password::new("another password".into()).unwrap();
            app.reset_password(call.clone(), &value, None, new).await.unwrap();
        }
        customer
    }

    async fn list(&self, query: &str) -> Value {
        let answered = self.stage.server.json(&self.admin, Method::GET, &format!("{LIST}{query}"), &Value::Null).await;
        assert_eq!(answered.status, 200, "{answered:?}");
        answered.json()
    }

    async fn resend(&self, body: Value) -> Value {
        let answered = self.stage.server.json(&self.admin, Method::POST, RESEND, &body).await;
        assert_eq!(answered.status, 202, "{answered:?}");
        answered.json()
    }

    /// The members that a refusal names.
    async fn wrong(&self, method: Method, uri: &str, body: &Value) -> Vec<String> {
        let answered = self.stage.server.json(&self.admin, method, uri, body).await;
        let error = answered.json()["error"].clone();
        assert_eq!((answered.status.as_u16(), &error["code"]), (400, &json!("5068")), "{error}");
        let fields = error["fieldErrors"].as_array().cloned().unwrap_or_default();
        fields.iter().map(|field| field["field"].as_str().unwrap().to_owned()).collect()
    }
}

async fn events_are_listed_page_by_page(store: TestStore) {
    let partner = Partner::on(store).await;
    let jo = partner.recovered("jo@example.com", 1).await;
    let ada = partner.recovered("ada@example.com", 2).await;
    let all = partner.list("").await;
    assert_eq!(all["meta"], json!({"limit": 10, "offset": 0}));
    let events = all["notifications"].as_array().unwrap();
    let first = json!({
        "id": events[0]["id"],
        "eventType": "CUSTOMER_CREDENTIALS",
        "timestamp": "2026-03-04T05:06:08Z",
        "customerId": jo.number.to_string(),
        "status": "RECORDED",
        "resendable": true,
    });
    assert_eq!((events.len(), &events[0]), (3, &first));
    assert_eq!(events[2]["timestamp"], "2026-03-04T05:06:10Z");
    let page = partner.list("?limit=1&offset=2").await;
    assert_eq!((&page["notifications"], &page["meta"]), (&json!([events[2]]), &json!({"limit": 1, "offset": 2})));
    let hers = partner.list(&format!("?customerId={}", ada.number)).await;
    assert_eq!(hers["notifications"], json!([events[1], events[2]]));
    let span = partner.list("?from=2026-03-04T05:06:09Z&to=2026-03-04T07:06:10%2B02:00").await;
    assert_eq!(span["notifications"], json!([events[1]]));
    assert_eq!(partner.list("?customerId=100000000000").await["notifications"], json!([]));
    let uri = format!("{LIST}?limit=51&offset=-1&from=now&customerId=jo");
    let wrong = partner.wrong(Method::GET, &uri, &Value::Null).await;
    assert_eq!(wrong, ["from", "limit", "offset", "customerId"]);
    let uri = format!("{LIST}?from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:01Z");
    assert_eq!(partner.wrong(Method::GET, &uri, &Value::Null).await, ["to"]);
}

async fn events_are_sent_again_by_id_or_by_time(store: TestStore) {
    let partner = Partner::on(store).await;
    partner.recovered("jo@example.com", 2).await;
    let ada = partner.recovered("ada@example.com", 1).await;
    let id = partner.list("").await["notifications"][0]["id"].clone();
    let unknown = "07c3bcf5-1b6c-494e-9a29-776cfc54b4db";
    let resent = partner.resend(json!({"eventIds": [id, unknown, "no id", id]})).await;
    assert_eq!(resent, json!({"resendId": resent["resendId"], "matched": 1}));
    assert!(resent["resendId"].as_str().unwrap().parse::<uuid::Uuid>().is_ok());
    let mut span = json!({
        "eventType": "CUSTOMER_CREDENTIALS", "from": "2026-03-01T00:00:00Z", "to": "2026-04-01T00:00:00Z"
    });
    assert_eq!(partner.resend(span.clone()).await["matched"], 3);
    span["customerId"] = ada.number.to_string().into();
    assert_eq!(partner.resend(span.clone()).await["matched"], 1);
    span["customerId"] = "100000000000".into();
    assert_eq!(partner.resend(span).await["matched"], 0);
}

async fn what_is_wrong_with_a_resend_is_told_by_member(store: TestStore) {
    let partner = Partner::on(store).await;
    let wrong = async |body: Value| partner.wrong(Method::POST, RESEND, &body).await;
    assert_eq!(wrong(json!({})).await, ["eventIds"]);
    assert_eq!(wrong(json!({"eventIds": []})).await, ["eventIds"]);
    assert_eq!(wrong(json!({"eventIds": "all"})).await, ["eventIds"]);
    assert_eq!(wrong(json!({"eventIds": ["a", 1, null]})).await, ["eventIds[1]", "eventIds[2]"]);
    assert_eq!(wrong(json!({"eventIds": vec!["a"; 501]})).await, ["eventIds"]);
    assert_eq!(partner.resend(json!({"eventIds": vec!["a"; 500]})).await["matched"], 0);
    assert_eq!(wrong(json!({"customerId": "1"})).await, ["eventType", "from", "to"]);
    let span = |event_type: &str, to: &str| json!({"eventType": event_type, "from": "2026-03-01T00:00:00Z", "to": to});
    assert_eq!(wrong(span("CUSTOMER_DATA_VERIFICATION", "2026-03-02T00:00:00Z")).await, ["eventType"]);
    assert_eq!(wrong(span("CUSTOMER_CREDENTIALS", "2026-04-01T00:00:01Z")).await, ["to"]);
    assert_eq!(wrong(span("CUSTOMER_CREDENTIALS", "2026-02-28T00:00:00Z")).await, ["to"]);
    let mut both = span("CUSTOMER_CREDENTIALS", "2026-03-02T00:00:00Z");
    both["eventIds"] = json!(["a"]);
    assert_eq!(wrong(both).await, ["eventIds"]);
}

async fn only_back_ends_may_ask(store: TestStore) {
    let partner = Partner::on(store).await;
    for (method, uri) in [(Method::GET, LIST), (Method::POST, RESEND)] {
        let answered = partner.stage.server.json(&partner.stage.token, method.clone(), uri, &json!({})).await;
        let code = answered.json()["error"]["code"].clone();
        assert_eq!((answered.status.as_u16(), code), (403, json!("DW-INSUFFICIENT-SCOPE")));
        let answered = partner.stage.server.json("unknown", method, uri, &json!({})).await;
        assert_eq!(answered.status, 401);
    }
}
