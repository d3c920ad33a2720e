//! What is gone after a customer was erased, and what retention removes, on both engines.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod customers;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use customers::*;
use keyherald_core::activity::{Run, Source, project_lane};
use keyherald_core::create;
use keyherald_core::credential::AuthenticationMode;
use keyherald_core::customer::{Address, Customer, Profile};
use keyherald_core::filter::Filter;
use keyherald_core::id::{CustomerId, DeadLetterId, MessageId, ProjectKey, Reference, SubscriptionId};
use keyherald_core::initiator::Initiator;
use keyherald_core::message::{Content, Flow, NewMessage, partition};
use keyherald_core::project::Configured;
use keyherald_core::subscription::{self, DestinationSettings, FormatKind, MessageSelection, Selections};
use keyherald_core::token::TokenKind;
use keyherald_core::update::{Action, TextField};
use keyherald_core::{Ctx, Micros};
use keyherald_store::delivery::{self, DeadLetter, ParkedLane};
use keyherald_store::project::{self, MessagesSetting};
use keyherald_store::retention::{self, Place};
use keyherald_store::testing::{TestStore, block_on};
use keyherald_store::tx::{query_all, query_one};
use keyherald_store::{
    Fault, Listing, Sql, Store, StoreUrl, Tx, customer, each_engine, erase, log, subscription as subscriptions,
};

each_engine! {
    an_erased_customer_leaves_ids_only,
    a_letter_of_an_erased_customer_keeps_no_body,
    a_living_customer_is_not_erased,
    retention_removes_what_is_old_and_owed_to_nobody,
    the_key_of_a_deleted_customer_goes_with_its_last_message,
}

/// Everything that is personal of Ada, as it was written down somewhere.
struct Ada {
    id: CustomerId,
    /// Kept in the clear while she is a customer.
    texts: Vec<&'static str>,
    /// Kept sealed.
    sealed: Vec<Vec<u8>>,
}

/// Everything that can be written down of a customer, among many others.
async fn ada(store: &Store) -> Ada {
    let messages = Some(MessagesSetting { enabled: true, days: 90 });
    let configured = Configured { messages, ..Configured::default() };
    store.write(&ctx(0), move |tx, ctx| project::ensure(tx, &demo(), &configured, ctx)).await.unwrap();
    open_shops(store, &["shop-a"]).await;
    for seed in 0..60 {
        created(store, 1000 + seed, &format!("other{seed}@example.com"), &[]).await;
    }
    let fields = BTreeMap::from([("streetName".to_owned(), "Quarkstrasse".to_owned())]);
    let draft = create::Command {
        key: Some(key("quark-key")),
        external_id: Some("quark-crm-4711".into()),
        customer_number: Some("quark-0815".into()),
        mobile: None,
        profile: Profile {
            first_name: Some("Quarkine".into()),
            last_name: Some("Quarkson".into()),
            addresses: vec![Address { id: String::new(), country: "DE".into(), fields }],
            ..Profile::default()
        },
        by: Initiator { external_user_id: Some("quark-agent".into()), ..Initiator::default() },
        ..draft("Quarkine@First.example", &["shop-a"])
    };
    let ada = create(store, &ctx(1), draft).await.unwrap();
    for seed in 60..120 {
        created(store, 1000 + seed, &format!("other{seed}@example.com"), &[]).await;
    }
    for (seed, kind) in [(2, TokenKind::Password), (3, TokenKind::Email)] {
        token_of(store, seed, &ada, kind).await;
    }
    let mode = |mode| Action::SetAuthenticationMode { mode, with_password: true };
    let actions = vec![
        mode(AuthenticationMode::ExternalAuth),
        mode(AuthenticationMode::Password),
        Action::ChangeEmail("Quarkine@Second.example".into()),
        Action::SetText(TextField::CompanyName, Some("Quark and Sons".into())),
        Action::SetText(TextField::CompanyName, None),
        Action::RemoveAddress(Reference::Id(ada.profile.addresses[0].id.clone())),
    ];
    let ada = update(store, &ctx(4), ada.id, actions).await.unwrap();
    for (seed, kind) in [(5, TokenKind::Password), (6, TokenKind::Email)] {
        token_of(store, seed, &ada, kind).await;
    }
    put_letter(store, letter(ada.id, 1)).await;
    let sealed = sealed(store, ada.id).await;
    assert!(sealed.len() > 8, "{}", sealed.len());
    let texts = vec![
        "First.example",
        "first.example",
        "Second.example",
        "second.example",
        "quark-key",
        "quark-crm-4711",
        "quark-0815",
        "Quarkine",
        "Quarkson",
        "Quarkstrasse",
        "quark-agent",
        "Quark and Sons",
        "$AAAA$uuuu",
    ];
    Ada { id: ada.id, texts, sealed }
}

