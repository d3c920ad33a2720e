//! One attempt at a mail server, and what becomes of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use keyherald::destination::smtp::{Account, Carrier, Credentials, Mail, Office, Security, ServerSettings};
use keyherald::destination::{Context, Delivery, Destination, Kind, Policy};
use keyherald::mail::{Sender, Templates};
use keyherald_core::Micros;
use keyherald_core::delivery::{Cause, Outcome};
use keyherald_core::mail::{Letter, MailKind, Recipient};
use serde_json::Map;

use crate::double::{AUTHORITY, Deed, Double, Tls};

/// Long enough for a slow machine, short enough to wait for where nothing answers.
const PATIENCE: Duration = Duration::from_secs(20);

pub fn office(carrier: Carrier) -> Arc<Office> {
    let sender = Sender {
        name: "Böll & Söhne".to_owned(),
        links: BTreeMap::from([
            (MailKind::ResetPassword, "https://shop.example/reset#token={token}".parse().unwrap()),
            (MailKind::VerifyEmail, "https://shop.example/verify#token={token}".parse().unwrap()),
        ]),
        ..Sender::default()
    };
    let from = "Böll & Söhne <no-reply@shop.example>".parse().unwrap();
    let account =
        Account { sender, from, reply_to: Some("help@shop.example".parse().unwrap()), kinds: MailKind::ALL.to_vec() };
    let accounts = BTreeMap::from([("demo".parse().unwrap(), account)]);
    Arc::new(Office { templates: Templates::built_in().unwrap(), accounts, carrier })
}

pub fn server(double: &Double, security: Security) -> ServerSettings {
    let mut server = ServerSettings::new("localhost", security, Some(AUTHORITY)).unwrap();
    "127.0.0.1".clone_into(&mut server.host);
    server.port = double.address.port();
    server
}

pub fn context(office: Arc<Office>, attempt_timeout: Duration) -> Context {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder().build().unwrap();
    Context {
        http,
        policy: Policy::default(),
        attempt_timeout,
        office: Some(office),
        switchboard: None,
        wallets: None,
        google: None,
    }
}

fn open(server: ServerSettings, attempt_timeout: Duration) -> Arc<dyn Destination> {
    let context = context(office(Carrier::Server(server)), attempt_timeout);
    Mail.open(&Map::new(), None, &context).ok().unwrap()
}

fn letter(email: &str) -> Letter {
    Letter {
        kind: MailKind::ResetPassword,
        to: Recipient {
            email: email.to_owned(),
            name: Some("Анна".to_owned()),
            locale: Some("bg".to_owned()),
            mobile: None,
        },
        recovers: false,
        new_email: None,
        at: Micros(1_763_784_000_000_000),
        until: Some(Micros(1_763_787_600_000_000)),
        secret: Some("t0ken".to_owned()),
        page: None,
    }
}

fn delivery(letter: &Letter, attempt: u32) -> Delivery {
    Delivery {
        message_id: "019aa4b2-0000-7000-8000-00000000000a".parse().unwrap(),
        sequence: Some(1),
        customer: "019aa4b2-5b7c-7d3e-9f10-0123456789ab".parse().unwrap(),
        project: "demo".parse().unwrap(),
        created_at: letter.at,
        attempt,
        now: letter.at.plus(Micros::SECOND),
        content_type: "application/json",
        body: serde_json::to_vec(letter).unwrap(),
        event: None,
        is_replay: false,
        trace: None,
    }
}

async fn send(double: &Double) -> Outcome {
    open(server(double, Security::Plaintext), PATIENCE).send(delivery(&letter("anna@example.com"), 1)).await
}

fn cause(outcome: &Outcome) -> Option<Cause> {
    match outcome {
        Outcome::Failed { cause, reason, .. } => {
            assert!(!reason.contains('@'), "{reason}");
            Some(*cause)
        }
        _ => None,
    }
}

