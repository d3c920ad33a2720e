//! One attempt at a service, and what becomes of it.

use std::sync::Arc;
use std::time::Duration;

use keyherald::destination::sms::{Sms, Switchboard};
use keyherald::destination::{Context, Delivery, Kind, Policy};
use keyherald_core::Micros;
use keyherald_core::delivery::{Cause, Outcome};
use keyherald_core::sms::{ShortMessage, SmsKind};
use serde_json::Map;

use crate::described::{SECRET, of_text, switchboard};
use crate::http_double::{HttpDouble, Says};

/// The whole text of [`message`].
pub const TEXT: &str = "123456 ist Ihr Code für Böll & Söhne, gültig bis 05:00 UTC. Wir fragen Sie nie danach. Nicht von Ihnen? Bitte ignorieren.";

fn message() -> ShortMessage {
    ShortMessage {
        kind: SmsKind::VerificationCode,
        to: "+359897765463".to_owned(),
        locale: Some("de-AT".to_owned()),
        at: Micros(1_763_784_000_000_000),
        until: Some(Micros(1_763_787_600_000_000)),
        code: Some("123456".to_owned()),
    }
}

pub fn context(switchboard: Arc<Switchboard>) -> Context {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Context {
        http: reqwest::Client::builder().build().unwrap(),
        policy: Policy::default(),
        attempt_timeout: Duration::from_secs(20),
        office: None,
        switchboard: Some(switchboard),
        wallets: None,
        google: None,
    }
}

fn delivery(message: Option<&ShortMessage>, number: u32) -> Delivery {
    Delivery {
        message_id: "019aa4b2-0000-7000-8000-00000000000a".parse().unwrap(),
        sequence: Some(1),
        customer: "019aa4b2-5b7c-7d3e-9f10-0123456789ab".parse().unwrap(),
        project: "demo".parse().unwrap(),
        created_at: Micros(1_763_784_000_000_000),
        attempt: number,
        now: Micros(1_763_784_001_000_000),
        content_type: "application/json",
        body: serde_json::to_vec(&message).unwrap(),
        event: None,
        is_replay: false,
        trace: None,
    }
}

async fn attempt_of(switchboard: Arc<Switchboard>, message: Option<&ShortMessage>, number: u32) -> Outcome {
    let desk = Sms.open(&Map::new(), None, &context(switchboard)).ok().unwrap();
    desk.send(delivery(message, number)).await
}

/// One attempt at a code.
pub async fn attempt(switchboard: Arc<Switchboard>, number: u32) -> Outcome {
    attempt_of(switchboard, Some(&message()), number).await
}

pub fn failed(cause: Cause, reason: &str, retry_after_s: Option<u32>) -> Outcome {
    Outcome::Failed { reason: reason.to_owned(), retry_after_s, cause }
}

#[tokio::test]
async fn what_is_over_or_nobodys_is_not_sent() {
    let double = HttpDouble::start(Says::Answer(201, "", "{}".to_owned())).await;
    let ended = ShortMessage { until: Some(Micros(1_763_784_000_000_001)), ..message() };
    for message in [None, Some(ended), Some(ShortMessage { code: None, ..message() })] {
        let outcome = attempt_of(switchboard("twilio", &double.url), message.as_ref(), 1).await;
        assert_eq!(outcome, Outcome::Moot);
    }
    assert!(double.got().is_empty());
}

