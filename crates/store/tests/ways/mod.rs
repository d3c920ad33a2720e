//! The ways of looking things up that are documented to be quick (ARCHITECTURE.md, "Queries"), each as a call of the
//! store, and a database with as many rows as are asked for to try them on. The test of plans and the benchmark of
//! queries share them.

use keyherald_core::filter::{Comparison, Filter, Scalar, SortKey, Test};
use keyherald_core::id::{Key, ProjectKey};
use keyherald_core::initiator::Initiator;
use keyherald_core::message::{Content, Facts, Flow};
use keyherald_core::seal::{KeyRing, SealingKey};
use keyherald_core::{Ctx, Micros};
use keyherald_store::testing::TestStore;
use keyherald_store::{Fault, Listing, Sql, Tx, attempt, customer, log};

/// When the first row was made; each later row a second after the one before.
pub const START: Micros = Micros(1_700_000_000_000_000);
/// Rows that one transaction writes.
const BATCH: i64 = 20_000;

/// The project that has the rows.
pub fn project() -> ProjectKey {
    "demo".parse().unwrap()
}

pub fn ring() -> KeyRing {
    KeyRing::new(vec![SealingKey::new("test", [7; 32]).unwrap()]).unwrap()
}

/// The id of the customer, or the message, `number`.
pub fn id(number: i64) -> String {
    format!("018bcfe5-6800-7000-8000-{number:012}")
}

// `n.i` is the row's number, from $1 to $2. Both engines make the same rows.
static NUMBERS: &str =
    "WITH RECURSIVE n(i) AS (SELECT CAST($1 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i + 1 < $2)";
static CUSTOMERS: &str = "INSERT INTO customer (project, id, number, version, last_sequence, created_at, last_modified_at,
        created_by, last_modified_by, email, email_folded, key, external_id, customer_number, authentication_mode,
        is_email_verified, first_name, last_name, profile, stores)
    {numbers} SELECT 'demo', {id}, {digits}, 1, 1, {at}, {at}, '{}', '{}', 'Jo' || {digits} || '@example.com',
        'jo' || {digits} || '@example.com', 'key-' || {digits}, 'external-' || {digits}, 'number-' || {digits},
        'Password', 0, 'Jo', 'Doe', '{\"first_name\":\"Jo\",\"last_name\":\"Doe\",\"addresses\":[{\"id\":\"a\",\"country\":\"DE\",\"fields\":{\"city\":\"Berlin\"}}]}',
        CASE WHEN i % 1000 = 0 THEN '[\"small\"]' WHEN i % 2 = 0 THEN '[\"large\"]' ELSE '[]' END FROM n";
static CLAIMS: &str = "INSERT INTO customer_email (project, email_folded, store, customer_id)
    {numbers} SELECT 'demo', 'jo' || {digits} || '@example.com',
        CASE WHEN i % 1000 = 0 THEN 'small' WHEN i % 2 = 0 THEN 'large' ELSE '' END, {id} FROM n";
static CREDENTIALS: &str = "INSERT INTO credential (project, customer_id, hash, tail, changed_at)
    {numbers} SELECT 'demo', {id}, '$argon2id$v=19$m=8,t=1,p=1$AAAA$AAAA', 'AAAA', {at} FROM n";
static MESSAGES: &str = "INSERT INTO log (project, kind, id, created_at, type, resource_type, resource_id, sequence,
        resource_version, customer_id, partition, visible, has_personal, facts)
    {numbers} SELECT 'demo', 'message', {id}, {at},
        CASE WHEN i % 1000 = 0 THEN 'CustomerDeleted' WHEN i % 1000 = 1 THEN 'CustomerEmailVerified'
             WHEN i % 20 = 3 THEN 'CustomerPasswordTokenCreated' ELSE 'CustomerPasswordUpdated' END,
        'customer', {owner}, 1, 1, {owner}, 0, 1, 0, $4 FROM n";
