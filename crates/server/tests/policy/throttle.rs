//! Passwords that are tried at an account: counted on every surface together, the same for whoever is unknown, and opened by
//! another password.

use std::collections::BTreeMap;
use std::sync::Arc;

use keyherald::app::change_credentials::Change;
use keyherald::app::verify_identifier::Verifying;
use keyherald::app::{App, Call, Failure, Passwords, SigningIn};
use keyherald_core::client::{ApiClient, Scopes};
use keyherald_core::customer::Customer;
use keyherald_core::id::ProjectKey;
use keyherald_core::policy::{Form, Rule, Surface};
use keyherald_core::secret::{Password, TokenDigest};
use keyherald_core::throttle::Throttle;
use keyherald_core::{Micros, Refusal, token};
use keyherald_store::testing::block_on;

use crate::support::TestServer;

const JO: &str = "jo@example.com";
const OLD: &str = "first-password";

fn demo() -> ProjectKey {
    "demo".parse().unwrap()
}

fn call() -> Call {
    Call::on(demo())
}

fn password(text: &str) -> Password {
    Password::new(text.to_owned()).unwrap()
}

/// Three at once, the next after half a minute, and five in all.
const RULE: Throttle = Throttle { failures_max: 5, free: 3, wait: 30 * Micros::SECOND, wait_max: Micros::HOUR };

fn counting(server: &TestServer) -> App {
    let passwords = Passwords { throttles: BTreeMap::from([(demo(), RULE)]), ..Passwords::default() };
    App { passwords: Arc::new(passwords), ..server.app.clone() }
}

/// The code of the refusal; nothing if there is none.
fn ended<T>(answer: Result<T, Failure>) -> &'static str {
    match answer {
        Ok(_) => "",
        Err(Failure::Refused(refusal)) => refusal.code(),
        Err(Failure::Fault(fault)) => panic!("{fault}"),
    }
}

async fn sign_in(app: &App, email: &str, text: &str) -> &'static str {
    ended(app.sign_in(call(), email.to_owned(), password(text)).await)
}

async fn change(app: &App, customer: &Customer, current: &str) -> &'static str {
    let passwords = (password(current), password("second-password"));
    ended(app.change_password(call(), customer.id, customer.version, passwords.0, passwords.1).await)
}

async fn change_in_wallet(app: &App, customer: &Customer, current: &str) -> &'static str {
    let rule = Rule { form: Form::Text { min: 8, max: 128 }, history: 0 };
    let change = Change {
        customer: customer.id,
        current: password(current),
        new: password("second-password"),
        surface: Surface::Paysafe(rule),
        token: TokenDigest::of("none"),
    };
    ended(app.change_credentials(call(), &Verifying::default(), None, change).await)
}

async fn authenticate(app: &App, email: &str, text: &str) -> &'static str {
    let how = SigningIn { provider: None, password_life: None };
    ended(app.sign_in_user(call(), email.to_owned(), password(text), how).await)
}

async fn grant(app: &App, email: &str, text: &str) -> &'static str {
    let client = ApiClient {
        project: demo(),
        id: "demo-client".into(),
        name: String::new(),
        secret: TokenDigest::of(""),
        scopes: Scopes::default(),
        access_token_s: 60,
        refresh_token_s: 60,
        created_at: Micros(0),
        revoked_at: None,
    };
    let credentials = (email.to_owned(), password(text));
    ended(app.issue_customer_tokens(call(), (client, Scopes::default()), credentials, false).await)
}

const WRONG: &str = "credentials_wrong";
const CURRENT: &str = "current_password_wrong";