#[tokio::test]
async fn faults_are_later_and_what_may_have_been_sent_is_sent_again_as_it_was() {
    let unknown = failed(Cause::Temporary, "whether it was sent is not known", None);
    for (name, taken) in [("twilio", 201), ("vonage", 202), ("aws-sns", 200)] {
        let double = HttpDouble::start(Says::Answer(taken, "", "{}".to_owned())).await;
        double.next([
            Says::Answer(429, "retry-after: 7\r\n", "{}".to_owned()),
            Says::Answer(503, "retry-after: 9\r\n", String::new()),
            Says::Answer(500, "", "applied, and then it broke".to_owned()),
            Says::Cut("{\"sid\": \"SM1\"}".to_owned(), 5),
            Says::Silence,
        ]);
        let switchboard = switchboard(name, &double.url);
        let throttled = |seconds| failed(Cause::Throttled, "too many at once", Some(seconds));
        for (number, expected) in
            (1..).zip([&throttled(7), &throttled(9), &unknown, &unknown, &unknown, &Outcome::Delivered])
        {
            assert_eq!(&attempt(switchboard.clone(), number).await, expected, "{name}, attempt {number}");
        }
        let got = double.got();
        assert_eq!(got.len(), 6, "{name}");
        assert!(got.iter().all(|request| (&request.line, &request.body) == (&got[0].line, &got[0].body)), "{name}");
    }
}

#[tokio::test]
async fn a_service_that_is_down_is_later() {
    let double = HttpDouble::start(Says::Silence).await;
    let switchboard = switchboard("vonage", &double.url);
    drop(double);
    assert_eq!(attempt(switchboard, 1).await, failed(Cause::Temporary, "the service does not answer", None));
}

#[tokio::test]
async fn a_service_whose_clock_differs_is_asked_again_by_its_own() {
    let expired = "<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code><Message>Signature expired: ..</Message></Error></ErrorResponse>";
    let double = HttpDouble::start(Says::Answer(200, "", "<PublishResponse/>".to_owned())).await;
    let date = "date: Sat, 22 Nov 2025 06:00:00 GMT\r\n";
    double.next([Says::Answer(403, date, expired.to_owned())]);
    assert_eq!(attempt(switchboard("aws-sns", &double.url), 1).await, Outcome::Delivered);
    let dates: Vec<_> = double.got().iter().map(|got| got.header("x-amz-date").unwrap().to_owned()).collect();
    assert_eq!(dates, ["20251122T040001Z", "20251122T060000Z"]);
}

#[tokio::test]
async fn what_knows_repeats_gets_one_name_for_all_of_them() {
    let described = r#"
        [sms]
        base_url = "URL"
        allow_insecure_http = true
        [sms.auth]
        kind = "header"
        name = "Authorization"
        value = "AccessKey {{ auth.secret }}"
        secret = { env = "VONAGE_API_SECRET" }
        [sms.request]
        method = "POST"
        path = "/messages"
        idempotency_header = "Idempotency-Key"
        body = { type = "json", template = { to = ["{{ sms.to }}"], text = "{{ sms.text }}" } }
        success_when = [{ pointer = "/accepted", equals = true }]
    "#;
    let double = HttpDouble::start(Says::Answer(200, "", r#"{"accepted": true}"#.to_owned())).await;
    double.next([Says::Answer(200, "", r#"{"accepted": false}"#.to_owned())]);
    let switchboard = of_text(&described.replace("URL", double.url.as_str()));
    assert!(matches!(attempt(switchboard.clone(), 1).await, Outcome::Failed { cause: Cause::Temporary, .. }));
    assert_eq!(attempt(switchboard, 2).await, Outcome::Delivered);
    for got in double.got() {
        assert_eq!(got.header("idempotency-key"), Some("019aa4b2-0000-7000-8000-00000000000a"));
        assert_eq!(got.header("authorization"), Some(format!("AccessKey {SECRET}").as_str()));
        let body: serde_json::Value = serde_json::from_str(&got.body).unwrap();
        assert_eq!(body, serde_json::json!({"to": ["+359897765463"], "text": TEXT}));
    }
}

#[test]
fn no_draft_can_ask_for_it() {
    let mut ctx = keyherald_core::Ctx::new(Micros(0), [0; 32]);
    assert!(Sms.validate(&Map::new(), &Policy::default(), &mut ctx).is_err());
    assert!(!Sms.is_available(&Policy::default()));
}
