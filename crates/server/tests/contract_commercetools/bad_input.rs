//! Bad input in bulk: never a 5xx, always an error in the contract's form, and nothing changed.

use axum::http::{Method, StatusCode};
use keyherald_store::testing::block_on;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::support::{Answered, BODY_BYTES_MAX, TestServer, basic};

/// Calls that are well formed and refused in the end, so that none of their variations succeeds either: both address and
/// key are taken, the version is another, tokens and addresses are unknown, the destination does not exist.
fn calls(id: &str) -> Vec<(&'static str, Value)> {
    vec![
        (
            "/demo/customers",
            json!({
                "email": "jo@example.com", "key": "taken", "customerNumber": "taken", "password": "x",
                "authenticationMode": "Password", "externalId": "x", "isEmailVerified": false, "firstName": "x",
                "lastName": "x", "middleName": "x", "title": "x", "salutation": "x", "companyName": "x", "vatId": "x",
                "dateOfBirth": "2000-01-01", "locale": "de", "stores": [{"key": "x", "typeId": "store"}],
                "customerGroup": {"id": "x"}, "customerGroupAssignments": [{"customerGroup": {"id": "x"}}],
                "addresses": [{"country": "DE", "city": "x", "key": "xy", "custom": null}], "custom": {"x": 1},
                "defaultShippingAddress": 0, "shippingAddresses": [0], "defaultBillingAddress": 0, "billingAddresses": [0],
            }),
        ),
        ("/demo/customers/password", json!({"id": id, "version": 7, "currentPassword": "secret", "newPassword": "x"})),
        (
            "/demo/customers/password-token",
            json!({"email": "nobody@example.com", "ttlMinutes": 5, "invalidateOlderTokens": true}),
        ),
        ("/demo/customers/password/reset", json!({"tokenValue": "unknown", "newPassword": "x", "version": 1})),
        (
            "/demo/login",
            json!({"email": "nobody@example.com", "password": "x", "anonymousCartSignInMode": "MergeWithExistingCustomerCart",
                "updateProductData": false}),
        ),
        (
            "/demo/subscriptions",
            json!({
                "key": "ab", "destination": {"type": "SQS", "url": "https://example.com", "secret": "whsec_"},
                "messages": [{"resourceTypeId": "customer", "types": ["CustomerCreated"]}],
                "format": {"type": "CloudEvents", "cloudEventsVersion": "1.0"},
                "changes": [{"resourceTypeId": "customer"}], "events": [],
            }),
        ),
    ]
}

struct Subject {
    server: TestServer,
    token: String,
    id: String,
    before: Value,
}

impl Subject {
    async fn new(server: TestServer) -> Self {
        let token = server.token("demo-client").await;
        let draft = json!({"email": "jo@example.com", "password": "secret", "key": "taken", "customerNumber": "taken"});
        let created = server.json(&token, Method::POST, "/demo/customers", &draft).await;
        assert_eq!(created.status, StatusCode::CREATED);
        let id = created.json()["customer"]["id"].as_str().unwrap().to_owned();
        let mut subject = Self { server, token, id, before: Value::Null };
        subject.before = subject.state().await;
        subject
    }

    /// All that a caller can see.
    async fn state(&self) -> Value {
        let mut seen = Vec::new();
        for path in ["/demo/customers", "/demo/messages?limit=500", "/demo/subscriptions"] {
            seen.push(self.server.json(&self.token, Method::GET, path, &Value::Null).await.json());
        }
        Value::from(seen)
    }

    async fn assert_unchanged(&self) {
        assert_eq!(self.state().await, self.before);
    }

    async fn post(&self, path: &str, body: impl Into<Vec<u8>>) -> Answered {
        let authorization = ("authorization", format!("Bearer {}", self.token));
        self.server.send(Method::POST, path, &[authorization], body.into()).await
    }
}

/// A refusal in the contract's form: 4xx, and every part that must be there.
fn is_refusal(answered: &Answered) -> Result<(), String> {
    let body = answered.json();
    let [code, message] =
        ["code", "message"].map(|name| body["errors"][0][name].as_str().unwrap_or_default().to_owned());
    let formed = answered.status.is_client_error()
        && body["statusCode"] == answered.status.as_u16()
        && body["message"] == message.as_str()
        && !code.is_empty()
        && !message.is_empty();
    if formed { Ok(()) } else { Err(format!("{} {body}", answered.status)) }
}

