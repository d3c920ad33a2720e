//! Tokens of callers, as requests show them. What a token may be is asked of `jwt` itself.

use axum::http::Method;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyherald_store::testing::{TestStore, block_on};
use serde_json::{Value, json};

use crate::stage::{self, SECRET, headers, signed};
use crate::support::{START, TestServer};

async fn said(server: &TestServer, token: &str) -> Value {
    let mut headers = headers();
    headers.retain(|(name, _)| *name != "authorization");
    headers.push(("authorization", format!("Bearer {token}")));
    let answered = server.send(Method::PATCH, "/v4/Users/1/Password", &headers, r#"{"password":"x"}"#).await;
    answered.json()["message"]["text"].clone()
}

#[test]
fn a_token_is_signed_by_the_tenants_key_in_its_way_and_in_time() {
    block_on(async {
        let server = stage::serve(TestStore::sqlite().await).await;
        let let_in = "There was a problem during the GetById workflow.";
        let now = START.0 / 1_000_000;
        for claims in [json!({}), json!({"exp": now + 60}), json!({"nbf": now, "iss": "anybody"})] {
            assert_eq!(said(&server, &signed(SECRET, &claims)).await, let_in, "{claims}");
        }
        let good = signed(SECRET, &json!({"exp": now + 60}));
        let unsigned = |alg: &str| {
            let header = URL_SAFE_NO_PAD.encode(json!({"alg": alg}).to_string());
            format!("{header}.{}.", URL_SAFE_NO_PAD.encode("{}"))
        };
        for token in [
            signed("a secret of somebody else, thirty-two bytes", &json!({})),
            signed(SECRET, &json!({"exp": now - 1})),
            signed(SECRET, &json!({"nbf": now + 3600})),
            unsigned("none"),
            unsigned("HS256"),
            unsigned("RS256"),
            good.replace('.', ""),
            "x".into(),
        ] {
            assert_eq!(said(&server, &token).await, "Invalid Authorization.", "{token}");
        }
        assert_eq!(said(&server, &good).await, let_in);
        server.clock.advance(61_000_000);
        assert_eq!(said(&server, &good).await, "Invalid Authorization.");
    });
}
