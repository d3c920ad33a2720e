//! Compiled filters against the evaluator, on a database of their own.
#![expect(clippy::unwrap_used, clippy::panic, reason = "test support")]

use std::cell::RefCell;

use keyherald_core::Micros;
use keyherald_core::filter::{Comparison, Filter, Kind, Scalar, SortKey, Test};
use keyherald_store::Value;
use keyherald_store::filter::{Column, alternatives, compile, order_by};
use postgres::fallible_iterator::FallibleIterator;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value as Json, json};

/// Booleans, integers and instants are BIGINT, as in the real tables; COLLATION is each engine's (see the module).
const TABLES: &str = "
    CREATE TEMPORARY TABLE document (id BIGINT PRIMARY KEY, name TEXT COLLATION NOT NULL, label TEXT COLLATION,
        count BIGINT, flag BIGINT, at BIGINT, ref BIGINT, ref_type TEXT COLLATION, ref_n BIGINT);
    CREATE TEMPORARY TABLE tag (document BIGINT NOT NULL, tag TEXT COLLATION NOT NULL);
    CREATE TEMPORARY TABLE line (document BIGINT NOT NULL, line BIGINT NOT NULL, key TEXT COLLATION NOT NULL, n BIGINT);
    CREATE TEMPORARY TABLE mark (document BIGINT NOT NULL, line BIGINT NOT NULL, mark BIGINT NOT NULL);";

static COLUMNS: &[Column] = &[
    Column::new("id", Kind::Integer, "d.id").unique(),
    Column::new("version", Kind::Integer, "CAST(1 AS BIGINT)"),
    Column::new("name", Kind::Text, "d.name"),
    Column::new("label", Kind::Text, "d.label").nullable(),
    Column::new("count", Kind::Integer, "d.count").nullable(),
    Column::new("flag", Kind::Boolean, "d.flag").nullable(),
    Column::new("at", Kind::Instant, "d.at").nullable(),
    Column::object("ref", "d.ref"),
    Column::new("ref.typeId", Kind::Text, "d.ref_type").nullable(),
    Column::new("ref.n", Kind::Integer, "d.ref_n").nullable(),
    Column::rows("tags", "tag t", "t.document = d.id", &[Column::new("", Kind::Text, "t.tag")]),
    Column::rows("lines", "line l", "l.document = d.id", LINE),
];
static LINE: &[Column] = &[
    Column::new("key", Kind::Text, "l.key"),
    Column::new("n", Kind::Integer, "l.n").nullable(),
    Column::rows("marks", "mark m", "m.document = l.document AND m.line = l.line", MARK),
];
static MARK: &[Column] = &[Column::new("", Kind::Integer, "m.mark")];

// Random documents: few values, so that they meet.

fn text() -> impl Strategy<Value = String> {
    let texts = ["", "a", "A", "b", "aB", "_", "Z", "ä", "Ä", "é", "e", "-a", "%", "a'b", "\"", "日本", "$1", "1"];
    prop::sample::select(texts.to_vec()).prop_map(str::to_owned)
}

fn instant() -> impl Strategy<Value = Micros> {
    prop::sample::select(vec![-1000, 0, 1000, 1_663_598_075_843_000, 253_000_000_000_000_000]).prop_map(Micros)
}

fn number() -> impl Strategy<Value = i64> {
    prop_oneof![4 => -2i64..3, 1 => Just(i64::MAX), 1 => Just(i64::MIN)]
}

/// A field of an object: there, `null`, or absent.
fn optional(value: impl Strategy<Value = Json> + 'static) -> impl Strategy<Value = Option<Json>> {
    prop_oneof![4 => value.prop_map(Some), 1 => Just(None), 1 => Just(Some(Json::Null))]
}

