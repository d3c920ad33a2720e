//! Every file of `transcripts/`, on both engines; and the contract's sample answers byte for byte.

use axum::http::Method;
use keyherald::dialect::naviga::encrypted::{Label, encrypted};
use keyherald_store::testing::{TestStore, block_on};
use serde_json::Value;

use crate::stage;
use crate::support::TestServer;
use crate::transcript::{Defaults, Names};

/// With the headers of a caller of the tenant; `{{token}}` is its token, `{{other}}` one of the other tenant.
async fn run(server: &TestServer, name: &str, text: &str) {
    let mut names = Names::new();
    names.insert("token".into(), stage::token());
    names.insert("other".into(), stage::other_token());
    names.insert("demo".into(), server.token("demo-client").await);
    let encrypted = |label, plain: &str| encrypted(&server.app.ring, &"demo".parse().unwrap(), label, plain).unwrap();
    names.insert("encrypted-email".into(), encrypted(Label::Email, "jo@example.com"));
    names.insert("encrypted-nobody".into(), encrypted(Label::Email, "nobody@example.com"));
    crate::transcript::run(server, name, text, Defaults { names, headers: stage::headers() }).await;
}

macro_rules! transcripts {
    ($($name:ident),* $(,)?) => {
        $(mod $name {
            const TEXT: &str = include_str!(concat!("transcripts/", stringify!($name), ".txt"));

            #[test]
            fn sqlite() {
                super::block_on(async {
                    super::run(&super::stage::serve(super::TestStore::sqlite().await).await, stringify!($name), TEXT).await;
                });
            }

            #[test]
            #[ignore = "needs PostgreSQL: cargo xtask test starts one"]
            fn postgres() {
                super::block_on(async {
                    super::run(&super::stage::serve(super::TestStore::postgres().await).await, stringify!($name), TEXT).await;
                });
            }
        })*

        #[test]
        fn no_file_is_forgotten() {
            let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contract_naviga/transcripts");
            let mut files: Vec<String> = std::fs::read_dir(folder).unwrap()
                .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
                .collect();
            files.sort();
            assert_eq!(files, [$(stringify!($name)),*]);
        }
    };
}

transcripts! {
    authentication,
    create,
    forgot_password,
    headers,
    old_read,
    old_update,
    password_rules,
    read,
    routes,
    update,
    update_email,
    update_password,
    verification,
}

/// The body as the contract prints it, without its blanks.
fn printed(text: &str) -> String {
    serde_json::from_str::<Value>(text).unwrap().to_string()
}

#[test]
fn the_sample_answers_are_met_byte_for_byte() {
    block_on(async {
        let server = stage::serve(TestStore::sqlite().await).await;
        let jo = server.customer("jo@example.com", "first-password").await;
        let answered = stage::patch(&server, &jo.number.to_string(), "second-password").await;
        let sample = r#"{ "message": { "code": "UsersOrchestrator_S200_11", "text": "Update password completed.", "type": "Success" }, "meta": null }"#;
        assert_eq!(String::from_utf8(answered.body).unwrap(), printed(sample));

        let mut headers = stage::headers();
        headers.push(("x-requestid", "2".into()));
        let path = format!("/User/{}", jo.number);
        let answered = server.send(Method::PUT, &path, &headers, r#"{"Password":"third-password"}"#).await;
        let session = answered.json()["SessionId"].as_str().unwrap().to_owned();
        assert!(session.parse::<uuid::Uuid>().is_ok_and(|id| !id.is_nil()), "{session}");
        let sample = r#"{ "Code": 200, "Errors": [], "Result": { "CustomerRegistrationId": "2937", "Updated": true },
            "SessionId": "02f6cf6b-acb2-468f-bab2-d51249a5a70c", "RequestId": "2" }"#;
        let sample = printed(sample)
            .replace("2937", &jo.number.to_string())
            .replace("02f6cf6b-acb2-468f-bab2-d51249a5a70c", &session);
        assert_eq!(String::from_utf8(answered.body).unwrap(), sample);
    });
}