/// The same body with each of its fields, also the inner ones, missing or replaced by each of `values`.
fn variations(body: &Value, values: &[Value]) -> Vec<Value> {
    let mut varied = Vec::new();
    let inner: Vec<(String, Value)> = match body {
        Value::Object(map) => map.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        Value::Array(list) => list.iter().enumerate().map(|(at, value)| (at.to_string(), value.clone())).collect(),
        _ => return varied,
    };
    let with = |name: &str, value: Option<Value>| {
        let mut changed = body.clone();
        match (&mut changed, value) {
            (Value::Object(map), Some(value)) => drop(map.insert(name.to_owned(), value)),
            (Value::Object(map), None) => drop(map.remove(name)),
            (Value::Array(list), Some(value)) => list[name.parse::<usize>().unwrap()] = value,
            (Value::Array(list), None) => drop(list.remove(name.parse().unwrap())),
            _ => unreachable!(),
        }
        changed
    };
    for (name, value) in inner {
        varied.push(with(&name, None));
        varied.extend(values.iter().map(|value| with(&name, Some(value.clone()))));
        varied.extend(variations(&value, values).into_iter().map(|value| with(&name, Some(value))));
    }
    varied
}

fn nasty_values() -> Vec<Value> {
    let mut deep = json!("x");
    for _ in 0..100 {
        deep = json!([{"x": deep}]);
    }
    vec![
        Value::Null,
        json!(true),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(1e300),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(""),
        json!("\u{0}"),
        json!("a\u{0}b"),
        json!(" "),
        json!("\u{feff}\u{202e}\u{1f600}"),
        json!("'; DROP TABLE customer; --"),
        json!("x".repeat(5000)),
        json!("\u{1f600}".repeat(600)),
        json!([]),
        json!({}),
        json!([null, [[]], {"": ""}]),
        json!({"id": "x", "key": "y", "type": 1, "country": 7, "\u{0}": 1}),
        json!(vec![0; 2000]),
        deep,
    ]
}

/// Those that would get as far as the database, and that one engine takes and the other does not.
fn values_for_a_database() -> Vec<Value> {
    vec![json!("a\u{0}b"), json!("\u{feff}\u{202e}\u{1f600}"), json!("x".repeat(5000)), json!("\u{1f600}".repeat(600))]
}

async fn every_field_is_looked_at(subject: Subject, values: &[Value]) {
    let mut tried = 0;
    for (path, body) in calls(&subject.id) {
        let mut bodies = variations(&body, values);
        bodies.push(body);
        for body in bodies {
            let answered = subject.post(path, body.to_string()).await;
            is_refusal(&answered).unwrap_or_else(|error| panic!("{path} {body}: {error}"));
            tried += 1;
        }
    }
    assert!(tried > 50 * values.len(), "{tried}");
    subject.assert_unchanged().await;
}