fn object(fields: Vec<(&'static str, Option<Json>)>) -> Json {
    fields
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn document() -> impl Strategy<Value = Json> {
    let texts = || text().prop_map(Json::from);
    let numbers = || number().prop_map(Json::from);
    let line = (texts(), optional(numbers()), prop::collection::vec(number(), 0..3))
        .prop_map(|(key, n, marks)| object(vec![("key", Some(key)), ("n", n), ("marks", Some(json!(marks)))]));
    let reference =
        (optional(texts()), optional(numbers())).prop_map(|(type_id, n)| object(vec![("typeId", type_id), ("n", n)]));
    let plain = (
        texts(),
        optional(texts()),
        optional(numbers()),
        optional(any::<bool>().prop_map(Json::from)),
        optional(instant().prop_map(|at| Json::from(at.iso()))),
    );
    let lists = (prop::collection::vec(text(), 0..3), prop::collection::vec(line, 0..3));
    (plain, optional(reference), lists).prop_map(|((name, label, count, flag, at), reference, (tags, lines))| {
        object(vec![
            ("version", Some(json!(1))),
            ("name", Some(name)),
            ("label", label),
            ("count", count),
            ("flag", flag),
            ("at", at),
            ("ref", reference),
            ("tags", Some(json!(tags))),
            ("lines", Some(json!(lines))),
        ])
    })
}

// Random filters over them.

fn scalar(kind: Kind) -> BoxedStrategy<Scalar> {
    match kind {
        Kind::Text => text().prop_map(Scalar::Text).boxed(),
        Kind::Integer => number().prop_map(Scalar::Integer).boxed(),
        Kind::Boolean => any::<bool>().prop_map(Scalar::Boolean).boxed(),
        Kind::Instant => instant().prop_map(Scalar::Instant).boxed(),
    }
}

fn field(path: &'static str, kind: Kind) -> BoxedStrategy<Filter> {
    let comparison = prop::sample::select(vec![
        Comparison::Equal,
        Comparison::Less,
        Comparison::LessOrEqual,
        Comparison::Greater,
        Comparison::GreaterOrEqual,
    ]);
    let of_text = move |text| if kind == Kind::Text { Test::EqualIgnoringCase(text) } else { Test::Defined };
    let test = prop_oneof![
        4 => (comparison, scalar(kind)).prop_map(|(comparison, scalar)| Test::Compare(comparison, scalar)),
        2 => prop::collection::vec(scalar(kind), 0..4).prop_map(Test::In),
        1 => Just(Test::Defined),
        1 => text().prop_map(of_text),
    ];
    test.prop_map(move |test| Filter::Test(path.into(), test)).boxed()
}

fn empty(path: &'static str) -> impl Strategy<Value = Filter> {
    Just(Filter::Test(path.into(), Test::Empty))
}

/// Any combination of `leaf`, also in forms that the constructors would shorten.
fn combined(leaf: impl Strategy<Value = Filter> + 'static) -> BoxedStrategy<Filter> {
    let step = |inner: BoxedStrategy<Filter>| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Filter::And),
            prop::collection::vec(inner.clone(), 0..5).prop_map(Filter::Or),
            inner.prop_map(|part| Filter::Not(Box::new(part))),
        ]
    };
    leaf.prop_recursive(5, 40, 5, step).boxed()
}

fn filter() -> BoxedStrategy<Filter> {
    let element =
        prop_oneof![field("key", Kind::Text), field("n", Kind::Integer), field("marks", Kind::Integer), empty("marks")];
    let lines = combined(element).prop_map(|part| Filter::AnyElement("lines".into(), Box::new(part)));
    combined(prop_oneof![
        1 => Just(Filter::All),
        2 => field("name", Kind::Text),
        3 => field("label", Kind::Text),
        2 => field("count", Kind::Integer),
        1 => field("version", Kind::Integer),
        2 => field("flag", Kind::Boolean),
        2 => field("at", Kind::Instant),
        1 => Just(Filter::Test("ref".into(), Test::Defined)),
        2 => field("ref.typeId", Kind::Text),
        1 => field("ref.n", Kind::Integer),
        2 => field("tags", Kind::Text),
        1 => empty("tags"),
        1 => empty("lines"),
        3 => lines,
    ])
}

// The two engines.

trait Engine {
    fn run(&mut self, sql: &str);
    fn ids(&mut self, sql: &str, args: &[Value]) -> Vec<i64>;
}

struct Sqlite(rusqlite::Connection);

impl Sqlite {
    fn open() -> Self {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        connection.execute_batch(&TABLES.replace("COLLATION", "")).unwrap();
        Self(connection)
    }
}

