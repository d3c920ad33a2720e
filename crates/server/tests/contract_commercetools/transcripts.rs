//! Every file of `transcripts/`, on both engines.

use keyherald_store::testing::block_on;

use crate::support::{TestServer, basic};
use crate::test_message::Scripted;
use crate::transcript::{Defaults, Names};

/// With the tokens `{{demo}}` and `{{other}}`; who names none shows the first. `{{aws}}` is where AWS is, if that is asked for.
async fn run(server: TestServer, name: &str, text: &str) {
    let mut names = Names::new();
    let aws = Scripted::start().await;
    let server = if text.contains("{{aws}}") { server.sending(aws.policy()) } else { server };
    let server = &server;
    names.insert("aws".into(), aws.url());
    names.insert("demo".into(), server.token("demo-client").await);
    names.insert("other".into(), server.token("other-client").await);
    names.insert("demo-basic".into(), basic("demo-client"));
    let headers = vec![("authorization", format!("Bearer {}", names["demo"]))];
    crate::transcript::run(server, name, text, Defaults { names, headers }).await;
    aws.check();
}

macro_rules! transcripts {
    ($($name:ident),* $(,)?) => {
        $(mod $name {
            const TEXT: &str = include_str!(concat!("transcripts/", stringify!($name), ".txt"));

            #[test]
            fn sqlite() {
                super::block_on(async { super::run(super::TestServer::sqlite().await, stringify!($name), TEXT).await });
            }

            #[test]
            #[ignore = "needs PostgreSQL: cargo xtask test starts one"]
            fn postgres() {
                super::block_on(async { super::run(super::TestServer::postgres().await, stringify!($name), TEXT).await });
            }
        })*

        #[test]
        fn no_file_is_forgotten() {
            let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contract_commercetools/transcripts");
            let mut files: Vec<String> = std::fs::read_dir(folder).unwrap()
                .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
                .collect();
            files.sort();
            assert_eq!(files, [$(stringify!($name)),*]);
        }
    };
}

transcripts! {
    auth,
    customers_create,
    customers_delete,
    customers_get,
    customers_query,
    customers_update,
    email_verification,
    expiry,
    idempotency_key,
    in_store,
    login,
    me,
    me_in_store,
    messages_get,
    messages_off,
    messages_query,
    oauth_anonymous_token,
    oauth_client_token,
    oauth_customer_token,
    oauth_in_store_token,
    oauth_introspect,
    oauth_revoke,
    password_change,
    password_reset,
    password_token,
    project,
    routes,
    stores,
    subscriptions_create,
    subscriptions_delete,
    subscriptions_destinations,
    subscriptions_filter,
    subscriptions_get,
    subscriptions_query,
    subscriptions_test_message,
    subscriptions_update,
    subscriptions_webhook,
}
