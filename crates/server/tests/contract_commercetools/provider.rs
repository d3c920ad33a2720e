//! What callers are told of a customer whose password an identity provider has too: every file of `provider/`.
//!
//! The files are transcripts. A line `@provider ...` says what the provider does next; `{{jo}}` is the customer's id,
//! `{{own}}` its own token and `{{reset}}` the value of a token to reset the password. Jo's password is `old-password`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use keyherald::app::Call;
use keyherald::connector::{Connector, Registry};
use keyherald::operate::{Providers, Settings};
use keyherald_core::Micros;
use keyherald_core::provider::{Probe, ProviderError, ProviderLink, ProviderName, SessionEnding};
use keyherald_store::testing::{TestStore, block_on};
use keyherald_store::tx::query_one;
use keyherald_store::{Sql, Tx};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::scripted::{Fate, Look, Scripted, capabilities};
use crate::support::{START, TestServer, basic};
use crate::transcript::{self, Defaults, Names};

const OLD: &str = "old-password";
const EMAIL: &str = "jo@example.com";

struct Stage {
    server: TestServer,
    provider: Arc<Scripted>,
    names: Names,
    _operations: JoinSet<()>,
}

impl Stage {
    async fn on(store: TestStore) -> Self {
        let provider = Scripted::new(capabilities(Probe::Password, true, SessionEnding::BySet), false);
        let (connector, name): (Arc<dyn Connector>, ProviderName) = (provider.clone(), "double".parse().unwrap());
        let providers = Providers {
            registry: Registry::of([(name.clone(), connector)]),
            of_projects: BTreeMap::from([("demo".parse().unwrap(), name.clone())]),
            ..Providers::default()
        };
        let settings = Settings {
            answer_within: Duration::from_millis(500),
            wait: Duration::from_millis(50),
            poll: Duration::from_millis(5),
            ..Settings::default()
        };
        let server = TestServer::with(store, providers, settings).await;
        let (mut tasks, app) = (JoinSet::new(), server.app.clone());
        tasks.spawn(async move { app.operations.run(std::future::pending()).await.unwrap() });
        let jo = server.customer(EMAIL, OLD).await;
        provider.add("jo", OLD);
        let link = ProviderLink { provider: name, user: "jo".parse().ok().unwrap() };
        assert!(server.app.link_customer(Call::on("demo".parse().unwrap()), jo.id, link).await.unwrap());

        let demo = server.token("demo-client").await;
        let headers =
            [("authorization", basic("demo-client")), ("content-type", "application/x-www-form-urlencoded".to_owned())];
        let form = format!("grant_type=password&username={EMAIL}&password={OLD}");
        let own = server.send(Method::POST, "/oauth/demo/customers/token", &headers, form).await.json();
        let path = "/demo/customers/password-token";
        let reset = server.json(&demo, Method::POST, path, &json!({"email": EMAIL})).await.json();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let names = [
            ("jo", jo.id.to_string()),
            ("demo", demo),
            ("own", text(&own["access_token"])),
            ("reset", text(&reset["value"])),
        ];
        let names = names.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Self { server, provider, names, _operations: tasks }
    }

    async fn run(&self, name: &str, text: &str) {
        // The first part says nothing of the provider.
        for (number, part) in format!("\n{text}").split("\n@provider ").enumerate() {
            let (does, steps) = if number == 0 { ("", part) } else { part.split_once('\n').unwrap() };
            self.prepare(does).await;
            let headers = vec![("authorization", format!("Bearer {}", self.names["demo"]))];
            let defaults = Defaults { names: self.names.clone(), headers };
            transcript::run(&self.server, &format!("{name}, part {number} ({does})"), steps, defaults).await;
        }
    }

    async fn prepare(&self, does: &str) {
        let refuses = |error| self.provider.script([Fate::Fails(error)]);
        match does.split(' ').collect::<Vec<_>>().as_slice() {
            [""] => {}
            ["is", "down"] => self.provider.script_look_ups([Some(Look::Fails(ProviderError::Transient))]),
            ["throttles", seconds] => {
                let not_before = Some(START.plus(seconds.parse::<i64>().unwrap() * Micros::SECOND));
                self.provider.script_look_ups([Some(Look::Fails(ProviderError::RateLimited { not_before }))]);
            }
            ["knows", "nobody"] => self.provider.script_look_ups([Some(Look::Fails(ProviderError::UserNotFound))]),
            ["loses", "the", "request"] => self.provider.script([Fate::Lost]),
            ["finds", "it", "used"] => refuses(ProviderError::PasswordReused { message: None }),
            ["finds", "it", "too", "young"] => refuses(ProviderError::TooYoung),
            ["has", "blocked", "the", "user"] => refuses(ProviderError::UserBlocked),
            ["refuses", "us"] => refuses(ProviderError::AdminAuth),
            ["is", "back"] => self.settle().await,
            _ => panic!("no such thing: {does}"),
        }
    }

    /// Lets time pass until no operation is due.
    async fn settle(&self) {
        let deadline = Instant::now() + Duration::from_mins(1);
        let due = Sql::both("DUE", "SELECT count(*) FROM operation WHERE due_at IS NOT NULL");
        loop {
            let due = due.clone();
            let left = move |tx: &mut dyn Tx| query_one(tx, &due, &[], |row| row.int(0));
            if self.server.store().read(left).await.unwrap() == Some(0) {
                return;
            }
            assert!(Instant::now() < deadline, "an operation does not end");
            self.server.clock.advance(Micros::SECOND);
            sleep(Duration::from_millis(3)).await;
        }
    }
}

macro_rules! transcripts {
    ($($name:ident),* $(,)?) => {
        $(mod $name {
            const TEXT: &str = include_str!(concat!("provider/", stringify!($name), ".txt"));

            #[test]
            fn sqlite() {
                super::block_on(async {
                    super::Stage::on(super::TestStore::sqlite().await).await.run(stringify!($name), TEXT).await;
                });
            }

            #[test]
            #[ignore = "needs PostgreSQL: cargo xtask test starts one"]
            fn postgres() {
                super::block_on(async {
                    super::Stage::on(super::TestStore::postgres().await).await.run(stringify!($name), TEXT).await;
                });
            }
        })*
    };
}

transcripts! {
    change,
    me_change,
    me_reset,
    reset,
    update,
}
