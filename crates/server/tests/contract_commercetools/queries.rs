//! Queries of customers by every field: what the store finds is what holds for the customers as they are answered.
//!
//! Random customers, and random conditions and orders over the fields that the contract lists. The judge is the
//! evaluator of filters, over the JSON of the customer.

use std::cmp::Ordering;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request};
use http_body_util::BodyExt;
use keyherald::app::{App, Call, InStore, Listing};
use keyherald::format::commercetools;
use keyherald::predicate::{CUSTOMERS, Field, Shape, Type};
use keyherald_core::credential::AuthenticationMode;
use keyherald_core::customer::{Address, Customer, Profile, fold_email};
use keyherald_core::filter::{Comparison, Filter, Scalar, SortKey, Test};
use keyherald_core::import::Imported;
use keyherald_core::initiator::Initiator;
use keyherald_core::{Ctx, Micros};
use keyherald_store::testing::block_on;
use keyherald_store::{StoreOptions, customer};
use proptest::prelude::*;
use proptest::strategy::{Union, ValueTree};
use proptest::test_runner::{Config, TestRng, TestRunner};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::support::{BODY_BYTES_MAX, START, TestServer};

/// Few values, so that customers and conditions meet.
const TEXTS: [&str; 9] = ["", "a", "A", "b", "ä", "日本", "a'b", "\"\\", "2024-01-31"];
const DATES: [&str; 2] = ["1999-12-31", "2024-01-31"];
const STORES: [&str; 3] = ["one", "two", "two-b"];
const CLIENT: &str = "client";

fn text() -> impl Strategy<Value = String> {
    prop::sample::select(TEXTS.to_vec()).prop_map(str::to_owned)
}

fn maybe() -> impl Strategy<Value = Option<String>> {
    prop::option::of(text())
}

fn time() -> impl Strategy<Value = Micros> {
    (0..4i64).prop_map(|seconds| START.plus(seconds * Micros::SECOND))
}

fn initiator() -> impl Strategy<Value = Initiator> {
    (prop::option::of(Just(CLIENT.to_owned())), maybe(), maybe(), prop::bool::ANY).prop_map(
        |(client_id, external_user_id, anonymous_id, by_customer)| Initiator {
            client_id,
            external_user_id,
            anonymous_id,
            customer: by_customer.then(|| a_customer().parse().unwrap()),
        },
    )
}

fn a_customer() -> &'static str {
    "01942b3c-0000-7000-8000-000000000000"
}

fn address() -> impl Strategy<Value = Address> {
    let names = ["key", "city", "streetName", "pOBox", "email", "externalId"];
    let fields =
        prop::collection::btree_map(prop::sample::select(names.to_vec()).prop_map(str::to_owned), text(), 0..4);
    (text(), text(), fields).prop_map(|(id, country, fields)| Address { id, country, fields })
}

fn profile() -> impl Strategy<Value = Profile> {
    let names = (maybe(), maybe(), maybe(), maybe(), maybe());
    let facts = (prop::option::of(prop::sample::select(DATES.to_vec())), maybe(), maybe(), maybe());
    let ids = || prop::collection::vec(text(), 0..3);
    let addresses = (prop::collection::vec(address(), 0..3), maybe(), maybe(), ids(), ids());
    (names, facts, addresses).prop_map(|(names, facts, addresses)| Profile {
        first_name: names.0,
        last_name: names.1,
        middle_name: names.2,
        title: names.3,
        salutation: names.4,
        date_of_birth: facts.0.map(str::to_owned),
        company_name: facts.1,
        vat_id: facts.2,
        locale: facts.3,
        addresses: addresses.0,
        default_shipping_address_id: addresses.1,
        default_billing_address_id: addresses.2,
        shipping_address_ids: addresses.3,
        billing_address_ids: addresses.4,
    })
}

