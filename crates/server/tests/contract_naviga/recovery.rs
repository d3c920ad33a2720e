//! A forgotten password: nobody learns who is known, and the mail leads to the page that was asked for.

use axum::http::Method;
use keyherald::app::Call;
use keyherald_core::Micros;
use keyherald_core::id::ProjectKey;
use keyherald_core::mail::{Letter, MailKind};
use keyherald_core::notice::Notice;
use keyherald_core::subscription::DestinationSettings;
use keyherald_store::testing::{TestStore, block_on};
use keyherald_store::{Tx, log};
use serde_json::{Map, Value, json};

use crate::stage;
use crate::support::TestServer;

fn demo() -> ProjectKey {
    "demo".parse().unwrap()
}

/// What a request costs: statements, rows of the log and commits.
#[derive(Debug, PartialEq, Eq)]
struct Cost {
    read_statements: u64,
    write_statements: u64,
    writes: u64,
    commits: u64,
    hashes: u64,
}

impl Cost {
    fn so_far(server: &TestServer) -> Self {
        let (hash, store) = (server.app.hash.counters(), server.store().counters());
        Self {
            read_statements: store.read_statements,
            write_statements: store.write_statements,
            writes: store.writes,
            commits: store.commits,
            hashes: hash.verified + hash.dummy + hash.hashed,
        }
    }

    fn since(&self, before: &Self) -> Self {
        Self {
            read_statements: self.read_statements - before.read_statements,
            write_statements: self.write_statements - before.write_statements,
            writes: self.writes - before.writes,
            commits: self.commits - before.commits,
            hashes: self.hashes - before.hashes,
        }
    }
}

/// An encrypted event id, and what it cost.
async fn start(server: &TestServer, login_name: &str, return_url: Option<&str>) -> (String, Cost) {
    let before = Cost::so_far(server);
    let body = json!({"loginName": login_name, "returnUrl": return_url}).to_string();
    let answered = server.send(Method::POST, "/v4/Users/ForgotPassword", &stage::headers(), body).await;
    assert_eq!(answered.status, 200);
    let cost = Cost::so_far(server).since(&before);
    (answered.json()["data"]["encryptedEventId"].as_str().unwrap().to_owned(), cost)
}

async fn mail_links(server: &TestServer) {
    let destination = DestinationSettings { kind: "Mail".into(), settings: Map::<String, Value>::new() };
    server.app.ensure_letters(demo(), vec![MailKind::ResetPassword], destination).await.unwrap();
}

/// The letters that are waiting, in order.
async fn letters(server: &TestServer) -> Vec<Letter> {
    let (ring, now) = (server.app.ring.clone(), server.app.moments.now());
    let look = move |tx: &mut dyn Tx| log::after(tx, &ring, (0, i64::MAX), 1000, now);
    let entries = server.app.store.read(look).await.unwrap();
    let notices = entries.into_iter().map(|entry| entry.notice);
    let written = notices.filter_map(|notice| match &notice {
        Notice::Message(message) if message.facts.content.type_name() == "CustomerPasswordTokenCreated" => {
            keyherald::format::letter::render(&notice).ok()
        }
        _ => None,
    });
    written.map(|rendered| serde_json::from_slice(&rendered.body).unwrap()).collect()
}

async fn nobody_is_told_who_is_known(server: TestServer) {
    server.customer("jo@example.com", "first-password").await;
    for mails in [false, true] {
        if mails {
            mail_links(&server).await;
        }
        let (known, cost) = start(&server, "jo@example.com", None).await;
        let (unknown, cost_of_nobody) = start(&server, "nobody@example.com", None).await;
        // Neither is it a token of whoever stands in.
        assert!(server.app.find_recovery(Call::on(demo()), &known).await.is_ok());
        assert!(server.app.find_recovery(Call::on(demo()), &unknown).await.is_err());
        assert_eq!(cost_of_nobody, cost, "mails: {mails}");
        assert_eq!((cost.writes, cost.hashes), (1, 0));
        assert_eq!(unknown.len(), known.len());
        assert_ne!(unknown, known);
    }
    let letters = letters(&server).await;
    assert_eq!(letters.len(), 1, "of what happened since there is mail, and of who is known");
}

async fn the_mail_leads_where_the_call_says(server: TestServer) {
    server.customer("jo@example.com", "first-password").await;
    mail_links(&server).await;
    let page = "https://paper.example/reset?lang=de#top";
    let (event, _) = start(&server, "jo@example.com", Some(page)).await;
    let (second, _) = start(&server, "jo@example.com", None).await;
    let letters = letters(&server).await;
    let [named, unnamed] = letters.as_slice() else { panic!("{} letters", letters.len()) };
    assert_eq!((named.to.email.as_str(), named.kind), ("jo@example.com", MailKind::ResetPassword));
    assert_eq!(named.secret.as_deref(), Some(event.as_str()));
    let link = named.page.as_ref().unwrap().with_token(&event);
    assert_eq!(link, format!("https://paper.example/reset?lang=de&encryptedEventId={event}#top"));
    assert_eq!((unnamed.secret.as_deref(), unnamed.page.as_ref()), (Some(second.as_str()), None));
    assert_eq!(named.until.unwrap().0 - named.at.0, 60 * Micros::MINUTE);
}

#[test]
fn nobody_is_told_who_is_known_sqlite() {
    block_on(async { nobody_is_told_who_is_known(stage::serve(TestStore::sqlite().await).await).await });
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test starts one"]
fn nobody_is_told_who_is_known_postgres() {
    block_on(async { nobody_is_told_who_is_known(stage::serve(TestStore::postgres().await).await).await });
}

#[test]
fn the_mail_leads_where_the_call_says_sqlite() {
    block_on(async { the_mail_leads_where_the_call_says(stage::serve(TestStore::sqlite().await).await).await });
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test starts one"]
fn the_mail_leads_where_the_call_says_postgres() {
    block_on(async { the_mail_leads_where_the_call_says(stage::serve(TestStore::postgres().await).await).await });
}
