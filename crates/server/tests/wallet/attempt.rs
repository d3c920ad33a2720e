//! One attempt to tell a wallet, and what becomes of it.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use keyherald::boot;
use keyherald::config::{Config, Environment, Purpose};
use keyherald::destination::wallet::{Wallet, Wallets};
use keyherald::destination::{Context, Delivery, Kind, Policy};
use keyherald_core::Micros;
use keyherald_core::delivery::{Cause, Outcome};
use keyherald_core::message::Identifiers;
use keyherald_core::wallet_notice::WalletNotice;
use serde_json::{Map, Value, json};
use url::Url;

use crate::http_double::{HttpDouble, Says};
use crate::{CLIENT, SECRET, yes};

fn wallets(url: &Url) -> Arc<Wallets> {
    let text = format!(
        r#"
        [[projects]]
        key = "demo"
        [projects.wallet]
        base_url = "{url}digitalwallets/"
        allow_insecure_http = true
        brand = "my wallet"
        client_id = "{CLIENT}"
        client_secret_env = "SECRET"
        net = {{ connect_timeout = "2s", total_timeout = "2s" }}
        "#
    );
    let environment = Environment::of([(OsString::from("SECRET"), OsString::from(SECRET))]);
    let config = Config::read(&text, None, environment, Purpose::Maintain).unwrap_or_else(|told| panic!("{told}"));
    Arc::new(boot::wallets(&config).unwrap().unwrap())
}

fn notice(external_id: Option<&str>) -> WalletNotice {
    let names = Identifiers { external_id: external_id.map(str::to_owned), ..Identifiers::default() };
    WalletNotice { names, at: Micros(1_763_784_000_123_000) }
}

async fn attempt(wallets: &Arc<Wallets>, project: &str, notice: Option<&WalletNotice>) -> Outcome {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let context = Context {
        http: reqwest::Client::builder().build().unwrap(),
        policy: Policy::default(),
        attempt_timeout: Duration::from_secs(20),
        office: None,
        switchboard: None,
        wallets: Some(wallets.clone()),
        google: None,
    };
    let delivery = Delivery {
        message_id: "019aa4b2-0000-7000-8000-00000000000a".parse().unwrap(),
        sequence: Some(1),
        customer: "019aa4b2-5b7c-7d3e-9f10-0123456789ab".parse().unwrap(),
        project: project.parse().unwrap(),
        created_at: Micros(1_763_784_000_123_000),
        attempt: 1,
        now: Micros(1_763_784_001_000_000),
        content_type: "application/json",
        body: serde_json::to_vec(&notice).unwrap(),
        event: None,
        is_replay: false,
        trace: None,
    };
    Wallet.open(&Map::new(), None, &context).ok().unwrap().send(delivery).await
}

fn failed(cause: Cause, reason: &str, retry_after_s: Option<u32>) -> Outcome {
    Outcome::Failed { reason: reason.to_owned(), retry_after_s, cause }
}

#[tokio::test]
async fn a_wallet_is_asked_as_the_contract_says() {
    let double = HttpDouble::start(yes()).await;
    // A token that ends before its time is replaced, and the notice goes again.
    double.next([yes(), Says::Answer(401, "", "{}".to_owned()), yes(), Says::Answer(202, "", String::new())]);
    let wallets = wallets(&double.url);
    assert_eq!(attempt(&wallets, "demo", Some(&notice(Some("10 040/500")))).await, Outcome::Delivered);
    let got = double.got();
    assert_eq!(got.len(), 4);
    for token in [&got[0], &got[2]] {
        assert_eq!(token.line, "POST /digitalwallets/v1/auth/brands/my%20wallet/token");
        assert_eq!(token.header("authorization"), Some("Basic a2V5aGVyYWxkOnMzY3JldCUyMG9mJTIwb3Vycw=="));
        assert_eq!(token.header("content-type"), Some("application/x-www-form-urlencoded"));
        assert_eq!(token.body, "grant_type=client_credentials");
    }
    for told in [&got[1], &got[3]] {
        // The id is one segment, whatever is in it.
        assert_eq!(told.line, "POST /digitalwallets/v2/customer-persons/10%20040%2F500/change-notifications");
        assert_eq!(told.header("authorization"), Some("Bearer t-1"));
        assert_eq!(told.header("content-type"), Some("application/json"));
        let body: Value = serde_json::from_str(&told.body).unwrap();
        assert_eq!(body, json!({"changeType": "PASSWORD_CHANGED", "changeTime": "2025-11-22T04:00:00.123Z"}));
    }
}

