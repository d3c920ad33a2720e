//! A real mail server (aiosmtpd, with STARTTLS), and what it made of a mail: read back from its Maildir.

use std::path::{Path, PathBuf};
use std::time::Duration;

use keyherald::destination::smtp::{Carrier, Mail, Security, ServerSettings};
use keyherald::destination::{Delivery, Kind};
use keyherald_core::Micros;
use keyherald_core::delivery::Outcome;
use keyherald_core::mail::{Letter, MailKind, Recipient};
use serde_json::Map;

use crate::double::AUTHORITY;
use crate::smtp::{context, office};

const LOCALES: [&str; 5] = ["bg", "de", "en", "es", "fr"];

fn mails(maildir: &Path) -> Vec<PathBuf> {
    let new = std::fs::read_dir(maildir.join("new")).into_iter().flatten();
    new.map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test]
#[ignore = "needs aiosmtpd: cargo xtask test starts one"]
async fn a_mail_in_each_language_arrives_at_aiosmtpd_over_starttls() {
    let told = std::env::var("KEYHERALD_TEST_SMTP").unwrap();
    let (address, maildir) = told.split_once(' ').unwrap();
    let mut server = ServerSettings::new("localhost", Security::StartTls, Some(AUTHORITY)).unwrap();
    server.port = address.rsplit_once(':').unwrap().1.parse().unwrap();
    let context = context(office(Carrier::Server(server)), Duration::from_mins(1));
    let destination = Mail.open(&Map::new(), None, &context).ok().unwrap();
    for (number, locale) in LOCALES.iter().enumerate() {
        let to = Recipient {
            email: format!("{locale}@example.com"),
            name: Some("Анна".to_owned()),
            locale: Some((*locale).to_owned()),
            mobile: None,
        };
        let at = Micros(1_763_784_000_000_000);
        let until = Some(at.plus(Micros::DAY));
        let letter = Letter {
            kind: MailKind::VerifyEmail,
            to,
            recovers: false,
            new_email: None,
            at,
            until,
            secret: Some("t0ken".into()),
            page: None,
        };
        let delivery = Delivery {
            message_id: format!("019aa4b2-0000-7000-8000-00000000000{number}").parse().unwrap(),
            sequence: Some(1),
            customer: "019aa4b2-5b7c-7d3e-9f10-0123456789ab".parse().unwrap(),
            project: "demo".parse().unwrap(),
            created_at: at,
            attempt: 1,
            now: at,
            content_type: "application/json",
            body: serde_json::to_vec(&letter).unwrap(),
            event: None,
            is_replay: false,
            trace: None,
        };
        assert_eq!(destination.send(delivery).await, Outcome::Delivered, "{locale}");
    }
    let mails = mails(Path::new(maildir));
    assert_eq!(mails.len(), LOCALES.len());
    for mail in mails {
        let text = std::fs::read_to_string(mail).unwrap();
        let locale = LOCALES.into_iter().find(|locale| text.contains(&format!("To: {locale}@example.com"))).unwrap();
        assert!(text.contains(&format!("Content-Language: {locale}")), "{text}");
        assert!(text.is_ascii() && text.contains("multipart/alternative"), "{text}");
        assert!(text.contains("From: =?utf-8?"), "{text}");
    }
}
