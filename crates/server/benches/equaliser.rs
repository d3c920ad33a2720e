//! **Who is known**: whether the time of an answer tells that an address is somebody's (paysafe.md 3.9).
//!
//! The same is asked about known and unknown addresses by turns, each address once, in random order within a pair.
//! What counts is the rank of their times: the chance that a known address took longer than an unknown one. 0.5 tells
//! nothing. The same with the equaliser switched off, to see that the measurement would notice.
//!
//! `cargo bench -p keyherald --bench equaliser [-- --quick]`
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "a bench: counts of some thousands, and a panic is an answer"
)]

#[expect(dead_code, reason = "other tests need more of it")]
#[path = "../tests/contract_naviga/stage.rs"]
mod naviga;
#[expect(dead_code, reason = "other tests need more of it")]
#[path = "journey/report.rs"]
mod report;
#[expect(dead_code, reason = "other tests need more of it")]
#[path = "../tests/contract_paysafe/stage.rs"]
mod stage;
#[expect(dead_code, reason = "other tests need more of it")]
#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Instant;

use axum::http::Method;
use keyherald::app::verify_identifier::Verifying;
use keyherald_core::limit::Rate;
use keyherald_core::mail::MailKind;
use keyherald_core::subscription::DestinationSettings;
use keyherald_core::{Ctx, Micros};
use keyherald_store::testing::{TestStore, block_on};
use serde_json::{Value, json};

use report::{Row, row, section};
use stage::{Stage, brand};
use support::TestServer;

/// Pairs of a known and an unknown address.
const FULL: usize = 1000;
const QUICK: usize = 100;
/// How far from one half the chance may be.
const AIM: f64 = 0.05;

fn main() {
    let pairs = if std::env::args().any(|argument| argument == "--quick") { QUICK } else { FULL };
    let mut rows = Vec::new();
    block_on(async {
        for by_partner in [false, true] {
            let what = if by_partner { "a code that a partner sends" } else { "a code that we send" };
            rows.extend(told(what, code(pairs, by_partner, true).await));
            let off = code(pairs, by_partner, false).await;
            let name = format!("{what}, without the equaliser: how far that is from one half");
            rows.push(row(&name, (off - 0.5).abs(), "").at_least(AIM));
        }
        rows.extend(told("a forgotten password (Naviga)", forgotten(pairs).await));
        rows.extend(told("a sign-in with a wrong password (Naviga)", sign_in(pairs).await));
    });
    section("who is known, by the time of the answer", &rows);
}

fn told(what: &str, chance: f64) -> [Row; 2] {
    [
        row(format!("{what}: chance that a known address takes longer"), chance, ""),
        row(format!("{what}: how far that is from one half"), (chance - 0.5).abs(), "").at_most(AIM),
    ]
}

/// A verification is begun for a forgotten password.
async fn code(pairs: usize, partner_tells: bool, equalises: bool) -> f64 {
    let mut brand = brand();
    let all = Rate { count: u32::MAX, per: Micros::MINUTE };
    brand.verifying = Verifying { begun_by_source: all, begun: all, partner_tells, equalises, ..brand.verifying };
    let stage = Stage::on(TestStore::sqlite().await, brand).await;
    if partner_tells {
        stage.listen_to_events().await;
    }
    chance(pairs, &stage.server, async |email| {
        assert_eq!(stage.initiate(email).await.status, 201);
    })
    .await
}

async fn forgotten(pairs: usize) -> f64 {
    let server = naviga::serve(TestStore::sqlite().await).await;
    let mail = DestinationSettings { kind: "Mail".into(), settings: <_>::default() };
    server.app.ensure_letters("demo".parse().unwrap(), vec![MailKind::ResetPassword], mail).await.unwrap();
    let ask = async |email: &str| post(&server, "/v4/Users/ForgotPassword", &json!({"loginName": email}), 200).await;
    chance(pairs, &server, ask).await
}

async fn sign_in(pairs: usize) -> f64 {
    let server = naviga::serve(TestStore::sqlite().await).await;
    let wrong = |email: &str| json!({"loginName": email, "password": "wrong-password"});
    let ask = async |email: &str| post(&server, "/v4/Users/Authentication", &wrong(email), 400).await;
    chance(pairs, &server, ask).await
}

async fn post(server: &TestServer, path: &str, body: &Value, status: u16) {
    let answered = server.send(Method::POST, path, &naviga::headers(), body.to_string()).await;
    assert_eq!(answered.status, status);
}

/// The chance that a known address takes longer (Mann and Whitney's U as a share of all pairs).
async fn chance(pairs: usize, server: &TestServer, ask: impl AsyncFn(&str)) -> f64 {
    for pair in 0..pairs {
        server.customer(&known(pair), "first-password").await;
    }
    // Microseconds until the answer.
    let asked = async |email: String| {
        let begun = Instant::now();
        ask(&email).await;
        begun.elapsed().as_secs_f64() * 1e6
    };
    let mut order = Ctx::new(Micros(0), [7; 32]);
    let (mut of_known, mut of_unknown) = (Vec::new(), Vec::new());
    for pair in 0..pairs {
        if order.number().is_multiple_of(2) {
            of_known.push(asked(known(pair)).await);
            of_unknown.push(asked(unknown(pair)).await);
        } else {
            of_unknown.push(asked(unknown(pair)).await);
            of_known.push(asked(known(pair)).await);
        }
    }
    of_unknown.sort_by(f64::total_cmp);
    let shorter = |time: &f64| of_unknown.partition_point(|other| other < time) as f64;
    let equal = |time: &f64| of_unknown.partition_point(|other| other <= time) as f64 - shorter(time);
    of_known.iter().map(|time| shorter(time) + equal(time) / 2.0).sum::<f64>() / (pairs * pairs) as f64
}

/// As long as the others, and somewhere among them.
fn known(pair: usize) -> String {
    address(2 * pair)
}

fn unknown(pair: usize) -> String {
    address(2 * pair + 1)
}

/// No two numbers below a million have one address; in the order of addresses they come as by chance.
fn address(number: usize) -> String {
    format!("a{:06}@example.com", number * 386_117 % 1_000_003)
}
