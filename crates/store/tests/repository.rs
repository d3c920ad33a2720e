//! What the repository functions promise, on both engines.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use keyherald_core::change::{self, PasswordSet};
use keyherald_core::create::{self, AddressUse, Created};
use keyherald_core::credential::{AuthenticationMode, PasswordHash};
use keyherald_core::customer::{Claims, Customer, Profile};
use keyherald_core::id::ProjectKey;
use keyherald_core::initiator::Initiator;
use keyherald_core::message::{Content, Message};
use keyherald_core::project::Configured;
use keyherald_core::refusal::UniqueField;
use keyherald_core::seal::{KeyRing, SealingKey};
use keyherald_core::secret::TokenValue;
use keyherald_core::shop::Known;
use keyherald_core::token::{self, TokenCreated, TokenKind};
use keyherald_core::{Ctx, Micros, Refusal, delete};
use keyherald_store::project::MessagesSetting;
use keyherald_store::testing::TestStore;
use keyherald_store::tx::query_all;
use keyherald_store::{
    Fault, Sql, Store, Tx, Value, claim, credential, customer, each_engine, log, project, token as tokens,
};

each_engine! {
    every_statement_prepares,
    all_are_prepared_at_once,
    a_customer_reads_back,
    a_unique_value_is_told_before_the_index_refuses_it,
    setting_a_password_ends_tokens_and_leaves_one_message,
    a_moved_version_is_a_fault,
    deleting_leaves_only_the_log,
    what_is_personal_is_sealed,
    a_token_value_is_forgotten_with_its_token,
    an_expired_value_is_not_shown,
    messages_are_visible_only_if_they_were_enabled,
    sequence_numbers_have_no_gaps_under_concurrency,
}

const NOW: Micros = Micros(1_700_000_000_000_000);

fn ctx(seed: u8) -> Ctx {
    Ctx::new(NOW, [seed; 32])
}

fn ring() -> KeyRing {
    KeyRing::new(vec![SealingKey::new("test", [7; 32]).unwrap()]).unwrap()
}

fn demo() -> ProjectKey {
    "demo".parse().unwrap()
}

fn hash(tail: &str) -> PasswordHash {
    PasswordHash::parse(&format!("$argon2id$v=19$m=8,t=1,p=1$AAAA${tail}")).unwrap()
}

fn draft(email: &str) -> create::Command {
    create::Command {
        email: email.into(),
        key: None,
        external_id: Some("crm-77".into()),
        customer_number: None,
        mobile: None,
        stores: Vec::new(),
        authentication_mode: AuthenticationMode::Password,
        is_email_verified: false,
        profile: Profile { first_name: Some("Ada".into()), ..Profile::default() },
        addresses: AddressUse::default(),
        by: Initiator { client_id: Some("c".into()), external_user_id: Some("agent".into()), ..Initiator::default() },
    }
}

async fn enable_messages(store: &Store) {
    let messages = Some(MessagesSetting { enabled: true, days: 15 });
    let configured = Configured { messages, ..Configured::default() };
    store.write(&ctx(0), move |tx, ctx| project::ensure(tx, &demo(), &configured, ctx)).await.unwrap();
}

async fn created(store: &Store, seed: u8, email: &'static str) -> Customer {
    let make = move |tx: &mut dyn Tx, ctx: &mut Ctx| -> Result<Created, Fault> {
        let mut created = create::decide(&draft(email), &Known::default(), None, Some(hash("aaaa")), ctx).unwrap();
        customer::create(tx, &ring(), &demo(), &mut created, ctx)?;
        Ok(created)
    };
    store.write(&ctx(seed), make).await.unwrap().customer
}

async fn token_of(store: &Store, seed: u8, customer: &Customer, ttl_minutes: i64) -> TokenCreated {
    let customer = customer.clone();
    let make = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
        let command = token::Command { ttl_minutes, invalidate_older_tokens: false, by: Initiator::default() };
        let made = token::decide(&customer, &command, ctx);
        tokens::insert(tx, &demo(), &made.token, made.value.digest())?;
        log::append(tx, &ring(), &demo(), &made.message, ctx)?;
        Ok(made)
    };
    store.write(&ctx(seed), make).await.unwrap()
}