impl Engine for Sqlite {
    fn run(&mut self, sql: &str) {
        self.0.execute_batch(sql).unwrap();
    }

    fn ids(&mut self, sql: &str, args: &[Value]) -> Vec<i64> {
        let bound = |value: &Value| -> rusqlite::types::Value {
            match value {
                Value::Null => rusqlite::types::Value::Null,
                Value::Int(number) => (*number).into(),
                Value::Text(text) => text.clone().into(),
                Value::Bytes(bytes) => bytes.clone().into(),
            }
        };
        // `?n` is bound by number; `$n` would be a name, which SQLite looks up among all others.
        let mut statement =
            self.0.prepare(&sql.replace('$', "?")).unwrap_or_else(|error| panic!("{error}: {sql:.2000}"));
        let rows = statement.query_map(rusqlite::params_from_iter(args.iter().map(bound)), |row| row.get(0)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }
}

struct Postgres(postgres::Client);

impl Postgres {
    /// Temporary tables live and die with the connection, so that no database is made.
    fn open() -> Self {
        let url = std::env::var("KEYHERALD_TEST_POSTGRES").unwrap();
        let mut client = postgres::Client::connect(&url, postgres::NoTls).unwrap();
        client.batch_execute("SET jit = off").unwrap(); // else it compiles 200 subqueries for 20 seconds
        client.batch_execute(&TABLES.replace("COLLATION", "COLLATE \"C\"")).unwrap();
        Self(client)
    }
}

impl Engine for Postgres {
    fn run(&mut self, sql: &str) {
        self.0.batch_execute(sql).unwrap();
    }

    fn ids(&mut self, sql: &str, args: &[Value]) -> Vec<i64> {
        let bound = |value: &Value| -> Box<dyn postgres::types::ToSql + Sync> {
            match value {
                Value::Null => Box::new(None::<i64>),
                Value::Int(number) => Box::new(*number),
                Value::Text(text) => Box::new(text.clone()),
                Value::Bytes(bytes) => Box::new(bytes.clone()),
            }
        };
        let args: Vec<_> = args.iter().map(bound).collect();
        let rows = self.0.query_raw(sql, args).unwrap_or_else(|error| panic!("{error:?}: {sql:.2000}"));
        rows.map(|row| row.try_get(0)).collect().unwrap()
    }
}

fn store(engine: &mut dyn Engine, documents: &[Json]) {
    let literal = |value: &Json| match value {
        Json::Null => "NULL".to_owned(),
        Json::Bool(flag) => i64::from(*flag).to_string(),
        Json::String(text) => format!("'{}'", text.replace('\'', "''")),
        Json::Object(_) => "1".to_owned(),
        other => other.to_string(),
    };
    let mut sql = vec!["DELETE FROM document; DELETE FROM tag; DELETE FROM line; DELETE FROM mark".to_owned()];
    for (id, document) in documents.iter().enumerate() {
        let at = document["at"].as_str().map(|at| Micros::parse_iso(at).unwrap().0);
        let reference = &document["ref"];
        let values = [
            &json!(id),
            &document["name"],
            &document["label"],
            &document["count"],
            &document["flag"],
            &json!(at),
            reference,
            &reference["typeId"],
            &reference["n"],
        ];
        sql.push(format!("INSERT INTO document VALUES ({})", values.map(literal).join(", ")));
        for tag in document["tags"].as_array().unwrap() {
            sql.push(format!("INSERT INTO tag VALUES ({id}, {})", literal(tag)));
        }
        for (number, line) in document["lines"].as_array().unwrap().iter().enumerate() {
            let (key, n) = (literal(&line["key"]), literal(&line["n"]));
            sql.push(format!("INSERT INTO line VALUES ({id}, {number}, {key}, {n})"));
            for mark in line["marks"].as_array().unwrap() {
                sql.push(format!("INSERT INTO mark VALUES ({id}, {number}, {mark})"));
            }
        }
    }
    engine.run(&sql.join(";"));
}

/// Asks the engine; a placeholder comes before the filter's own, as in real statements.
fn ask(engine: &mut dyn Engine, filter: &Filter, order: &str) -> Vec<i64> {
    let condition = compile(filter, COLUMNS, 2).unwrap();
    let args: Vec<_> = [Value::Int(-1)].into_iter().chain(condition.args).collect();
    engine.ids(
        &format!("SELECT d.id FROM document d WHERE d.id > $1 AND {} ORDER BY {order}", condition.sql.sqlite),
        &args,
    )
}

// What holds on each.

fn compare_with_evaluator(engine: &mut dyn Engine, cases: u32) {
    let input = (prop::collection::vec(document(), 1..6), prop::collection::vec(filter(), 1..6));
    let engine = RefCell::new(engine);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&input, |(documents, filters)| {
        let engine = &mut **engine.borrow_mut();
        store(engine, &documents);
        for filter in &filters {
            let matching = (0..).zip(&documents).filter(|(_, document)| filter.matches(document));
            let expected: Vec<i64> = matching.map(|(id, _)| id).collect();
            prop_assert_eq!(
                ask(engine, filter, "d.id"),
                expected,
                "{}",
                compile(filter, COLUMNS, 1).unwrap().sql.sqlite
            );
        }
        Ok(())
    });
    outcome.unwrap();
}