#[tokio::test]
async fn a_mail_arrives_whole() {
    let double = Double::start(Tls::None).await;
    assert_eq!(send(&double).await, Outcome::Delivered);
    let mail = double.accepted().remove(0);
    assert_eq!((mail.from.as_str(), mail.to.as_str()), ("no-reply@shop.example", "anna@example.com"));
    assert_eq!(mail.header("To").as_deref(), Some("anna@example.com"));
    assert_eq!(mail.header("Message-ID").as_deref(), Some("<019aa4b200007000800000000000000a@shop.example>"));
    assert_eq!(mail.header("Auto-Submitted").as_deref(), Some("auto-generated"));
    assert_eq!(mail.header("Content-Language").as_deref(), Some("bg"));
    assert_eq!(mail.header("Reply-To").as_deref(), Some("help@shop.example"));
    assert_eq!(mail.header("Date").as_deref(), Some("Sat, 22 Nov 2025 04:00:01 +0000"));
    // Encoded words, and not a byte that is not ASCII.
    assert!(mail.header("Subject").unwrap().contains("=?utf-8?b?"), "{:?}", mail.header("Subject"));
    assert!(mail.data.is_ascii() && mail.data.contains("multipart/alternative"));
    let (text, html) = (mail.data.find("text/plain").unwrap(), mail.data.find("text/html").unwrap());
    assert!(text < html);
}

#[tokio::test]
async fn each_answer_has_its_meaning() {
    for (verb, answer, expected) in [
        ("CONNECT", "421 4.3.2 busy", Some(Cause::Temporary)),
        ("CONNECT", "554 no service here", Some(Cause::Refused)),
        ("EHLO", "451 later", Some(Cause::Temporary)),
        ("MAIL", "452 4.3.1 full", Some(Cause::Temporary)),
        ("MAIL", "550 5.7.1 not you", Some(Cause::Refused)),
        ("MAIL", "530 5.7.0 sign in first", Some(Cause::Refused)),
        ("RCPT", "450 4.2.1 greylisted", Some(Cause::Temporary)),
        ("RCPT", "550 5.1.1 <anna@example.com>: no such user", None),
        ("RCPT", "501 5.1.3 bad address", None),
        ("RCPT", "554 5.7.1 relay access denied", Some(Cause::Refused)),
        ("RCPT", "530 sign in first", Some(Cause::Refused)),
        ("DATA", "451 later", Some(Cause::Temporary)),
        ("DATA", "503 no", Some(Cause::Refused)),
        ("DATA END", "451 4.7.0 later", Some(Cause::Temporary)),
        ("DATA END", "552 5.3.4 too big", None),
        ("DATA END", "550 5.7.26 not authenticated", Some(Cause::Refused)),
    ] {
        let double = Double::start(Tls::None).await;
        double.at(verb, Deed::Answer(answer));
        let outcome = send(&double).await;
        assert_eq!(cause(&outcome), expected, "{verb} {answer}: {outcome:?}");
        if let Outcome::Rejected { reason } = &outcome {
            assert!(!reason.contains('@'), "{reason}");
        } else {
            assert!(expected.is_some(), "{verb} {answer}: {outcome:?}");
        }
        assert!(double.accepted().is_empty());
        // A connection on which something went wrong is not used again.
        double.heal();
        assert_eq!(send(&double).await, Outcome::Delivered);
    }
}

#[tokio::test]
async fn a_line_that_is_cut_or_silent_means_later() {
    for verb in ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "DATA END"] {
        let double = Double::start(Tls::None).await;
        double.at(verb, Deed::Cut);
        let outcome = send(&double).await;
        assert_eq!(cause(&outcome), Some(Cause::Temporary), "{verb}: {outcome:?}");
        double.at(verb, Deed::Silence);
        let destination = open(server(&double, Security::Plaintext), Duration::from_millis(300));
        let outcome = destination.send(delivery(&letter("anna@example.com"), 1)).await;
        assert_eq!(cause(&outcome), Some(Cause::Temporary), "{verb}: {outcome:?}");
    }
    let nobody = { Double::start(Tls::None).await.address };
    let mut server = ServerSettings::new("127.0.0.1", Security::Plaintext, None).unwrap();
    server.port = nobody.port();
    let outcome = open(server, PATIENCE).send(delivery(&letter("anna@example.com"), 1)).await;
    assert_eq!(cause(&outcome), Some(Cause::Temporary), "{outcome:?}");
}

#[tokio::test]
async fn a_mail_whose_answer_was_lost_is_sent_again_under_its_id() {
    let double = Double::start(Tls::None).await;
    double.at("DATA END", Deed::Cut);
    let destination = open(server(&double, Security::Plaintext), PATIENCE);
    let first = destination.send(delivery(&letter("anna@example.com"), 1)).await;
    assert!(matches!(&first, Outcome::Failed { reason, .. } if reason.contains("may have been accepted")), "{first:?}");
    double.heal();
    assert_eq!(destination.send(delivery(&letter("anna@example.com"), 2)).await, Outcome::Delivered);
    let mails = double.accepted();
    assert_eq!(mails.len(), 2);
    assert_eq!(mails[0].data, mails[1].data);
}

