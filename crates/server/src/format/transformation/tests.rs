//! What a template makes, and what it cannot do.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;

fn transformation(template: &str, media_type: MediaType) -> Transformation {
    Transformation { template: template.to_owned(), media_type }
}

fn made(template: &str, media_type: MediaType, message: &Json) -> Result<String, TemplateError> {
    let template = Template::read(&transformation(template, media_type))?;
    let rendered = template.render(message.as_object().unwrap())?;
    assert!(rendered.content_type.starts_with(media_type.as_str()));
    Ok(String::from_utf8(rendered.body).unwrap())
}

fn refused(template: &str) -> TemplateError {
    Template::read(&transformation(template, MediaType::Json)).err().unwrap()
}

fn sample() -> Json {
    json!({
        "id": "m-1", "reset": true, "n": 7, "name": "A \"b\" <c> & 'd'",
        "resource": {"typeId": "customer", "id": "c-1"},
        "stores": [{"typeId": "store", "key": "one"}, {"typeId": "store", "key": "two"}],
    })
}

#[test]
fn values_are_escaped_for_what_is_made() {
    let json = made(
        r#"{"id": {{ message.id }}, "customer": {{ message.resource.id }}, "reset": {{ message.reset }}, "n": {{ message.n }},
            "name": {{ message.name }}, "joined": {{ "x-" ~ message.name ~ message.n }},
            "none": {{ message.gone|default(none) }}, "all": {{ message.stores }},
            "keys": [{% for store in message.stores %}{{ store.key|upper }}{% if not loop.last %}, {% endif %}{% endfor %}]}"#,
        MediaType::Json,
        &sample(),
    );
    let read: Json = serde_json::from_str(&json.unwrap()).unwrap();
    let name = "A \"b\" <c> & 'd'";
    assert_eq!(
        read,
        json!({
            "id": "m-1", "customer": "c-1", "reset": true, "n": 7, "name": name, "joined": format!("x-{name}7"),
            "none": null, "all": sample()["stores"], "keys": ["ONE", "TWO"],
        })
    );
    let xml = made("<name a='{{ message.name }}'>{{ message.n }}</name>", MediaType::Xml, &sample()).unwrap();
    assert_eq!(xml, "<name a='A &quot;b&quot; &lt;c&gt; &amp; &#39;d&#39;'>7</name>");
    let text = made("{{ message.name }}: {{ message.stores|tojson }}", MediaType::Text, &sample()).unwrap();
    let stores = r#"[{"key":"one","typeId":"store"},{"key":"two","typeId":"store"}]"#;
    assert_eq!(text, format!("{name}: {stores}"));
}

#[test]
fn what_is_not_there_is_an_error_that_names_its_line() {
    for (template, line) in [
        ("{{ message.gone }}", 1),
        ("{\n\"a\": {{ message.gone.deeper }}}", 2),
        ("{}\n{% if message.gone %}{% endif %}", 2),
        ("{% for one in message.gone %}{% endfor %}", 1),
        ("{{ other }}", 1),
    ] {
        let error = made(template, MediaType::Json, &sample()).unwrap_err();
        assert_eq!((error.line, error.what.as_str()), (Some(line), "a value is not there"), "{template}");
    }
    let asked = "{{ 1 if message.gone is defined else message.gone|default(2) }}";
    assert_eq!(made(asked, MediaType::Json, &sample()).unwrap(), "2");
}