// One of fifty, the rows of a customer among them.
static ACTIVITY: &str =
    "INSERT INTO log (project, kind, id, created_at, type, customer_id, partition, visible, has_personal, facts)
    {numbers} SELECT 'demo', 'activity', '018bcfe5-6800-7000-9000-' || {digits}, {at}, 'Activity', {id}, 0, 0, 0,
        '{\"flow\":\"change\",\"outcome\":\"done\",\"by\":{}}' FROM n WHERE i % 50 = 0";
// Of each message one, to one of five subscriptions.
static ATTEMPTS: &str =
    "INSERT INTO attempt (project, id, subscription_id, message_id, customer_id, position, number, at,
        duration_us, outcome, is_replay)
    {numbers} SELECT 'demo', l.id, '018bcfe5-6800-7000-8000-00000000000' || CAST(i % 5 AS TEXT), l.id, l.customer_id,
        l.position, 1, l.created_at, 1000, 'delivered', 0
        FROM n JOIN log l ON l.project = 'demo' AND l.id = {id}";
/// The text with its parts filled in: where the numbers come from, and what is made of them.
pub fn filled_in(text: &str) -> String {
    text.replace("{numbers}", NUMBERS)
        .replace(
            "{owner}",
            "'018bcfe5-6800-7000-8000-' || substr(CAST(1000000000000 + i / $3 * $3 + (i * 7919) % $3 AS TEXT), 2)",
        )
        .replace("{id}", "'018bcfe5-6800-7000-8000-' || {digits}")
        .replace("{digits}", "substr(CAST(1000000000000 + i AS TEXT), 2)")
        .replace("{at}", "1700000000000000 + i * 1000000")
}

/// Writes `rows` customers with their claims and credentials, and as many messages and attempts: one of each customer, in another order
/// (7919 is a prime) within each batch. Any order over all batches would take minutes to write.
pub async fn fill(store: &TestStore, rows: i64, progress: impl Fn(i64)) {
    let batch = rows.min(BATCH);
    assert!(rows % batch == 0, "whole batches, so that every customer gets its message");
    let facts = Facts {
        content: Content::CustomerPasswordUpdated { reset: false },
        by: Initiator::default(),
        flow: Flow::Change,
        stores: Vec::new(),
    };
    let facts = serde_json::to_string(&facts).unwrap();
    let plain = [CUSTOMERS, CLAIMS, CREDENTIALS, ACTIVITY].map(|text| Sql::built("FILL", filled_in(text)));
    let ctx = Ctx::new(START, [0; 32]);
    let messages = Sql::built("FILL_LOG", filled_in(MESSAGES));
    let attempts = Sql::built("FILL_ATTEMPTS", filled_in(ATTEMPTS));
    for from in (0..rows).step_by(usize::try_from(batch).unwrap()) {
        let to = from + batch;
        let (plain, messages, attempts, facts) = (plain.clone(), messages.clone(), attempts.clone(), facts.clone());
        let work = move |tx: &mut dyn Tx, _: &mut Ctx| {
            plain.iter().try_for_each(|sql| tx.execute(sql, &[from.into(), to.into()]).map(drop))?;
            tx.execute(&messages, &[from.into(), to.into(), batch.into(), facts.as_str().into()])?;
            tx.execute(&attempts, &[from.into(), to.into()]).map(drop)
        };
        store.write(&ctx, work).await.unwrap();
        progress(to);
    }
    // As autovacuum keeps them. SQLite's are fixed, see the migration.
    if store.engine_name() == "postgres" {
        for table in ["customer", "customer_email", "credential", "log", "attempt"] {
            let analyze = Sql::built("ANALYZE", format!("ANALYZE {table}"));
            store.write(&ctx, move |tx, _| tx.execute(&analyze, &[])).await.unwrap();
        }
    }
}

/// One way to look something up.
pub struct Way {
    /// For people.
    pub name: &'static str,
    /// The index that must lead to the rows, on both engines.
    pub index: &'static str,
    /// Whether the index has the rows in the order that is asked for as well, so that nothing is sorted. The others find
    /// no more rows than can be sorted at any time.
    pub ordered: bool,
    /// Does it: among how many rows, with which draw (a row's number). Returns the rows found.
    pub ask: fn(&mut dyn Tx, i64, i64) -> Result<usize, Fault>,
}

