//! Every caller on every route, within a store as well where the route is there. The list of routes is the server's own, so
//! that none is left out; what each of them needs stands here a second time, from commercetools.md 1.4, 1.5, 2.1, 5 and 8.1.
//! Bodies lack something or have a wrong version: who is let through is refused later, and nothing changes.

use std::io::Write;

use axum::http::Method;
use keyherald::dialect::commercetools::endpoints;
use keyherald_core::Micros;
use keyherald_core::client::Permission;
use keyherald_store::testing::block_on;
use serde_json::{Value, json};

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
    ("POST", "/{project}/subscriptions/{id}", "manage_subscriptions"),
    ("POST", "/{project}/subscriptions/key={key}", "manage_subscriptions"),
    ("DELETE", "/{project}/subscriptions/{id}", "manage_subscriptions"),
    ("DELETE", "/{project}/subscriptions/key={key}", "manage_subscriptions"),
    ("GET", "/{project}/subscriptions/{id}/health", "-"),
];

/// What of a project there is within a store too (commercetools.md 2.1).
fn is_in_store_too(path: &str) -> bool {
    path.split('/').nth(2).is_some_and(|word| ["customers", "login", "me"].contains(&word))
}

/// Whether a route is about the customer whom the token stands for, and not about whoever has a password or a token.
fn is_about_me(path: &str) -> bool {
    path == "/{project}/me" || path == "/{project}/me/password"
}

/// Scopes that can be held for one store (commercetools.md 1.5).
const PER_STORE: [&str; 3] = ["view_customers", "manage_customers", "manage_my_profile"];

/// Whether a scope does for a route that needs another.
fn is_enough(scope: &str, needed: &str) -> bool {
    let implied = [
        ("manage_customers", "view_customers"),
        ("view_orders", "view_messages"),
        ("manage_project_settings", "view_project_settings"),
        ("manage_stores", "view_stores"),
    ];
    scope == needed || scope == "manage_project" || implied.contains(&(scope, needed))
}

/// Where a call is made.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Project,
    ShopA,
}

/// What must come.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Expected {
    /// 401 with this code.
    Unauthorized(&'static str),
    /// 403 that names the missing scope.
    Insufficient,
    /// 403 that says what kind of token is needed.
    NotACustomer,
    /// 404: there is no such customer for this token.
    NoCustomer,
    /// Anything else.
    LetThrough,
}

/// A caller: how it is called in a message, its `Authorization`, and what it holds.
struct Caller {
    name: String,
    authorization: Option<String>,
    holds: Holds,
}

