//! A sign-in costs the same whoever does not get in, so that its duration says nothing about who is known.

use axum::http::{Method, StatusCode};
use keyherald_store::testing::block_on;
use serde_json::json;

use crate::support::cost::{Cost, spent};
use crate::support::{TestServer, basic};

async fn login(server: &TestServer, token: &str, email: &str, status: StatusCode) -> Cost {
    let before = spent(server);
    let answered = server.json(token, Method::POST, "/demo/login", &json!({"email": email, "password": "wrong"})).await;
    assert_eq!(answered.status, status);
    spent(server).since(&before)
}

async fn customer_token(server: &TestServer, email: &str) -> Cost {
    customer_token_at(server, "", email).await
}

async fn customer_token_at(server: &TestServer, store: &str, email: &str) -> Cost {
    let before = spent(server);
    let form = format!("grant_type=password&username={email}&password=wrong");
    let headers = [("authorization", basic("demo-client"))];
    let answered = server.send(Method::POST, &format!("/oauth/demo/{store}customers/token"), &headers, form).await;
    assert_eq!(answered.status, StatusCode::BAD_REQUEST);
    spent(server).since(&before)
}

async fn nobody_costs_more(server: &TestServer) {
    let token = server.token("demo-client").await;
    for draft in [
        json!({"email": "known@example.com", "password": "secret"}),
        json!({"email": "external@example.com", "authenticationMode": "ExternalAuth"}),
        json!({"email": "lucky@example.com", "password": "wrong"}),
    ] {
        assert_eq!(server.json(&token, Method::POST, "/demo/customers", &draft).await.status, StatusCode::CREATED);
    }
    let wrong = login(server, &token, "known@example.com", StatusCode::BAD_REQUEST).await;
    assert_eq!((wrong.hashes, wrong.writes), (1, 1), "one hash, and one trace");
    // Behind all others, and between two; and who stands in there is not who signs in, though the password is theirs.
    for unknown in ["unknown@example.com", "luck@example.com"] {
        assert_eq!(login(server, &token, unknown, StatusCode::BAD_REQUEST).await, wrong);
    }
    assert_eq!(login(server, &token, "external@example.com", StatusCode::BAD_REQUEST).await, wrong);
    // Even who gets in is no cheaper; only a better hash, once in a while, would cost more.
    assert_eq!(login(server, &token, "lucky@example.com", StatusCode::OK).await, wrong);

    let wrong = customer_token(server, "known%40example.com").await;
    assert_eq!((wrong.hashes, wrong.writes), (1, 1));
    assert_eq!(customer_token(server, "unknown%40example.com").await, wrong);
    assert_eq!(customer_token(server, "external%40example.com").await, wrong);

    // Nor does it tell which stores there are, and who belongs to them.
    server.shop("shop-a").await;
    let draft =
        json!({"email": "shopper@example.com", "password": "secret", "stores": [{"typeId": "store", "key": "shop-a"}]});
    assert_eq!(server.json(&token, Method::POST, "/demo/customers", &draft).await.status, StatusCode::CREATED);
    for (store, email) in [
        ("in-store/key=shop-a/", "shopper%40example.com"),
        ("in-store/key=shop-a/", "known%40example.com"),
        ("in-store/key=shop-a/", "unknown%40example.com"),
        ("in-store/key=nowhere/", "shopper%40example.com"),
        ("", "shopper%40example.com"),
    ] {
        assert_eq!(customer_token_at(server, store, email).await, wrong, "{store} {email}");
    }
}

#[test]
fn sqlite() {
    block_on(async { nobody_costs_more(&TestServer::sqlite().await).await });
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test starts one"]
fn postgres() {
    block_on(async { nobody_costs_more(&TestServer::postgres().await).await });
}
