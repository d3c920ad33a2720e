//! Requests that their callers sign, where a brand asks for it.

use axum::http::Method;
use keyherald::dialect::paysafe::Brand;
use keyherald_core::body_signature::SigningSecret;
use keyherald_store::testing::TestStore;
use serde_json::json;

use crate::stage::{Stage, VERIFICATIONS, brand, refused, told};
use crate::support::Answered;

on_both! { a_body_is_signed, a_request_without_a_body_signs_its_path, whoever_need_not_sign_may }

const SECRET: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
const NOTIFICATIONS: &str = "/digitalwallets/v1/notifications";

fn secret() -> SigningSecret {
    SigningSecret::parse(SECRET).unwrap()
}

async fn signing(store: TestStore) -> Stage {
    Stage::on(store, Brand { signing_secret: Some(secret()), ..brand() }).await
}

async fn send(
    stage: &Stage,
    token: &str,
    method: Method,
    uri: &str,
    (body, signature): (&str, Option<String>),
) -> Answered {
    let mut headers =
        vec![("authorization", format!("Bearer {token}")), ("content-type", "application/json".to_owned())];
    headers.extend(signature.map(|signature| ("signature", signature)));
    stage.server.send(method, uri, &headers, body.to_owned()).await
}

async fn a_body_is_signed(store: TestStore) {
    let stage = signing(store).await;
    let body = json!({"attribute": {"type": "EMAIL", "value": "jo@example.com"}, "flow": "PASSWORD_RESET"}).to_string();
    let post = async |signature: Option<String>| {
        send(&stage, &stage.token, Method::POST, VERIFICATIONS, (&body, signature)).await
    };
    let right = secret().sign(body.as_bytes());
    let other = SigningSecret::parse("CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg=").unwrap();
    for wrong in [
        None,
        Some(String::new()),
        Some("x".to_owned()),
        Some(other.sign(body.as_bytes())),
        Some(secret().sign(format!("{body} ").as_bytes())),
        Some(secret().sign(VERIFICATIONS.as_bytes())),
        Some(format!("{right}=")),
    ] {
        assert_eq!(told(&post(wrong.clone()).await), refused(401, "DW-INVALID-SIGNATURE"), "{wrong:?}");
    }
    assert_eq!(post(Some(right)).await.status, 201);
    // Who calls is looked at first.
    let answered = send(&stage, "dead", Method::POST, VERIFICATIONS, (&body, None)).await;
    assert_eq!(told(&answered), refused(401, "DW-UNAUTHORIZED"));
}

async fn a_request_without_a_body_signs_its_path(store: TestStore) {
    let stage = signing(store).await;
    let admin = stage.admin().await;
    let uri = format!("{NOTIFICATIONS}?limit=5");
    for (signed, status) in [(NOTIFICATIONS, 200), ("", 401), (uri.as_str(), 401)] {
        let signature = Some(secret().sign(signed.as_bytes()));
        let answered = send(&stage, &admin, Method::GET, &uri, ("", signature)).await;
        assert_eq!(answered.status.as_u16(), status, "{signed}");
    }
}

async fn whoever_need_not_sign_may(store: TestStore) {
    let stage = Stage::on(store, brand()).await;
    let answered = send(&stage, &stage.token, Method::POST, VERIFICATIONS, ("{}", Some("x".to_owned()))).await;
    assert_eq!(told(&answered), refused(400, "5068"));
}