fn text(value: impl Into<String>) -> Scalar {
    Scalar::Text(value.into())
}

fn test(path: &str, comparison: Comparison, scalar: Scalar) -> Filter {
    Filter::Test(path.into(), Test::Compare(comparison, scalar))
}

fn equal(path: &str, scalar: Scalar) -> Filter {
    test(path, Comparison::Equal, scalar)
}

fn after(number: i64) -> Scalar {
    Scalar::Instant(START.plus(number * Micros::SECOND))
}

fn beyond(number: i64) -> Filter {
    test("id", Comparison::Greater, text(id(number)))
}

fn sort(path: &str, descending: bool) -> Vec<SortKey> {
    vec![SortKey { path: path.into(), descending }]
}

fn listing(filter: Filter, sort: Vec<SortKey>, with_total: bool) -> Listing {
    Listing { filter, sort, limit: 20, offset: 0, with_total }
}

fn messages(tx: &mut dyn Tx, listing: &Listing) -> Result<usize, Fault> {
    Ok(log::shown(tx, &ring(), &project(), START, listing, START)?.results.len())
}

fn customers(tx: &mut dyn Tx, store: Option<&str>, listing: &Listing) -> Result<usize, Fault> {
    let store: Option<Key> = store.map(|store| store.parse().unwrap());
    Ok(customer::page(tx, &project(), store.as_ref(), listing)?.results.len())
}

fn activity(tx: &mut dyn Tx, customer: Option<i64>, after: Option<i64>) -> Result<usize, Fault> {
    let customer = customer.map(|number| id(number).parse().unwrap());
    let asked = log::activity::Asked { customer, after, limit: 20 };
    Ok(log::activity::read(tx, &project(), &asked, START, i64::MAX)?.len())
}

fn fed(tx: &mut dyn Tx, customer: Option<i64>, after: i64) -> Result<usize, Fault> {
    let customer = customer.map(|number| id(number).parse().unwrap());
    let asked = log::feed::Asked { customer, after: None, limit: 20 };
    Ok(log::feed::page(tx, &ring(), &project(), &asked, ((after, i64::MAX), START))?.len())
}

fn attempts(tx: &mut dyn Tx, asked: attempt::Asked) -> Result<usize, Fault> {
    Ok(attempt::latest(tx, &project(), &attempt::Asked { limit: 20, ..asked })?.len())
}

fn in_store(key: &str) -> Filter {
    Filter::AnyElement("stores".into(), Box::new(equal("key", text(key))))
}

