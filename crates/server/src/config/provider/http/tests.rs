//! What is said about descriptions that cannot be used: all of it at once, each with its place.

use std::ffi::OsString;

use crate::config::{Config, Environment, Problems, Purpose};

const GOOD: &str = r#"
[providers.x]
kind = "http"
base_url = "https://idp.example.com/v1"
[providers.x.auth]
kind = "header"
name = "Authorization"
secret = { env = "X_SECRET" }
[providers.x.ops.lookup_by_id]
method = "GET"
path = "/users/{{ user.id }}"
extract = { id = "/id", etag = "header:ETag", changed = "/changed" }
[providers.x.ops.set_password]
method = "PUT"
path = "/users/{{ user.id }}/password"
require = "lookup_by_id"
if_match = "{{ user.etag }}"
idempotency_header = "Idempotency-Key"
headers = { X-Request-Id = "{{ op.id }}" }
body = { type = "json", template = { new = "{{ secret.new_password }}", temporary = false } }
success_when = [{ pointer = "/errorCode", equals = 0 }]
[[providers.x.errors]]
when = { status = [400], pointer = "/code", in = ["WEAK"] }
class = "policy_violation"
message_pointer = "/message"
[providers.x.probe]
via = "lookup_by_id"
changed_if = "changed > before"
"#;

fn read(text: &str) -> Result<Config, Problems> {
    let secret = (OsString::from("X_SECRET"), OsString::from("s3cret"));
    Config::read(text, None, Environment::of([secret]), Purpose::Maintain)
}

/// What is said when `from` is replaced by `to`.
fn said(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    read(&GOOD.replace(from, to)).err().map(|problems| problems.to_string()).unwrap_or_default()
}

#[test]
fn a_good_one_is_read_and_listed_as_it_was_written() {
    let config = read(GOOD).unwrap_or_else(|problems| panic!("{problems}"));
    let listing = config.listing();
    assert!(listing.contains("{{ secret.new_password }}") && !listing.contains("s3cret"));
    let again = read(&listing).unwrap_or_else(|problems| panic!("{problems}\n{listing}"));
    assert_eq!(again.listing(), listing);
}

