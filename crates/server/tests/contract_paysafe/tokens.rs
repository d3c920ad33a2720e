//! Tokens of the three kinds, and what each is good for.

use axum::http::Method;
use keyherald::dialect::paysafe::Prefix;
use keyherald_store::testing::TestStore;
use serde_json::{Value, json};

use crate::stage::{Stage, VERIFICATIONS, brand, refused, told};
use crate::support::basic;

on_both! { paths_begin_where_the_configuration_says, clients_are_what_their_scopes_say, a_customer_signs_in_and_goes_on, what_is_wrong_is_told }

async fn clients_are_what_their_scopes_say(store: TestStore) {
    let stage = Stage::on(store, brand()).await;
    let admin = stage.grant("back-client", "grant_type=client_credentials").await.json();
    assert_eq!((&admin["expires_in"], &admin["scope"]), (&json!(36000), &json!("whitelabelWallet")));
    let setup = stage.grant("app-client", "grant_type=client_credentials").await.json();
    assert_eq!((&setup["expires_in"], &setup["scope"]), (&json!(900), &json!("walletSetup")));
    assert_eq!(setup["token_type"], "Bearer");
    let token = admin["access_token"].as_str().unwrap();
    let answered = stage.server.json(token, Method::POST, VERIFICATIONS, &json!({})).await;
    assert_eq!(told(&answered), refused(403, "DW-INSUFFICIENT-SCOPE"));
}

async fn a_customer_signs_in_and_goes_on(store: TestStore) {
    let stage = Stage::on(store, brand()).await;
    stage.server.customer("jo@example.com", "first-password").await;
    let form = "grant_type=password&username=jo%40example.com&password=first-password";
    let signed_in = stage.grant("app-client", form).await.json();
    let refresh = signed_in["refresh_token"].as_str().unwrap();
    let again = stage.grant("app-client", &format!("grant_type=refresh_token&refresh_token={refresh}")).await;
    assert_eq!(again.status, 200);
    let wrong = stage.grant("app-client", &form.replace("first", "other")).await;
    assert_eq!(told(&wrong), refused(401, "DW-UNAUTHORIZED"));
    let token = signed_in["access_token"].as_str().unwrap();
    let body = |flow: &str| json!({"attribute": {"type": "EMAIL", "value": "new@example.com"}, "flow": flow});
    let update = stage.server.json(token, Method::POST, VERIFICATIONS, &body("WALLET_UPDATE")).await;
    assert_eq!(update.status, 201);
    let reset = stage.server.json(token, Method::POST, VERIFICATIONS, &body("PASSWORD_RESET")).await;
    assert_eq!(told(&reset), refused(403, "DW-INSUFFICIENT-SCOPE"));
}

async fn what_is_wrong_is_told(store: TestStore) {
    let stage = Stage::on(store, brand()).await;
    for (client, form, expected) in [
        ("nobody-client", "grant_type=client_credentials", refused(401, "DW-UNAUTHORIZED")),
        ("other-client", "grant_type=client_credentials", refused(401, "DW-UNAUTHORIZED")),
        ("demo-client", "grant_type=client_credentials", refused(403, "DW-INSUFFICIENT-SCOPE")),
        ("app-client", "", refused(400, "5068")),
        ("app-client", "grant_type=password", refused(400, "5068")),
        ("app-client", "grant_type=refresh_token&refresh_token=x", refused(401, "DW-UNAUTHORIZED")),
        (
            "app-client",
            "grant_type=urn:ietf:params:oauth:grant-type:token-exchange",
            refused(400, "DW-UNSUPPORTED-GRANT-TYPE"),
        ),
    ] {
        assert_eq!(told(&stage.grant(client, form).await), expected, "{client} {form}");
    }
    let elsewhere = "/digitalwallets/v1/auth/brands/unknown/token";
    let headers = [("authorization", basic("app-client"))];
    let answered = stage.server.send(Method::POST, elsewhere, &headers, String::new()).await;
    assert_eq!(told(&answered), refused(404, "DW-NOT-FOUND"));
    for (method, path, expected) in [
        (Method::GET, VERIFICATIONS, refused(405, "DW-METHOD-NOT-ALLOWED")),
        (Method::POST, VERIFICATIONS, refused(401, "DW-UNAUTHORIZED")),
        (Method::POST, "/digitalwallets/v1/nothing", refused(404, "DW-NOT-FOUND")),
    ] {
        let answered = stage.server.json("no-token", method, path, &Value::Null).await;
        assert_eq!(told(&answered), expected, "{path}");
    }
}

async fn paths_begin_where_the_configuration_says(store: TestStore) {
    let stage = Stage::at(Prefix::new("/wallet"), store, brand()).await;
    let headers =
        [("authorization", basic("app-client")), ("content-type", "application/x-www-form-urlencoded".into())];
    let grant = async |uri| stage.server.send(Method::POST, uri, &headers, "grant_type=client_credentials").await;
    let token = grant("/wallet/auth/brands/wallet/token").await.json()["access_token"].as_str().unwrap().to_owned();
    let answered = stage.server.json(&token, Method::POST, "/wallet/wallet-setup/verifications", &json!({})).await;
    assert_eq!(told(&answered), refused(400, "5068"));
    let notices = "/wallet/v2/customer-persons/1/change-notifications";
    let answered = stage.server.json(&token, Method::POST, notices, &json!({})).await;
    assert_eq!(told(&answered), refused(403, "DW-INSUFFICIENT-SCOPE"));
    // The place where they would be is somebody else's.
    assert!(grant("/digitalwallets/v1/auth/brands/wallet/token").await.json().get("access_token").is_none());
}