/// The customer number `number`; what must be unique has the number in it.
fn customer(number: usize) -> impl Strategy<Value = Customer> {
    let stores = prop::sample::subsequence(STORES.to_vec(), 0..=STORES.len());
    let unique = (prop::bool::ANY, prop::bool::ANY, maybe());
    let state = (1..4i64, prop::bool::ANY, prop::bool::ANY);
    (time(), time(), initiator(), initiator(), unique, state, stores, profile()).prop_map(
        move |(created_at, last_modified_at, created_by, last_modified_by, unique, state, stores, profile)| Customer {
            id: format!("01942b3c-0000-7000-8000-{:012}", number + 1).parse().unwrap(),
            number: (1000 + number).to_string().parse().unwrap(),
            version: state.0,
            last_sequence: 0,
            created_at,
            last_modified_at,
            created_by,
            last_modified_by,
            email: format!("{}{number}@example.com", if state.1 { 'Ä' } else { 'b' }),
            key: unique.0.then(|| format!("key-{number}").parse().unwrap()),
            customer_number: unique.1.then(|| number.to_string()),
            mobile: None,
            external_id: unique.2,
            authentication_mode: if state.1 { AuthenticationMode::Password } else { AuthenticationMode::ExternalAuth },
            is_email_verified: state.2,
            password_tail: None,
            stores: stores.into_iter().map(|store| store.parse().unwrap()).collect(),
            profile,
        },
    )
}

/// A customer as conditions see it.
fn document(customer: &Customer) -> Value {
    let mut document = commercetools::customer(customer);
    document["lowercaseEmail"] = Value::from(fold_email(&customer.email));
    document
}

// Conditions.

fn scalar(of: Type) -> BoxedStrategy<Scalar> {
    let others = ["b0@example.com", "Ä1@example.com", "ä1@example.com", "key-1", "1", "store", "one", "two", CLIENT];
    let more = ["customer", "Password", a_customer(), "01942b3c-0000-7000-8000-000000000002"];
    let texts: Vec<&str> = TEXTS.into_iter().chain(others).chain(more).collect();
    match of {
        Type::Text => prop::sample::select(texts).prop_map(|text| Scalar::Text(text.to_owned())).boxed(),
        Type::Date => prop::sample::select(DATES.to_vec()).prop_map(|text| Scalar::Text(text.to_owned())).boxed(),
        Type::Integer => (0..4i64).prop_map(Scalar::Integer).boxed(),
        Type::Boolean => any::<bool>().prop_map(Scalar::Boolean).boxed(),
        Type::DateTime => time().prop_map(Scalar::Instant).boxed(),
    }
}

fn test(of: Type) -> BoxedStrategy<Test> {
    let comparisons = [
        Comparison::Equal,
        Comparison::Equal,
        Comparison::Less,
        Comparison::LessOrEqual,
        Comparison::Greater,
        Comparison::GreaterOrEqual,
    ];
    let folded =
        if of == Type::Text { text().prop_map(Test::EqualIgnoringCase).boxed() } else { Just(Test::Defined).boxed() };
    prop_oneof![
        4 => (prop::sample::select(comparisons.to_vec()), scalar(of)).prop_map(|(how, scalar)| Test::Compare(how, scalar)),
        2 => prop::collection::vec(scalar(of), 0..4).prop_map(Test::In),
        1 => Just(Test::Defined),
        1 => folded,
    ]
    .boxed()
}

fn leaf(fields: &'static [Field], prefix: &str) -> BoxedStrategy<Filter> {
    let of_field = |field: &'static Field| -> BoxedStrategy<Filter> {
        let path = format!("{prefix}{}", field.name);
        let whole = |path: String, tests: Vec<Test>| {
            prop::sample::select(tests).prop_map(move |test| Filter::Test(path.as_str().into(), test))
        };
        let plain = |path: String, of| test(of).prop_map(move |test| Filter::Test(path.as_str().into(), test)).boxed();
        match field.shape {
            Shape::One(of) => plain(path, of),
            Shape::Many(of) => {
                prop_oneof![plain(path.clone(), of), whole(path, vec![Test::Empty, Test::Defined])].boxed()
            }
            Shape::Object(inner) => {
                prop_oneof![3 => leaf(inner, &format!("{path}.")), 1 => whole(path, vec![Test::Defined])].boxed()
            }
            Shape::Objects(inner) => {
                let of_element = combined(leaf(inner, ""));
                let any = path.clone();
                prop_oneof![
                    3 => of_element.prop_map(move |part| Filter::AnyElement(any.as_str().into(), Box::new(part))),
                    1 => whole(path, vec![Test::Empty, Test::Defined]),
                ]
                .boxed()
            }
        }
    };
    Union::new(fields.iter().map(of_field)).boxed()
}