async fn sealed(store: &Store, id: CustomerId) -> Vec<Vec<u8>> {
    let all = [
        Sql::both("personal", "SELECT sealed FROM log_personal WHERE customer_id = $1"),
        Sql::both("key", "SELECT sealed FROM customer_key WHERE customer_id = $1"),
        Sql::both(
            "secret",
            "SELECT s.sealed FROM log_secret s JOIN log l ON l.position = s.position WHERE l.customer_id = $1",
        ),
        Sql::both("body", "SELECT body FROM dead_letter WHERE customer_id = $1 AND body IS NOT NULL"),
    ];
    let look = move |tx: &mut dyn Tx| {
        let mut found = Vec::new();
        for sql in &all {
            found.extend(query_all(tx, sql, &[id.into()], |row| row.bytes(0))?);
        }
        Ok(found)
    };
    store.read(look).await.unwrap()
}

fn letter(customer: CustomerId, position: i64) -> DeadLetter {
    let id = DeadLetterId::new(&mut ctx(position.unsigned_abs()));
    let mut seal = ctx(77);
    DeadLetter {
        project: demo(),
        id,
        subscription: SubscriptionId::new(&mut ctx(5)),
        position,
        message: MessageId::new(&mut ctx(6)),
        customer,
        reason: "exhausted".into(),
        attempts: 10,
        last_error: "503".into(),
        body: Some(ring().seal(&mut seal, &format!("dead_letter:{id}"), b"{\"lastName\":\"Quarkson\"}").unwrap()),
        created_at: NOW,
    }
}

async fn put_letter(store: &Store, letter: DeadLetter) {
    store.write(&ctx(9), move |tx, _| delivery::put_dead_letter(tx, &letter)).await.unwrap();
}

async fn letters(store: &Store) -> Vec<DeadLetter> {
    let subscription = SubscriptionId::new(&mut ctx(5));
    store.read(move |tx| delivery::dead_letters(tx, subscription, 100)).await.unwrap()
}

async fn an_erased_customer_leaves_ids_only(store: &TestStore) {
    let ada = ada(store).await;
    let before = messages(store, NOW).await;
    delete(store, &ctx(20), ada.id, true).await;
    assert_eq!(sealed(store, ada.id).await, Vec::<Vec<u8>>::new());
    let after = messages(store, NOW).await;
    assert_eq!(after.len(), before.len() + 1);
    for (then, now) in before.iter().zip(&after) {
        assert_eq!((then.id, &then.facts), (now.id, &now.facts));
        let of_ada = then.customer == ada.id;
        let had = then.personal.as_ref().is_some_and(|personal| !personal.is_empty());
        assert_eq!(now.personal.is_none(), of_ada && had);
        assert!(now.secret.is_none());
    }
    // The last one has nothing that would have to be erased, so that it can be told.
    let last = after.last().unwrap();
    assert_eq!(last.facts.content, Content::CustomerDeleted { data_erasure: true });
    assert!(last.personal.as_ref().is_some_and(keyherald_core::message::Personal::is_empty));
    // What cannot be told any more is not shown.
    let all = Listing { filter: Filter::All, sort: Vec::new(), limit: 500, offset: 0, with_total: true };
    let shown = store.read(move |tx| log::shown(tx, &ring(), &demo(), Micros(0), &all, NOW)).await.unwrap().results;
    let types: Vec<_> = shown
        .iter()
        .filter(|message| message.customer == ada.id)
        .map(|message| message.facts.content.type_name())
        .collect();
    let (password, email) = ("CustomerPasswordTokenCreated", "CustomerEmailTokenCreated");
    assert_eq!(types, [password, email, password, email, "CustomerDeleted"]);

    let letters = letters(store).await;
    assert_eq!((letters.len(), &letters[0].body), (1, &None));
    // Harmless when repeated.
    store.write(&ctx(21), move |tx, _| erase::customer(tx, &demo(), ada.id)).await.unwrap();
}

