//! Every caller on every route. The list of routes is the server's own, so that none is left out; what each of them needs
//! stands here a second time, from commercetools.md 2.1, 5 and 8.1.

use axum::http::{Method, StatusCode};
use keyherald::dialect::commercetools::endpoints;
use keyherald_core::Micros;
use keyherald_core::client::Permission;
use keyherald_store::testing::block_on;
use serde_json::Value;

use crate::support::{Answered, TestServer, basic};

/// Method, path and needed scope. `-`: none; `client`: the client's secret.
const NEEDED: &[(&str, &str, &str)] = &[
    ("POST", "/oauth/token", "client"),
    ("POST", "/oauth/{project}/in-store/key={store}/customers/token", "client"),
    ("POST", "/oauth/{project}/customers/token", "client"),
    ("POST", "/oauth/{project}/anonymous/token", "client"),
    ("POST", "/oauth/introspect", "client"),
    ("POST", "/oauth/token/revoke", "client"),
    ("GET", "/{project}", "view_project_settings"),
    ("POST", "/{project}", "manage_project_settings"),
    ("POST", "/{project}/stores", "manage_stores"),
    ("HEAD", "/{project}/stores", "view_stores"),
    ("GET", "/{project}/stores", "view_stores"),
    ("GET", "/{project}/stores/{id}", "view_stores"),
    ("GET", "/{project}/stores/key={key}", "view_stores"),
    ("POST", "/{project}/customers/password", "manage_customers"),
    ("POST", "/{project}/me/password", "manage_my_profile"),
    ("POST", "/{project}/customers/password-token", "manage_customers"),
    ("POST", "/{project}/customers/password/reset", "manage_customers"),
    ("POST", "/{project}/me/password/reset", "manage_my_profile"),
    ("POST", "/{project}/login", "manage_customers"),
    ("POST", "/{project}/me/login", "manage_my_profile"),
    ("POST", "/{project}/customers/email-token", "manage_customers"),
    ("POST", "/{project}/customers/email/confirm", "manage_customers"),
    ("POST", "/{project}/me/email/confirm", "manage_my_profile"),
    ("POST", "/{project}/customers", "manage_customers"),
    ("POST", "/{project}/me/signup", "manage_my_profile"),
    ("HEAD", "/{project}/customers", "view_customers"),
    ("GET", "/{project}/customers", "view_customers"),
    ("GET", "/{project}/customers/{id}", "view_customers"),
    ("GET", "/{project}/customers/key={key}", "view_customers"),
    ("GET", "/{project}/me", "manage_my_profile"),
    ("GET", "/{project}/customers/password-token={value}", "view_customers"),
    ("GET", "/{project}/customers/email-token={value}", "view_customers"),
    ("POST", "/{project}/customers/{id}", "manage_customers"),
    ("POST", "/{project}/customers/key={key}", "manage_customers"),
    ("POST", "/{project}/me", "manage_my_profile"),
    ("DELETE", "/{project}/customers/{id}", "manage_customers"),
    ("DELETE", "/{project}/customers/key={key}", "manage_customers"),
    ("DELETE", "/{project}/me", "manage_my_profile"),
    ("HEAD", "/{project}/messages", "view_messages"),
    ("GET", "/{project}/messages", "view_messages"),
    ("GET", "/{project}/messages/{id}", "view_messages"),
    ("POST", "/{project}/subscriptions", "manage_subscriptions"),
    ("HEAD", "/{project}/subscriptions", "manage_subscriptions"),
    ("GET", "/{project}/subscriptions", "manage_subscriptions"),
    ("GET", "/{project}/subscriptions/{id}", "manage_subscriptions"),
    ("GET", "/{project}/subscriptions/key={key}", "manage_subscriptions"),
    ("DELETE", "/{project}/subscriptions/{id}", "manage_subscriptions"),
    ("DELETE", "/{project}/subscriptions/key={key}", "manage_subscriptions"),
    ("GET", "/{project}/subscriptions/{id}/health", "-"),
];

/// A route with values in it that name nothing.
fn concrete(path: &str, project: &str) -> String {
    path.replace("{project}", project)
        .replace("{id}", "3cdcdcc8-80c5-41bb-abb5-ac8772c9cc24")
        .replace("{key}", "some-key")
        .replace("{store}", "some-store")
        .replace("{value}", "Is5gdF7Ym-Aick-AkmsEHMMBWpByIfjgyXxKxZem")
}