/// Changes the password from whatever version the customer has.
async fn changed(store: &Store, seed: u8, customer: &Customer) -> PasswordSet {
    let id = customer.id;
    let change = move |tx: &mut dyn Tx, ctx: &mut Ctx| {
        let locked = customer::lock(tx, &demo(), id)?.unwrap();
        let command = change::Command { version: locked.version, by: Initiator::default() };
        let set = change::decide(&locked, &command, true, Some(hash("bbbb")), ctx).unwrap();
        customer::set_password(tx, &ring(), &demo(), &set, ctx)?;
        Ok(set)
    };
    store.write(&ctx(seed), change).await.unwrap()
}

async fn messages(store: &Store, now: Micros) -> Vec<Message> {
    let look = move |tx: &mut dyn Tx| {
        let last = log::last_position(tx)?;
        let entries = log::after(tx, &ring(), (0, last), 1000, now)?;
        Ok(entries.iter().filter_map(|entry| entry.message().cloned()).collect::<Vec<_>>())
    };
    store.read(look).await.unwrap()
}

async fn every_statement_prepares(store: &TestStore) {
    let mut count = 0;
    for sql in keyherald_store::statements() {
        let explain = Sql {
            name: sql.name,
            sqlite: format!("EXPLAIN {}", sql.sqlite).into(),
            // A name that no connection has seen: names outlive their transaction.
            postgres: format!("PREPARE statement_{count} AS {}", sql.postgres).into(),
        };
        let arguments = if store.engine_name() == "sqlite" { placeholders(&sql.sqlite) } else { 0 };
        let run = move |tx: &mut dyn Tx, _: &mut Ctx| {
            query_all(tx, &explain, &vec![Value::Null; arguments], |_| Ok(())).map(drop)
        };
        store.write(&ctx(0), run).await.unwrap_or_else(|fault| panic!("{}: {fault:?}", sql.name));
        count += 1;
    }
    assert!(count > 50, "{count} statements");
}

/// As the server does at its start; and it is told when a table is not what the program thinks.
async fn all_are_prepared_at_once(store: &TestStore) {
    store.prepare(&ctx(0)).await.unwrap();
    let rename = Sql {
        name: "rename",
        sqlite: "ALTER TABLE credential RENAME COLUMN hash TO other".into(),
        postgres: "ALTER TABLE credential RENAME COLUMN hash TO other".into(),
    };
    store.write(&ctx(0), move |tx, _| tx.execute(&rename, &[])).await.unwrap();
    let prepared = store.prepare(&ctx(0)).await;
    assert_eq!(prepared.is_err(), store.engine_name() == "sqlite", "{prepared:?}");
}

/// How many different `$n` a text has.
fn placeholders(text: &str) -> usize {
    (1..=40)
        .filter(|n| {
            text.match_indices(&format!("${n}"))
                .any(|(at, found)| !text[at + found.len()..].starts_with(|next: char| next.is_ascii_digit()))
        })
        .count()
}

async fn a_customer_reads_back(store: &TestStore) {
    let customer = created(store, 1, "Ada@Example.com").await;
    let id = customer.id;
    let (by_id, by_email, stored) = store
        .read(move |tx| {
            Ok((
                customer::by_id(tx, &demo(), id)?,
                customer::by_email(tx, &demo(), "ada@EXAMPLE.com")?,
                credential::by_customer(tx, &demo(), id)?,
            ))
        })
        .await
        .unwrap();
    assert_eq!(by_id.as_ref(), Some(&customer));
    assert_eq!(by_email.as_ref(), Some(&customer));
    assert!(stored == Some(hash("aaaa")));
    assert_eq!(customer.password_tail.as_deref(), Some("aaaa"));
}