async fn a_letter_of_an_erased_customer_keeps_no_body(store: &TestStore) {
    let (ada, bob) = (created(store, 1, "a@x", &[]).await, created(store, 2, "b@x", &[]).await);
    delete(store, &ctx(3), ada.id, true).await;
    // Rendered before, written after.
    put_letter(store, letter(ada.id, 1)).await;
    put_letter(store, letter(bob.id, 2)).await;
    let bodies: Vec<_> = letters(store).await.iter().map(|letter| letter.body.is_some()).collect();
    assert_eq!(bodies, [false, true]);
    // At once: whichever comes first, no body stays.
    for round in 3..9 {
        let eve = created(store, 100 + round, "eve@x", &[]).await.id;
        let (letter, ctx) = (letter(eve, i64::try_from(round).unwrap()), ctx(200 + round));
        tokio::join!(put_letter(store, letter), delete(store, &ctx, eve, true));
    }
    assert_eq!(letters(store).await.iter().filter(|letter| letter.body.is_some()).count(), 1);
}

async fn a_living_customer_is_not_erased(store: &TestStore) {
    let ada = created(store, 1, "a@x", &[]).await.id;
    assert!(store.write(&ctx(2), move |tx, _| erase::customer(tx, &demo(), ada)).await.is_err());
    assert!(messages(store, NOW).await[0].personal.is_some());
    // Deleted as usual, its messages can still be told; erased later, they cannot.
    delete(store, &ctx(3), ada, false).await;
    assert!(messages(store, NOW).await.iter().all(|entry| entry.personal.is_some()));
    store.write(&ctx(4), move |tx, _| erase::customer(tx, &demo(), ada)).await.unwrap();
    assert!(messages(store, NOW).await.iter().all(|entry| entry.personal.is_none()));
}

/// Which of Ada's texts and sealed values a haystack has.
fn found<'a>(ada: &'a Ada, haystack: &[u8]) -> (BTreeSet<&'a str>, usize) {
    let has = |needle: &[u8]| haystack.windows(needle.len()).any(|part| part == needle);
    let texts = ada.texts.iter().copied().filter(|text| has(text.as_bytes())).collect();
    (texts, ada.sealed.iter().filter(|sealed| has(&sealed[..24])).count())
}

/// The main file and the write-ahead log, after a checkpoint that empties the latter.
fn sqlite_bytes(path: &Path) -> Vec<u8> {
    let connection = rusqlite::Connection::open(path).unwrap();
    let busy: i64 = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).unwrap();
    assert_eq!(busy, 0);
    let mut bytes = std::fs::read(path).unwrap();
    for suffix in ["-wal", "-journal"] {
        bytes.extend(std::fs::read(format!("{}{suffix}", path.display())).unwrap_or_default());
    }
    bytes
}

/// All tables and indexes as they lie on the server's disk, after `VACUUM FULL`.
fn postgres_bytes(url: &str) -> Vec<u8> {
    let mut client = postgres::Client::connect(url, postgres::NoTls).unwrap();
    let tables = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace";
    for row in client.query(tables, &[]).unwrap() {
        client.batch_execute(&format!("VACUUM FULL {}", row.get::<_, String>(0))).unwrap();
    }
    client.batch_execute("CHECKPOINT").unwrap();
    let files = "SELECT pg_read_binary_file(pg_relation_filepath(c.oid)) FROM pg_class c
                 WHERE c.relnamespace IN ('public'::regnamespace, 'pg_toast'::regnamespace)
                   AND pg_relation_filepath(c.oid) IS NOT NULL";
    client.query(files, &[]).unwrap().iter().flat_map(|row| row.get::<_, Vec<u8>>(0)).collect()
}

