//! Every field that a query may name has a column: for both engines, in filters and in sorts.

use axum::http::{Method, StatusCode};
use keyherald::predicate::{CUSTOMERS, Field, MESSAGES, Shape};
use keyherald_store::testing::block_on;
use serde_json::{Value, json};

use crate::support::TestServer;

/// `(predicate on the field, path to sort by if it is a plain value)`
fn uses(fields: &[Field]) -> Vec<(String, Option<String>)> {
    let mut uses = Vec::new();
    for Field { name, shape } in fields {
        uses.push((format!("{name} is defined"), matches!(shape, Shape::One(_)).then(|| (*name).to_owned())));
        if let Shape::Objects(inner) = shape {
            uses.extend(self::uses(inner).into_iter().map(|(test, _)| (format!("{name}({test})"), None)));
        }
        if let Shape::Object(inner) = shape {
            let inner = self::uses(inner).into_iter();
            uses.extend(
                inner.map(|(test, path)| (format!("{name}({test})"), path.map(|path| format!("{name}.{path}")))),
            );
        }
    }
    uses
}

fn encoded(text: &str) -> String {
    text.replace(' ', "+").replace('"', "%22").replace('=', "%3D")
}

async fn every_field_has_a_column(server: &TestServer) {
    let token = server.token("demo-client").await;
    let draft = json!({"email": "jo@example.com", "password": "x"});
    assert_eq!(server.json(&token, Method::POST, "/demo/customers", &draft).await.status, StatusCode::CREATED);
    let subscription = ["id", "version", "createdAt", "lastModifiedAt", "key", "status"];
    let subscription = subscription.map(|name| (format!("{name} is defined"), Some(name.to_owned()))).to_vec();
    for (path, uses) in [("customers", uses(CUSTOMERS)), ("messages", uses(MESSAGES)), ("subscriptions", subscription)]
    {
        for (test, sort) in uses {
            let sort = sort.map(|path| format!("&sort={path}+desc")).unwrap_or_default();
            for test in [test.clone(), format!("not ({test})")] {
                let uri = format!("/demo/{path}?where={}{sort}", encoded(&test));
                let answered = server.json(&token, Method::GET, &uri, &Value::Null).await;
                assert_eq!(answered.status, StatusCode::OK, "{uri} {}", answered.json());
            }
        }
    }
}

#[test]
fn sqlite() {
    block_on(async { every_field_has_a_column(&TestServer::sqlite().await).await });
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test starts one"]
fn postgres() {
    block_on(async { every_field_has_a_column(&TestServer::postgres().await).await });
}