/// Sends a call that is right but for who makes it.
async fn call(server: &TestServer, method: &str, path: &str, authorization: Option<String>) -> Answered {
    let version = if method == "DELETE" { "?version=1" } else { "" };
    let uri = format!("{path}{version}");
    let headers: Vec<(&str, String)> = authorization.into_iter().map(|value| ("authorization", value)).collect();
    server.send(method.parse::<Method>().unwrap(), &uri, &headers, "{}").await
}

/// The status, and for what has a body its code.
fn outcome(answered: &Answered) -> (u16, String) {
    let code = answered.json().pointer("/errors/0/code").and_then(Value::as_str).unwrap_or("").to_owned();
    (answered.status.as_u16(), code)
}

fn expect(answered: &Answered, method: &str, path: &str, status: StatusCode, code: &str) {
    let code = if method == "HEAD" { "" } else { code };
    assert_eq!(outcome(answered), (status.as_u16(), code.to_owned()), "{method} {path}");
}

#[test]
fn the_table_is_complete() {
    let routes: Vec<_> = endpoints()
        .map(|(method, path, permission)| (method.as_str(), path, permission.map(Permission::name)))
        .collect();
    let needed: Vec<_> = NEEDED
        .iter()
        .map(|&(method, path, scope)| (method, path, (!["client", "-"].contains(&scope)).then_some(scope)))
        .collect();
    assert_eq!(routes, needed);
}

#[test]
fn without_the_right_token_nothing_is_done() {
    block_on(async {
        let server = TestServer::sqlite().await;
        let expired = server.token("demo-client").await;
        server.clock.advance(2 * Micros::DAY);
        let elsewhere = server.token("other-client").await;
        for &(method, path, scope) in NEEDED {
            let path = concrete(path, "demo");
            if scope == "client" {
                for authorization in [None, Some("Basic eDp5".into()), Some(format!("Bearer {elsewhere}"))] {
                    let answered = call(&server, method, &path, authorization).await;
                    expect(&answered, method, &path, StatusCode::UNAUTHORIZED, "invalid_client");
                }
                continue;
            }
            if scope == "-" {
                expect(
                    &call(&server, method, &path, None).await,
                    method,
                    &path,
                    StatusCode::NOT_FOUND,
                    "ResourceNotFound",
                );
                continue;
            }
            let none = call(&server, method, &path, None).await;
            expect(&none, method, &path, StatusCode::UNAUTHORIZED, "access_denied");
            let secret = call(&server, method, &path, Some(basic("demo-client"))).await;
            expect(&secret, method, &path, StatusCode::UNAUTHORIZED, "access_denied");
            for dead in ["nonsense", "", "\u{e9}", &"x".repeat(4000), &expired] {
                let answered = call(&server, method, &path, Some(format!("Bearer {dead}"))).await;
                assert_eq!(answered.status, StatusCode::UNAUTHORIZED, "{method} {path} {dead}");
            }
            for project in ["demo", "nowhere", "Not-A-Key"] {
                let path = concrete(&path.replacen("/demo/", "/{project}/", 1), project);
                let answered = call(&server, method, &path, Some(format!("Bearer {elsewhere}"))).await;
                expect(&answered, method, &path, StatusCode::FORBIDDEN, "insufficient_scope");
            }
        }
    });
}

#[test]
fn every_other_scope_is_not_enough() {
    block_on(async {
        let server = TestServer::sqlite().await;
        for (number, permission) in Permission::ALL.into_iter().enumerate() {
            let (id, scope) = (format!("only{number}-client"), permission.name());
            server.client("demo", &id, &format!("{scope}:demo manage_project:other")).await;
            let token = format!("Bearer {}", server.token(&id).await);
            for (method, path, needed) in NEEDED.iter().filter(|(_, _, needed)| !["client", "-"].contains(needed)) {
                let path = concrete(path, "demo");
                let answered = call(&server, method, &path, Some(token.clone())).await;
                let enough = scope == *needed
                    || (scope.strip_prefix("manage_").is_some_and(|of| needed.strip_prefix("view_") == Some(of)))
                    || (scope == "view_orders" && *needed == "view_messages");
                if enough {
                    let json = answered.json();
                    let text = json["message"].as_str().unwrap_or_default();
                    // The scope does; but the token of a client stands for no customer.
                    let is_nobody = scope == "manage_my_profile" && text.starts_with("This endpoint requires");
                    let refused = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&answered.status);
                    let passed = is_nobody || !refused;
                    assert!(passed, "{scope} is enough for {method} {path}");
                } else {
                    expect(&answered, method, &path, StatusCode::FORBIDDEN, "insufficient_scope");
                    if *method != "HEAD" {
                        let text = format!("Insufficient scope. One of the following scopes is missing: {needed}.");
                        assert_eq!(answered.json()["message"], text.as_str());
                    }
                }
            }
        }
    });
}