/// All of them. With the default total where the condition is narrow.
pub const WAYS: &[Way] = &[
    Way {
        name: "messages: by id",
        index: "log_by_id",
        ordered: false,
        ask: |tx, _, n| messages(tx, &listing(equal("id", text(id(n))), vec![], true)),
    },
    Way {
        name: "messages: of a resource",
        index: "log_by_resource",
        ordered: false,
        ask: |tx, _, n| {
            let resource = [equal("resource.typeId", text("customer")), equal("resource.id", text(id(n)))];
            messages(tx, &listing(Filter::all_of(resource), vec![], true))
        },
    },
    Way {
        name: "messages: of a resource, by sequence number",
        index: "log_by_resource",
        ordered: false,
        ask: |tx, _, n| {
            let number = test("sequenceNumber", Comparison::Greater, Scalar::Integer(0));
            let filter = Filter::all_of([equal("resource.id", text(id(n))), number]);
            messages(tx, &listing(filter, sort("sequenceNumber", false), true))
        },
    },
    Way {
        name: "messages: of a type",
        index: "log_by_type_and_time",
        ordered: true,
        ask: |tx, _, _| messages(tx, &listing(equal("type", text("CustomerPasswordTokenCreated")), vec![], false)),
    },
    Way {
        name: "messages: of several types",
        index: "log_by_type_and_time",
        ordered: false,
        ask: |tx, _, _| {
            let types = ["CustomerDeleted", "CustomerEmailVerified", "CustomerPasswordUpdated", "CustomerEmailChanged"];
            let filter = Filter::Test("type".into(), Test::In(types.map(text).to_vec()));
            messages(tx, &listing(filter, sort("createdAt", true), false))
        },
    },
    Way {
        name: "messages: of a type, since a time",
        index: "log_by_type_and_time",
        ordered: true,
        ask: |tx, rows, n| {
            let since = test("createdAt", Comparison::Greater, after(n.min(rows - 1000)));
            let filter = Filter::all_of([equal("type", text("CustomerPasswordTokenCreated")), since]);
            messages(tx, &listing(filter, sort("createdAt", false), false))
        },
    },
    Way {
        name: "messages: between two times",
        index: "log_by_time",
        ordered: true,
        ask: |tx, _, n| {
            let since = test("createdAt", Comparison::GreaterOrEqual, after(n - 50));
            let until = test("createdAt", Comparison::Less, after(n + 50));
            messages(tx, &listing(Filter::all_of([since, until]), sort("createdAt", false), true))
        },
    },
    Way {
        name: "messages: the newest",
        index: "log_by_time",
        ordered: true,
        ask: |tx, _, _| messages(tx, &listing(Filter::All, sort("createdAt", true), false)),
    },
    Way {
        name: "messages: the oldest",
        index: "log_by_time",
        ordered: true,
        ask: |tx, _, _| messages(tx, &listing(Filter::All, vec![], false)),
    },
    Way {
        name: "messages: page by page, by id",
        index: "log_by_id",
        ordered: true,
        ask: |tx, rows, n| messages(tx, &listing(beyond(n.min(rows - 100)), sort("id", false), false)),
    },
    Way {
        name: "messages: page by page, by id, of a type",
        index: "log_by_type_and_id",
        ordered: true,
        ask: |tx, rows, n| {
            let filter = Filter::all_of([equal("type", text("CustomerPasswordTokenCreated")), beyond(n.min(rows / 2))]);
            messages(tx, &listing(filter, sort("id", false), false))
        },
    },
    Way {
        name: "activity: the latest",
        index: "log_activity",
        ordered: true,
        ask: |tx, _, _| activity(tx, None, None),
    },
    Way {
        name: "activity: after a position",
        index: "log_activity",
        ordered: true,
        ask: |tx, rows, n| activity(tx, None, Some(n.min(rows / 2) / 100)),
    },
    Way {
        name: "activity: of a customer",
        index: "log_by_customer",
        ordered: true,
        ask: |tx, _, n| activity(tx, Some(n - n % 50), None),
    },
    Way {
        name: "activity: of a customer, after a position",
        index: "log_by_customer",
        ordered: true,
        ask: |tx, _, n| activity(tx, Some(n - n % 50), Some(0)),
    },
    Way {
        name: "feed: after a position",
        index: "log_", // for PostgreSQL the primary key is as good where one project has most of the log
        ordered: false,
        ask: |tx, rows, n| fed(tx, None, n.min(rows / 2)),
    },
    Way {
        name: "feed: of a customer, after a position",
        index: "log_by_customer",
        ordered: false,
        ask: |tx, _, n| fed(tx, Some(n), 0),
    },
    Way {
        name: "attempts: the newest",
        index: "attempt_pkey",
        ordered: true,
        ask: |tx, _, _| attempts(tx, attempt::Asked::default()),
    },
    Way {
        name: "attempts: of a message",
        index: "attempt_of_message",
        ordered: true,
        ask: |tx, _, n| attempts(tx, attempt::Asked { message: id(n).parse().ok(), ..<_>::default() }),
    },
    Way {
        name: "attempts: of a customer",
        index: "attempt_at_position",
        ordered: false,
        ask: |tx, _, n| attempts(tx, attempt::Asked { customer: id(n).parse().ok(), ..<_>::default() }),
    },
    Way {
        name: "attempts: of a subscription",
        index: "attempt_", // one of five: PostgreSQL may as well read the newest and leave the others out
        ordered: true,
        ask: |tx, _, n| attempts(tx, attempt::Asked { subscription: id(n % 5).parse().ok(), ..<_>::default() }),
    },
    Way {
        name: "customers: by id",
        index: "customer_pkey",
        ordered: false,
        ask: |tx, _, n| customers(tx, None, &listing(equal("id", text(id(n))), vec![], true)),
    },
    Way {
        name: "customers: by key",
        index: "customer_by_key",
        ordered: false,
        ask: |tx, _, n| customers(tx, None, &listing(equal("key", text(format!("key-{n:012}"))), vec![], true)),
    },
    Way {
        name: "customers: by e-mail address",
        index: "customer_by_exact_email",
        ordered: false,
        ask: |tx, _, n| {
            customers(tx, None, &listing(equal("email", text(format!("Jo{n:012}@example.com"))), vec![], true))
        },
    },
    Way {
        name: "customers: by e-mail address in any letter case",
        index: "customer_by_folded_email",
        ordered: false,
        ask: |tx, _, n| {
            customers(tx, None, &listing(equal("lowercaseEmail", text(format!("jo{n:012}@example.com"))), vec![], true))
        },
    },
    Way {
        name: "customers: by customer number",
        index: "customer_by_customer_number",
        ordered: false,
        ask: |tx, _, n| {
            customers(tx, None, &listing(equal("customerNumber", text(format!("number-{n:012}"))), vec![], true))
        },
    },
    Way {
        name: "customers: by external id",
        index: "customer_by_external_id",
        ordered: false,
        ask: |tx, _, n| {
            customers(tx, None, &listing(equal("externalId", text(format!("external-{n:012}"))), vec![], true))
        },
    },
    Way {
        name: "customers: the oldest",
        index: "customer_pkey",
        ordered: true,
        ask: |tx, _, _| customers(tx, None, &listing(Filter::All, vec![], false)),
    },
    Way {
        name: "customers: the newest",
        index: "customer_by_creation",
        ordered: true,
        ask: |tx, _, _| customers(tx, None, &listing(Filter::All, sort("createdAt", true), false)),
    },
    Way {
        name: "customers: next to an address",
        index: "customer_email_pkey",
        ordered: true,
        ask: |tx, rows, n| {
            let near = customer::near_email(tx, &project(), None, &format!("jo{:012}", n.min(rows - 100)))?;
            Ok(near.into_iter().count())
        },
    },
    Way {
        name: "customers: changed since a time",
        index: "customer_by_modification",
        ordered: true,
        ask: |tx, rows, n| {
            let since = test("lastModifiedAt", Comparison::Greater, after(n.min(rows - 100)));
            customers(tx, None, &listing(since, sort("lastModifiedAt", false), false))
        },
    },
    Way {
        name: "customers: page by page, by id",
        index: "customer_pkey",
        ordered: true,
        ask: |tx, rows, n| customers(tx, None, &listing(beyond(n.min(rows - 100)), sort("id", false), false)),
    },
    Way {
        name: "customers: of a large store",
        index: "customer_email_store",
        ordered: true,
        ask: |tx, _, _| customers(tx, Some("large"), &listing(Filter::All, vec![], false)),
    },
    Way {
        name: "customers: of a store, page by page, by id",
        index: "customer_email_store",
        ordered: true,
        ask: |tx, rows, n| {
            customers(
                tx,
                None,
                &listing(Filter::all_of([in_store("large"), beyond(n.min(rows - 100))]), sort("id", false), false),
            )
        },
    },
    Way {
        name: "customers: of a store, by e-mail address",
        index: "customer_by_folded_email",
        ordered: false,
        ask: |tx, _, n| {
            let filter = equal("lowercaseEmail", text(format!("jo{:012}@example.com", n - n % 2)));
            customers(tx, Some("large"), &listing(filter, vec![], true))
        },
    },
    Way {
        name: "customers: of a store, by key",
        index: "customer_by_key",
        ordered: false,
        ask: |tx, _, n| {
            customers(tx, Some("large"), &listing(equal("key", text(format!("key-{:012}", n - n % 2))), vec![], true))
        },
    },
];