/// What a caller holds.
#[derive(Clone, Copy)]
enum Holds {
    /// Nothing that counts; the code of the 401.
    Nothing(&'static str),
    /// A scope for the whole project.
    Scope(&'static str),
    /// A scope for the store `shop-a`, or for another one.
    InStore(&'static str, bool),
    /// Everything, on another project.
    Elsewhere,
    /// `manage_my_profile`, as a customer of `shop-a`, or of `shop-b`.
    Customer(bool),
    /// `manage_my_profile`, as a visitor.
    Visitor,
}

fn expected(holds: Holds, path: &str, needed: &str, place: Place) -> Expected {
    let about_me = is_about_me(path);
    let scoped = |enough: bool| match enough {
        true if about_me => Expected::NotACustomer,
        true => Expected::LetThrough,
        false => Expected::Insufficient,
    };
    match holds {
        Holds::Nothing(code) => Expected::Unauthorized(code),
        Holds::Elsewhere => Expected::Insufficient,
        Holds::Scope(scope) => scoped(is_enough(scope, needed)),
        Holds::InStore(scope, here) => scoped(here && place == Place::ShopA && is_enough(scope, needed)),
        Holds::Customer(_) | Holds::Visitor if needed != "manage_my_profile" => Expected::Insufficient,
        Holds::Customer(false) if about_me && place == Place::ShopA => Expected::NoCustomer,
        Holds::Visitor if about_me => Expected::NoCustomer,
        Holds::Customer(_) | Holds::Visitor => Expected::LetThrough,
    }
}

async fn callers(server: &TestServer) -> Vec<Caller> {
    let mut callers = Vec::new();
    let mut add =
        |name: String, authorization: Option<String>, holds| callers.push(Caller { name, authorization, holds });
    let bearer = |token: &str| Some(format!("Bearer {token}"));
    add("nobody".into(), None, Holds::Nothing("access_denied"));
    add("a client's secret".into(), Some(basic("demo-client")), Holds::Nothing("access_denied"));
    for nonsense in ["nonsense", "", "\u{e9}", &"x".repeat(4000)] {
        let code = if nonsense.is_ascii() { "invalid_token" } else { "access_denied" };
        add(format!("nonsense of {} bytes", nonsense.len()), bearer(nonsense), Holds::Nothing(code));
    }
    let expired = server.token("demo-client").await;
    server.clock.advance(2 * Micros::DAY);
    add("an expired token".into(), bearer(&expired), Holds::Nothing("invalid_token"));
    add("another project".into(), bearer(&server.token("other-client").await), Holds::Elsewhere);

    server.client("demo", "gone-client", "manage_project:demo").await;
    let gone = server.token("gone-client").await;
    server.app.revoke_client("demo".parse().unwrap(), "gone-client".into()).await.unwrap();
    add("a revoked client".into(), bearer(&gone), Holds::Nothing("invalid_token"));

    let scopes = Permission::ALL.map(Permission::name).into_iter();
    for (number, scope) in scopes.enumerate() {
        let id = format!("only{number}-client");
        server.client("demo", &id, &format!("{scope}:demo manage_project:other")).await;
        add(format!("{scope}:demo"), bearer(&server.token(&id).await), Holds::Scope(scope));
    }
    for (number, scope) in PER_STORE.into_iter().enumerate() {
        for (shop, here) in [("shop-a", true), ("shop-b", false)] {
            let id = format!("{shop}{number}-client");
            server.client("demo", &id, &format!("{scope}:demo:{shop}")).await;
            add(format!("{scope}:demo:{shop}"), bearer(&server.token(&id).await), Holds::InStore(scope, here));
        }
    }
    for shop in ["shop-a", "shop-b"] {
        let token = customer(server, "live", shop).await.1;
        add(format!("a customer of {shop}"), bearer(&token), Holds::Customer(shop == "shop-a"));
    }
    let form = "grant_type=client_credentials&scope=manage_my_profile:demo";
    let secret = [("authorization", basic("demo-client"))];
    let visitor = server.send(Method::POST, "/oauth/demo/anonymous/token", &secret, form).await.json();
    add("a visitor".into(), bearer(visitor["access_token"].as_str().unwrap()), Holds::Visitor);
    let (id, token) = customer(server, "changed", "shop-a").await;
    let demo = server.token("demo-client").await;
    let change = json!({"id": id, "version": 1, "currentPassword": "secret", "newPassword": "second"});
    server.json(&demo, Method::POST, "/demo/customers/password", &change).await;
    add("a customer with a new password".into(), bearer(&token), Holds::Nothing("invalid_token"));
    let (id, token) = customer(server, "deleted", "shop-a").await;
    server.json(&demo, Method::DELETE, &format!("/demo/customers/{id}?version=1"), &Value::Null).await;
    add("a deleted customer".into(), bearer(&token), Holds::Nothing("invalid_token"));
    callers
}

/// Makes a customer of a store; the id, and an access token of its own.
async fn customer(server: &TestServer, name: &str, shop: &str) -> (String, String) {
    let demo = server.token("demo-client").await;
    let email = format!("{name}-{shop}@example.com");
    let draft = json!({"email": email, "password": "secret"});
    let created = server.json(&demo, Method::POST, &format!("/demo/in-store/key={shop}/customers"), &draft).await;
    let id = created.json()["customer"]["id"].as_str().unwrap().to_owned();
    let uri = format!("/oauth/demo/in-store/key={shop}/customers/token");
    let form = format!("grant_type=password&username={email}&password=secret&scope=manage_my_profile:demo");
    let answered = server.send(Method::POST, &uri, &[("authorization", basic("demo-client"))], form).await;
    (id, answered.json()["access_token"].as_str().unwrap().to_owned())
}

/// A route with values in it that name nothing.
fn concrete(path: &str, project: &str) -> String {
    path.replace("{project}", project)
        .replace("{id}", "3cdcdcc8-80c5-41bb-abb5-ac8772c9cc24")
        .replace("{key}", "some-key")
        .replace("{value}", "Is5gdF7Ym-Aick-AkmsEHMMBWpByIfjgyXxKxZem")
        .replace("{store}", "shop-a")
}

/// Sends a call that is right but for who makes it.
async fn call(server: &TestServer, method: &str, path: &str, authorization: Option<String>) -> Answered {
    let version = if method == "DELETE" { "?version=77" } else { "" };
    let uri = format!("{path}{version}");
    let headers: Vec<(&str, String)> = authorization.into_iter().map(|value| ("authorization", value)).collect();
    let body = json!({"version": 77, "actions": [], "currentPassword": "wrong", "newPassword": "x"});
    server.send(method.parse::<Method>().unwrap(), &uri, &headers, body.to_string()).await
}

/// What came, in the terms of [`Expected`].
fn judged(answered: &Answered, head: bool, expected: Expected, needed: &str) -> Result<(), String> {
    let (status, json) = (answered.status.as_u16(), answered.json());
    let code = json.pointer("/errors/0/code").and_then(Value::as_str).unwrap_or_default();
    let text = json["message"].as_str().unwrap_or_default();
    let missing = format!("Insufficient scope. One of the following scopes is missing: {needed}.");
    let as_expected = match expected {
        Expected::Unauthorized(expected) => status == 401 && (head || code == expected),
        Expected::Insufficient => status == 403 && (head || (code == "insufficient_scope" && text == missing)),
        Expected::NotACustomer => {
            status == 403 && (head || text.starts_with("This endpoint requires an access token issued either"))
        }
        Expected::NoCustomer => status == 404 && (head || code == "ResourceNotFound"),
        Expected::LetThrough => ![401, 403, 405].contains(&status) && status < 500,
    };
    if as_expected { Ok(()) } else { Err(format!("expected {expected:?}, answered {status} {json}")) }
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

/// The matrix. Its closing line says how large it was.
#[test]
fn matrix() {
    block_on(async {
        let server = TestServer::sqlite().await;
        for shop in ["shop-a", "shop-b"] {
            server.shop(shop).await;
        }
        let callers = callers(&server).await;
        let (mut routes, mut calls, mut differences) = (0, 0, Vec::new());
        for &(method, path, needed) in NEEDED.iter().filter(|(.., needed)| !["client", "-"].contains(needed)) {
            let mut places = vec![(Place::Project, concrete(path, "demo"))];
            if is_in_store_too(path) {
                places.push((Place::ShopA, concrete(path, "demo/in-store/key=shop-a")));
            }
            for (place, path_here) in places {
                routes += 1;
                for caller in &callers {
                    let answered = call(&server, method, &path_here, caller.authorization.clone()).await;
                    let expected = expected(caller.holds, path, needed, place);
                    if let Err(why) = judged(&answered, method == "HEAD", expected, needed) {
                        differences.push(format!("{} on {method} {path_here}: {why}", caller.name));
                    }
                    calls += 1;
                }
            }
        }
        assert!(differences.is_empty(), "{}", differences.join("\n"));
        // Not by `println!`, which the harness keeps to itself while all is well.
        let line = format!(
            "proof: caller matrix: {routes} routes x {} callers, {calls} calls, 0 differences\n",
            callers.len()
        );
        std::io::stdout().write_all(line.as_bytes()).unwrap();
    });
}

#[test]
fn a_project_that_is_not_there_is_like_one_that_is_another_s() {
    block_on(async {
        let server = TestServer::sqlite().await;
        let elsewhere = format!("Bearer {}", server.token("other-client").await);
        for &(method, path, needed) in NEEDED.iter().filter(|(.., needed)| !["client", "-"].contains(needed)) {
            for project in ["demo", "nowhere", "Not-A-Key"] {
                let path = concrete(path, project);
                let answered = call(&server, method, &path, Some(elsewhere.clone())).await;
                judged(&answered, method == "HEAD", Expected::Insufficient, needed).unwrap();
            }
        }
    });
}

#[test]
fn token_requests_need_the_secret_of_a_client() {
    block_on(async {
        let server = TestServer::sqlite().await;
        let token = format!("Bearer {}", server.token("demo-client").await);
        for &(method, path, _) in NEEDED.iter().filter(|(.., needed)| *needed == "client") {
            for authorization in [None, Some("Basic eDp5".into()), Some(token.clone())] {
                let answered = call(&server, method, &concrete(path, "demo"), authorization).await;
                judged(&answered, false, Expected::Unauthorized("invalid_client"), "").unwrap();
            }
        }
    });
}

#[test]
fn what_anybody_may_ask_needs_no_token() {
    block_on(async {
        let server = TestServer::sqlite().await;
        for &(method, path, _) in NEEDED.iter().filter(|(.., needed)| *needed == "-") {
            judged(&call(&server, method, &concrete(path, "demo"), None).await, false, Expected::NoCustomer, "")
                .unwrap();
        }
    });
}
