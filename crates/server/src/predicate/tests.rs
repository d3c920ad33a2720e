//! Predicates and paging: tables of what is read and refused, and properties.

use keyherald_core::Micros;
use keyherald_core::filter::{Comparison, Filter, Path, Scalar, SortKey, Test};
use proptest::prelude::*;
use serde_json::json;

use super::*;

/// One field of every shape.
static FIELDS: &[Field] = &[
    Field::text("name"),
    Field::text("first-name"),
    Field::integer("version"),
    Field::boolean("on"),
    Field::date_time("at"),
    Field::date("born"),
    Field::many("tags", Type::Text),
    Field::object(
        "ref",
        &[Field::text("typeId"), Field::object("inner", &[Field::integer("n")]), Field::many("marks", Type::Integer)],
    ),
    Field::objects(
        "lines",
        &[
            Field::text("key"),
            Field::object("ref", &[Field::integer("n")]),
            Field::objects("parts", &[Field::text("id")]),
        ],
    ),
];

fn pairs(query: &str) -> Vec<(String, String)> {
    query_string::decode(query.as_bytes()).unwrap()
}

fn read(predicate: &str) -> Result<Filter, Malformed> {
    parse([predicate], &Variables::default(), FIELDS)
}

fn read_with(predicate: &str, variables: &str) -> Result<Filter, Malformed> {
    parse([predicate], &Variables::of(&pairs(variables)), FIELDS)
}

/// The error's text after the prefix that all errors of predicates have.
fn refused(predicate: &str) -> String {
    let text = read(predicate).unwrap_err().to_string();
    text.strip_prefix("Malformed parameter: where: ").unwrap().to_owned()
}

/// The same for syntax errors, without the lines that repeat the predicate.
fn syntax_error(predicate: &str) -> String {
    let text = refused(predicate);
    let text = text.strip_prefix("Syntax error while parsing 'where'. ").unwrap_or_else(|| panic!("{text}"));
    text.split(":\n").next().unwrap().to_owned()
}

fn test(path: &str, test: Test) -> Filter {
    Filter::Test(path.into(), test)
}

fn text(value: &str) -> Scalar {
    Scalar::Text(value.into())
}

fn name(value: &str) -> Filter {
    test("name", Test::Compare(Comparison::Equal, text(value)))
}

fn version(comparison: Comparison, value: i64) -> Filter {
    test("version", Test::Compare(comparison, Scalar::Integer(value)))
}

fn is_version(value: i64) -> Filter {
    version(Comparison::Equal, value)
}

fn at(iso: &str) -> Filter {
    test("at", Test::Compare(Comparison::Equal, Scalar::Instant(Micros::parse_iso(iso).unwrap())))
}

fn element(path: &str, part: Filter) -> Filter {
    Filter::AnyElement(path.into(), Box::new(part))
}