#[tokio::test]
async fn who_has_no_id_there_is_told_to_nobody() {
    let double = HttpDouble::start(yes()).await;
    let wallets = wallets(&double.url);
    for notice in [None, Some(notice(None)), Some(notice(Some(&"1".repeat(21))))] {
        assert_eq!(attempt(&wallets, "demo", notice.as_ref()).await, Outcome::Moot);
    }
    let of_another = attempt(&wallets, "other", Some(&notice(Some("1")))).await;
    assert_eq!(of_another, failed(Cause::Refused, "the project has no wallet", None));
    assert!(double.got().is_empty());
}

#[tokio::test]
async fn statuses_mean_what_the_contract_says() {
    let double = HttpDouble::start(yes()).await;
    let wallets = wallets(&double.url);
    let unknown = Outcome::Rejected { reason: "the wallet does not know the customer".to_owned() };
    let not_known = failed(Cause::Temporary, "whether it was sent is not known", None);
    let refused = failed(Cause::Refused, "the service refuses the request", None);
    let invalid = r#"{"error":{"code":"DW-CUSTOMER-ID-SHOULD-BE-VALID","message":"CustomerId is not supported"}}"#;
    double.next([yes()]);
    for (says, expected) in [
        (Says::Answer(400, "", invalid.to_owned()), &unknown),
        (Says::Answer(404, "", "{}".to_owned()), &unknown),
        (Says::Answer(500, "", "{}".to_owned()), &not_known),
        (Says::Cut("{\"a\": 1}".to_owned(), 3), &not_known),
        (Says::Silence, &not_known),
        (
            Says::Answer(503, "retry-after: 9\r\n", "{}".to_owned()),
            &failed(Cause::Throttled, "too many at once", Some(9)),
        ),
        (
            Says::Answer(429, "retry-after: 7\r\n", "{}".to_owned()),
            &failed(Cause::Throttled, "too many at once", Some(7)),
        ),
        (Says::Answer(405, "", "{}".to_owned()), &refused),
        (Says::Answer(202, "", String::new()), &Outcome::Delivered),
    ] {
        double.next([says.clone()]);
        assert_eq!(&attempt(&wallets, "demo", Some(&notice(Some("10040500")))).await, expected, "{says:?}");
    }
}

#[tokio::test]
async fn without_access_it_is_tried_on() {
    let double = HttpDouble::start(Says::Answer(401, "", "{}".to_owned())).await;
    let wallets = wallets(&double.url);
    let outcome = attempt(&wallets, "demo", Some(&notice(Some("10040500")))).await;
    assert_eq!(outcome, failed(Cause::Refused, "the service refuses our access", None));
    assert!(double.got().iter().all(|got| got.line.ends_with("/token")), "nothing is told without a token");
}

#[test]
fn no_draft_can_ask_for_it() {
    let mut ctx = keyherald_core::Ctx::new(Micros(0), [0; 32]);
    assert!(Wallet.validate(&Map::new(), &Policy::default(), &mut ctx).is_err());
    assert!(!Wallet.is_available(&Policy::default()));
    let rules = Wallet.rules(&Map::new());
    assert!(!rules.gone_disables && rules.persistence.unwrap().attempts_max.is_none(), "it is never given up");
}