fn combined(leaf: BoxedStrategy<Filter>) -> BoxedStrategy<Filter> {
    let step = |inner: BoxedStrategy<Filter>| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(Filter::all_of),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Filter::any_of),
            inner.prop_map(|part| !part),
        ]
    };
    leaf.prop_recursive(3, 8, 3, step).boxed()
}

/// Every plain field that can be sorted by.
fn paths(fields: &[Field], prefix: &str) -> Vec<String> {
    let of_field = |field: &Field| match field.shape {
        Shape::One(_) => vec![format!("{prefix}{}", field.name)],
        Shape::Object(inner) => paths(inner, &format!("{prefix}{}.", field.name)),
        Shape::Many(_) | Shape::Objects(_) => Vec::new(),
    };
    fields.iter().flat_map(of_field).collect()
}

fn compare(one: &Value, other: &Value, keys: &[SortKey]) -> Ordering {
    let value = |document: &Value, path: &str| -> Value {
        path.split('.').try_fold(document, |value, name| value.get(name)).cloned().unwrap_or_default()
    };
    let order = |one: &Value, other: &Value, key: &SortKey| {
        let (one, other) = (value(one, key.path.as_str()), value(other, key.path.as_str()));
        let order = match (&one, &other) {
            (Value::String(one), Value::String(other)) => one.cmp(other),
            (Value::Bool(one), Value::Bool(other)) => one.cmp(other),
            (one, other) => one.as_i64().cmp(&other.as_i64()).then(other.is_null().cmp(&one.is_null())),
        };
        if key.descending { order.reverse() } else { order }
    };
    let last = SortKey { path: "id".into(), descending: keys.last().is_some_and(|key| key.descending) };
    keys.iter().chain([&last]).map(|key| order(one, other, key)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

/// One after the other, so that each is at least as old in ids as in the list.
async fn import(server: &TestServer, customers: &[Customer]) {
    for (number, customer) in (0_u8..).zip(customers) {
        let mut imported = Imported { customer: customer.clone(), hash: None, data_key: [number; 32], message: None };
        let (ring, project) = (server.app.ring.clone(), "demo".parse().unwrap());
        let ctx = Ctx::new(START, [number; 32]);
        let work = move |tx: &mut dyn keyherald_store::Tx, ctx: &mut Ctx| {
            customer::import(tx, &ring, &project, &mut imported, ctx)
        };
        server.app.store.write(&ctx, work).await.unwrap();
    }
}

fn draw<T: std::fmt::Debug>(runner: &mut TestRunner, strategy: &impl Strategy<Value = T>) -> T {
    strategy.new_tree(runner).unwrap().current()
}

/// The same chance in every run: what fails, fails again.
fn runner() -> TestRunner {
    let config = Config { failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(prop::test_runner::RngAlgorithm::ChaCha))
}

async fn found(server: &TestServer, store: Option<&str>, filter: &Filter, sort: Vec<SortKey>) -> Vec<String> {
    let store = store.map(|store| InStore { key: store.parse().unwrap(), sees_others: true });
    let call = Call { store, ..Call::on("demo".parse().unwrap()) };
    let listing = Listing { filter: filter.clone(), sort, limit: 500, offset: 0, with_total: true };
    let page = server.app.customers(call, listing).await.unwrap();
    assert_eq!(page.total, i64::try_from(page.results.len()).ok(), "{filter:?}");
    page.results.iter().map(|customer| customer.id.to_string()).collect()
}

async fn the_store_finds_what_holds(server: &TestServer, conditions: usize) {
    let mut runner = runner();
    let customers: Vec<Customer> = (0..40).map(|number| draw(&mut runner, &customer(number))).collect();
    import(server, &customers).await;
    let documents: Vec<Value> = customers.iter().map(document).collect();
    let (mut by_one_field, by_many) = (Vec::new(), combined(leaf(CUSTOMERS, "")));
    for field in CUSTOMERS {
        by_one_field.push(leaf(std::slice::from_ref(field), ""));
    }
    let mut holds_for_some = 0;
    for number in 0..conditions {
        let filter = match by_one_field.get(number / 8) {
            Some(field) => draw(&mut runner, field),
            None => draw(&mut runner, &by_many),
        };
        let store = (number % 4 == 0).then(|| STORES[number % STORES.len()]);
        let mut expected: Vec<&Value> = documents
            .iter()
            .zip(&customers)
            .filter(|(_, customer)| store.is_none_or(|store| customer.is_in_store(&store.parse().unwrap())))
            .map(|(document, _)| document)
            .filter(|document| filter.matches(document))
            .collect();
        holds_for_some += usize::from(!expected.is_empty());
        let sorts = paths(CUSTOMERS, "");
        let sort: Vec<SortKey> = (0..number % 3)
            .map(|key| SortKey {
                path: sorts[(number + key * 7) % sorts.len()].as_str().into(),
                descending: number % 2 == 0,
            })
            .collect();
        expected.sort_by(|one, other| compare(one, other, &sort));
        let expected: Vec<&str> = expected.iter().map(|document| document["id"].as_str().unwrap()).collect();
        assert_eq!(found(server, store, &filter, sort.clone()).await, expected, "{filter:?} in {store:?} by {sort:?}");
    }
    assert!(holds_for_some > conditions / 4, "{holds_for_some} conditions hold for any");
}

#[test]
fn customers_are_found_by_what_they_are() {
    block_on(async { the_store_finds_what_holds(&TestServer::sqlite().await, 1500).await });
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test starts one"]
fn customers_are_found_by_what_they_are_on_postgres() {
    block_on(async { the_store_finds_what_holds(&TestServer::postgres().await, 1000).await });
}

/// A store's key in a condition is a way to find its customers, and no other condition is lost by that.
#[test]
fn a_store_in_a_condition_finds_its_customers() {
    block_on(async {
        let server = TestServer::sqlite().await;
        let mut runner = runner();
        let customers: Vec<Customer> = (0..30).map(|number| draw(&mut runner, &customer(number))).collect();
        import(&server, &customers).await;
        let of = |key: &str| {
            let test = Test::Compare(Comparison::Equal, Scalar::Text(key.to_owned()));
            Filter::AnyElement("stores".into(), Box::new(Filter::Test("key".into(), test)))
        };
        let verified = Filter::Test("isEmailVerified".into(), Test::Compare(Comparison::Equal, Scalar::Boolean(true)));
        for filter in [of("one"), Filter::all_of([of("one"), of("two")]), Filter::all_of([verified, of("two")]), of("")]
        {
            let expected: Vec<String> = customers
                .iter()
                .filter(|customer| filter.matches(&document(customer)))
                .map(|customer| customer.id.to_string())
                .collect();
            assert_eq!(found(&server, None, &filter, Vec::new()).await, expected, "{filter:?}");
        }
        assert_eq!(json!(found(&server, Some("none"), &Filter::All, Vec::new()).await), json!([]));
    });
}

/// A query that takes longer than a statement may: told as such, while what is short is served. The time is up at the
/// first look at the clock, which comes after more steps of the engine than any short statement has.
#[test]
fn a_query_that_takes_too_long_is_told_so() {
    block_on(async {
        let server = TestServer::sqlite().await;
        let mut runner = runner();
        let customers: Vec<Customer> = (0..60).map(|number| draw(&mut runner, &customer(number))).collect();
        import(&server, &customers).await;
        let token = server.token("demo-client").await;
        let store =
            server.store().again(&StoreOptions { statement_timeout: Duration::ZERO, ..StoreOptions::default() });
        let router = keyherald::dialect::router(
            App { store, ..server.app.clone() },
            BODY_BYTES_MAX,
            <_>::default(),
            <_>::default(),
        );
        let get = async |method: Method, predicate: &str| {
            let uri = format!(
                "/demo/customers?where={}",
                predicate.replace(' ', "+").replace('"', "%22").replace('=', "%3D")
            );
            let request = Request::builder().method(method).uri(uri).header("authorization", format!("Bearer {token}"));
            let response = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
            let (status, body) = (response.status(), response.into_body().collect().await.unwrap().to_bytes());
            (status.as_u16(), serde_json::from_slice(&body).unwrap_or(Value::Null))
        };
        let long = vec![r#"addresses(city="nowhere")"#; 150].join(" or ");
        let text = "The query timed out.";
        let told = json!({"statusCode": 400, "message": text, "errors": [{"code": "QueryTimedOut", "message": text}]});
        assert_eq!(get(Method::GET, &long).await, (400, told));
        assert_eq!(get(Method::HEAD, &long).await.0, 400);
        assert_eq!(get(Method::GET, r#"id="01942b3c-0000-7000-8000-000000000002""#).await.0, 200);
    });
}