#[test]
fn comparisons_are_read() {
    for (predicate, filter) in [
        (r#"name = "x""#, name("x")),
        (r#"name="x""#, name("x")),
        ("\t name\r\n=\n'x' ", name("x")),
        (r#"name != "x""#, !name("x")),
        (r#"name <> "x""#, !name("x")),
        ("version = 3", is_version(3)),
        ("version=-3", is_version(-3)),
        ("version < 3", version(Comparison::Less, 3)),
        ("version <= 3", version(Comparison::LessOrEqual, 3)),
        ("version > 3", version(Comparison::Greater, 3)),
        ("version>=-9223372036854775808", version(Comparison::GreaterOrEqual, i64::MIN)),
        ("on = true", test("on", Test::Compare(Comparison::Equal, Scalar::Boolean(true)))),
        ("on = FALSE", test("on", Test::Compare(Comparison::Equal, Scalar::Boolean(false)))),
        (r#"`first-name` = "x""#, test("first-name", Test::Compare(Comparison::Equal, text("x")))),
        (r#"`name` = "x""#, name("x")),
        (r#"born = "2024-02-29""#, test("born", Test::Compare(Comparison::Equal, text("2024-02-29")))),
        (r#"tags = "x""#, test("tags", Test::Compare(Comparison::Equal, text("x")))),
    ] {
        assert_eq!(read(predicate), Ok(filter), "{predicate}");
    }
}

#[test]
fn worded_conditions_are_read() {
    let in_xy = |path| test(path, Test::In(vec![text("x"), text("y")]));
    let tag = |value| test("tags", Test::Compare(Comparison::Equal, text(value)));
    for (predicate, filter) in [
        (r#"name in ("x", "y")"#, in_xy("name")),
        (r#"name in("x","y")"#, in_xy("name")),
        (r#"name not in ("x", "y")"#, !in_xy("name")),
        (r#"tags in ("x", "y")"#, in_xy("tags")),
        (r#"tags contains any ("x", "y")"#, in_xy("tags")),
        (r#"tags contains all ("x", "y")"#, Filter::all_of([tag("x"), tag("y")])),
        ("name is defined", test("name", Test::Defined)),
        ("ref is not defined", !test("ref", Test::Defined)),
        ("lines is defined", test("lines", Test::Defined)),
        ("tags is empty", test("tags", Test::Empty)),
        ("lines is not empty", !test("lines", Test::Empty)),
        (r#"name matches ignore case "X""#, test("name", Test::EqualIgnoringCase("X".into()))),
        ("name Is NOT dEFINED", !test("name", Test::Defined)),
    ] {
        assert_eq!(read(predicate), Ok(filter), "{predicate}");
    }
}

#[test]
fn not_binds_before_and_and_and_before_or() {
    let (a, b, c) = (name("a"), is_version(1), test("on", Test::Defined));
    for (predicate, filter) in [
        (
            r#"name="a" or version=1 and on is defined"#,
            Filter::any_of([a.clone(), Filter::all_of([b.clone(), c.clone()])]),
        ),
        (
            r#"(name="a" OR version=1) And on is defined"#,
            Filter::all_of([Filter::any_of([a.clone(), b.clone()]), c.clone()]),
        ),
        (r#"not name="a" and version=1"#, Filter::all_of([!a.clone(), b.clone()])),
        (r#"NOT(name="a" and version=1)"#, !Filter::all_of([a.clone(), b.clone()])),
        (r#"not not name="a""#, a.clone()),
        (r#"not name != "a""#, a.clone()),
        (r#"((name="a"))"#, a.clone()),
        (r#"name="a" and (version=1 and on is defined)"#, Filter::And(vec![a.clone(), b.clone(), c.clone()])),
    ] {
        assert_eq!(read(predicate), Ok(filter), "{predicate}");
    }
}

#[test]
fn nested_fields_become_paths_and_elements() {
    let n = |path| test(path, Test::Compare(Comparison::Equal, Scalar::Integer(1)));
    let key = test("key", Test::Compare(Comparison::Equal, text("k")));
    let id = test("id", Test::Compare(Comparison::Equal, text("i")));
    for (predicate, filter) in [
        (
            r#"ref(typeId = "customer" and inner(n = 1))"#,
            Filter::all_of([test("ref.typeId", Test::Compare(Comparison::Equal, text("customer"))), n("ref.inner.n")]),
        ),
        ("ref(inner(n != 1) or marks = 1)", Filter::any_of([!n("ref.inner.n"), n("ref.marks")])),
        ("ref(not(typeId is defined))", !test("ref.typeId", Test::Defined)),
        (r#"lines(key = "k" and ref(n = 1))"#, element("lines", Filter::all_of([key.clone(), n("ref.n")]))),
        (
            r#"lines(key = "k") and lines(ref(n = 1))"#,
            Filter::all_of([element("lines", key), element("lines", n("ref.n"))]),
        ),
        (r#"not lines(parts(id = "i"))"#, !element("lines", element("parts", id))),
    ] {
        assert_eq!(read(predicate), Ok(filter), "{predicate}");
    }
}

#[test]
fn strings_are_unescaped() {
    for (literal, value) in [
        (r#""""#, ""),
        (r#""a\"b\\c""#, "a\"b\\c"),
        (r#"'a"b\'c'"#, "a\"b'c"),
        (r#""it's""#, "it's"),
        (r#""\n\t\r\b\f\/""#, "\n\t\r\u{8}\u{c}/"),
        (r#""\u00e4\uD83D\uDE00""#, "ä😀"),
        ("\"two\nlines ä 日本\"", "two\nlines ä 日本"),
        (r#"":var (%and or) ""#, ":var (%and or) "),
    ] {
        assert_eq!(read(&format!("name = {literal}")), Ok(name(value)), "{literal}");
    }
    for (literal, error) in [
        (r#""abc"#, "Unexpected end of input, expected '\"' (line 1, column 12)"),
        (r#""abc\"#, "Unexpected end of input, expected an escaped character (line 1, column 13)"),
        (r#""\x""#, "Invalid input 'x', expected '\"', '\\' or another escaped character of JSON (line 1, column 10)"),
        (r#""\u00g0""#, "Invalid input 'g', expected a hexadecimal digit (line 1, column 13)"),
        (r#""\ud83d""#, "The escape is no character (line 1, column 10)"),
        (r#""\ud83d\ud83d""#, "The escape is no character (line 1, column 10)"),
    ] {
        assert_eq!(syntax_error(&format!("name = {literal}")), error, "{literal}");
    }
    assert_eq!(refused(r#"name = "\u0000""#), "The value for the field 'name' must be a text in quotes.");
}

#[test]
fn date_times_are_instants() {
    for (literal, iso) in [
        ("2024-01-01T00:00:00.000Z", "2024-01-01T00:00:00Z"),
        ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"),
        ("2024-01-01T01:00:00+01:00", "2024-01-01T00:00:00Z"),
        ("2024-01-01", "2024-01-01T00:00:00Z"),
    ] {
        assert_eq!(read(&format!("at = \"{literal}\"")), Ok(at(iso)), "{literal}");
    }
    let never = read(r#"at < "9999-12-31T23:59:59.999Z""#).unwrap();
    assert!(never.matches(&json!({"at": "2024-01-01T00:00:00.000Z"})));
    assert_ne!(read(r#"at < "9999-12-30T23:59:59Z""#), read(r#"at < "9999-12-31T23:59:59Z""#));
    let expected = "The value for the field 'at' must be a date-time such as \"2024-01-31T12:00:00.000Z\".";
    for literal in ["", "2024", "yesterday", "2024-02-30", "2024-01-01T00:00:00", "2024-01-01T25:00:00Z", "äöüäö"]
    {
        assert_eq!(refused(&format!("at = \"{literal}\"")), expected, "{literal}");
    }
    assert_eq!(refused("at = 5"), expected);
    for literal in ["2024-02-30", "2024-01-01T00:00:00Z", "24-01-01"] {
        let expected = "The value for the field 'born' must be a date such as \"2024-01-31\".";
        assert_eq!(refused(&format!("born = '{literal}'")), expected);
    }
}

#[test]
fn variables_take_the_type_of_their_field() {
    let in_xy = test("name", Test::In(vec![text("x"), text("y")]));
    for (predicate, variables, filter) in [
        ("name = :v", "var.v=x", name("x")),
        ("version = :v", "var.v=3", is_version(3)),
        ("name = :v", "var.v=3", name("3")),
        ("on = :v", "var.v=True", test("on", Test::Compare(Comparison::Equal, Scalar::Boolean(true)))),
        ("at = :v", "var.v=2024-01-01T00:00:00Z", at("2024-01-01T00:00:00Z")),
        ("name in :v", "var.v=x&var.v=y", in_xy.clone()),
        ("name in (:v)", "var.v=x&var.v=y", in_xy.clone()),
        ("name in (:a, :b-2_c)", "var.b-2_c=y&var.a=x", in_xy.clone()),
        ("name in (:a, 'y')", "var.a=x&var.unused=1", in_xy),
        ("name = :v", "var.v=%22+or+%22", name("\" or \"")),
    ] {
        assert_eq!(read_with(predicate, variables), Ok(filter), "{predicate}");
    }
    for (predicate, variables, error) in [
        ("name = :v", "", "Missing parameter value for v"),
        ("name in (:v)", "var.w=1&v=1", "Missing parameter value for v"),
        ("name = :v", "var.v=a&var.v=b", "The field 'name' is compared with a list of values."),
        ("version = :v", "var.v=x", "The value for the field 'version' must be an integer."),
        ("on = :v", "var.v=1", "The value for the field 'on' must be true or false."),
        ("name = :v", "var.v=%00", "The value for the field 'name' must be a text in quotes."),
    ] {
        let error = format!("Malformed parameter: where: {error}");
        assert_eq!(read_with(predicate, variables).unwrap_err().to_string(), error, "{predicate}");
    }
}

#[test]
fn syntax_errors_have_the_contract_s_text() {
    let error = read("invalid").unwrap_err();
    assert_eq!(
        error.to_string(),
        "Malformed parameter: where: Syntax error while parsing 'where'. Unexpected end of input, expected \
         SphereIdentifierChar, comparison operator, not, in, contains, is, within or matches (line 1, column 8):\n\
         invalid\n       ^"
    );
    assert_eq!(error.problem, Problem::Syntax(Position { line: 1, column: 8 }));
    assert_eq!(
        refused("firstName ilike \"sofia%\""),
        "Syntax error while parsing 'where'. Invalid input 'l', expected 'n' or 's' (line 1, column 12):\n\
         firstName ilike \"sofia%\"\n           ^"
    );
    assert_eq!(
        syntax_error("firstName   = nonsense"),
        "Invalid input 'n', expected input parameter or primitive value (line 1, column 15)"
    );
}

#[test]
fn syntax_errors_say_what_was_expected_where() {
    const OPERATORS: &str = "comparison operator, not, in, contains, is, within or matches";
    for (predicate, error) in [
        ("", "Unexpected end of input, expected a field name, not or '(' (line 1, column 1)".to_owned()),
        ("name ", format!("Unexpected end of input, expected {OPERATORS} (line 1, column 6)")),
        ("name ?", format!("Invalid input '?', expected {OPERATORS} (line 1, column 6)")),
        ("name like", format!("Invalid input 'l', expected {OPERATORS} (line 1, column 6)")),
        ("name.x = 1", format!("Invalid input '.', expected SphereIdentifierChar, {OPERATORS} (line 1, column 5)")),
        ("name i", "Unexpected end of input, expected 'n' or 's' (line 1, column 7)".into()),
        ("name cont 1", "Invalid input ' ', expected 'a' (line 1, column 10)".into()),
        ("name not like", "Invalid input 'l', expected in (line 1, column 10)".into()),
        ("name is nothing", "Invalid input 'n', expected not, defined or empty (line 1, column 9)".into()),
        ("name is def", "Unexpected end of input, expected 'i' (line 1, column 12)".into()),
        ("name contains (1)", "Invalid input '(', expected all or any (line 1, column 15)".into()),
        ("name matches case 'x'", "Invalid input 'c', expected ignore (line 1, column 14)".into()),
        ("name in", "Unexpected end of input, expected '(' or input parameter (line 1, column 8)".into()),
        ("name in ()", "Invalid input ')', expected input parameter or primitive value (line 1, column 10)".into()),
        ("name in (1 2)", "Invalid input '2', expected ',' or ')' (line 1, column 12)".into()),
        ("name = ", "Unexpected end of input, expected input parameter or primitive value (line 1, column 8)".into()),
        ("name = :", "Unexpected end of input, expected the name of an input parameter (line 1, column 9)".into()),
        ("name = -", "Unexpected end of input, expected a digit (line 1, column 9)".into()),
        ("name = 1.", "Unexpected end of input, expected a digit (line 1, column 10)".into()),
        ("name = 1 name = 2", "Invalid input 'n', expected and, or or end of input (line 1, column 10)".into()),
        ("name = 1)", "Invalid input ')', expected and, or or end of input (line 1, column 9)".into()),
        ("(name = 1", "Unexpected end of input, expected and, or or ')' (line 1, column 10)".into()),
        ("ref(", "Unexpected end of input, expected a field name, not or '(' (line 1, column 5)".into()),
        ("name = 1 and", "Unexpected end of input, expected a field name, not or '(' (line 1, column 13)".into()),
        ("`name = 1", "Unexpected end of input, expected '`' (line 1, column 10)".into()),
        ("ä = 1", "Invalid input 'ä', expected a field name, not or '(' (line 1, column 1)".into()),
        ("name = 'ä'\r\n and ö", "Invalid input 'ö', expected a field name, not or '(' (line 2, column 6)".into()),
        ("name within circle(1, 2)", "Invalid input ')', expected ',' (line 1, column 24)".into()),
    ] {
        assert_eq!(syntax_error(predicate), error, "{predicate}");
    }
    let second_line = refused("name = 'a'\nand name 'b'\nor name = 'c'");
    assert!(second_line.ends_with(":\nand name 'b'\n         ^"), "{second_line}");
}

#[test]
fn what_does_not_fit_the_fields_is_refused() {
    for (predicate, error) in [
        ("nope = 1", "The field 'nope' does not exist."),
        ("Name = 'x'", "The field 'Name' does not exist."),
        ("ref(nope is defined)", "The field 'nope' does not exist."),
        ("typeId = 'x'", "The field 'typeId' does not exist."),
        ("`ref.typeId` = 'x'", "The field 'ref.typeId' does not exist."),
        ("name(x = 1)", "The field 'name' has no fields of its own."),
        ("tags(x = 1)", "The field 'tags' has no fields of its own."),
        ("ref = 'x'", "The field 'ref' does not support comparisons."),
        ("lines in ('x')", "The field 'lines' does not support 'in'."),
        ("name contains any ('x')", "The field 'name' does not support 'contains'."),
        ("name is empty", "The field 'name' does not support 'is empty'."),
        ("ref is empty", "The field 'ref' does not support 'is empty'."),
        ("version matches ignore case 'x'", "The field 'version' does not support 'matches ignore case'."),
        ("name within circle(1.5, -2, 3e3)", "The field 'name' does not support 'within circle'."),
        ("name = 1", "The value for the field 'name' must be a text in quotes."),
        ("name = true", "The value for the field 'name' must be a text in quotes."),
        ("version = '1'", "The value for the field 'version' must be an integer."),
        ("version = 1.5", "The value for the field 'version' must be an integer."),
        ("version = 9223372036854775808", "The value for the field 'version' must be an integer."),
        ("on = 'true'", "The value for the field 'on' must be true or false."),
        ("name in ('x', 1)", "The value for the field 'name' must be a text in quotes."),
    ] {
        assert_eq!(refused(predicate), error, "{predicate}");
    }
}

#[test]
fn the_contract_s_lists_hold_what_it_names() {
    let typical = r#"resource(typeId="customer" and id="3cdcdcc8-80c5-41bb-abb5-ac8772c9cc24")"#;
    assert!(parse([typical], &Variables::default(), MESSAGES).is_ok());
    for field in
        ["createdAt", "lastModifiedAt", "id", "version", "sequenceNumber", "resource", "resourceVersion", "type"]
    {
        assert!(parse([format!("{field} is defined").as_str()], &Variables::default(), MESSAGES).is_ok());
    }
    let refused = |predicate, fields| parse([predicate], &Variables::default(), fields).unwrap_err().to_string();
    assert_eq!(refused("reset = true", MESSAGES), "Malformed parameter: where: The field 'reset' does not exist.");
    assert_eq!(
        refused("password = 'x'", CUSTOMERS),
        "Malformed parameter: where: The field 'password' does not exist."
    );
}

#[test]
fn a_query_is_read_whole() {
    let query = pairs(
        "where=version+%3E+1&limit=5&expand=resource&where=resource(id+%3D+:id)&var.id=x&sort=resource.id+DESC&sort=id\
         &sort=id+desc&withTotal=False&offset=10000",
    );
    let id = Test::Compare(Comparison::Equal, text("x"));
    let expected = Query {
        filter: Filter::And(vec![version(Comparison::Greater, 1), test("resource.id", id)]),
        paging: Paging {
            limit: 5,
            offset: 10_000,
            sort: vec![
                SortKey { path: Path::from("resource.id"), descending: true },
                SortKey { path: Path::from("id"), descending: false },
            ],
            with_total: false,
        },
    };
    assert_eq!(Query::read(&query, MESSAGES), Ok(expected));
    let default = Paging { limit: 20, offset: 0, sort: vec![], with_total: true };
    assert_eq!(Query::read(&[], MESSAGES), Ok(Query { filter: Filter::All, paging: default }));
}

#[test]
fn paging_is_checked() {
    for (query, error) in [
        ("limit=501", "limit: The limit parameter must be in the range of [0..500]"),
        ("limit=-1", "limit: The limit parameter must be in the range of [0..500]"),
        ("limit=ten", "limit: The limit parameter must be in the range of [0..500]"),
        ("limit=", "limit: The limit parameter must be in the range of [0..500]"),
        ("offset=10001", "offset: The offset parameter must be in the range of [0..10000]"),
        ("offset=99999999999999999999", "offset: The offset parameter must be in the range of [0..10000]"),
        ("withTotal=1", "withTotal: The withTotal parameter must be true or false"),
        ("sort=nope", "sort: The field 'nope' does not exist."),
        ("sort=id+up", "sort: Expected a field path, then optionally asc or desc."),
        ("sort=id+asc+id", "sort: Expected a field path, then optionally asc or desc."),
        ("sort=", "sort: The field '' does not exist."),
        ("sort=resource", "sort: The path does not lead to a single value."),
        ("sort=id.x", "sort: The path does not lead to a single value."),
        ("sort=resource.", "sort: The field '' does not exist."),
    ] {
        let found = Paging::read(&pairs(query), MESSAGES).unwrap_err().to_string();
        assert_eq!(found, format!("Malformed parameter: {error}"), "{query}");
    }
    assert!(paging::sort(["tags"], FIELDS).is_err());
    assert!(paging::sort(["lines.key"], FIELDS).is_err());
    assert_eq!(Paging::read(&pairs("limit=0"), MESSAGES).unwrap().limit, 0);
}

#[test]
fn ten_thousand_terms_are_read_and_no_more() {
    for joint in [" and ", " or "] {
        let terms: Vec<_> = (0..10_000).map(|n| format!("version != {n}")).collect();
        let filter = read(&terms.join(joint)).unwrap();
        let (Filter::And(parts) | Filter::Or(parts)) = &filter else { panic!("one flat list") };
        assert_eq!(parts.len(), 10_000);
        assert_eq!(filter.matches(&json!({"version": 5})), joint == " or ");
    }
    let many = vec!["on=true"; 10_001].join(" or ");
    assert_eq!(refused(&many), "The predicate has more than 10000 conditions.");
    let half = vec!["on=true"; 5_001].join(" or ");
    assert!(parse([half.as_str()], &Variables::default(), FIELDS).is_ok());
    assert!(parse([half.as_str(), half.as_str()], &Variables::default(), FIELDS).is_err(), "together too many");
}

#[test]
fn depth_lists_and_texts_are_bounded() {
    let too_deep = "The predicate is nested more than 64 levels deep (line 1, column ";
    for (open, close) in [("(", ")"), ("not ", ""), ("ref(", ")"), ("not(", ")")] {
        let nested = |levels| format!("{}name='x'{}", open.repeat(levels), close.repeat(levels));
        assert!(syntax_error(&nested(100_000)).starts_with(too_deep), "{open}");
        assert!(syntax_error(&nested(65)).starts_with(too_deep), "{open}");
        if !open.contains(['f', 't']) {
            assert!(read(&nested(64)).is_ok(), "{open}");
        }
    }
    assert!(read(&format!("{}name='x'", "not ".repeat(64))).is_ok());
    assert!(syntax_error(&"(".repeat(1_000_000)).starts_with(too_deep));

    let list = |values: usize| format!("version in ({})", vec!["1"; values].join(","));
    assert!(read(&list(30_000)).is_ok());
    assert_eq!(refused(&list(30_001)), "The predicate has more than 30000 values.");
    let values = "var.v=1&".repeat(1_000);
    assert!(read_with(&vec!["version in :v"; 30].join(" or "), &values).is_ok());
    assert!(read_with(&vec!["version in :v"; 31].join(" or "), &values).is_err());

    let long = format!("var.v={}", "x".repeat(60_000));
    let error = read_with(&vec!["name=:v"; 5_000].join(" or "), &long).unwrap_err();
    assert_eq!(error.problem, Problem::Limit, "a long variable cannot be multiplied");
    assert_eq!(read(&" ".repeat(WHERE_BYTES_MAX + 1)).unwrap_err().problem, Problem::Limit);

    assert!(read(&vec!["tags='x'"; 200].join(" or ")).is_ok());
    assert_eq!(refused(&vec!["tags='x'"; 201].join(" or ")), "The predicate has more than 200 conditions on arrays.");
    assert!(read(&format!("tags contains all ({})", vec!["'x'"; 201].join(","))).is_err());
}

#[test]
fn errors_stay_short_and_out_of_logs() {
    let long = format!("name = '{}' jane@example.com", "ä".repeat(100_000));
    let error = read(&long).unwrap_err();
    assert!(error.to_string().len() < 2_000);
    let text = error.to_string();
    let mut lines = text.lines().rev();
    let (caret, echo) = (lines.next().unwrap(), lines.next().unwrap());
    assert_eq!(echo.chars().nth(caret.len() - 1), Some('j'), "the caret still points at the place");
    assert!(!format!("{error:?}").contains("jane"));
    assert!(refused(&format!("`{}` = 1", "x".repeat(100_000))).len() < 300);
}

// Properties.

/// Spells a tree as a predicate.
fn print(filter: &Filter) -> String {
    let list = |parts: &[Filter], joint: &str| {
        parts.iter().map(|part| format!("({})", print(part))).collect::<Vec<_>>().join(joint)
    };
    match filter {
        Filter::All => panic!("no predicate says it"),
        Filter::And(parts) => list(parts, " aNd "),
        Filter::Or(parts) => list(parts, "or"),
        Filter::Not(part) => match &**part {
            Filter::Test(path, test) => print_test(path, test, true),
            part => format!("not({})", print(part)),
        },
        Filter::Test(path, test) => print_test(path, test, false),
        Filter::AnyElement(path, part) => format!("{}({})", path.as_str(), print(part)),
    }
}

fn print_test(path: &Path, test: &Test, negated: bool) -> String {
    let not = if negated { "not " } else { "" };
    let asked = match test {
        Test::Compare(Comparison::Equal, scalar) if negated => format!("<>{}", literal(scalar)),
        Test::Compare(comparison, scalar) => {
            let operator = match comparison {
                Comparison::Equal => "=",
                Comparison::Less => "<",
                Comparison::LessOrEqual => "<=",
                Comparison::Greater => ">",
                Comparison::GreaterOrEqual => ">=",
            };
            return format!("{not}{}", print_nested(path, &format!("{operator}{}", literal(scalar))));
        }
        Test::In(scalars) => {
            format!(" {not}in ({})", scalars.iter().map(literal).collect::<Vec<_>>().join(" , "))
        }
        Test::EqualIgnoringCase(text) => {
            return format!("{not}{}", print_nested(path, &format!(" matches ignore case {}", json!(text))));
        }
        Test::Defined => format!(" is {not}defined"),
        Test::Empty => format!(" is {not}empty"),
    };
    print_nested(path, &asked)
}

fn print_nested(path: &Path, asked: &str) -> String {
    let names: Vec<_> = path.as_str().split('.').map(|name| format!("`{name}`")).collect();
    format!("{}{asked}{}", names.join("("), ")".repeat(names.len() - 1))
}

fn literal(scalar: &Scalar) -> String {
    match scalar {
        Scalar::Text(text) => json!(text).to_string(),
        Scalar::Integer(number) => number.to_string(),
        Scalar::Boolean(flag) => flag.to_string(),
        Scalar::Instant(at) => format!("\"{}\"", at.iso()),
    }
}

fn scalar(of: Type) -> BoxedStrategy<Scalar> {
    match of {
        Type::Text => "[^\0]{0,6}".prop_map(Scalar::Text).boxed(),
        Type::Integer => any::<i64>().prop_map(Scalar::Integer).boxed(),
        Type::Boolean => any::<bool>().prop_map(Scalar::Boolean).boxed(),
        Type::DateTime => {
            (-62_000_000_000_000i64..253_000_000_000_000).prop_map(|ms| Scalar::Instant(Micros(ms * 1000))).boxed()
        }
        Type::Date => (1000..3000, 1..13, 1..29)
            .prop_map(|(year, month, day)| Scalar::Text(format!("{year}-{month:02}-{day:02}")))
            .boxed(),
    }
}

fn tests(of: Type) -> BoxedStrategy<Test> {
    let comparison = prop::sample::select(vec![
        Comparison::Equal,
        Comparison::Less,
        Comparison::LessOrEqual,
        Comparison::Greater,
        Comparison::GreaterOrEqual,
    ]);
    let folded = if of == Type::Text {
        "[^\0]{0,6}".prop_map(Test::EqualIgnoringCase).boxed()
    } else {
        Just(Test::Defined).boxed()
    };
    prop_oneof![
        4 => (comparison, scalar(of)).prop_map(|(comparison, scalar)| Test::Compare(comparison, scalar)),
        2 => prop::collection::vec(scalar(of), 1..4).prop_map(Test::In),
        1 => Just(Test::Defined),
        1 => folded,
    ]
    .boxed()
}

/// A test of any of the fields, in whatever shape.
fn leaf(fields: &'static [Field], prefix: &str) -> BoxedStrategy<Filter> {
    let of_field = |field: &'static Field| -> BoxedStrategy<Filter> {
        let path = format!("{prefix}{}", field.name);
        let make = |path: String| move |test| Filter::Test(path.as_str().into(), test);
        match field.shape {
            Shape::One(of) => tests(of).prop_map(make(path)).boxed(),
            Shape::Many(of) => prop_oneof![tests(of), Just(Test::Empty)].prop_map(make(path)).boxed(),
            Shape::Object(inner) => {
                prop_oneof![leaf(inner, &format!("{path}.")), Just(Test::Defined).prop_map(make(path))].boxed()
            }
            Shape::Objects(inner) => {
                let own = prop_oneof![Just(Test::Defined), Just(Test::Empty)].prop_map(make(path.clone()));
                prop_oneof![own, tree(inner).prop_map(move |part| element(&path, part))].boxed()
            }
        }
    };
    prop::strategy::Union::new(fields.iter().map(of_field)).boxed()
}

fn tree(fields: &'static [Field]) -> BoxedStrategy<Filter> {
    let step = |inner: BoxedStrategy<Filter>| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Filter::all_of),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Filter::any_of),
            inner.prop_map(|part| !part),
        ]
    };
    leaf(fields, "").prop_recursive(4, 12, 3, step).boxed()
}

/// Texts that look like predicates more often than chance would have it.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "name",
        "version",
        "ref",
        "lines",
        "tags",
        "`first-name`",
        "at",
        "on",
        "not",
        "AND",
        "or",
        "in",
        "contains",
        "all",
        "any",
        "is",
        "defined",
        "empty",
        "within",
        "circle",
        "matches",
        "ignore",
        "case",
        "(",
        ")",
        ",",
        "=",
        "!=",
        "<>",
        "<",
        ">=",
        "!",
        "\"x\"",
        "'",
        "\"",
        "`",
        "\\",
        "\\u",
        "1",
        "-",
        "2.5e",
        "true",
        ":v",
        ":",
        "ä",
        "\n",
        "\0",
        "2024-01-01",
    ]);
    prop::collection::vec((piece, prop::bool::ANY), 0..24).prop_map(|pieces| {
        pieces.into_iter().map(|(piece, space)| if space { format!("{piece} ") } else { piece.to_owned() }).collect()
    })
}

proptest! {
    #[test]
    fn a_printed_tree_is_read_as_the_same_tree(filter in tree(FIELDS)) {
        let predicate = print(&filter);
        prop_assert!(read(&predicate) == Ok(filter), "{}: {:?}", predicate, read(&predicate));
    }

    #[test]
    fn any_text_is_read_or_refused(predicate in prop_oneof![pieces(), any::<String>()]) {
        match read_with(&predicate, "var.v=1&var.v=x") {
            Ok(filter) => { let _holds = filter.matches(&json!({})); }
            Err(error) => prop_assert!(error.to_string().starts_with("Malformed parameter: where: ")),
        }
    }

    /// A predicate that reads, with a few characters gone, repeated or exchanged.
    #[test]
    fn a_damaged_predicate_is_read_or_refused(
        filter in tree(FIELDS),
        damages in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..4u8), 1..6),
    ) {
        let mut characters: Vec<char> = print(&filter).chars().collect();
        for (here, there, damage) in damages {
            if characters.is_empty() {
                break;
            }
            let (here, there) = (here.index(characters.len()), there.index(characters.len()));
            match damage {
                0 => drop(characters.remove(here)),
                1 => characters.insert(here, characters[there]),
                2 => characters.swap(here, there),
                _ => characters.truncate(here),
            }
        }
        let predicate: String = characters.iter().collect();
        match read(&predicate) {
            Ok(filter) => { let _holds = filter.matches(&json!({})); }
            Err(error) => {
                let text = error.to_string();
                prop_assert!(text.starts_with("Malformed parameter: where: "));
                prop_assert!(text.len() < 4_000, "{} bytes", text.len());
                if let Problem::Syntax(Position { line, column }) = error.problem {
                    let place = predicate.split('\n').nth(line - 1);
                    prop_assert!(place.is_some_and(|place| column <= place.chars().count() + 1), "{text}");
                }
            }
        }
    }

    #[test]
    fn any_query_is_read_or_refused(query in prop::collection::vec(any::<u8>(), 0..100)) {
        if let Ok(pairs) = query_string::decode(&query) {
            let _read = Query::read(&pairs, CUSTOMERS);
        }
    }
}