#[test]
fn every_surface_counts_and_none_says_so() {
    block_on(async {
        let server = TestServer::sqlite().await;
        let app = counting(&server);
        let jo = server.customer("Jo@example.com", OLD).await;
        assert_eq!(sign_in(&app, JO, "x").await, WRONG);
        assert_eq!(grant(&app, "JO@example.com", "x").await, WRONG);
        assert_eq!(change(&app, &jo, "x").await, CURRENT);
        // From here on the right one is as wrong as any other, wherever it is tried.
        assert_eq!(sign_in(&app, JO, OLD).await, WRONG);
        assert_eq!(grant(&app, JO, OLD).await, WRONG);
        assert_eq!(authenticate(&app, JO, OLD).await, WRONG);
        assert_eq!(change(&app, &jo, OLD).await, CURRENT);
        assert_eq!(change_in_wallet(&app, &jo, OLD).await, CURRENT);
        // What was not looked at was not counted either.
        server.clock.advance(30 * Micros::SECOND);
        assert_eq!(change_in_wallet(&app, &jo, "x").await, CURRENT);
        server.clock.advance(59 * Micros::SECOND);
        assert_eq!(sign_in(&app, JO, OLD).await, WRONG);
        server.clock.advance(Micros::SECOND);
        assert_eq!(sign_in(&app, JO, OLD).await, "");
        // One that is right begins the count anew.
        for _ in 0..3 {
            assert_eq!(authenticate(&app, JO, "x").await, WRONG);
        }
        assert_eq!(sign_in(&app, JO, OLD).await, WRONG);
    });
}

#[test]
fn recovery_opens_what_so_many_failures_have_closed() {
    block_on(async {
        let server = TestServer::sqlite().await;
        let app = counting(&server);
        server.customer(JO, OLD).await;
        for _ in 0..5 {
            server.clock.advance(Micros::HOUR);
            assert_eq!(sign_in(&app, JO, "x").await, WRONG);
        }
        server.clock.advance(365 * Micros::DAY);
        assert_eq!(sign_in(&app, JO, OLD).await, WRONG);
        let command = token::Command { ttl_minutes: 60, invalidate_older_tokens: false, by: <_>::default() };
        let made = app.create_password_token(call(), JO.to_owned(), command).await.unwrap();
        let value = made.value.reveal_with(str::to_owned);
        app.reset_password(call(), &value, None, password("another password")).await.unwrap();
        assert_eq!(sign_in(&app, JO, "another password").await, "");
    });
}

#[test]
fn whoever_changes_the_password_has_nothing_counted() {
    block_on(async {
        let server = TestServer::sqlite().await;
        let app = counting(&server);
        let jo = server.customer(JO, OLD).await;
        for _ in 0..2 {
            assert_eq!(change(&app, &jo, "x").await, CURRENT);
        }
        assert_eq!(change(&app, &jo, OLD).await, "");
        for _ in 0..2 {
            assert_eq!(sign_in(&app, JO, "x").await, WRONG);
        }
        assert_eq!(sign_in(&app, JO, "second-password").await, "");
    });
}

/// Whoever is unknown is counted, answered and refused at the same cost.
#[test]
fn nobody_is_told_who_is_known() {
    block_on(async {
        let server = TestServer::sqlite().await;
        let app = counting(&server);
        server.customer(JO, OLD).await;
        let so_far = || {
            let (store, hash) = (app.store.counters(), app.hash.counters());
            [store.write_statements, store.read_statements, store.writes, hash.verified + hash.dummy]
        };
        for round in 1..=5 {
            let mut costs = Vec::new();
            for email in [JO, "nobody@example.com"] {
                let before = so_far();
                assert_eq!(sign_in(&app, email, "x").await, WRONG);
                let after = so_far();
                costs.push(std::array::from_fn::<_, 4, _>(|index| after[index] - before[index]));
            }
            assert_eq!(costs[0], costs[1], "{round}");
            assert_eq!(costs[0][3], u64::from(round <= 3), "after three, none is looked at");
        }
    });
}

#[test]
fn of_many_at_once_no_more_are_looked_at() {
    block_on(async {
        let server = TestServer::sqlite().await;
        let app = counting(&server);
        server.customer(JO, OLD).await;
        let tries = (0..20).map(|_| sign_in(&app, JO, "x"));
        let all = futures_util::future::join_all(tries).await;
        assert!(all.iter().all(|code| *code == WRONG));
        assert_eq!(app.hash.counters().verified, 3);
    });
}

#[test]
fn where_nothing_is_counted_nothing_is_written() {
    block_on(async {
        let server = TestServer::sqlite().await;
        server.customer(JO, OLD).await;
        let before = server.app.store.counters().writes;
        for _ in 0..20 {
            assert_eq!(sign_in(&server.app, JO, "x").await, WRONG);
        }
        assert_eq!(server.app.store.counters().writes - before, 20, "the traces");
        assert_eq!(sign_in(&server.app, JO, OLD).await, "");
        assert_eq!(Refusal::CredentialsWrong.code(), WRONG);
    });
}
