//! The many ways in which the same request may be written, and the answers of the frame around it.

use std::io;
use std::sync::{Arc, Mutex};

use axum::http::Method;
use keyherald::telemetry::{Look, subscriber};
use keyherald_store::testing::{TestStore, block_on};
use serde_json::json;

use crate::stage::{self, code, headers, patch};
use crate::support::BODY_BYTES_MAX;

#[test]
fn every_way_of_writing_path_and_headers_does_the_same() {
    block_on(async {
        let server = stage::serve(TestStore::sqlite().await).await;
        let jo = server.customer("jo@example.com", "first-password").await;
        let mut turn = 0;
        for prefix in ["", "/UsersOrchestrator", "/usersorchestrator"] {
            for version in ["", "/v4", "/V4"] {
                for (users, password) in [("Users", "Password"), ("users", "password"), ("USERS", "PASSWORD")] {
                    for slash in ["", "/"] {
                        turn += 1;
                        let path = format!("{prefix}{version}/{users}/{}/{password}{slash}", jo.number);
                        let mut headers = headers();
                        // Names and codes of headers in any letter case, the group by both of its names.
                        if turn % 2 == 0 {
                            headers.retain(|(name, _)| *name != "x-clientgroupcode");
                            headers.push(("X-MEDIAGROUPCODE", "group".into()));
                        }
                        if turn % 3 == 0 {
                            headers.retain(|(name, _)| *name != "x-clientcode");
                            headers.push(("X-ClientCode", "client".into()));
                        }
                        let name = ["password", "Password", "PASSWORD", "pAsSwOrD"][turn % 4];
                        let body = json!({name: format!("password-{turn}")}).to_string();
                        let answered = server.send(Method::PATCH, &path, &headers, body).await;
                        assert_eq!(code(&answered), "UsersOrchestrator_S200_11", "{path} {answered:?}");
                    }
                }
            }
        }
        let token = server.token("demo-client").await;
        let login = json!({"email": "jo@example.com", "password": format!("password-{turn}")});
        let answered = server.json(&token, Method::POST, "/demo/login", &login).await;
        assert_eq!(answered.json()["customer"]["version"], 1 + turn);
    });
}

#[test]
fn a_header_counts_once() {
    block_on(async {
        let server = stage::serve(TestStore::sqlite().await).await;
        for (name, header) in [
            ("x-papercode", "X-PaperCode"),
            ("x-clientcode", "X-ClientCode"),
            ("x-sourcesystem", "X-SourceSystem"),
            ("x-clientgroupcode", "X-ClientGroupCode"),
        ] {
            let mut headers = headers();
            headers.retain(|(known, _)| *known != name);
            headers.push((name, "x".repeat(300)));
            let answered = server.send(Method::PATCH, "/v4/Users/1/Password", &headers, r#"{"password":"x"}"#).await;
            assert_eq!(answered.json()["message"]["text"], format!("Invalid {header}."));
            headers.retain(|(known, _)| *known != name);
            headers.push((name, "  ".into()));
            let answered = server.send(Method::PATCH, "/v4/Users/1/Password", &headers, r#"{"password":"x"}"#).await;
            assert_eq!(answered.json()["message"]["text"], format!("Invalid InputModel - {header} is missing."));
        }
    });
}

#[test]
fn the_frame_speaks_the_contract_on_its_paths() {
    block_on(async {
        let server = stage::serve(TestStore::sqlite().await).await;
        let long = "x".repeat(BODY_BYTES_MAX);
        let answered = patch(&server, "1", &long).await;
        assert_eq!((answered.status.as_u16(), code(&answered).as_str()), (400, "UsersOrchestrator_E400"));
        let mut headers = headers();
        headers.push(("x-long", "x".repeat(20 * 1024)));
        let answered = server.send(Method::PATCH, "/v4/Users/1/Password", &headers, "{}").await;
        assert_eq!((answered.status.as_u16(), code(&answered).as_str()), (400, "UsersOrchestrator_E400"));
        let answered = server.send(Method::GET, "/demo/customers", &headers, "").await;
        assert_eq!(answered.json()["statusCode"], 431);
        // Too much to do: nothing was begun, so it may be said, and when to come back.
        let jo = server.customer("jo@example.com", "first-password").await;
        server.app.hash.stop().await;
        let answered = patch(&server, &jo.number.to_string(), "second-password").await;
        assert_eq!((answered.status.as_u16(), code(&answered).as_str()), (503, "UsersOrchestrator_E503"));
        assert!(answered.headers.contains_key("retry-after"));
        let path = format!("/User/{}", jo.number);
        let answered = server.send(Method::PUT, &path, &stage::headers(), r#"{"Password":"x"}"#).await;
        assert_eq!(answered.status.as_u16(), 503);
        assert_eq!(answered.json(), json!({"error": "Something went wrong. Please try again later."}));
        server.store().close().await;
        let answered = patch(&server, &jo.number.to_string(), "second-password").await;
        assert_eq!(answered.status.as_u16() / 100, 5);
        assert!(answered.headers.contains_key("retry-after"));
    });
}

/// Log lines, kept for a look.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_callers_request_id_is_in_the_log_and_says_nothing_personal() {
    block_on(async {
        let lines = Lines::default();
        let writer = lines.clone();
        // With one alone, lines that other tests have come by before would be taken for those that nobody wants.
        let (ours, _second) =
            (subscriber(Look::Json, "info", move || writer.clone()), subscriber(Look::Json, "info", io::sink));
        let _logging = tracing::dispatcher::set_default(&ours);
        let server = stage::serve(TestStore::sqlite().await).await;
        for id in ["order-4711", "jane@example.com"] {
            let mut headers = headers();
            headers.push(("X-RequestId", id.into()));
            server.send(Method::PATCH, "/v4/Users/1/Password", &headers, r#"{"password":"x"}"#).await;
        }
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert!(!text.contains("jane"), "{text}");
        let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let ids: Vec<String> = lines
            .filter(|line| line.get("duration_ms").is_some())
            .filter_map(|line| Some(line["span"]["caller_request_id"].as_str()?.to_owned()))
            .collect();
        assert_eq!(ids, ["order-4711", "(withheld)"]);
    });
}