#[test]
fn an_error_repeats_no_value_of_a_message() {
    let secret = json!({"value": "hunter2"});
    for template in
        ["{{ message.value - 1 }}", "{{ message.value|items }}", "{{ -message.value }}", "{{ message.value.a }}"]
    {
        let error = made(template, MediaType::Text, &secret).unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
    let error = made("{{ message.value }} x", MediaType::Json, &secret).unwrap_err();
    assert_eq!(error.to_string(), "what it makes is no JSON: line 1, column 11 of it");
}

#[test]
fn the_language_is_small() {
    for template in [
        "{% set a = 1 %}",
        "{% set a %}x{% endset %}",
        "{% with a = 1 %}{% endwith %}",
        "{% filter upper %}x{% endfilter %}",
        "{% block a %}{% endblock %}",
        "{% include 'x' %}",
        "{% extends 'x' %}",
        "{% import 'x' as x %}",
        "{% autoescape false %}{{ message.id }}{% endautoescape %}",
        "{% macro a() %}{% endmacro %}",
        "{% do message.id() %}",
        "{% for a in message.stores recursive %}{{ loop(a) }}{% endfor %}",
        "{% for a in [message, message] %}{% endfor %}",
        "{% for a in range(9) %}{% endfor %}",
        "{% for a in message.id ~ message.id %}{% endfor %}",
        "{{ 'x' * 100000000 }}",
        "{{ 2 ** 100 }}",
        "{{ 'a' + 'b' }}",
        "{{ range(10) }}",
        "{{ message.id.upper() }}",
        "{{ message.id|safe }}",
        "{{ message.id|replace('m', 'mm') }}",
        "{{ message.id is string }}",
        "{{ message.id",
        "{% if %}",
        "{{ 'a' ~ 'b' ~ 'c' ~ 'd' ~ 'e' ~ 'f' ~ 'g' ~ 'h' ~ 'i' ~ 'j' }}",
    ] {
        let error = refused(&format!("\n{template}"));
        assert_eq!(error.line, Some(2), "{template}: {error}");
    }
    assert_eq!(refused(&"x".repeat(Transformation::TEMPLATE_BYTES_MAX + 1)).line, None);
}

#[test]
fn no_nesting_reaches_the_end_of_the_stack() {
    let most = Transformation::TEMPLATE_BYTES_MAX;
    for (open, inner, close) in [
        ("(", "1", ")"),
        ("[", "", "]"),
        ("not ", "1", ""),
        ("-", "1", ""),
        ("", "message", ".a"),
        ("", "message", "[0]"),
        ("", "1", "-1"),
        ("", "1", "|lower"),
    ] {
        let count = (most - 20) / (open.len() + close.len());
        let template = format!("{{{{ {}{inner}{} }}}}", open.repeat(count), close.repeat(count));
        assert!(template.len() <= most);
        refused(&template);
    }
    let ifs = most / ("{%if 1%}".len() + "{%endif%}".len());
    refused(&("{%if 1%}".repeat(ifs) + &"{%endif%}".repeat(ifs)));
}

#[test]
fn what_is_made_and_how_long_it_takes_is_limited() {
    let many: Vec<Json> = (0..500).map(|n| json!({"n": n, "text": "x".repeat(1000)})).collect();
    let message = json!({"many": many});
    let limited = |template: &str| made(template, MediaType::Text, &message).unwrap_err().what;
    let longer = format!("what it makes is longer than {OUTPUT_BYTES_MAX} bytes");
    assert_eq!(limited("{% for one in message.many %}{{ one.text }}{% endfor %}"), longer);
    assert_eq!(limited("{{ message }}"), "failed to write output");
    assert_eq!(limited("{{ message|tojson }}"), "failed to write output");
    let steps = format!("it takes more than {FUEL} steps, or goes through too much text");
    let nested = "{% for a in message.many %}{% for b in message.many %}{% endfor %}{% endfor %}";
    assert_eq!(limited(nested), steps);
    let text = "{% for a in message.many %}{% if a|tojson|upper|lower|upper|lower|upper|lower|upper|lower %}{% endif %}{% endfor %}";
    assert_eq!(limited(text), steps);
    let each = made("{% for one in message.many %}{{ one.n }} {% endfor %}", MediaType::Text, &message);
    assert!(each.unwrap().starts_with("0 1 2 "));
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        ".*".prop_map(Json::from),
    ];
    leaf.prop_recursive(3, 20, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Json::from),
            prop::collection::btree_map(".*", inner, 0..5).prop_map(|map| Json::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Whatever a message holds, what is put into JSON is read from it again, and nothing else.
    #[test]
    fn any_value_comes_out_of_json_as_it_went_in(value in any_json()) {
        let message = json!({"it": value});
        let made = made(r#"{"before": 1, "it": {{ message.it }}, "after": 2}"#, MediaType::Json, &message).unwrap();
        let read: Json = serde_json::from_str(&made).unwrap();
        prop_assert_eq!(read, json!({"before": 1, "it": message["it"], "after": 2}));
    }

    /// Whatever a message holds, it ends no attribute and opens no element.
    #[test]
    fn no_text_leaves_its_place_in_xml(text in ".*") {
        let made = made("<a b=\"{{ message.it }}\"/>", MediaType::Xml, &json!({"it": text})).unwrap();
        prop_assert_eq!(made.matches(['<', '>']).count(), 2);
        prop_assert_eq!(made.matches(['"', '\'']).count(), 2);
    }

    /// Whatever a caller sends as a template, it is read or refused, and ends.
    #[test]
    fn any_template_is_read_or_refused(pieces in prop::collection::vec(prop::sample::select(vec![
        "{{ ", " }}", "{% ", " %}", "if ", "endif", "for ", "in ", "endfor", "message", ".stores", "[0]", "|tojson", "|lower",
        " ~ ", "\"x\"", "(", ")", "[", "]", "{", "}", ",", ":", "-", " not ", " is defined", "loop", ".index", "else", "\n", "{# ", " #}",
    ]), 0..40)) {
        let template = pieces.concat();
        if let Ok(template) = Template::read(&transformation(&template, MediaType::Text)) {
            let _made = template.render(sample().as_object().unwrap());
        }
    }
}