fn compare_orders(engine: &mut dyn Engine) {
    let labels = [Some("b"), None, Some("a"), Some("B"), Some("a"), None, Some("ä")];
    let documents = labels.map(|label| json!({"name": "x", "label": label, "tags": [], "lines": []}));
    store(engine, &documents);
    let by = |path: &str, descending| SortKey { path: path.into(), descending };
    for (keys, expected) in [
        (vec![], [0, 1, 2, 3, 4, 5, 6]),
        (vec![by("label", false)], [1, 5, 3, 2, 4, 0, 6]),
        (vec![by("label", true)], [6, 0, 4, 2, 3, 5, 1]),
        (vec![by("name", true), by("label", false), by("id", true), by("label", true)], [5, 1, 3, 4, 2, 0, 6]),
        (vec![by("name", false)], [0, 1, 2, 3, 4, 5, 6]),
    ] {
        let keys = order_by(&keys, COLUMNS, &["d.id"]).unwrap();
        let order: Vec<_> = keys.iter().map(|key| format!("{}{}", key.by.sqlite, key.direction)).collect();
        assert_eq!(ask(engine, &Filter::All, &order.join(", ")), expected, "{order:?}");
    }
}

fn ask_ten_thousand_terms(engine: &mut dyn Engine) {
    let document = json!({"id": 0, "name": "x", "label": "7", "count": 9_999, "tags": ["t"], "lines": []});
    store(engine, std::slice::from_ref(&document));
    let equal = |path: &str, scalar| Filter::Test(path.into(), Test::Compare(Comparison::Equal, scalar));
    let label = |n: i64| equal("label", Scalar::Text(n.to_string()));
    let count = |n: i64| equal("count", Scalar::Integer(n));
    let tag = |n: i64| equal("tags", Scalar::Text(n.to_string()));
    // As deep as a parser lets it be, each level as wide as that leaves room for.
    let nested = (0..60).fold(count(9_999), |inner, level| {
        let terms = (0..160).map(|n| !count(n)).chain([inner]);
        if level % 2 == 0 { Filter::any_of(terms) } else { !Filter::all_of(terms) }
    });
    for filter in [
        Filter::any_of((0..10_000).map(count)),
        Filter::any_of((0..10_000).map(label)),
        Filter::any_of((0..10_000).map(|n| equal("id", Scalar::Integer(n)))),
        Filter::all_of((10_000..20_000).map(|n| !count(n))),
        !Filter::any_of((0..5_000).map(|n| Filter::all_of([count(n), !label(7)]))),
        Filter::any_of((0..10_000).map(tag)),
        Filter::any_of((0..200).map(|n| Filter::all_of([!count(n), tag(n)]))),
        Filter::Test("label".into(), Test::In((0..30_000).map(|n: i64| Scalar::Text(n.to_string())).collect())),
        nested,
    ] {
        let expected: &[i64] = if filter.matches(&document) { &[0] } else { &[] };
        assert_eq!(ask(engine, &filter, "d.id"), expected);
    }
}