async fn a_scan_finds_nothing(store: TestStore) {
    let scan = |url: StoreUrl| async {
        let look = move || match url {
            StoreUrl::Sqlite(path) => sqlite_bytes(&path),
            StoreUrl::Postgres(url) => postgres_bytes(&url),
        };
        tokio::task::spawn_blocking(look).await.unwrap()
    };
    let ada = ada(&store).await;
    let (texts, sealed) = found(&ada, &scan(store.url().clone()).await);
    // The scan can see: what her row holds, and all that is sealed.
    for text in ["Second.example", "second.example", "quark-key", "quark-crm-4711", "Quarkson", "$AAAA$uuuu"] {
        assert!(texts.contains(text), "{text}: {texts:?}");
    }
    assert_eq!(sealed, ada.sealed.len());

    delete(&store, &ctx(20), ada.id, true).await;
    // PostgreSQL keeps dead rows while any session might see them, be it one that is just connecting somewhere else on
    // the server: then it takes another VACUUM.
    let mut left = found(&ada, &scan(store.url().clone()).await);
    for _ in 0..20 {
        if left == (BTreeSet::new(), 0) {
            return;
        }
        left = found(&ada, &scan(store.url().clone()).await);
    }
    std::panic::panic_any(format!("{left:?}"));
}