#[test]
fn every_field_is_looked_at_sqlite() {
    block_on(async { every_field_is_looked_at(Subject::new(TestServer::sqlite().await).await, &nasty_values()).await });
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test starts one"]
fn every_field_is_looked_at_postgres() {
    block_on(async {
        every_field_is_looked_at(Subject::new(TestServer::postgres().await).await, &values_for_a_database()).await;
    });
}

#[test]
fn bodies_that_are_no_json() {
    block_on(async {
        let subject = Subject::new(TestServer::sqlite().await).await;
        for (path, body) in calls(&subject.id) {
            let whole = body.to_string();
            let mut bodies: Vec<Vec<u8>> = (0..whole.len()).map(|end| whole.as_bytes()[..end].to_vec()).collect();
            bodies.extend(
                (0..whole.len()).step_by(3).map(|at| [&whole.as_bytes()[..at], &whole.as_bytes()[at + 1..]].concat()),
            );
            bodies.extend(
                [
                    &b"null"[..],
                    b"true",
                    b"7",
                    b"\"x\"",
                    b"[]",
                    b"[{}]",
                    b"{",
                    b"}",
                    b"{}",
                    b"{}{}",
                    b"{},",
                    b"\0",
                    b"{\"a\":\0}",
                    b"\xef\xbb\xbf{}",
                    b"{\0\"\0a\0",
                    b"{\"email\":\"\xff\"}",
                    b"{\"email\":\"\\ud800\"}",
                    b"{\"email\":\"\\x\"}",
                    b"{'email':'x'}",
                    b"{email:1}",
                    b"{\"email\":NaN}",
                    b"{\"email\":01}",
                    b"{\"a\":1e999999}",
                    b"email=x&password=y",
                    b"<xml/>",
                    b"\n\n\n",
                    b"{\"email\":\"a\nb\"}",
                ]
                .map(<[u8]>::to_vec),
            );
            for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
                for depth in [127, 128, 129, 5000] {
                    bodies.push(format!("{}1{}", open.repeat(depth), close.repeat(depth)).into_bytes());
                    bodies.push(open.repeat(depth).into_bytes());
                }
            }
            for body in bodies {
                let answered = subject.post(path, body.clone()).await;
                let shown = String::from_utf8_lossy(&body);
                is_refusal(&answered).unwrap_or_else(|error| panic!("{path} {shown}: {error}"));
            }
        }
        subject.assert_unchanged().await;
    });
}

#[test]
fn clear_texts() {
    block_on(async {
        let subject = Subject::new(TestServer::sqlite().await).await;
        for (body, detail) in [
            (&b""[..], "The request body is empty."),
            (b"\xff", "The request body is not UTF-8."),
            (b"[]", "Expected a JSON object."),
            (b"{\"email\":", "EOF while parsing a value at line 1 column 9"),
            (b"{\"email\":\"a\\u0000\",\"password\":\"x\"}", "email: The character U+0000 is not allowed"),
            (
                b"{\"email\":\"a\",\"addresses\":[{\"ci\\u0000ty\":1}]}",
                "addresses -> ci\0ty: The character U+0000 is not allowed",
            ),
        ] {
            let answered = subject.post("/demo/customers", body).await.json();
            assert_eq!(answered["errors"][0]["code"], "InvalidJsonInput");
            assert_eq!(answered["errors"][0]["detailedErrorMessage"], detail);
        }
        let deep = subject.post("/demo/customers", "[".repeat(1000)).await.json();
        let detail = deep["errors"][0]["detailedErrorMessage"].as_str().unwrap();
        assert!(detail.starts_with("recursion limit exceeded"), "{detail}");

        let long = json!({"email": "x".repeat(513), "password": "x"}).to_string();
        let answered = subject.post("/demo/customers", long).await.json();
        assert_eq!(
            (&answered["errors"][0]["code"], &answered["errors"][0]["field"]),
            (&json!("InvalidField"), &json!("email"))
        );
        let long = json!({"email": "x", "password": "y".repeat(1025)}).to_string();
        let answered = subject.post("/demo/customers", long).await;
        assert_eq!(answered.json()["errors"][0]["field"], "password");
        assert!(!String::from_utf8(answered.body).unwrap().contains("yyyy"), "no answer repeats a password");
        subject.assert_unchanged().await;
    });
}

#[test]
fn bodies_over_the_limit() {
    block_on(async {
        let subject = Subject::new(TestServer::sqlite().await).await;
        let whole = |bytes: usize| format!("{{\"email\":\"{}\"}}", "x".repeat(bytes - 12)).into_bytes();
        let answered = subject.post("/demo/customers", whole(BODY_BYTES_MAX)).await;
        assert_eq!(answered.status, StatusCode::BAD_REQUEST);
        let answered = subject.post("/demo/customers", whole(BODY_BYTES_MAX + 1)).await;
        let message = format!("The request body is larger than {BODY_BYTES_MAX} bytes.");
        let error = json!({"code": "InvalidInput", "message": message});
        assert_eq!(answered.json(), json!({"statusCode": 413, "message": message, "errors": [error]}));
        let headers = [("authorization", basic("demo-client"))];
        let answered = subject.server.send(Method::POST, "/oauth/token", &headers, whole(BODY_BYTES_MAX + 1)).await;
        assert_eq!(
            (answered.status, &answered.json()["error"]),
            (StatusCode::PAYLOAD_TOO_LARGE, &json!("InvalidInput"))
        );
        // A head over the limit is the frame's to refuse, in the contract's words.
        let headers = [("authorization", format!("Bearer {}", subject.token)), ("x-long", "x".repeat(17_000))];
        let answered = subject.server.send(Method::GET, "/demo/customers", &headers, "").await;
        assert_eq!(answered.status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        is_refusal(&answered).unwrap();
        subject.assert_unchanged().await;
    });
}

/// Percent-encodes every byte.
fn encoded(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| ['%', hex(byte >> 4), hex(byte & 15)]).collect()
}