#[test]
fn compiled_filters_answer_as_the_evaluator_does() {
    compare_with_evaluator(&mut Sqlite::open(), 256);
}

#[test]
fn orders_put_absent_values_first_and_end_in_a_unique_key() {
    compare_orders(&mut Sqlite::open());
}

#[test]
fn ten_thousand_terms_stay_within_the_limits_of_the_engine() {
    ask_ten_thousand_terms(&mut Sqlite::open());
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test starts one"]
fn compiled_filters_answer_as_the_evaluator_does_on_postgres() {
    let mut engine = Postgres::open();
    compare_with_evaluator(&mut engine, 64);
    compare_orders(&mut engine);
    ask_ten_thousand_terms(&mut engine);
}

/// Each row that matches the filter matches one of its alternatives, and only one.
#[test]
fn alternatives_are_the_same_rows_each_once() {
    static TYPES: &[Column] = &[
        Column::new("name", Kind::Text, "d.name").one_by_one(),
        Column::new("count", Kind::Integer, "d.count").nullable(),
    ];
    let names = |names: &[&str]| {
        Filter::Test("name".into(), Test::In(names.iter().map(|name| Scalar::Text((*name).into())).collect()))
    };
    let name = |name: &str| Filter::Test("name".into(), Test::Compare(Comparison::Equal, Scalar::Text(name.into())));
    let count = Filter::Test("count".into(), Test::Compare(Comparison::Greater, Scalar::Integer(1)));
    let documents =
        ["a", "b", "c"].into_iter().flat_map(|name| [0, 2].map(|count| json!({"name": name, "count": count})));
    let documents: Vec<Json> = documents.collect();
    for (filter, number) in [
        (names(&["a", "b", "a"]), 2),
        (Filter::all_of([count.clone(), names(&["a", "b"]), names(&["b", "c"])]), 2),
        (Filter::any_of([name("a"), names(&["b", "c"])]), 3),
        (Filter::any_of([name("a"), count.clone()]), 1),
        (!names(&["a", "b"]), 1),
        (names(&["a"]), 1),
        (names(&[]), 1),
        (Filter::any_of((0..100).map(|number| name(&number.to_string()))), 1),
        (count, 1),
        (Filter::All, 1),
    ] {
        let found = alternatives(&filter, TYPES).unwrap();
        assert_eq!(found.len(), number, "{filter:?}");
        for document in &documents {
            let matching = found.iter().filter(|alternative| alternative.matches(document)).count();
            assert_eq!(matching, usize::from(filter.matches(document)), "{filter:?} {document}");
        }
    }
}

#[test]
fn the_text_is_short_and_its_values_are_bound() {
    let name = Test::Compare(Comparison::Equal, Scalar::Text("a' OR 1=1 --".into()));
    let label = Test::In(vec![Scalar::Text("x".into()), Scalar::Text("y".into())]);
    let filter = Filter::all_of([Filter::Test("name".into(), name), !Filter::Test("label".into(), label)]);
    let condition = compile(&filter, COLUMNS, 3).unwrap();
    assert_eq!(condition.sql.sqlite, "(d.name = $3 AND (d.label IS NULL OR d.label NOT IN ($4, $5)))");
    assert_eq!(condition.args, ["a' OR 1=1 --", "x", "y"].map(Value::from));
}

#[test]
fn what_no_column_can_answer_is_a_fault() {
    let equal = |path: &str, scalar| Filter::Test(path.into(), Test::Compare(Comparison::Equal, scalar));
    for filter in [
        equal("unknown", Scalar::Integer(1)),
        equal("count", Scalar::Text("1".into())),
        equal("ref", Scalar::Integer(1)),
        equal("lines", Scalar::Integer(1)),
        Filter::Test("count".into(), Test::Empty),
        Filter::Test("count".into(), Test::EqualIgnoringCase("a".into())),
        Filter::AnyElement("ref".into(), Box::new(Filter::All)),
        Filter::Test("count".into(), Test::In((0..40_000).map(Scalar::Integer).collect())),
    ] {
        assert!(compile(&filter, COLUMNS, 1).is_err());
    }
    assert!(order_by(&[SortKey { path: "tags".into(), descending: false }], COLUMNS, &["d.id"]).is_err());
}