async fn a_unique_value_is_told_before_the_index_refuses_it(store: &TestStore) {
    created(store, 1, "ada@example.com").await;
    let ada =
        Claims { email: "ADA@example.com".into(), stores: Vec::new(), key: None, customer_number: None, mobile: None };
    let elsewhere = ada.clone();
    let look = move |tx: &mut dyn Tx| claim::taken(tx, &demo(), &ada, None);
    assert_eq!(store.read(look).await.unwrap(), Some(UniqueField::Email));
    let other: ProjectKey = "other".parse().unwrap();
    let elsewhere = move |tx: &mut dyn Tx| claim::taken(tx, &other, &elsewhere, None);
    assert_eq!(store.read(elsewhere).await.unwrap(), None);
    // Two creates at once: one of them finds the other's row.
    let make = |tx: &mut dyn Tx, ctx: &mut Ctx| -> Result<Result<(), Refusal>, Fault> {
        let draft = draft("eve@example.com");
        let taken = claim::take(tx, &demo(), &draft.claims(&Known::default()).unwrap(), None)?;
        let mut outcome = create::decide(&draft, &Known::default(), taken, None, ctx);
        if let Ok(created) = &mut outcome {
            customer::create(tx, &ring(), &demo(), created, ctx)?;
        }
        Ok(outcome.map(drop))
    };
    let (first, second) = (ctx(2), ctx(3));
    let (one, two) = tokio::join!(store.write(&first, make), store.write(&second, make));
    let mut outcomes = [one.unwrap(), two.unwrap()];
    outcomes.sort_by_key(Result::is_err);
    assert_eq!(outcomes, [Ok(()), Err(Refusal::Duplicate(UniqueField::Email))]);
}

async fn setting_a_password_ends_tokens_and_leaves_one_message(store: &TestStore) {
    let customer = created(store, 1, "ada@example.com").await;
    let token = token_of(store, 2, &customer, 5).await;
    let set = changed(store, 3, &customer).await;
    let digest = token.value.digest();
    let id = customer.id;
    let (after, stored, token) = store
        .read(move |tx| {
            Ok((
                customer::by_id(tx, &demo(), id)?.unwrap(),
                credential::by_customer(tx, &demo(), id)?,
                tokens::by_digest(tx, &demo(), TokenKind::Password, digest)?.unwrap(),
            ))
        })
        .await
        .unwrap();
    assert_eq!(after, set.customer);
    assert!(stored == Some(hash("bbbb")));
    assert!(!token.valid);
    let log = messages(store, NOW).await;
    let of_customer: Vec<_> = log
        .iter()
        .filter(|entry| entry.resource_id == customer.id.uuid())
        .map(|entry| (entry.sequence, entry.facts.content.clone()))
        .collect();
    let updated = Content::CustomerPasswordUpdated { reset: false };
    assert_eq!(of_customer, [(1, Content::CustomerCreated), (2, updated)]);
}

async fn a_moved_version_is_a_fault(store: &TestStore) {
    let customer = created(store, 1, "ada@example.com").await;
    let set = changed(store, 2, &customer).await;
    // The same decision again, as if no lock had been taken.
    let again = store.write(&ctx(3), move |tx, ctx| customer::set_password(tx, &ring(), &demo(), &set, ctx)).await;
    assert!(again.is_err());
    assert_eq!(messages(store, NOW).await.len(), 2);
}

async fn deleting_leaves_only_the_log(store: &TestStore) {
    let customer = created(store, 1, "ada@example.com").await;
    let token = token_of(store, 2, &customer, 5).await;
    let id = customer.id;
    let command = delete::Command { version: 1, data_erasure: false, by: Initiator::default() };
    store
        .write(&ctx(3), move |tx, ctx| {
            let locked = customer::lock(tx, &demo(), id)?.unwrap();
            let deleted = delete::decide(&locked, &command, ctx).unwrap();
            customer::delete(tx, &ring(), &demo(), &deleted, ctx)
        })
        .await
        .unwrap();
    let digest = token.value.digest();
    let left = store
        .read(move |tx| {
            Ok((
                customer::by_id(tx, &demo(), id)?,
                credential::by_customer(tx, &demo(), id)?.is_some(),
                tokens::by_digest(tx, &demo(), TokenKind::Password, digest)?,
            ))
        })
        .await
        .unwrap();
    assert_eq!(left, (None, false, None));
    let log = messages(store, NOW).await;
    let last = log.last().unwrap();
    assert_eq!(last.facts.content, Content::CustomerDeleted { data_erasure: false });
    assert_eq!(last.personal.as_ref().unwrap().email.as_deref(), Some("ada@example.com"));
}