fn hex(digit: u8) -> char {
    char::from_digit(digit.into(), 16).unwrap()
}

/// Any bytes as a body, a path segment, a query, a form: the server lives, and nothing changes.
#[test]
fn any_bytes_anywhere() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let subject = runtime.block_on(async { Subject::new(TestServer::sqlite().await).await });
    let texts = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..80),
        "[\\x00-\\x7f]{0,80}".prop_map(String::into_bytes),
        "\\{(\"(email|id|version|password|tokenValue|destination)\":(\"[a-z\\\\\"]{0,9}\"|[0-9e.-]{1,9}|null|\\[\\]|\\{\\})[,}]?){0,5}\\}?"
            .prop_map(String::into_bytes),
        "(where|sort|limit|offset|var.a|version)=[a-z(\"=<>):0-9+%]{0,40}".prop_map(String::into_bytes),
    ];
    let paths: Vec<&str> = calls("x").into_iter().map(|(path, _)| path).collect();
    let runs =
        TestRunner::new(Config { cases: 400, failure_persistence: None, ..Config::default() }).run(&texts, |bytes| {
            runtime.block_on(async {
                for path in &paths {
                    let answered = subject.post(path, bytes.clone()).await;
                    is_refusal(&answered).map_err(|error| TestCaseError::fail(format!("{path}: {error}")))?;
                }
                let token = ("authorization", format!("Bearer {}", subject.token));
                let client = ("authorization", basic("demo-client"));
                let (segment, server) = (encoded(&bytes), &subject.server);
                let raw: String = bytes
                    .iter()
                    .filter(|byte| byte.is_ascii_graphic() && **byte != b'#')
                    .map(|b| char::from(*b))
                    .collect();
                for (method, uri, header) in [
                    (Method::GET, format!("/demo/customers/{segment}"), &token),
                    (Method::GET, format!("/demo/customers/key={segment}"), &token),
                    (Method::GET, format!("/demo/customers/password-token={segment}"), &token),
                    (Method::GET, format!("/demo/messages/{segment}"), &token),
                    (Method::GET, format!("/{segment}/messages"), &token),
                    (Method::DELETE, format!("/demo/customers/{segment}?version={segment}"), &token),
                    (Method::GET, format!("/demo/messages?where={segment}"), &token),
                    (Method::GET, format!("/demo/customers?{raw}"), &token),
                    (Method::GET, format!("/demo/subscriptions?sort={segment}&limit={segment}"), &token),
                    (Method::POST, format!("/oauth/token?grant_type={segment}"), &client),
                    (
                        Method::POST,
                        format!(
                            "/oauth/demo/customers/token?grant_type=password&username={segment}&password={segment}"
                        ),
                        &client,
                    ),
                    (Method::POST, "/oauth/token".to_owned(), &client),
                ] {
                    let Ok(_) = uri.parse::<axum::http::Uri>() else { continue };
                    let answered = server.send(method.clone(), &uri, std::slice::from_ref(header), bytes.clone()).await;
                    let fine = answered.status.is_success() || answered.status == StatusCode::METHOD_NOT_ALLOWED;
                    if !fine {
                        is_refusal(&answered)
                            .map_err(|error| TestCaseError::fail(format!("{method} {uri}: {error}")))?;
                    }
                }
                Ok(())
            })
        });
    runs.unwrap();
    runtime.block_on(subject.assert_unchanged());
    drop(subject);
}