#[test]
fn a_scan_after_erasing_finds_nothing_sqlite() {
    block_on(async { a_scan_finds_nothing(TestStore::sqlite().await).await });
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test starts one"]
fn a_scan_after_erasing_finds_nothing_postgres() {
    block_on(async { a_scan_finds_nothing(TestStore::postgres().await).await });
}

/// A project with a log of its own making: who wrote what when, who is owed what.
struct World {
    project: ProjectKey,
    /// Position, time, customer.
    rows: Vec<(i64, Micros, Option<CustomerId>)>,
    cursors: BTreeMap<(SubscriptionId, u16), i64>,
    lanes: BTreeMap<(SubscriptionId, CustomerId), i64>,
    subscriptions: Vec<SubscriptionId>,
}

impl World {
    fn is_owed(&self, position: i64, customer: Option<CustomerId>) -> bool {
        let partition = partition(customer.unwrap_or_else(|| project_lane(&self.project)));
        self.subscriptions.iter().any(|subscription| {
            let cursor = self.cursors[&(*subscription, partition)];
            let lane = customer.and_then(|customer| self.lanes.get(&(*subscription, customer)));
            cursor < position || lane.is_some_and(|from| *from <= position)
        })
    }
}

fn subscription(ctx: &mut Ctx) -> subscription::Subscription {
    let command = subscription::Command {
        key: None,
        destination: DestinationSettings { kind: "Webhook".into(), settings: serde_json::Map::new() },
        selections: Selections {
            messages: vec![MessageSelection { resource_type: "customer".into(), types: vec![] }],
            ..Selections::default()
        },
        format: FormatKind::Platform,
        transformation: None,
        by: Initiator::default(),
    };
    subscription::decide(&command, (0, 1), false, ctx).unwrap()
}

fn draw(ctx: &mut Ctx, below: i64) -> i64 {
    i64::try_from(ctx.number() % u64::try_from(below).unwrap()).unwrap()
}

/// Draws a world and writes it down.
fn world(tx: &mut dyn Tx, ctx: &mut Ctx, project: &ProjectKey, some_customer: &Customer) -> Result<World, Fault> {
    let mut world = World {
        project: project.clone(),
        rows: Vec::new(),
        cursors: BTreeMap::new(),
        lanes: BTreeMap::new(),
        subscriptions: Vec::new(),
    };
    for _ in 0..draw(ctx, 3) {
        let subscription = subscription(ctx);
        subscriptions::insert(tx, &ring(), project, &subscription, None, ctx)?;
        world.subscriptions.push(subscription.id);
    }
    let start = log::last_position(tx)?;
    let mut people: Vec<Customer> =
        (0..3).map(|_| Customer { id: CustomerId::new(ctx), ..some_customer.clone() }).collect();
    for person in &people {
        log::put_customer_key(tx, &ring(), project, person.id, [1; 32], ctx)?;
    }
    for _ in 0..30 {
        let at = NOW.plus(-draw(ctx, 30) * Micros::DAY);
        let mut then = ctx_at(at, ctx.number());
        let who = usize::try_from(draw(ctx, 4)).unwrap();
        let customer = if let Some(person) = people.get_mut(who) {
            let (content, by) = (Content::CustomerFirstNameSet, Initiator::default());
            let mut message = NewMessage::about_customer(person, content, Flow::Update, &by, &mut then);
            message.personal.value = Some("Eve".into());
            log::append(tx, &ring(), project, &message, &mut then)?;
            Some(person.id)
        } else {
            let activity =
                Run::new(Flow::SignIn, &Initiator::default(), &Source::default()).ended(None, None, &mut then);
            log::activity::append(tx, project, &activity)?;
            None
        };
        world.rows.push((log::last_position(tx)?, at, customer));
    }
    for subscription in world.subscriptions.clone() {
        for partition in 0..64 {
            let cursor = start + draw(ctx, 45).min(30);
            delivery::put_cursor(tx, subscription, partition, cursor)?;
            world.cursors.insert((subscription, partition), cursor);
        }
        let person = people[usize::try_from(draw(ctx, 3)).unwrap()].id;
        let from_position = start + 1 + draw(ctx, 30);
        let lane = ParkedLane {
            customer: person,
            partition: partition(person),
            from_position,
            failed_attempts: 1,
            next_at: (draw(ctx, 2) == 0).then_some(NOW),
            last_error: "503".into(),
            parked_at: NOW,
        };
        delivery::park(tx, subscription, &lane)?;
        world.lanes.insert((subscription, person), from_position);
    }
    Ok(world)
}

async fn swept(store: &Store, project: &ProjectKey, older_than: Micros, limit: i64) -> usize {
    let (mut from, mut count) = (Place::START, 0);
    loop {
        let named = project.clone();
        let outdated = store.read(move |tx| retention::outdated(tx, &named, older_than, from, limit)).await.unwrap();
        let next = outdated.next;
        assert!(outdated.len() <= usize::try_from(limit).unwrap());
        count += outdated.len();
        store.write(&ctx(1), move |tx, _| retention::remove(tx, &outdated)).await.unwrap();
        match next {
            Some(place) => from = place,
            None => return count,
        }
    }
}

async fn positions(store: &Store, sql: &'static str, project: &ProjectKey) -> Vec<i64> {
    let (sql, project) = (Sql::both("positions", sql), project.clone());
    store.read(move |tx| query_all(tx, &sql, &[(&project).into()], |row| row.int(0))).await.unwrap()
}

async fn retention_removes_what_is_old_and_owed_to_nobody(store: &TestStore) {
    let some_customer = created(store, 1, "a@x", &[]).await;
    let older_than = NOW.plus(-15 * Micros::DAY);
    let (mut owed, mut removed) = (0, 0);
    for seed in 0..12 {
        let project: ProjectKey = format!("world-{seed}").parse().unwrap();
        let some_customer = some_customer.clone();
        let make = move |tx: &mut dyn Tx, ctx: &mut Ctx| world(tx, ctx, &project, &some_customer);
        let world = store.write(&ctx(500 + seed), make).await.unwrap();
        let stays = |(position, at, customer): &(i64, Micros, Option<CustomerId>)| {
            *at >= older_than || world.is_owed(*position, *customer)
        };
        let expected: Vec<i64> = world.rows.iter().filter(|row| stays(row)).map(|row| row.0).collect();
        let personal: Vec<i64> =
            world.rows.iter().filter(|row| stays(row) && row.2.is_some()).map(|row| row.0).collect();
        let limit = 1 + i64::try_from(seed).unwrap() * 3;
        let count = swept(store, &world.project, older_than, limit).await;
        assert_eq!(count, 30 - expected.len(), "seed {seed}");
        let log = "SELECT position FROM log WHERE project = $1 ORDER BY position";
        assert_eq!(positions(store, log, &world.project).await, expected, "seed {seed}");
        let side = "SELECT position FROM log_personal WHERE project = $1 ORDER BY position";
        assert_eq!(positions(store, side, &world.project).await, personal, "seed {seed}");
        assert_eq!(swept(store, &world.project, older_than, limit).await, 0);
        removed += count;
        owed += world.rows.iter().filter(|row| row.1 < older_than && stays(row)).count();
    }
    assert!(owed > 20 && removed > 20, "{owed} {removed}");
    // Other projects have lost nothing.
    let left = store.read(|tx| log::after(tx, &ring(), (0, i64::MAX), 1000, NOW)).await.unwrap();
    assert_eq!(left.iter().filter(|entry| entry.project == demo()).count(), 1);
}

async fn the_key_of_a_deleted_customer_goes_with_its_last_message(store: &TestStore) {
    let (ada, bob) = (created(store, 1, "a@x", &[]).await.id, created(store, 2, "b@x", &[]).await.id);
    delete(store, &ctx_at(NOW.plus(Micros::DAY), 3), ada, false).await;
    let keys = |id: CustomerId| {
        let sql = Sql::both("key", "SELECT 1 FROM customer_key WHERE customer_id = $1");
        store.read(move |tx| query_one(tx, &sql, &[id.into()], |_| Ok(())).map(|found| found.is_some()))
    };
    assert_eq!(swept(store, &demo(), NOW.plus(1), 10).await, 2);
    assert_eq!((keys(ada).await.unwrap(), keys(bob).await.unwrap()), (true, true));
    assert_eq!(swept(store, &demo(), NOW.plus(2 * Micros::DAY), 10).await, 1);
    assert_eq!((keys(ada).await.unwrap(), keys(bob).await.unwrap()), (false, true));
    // A customer without a message is still one, and its next message has its number.
    let updated = update(store, &ctx(4), bob, vec![Action::SetExternalId(Some("e".into()))]).await.unwrap();
    assert_eq!((updated.last_sequence, messages(store, NOW).await[0].sequence), (2, 2));
}

/// Customers come, grow and go, in one transaction; who is marked is erased at last.
fn come_and_go(tx: &mut dyn Tx, ctx: &mut Ctx) -> Result<(), Fault> {
    let word = |is_marked| if is_marked { "quark" } else { "plain" };
    let titled = |ctx: &mut Ctx, word: &str, fifths| Some(word.repeat(usize::try_from(draw(ctx, fifths)).unwrap()));
    let mut living = Vec::new();
    for number in 0..400 {
        let is_marked = number % 3 != 0;
        let mut draft = draft(&format!("{0}{number}@{0}.example", word(is_marked)), &[]);
        draft.key = Some(key(&format!("{}-{number}", word(is_marked))));
        draft.profile.title = titled(ctx, word(is_marked), 180);
        living.push((create_in(tx, ctx, &draft)?.unwrap().id, is_marked));
        let place = usize::try_from(draw(ctx, i64::try_from(living.len()).unwrap())).unwrap();
        let (id, is_marked) = living[place];
        let title = Action::SetText(TextField::Title, titled(ctx, word(is_marked), 600));
        let email = Action::ChangeEmail(format!("{}-new{number}@x", word(is_marked)));
        update_in(tx, ctx, id, &[title, email])?.unwrap();
        if number % 2 == 0 {
            let (id, is_marked) = living.swap_remove(place);
            delete_in(tx, ctx, id, is_marked)?;
        }
    }
    for (id, _) in living.into_iter().filter(|(_, is_marked)| *is_marked) {
        delete_in(tx, ctx, id, true)?;
    }
    Ok(())
}

/// SQLite moves rows between pages and leaves old copies behind: rewriting the file removes them.
#[test]
fn a_scrub_leaves_nothing_in_unused_parts_of_pages() {
    block_on(async {
        let store = TestStore::sqlite().await;
        assert_eq!(store.scrub(&ctx(1)).await.unwrap(), 0, "nobody was erased");
        // With this seed more than a hundred copies are left behind in the tables as they are today.
        store.write(&ctx(9), come_and_go).await.unwrap();
        let StoreUrl::Sqlite(path) = store.url() else { return };
        assert!(store.scrub(&ctx(4)).await.unwrap() > 0);
        assert_eq!(store.scrub(&ctx(5)).await.unwrap(), 0, "once is enough");
        let bytes = sqlite_bytes(path);
        let has = |word: &[u8]| bytes.windows(word.len()).any(|part| part == word);
        assert!(has(b"plain") && !has(b"quark"));
        // The store goes on with the file as it is now.
        let after = created(&store, 5000, "after@x", &[]).await;
        assert_eq!(store.read(|tx| customer::by_email(tx, &demo(), "after@x")).await.unwrap(), Some(after));
    });
}