#[test]
fn each_mistake_is_said_at_its_place() {
    for (from, to, expected) in [
        (
            "path = \"/users/{{ user.id }}/password\"",
            "path = \"/users/{{ user.uid }}\"",
            "ops.set_password.path: there is no {{ user.uid }} here",
        ),
        ("path = \"/users/{{ user.id }}/password\"", "path = \"users\"", "ops.set_password.path: must begin with /"),
        (
            "path = \"/users/{{ user.id }}/password\"",
            "path = \"/u?x={{ user.id }}\"",
            "ops.set_password.path: must begin with /",
        ),
        (
            "{{ op.id }}",
            "{{ secret.new_password }}",
            "headers.X-Request-Id: {{ secret.new_password }} must not stand in a path, query or header",
        ),
        ("{{ op.id }}", "{{ auth.secret }}", "{{ auth.secret }} must not stand"),
        ("{{ op.id }}", "{{ op.id | upper }}", "headers.X-Request-Id: has an unknown filter \"upper\""),
        ("{{ op.id }}", "{{ op.id", "do not go together"),
        ("{{ op.id }}", "{{ op.id | hmac | hex }}", "the filter hmac needs auth.kind = \"hmac\""),
        ("require = \"lookup_by_id\"\n", "", "ops.set_password.if_match: there is no {{ user.etag }} here"),
        (
            "require = \"lookup_by_id\"",
            "require = \"lookup_by_email\"",
            "ops.set_password.require: there is no ops.lookup_by_email",
        ),
        ("require = \"lookup_by_id\"", "require = \"lookup\"", "must be one of lookup_by_id"),
        ("pointer = \"/errorCode\"", "pointer = \"errorCode\"", "success_when[0].pointer: is no JSON Pointer"),
        ("pointer = \"/errorCode\", equals = 0", "pointer = \"/errorCode\"", "says nothing about the pointer"),
        ("pointer = \"/errorCode\", equals = 0", "equals = 0", "equals says nothing without header or pointer"),
        ("pointer = \"/errorCode\", equals = 0", "body_regex = \"(\"", "is no regular expression"),
        ("pointer = \"/errorCode\", equals = 0", "body_regex = \"a{1000}{1000}\"", "too large a regular expression"),
        ("pointer = \"/errorCode\", equals = 0", "transport = \"lost\"", "must be one of dns, connect"),
        ("pointer = \"/errorCode\", equals = 0", "", "has no condition"),
        ("status = [400], pointer", "status = [\"4xx\", 700], pointer", "errors[0].when.status[1]: must be a status"),
        ("class = \"policy_violation\"", "class = \"weak\"", "errors[0].class: must be one of user_not_found"),
        ("class = \"policy_violation\"", "class = \"conflict\"", "message_pointer that is never used"),
        ("message_pointer", "message_point", "did you mean \"message_pointer\"?"),
        (
            "[[providers.x.errors]]",
            "[[providers.x.errors]]\nwhen = { status = \"4xx\" }\nclass = \"conflict\"\n[[providers.x.errors]]",
            "errors[1].when: is never reached: errors[0]",
        ),
        (
            "success_when = [{ pointer = \"/errorCode\", equals = 0 }]",
            "errors = [{ when = { status = [200] }, class = \"stale\" }]",
            "ops.set_password.errors[0].when: is never reached: these statuses are in expect",
        ),
        ("https://idp", "http://idp", "base_url: must begin with https://"),
        ("changed > before", "changed", "must be such as"),
        ("changed > before", "moved > before", "ops.lookup_by_id does not extract \"moved\""),
        (
            "via = \"lookup_by_id\"\nchanged_if = \"changed > before\"",
            "via = \"verify_password\"",
            "there is no ops.verify_password",
        ),
        ("extract = { id = \"/id\",", "extract = {", "ops.lookup_by_id.extract: a look-up must extract the id"),
        ("[providers.x.ops.set_password]", "[providers.x.ops.change_password]", "there is no ops.set_password"),
        ("[providers.x.ops.set_password]", "[providers.x.ops.set_passwort]", "ops.set_passwort: is no operation"),
        (
            "type = \"json\", template = { new = \"{{ secret.new_password }}\", temporary = false }",
            "type = \"text\", template = \"p={{ secret.new_password }}\"",
            "is pasted into a text as it is",
        ),
        (
            "secret = { env = \"X_SECRET\" }",
            "secret = { value = \"s3cret\" }",
            "a secret does not stand in the configuration",
        ),
        ("secret = { env = \"X_SECRET\" }", "", "auth.secret: is missing"),
        ("kind = \"header\"", "kind = \"aws_sigv4\"", "auth.access_key_id: is missing"),
        ("kind = \"header\"", "kind = \"body_field\"", "ops.lookup_by_id.body: auth puts a field into the body"),
        (
            "[providers.x.probe]",
            "[providers.x.net]\nredirects = \"follow\"\n[providers.x.probe]",
            "net.redirects: must be one of [\"deny\"]",
        ),
        (
            "[providers.x.probe]",
            "[providers.x.capabilities]\nrestore = \"hash\"\n[providers.x.probe]",
            "restore = \"hash\" needs ops.read_credential",
        ),
        (
            "[providers.x.probe]",
            "[providers.x.capabilities]\nrepeat_set_is_safe = false\n[providers.x.probe]",
            "such a provider cannot be used",
        ),
    ] {
        let said = said(from, to);
        assert!(said.contains(expected), "{from} -> {to}: {expected:?} is not in:\n{said}");
        assert!(!said.contains("s3cret"));
    }
}

#[test]
fn all_mistakes_are_said_at_once_with_their_lines() {
    let text = GOOD
        .replace("{{ op.id }}", "{{ op.idd }}")
        .replace("class = \"policy_violation\"", "class = \"weak\"")
        .replace("base_url = \"https", "base_url = \"http")
        .replace("name = \"Authorization\"", "name = \"A b\"");
    let problems = read(&text).unwrap_err();
    let lines: Vec<String> = problems.told().map(|(line, _)| line).collect();
    let line_of = |text: &str| GOOD.lines().position(|line| line.contains(text)).unwrap() + 1;
    for (line, key) in [
        (line_of("base_url"), "base_url"),
        (line_of("Authorization"), "auth.name"),
        (line_of("op.id"), "ops.set_password.headers.X-Request-Id"),
        (line_of("policy_violation"), "errors[0].class"),
    ] {
        let begin = format!("configuration:{line}: providers.x.{key}: ");
        assert!(lines.iter().any(|said| said.starts_with(&begin)), "{begin:?} is not in {lines:#?}");
    }
}