async fn what_is_personal_is_sealed(store: &TestStore) {
    created(store, 1, "ada@example.com").await;
    let raw = Sql::both("raw", "SELECT l.facts, p.sealed FROM log l JOIN log_personal p ON p.position = l.position");
    let rows = store.read(move |tx| query_all(tx, &raw, &[], |row| Ok((row.text(0)?, row.bytes(1)?)))).await.unwrap();
    let [(facts, sealed)] = &rows[..] else { panic!("one row") };
    for secret in ["ada", "Ada", "crm-77", "agent"] {
        assert!(!facts.contains(secret), "{facts}");
        assert!(!sealed.windows(secret.len()).any(|part| part == secret.as_bytes()));
    }
    let opened = &messages(store, NOW).await[0];
    assert_eq!(opened.initiator().external_user_id.as_deref(), Some("agent"));
    // Without the customer's key the message is still there, and says that its personal part is gone.
    let erase = Sql::both("erase", "DELETE FROM customer_key");
    store.write(&ctx(2), move |tx, _| tx.execute(&erase, &[])).await.unwrap();
    assert!(messages(store, NOW).await[0].personal.is_none());
}

async fn a_token_value_is_forgotten_with_its_token(store: &TestStore) {
    let customer = created(store, 1, "ada@example.com").await;
    let token = token_of(store, 2, &customer, 5).await;
    let shown = |entries: &[Message]| entries[1].secret.as_ref().map(TokenValue::digest);
    let before = shown(&messages(store, NOW).await);
    assert!(before.is_some_and(|digest| digest == token.value.digest()));
    changed(store, 3, &customer).await;
    assert!(shown(&messages(store, NOW).await).is_none());
}

async fn an_expired_value_is_not_shown(store: &TestStore) {
    let customer = created(store, 1, "ada@example.com").await;
    token_of(store, 2, &customer, 5).await;
    let late = NOW.plus(5 * Micros::MINUTE);
    assert!(messages(store, late.plus(-1000)).await[1].secret.is_some());
    assert!(messages(store, late).await[1].secret.is_none());
    // And the sweep removes it for good, and the token a day later.
    for (at, gone) in [(late, 1), (late.plus(Micros::DAY), 1), (late.plus(Micros::DAY), 0)] {
        assert_eq!(store.write(&ctx(9), move |tx, _| tokens::sweep(tx, at, 10)).await.unwrap(), gone);
    }
}

async fn messages_are_visible_only_if_they_were_enabled(store: &TestStore) {
    created(store, 1, "ada@example.com").await;
    enable_messages(store).await;
    created(store, 2, "bob@example.com").await;
    let visible: Vec<_> = messages(store, NOW).await.iter().map(|entry| entry.visible).collect();
    assert_eq!(visible, [false, true]);
}

async fn sequence_numbers_have_no_gaps_under_concurrency(store: &TestStore) {
    let customer = created(store, 1, "ada@example.com").await;
    let changes = (2..34).map(|seed| changed(store, seed, &customer));
    futures(changes.collect()).await;
    let log = messages(store, NOW).await;
    let told: Vec<_> = log.iter().map(|entry| (entry.sequence, entry.resource_version)).collect();
    let expected: Vec<_> = (1..=33).map(|number| (number, number)).collect();
    assert_eq!(told, expected, "positions are in the order of the sequence");
}

/// All at once, on the test's own task.
async fn futures<F: Future<Output = PasswordSet>>(works: Vec<F>) {
    let mut works: Vec<_> = works.into_iter().map(Box::pin).collect();
    std::future::poll_fn(|cx| {
        works.retain_mut(|work| work.as_mut().poll(cx).is_pending());
        if works.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}