#[tokio::test]
async fn connections_are_used_again_while_they_live() {
    let double = Double::start(Tls::None).await;
    let destination = open(server(&double, Security::Plaintext), PATIENCE);
    for attempt in 1..=5 {
        assert_eq!(destination.send(delivery(&letter("anna@example.com"), attempt)).await, Outcome::Delivered);
    }
    assert_eq!((double.connections(), double.accepted().len()), (1, 5));
    // The server has closed it meanwhile: that costs no attempt.
    double.at("OTHER", Deed::Cut);
    assert_eq!(destination.send(delivery(&letter("anna@example.com"), 6)).await, Outcome::Delivered);
    assert_eq!((double.connections(), double.accepted().len()), (2, 6));
    assert_eq!(destination.in_flight_max(), 8);
}

#[tokio::test]
async fn what_is_asked_to_be_encrypted_is_never_sent_otherwise() {
    for (tls, security) in [(Tls::Offered, Security::StartTls), (Tls::FromTheFirstByte, Security::Tls)] {
        let double = Double::start(tls).await;
        let mut server = server(&double, security);
        server.credentials = Some(Credentials::new("keyherald", "hunter2"));
        assert_eq!(
            open(server.clone(), PATIENCE).send(delivery(&letter("anna@example.com"), 1)).await,
            Outcome::Delivered
        );
        assert!(double.accepted()[0].encrypted && double.verbs().contains(&"AUTH".to_owned()));

        double.at("AUTH", Deed::Answer("535 5.7.8 no"));
        let outcome = open(server, PATIENCE).send(delivery(&letter("anna@example.com"), 1)).await;
        assert_eq!(cause(&outcome), Some(Cause::Refused), "{outcome:?}");
    }
    let without = Double::start(Tls::None).await;
    let outcome =
        open(server(&without, Security::StartTls), PATIENCE).send(delivery(&letter("a@example.com"), 1)).await;
    assert_eq!(cause(&outcome), Some(Cause::Refused), "{outcome:?}");
    let refusing = Double::start(Tls::Offered).await;
    refusing.at("STARTTLS", Deed::Answer("454 4.7.0 not now"));
    let outcome =
        open(server(&refusing, Security::StartTls), PATIENCE).send(delivery(&letter("a@example.com"), 1)).await;
    assert_eq!(cause(&outcome), Some(Cause::Temporary), "{outcome:?}");
    // Nobody vouches for this certificate.
    let stranger = Double::start(Tls::FromTheFirstByte).await;
    let mut unknown = ServerSettings::new("localhost", Security::Tls, None).unwrap();
    "127.0.0.1".clone_into(&mut unknown.host);
    unknown.port = stranger.address.port();
    let outcome = open(unknown, PATIENCE).send(delivery(&letter("a@example.com"), 1)).await;
    assert_eq!(cause(&outcome), Some(Cause::Temporary), "{outcome:?}");
    for double in [without, refusing, stranger] {
        let sent = double.verbs();
        assert!(!sent.iter().any(|verb| verb == "MAIL" || verb == "AUTH"), "{sent:?}");
    }
}

#[tokio::test]
async fn hostile_addresses_are_rejected_and_ended_tokens_are_moot() {
    let double = Double::start(Tls::None).await;
    let destination = open(server(&double, Security::Plaintext), PATIENCE);
    for hostile in ["", "no address", "a@b\r\nRCPT TO:<all@example.com>", "a@example.com>\r\nDATA", "a@exa mple.com"] {
        let outcome = destination.send(delivery(&letter(hostile), 1)).await;
        assert!(matches!(outcome, Outcome::Rejected { .. }), "{hostile:?}: {outcome:?}");
    }
    let ended = Letter { secret: None, ..letter("anna@example.com") };
    assert_eq!(destination.send(delivery(&ended, 1)).await, Outcome::Moot);
    let expired = Letter { until: Some(Micros(5)), ..letter("anna@example.com") };
    assert_eq!(destination.send(delivery(&expired, 1)).await, Outcome::Moot);
    // The server would need an extension that it has not.
    let outcome = destination.send(delivery(&letter("анна@example.com"), 1)).await;
    assert!(matches!(outcome, Outcome::Rejected { .. }), "{outcome:?}");
    assert!(double.accepted().is_empty());
}
